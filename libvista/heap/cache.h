/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What slots keep: free blocks that their transactions take and give without a lock; one is taken
 * only on the way from or to a span.
 */
#ifndef VI_HEAP_CACHE_H
#define VI_HEAP_CACHE_H

#include "heap/spans.h"

/* Fills the slot's empty magazine; false as vi_span_find. */
bool vi_cache_fill(struct vi_heap *heap, uint32_t slot, unsigned class);
/* The slot keeps a block of its transaction; false: it has enough of these. */
static inline bool vi_cache_try_put(struct vi_heap *heap, uint32_t slot, unsigned class,
                                    uint64_t block)
{
    struct vi_cache *cache = &heap->cache[slot];
    struct vi_magazine *magazine = &cache->magazine[class];

    if (magazine->count >= heap->capacity[class])
        return false;
    cache->held |= (uint64_t)1 << class;
    magazine->block[magazine->count++] = block;
    vi_block_become(heap, block, VI_BLOCK_KEPT);
    return true;
}

/* A block is free that the slot's transaction had, which has ended. */
void vi_cache_put(struct vi_heap *heap, uint32_t slot, unsigned class, uint64_t block);
/* The same for one that it allocated and freed, while it is open. */
void vi_cache_put_back(struct vi_heap *heap, uint32_t slot, unsigned class, uint64_t block);

/* Gives back the free blocks that a slot keeps; its transaction, if one is open, is the
 * caller's. */
void vi_cache_release(void *heap, uint32_t slot);

#endif
