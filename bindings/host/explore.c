/* host/explore.c - a script in many orders; the first that fails is shown, with its seed.
 *
 * Each run is a process of its own, made before anything of Lua or libuv is there: whatever a
 * script does (os.exit, a crash, globals it leaves) is that run's alone. Its output is kept in
 * a file without a name and thrown away unless it fails. Standard input is empty: there is one,
 * and many runs.
 */
#include "explore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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
    int status;
    rewind(output);
    if (ftruncate(fileno(output), 0) != 0)
        return -errno;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        child(o, run, output);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
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
    for (i = 0; i < n && code == 0; i++, o->seed++) {
        if (draws)
            progress(i, n);
        code = run_one(o, run, output);
    }
    if (draws)
        fputs("\r\033[K", stderr);
    if (code < 0) {
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
