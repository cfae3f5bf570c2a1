/* host/options.h - the command line of the `weir` program. */
#ifndef WEIR_HOST_OPTIONS_H
#define WEIR_HOST_OPTIONS_H
#include <stddef.h>
#include <stdint.h>

enum { EXIT_SCRIPT = 1, EXIT_USAGE = 2, EXIT_DEADLOCK = 3, EXIT_TIMEOUT = 124 };

/* -e or -l, and what it is given: in the next word, or attached. */
typedef struct host_chunk {
    char option;
    const char *text;
} host_chunk;

typedef struct host_options {
    int argc;
    char **argv;
    int script;         /* index of the script in argv, or 0 */
    int n_chunks;       /* -e and -l, in order */
    host_chunk *chunks; /* owned by main */
    double timeout;     /* seconds; 0 is none */
    uint64_t seed;      /* of order and chance, on virtual time */
    long explore;       /* schedules to try; 0 is none */
    int has_seed;       /* order is drawn from it, not first come, first served */
    int is_virtual;     /* --virtual-time, or what implies it */
    int interactive;    /* -i */
    char *app; /* the chunk that was built in, and then there are no options; owned by main */
    size_t app_size;
    int stats, version;
    int code; /* to exit with */
} host_options;

/* Read the command line; `o->chunks` has room for argc. 1 to go on, 0 to end with o->code. */
int host_options_parse(host_options *o);

/* Say on stderr that the command line is wrong. Returns EXIT_USAGE. */
int host_usage(const char *problem, const char *what);

#endif
