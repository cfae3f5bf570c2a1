/* hash_test.c - the keyed hash: its values, and that no set of keys is a bad one.
 *
 * What universal means is measured: of pairs that differ as little as can be, and of sets with
 * every kind of regularity, as many collide under random secrets as of random strings, and no more.
 */
#include "base/hash.h"
#include "check.h"

static uint64_t draw(void *ctx)
{
    return check_random_next(ctx);
}

/* Byte i of string number n; any function will do. */
static void fill(unsigned char *s, size_t length)
{
    for (size_t i = 0; i < length; i++)
        s[i] = (unsigned char)(i * 7 + 1);
}

/* Worked out elsewhere, in whole numbers, from the definition at the head of hash.c. */
static void has_the_values_of_its_definition(void **state)
{
    static const struct {
        size_t length;
        uint32_t hash;
    } want[] = {
        {0, 0xff3cd4bf},   {1, 0xe61c3190},   {3, 0xd13e9b27},    {4, 0x92147ef3},
        {7, 0x0329eccb},   {8, 0xf29eca4d},   {9, 0x24771ce8},    {16, 0xa47983e7},
        {63, 0x260a0715},  {64, 0x299afce2},  {65, 0x7d62d267},   {128, 0xbbccf495},
        {129, 0xcc6dd78b}, {200, 0xa297766d}, {1000, 0xb9230c86},
    };
    unsigned char s[1001];
    check_random r = {0};
    weir_hash_key key;
    (void)state;
    weir__hash_init(&key, draw, &r);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        fill(s + 1, want[i].length); /* at an odd address */
        CHECK_INT(weir__hash(&key, s + 1, want[i].length), want[i].hash);
    }
}

/* How often a pair agrees in its low 8 bits under `trials` random keys. */
static uint32_t agreements(check_random *r, const void *a, size_t na, const void *b, size_t nb,
                           uint32_t trials)
{
    uint32_t n = 0;
    weir_hash_key key;
    for (uint32_t i = 0; i < trials; i++) {
        weir__hash_init(&key, draw, r);
        n += ((weir__hash(&key, a, na) ^ weir__hash(&key, b, nb)) & 255) == 0;
    }
    return n;
}

/* 1 in 256 is expected; ten standard deviations are allowed. */
static void any_two_strings_collide_by_chance_alone(void **state)
{
    enum { TRIALS = 20480 };
    static const struct {
        size_t na, nb;
        size_t at; /* where b differs from a */
        unsigned flip;
    } pairs[] = {
        {8, 8, 0, 1},       {8, 8, 7, 128},     {5, 5, 4, 1},         {1, 2, 1, 0},
        {0, 1, 0, 0},       {16, 17, 16, 0},    {64, 64, 63, 1},      {64, 65, 64, 0},
        {65, 65, 0, 1},     {65, 65, 64, 1},    {200, 200, 0, 255},   {200, 200, 70, 16},
        {200, 200, 199, 1}, {128, 192, 128, 0}, {1000, 1000, 500, 1},
    };
    unsigned char a[1000] = {0}, b[1000] = {0};
    check_random r = {check_seed(200)};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        b[pairs[i].at] ^= (unsigned char)pairs[i].flip;
        uint32_t n = agreements(&r, a, pairs[i].na, b, pairs[i].nb, TRIALS);
        b[pairs[i].at] ^= (unsigned char)pairs[i].flip;
        if (n > TRIALS / 256 + 90)
            check_fail(__FILE__, __LINE__, "pair %zu collides %u times of %d", i, n, TRIALS);
    }
    /* blocks of a long string that change places */
    fill(a, 64);
    fill(b + 64, 64);
    CHECK(agreements(&r, a, 160, b, 160, TRIALS) <= TRIALS / 256 + 90);
}

/* Of a string: number i of a set. Returns its length. */
typedef size_t (*set_fn)(char *s, uint32_t i);

static size_t counters(char *s, uint32_t i)
{
    memcpy(s, &i, sizeof i);
    return sizeof i;
}

static size_t multiples(char *s, uint32_t i)
{
    uint64_t n = (uint64_t)i << 40;
    memcpy(s, &n, sizeof n);
    return sizeof n;
}

static size_t names(char *s, uint32_t i)
{
    return (size_t)sprintf(s, "user:%u", i);
}

static size_t late(char *s, uint32_t i)
{
    return (size_t)sprintf(s, "https://example.org/a/rather/long/path/that/all/have/%070u", i);
}

static size_t lengths(char *s, uint32_t i)
{
    memset(s, 0, i);
    return i;
}

static size_t two_words(char *s, uint32_t i)
{
    uint32_t w[4] = {i & 63, 0, 0, i >> 6};
    memcpy(s, w, sizeof w);
    return sizeof w;
}

/* Pairs of 2048 in as many buckets by low bits; of random strings it would be about 1024. */
static void regular_sets_spread_like_random_ones(void **state)
{
    enum { N = 2048, KEYS = 60 };
    static const struct {
        const char *name;
        set_fn fn;
    } sets[] = {{"counters", counters}, {"multiples", multiples}, {"names", names},
                {"late", late},         {"lengths", lengths},     {"two words", two_words}};
    static char s[4096];
    check_random r = {check_seed(201)};
    (void)state;
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        uint64_t pairs = 0;
        for (int i = 0; i < KEYS; i++) {
            uint32_t load[N] = {0};
            weir_hash_key key;
            weir__hash_init(&key, draw, &r);
            for (uint32_t n = 0; n < N; n++)
                pairs += load[weir__hash(&key, s, sets[k].fn(s, n)) % N]++;
        }
        if (pairs > (uint64_t)KEYS * N * 55 / 100) /* a tenth more: ten standard deviations */
            check_fail(__FILE__, __LINE__, "%s: %llu pairs", sets[k].name,
                       (unsigned long long)pairs);
        check_figure("pairs_per_key", pairs / KEYS);
    }
}

/* Who has seen one table's secrets has nothing against the next one. */
static void what_floods_one_key_does_not_flood_another(void **state)
{
    enum { N = 256, MASK = 1023 };
    check_random r = {check_seed(202)};
    weir_hash_key mine, other;
    uint32_t found[N], n = 0, load[MASK + 1] = {0}, most = 0;
    (void)state;
    weir__hash_init(&mine, draw, &r);
    weir__hash_init(&other, draw, &r);
    for (uint32_t i = 0; n < N; i++)
        if ((weir__hash(&mine, &i, sizeof i) & MASK) == 7)
            found[n++] = i;
    for (uint32_t i = 0; i < N; i++) {
        uint32_t l = ++load[weir__hash(&other, &found[i], sizeof found[i]) & MASK];
        most = l > most ? l : most;
    }
    CHECK(most <= 8);
}

int main(void)
{
    const struct CMUnitTest hash[] = {
        cmocka_unit_test(has_the_values_of_its_definition),
        cmocka_unit_test(any_two_strings_collide_by_chance_alone),
        cmocka_unit_test(regular_sets_spread_like_random_ones),
        cmocka_unit_test(what_floods_one_key_does_not_flood_another),
    };
    return CHECK_MAIN(hash);
}
