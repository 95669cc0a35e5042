/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The heap of rvm/rds.h as it lies in recoverable memory, and its one writer.  A block is a whole number of
 * chunks, with the same word at both ends; a free one has links behind the first:
 *
 *      | word | next | previous | ...        | word |
 *
 * Words that say "used" stand before the first block and behind the last.
 */
#ifndef VI_RVM_RDS_HEAP_H
#define VI_RVM_RDS_HEAP_H

#include <rvm/rds.h>
#include <stdbool.h>
#include <stdint.h>

#define RDS_MAGIC 0x3130305350414548u /* "HEAPS001" read as a little-endian number */
#define RDS_USED 0x75736564u          /* upper half of a word; the lower one: how many chunks */
#define RDS_FREE 0x66726565u
#define RDS_AROUND (2 * sizeof(uint64_t))
#define RDS_SMALLEST 32u /* two words, two links */

struct rds_block {
    uint64_t word;
    struct rds_block *next, *previous; /* of a free one */
};

struct rds_heap {
    uint64_t magic;
    uint64_t length; /* of all of it */
    uint64_t chunk_size;
    uint64_t lists;
    uint64_t used;            /* chunks in blocks that are used */
    uint64_t chunks;          /* in all blocks */
    struct rds_block *list[]; /* n - 1: blocks of n chunks; the last one: and larger ones */
};

/* One call's stores: after one has failed none is made. */
struct rds_writer {
    rvm_tid_t *tid;
    rvm_tid_t own;
    int error;
};

struct rds_block *rds_heap_first(const struct rds_heap *heap);
struct rds_block *rds_heap_next(const struct rds_heap *heap, const struct rds_block *block);
uint64_t rds_heap_chunks(const struct rds_heap *heap, uint64_t size);
/* 0, or what is wrong with it: EBAD_ARGS, ECORRUPT. */
int rds_heap_judge(const struct rds_heap *heap, const struct rds_block *block);

void rds_heap_format(struct rds_writer *writer, struct rds_heap *heap, uint64_t length,
                     uint64_t chunk_size, uint64_t lists);
/* A free block that is large enough; NULL: there is none. */
struct rds_block *rds_heap_find(const struct rds_heap *heap, uint64_t chunks);
/* Makes it a used one of that many chunks; what is left of it stays free. */
void rds_heap_take(struct rds_writer *writer, struct rds_heap *heap, struct rds_block *block,
                   uint64_t chunks);
/* Returns how many neighbours it was joined with: none unless `join`. */
unsigned rds_heap_give(struct rds_writer *writer, struct rds_heap *heap, struct rds_block *block,
                       bool join);

static inline uint64_t rds_chunks_of(const struct rds_block *block)
{
    return (uint32_t)block->word;
}

static inline bool rds_is_free(const struct rds_block *block)
{
    return block->word >> 32 == RDS_FREE;
}

#endif
