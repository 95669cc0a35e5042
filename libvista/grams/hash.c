/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/hash.h"

#include <string.h>

/* Odd, of random bits: digits of the square roots of 2 and 3. */
#define FIRST 0x6a09e667f3bcc909u
#define SECOND 0xbb67ae8584caa73bu

/* Both halves of the product, so that every bit of `word` reaches every bit. */
static uint64_t fold(uint64_t hash, uint64_t word)
{
    const unsigned __int128 product = (unsigned __int128)(hash ^ word ^ FIRST) * SECOND;

    return (uint64_t)product ^ (uint64_t)(product >> 64) ^ (hash << 1 | hash >> 63);
}

uint64_t vi_hash_message(uint64_t seed, const void *data, size_t length)
{
    const unsigned char *at = data;
    uint64_t hash = fold(seed, length), word;

    for (; length >= sizeof word; at += sizeof word, length -= sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = fold(hash, word);
    }
    word = 0;
    if (length > 0)
        memcpy(&word, at, length);
    return fold(hash, word);
}

uint64_t vi_hash_history(uint64_t history, uint64_t request, uint64_t response)
{
    return fold(fold(fold(SECOND, history), request), response);
}

static uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

static void round_sip(uint64_t v[4])
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

static void absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    round_sip(v);
    round_sip(v);
    v[0] ^= word;
}

uint64_t vi_hash_sip(const uint64_t key[2], const void *data, size_t length)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)length << 56, word;
    const unsigned char *at = data;

    for (; length >= sizeof word; at += sizeof word, length -= sizeof word) {
        memcpy(&word, at, sizeof word);
        absorb(v, word);
    }
    for (size_t i = 0; i < length; i++)
        last |= (uint64_t)at[i] << 8 * i;
    absorb(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        round_sip(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
