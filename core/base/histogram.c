/* base/histogram.c - log-linear histogram of durations, four buckets to an octave.
 *
 * Bucket i < 8 holds the value i alone. Above, the octave [2^e, 2^(e+1)) is cut into four
 * equal buckets of width 2^(e-2); a bucket answers with its middle, so the answer is off by
 * half a width, 1/8 of the value, at most. The last bucket also takes whatever is larger and
 * answers with the maximum.
 * A bucket that is full halves all of them: the shape, which is what quantiles are read from,
 * stays; `count`, `sum` and `max` are of all values ever.
 */
#include <weir/histogram.h>

#include <assert.h>
#include <string.h>

#define SUB_BITS 2u
#define SUBS (1u << SUB_BITS)

static_assert(WEIR_HISTOGRAM_BUCKETS % SUBS == 0, "octaves are whole");

static uint32_t bucket_of(uint64_t value)
{
    uint32_t octave, i;

    if (value < SUBS)
        return (uint32_t)value;
    octave = 63u - (uint32_t)__builtin_clzll(value);
    i = (octave - SUB_BITS + 1u) * SUBS + ((uint32_t)(value >> (octave - SUB_BITS)) & (SUBS - 1u));
    return i < WEIR_HISTOGRAM_BUCKETS ? i : WEIR_HISTOGRAM_BUCKETS - 1u;
}

static uint64_t middle_of(uint32_t i)
{
    uint32_t shift;

    if (i < 2 * SUBS)
        return i;
    shift = i / SUBS - 1u;
    return ((uint64_t)(SUBS + i % SUBS) << shift) + (UINT64_C(1) << (shift - 1u));
}

static void halve(weir_histogram *h)
{
    uint32_t i;
    for (i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
        h->_bucket[i] -= h->_bucket[i] / 2; /* rounded up: a value seen stays seen */
}

void weir_histogram_init(weir_histogram *h)
{
    memset(h, 0, sizeof *h);
}

void weir_histogram_record(weir_histogram *h, uint64_t value)
{
    uint32_t *bucket = &h->_bucket[bucket_of(value)];

    if (*bucket == UINT32_MAX)
        halve(h);
    ++*bucket;
    h->count++;
    h->sum = h->sum > UINT64_MAX - value ? UINT64_MAX : h->sum + value;
    if (value > h->max)
        h->max = value;
}

uint64_t weir_histogram_quantile(const weir_histogram *h, double q)
{
    uint64_t total = 0, rank, seen = 0, middle;
    uint32_t i;

    for (i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
        total += h->_bucket[i];
    if (total == 0)
        return 0;
    if (q >= 1.0)
        return h->max;
    rank = q > 0.0 ? (uint64_t)(q * (double)total) : 0;
    if (rank == 0 || (double)rank < q * (double)total)
        rank++; /* rounded up, and the smallest value has rank 1 */
    for (i = 0; i + 1u < WEIR_HISTOGRAM_BUCKETS; i++) {
        seen += h->_bucket[i];
        if (seen >= rank) {
            middle = middle_of(i);
            return middle < h->max ? middle : h->max;
        }
    }
    return h->max;
}
