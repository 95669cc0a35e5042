/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Spans: loading what an earlier mapping stored, making, ending, taking blocks from
 * and giving them back to.
 */
#include "heap/spans.h"

#include <errno.h>

#include "base/watch.h"
#include "heap/descriptor.h"
#include "heap/runs.h"

#define LOOKS 16 /* at spans, or stretches of units without one, in one go */

/* ---- Descriptors ------------------------------------------------------- */

/* Durable at once: a span outlives the transaction that it was made for. */
static void describe(struct vi_heap *heap, uint64_t head, uint64_t descriptor)
{
    vi_heap_store_now(heap, &heap->area.descriptors[head], descriptor);
}

/* ---- Loading, making, ending ------------------------------------------- */

uint32_t vi_span_allocated(const struct vi_heap *heap, uint64_t head, uint64_t descriptor,
                           uint32_t from)
{
    const uint8_t *marks = heap->area.marks + head * VI_MARKS_PER_UNIT;
    const uint32_t blocks = vi_span_blocks(descriptor);

    for (; from < blocks; from = (from | 7) + 1) {
        const uint64_t word =
            __atomic_load_n((const uint64_t *)(marks + (from & ~7u)), __ATOMIC_RELAXED) >>
            from % 8 * 8;

        if (word != 0)
            return from + (uint32_t)__builtin_ctzll(word) / 8;
    }
    return blocks;
}

/* Units that the map speaks of. */
static uint64_t mapped(uint64_t descriptor)
{
    return VI_SPAN_KIND(descriptor) == VI_SPAN_LARGE ? 1 : VI_SPAN_UNITS(descriptor);
}

/* The list that a span is in while it has free blocks. */
static uint32_t *list_of(struct vi_heap *heap, uint64_t head)
{
    return &heap->partial[heap->unit[head].shard][vi_map_class(heap->map[head])];
}

/* The states of the blocks, which are all free as yet, from their marks. */
static void load(struct vi_heap *heap, uint64_t head, uint64_t d, unsigned shard)
{
    struct vi_unit *u = &heap->unit[head];

    u->free = u->blocks = (uint16_t)vi_span_blocks(d);
    u->from = 0;
    u->shard = (uint8_t)shard;
    u->grown = 0;
    for (uint32_t i = 0; (i = vi_span_allocated(heap, head, d, i)) < u->blocks; i++) {
        vi_block_become(heap, vi_block(head, i), VI_BLOCK_LIVE);
        u->free--;
    }
    for (uint64_t back = 0; back < mapped(d); back++)
        __atomic_store_n(&heap->map[head + back], (uint16_t)(back << 8 | (vi_span_class(d) + 1)),
                         __ATOMIC_RELEASE);
    if (u->free != 0)
        vi_list_add(heap, list_of(heap, head), head);
}

unsigned vi_span_load(struct vi_heap *heap, uint64_t unit)
{
    uint64_t head = unit, d;
    unsigned entry;

    pthread_mutex_lock(&heap->lock);
    while ((d = vi_descriptor(heap, head)) == 0 && head > 0 && unit - head < VI_SMALL_UNITS)
        head--;
    if (d != 0 && heap->map[head] == 0 && vi_span_sound(heap, head, d) &&
        head + VI_SPAN_UNITS(d) <= heap->limit) /* else it was loaded when it was made */
        load(heap, head, d, 0);
    entry = heap->map[unit];
    pthread_mutex_unlock(&heap->lock);
    return entry;
}

/* A loaded span whose blocks are all free. */
static void end(struct vi_heap *heap, uint64_t head)
{
    const uint64_t d = vi_descriptor(heap, head);

    vi_list_remove(heap, list_of(heap, head), head);
    for (uint64_t unit = head; unit < head + mapped(d); unit++)
        __atomic_store_n(&heap->map[unit], 0, __ATOMIC_RELAXED);
    describe(heap, head, 0);
    if (vi_runs_unknown(heap, head))
        heap->overlooked = true; /* the look through the heap will find them */
    else
        vi_runs_put(heap, head, VI_SPAN_UNITS(d));
}

bool vi_spans_load_some(struct vi_heap *heap, unsigned shard)
{
    for (int tries = 0; tries < LOOKS; tries++) {
        const uint64_t head = heap->loaded_to;
        uint64_t d;

        heap->loaded_to = vi_descriptor_pass(heap, head, heap->frontier);
        if (heap->loaded_to >= heap->frontier) /* a span may lie over it */
            return false;
        if (heap->loaded_to != head)
            continue;
        d = vi_descriptor(heap, head);
        if (heap->map[head] == 0)
            load(heap, head, d, shard);
        if (heap->unit[head].free == heap->unit[head].blocks)
            end(heap, head);
        heap->loaded_to += VI_SPAN_UNITS(d);
    }
    return true;
}

