/* host/signals.c - signals: the first one is delivered to the loop, the second one ends it all.
 *
 * A busy script never comes back to the loop, so the last word is spoken in the handler itself,
 * which may only call what is safe there. The loop's own handler stays installed below ours and
 * gets every signal that is not the last. The alarm clock is the operating system's: it neither
 * keeps the loop alive nor hides a deadlock.
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <weir/loop.h>

#include "signals.h"

/* Interrupts in a row that a script which never waits survives at the prompt. */
enum { UNSEEN = 3 };

static const struct {
    int signum;
    const char *reason;
} watched[] = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}, {SIGALRM, "timeout"}};
enum { N_WATCHED = sizeof watched / sizeof *watched };

/* A process has one set of signal dispositions: this is the one state that cannot be elsewhere. */
static volatile sig_atomic_t cause;  /* see host_signals_cause */
static volatile sig_atomic_t unseen; /* interrupts that the loop has not come to deliver */
static host_interrupt_fn interrupt;  /* takes SIGINT instead of the cancel, or NULL */
static void *interrupt_data;
static struct sigaction below[N_WATCHED];
static weir_signal *signals[N_WATCHED];

static void alarm_after(double seconds)
{
    double whole = floor(seconds);
    struct itimerval t = {{0, 0}, {(time_t)whole, (suseconds_t)((seconds - whole) * 1e6)}};
    if (t.it_value.tv_sec == 0 && t.it_value.tv_usec == 0)
        t.it_value.tv_usec = 1;
    setitimer(ITIMER_REAL, &t, NULL);
}

static void nothing(int signum)
{
    (void)signum;
}

static void pass_on(int signum)
{
    for (int i = 0; i < N_WATCHED; i++)
        if (watched[i].signum == signum && below[i].sa_handler != SIG_DFL &&
            below[i].sa_handler != SIG_IGN)
            below[i].sa_handler(signum);
}

static void handle(int signum)
{
    if (signum == SIGINT && interrupt != NULL && cause == 0) {
        /* At the prompt an interrupt ends what runs, not the program; unless nobody sees it. */
        if (++unseen == UNSEEN)
            cause = SIGINT;
        else {
            pass_on(signum);
            return;
        }
    }
    /* The second signal, or the end of the grace; the first one after a timeout is a first. */
    if (cause > 0 || (cause != 0 && signum == SIGALRM)) {
        static const char text[] = "weir: stopped at once\n";
        ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
        (void)n;
        _exit(cause > 0 ? 128 + cause : 124);
    }
    cause = signum == SIGALRM ? -1 : signum;
    alarm_after(HOST_GRACE);
    pass_on(signum);
}

static void deliver(weir_signal *s, int signum, void *data)
{
    weir_runtime *rt = data;
    unseen = 0;
    if (signum == SIGINT && interrupt != NULL && cause == 0) {
        interrupt(interrupt_data);
        return;
    }
    for (int i = 0; i < N_WATCHED; i++)
        if (signals[i] == s)
            weir_scope_cancel(rt, weir_root(rt), (weir_reason){watched[i].reason, 0});
}

/* Who starts a program so that it outlives the terminal (nohup) has SIGHUP ignored: it stays so. */
int host_signals_is_watched(int signum)
{
    struct sigaction sa;
    return signum != SIGHUP || sigaction(SIGHUP, NULL, &sa) != 0 || sa.sa_handler != SIG_IGN;
}

int host_signals_start(weir_runtime *rt, double timeout)
{
    signal(SIGPIPE, nothing); /* not SIG_IGN, which the processes we start would inherit */
    for (int i = 0; i < N_WATCHED; i++) {
        struct sigaction sa;
        if (!host_signals_is_watched(watched[i].signum))
            continue;
        int rc = weir_signal_new(rt, watched[i].signum, deliver, rt, &signals[i]);
        if (rc != 0)
            return rc;
        memset(&sa, 0, sizeof sa);
        sa.sa_handler = handle;
        sa.sa_flags = SA_RESTART;
        sigfillset(&sa.sa_mask);
        sigaction(watched[i].signum, &sa, &below[i]);
    }
    if (timeout > 0)
        alarm_after(timeout);
    return 0;
}

void host_signals_stop(void)
{
    struct itimerval none = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &none, NULL);
    for (int i = 0; i < N_WATCHED; i++) {
        if (signals[i] == NULL)
            continue;
        sigaction(watched[i].signum, &below[i], NULL);
        weir_signal_free(signals[i]);
        signals[i] = NULL;
    }
}

void host_signals_set_interrupt(host_interrupt_fn fn, void *data)
{
    interrupt = fn;
    interrupt_data = data;
}

int host_signals_cause(void)
{
    return cause;
}
