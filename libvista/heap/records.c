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

/* ---- Small blocks ------------------------------------------------------ */

static bool small_valid(void *context, const struct vi_record *record)
{
    struct vi_heap *heap = context;
    const uint64_t block = block_of(record), head = block >> 16;
    uint64_t d;

    if (record->length >> 16 > record->offset / VI_UNIT || head >= heap->units)
        return false;
    d = vi_descriptor(heap, head);
    return VI_SPAN_KIND(d) == VI_SPAN_SMALL && vi_descriptor_valid(heap, head, d) &&
           vi_block_offset(block, VI_SPAN_CLASS(d)) == record->offset &&
           record->offset + vi_classes[VI_SPAN_CLASS(d)].size <=
               (head + VI_SPAN_UNITS(d)) * VI_UNIT;
}

static uint8_t *mark_of(void *context, const struct vi_record *record)
{
    return ((struct vi_heap *)context)->place.marks + vi_block_cell(block_of(record));
}

static uint64_t *small_word(void *context, const struct vi_record *record)
{
    return (uint64_t *)((uintptr_t)mark_of(context, record) & ~(uintptr_t)7);
}

static void set_mark(void *context, const struct vi_record *record)
{
    vi_heap_store(mark_of(context, record), 1, VI_MARK_ALLOCATED);
}

static void clear_mark(void *context, const struct vi_record *record)
{
    vi_heap_store(mark_of(context, record), 1, VI_MARK_FREE);
}

static void put(struct vi_heap *heap, const struct vi_record *record)
{
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

/* ---- Large blocks ------------------------------------------------------ */

static bool run_valid(void *context, const struct vi_record *record)
{
    struct vi_heap *heap = context;
    const uint64_t unit = record->offset / VI_UNIT,
                   span = VI_SPAN(VI_SPAN_LARGE, record->length, 0);

    return record->offset % VI_UNIT == 0 && vi_descriptor_valid(heap, unit, span) &&
           (vi_descriptor(heap, unit) == 0 || vi_descriptor(heap, unit) == span);
}

static uint64_t *run_word(void *context, const struct vi_record *record)
{
    return &((struct vi_heap *)context)->place.descriptors[record->offset / VI_UNIT];
}

static void set_run(void *context, const struct vi_record *record)
{
    vi_heap_store(run_word(context, record), sizeof(uint64_t),
                  VI_SPAN(VI_SPAN_LARGE, record->length, 0));
}

static void clear_run(void *context, const struct vi_record *record)
{
    vi_heap_store(run_word(context, record), sizeof(uint64_t), 0);
}

/* The block is at rest, or its units are free. */
static void settle_run(void *context, const struct vi_record *record, bool is_free)
{
    struct vi_heap *heap = context;
    const uint64_t unit = record->offset / VI_UNIT;

    pthread_mutex_lock(&heap->lock);
    heap->unit[unit].state = VI_UNIT_NONE;
    if (is_free && unit < heap->frontier)
        vi_runs_put(heap, unit, record->length);
    pthread_mutex_unlock(&heap->lock);
}

/* Settles its cancellation, too. */
static void run_alloc_settle(void *context, const struct vi_record *record, bool committed)
{
    const struct vi_heap *heap = context;
    const bool pending = heap->unit[record->offset / VI_UNIT].state == VI_UNIT_PENDING;

    settle_run(context, record, !committed || !pending);
}

/* What is allocated, small or large. */
static bool extent(void *context, const struct vi_record *record, uint64_t *offset,
                   uint64_t *length)
{
    *offset = record->offset;
    *length = record->kind == VI_KIND_RUN_ALLOC
                  ? (uint64_t)record->length * VI_UNIT
                  : vi_classes[VI_SPAN_CLASS(vi_descriptor(context, block_of(record) >> 16))].size;
    return true;
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
    [VI_KIND_ALLOC] = {.valid = small_valid,
                       .apply = set_mark,
                       .undo = clear_mark,
                       .word = small_word,
                       .extent = extent,
                       .settle = alloc_settle},
    [VI_KIND_CANCEL] = {.valid = small_valid,
                        .apply = clear_mark,
                        .word = small_word,
                        .settle = cancel_settle},
    [VI_KIND_FREE] = {.valid = small_valid,
                      .finish = clear_mark,
                      .word = small_word,
                      .settle = free_settle,
                      .deferred = true},
    [VI_KIND_RUN_ALLOC] = {.valid = run_valid,
                           .apply = set_run,
                           .undo = clear_run,
                           .word = run_word,
                           .extent = extent,
                           .settle = run_alloc_settle},
    [VI_KIND_RUN_CANCEL] = {.valid = run_valid, .apply = clear_run, .word = run_word},
    [VI_KIND_RUN_FREE] = {.valid = run_valid,
                          .finish = clear_run,
                          .word = run_word,
                          .settle = settle_run,
                          .deferred = true},
    [VI_KIND_ROOT] = {.valid = root_valid, .apply = new_root, .undo = old_root, .word = root_word},
};
