/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the heap's records mean: the stored and the volatile effect of each.  How a
 * record names its block is told in heap.c.
 */
#include "heap/spans.h"

static uint64_t block_of(const struct vi_record *record)
{
    return vi_block(record->offset / VI_UNIT - (record->length >> 16), record->length & 0xffffu);
}

/* ---- Blocks ------------------------------------------------------------ */

static bool block_valid(void *context, const struct vi_record *record)
{
    const struct vi_heap *heap = context;
    const uint64_t block = block_of(record), head = block >> 16;
    uint64_t d;

    if (head >= heap->units)
        return false;
    d = vi_descriptor(heap, head);
    return vi_descriptor_valid(heap, head, d) && (block & 0xffffu) < vi_span_blocks(d) &&
           vi_block_offset(block, vi_span_class(d)) == record->offset;
}

static uint8_t *mark_of(void *context, const struct vi_record *record)
{
    return ((struct vi_heap *)context)->place.marks + vi_block_cell(block_of(record));
}

static uint64_t *block_word(void *context, const struct vi_record *record)
{
    return (uint64_t *)((uintptr_t)mark_of(context, record) & ~(uintptr_t)7);
}

static bool block_extent(void *context, const struct vi_record *record, uint64_t *offset,
                         uint64_t *length)
{
    *offset = record->offset;
    *length = vi_span_block_size(vi_descriptor(context, block_of(record) >> 16));
    return true;
}

static void set_mark(void *context, const struct vi_record *record)
{
    vi_heap_store(mark_of(context, record), 1, VI_MARK_ALLOCATED);
}

static void clear_mark(void *context, const struct vi_record *record)
{
    vi_heap_store(mark_of(context, record), 1, VI_MARK_FREE);
}

static void hide(const struct vi_heap *heap, const struct vi_record *record)
{
    if (heap->watched)
        vi_block_hide(heap, block_of(record));
}

static void put(struct vi_heap *heap, const struct vi_record *record)
{
    hide(heap, record);
    vi_cache_put(heap, record->slot, vi_map_class(vi_map_of(heap, record->offset)),
                 block_of(record));
}

/* A block may have several of these, with cancellations between: the first one settles
 * it, and when its turn comes at the others it is not this transaction's any more. */
static void alloc_settle(void *context, const struct vi_record *record, bool committed)
{
    const uint32_t state = vi_block_state(context, block_of(record));

    if (committed && state == VI_BLOCK_TAKEN(record->slot))
        vi_block_become(context, block_of(record), VI_BLOCK_LIVE);
    else if (state == VI_BLOCK_TAKEN(record->slot) || state == VI_BLOCK_DROPPED(record->slot))
        put(context, record);
    else if (state == VI_BLOCK_KEPT) /* it was freed again, but nothing undone till now */
        hide(context, record);
}

static void cancel_settle(void *context, const struct vi_record *record, bool committed)
{
    (void)committed;
    ((struct vi_heap *)context)->cache[record->slot].named = false;
}

static void free_settle(void *context, const struct vi_record *record, bool committed)
{
    if (vi_block_state(context, block_of(record)) != VI_BLOCK_FREEING)
        return; /* two threads have freed it at the same instant: once is enough */
    if (committed)
        put(context, record);
    else
        vi_block_become(context, block_of(record), VI_BLOCK_LIVE);
}

/* ---- The root ---------------------------------------------------------- */

static bool root_valid(void *context, const struct vi_record *record)
{
    const struct vi_heap *heap = context;
    const struct vi_root *both = (const struct vi_root *)record->payload;
    const uint64_t size = heap->units * VI_UNIT;

    for (int i = 0; i < 2; i++)
        if (both[i].offset > size || both[i].size > size - both[i].offset)
            return false;
    return true;
}

static uint64_t *root_word(void *context, const struct vi_record *record)
{
    (void)record;
    return &((struct vi_heap *)context)->place.header->root.offset;
}

static void store_root(void *context, const struct vi_root *root)
{
    struct vi_root *stored = &((struct vi_heap *)context)->place.header->root;

    vi_heap_store(&stored->offset, sizeof stored->offset, root->offset);
    vi_heap_store(&stored->size, sizeof stored->size, root->size);
}

static void new_root(void *context, const struct vi_record *record)
{
    store_root(context, (const struct vi_root *)record->payload + 1);
}

static void old_root(void *context, const struct vi_record *record)
{
    store_root(context, (const struct vi_root *)record->payload);
}

const struct vi_handler vi_heap_handlers[VI_KINDS] = {
    [VI_KIND_ALLOC] = {.valid = block_valid,
                       .apply = set_mark,
                       .undo = clear_mark,
                       .word = block_word,
                       .extent = block_extent,
                       .settle = alloc_settle},
    [VI_KIND_CANCEL] = {.valid = block_valid,
                        .apply = clear_mark,
                        .word = block_word,
                        .settle = cancel_settle},
    [VI_KIND_FREE] = {.valid = block_valid,
                      .finish = clear_mark,
                      .word = block_word,
                      .settle = free_settle,
                      .deferred = true},
    [VI_KIND_ROOT] = {.valid = root_valid, .apply = new_root, .undo = old_root, .word = root_word},
};
