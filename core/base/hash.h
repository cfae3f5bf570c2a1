/* base/hash.h - a keyed hash of bytes for tables, so that no choice of keys is a bad one.
 *
 * A multilinear sum under secret factors, then mixed. Two different strings of up to 64 bytes that
 * were chosen without knowing the secrets have one sum with a chance of 2^-33, longer ones of
 * 2^-30; what is equal in nothing but the sum's upper or lower bits is told apart by the mixing. So
 * the chains of a table are as those of random strings whatever it is fed, as with SipHash-1-3, for
 * half of its time. It is no cryptographic hash: show nobody a hash. (Lemire and Kaser,
 * "Strongly universal string hashing is fast", 2014; Carter and Wegman, "Universal classes of hash
 * functions", 1979.)
 */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H
#include <stddef.h>
#include <stdint.h>

#include <weir/begin.h>

#define WEIR_HASH_BLOCK 64 /* bytes; a multiple of 8 */

/* 32 bits each: of the block, its length, two more and a constant. */
#define WEIR_HASH_WORDS (WEIR_HASH_BLOCK / 4 + 4)

/* The secrets: a factor for each word of 32 bits, and a point. */
typedef struct weir_hash_key {
    uint64_t factor[WEIR_HASH_WORDS];
    uint64_t point;
} weir_hash_key;

/* From chance: an env's random and its ctx. */
void weir__hash_init(weir_hash_key *key, uint64_t (*random)(void *ctx), void *ctx);

uint32_t weir__hash(const weir_hash_key *key, const void *data, size_t length);

#include <weir/end.h>
#endif
