/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the heap's records mean: the stored and the volatile effect of each.  How a
 * record names its block is told in heap.c.
 */
#include "heap/heap_kinds.h"

#include "core/segment.h"
#include "heap/cache.h"
#include "heap/descriptor.h"
#include "heap/spans.h"

static inline uint64_t block_of(const struct vi_item *item)
{
    return vi_block(item->offset / VI_UNIT - (item->length >> 16), item->length & 0xffffu);
}

/* ---- Blocks ------------------------------------------------------------ */

static bool block_valid(const struct vi_item *item)
{
    const struct vi_heap *heap = item->context;
    const uint64_t block = block_of(item), head = block >> 16;
    uint64_t d;

    if (head >= heap->units)
        return false;
    d = vi_descriptor(heap, head);
    return vi_descriptor_valid(heap, head, d) && (block & 0xffffu) < vi_span_blocks(d) &&
           vi_block_offset(block, vi_span_class(d)) == item->offset;
}

static inline uint8_t *mark_of(const struct vi_heap *heap, uint64_t block)
{
    return heap->area.marks + vi_block_cell(block);
}

static struct iovec block_stored(const struct vi_item *item)
{
    return (struct iovec){mark_of(item->context, block_of(item)), 1};
}

static struct iovec block_extent(const struct vi_item *item)
{
    const struct vi_heap *heap = item->context;

    return (struct iovec){heap->area.base + item->offset,
                          vi_span_block_size(vi_descriptor(heap, block_of(item) >> 16))};
}

/* Is the block free again, or will be, by the transaction that allocated or extended it?  The same
 * before its effects are applied and after. */
static bool is_dropped(const struct vi_item *item)
{
    const struct vi_heap *heap = item->context;
    const uint64_t block =
        item->kind == VI_KIND_ALLOC ? block_of(item) : vi_block(item->offset / VI_UNIT, 0);
    const uint32_t state = vi_block_state(heap, block);

    if (state == VI_BLOCK_FREEING) /* by another, of one that was allocated and is applied */
        return item->kind != VI_KIND_ALLOC;
    return state != VI_BLOCK_LIVE && (state < VI_BLOCK_OWNED || (state - VI_BLOCK_OWNED) % 2 != 0);
}

/* ---- Extensions -------------------------------------------------------- */

static bool extension_valid(const struct vi_item *item)
{
    const struct vi_heap *heap = item->context;
    const uint64_t head = item->offset / VI_UNIT;
    uint64_t d;

    if (item->offset % VI_UNIT != 0 || head >= heap->units)
        return false;
    d = vi_descriptor(heap, head);
    return vi_descriptor_valid(heap, head, d) && VI_SPAN_KIND(d) == VI_SPAN_LARGE &&
           item->length <= VI_SPAN_UNITS(d);
}

/* The block's new bytes; those before were a block's, whose changes are declared. */
static struct iovec extension_extent(const struct vi_item *item)
{
    const struct vi_heap *heap = item->context;
    const uint64_t old = (uint64_t)item->length * VI_UNIT;
    const uint64_t now = vi_span_block_size(vi_descriptor(heap, item->offset / VI_UNIT));

    return (struct iovec){heap->area.base + item->offset + old, now - old};
}

/* ---- Marks ------------------------------------------------------------- */

static void set_mark(struct vi_heap *heap, uint64_t block, uint8_t mark)
{
    vi_heap_store(mark_of(heap, block), 1, mark);
}

static void clear_mark(const struct vi_item *item)
{
    set_mark(item->context, block_of(item), VI_MARK_FREE);
}

/* ---- The root ---------------------------------------------------------- */

static bool root_valid(const struct vi_item *item)
{
    const struct vi_heap *heap = item->context;
    const struct vi_root *both = (const struct vi_root *)item->payload;
    const uint64_t size = heap->units * VI_UNIT;

    for (int i = 0; i < 2; i++)
        if (both[i].offset > size || both[i].size > size - both[i].offset)
            return false;
    return true;
}

static struct iovec root_stored(const struct vi_item *item)
{
    struct vi_root *root = &((struct vi_heap *)item->context)->area.header->root;

    return (struct iovec){root, sizeof *root};
}

static void store_root(struct vi_heap *heap, const struct vi_root *root)
{
    struct vi_root *stored = &heap->area.header->root;

    vi_heap_store(&stored->offset, sizeof stored->offset, root->offset);
    vi_heap_store(&stored->size, sizeof stored->size, root->size);
}

static void old_root(const struct vi_item *item)
{
    store_root(item->context, (const struct vi_root *)item->payload);
}

