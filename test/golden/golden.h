/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is in a golden segment, so that both who makes it (generate.c) and who reads it,
 * in every later version (test_golden.c), know.  A segment is at a state, a number: the
 * transactions up to it are committed.  All else follows from the number.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stddef.h>
#include <stdint.h>

/* ---- Flat: 256 KiB ------------------------------------------------------ */

#define GOLDEN_FLAT ((size_t)256 << 10)
#define GOLDEN_RANGES 4

/* Transaction `state` stores its number to these: short ranges, and one of 40,000 bytes
 * that needs a chunk of the log. */
static inline size_t golden_at(unsigned state, unsigned range)
{
    return (size_t)state * 7919 % 200000 + (size_t)range * 1021;
}

static inline size_t golden_length(unsigned state, unsigned range)
{
    return range == GOLDEN_RANGES - 1 ? 40000 : (state * 13 + range * 57) % 300;
}

#define GOLDEN_GROUP 13u /* the state of both segments of disk-group1 */

/* ---- Heap: the root ----------------------------------------------------- */

#define GOLDEN_BLOCKS 24

/* Transaction `state` frees block state % BLOCKS, if there is one, and allocates another in
 * its place; each third allocates a large one. */
struct golden_root {
    uint64_t state;
    struct golden_block {
        uint64_t offset; /* of data */
        uint64_t size;   /* 0: none */
        uint64_t byte;   /* that it is filled with */
    } blocks[GOLDEN_BLOCKS];
};

static inline size_t golden_size(unsigned state)
{
    return state % 3 == 0 ? 9000 + state * 700 : 8 + (size_t)state * state * 11 % 3000;
}

#endif
