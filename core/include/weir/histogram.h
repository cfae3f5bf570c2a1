/* weir/histogram.h - log-linear histogram of durations, four buckets to an octave.
 *
 * Relative error at most 1/8; 1 ns to 2^40 ns (18 minutes), larger values in the last bucket.
 * Fixed size, no allocation. Idea: HdrHistogram with two significant bits.
 */
#ifndef WEIR_HISTOGRAM_H
#define WEIR_HISTOGRAM_H
#include <stdint.h>

#include <weir/begin.h>

#define WEIR_HISTOGRAM_BUCKETS 160

typedef struct weir_histogram {
    uint64_t count, sum, max;
    uint32_t _bucket[WEIR_HISTOGRAM_BUCKETS];
} weir_histogram;

/* Empty; so is one of zeros. */
void weir_histogram_init(weir_histogram *h);

/* Count `value`, in ns or whatever the caller counts. O(1). */
void weir_histogram_record(weir_histogram *h, uint64_t value);

/* The value at or below which a share `q` (0..1) of all lies; 0 if empty. */
uint64_t weir_histogram_quantile(const weir_histogram *h, double q);

#include <weir/end.h>
#endif