/* ---- Steps ------------------------------------------------------------- */

/* A block may be allocated several times, with cancellations between. */
static bool apply(void *owner, uint32_t slot, const struct vi_item *item, uint32_t count)
{
    struct vi_heap *heap = owner;
    bool cancelled = false;

    for (; count-- != 0; item++)
        if (VISTA_INLINE_LIKELY(item->kind == VI_KIND_ALLOC)) {
            const uint64_t block = block_of(item);

            set_mark(heap, block, VI_MARK_ALLOCATED);
            if (VISTA_INLINE_LIKELY(vi_block_state(heap, block) == VI_BLOCK_TAKEN(slot)))
                vi_block_become(heap, block, VI_BLOCK_LIVE);
        } else if (item->kind == VI_KIND_CANCEL) {
            set_mark(heap, block_of(item), VI_MARK_FREE);
            cancelled = true;
        } else if (item->kind == VI_KIND_ROOT) {
            store_root(heap, (const struct vi_root *)item->payload + 1);
        }
    return cancelled;
}

static inline unsigned class_of(const struct vi_heap *heap, const struct vi_item *item)
{
    return vi_map_class(vi_map_of(heap, item->offset));
}

/* What the slot can keep it does at once: no other has it before the slot is idle.  In recovery
 * no block is being freed. */
static bool finish(void *owner, uint32_t slot, const struct vi_item *item, uint32_t count)
{
    struct vi_heap *heap = owner;
    bool left = false;

    for (; count-- != 0; item++)
        if (item->kind == VI_KIND_FREE) {
            const uint64_t block = block_of(item);

            set_mark(heap, block, VI_MARK_FREE);
            if (VISTA_INLINE_LIKELY(vi_block_state(heap, block) == VI_BLOCK_FREEING))
                left |= heap->watched || !vi_cache_try_put(heap, slot, class_of(heap, item), block);
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
static void settle_block(struct vi_heap *heap, uint32_t slot, const struct vi_item *item)
{
    const uint64_t block = block_of(item);
    const uint32_t state = vi_block_state(heap, block);
    const bool freed = item->kind == VI_KIND_FREE;

    if (freed && state == VI_BLOCK_FREEING && *mark_of(heap, block) != VI_MARK_FREE) {
        vi_block_become(heap, block, VI_BLOCK_LIVE);
    } else if (freed ? state == VI_BLOCK_FREEING
                     : state == VI_BLOCK_TAKEN(slot) || state == VI_BLOCK_DROPPED(slot)) {
        hide(heap, block);
        vi_cache_put(heap, slot, class_of(heap, item), block);
    } else if (state == VI_BLOCK_KEPT) { /* it was freed again, but nothing undone till now */
        hide(heap, block);
    }
}

static bool settle(void *owner, uint32_t slot, const struct vi_item *item, uint32_t count)
{
    struct vi_heap *heap = owner;

    for (; count-- != 0; item++)
        if (item->kind == VI_KIND_CANCEL)
            heap->cache[slot].in_log = false;
        else if (item->kind != VI_KIND_ROOT && item->kind != VI_KIND_EXTEND)
            settle_block(heap, slot, item);
    return false;
}

static vi_step_fn *const steps[VI_STEPS] = {
    [VI_APPLY] = apply, [VI_FINISH] = finish, [VI_SETTLE] = settle};

/* ---- Kinds ------------------------------------------------------------- */

static const struct vi_record_kind alloc = {.valid = block_valid,
                                            .undo = clear_mark,
                                            .stored = block_stored,
                                            .extent = block_extent,
                                            .given_up = is_dropped,
                                            .steps = steps};
static const struct vi_record_kind cancel = {
    .valid = block_valid, .stored = block_stored, .steps = steps};
static const struct vi_record_kind free_kind = {
    .valid = block_valid, .stored = block_stored, .steps = steps, .deferred = true};
static const struct vi_record_kind root = {.payload = 2 * sizeof(struct vi_root),
                                           .valid = root_valid,
                                           .undo = old_root,
                                           .stored = root_stored,
                                           .steps = steps};

static const struct vi_record_kind extend = {
    .valid = extension_valid, .extent = extension_extent, .given_up = is_dropped, .steps = steps};

const struct vi_record_kind *const vi_heap_kinds[VI_KINDS] = {
    [VI_KIND_UNDO] = &vi_undo_kind, [VI_KIND_ALLOC] = &alloc, [VI_KIND_CANCEL] = &cancel,
    [VI_KIND_FREE] = &free_kind,    [VI_KIND_ROOT] = &root,   [VI_KIND_EXTEND] = &extend,
};
