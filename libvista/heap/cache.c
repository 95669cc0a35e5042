/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a slot keeps: for each size class some free blocks, which its transactions
 * take from and give to without a lock.  They come from spans and go back to them
 * many at once.
 *
 * Rule 6 of the log: a block that the open transaction has allocated and freed may
 * lie in its slot's magazine, for that transaction alone; so nothing leaves a magazine
 * while `in_log` is set, which settling clears.
 */
#include "heap/cache.h"

#include <string.h>

#include "heap/spans.h"

/* The first `count` blocks, which have been there longest, go back. */
static void give_back(struct vi_heap *heap, struct vi_magazine *magazine, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        vi_span_put(heap, magazine->block[i]);
    magazine->count -= count;
    memmove(magazine->block, magazine->block + count, magazine->count * sizeof magazine->block[0]);
}

bool vi_cache_fill(struct vi_heap *heap, uint32_t slot, unsigned class)
{
    struct vi_cache *cache = &heap->cache[slot];
    uint64_t head;

    pthread_mutex_lock(&heap->lock);
    head = vi_span_find(heap, class, slot % VI_SHARDS);
    if (head != VI_NONE)
        vi_span_take(heap, head, &cache->magazine[class], (heap->capacity[class] + 1u) / 2);
    pthread_mutex_unlock(&heap->lock);
    cache->held |= (uint64_t)1 << class;
    return head != VI_NONE;
}

void vi_cache_put(struct vi_heap *heap, uint32_t slot, unsigned class, uint64_t block)
{
    struct vi_magazine *magazine = &heap->cache[slot].magazine[class];

    if (vi_cache_try_put(heap, slot, class, block))
        return;
    pthread_mutex_lock(&heap->lock);
    give_back(heap, magazine, (heap->capacity[class] + 1u) / 2);
    if (class == VI_LARGE)
        vi_span_put(heap, block);
    pthread_mutex_unlock(&heap->lock);
    vi_cache_try_put(heap, slot, class, block); /* not a large one */
}

void vi_cache_put_back(struct vi_heap *heap, uint32_t slot, unsigned class, uint64_t block)
{
    if (vi_cache_try_put(heap, slot, class, block))
        heap->cache[slot].in_log = true;
    else
        vi_block_become(heap, block, VI_BLOCK_DROPPED(slot));
}

void vi_cache_release(void *heap_of_slot, uint32_t slot)
{
    struct vi_heap *heap = heap_of_slot;
    struct vi_cache *cache = &heap->cache[slot];

    if (cache->held == 0 || cache->in_log)
        return;
    pthread_mutex_lock(&heap->lock);
    for (; cache->held != 0; cache->held &= cache->held - 1) {
        const unsigned class = (unsigned)__builtin_ctzll(cache->held);

        give_back(heap, &cache->magazine[class], cache->magazine[class].count);
    }
    pthread_mutex_unlock(&heap->lock);
}
