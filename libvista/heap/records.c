/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the heap's records mean: the stored and the volatile effect of each.  How a
 * record names its block is told in heap.c.
 */
#include "heap/spans.h"

static uint64_t head_of(const struct vi_record *record)
{
    return record->offset / VI_UNIT - (record->length >> 16);
}

static uint32_t index_of(const struct vi_record *record)
{
    return record->length & 0xffffu;
}

static uint64_t bit_of(const struct vi_record *record)
{
    return (uint64_t)1 << index_of(record) % 64;
}

/* ---- Small blocks ------------------------------------------------------ */

static bool small_valid(void *context, const struct vi_record *record)
{
    struct vi_heap *heap = context;
    const uint64_t head = head_of(record), index = index_of(record);
    uint64_t d, size;

    if (head >= heap->units)
        return false;
    d = vi_descriptor(heap, head);
    if (VI_SPAN_KIND(d) != VI_SPAN_SMALL || !vi_descriptor_valid(heap, head, d))
        return false;
    size = vi_classes[VI_SPAN_CLASS(d)].size;
    return (index + 1) * size <= VI_SPAN_UNITS(d) * VI_UNIT &&
           head * VI_UNIT + index * size == record->offset;
}

static uint64_t *small_word(void *context, const struct vi_record *record)
{
    return vi_span_bits(context, head_of(record), index_of(record));
}

static void set_bit(void *context, const struct vi_record *record)
{
    vi_heap_store(small_word(context, record), 0, bit_of(record));
}

static void clear_bit(void *context, const struct vi_record *record)
{
    vi_heap_store(small_word(context, record), bit_of(record), 0);
}

static void alloc_settle(void *context, const struct vi_record *record, bool committed)
{
    if (committed)
        vi_span_word(context, head_of(record), index_of(record))->mine &= ~bit_of(record);
    else
        vi_span_push(context, head_of(record), index_of(record));
}

static void free_settle(void *context, const struct vi_record *record, bool committed)
{
    struct vi_heap *heap = context;
    const uint64_t head = head_of(record);
    struct vi_word *word = vi_span_word(heap, head, index_of(record));

    word->freeing &= ~bit_of(record);
    if (!committed)
        return;
    word->taken &= ~bit_of(record);
    if (heap->unit[head].owner != 0 || (word->taken != 0 && heap->unit[head].listed))
        return;
    pthread_mutex_lock(&heap->lock);
    vi_span_review(heap, head);
    pthread_mutex_unlock(&heap->lock);
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
    vi_heap_store(run_word(context, record), ~(uint64_t)0,
                  VI_SPAN(VI_SPAN_LARGE, record->length, 0));
}

static void clear_run(void *context, const struct vi_record *record)
{
    vi_heap_store(run_word(context, record), ~(uint64_t)0, 0);
}

/* The block is at rest, or its units are free. */
static void settle_run(void *context, const struct vi_record *record, bool is_free)
{
    struct vi_heap *heap = context;
    const uint64_t unit = record->offset / VI_UNIT;

    pthread_mutex_lock(&heap->lock);
    heap->unit[unit].state = VI_UNIT_UNSEEN;
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
                  : vi_classes[VI_SPAN_CLASS(vi_descriptor(context, head_of(record)))].size;
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

    vi_heap_store(&stored->offset, ~(uint64_t)0, root->offset);
    vi_heap_store(&stored->size, ~(uint64_t)0, root->size);
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
                       .apply = set_bit,
                       .undo = clear_bit,
                       .word = small_word,
                       .extent = extent,
                       .settle = alloc_settle},
    [VI_KIND_CANCEL] = {.valid = small_valid, .apply = clear_bit, .word = small_word},
    [VI_KIND_FREE] = {.valid = small_valid,
                      .finish = clear_bit,
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
