/* check.h - what every C test shares: cmocka plus seeds, weir's error names, memory failures.
 *
 * Every executable prints its seed first and one line of figures last:
 *     figures: sequences=120000 ops=4800000
 * WEIR_SEED replaces the seed, WEIR_TEST_FACTOR scales the random work in percent (CI asks
 * for more by night). Random tests report failures through return codes, never through a
 * jump, so that they can be shrunk; CHECK* and cmocka's asserts jump out of the test.
 */
#ifndef WEIR_CHECK_H
#define WEIR_CHECK_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <weir/error.h>
#include <weir/simulator.h>

/* --- checks ----------------------------------------------------------------------------- */

/* Fail the test with a formatted text. Does not return. */
void check_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* Fail unless `rc` is `want`, both named in weir's words. */
void check_code(const char *file, int line, const char *call, int rc, int want);

#define CHECK_OK(call) check_code(__FILE__, __LINE__, #call, (call), 0)
#define CHECK_ERR(call, want) check_code(__FILE__, __LINE__, #call, (call), (want))

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            check_fail(__FILE__, __LINE__, "%s", #cond);                                           \
    } while (0)

/* Two integers; both are printed when they differ. */
#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (got_ != want_)                                                                         \
            check_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #got, got_, want_);        \
    } while (0)

#define CHECK_TEXT(got, want)                                                                      \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (got_ == NULL || strcmp(got_, want_) != 0)                                              \
            check_fail(__FILE__, __LINE__, "%s is \"%s\", expected \"%s\"", #got,                  \
                       got_ ? got_ : "(null)", want_);                                             \
    } while (0)

/* Every invariant of the runtime holds; nothing at all is left in it. */
void check_valid(const char *file, int line, const weir_runtime *rt);
void check_quiet(const char *file, int line, const weir_runtime *rt);
#define CHECK_VALID(rt) check_valid(__FILE__, __LINE__, rt)
#define CHECK_QUIET(rt) check_quiet(__FILE__, __LINE__, rt)

/* --- chance ------------------------------------------------------------------------------ */

typedef struct check_random {
    uint64_t state;
} check_random;

/* The seed of this run, mixed with `stream` so that tests do not share their numbers. */
uint64_t check_seed(uint64_t stream);
uint64_t check_random_next(check_random *r);
/* From here on `r` draws from these `n` bytes (borrowed) and 0 past their end; NULL ends it. One at
 * a time: it is how a fuzzer drives what chance drives otherwise. */
void check_feed(const check_random *r, const unsigned char *bytes, size_t n);
/* How many of them are left. */
size_t check_unfed(void);
/* Below `n` (> 0). */
uint32_t check_below(check_random *r, uint32_t n);
/* A time span whose size in bits is uniform: as many of nanoseconds as of years. */
uint64_t check_span(check_random *r, unsigned max_bits);

/* `n` times WEIR_TEST_FACTOR percent, at least 1. */
uint32_t check_scaled(uint32_t n);

/* --- shrinking ---------------------------------------------------------------------------- */

/* Runs a sequence of `n` ops of `size` bytes; 0, or a number that names what broke. */
typedef int (*check_sequence_fn)(const void *ops, size_t n, void *ctx);

/* Delete from `ops` (in place) whatever is not needed for `run` to fail. Returns the new n. */
size_t check_shrink(void *ops, size_t n, size_t size, check_sequence_fn run, void *ctx);

/* --- memory failures ------------------------------------------------------------------------ */

/* One life: make a runtime in `sim`, use it, free it. 0 when all went well, WEIR_ENOMEM when a
 * call reported it and everything was as before; any other check fails inside. */
typedef int (*check_oom_fn)(weir_simulator *sim);

/* Run `fn` with its 1st, 2nd ... allocation failing (alone, with its retry, and with all that
 * follow) until it needs no more, and expect ENOMEM or success and not a byte left each time.
 * Returns how many failures were injected; they are added to the figure failed_allocations. */
uint64_t check_oom(const char *file, int line, check_oom_fn fn);
#define CHECK_OOM(fn) check_oom(__FILE__, __LINE__, fn)

/* --- figures and main ------------------------------------------------------------------------ */

/* Add `n` to the figure `name` (static text). */
void check_figure(const char *name, uint64_t n);

/* Print the seed, run the group, print the figures. */
int check_main(const char *group, const struct CMUnitTest *tests, size_t n);
#define CHECK_MAIN(tests) check_main(#tests, tests, sizeof(tests) / sizeof((tests)[0]))

#endif
