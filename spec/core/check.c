/* check.c - seeds, figures, shrinking and memory failures for the C tests; see check.h.
 *
 * The figures and the bytes of a fuzzer are all the state: a test executable is one process and
 * one thread.
 */
#include "check.h"

#define CHECK_FIGURES 16

static struct {
    const char *name;
    uint64_t n;
} check_figures[CHECK_FIGURES];

static struct {
    const check_random *to;
    const unsigned char *at;
    size_t left;
} check_fed;

void check_fail(const char *file, int line, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_error("%s\n", text);
    _fail(file, line);
    abort(); /* _fail jumps; this tells the compiler */
}

void check_code(const char *file, int line, const char *call, int rc, int want)
{
    if (rc == want)
        return;
    check_fail(file, line, "%s gives %d (%s), expected %d (%s)", call, rc, weir_error_name(rc),
               want, weir_error_name(want));
}

void check_valid(const char *file, int line, const weir_runtime *rt)
{
    int broken = weir_runtime_validate(rt);
    if (broken != 0)
        check_fail(file, line, "the invariant of the runtime in line %d is broken", broken);
}

void check_quiet(const char *file, int line, const weir_runtime *rt)
{
    const char *left = weir_runtime_quiesce(rt);
    if (left != NULL)
        check_fail(file, line, "the runtime is not at its baseline: %s", left);
}

static uint64_t check_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t check_seed(uint64_t stream)
{
    check_random r = {check_number("WEIR_SEED", UINT64_C(20260704)) ^ stream << 32};
    return check_random_next(&r);
}

void check_feed(const check_random *r, const unsigned char *bytes, size_t n)
{
    check_fed.to = bytes != NULL ? r : NULL;
    check_fed.at = bytes;
    check_fed.left = bytes != NULL ? n : 0;
}

size_t check_unfed(void)
{
    return check_fed.left;
}

static uint64_t check_bytes(unsigned n)
{
    uint64_t z = 0;
    for (unsigned i = 0; i < n && check_fed.left > 0; i++, check_fed.left--)
        z |= (uint64_t)*check_fed.at++ << 8 * i;
    return z;
}

/* splitmix64 (Steele, Lea, Flood 2014): any state is a good one. */
uint64_t check_random_next(check_random *r)
{
    if (r == check_fed.to)
        return check_bytes(8);
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t check_below(check_random *r, uint32_t n)
{
    if (r == check_fed.to) /* few bytes a number, so that a changed one changes little */
        return (uint32_t)(check_bytes(n <= 1u << 8 ? 1 : n <= 1u << 16 ? 2 : 4) % n);
    return (uint32_t)((check_random_next(r) >> 32) * n >> 32);
}

uint64_t check_span(check_random *r, unsigned max_bits)
{
    unsigned bits = check_below(r, max_bits + 1);
    return bits == 0 ? 0 : check_random_next(r) >> (64 - bits);
}

uint32_t check_scaled(uint32_t n)
{
    uint64_t scaled = (uint64_t)n * check_number("WEIR_TEST_FACTOR", 100) / 100;
    return scaled == 0 ? 1 : scaled > UINT32_MAX ? UINT32_MAX : (uint32_t)scaled;
}

/* Halves first, then quarters ... then single ops, again from the start while anything goes. */
size_t check_shrink(void *ops, size_t n, size_t size, check_sequence_fn run, void *ctx)
{
    char *all = ops, *shorter = malloc(n * size + 1);
    size_t chunk = n / 2 > 0 ? n / 2 : 1;
    assert_non_null(shorter);
    while (n > 0) {
        size_t at = 0;
        int went = 0;
        while (at < n) {
            size_t cut = chunk < n - at ? chunk : n - at;
            memcpy(shorter, all, at * size);
            memcpy(shorter + at * size, all + (at + cut) * size, (n - at - cut) * size);
            if (run(shorter, n - cut, ctx) != 0) {
                n -= cut;
                memcpy(all, shorter, n * size);
                went = 1;
            } else {
                at += cut;
            }
        }
        if (chunk > 1)
            chunk /= 2;
        else if (!went)
            break;
    }
    free(shorter);
    return n;
}

uint64_t check_oom(const char *file, int line, check_oom_fn fn)
{
    static const struct {
        const char *name;
        uint64_t extra;
    } modes[] = {{"alone", 0}, {"with its retry", 1}, {"with all after it", UINT64_MAX}};
    uint64_t injected = 0;
    for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        for (uint64_t nth = 1;; nth++) {
            weir_simulator *sim = weir_simulator_new(WEIR_PLAN_FIFO, 1);
            uint64_t asked = 0;
            int rc;
            if (sim == NULL)
                check_fail(file, line, "no memory for the simulator");
            weir_simulator_fail_alloc(sim, nth, modes[m].extra);
            rc = fn(sim);
            asked = weir_simulator_allocs(sim);
            if (rc != 0 && rc != WEIR_ENOMEM)
                check_fail(file, line, "allocation %llu failed %s: %d (%s)",
                           (unsigned long long)nth, modes[m].name, rc, weir_error_name(rc));
            if (weir_simulator_bytes(sim) != 0)
                check_fail(file, line, "allocation %llu failed %s: %zu bytes left",
                           (unsigned long long)nth, modes[m].name, weir_simulator_bytes(sim));
            if (rc == 0 && asked >= nth && modes[m].extra == UINT64_MAX)
                check_fail(file, line, "allocation %llu and all after it failed, nobody noticed",
                           (unsigned long long)nth);
            weir_simulator_free(sim);
            if (asked < nth)
                break;
            injected++;
        }
    }
    check_figure("failed_allocations", injected);
    return injected;
}

void check_figure(const char *name, uint64_t n)
{
    size_t i = 0;
    while (i < CHECK_FIGURES && check_figures[i].name != NULL &&
           strcmp(check_figures[i].name, name) != 0)
        i++;
    assert_true(i < CHECK_FIGURES);
    check_figures[i].name = name;
    check_figures[i].n += n;
}

int check_main(const char *group, const struct CMUnitTest *tests, size_t n)
{
    int failed;
    printf("seed: %llu\n", (unsigned long long)check_number("WEIR_SEED", UINT64_C(20260704)));
    fflush(stdout);
    failed = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
    fflush(stderr);
    printf("figures: tests=%zu", n);
    for (size_t i = 0; i < CHECK_FIGURES && check_figures[i].name != NULL; i++)
        printf(" %s=%llu", check_figures[i].name, (unsigned long long)check_figures[i].n);
    printf("\n");
    fflush(stdout);
    return failed;
}
