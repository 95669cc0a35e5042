/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the heap's records mean: the stored and the volatile effect of each.  How a
 * record names its block is told in heap.c.
 */
#include "heap/spans.h"

static inline uint64_t block_of(const struct vi_record *record)
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

static inline uint8_t *mark_of(const struct vi_heap *heap, uint64_t block)
{
    return heap->place.marks + vi_block_cell(block);
}

static uint64_t *block_word(void *context, const struct vi_record *record)
{
    return (uint64_t *)((uintptr_t)mark_of(context, block_of(record)) & ~(uintptr_t)7);
}

static bool block_extent(void *context, const struct vi_record *record, uint64_t *offset,
                         uint64_t *length)
{
    *offset = record->offset;
    *length = vi_span_block_size(vi_descriptor(context, block_of(record) >> 16));
    return true;
}

/* ---- Extensions -------------------------------------------------------- */

static bool extension_valid(void *context, const struct vi_record *record)
{
    const struct vi_heap *heap = context;
    const uint64_t head = record->offset / VI_UNIT;
    uint64_t d;

    if (record->offset % VI_UNIT != 0 || head >= heap->units)
        return false;
    d = vi_descriptor(heap, head);
    return vi_descriptor_valid(heap, head, d) && VI_SPAN_KIND(d) == VI_SPAN_LARGE &&
           record->length <= VI_SPAN_UNITS(d);
}

/* The block's new bytes; those before were a block's, whose changes are declared. */
static bool extension_extent(void *context, const struct vi_record *record, uint64_t *offset,
                             uint64_t *length)
{
    const uint64_t old = (uint64_t)record->length * VI_UNIT;

    *offset = record->offset + old;
    *length = vi_span_block_size(vi_descriptor(context, record->offset / VI_UNIT)) - old;
    return true;
}

/* ---- Marks ------------------------------------------------------------- */

static void set_mark(struct vi_heap *heap, uint64_t block, uint8_t mark)
{
    vi_heap_store(mark_of(heap, block), 1, mark);
}

static void clear_mark(void *context, const struct vi_record *record)
{
    set_mark(context, block_of(record), VI_MARK_FREE);
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

static void old_root(void *context, const struct vi_record *record)
{
    store_root(context, (const struct vi_root *)record->payload);
}

/* ---- Effects ----------------------------------------------------------- */

/* A block may be allocated several times, with cancellations between. */
static bool apply(void *owner, uint32_t slot, const struct vi_record *record, uint32_t count)
{
    struct vi_heap *heap = owner;
    bool cancelled = false;

    for (; count-- != 0; record++)
        if (VISTA_INLINE_LIKELY(record->kind == VI_KIND_ALLOC)) {
            const uint64_t block = block_of(record);

            set_mark(heap, block, VI_MARK_ALLOCATED);
            if (VISTA_INLINE_LIKELY(vi_block_state(heap, block) == VI_BLOCK_TAKEN(slot)))
                vi_block_become(heap, block, VI_BLOCK_LIVE);
        } else if (record->kind == VI_KIND_CANCEL) {
            set_mark(heap, block_of(record), VI_MARK_FREE);
            cancelled = true;
        } else if (record->kind == VI_KIND_ROOT) {
            store_root(heap, (const struct vi_root *)record->payload + 1);
        }
    return cancelled;
}

static inline unsigned class_of(const struct vi_heap *heap, const struct vi_record *record)
{
    return vi_map_class(vi_map_of(heap, record->offset));
}

/* What the slot can keep it does at once: no other has it before the slot is idle.  In recovery
 * no block is being freed. */
static bool finish(void *owner, uint32_t slot, const struct vi_record *record, uint32_t count)
{
    struct vi_heap *heap = owner;
    bool left = false;

    for (; count-- != 0; record++)
        if (record->kind == VI_KIND_FREE) {
            const uint64_t block = block_of(record);

            set_mark(heap, block, VI_MARK_FREE);
            if (VISTA_INLINE_LIKELY(vi_block_state(heap, block) == VI_BLOCK_FREEING))
                left |= heap->watched || !vi_cache_keep(heap, slot, class_of(heap, record), block);
        }
    return left;
}

static void hide(const struct vi_heap *heap, uint64_t block)
{
    if (heap->watched)
        vi_block_hide(heap, block);
}

/* One that was freed is still marked if the transaction was aborted.  Others are not this
 * transaction's any more, or, freed by two threads at the same instant, not again. */
static void settle_block(struct vi_heap *heap, uint32_t slot, const struct vi_record *record)
{
    const uint64_t block = block_of(record);
    const uint32_t state = vi_block_state(heap, block);
    const bool freed = record->kind == VI_KIND_FREE;

    if (freed && state == VI_BLOCK_FREEING && *mark_of(heap, block) != VI_MARK_FREE) {
        vi_block_become(heap, block, VI_BLOCK_LIVE);
    } else if (freed ? state == VI_BLOCK_FREEING
                     : state == VI_BLOCK_TAKEN(slot) || state == VI_BLOCK_DROPPED(slot)) {
        hide(heap, block);
        vi_cache_put(heap, slot, class_of(heap, record), block);
    } else if (state == VI_BLOCK_KEPT) { /* it was freed again, but nothing undone till now */
        hide(heap, block);
    }
}

static bool settle(void *owner, uint32_t slot, const struct vi_record *record, uint32_t count)
{
    struct vi_heap *heap = owner;

    for (; count-- != 0; record++)
        if (record->kind == VI_KIND_CANCEL)
            heap->cache[slot].named = false;
        else if (record->kind != VI_KIND_ROOT && record->kind != VI_KIND_EXTEND)
            settle_block(heap, slot, record);
    return false;
}

const struct vi_effects vi_heap_effects = {apply, finish, settle};

/* ---- Handlers ---------------------------------------------------------- */

const struct vi_handler vi_heap_handlers[VI_KINDS] = {
    [VI_KIND_ALLOC] = {.valid = block_valid,
                       .undo = clear_mark,
                       .word = block_word,
                       .extent = block_extent},
    [VI_KIND_CANCEL] = {.valid = block_valid, .word = block_word},
    [VI_KIND_FREE] = {.valid = block_valid, .word = block_word, .deferred = true},
    [VI_KIND_ROOT] = {.valid = root_valid, .undo = old_root, .word = root_word},
    [VI_KIND_EXTEND] = {.valid = extension_valid, .extent = extension_extent},
};
