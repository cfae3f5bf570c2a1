/* host/options.c - what the command line may say, checked. */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: weir [options] [script [args]]\n"
    "Run a Lua script whose top level is a task of the weir runtime.\n"
    "\n"
    "  -e CODE         run CODE (may be repeated; before the script)\n"
    "  -l NAME         require NAME into a global (may be repeated)\n"
    "  -l G=NAME       require NAME into the global G\n"
    "  -i              a prompt, after what else there is; also without a script, at a terminal\n"
    "  --timeout S     cancel everything after S seconds; exit code 124\n"
    "  --virtual-time  time stands still while anything can run, and jumps when nothing can\n"
    "  --seed N        on virtual time, in an order (and with a chance) drawn from N\n"
    "  --explore N     run it in N such orders, from --seed (1) on; at the first that fails show\n"
    "                  its output and seed, and exit with its code\n"
    "  --stats         say at the end, on standard error, what was done\n"
    "  -v, --version   print the version\n"
    "  -h, --help      print this\n"
    "  -               read the script from standard input\n"
    "  --              end of options\n"
    "\n"
    "weir busted [args] runs busted specs inside the runtime: their bodies may wait.\n"
    "weir new NAME makes a small project to begin with.\n"
    "weir build SCRIPT [-o FILE] makes one executable of a script and its Lua modules.\n"
    "\n"
    "The first SIGINT, SIGTERM or SIGHUP cancels all tasks and leaves them 5 seconds to\n"
    "clean up; the second ends the program at once.\n"
    "Exit codes: 0 ok, 1 script error, 2 usage or unreadable script, 3 deadlock,\n"
    "124 timeout, 128+n signal n.\n";

int host_usage(const char *problem, const char *what)
{
    fprintf(stderr, "weir: %s%s%s\ntry 'weir --help'\n", problem, what ? ": " : "",
            what ? what : "");
    return EXIT_USAGE;
}

static int is_option(const char *word, const char *name)
{
    size_t n = strlen(name);
    return strncmp(word, name, n) == 0 && (word[n] == '\0' || word[n] == '=');
}

/* The value of the option at argv[*i], after `=` or in the next word; NULL if there is none. */
static const char *value_of(const host_options *o, int *i)
{
    const char *equals = strchr(o->argv[*i], '=');
    if (equals != NULL)
        return equals + 1;
    return ++*i < o->argc ? o->argv[*i] : NULL;
}

static int read_seconds(const char *text, double *out)
{
    char *end = NULL;
    if (text == NULL || *text == '\0')
        return 0;
    *out = strtod(text, &end);
    return *end == '\0' && *out > 0 && *out < 1e9;
}

static int read_integer(const char *text, long long least, long long *out)
{
    char *end = NULL;
    if (text == NULL || *text == '\0')
        return 0;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= least;
}

static int wrong(host_options *o, const char *problem, const char *what)
{
    o->code = host_usage(problem, what != NULL ? what : "nothing");
    return 0;
}

/* An option with a value at argv[*i]: 1 read, 0 wrong, -1 if it is none of these. */
static int parse_valued(host_options *o, int *i)
{
    const char *word = o->argv[*i], *value;
    long long n = 0;
    if (is_option(word, "--timeout")) {
        value = value_of(o, i);
        if (!read_seconds(value, &o->timeout))
            return wrong(o, "--timeout needs a number of seconds > 0, got", value);
    } else if (is_option(word, "--seed")) {
        value = value_of(o, i);
        if (!read_integer(value, INT64_MIN, &n))
            return wrong(o, "--seed needs an integer, got", value);
        o->seed = (uint64_t)n;
        o->has_seed = o->is_virtual = 1;
    } else if (is_option(word, "--explore")) {
        value = value_of(o, i);
        if (!read_integer(value, 1, &n) || n > 1000000000)
            return wrong(o, "--explore needs an integer from 1 to 1000000000, got", value);
        o->explore = (long)n;
        o->is_virtual = 1;
    } else {
        return -1;
    }
    return 1;
}

int host_options_parse(host_options *o)
{
    int i;
    o->seed = 1;
    for (i = 1; i < o->argc && o->argv[i][0] == '-' && o->argv[i][1] != '\0'; i++) {
        const char *word = o->argv[i];
        if (strcmp(word, "--") == 0) {
            i++;
            break;
        }
        if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if (strcmp(word, "-i") == 0) {
            o->interactive = 1;
        } else if (strcmp(word, "-v") == 0 || strcmp(word, "--version") == 0) {
            o->version = 1;
        } else if (strcmp(word, "--virtual-time") == 0) {
            o->is_virtual = 1;
        } else if (strcmp(word, "--stats") == 0) {
            o->stats = 1;
        } else if (word[1] == 'e' || word[1] == 'l') {
            if (word[2] == '\0' && ++i == o->argc) {
                o->code = host_usage("an argument is missing after", word);
                return 0;
            }
            o->chunks[o->n_chunks++] =
                (host_chunk){word[1], word[2] == '\0' ? o->argv[i] : word + 2};
        } else {
            int rc = parse_valued(o, &i);
            if (rc < 0)
                o->code = host_usage("unknown option", word);
            if (rc <= 0)
                return 0;
        }
    }
    if (o->interactive && o->is_virtual) {
        o->code = host_usage("-i needs real time", NULL);
        return 0;
    }
    if (i < o->argc)
        o->script = i;
    return 1;
}
