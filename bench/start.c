/* start.c - how long a program takes to start and end: start NAME IMPL COUNT PROGRAM ARGS...
 *
 * Runs the program COUNT times, one after the other, and prints the median elapsed time and the
 * median CPU time (user + sys, the exec and exit in the kernel counted) of one run. The value
 * is the smaller of the two, as in the other rows.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double used_ns(const struct rusage *u)
{
    return ((double)u->ru_utime.tv_sec + (double)u->ru_stime.tv_sec) * 1e9 +
           ((double)u->ru_utime.tv_usec + (double)u->ru_stime.tv_usec) * 1e3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *list, size_t n)
{
    qsort(list, n, sizeof *list, by_value);
    return list[n / 2];
}

int main(int argc, char **argv)
{
    size_t count, i;
    double *wall, *cpu, w, c;
    if (argc < 5 || (count = strtoul(argv[3], NULL, 10)) == 0) {
        fprintf(stderr, "usage: start NAME IMPL COUNT PROGRAM ARGS...\n");
        return 2;
    }
    wall = calloc(count, sizeof *wall);
    cpu = calloc(count, sizeof *cpu);
    if (wall == NULL || cpu == NULL)
        return 1;
    for (i = 0; i < count; i++) {
        struct rusage used;
        pid_t pid;
        int status, code;
        double begun = now_ns();
        code = posix_spawnp(&pid, argv[4], NULL, NULL, argv + 4, environ);
        if (code != 0 || wait4(pid, &status, 0, &used) != pid || status != 0) {
            fprintf(stderr, "start: %s: %s\n", argv[4], code ? strerror(code) : "did not end with 0");
            return 1;
        }
        wall[i] = now_ns() - begun;
        cpu[i] = used_ns(&used);
    }
    w = median(wall, count);
    c = median(cpu, count);
    printf("row name=%s impl=%s unit=ns value=%.0f n=%zu wall=%.0f cpu=%.0f\n", argv[1], argv[2],
           w < c ? w : c, count, w, c);
    free(wall);
    free(cpu);
    return 0;
}
