/* base/hash.c - SipHash-1-3. */
#include "hash.h"

void weir__hash_init(weir_hash_key *key, uint64_t k0, uint64_t k1)
{
    key->v[0] = k0 ^ UINT64_C(0x736f6d6570736575);
    key->v[1] = k1 ^ UINT64_C(0x646f72616e646f6d);
    key->v[2] = k0 ^ UINT64_C(0x6c7967656e657261);
    key->v[3] = k1 ^ UINT64_C(0x7465646279746573);
}

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

/* Little endian everywhere; compilers make one load of it where that is the machine's order. */
static inline uint64_t word(const unsigned char *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static inline void absorb(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    mix(v);
    v[0] ^= m;
}

uint64_t weir__hash(const weir_hash_key *key, const void *data, size_t length)
{
    const unsigned char *p = data;
    uint64_t v[4] = {key->v[0], key->v[1], key->v[2], key->v[3]};
    uint64_t last = (uint64_t)length << 56;
    for (size_t n = length / 8; n > 0; n--, p += 8)
        absorb(v, word(p));
    for (unsigned i = 0; i < length % 8; i++)
        last |= (uint64_t)p[i] << 8 * i;
    absorb(v, last);
    v[2] ^= 0xff;
    mix(v);
    mix(v);
    mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
