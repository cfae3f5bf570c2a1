/* base/hash.c - multilinear hashing, and a polynomial over the blocks of long strings.
 *
 * A block is read as words of 32 bits, little endian, the last ones filled up with zeros:
 *
 *   sum = factor[0] + length * factor[1] + low(rest) * factor[2] + high(rest) * factor[3]
 *         + word[0] * factor[4] + word[1] * factor[5] ...      modulo 2^64; the hash is
 * low(mix(sum))
 *
 * `rest` is 0 for a string of one block. All but the last block of a longer one are hashed each by
 * itself (without length and rest, to sum >> 32) and become the coefficients of a polynomial modulo
 * 2^61 - 1, whose value at the secret point is `rest`. No product waits for another one: that is
 * what is fast. Without the mix, keys that count up would fall into few buckets under some factors.
 */
#include "hash.h"

#include "random.h"

#define PRIME ((UINT64_C(1) << 61) - 1)

void weir__hash_init(weir_hash_key *key, uint64_t (*random)(void *ctx), void *ctx)
{
    for (int i = 0; i < WEIR_HASH_WORDS; i++)
        key->factor[i] = random(ctx);
    key->point = random(ctx) & PRIME;
}

/* Compilers make one load of it where that is the machine's order. */
static inline uint64_t word(const unsigned char *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static inline uint64_t two(const uint64_t *factor, uint64_t w)
{
    return factor[0] * (uint32_t)w + factor[1] * (w >> 32);
}

static inline uint64_t block(const weir_hash_key *key, const unsigned char *p, size_t n)
{
    const uint64_t *factor = key->factor + 4;
    uint64_t sum = key->factor[0], last = 0;
    for (; n >= 8; p += 8, n -= 8, factor += 2)
        sum += two(factor, word(p));
    if (n == 0)
        return sum;
    while (n > 0)
        last = last << 8 | p[--n];
    return sum + two(factor, last);
}

static inline uint32_t finish(const weir_hash_key *key, const unsigned char *p, size_t left,
                              uint64_t sum, size_t length)
{
    return (uint32_t)weir__mix(sum + block(key, p, left) + (uint32_t)length * key->factor[1]);
}

/* By itself, so that short strings do not pay for its registers. */
static __attribute__((noinline)) uint32_t hash_long(const weir_hash_key *key,
                                                    const unsigned char *p, size_t length)
{
    uint64_t value = 0;
    size_t left = length;
    for (; left > WEIR_HASH_BLOCK; left -= WEIR_HASH_BLOCK, p += WEIR_HASH_BLOCK) {
        unsigned __int128 x = (unsigned __int128)value * key->point;
        x += block(key, p, WEIR_HASH_BLOCK) >> 32;
        value = (uint64_t)(x & PRIME) + (uint64_t)(x >> 61);
        value = value < PRIME ? value : value - PRIME;
    }
    return finish(key, p, left, two(key->factor + 2, value), length);
}

uint32_t weir__hash(const weir_hash_key *key, const void *data, size_t length)
{
    if (length > WEIR_HASH_BLOCK)
        return hash_long(key, data, length);
    return finish(key, data, length, 0, length);
}
