/* base/random.h - the generator of both envs: splitmix64, 64 bits of state.
 *
 * For jitter and schedules, not for secrets. Any seed is good, 0 too. A stream is its state:
 * copy the word to fork it. (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014.)
 */
#ifndef WEIR_BASE_RANDOM_H
#define WEIR_BASE_RANDOM_H
#include <stdint.h>

/* Every bit of `x` moves about half the bits of the result. */
static inline uint64_t weir__mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t weir__random_next(uint64_t *state)
{
    return weir__mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* An index below `n`; the bias, n / 2^32, is below what a schedule could show. */
static inline uint32_t weir__random_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(((weir__random_next(state) >> 32) * n) >> 32);
}

#endif
