/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hashes: of messages and histories (not secret, 64 bits, to find what differs by accident), and
 * of cookies (SipHash-2-4, Aumasson and Bernstein 2012, under a key that never leaves).
 */
#ifndef VI_GRAMS_HASH_H
#define VI_GRAMS_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Of a message; `seed` tells apart what is not in its bytes. */
uint64_t vi_hash_message(uint64_t seed, const void *data, size_t length);

/* A slot's history after one more request and its response. */
uint64_t vi_hash_history(uint64_t history, uint64_t request, uint64_t response);

uint64_t vi_hash_sip(const uint64_t key[2], const void *data, size_t length);

#endif