uint64_t vi_span_make(struct vi_heap *heap, unsigned kind, unsigned class, uint64_t units,
                      unsigned shard)
{
    const uint64_t head = vi_runs_take(heap, units);

    if (head == VI_NONE)
        return VI_NONE;
    describe(heap, head, VI_SPAN(kind, units, class));
    load(heap, head, VI_SPAN(kind, units, class), shard);
    return heap->unit[head].free != 0 ? head : VI_NONE; /* a damaged file: marks of free units */
}

/* One store: the units behind are free until then, and have no descriptor. */
bool vi_span_extend(struct vi_heap *heap, uint64_t head, uint64_t units)
{
    const uint64_t old = VI_SPAN_UNITS(vi_descriptor(heap, head));

    if (old >= units)
        return true;
    if (!vi_runs_take_at(heap, head + old, units - old))
        return false;
    describe(heap, head, VI_SPAN(VI_SPAN_LARGE, units, 0));
    heap->unit[head].grown = 1;
    return true;
}

/* A span of another shard becomes this one's; `last`: even if that has no other. */
static bool take_over(struct vi_heap *heap, unsigned class, unsigned shard, bool last)
{
    for (unsigned other = 0; other < VI_SHARDS; other++) {
        const uint64_t head = heap->partial[other][class] - (uint64_t)1;

        if (head == VI_NONE || (!last && heap->unit[head].next == 0))
            continue;
        vi_list_remove(heap, list_of(heap, head), head);
        heap->unit[head].shard = (uint8_t)shard;
        vi_list_add(heap, list_of(heap, head), head);
        return true;
    }
    return false;
}

uint64_t vi_span_find(struct vi_heap *heap, unsigned class, unsigned shard)
{
    const uint32_t size = vi_classes[class].size, *partial = &heap->partial[shard][class];
    uint64_t units = vi_classes[class].units;

    /* In a small heap a span is at most a 128th of it, so that every class can have one;
     * at least one block. */
    while (units > heap->units / 128 && units / 2 * VI_UNIT >= size)
        units /= 2;
    while (*partial == 0 && !take_over(heap, class, shard, false)) {
        const bool more = vi_spans_load_some(heap, shard);

        if (*partial == 0 && vi_span_make(heap, VI_SPAN_SMALL, class, units, shard) == VI_NONE &&
            !take_over(heap, class, shard, true) && (errno != 0 || !more))
            return VI_NONE;
    }
    return *partial - 1;
}

/* ---- Blocks ------------------------------------------------------------ */

void vi_span_take(struct vi_heap *heap, uint64_t head, struct vi_magazine *magazine, uint32_t most)
{
    struct vi_unit *u = &heap->unit[head];
    uint64_t left = most < u->free ? most : u->free;

    magazine->count = left;
    u->free -= (uint16_t)left;
    for (; left > 0; u->from++) {
        const uint64_t block = vi_block(head, u->from);

        if (vi_block_state(heap, block) != VI_BLOCK_FREE)
            continue;
        vi_block_become(heap, block, VI_BLOCK_KEPT);
        magazine->block[--left] = block; /* the first one last: it is taken next */
    }
    if (u->free == 0)
        vi_list_remove(heap, list_of(heap, head), head);
}

void vi_span_put(struct vi_heap *heap, uint64_t block)
{
    const uint64_t head = block >> 16;
    struct vi_unit *u = &heap->unit[head];

    if (heap->watched) /* not yet, if the transaction that freed it had allocated it */
        vi_block_hide(heap, block);
    vi_block_become(heap, block, VI_BLOCK_FREE);
    if (u->from > (block & 0xffffu))
        u->from = (uint16_t)block;
    if (u->free++ == 0)
        vi_list_add(heap, list_of(heap, head), head);
    if (u->free == u->blocks)
        end(heap, head);
}

void vi_block_hide(const struct vi_heap *heap, uint64_t block)
{
    const uint64_t d = vi_descriptor(heap, block >> 16);

    vi_watch_hide(heap->area.base + vi_block_offset(block, vi_span_class(d)),
                  vi_span_block_size(d));
}
