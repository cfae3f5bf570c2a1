/* base/hash.h - a keyed hash of bytes: SipHash-1-3, 64 bits.
 *
 * A pseudo-random function: who does not know the key cannot choose keys that collide, so a table
 * with a key of its own stays O(1) whatever it is fed. One round a word and three at the end, as
 * Rust and Python hash. (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.)
 */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H
#include <stddef.h>
#include <stdint.h>

/* The state that every hash begins with. */
typedef struct weir_hash_key {
    uint64_t v[4];
} weir_hash_key;

/* 128 bits of key, from chance. */
void weir__hash_init(weir_hash_key *key, uint64_t k0, uint64_t k1);

uint64_t weir__hash(const weir_hash_key *key, const void *data, size_t length);

#endif
