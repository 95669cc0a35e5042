/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Debit-credit, TPC-B's transaction as the dissertation has it (3.5.1), apart from
 * how a peer stores it: the records, and the draw of a transfer.
 */
#ifndef BENCH_BANK_H
#define BENCH_BANK_H

#include <stdint.h>

#include "random.h"

#define BANK_TELLERS 10u      /* a branch */
#define BANK_ACCOUNTS 100000u /* a branch */
#define BANK_HISTORY 2097152u /* bytes of each thread's circular buffer, as Vista's */
#define BANK_DELTA 999999u    /* greatest amount moved */
#define BANK_SIZE (50u << 20) /* five branches */

/* An account, a teller or a branch. */
struct bank_record {
    int64_t balance;
    char filler[92];
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct bank_record) == 100, "record size");

struct bank_row {
    uint64_t number; /* of this transaction in its history, from 0 */
    int64_t delta;
    uint32_t account, teller, branch;
    char filler[22];
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct bank_row) == 50, "history row size");

#define BANK_ROWS (BANK_HISTORY / sizeof(struct bank_row))

struct bank_head {
    uint64_t count; /* rows ever written */
    uint64_t next;  /* where the next one goes: count modulo BANK_ROWS */
};

struct bank_transfer {
    uint32_t account; /* of all */
    uint32_t teller;  /* of all */
    uint32_t branch;  /* the teller's */
    uint32_t account_branch;
    int32_t delta;
};

/* A teller of `count` branches from `first` on, and an account: of the teller's
 * branch in 85 of 100, else of another. */
static inline struct bank_transfer bank_draw(struct rng *rng, uint32_t first, uint32_t count)
{
    const uint64_t a = rng_next(rng), b = rng_next(rng);
    struct bank_transfer t;

    t.teller = first * BANK_TELLERS + rng_scale((uint32_t)a, count * BANK_TELLERS);
    t.branch = t.teller / BANK_TELLERS;
    t.account_branch = t.branch;
    if (count > 1 && (uint32_t)(a >> 32) >= 0xd999999au) { /* 0.85 * 2^32 */
        t.account_branch = first + (uint32_t)(((a >> 32) - 0xd999999au) % (count - 1));
        t.account_branch += t.account_branch >= t.branch;
    }
    t.account = t.account_branch * BANK_ACCOUNTS + rng_scale((uint32_t)b, BANK_ACCOUNTS);
    t.delta = (int32_t)rng_scale((uint32_t)(b >> 32), 2 * BANK_DELTA + 1) - (int32_t)BANK_DELTA;
    return t;
}

static inline uint32_t bank_branches(size_t size, unsigned threads)
{
    const size_t fit = size / (BANK_ACCOUNTS * sizeof(struct bank_record));
    const size_t most = UINT32_MAX / BANK_ACCOUNTS;

    return (uint32_t)(fit < threads ? threads : fit > most ? most : fit);
}

#endif
