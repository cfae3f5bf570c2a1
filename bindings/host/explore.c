/* host/explore.c - a script in many orders; the first that fails is shown, with its seed.
 *
 * Each run is a process of its own, made before anything of Lua or libuv is there: whatever a
 * script does (os.exit, a crash, globals it leaves) is that run's alone. Its output is kept in
 * a file without a name and thrown away unless it fails. Standard input is empty: there is one,
 * and many runs. A signal that asks to stop kills the run, which may be one that never ends, and is
 * answered with its seed.
 */
#include "explore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "signals.h"

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
enum { N_WATCHED = sizeof watched / sizeof *watched };

/* A process has one set of signal dispositions: what its handler needs can be nowhere else. */
static volatile sig_atomic_t stopped; /* the signal that asked to stop, or 0 */
static volatile sig_atomic_t running; /* the run's process, or 0 */

static void stop(int signum)
{
    if (stopped == 0)
        stopped = signum;
    if (running != 0)
        kill(running, SIGKILL);
}

static void on_signals(void (*handler)(int))
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = handler;
    sigfillset(&sa.sa_mask);
    for (int i = 0; i < N_WATCHED; i++)
        if (host_signals_is_watched(watched[i]))
            sigaction(watched[i], &sa, NULL);
}

/* In the new process: run, and end. */
static _Noreturn void child(host_options *o, int (*run)(host_options *), FILE *output)
{
    int null = open("/dev/null", O_RDONLY), fd = fileno(output);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    o->explore = 0;
    o->has_seed = 1;
    int code = run(o);
    fflush(NULL);
    _exit(code);
}

/* Run it with o->seed: its exit code, its output in `output`. Negative: it could not be started. */
static int run_one(host_options *o, int (*run)(host_options *), FILE *output)
{
    int status = 0;
    siginfo_t ended;
    sigset_t all, before;
    rewind(output);
    if (ftruncate(fileno(output), 0) != 0)
        return -errno;
    sigfillset(&all); /* from here on until `running` says whom to kill */
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    int rc = pid < 0 ? -errno : 0;
    if (pid == 0)
        on_signals(SIG_DFL);
    else if (pid > 0)
        running = pid;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid == 0)
        child(o, run, output);
    while (rc == 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT) < 0)
        if (errno != EINTR)
            rc = -errno;
    running = 0; /* before its number can be another's */
    if (rc == 0 && waitpid(pid, &status, 0) < 0)
        rc = -errno;
    if (rc < 0)
        return rc;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void show(FILE *output)
{
    char bytes[4096];
    size_t n;
    rewind(output);
    while ((n = fread(bytes, 1, sizeof bytes, output)) > 0)
        fwrite(bytes, 1, n, stdout);
    fflush(stdout);
}

static void progress(long done, long all)
{
    static const double INTERVAL = 0.25;
    static double last; /* of this process's one terminal */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double now = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    if (now - last < INTERVAL)
        return;
    last = now;
    fprintf(stderr, "\rweir: %ld of %ld schedules", done, all);
    fflush(stderr);
}

int host_explore(host_options *o, int (*run)(host_options *o))
{
    FILE *output = tmpfile();
    int draws = isatty(STDERR_FILENO), code = 0;
    long n = o->explore, i;
    if (output == NULL) {
        fprintf(stderr, "weir: cannot keep the output of a run: %s\n", strerror(errno));
        return EXIT_SCRIPT;
    }
    on_signals(stop);
    for (i = 0; i < n && code == 0 && stopped == 0; i++, o->seed++) {
        if (draws)
            progress(i, n);
        code = run_one(o, run, output);
    }
    if (draws)
        fputs("\r\033[K", stderr);
    if (stopped != 0) {
        fprintf(stderr, "weir: stopped in schedule %ld of %ld; once more: --seed %lld\n", i, n,
                (long long)o->seed - 1);
        code = 128 + stopped;
    } else if (code < 0) {
        fprintf(stderr, "weir: cannot start a run: %s\n", strerror(-code));
        code = EXIT_SCRIPT;
    } else if (code > 0) {
        show(output);
        fprintf(stderr,
                "weir: schedule %ld of %ld ended with exit code %d; once more: --seed %lld\n", i, n,
                code, (long long)o->seed - 1);
    } else {
        fprintf(stderr, "weir: %ld schedules, none failed (seeds %lld to %lld)\n", n,
                (long long)o->seed - n, (long long)o->seed - 1);
    }
    fclose(output);
    return code;
}
