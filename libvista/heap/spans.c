/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Small spans: making, owning, ending them; and the look through the heap that
 * finds those made in earlier mappings.
 */
#include "heap/spans.h"

#include <errno.h>

#define SCAN_STEP 256 /* spans or stretches of free units looked at in one go */

/* ---- Size classes ------------------------------------------------------ */

#define CLASS(size, units) \
    { \
        (size), (units), (uint32_t)((1ull << 32) / (size) + 1) \
    }
#define EIGHT(base, step, units) \
    CLASS((base) + (step), units), CLASS((base) + 2 * (step), units), \
        CLASS((base) + 3 * (step), units), CLASS((base) + 4 * (step), units), \
        CLASS((base) + 5 * (step), units), CLASS((base) + 6 * (step), units), \
        CLASS((base) + 7 * (step), units), CLASS((base) + 8 * (step), units)

/* Spans have 16 blocks or more up to 1 KiB, and at least 8 beyond. */
const struct vi_class vi_classes[VI_CLASSES] = {
    EIGHT(0, 16, 4),      EIGHT(128, 16, 4),    EIGHT(256, 32, 4),   EIGHT(512, 64, 4),
    EIGHT(1024, 128, 16), EIGHT(2048, 256, 16), EIGHT(4096, 512, 16)};

unsigned vi_class_of(size_t size)
{
    unsigned doubling;

    if (size <= 128)
        return size == 0 ? 0 : (unsigned)(size - 1) / 16;
    doubling = 57 - (unsigned)__builtin_clzll(size - 1); /* 1 from 129 on */
    return doubling * 8 + (unsigned)((size - 1) >> (doubling + 3)) - 8;
}

/* ---- Descriptors ------------------------------------------------------- */

bool vi_descriptor_valid(const struct vi_heap *heap, uint64_t unit, uint64_t d)
{
    const unsigned class = VI_SPAN_CLASS(d);
    const uint64_t units = VI_SPAN_UNITS(d);

    if (units == 0 || unit >= heap->units || units > heap->units - unit ||
        d != VI_SPAN(VI_SPAN_KIND(d), units, class))
        return false;
    if (VI_SPAN_KIND(d) == VI_SPAN_SMALL)
        return class < VI_CLASSES && units <= vi_classes[class].units &&
               units * VI_UNIT >= vi_classes[class].size;
    return VI_SPAN_KIND(d) == VI_SPAN_LARGE && class == 0;
}

uint64_t vi_span_head(const struct vi_heap *heap, uint64_t unit)
{
    for (uint64_t back = 0; back < VI_SMALL_UNITS && back <= unit; back++) {
        const uint64_t d = vi_descriptor(heap, unit - back);

        if (d != 0)
            return VI_SPAN_KIND(d) == VI_SPAN_SMALL && VI_SPAN_UNITS(d) > back &&
                           vi_descriptor_valid(heap, unit - back, d)
                       ? unit - back
                       : VI_NONE;
    }
    return VI_NONE;
}

/* ---- Lists ------------------------------------------------------------- */

static void list(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];
    uint32_t *first = &heap->partial[u->class];

    u->next = *first;
    u->prev = 0;
    if (*first != 0)
        heap->unit[*first - 1].prev = (uint32_t)head + 1;
    *first = (uint32_t)head + 1;
    __atomic_store_n(&u->listed, 1, __ATOMIC_SEQ_CST);
}

static void unlist(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];

    if (!u->listed)
        return;
    if (u->next != 0)
        heap->unit[u->next - 1].prev = u->prev;
    if (u->prev != 0)
        heap->unit[u->prev - 1].next = u->next;
    else
        heap->partial[u->class] = u->next;
    __atomic_store_n(&u->listed, 0, __ATOMIC_SEQ_CST);
}

/* ---- Spans ------------------------------------------------------------- */

/* Bits of word `i` that are blocks. */
static uint64_t block_mask(const struct vi_unit *u, uint32_t i)
{
    const uint32_t left = u->blocks - i * 64u;

    return left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
}

/* Sets the volatile words from the stored ones. */
static void load(struct vi_heap *heap, uint64_t head, uint64_t descriptor)
{
    struct vi_unit *u = &heap->unit[head];

    u->class = (uint8_t)VI_SPAN_CLASS(descriptor);
    u->blocks = (uint16_t)(VI_SPAN_UNITS(descriptor) * VI_UNIT / vi_classes[u->class].size);
    u->words = (uint8_t)((u->blocks + 63) / 64);
    u->listed = 0;
    u->stamp = 0;
    for (uint32_t i = 0; i < u->words; i++) {
        struct vi_word *word = vi_span_word(heap, head, i * 64u);
        const uint64_t stored =
            __atomic_load_n(vi_span_bits(heap, head, i * 64u), __ATOMIC_RELAXED);

        word->freeing = 0;
        word->avail = 0;
        word->mine = 0;
        __atomic_store_n(&word->taken, stored & block_mask(u, i), __ATOMIC_RELAXED);
    }
    __atomic_store_n(&u->owner, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&u->state, VI_UNIT_SMALL, __ATOMIC_RELEASE);
}

bool vi_span_alone(const struct vi_heap *heap, uint64_t head, uint64_t units)
{
    for (uint64_t unit = head + 1; unit < head + units; unit++)
        if (vi_descriptor(heap, unit) != 0)
            return false;
    return true;
}

bool vi_span_load(struct vi_heap *heap, uint64_t head)
{
    const uint8_t *state = &heap->unit[head].state;
    uint64_t d;

    if (__atomic_load_n(state, __ATOMIC_ACQUIRE) == VI_UNIT_SMALL)
        return true;
    pthread_mutex_lock(&heap->lock);
    d = vi_descriptor(heap, head);
    if (*state == VI_UNIT_UNSEEN && VI_SPAN_KIND(d) == VI_SPAN_SMALL &&
        vi_descriptor_valid(heap, head, d) && vi_span_alone(heap, head, VI_SPAN_UNITS(d)))
        load(heap, head, d);
    pthread_mutex_unlock(&heap->lock);
    return __atomic_load_n(state, __ATOMIC_ACQUIRE) == VI_UNIT_SMALL;
}

/* Durable at once: a span outlives the transaction that it was made for. */
static void describe(struct vi_heap *heap, uint64_t head, uint64_t descriptor)
{
    uint64_t *where = &heap->place.descriptors[head];

    vi_heap_store(where, ~(uint64_t)0, descriptor);
    vi_flush_fence(heap->place.persist, where, sizeof *where);
}

void vi_span_review(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];
    bool any_free = false, any_taken = false;
    uint64_t units;

    if (u->state != VI_UNIT_SMALL || __atomic_load_n(&u->owner, __ATOMIC_SEQ_CST) != 0)
        return;
    for (uint32_t i = 0; i < u->words; i++) {
        const uint64_t taken =
            __atomic_load_n(&vi_span_word(heap, head, i * 64u)->taken, __ATOMIC_SEQ_CST);

        any_free |= taken != block_mask(u, i);
        any_taken |= taken != 0;
    }
    if (any_taken && any_free && !u->listed)
        list(heap, head);
    if (any_taken)
        return;
    units = VI_SPAN_UNITS(vi_descriptor(heap, head));
    unlist(heap, head);
    describe(heap, head, 0);
    __atomic_store_n(&u->state, VI_UNIT_UNSEEN, __ATOMIC_RELEASE);
    if (head < heap->frontier) /* else the look through the heap will find them */
        vi_runs_put(heap, head, units);
}

bool vi_span_harvest(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];
    bool any = false;

    for (uint32_t i = 0; i < u->words; i++) {
        struct vi_word *word = vi_span_word(heap, head, i * 64u);
        const uint64_t free = block_mask(u, i) & ~__atomic_load_n(&word->taken, __ATOMIC_SEQ_CST);

        if (free != 0)
            __atomic_fetch_or(&word->taken, free, __ATOMIC_SEQ_CST);
        __atomic_store_n(&word->avail, word->avail | free, __ATOMIC_RELAXED);
        any |= free != 0;
    }
    if (any)
        u->word = 0;
    return any;
}

void vi_span_release(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];

    for (uint32_t i = 0; i < u->words; i++) {
        struct vi_word *word = vi_span_word(heap, head, i * 64u);
        const uint64_t avail = word->avail;

        __atomic_store_n(&word->avail, 0, __ATOMIC_RELAXED);
        if (avail != 0)
            __atomic_fetch_and(&word->taken, ~avail, __ATOMIC_SEQ_CST);
    }
    /* Who frees a block looks at the owner after clearing its taken bit; we look at
     * the bits after clearing the owner.  One of the two sees the other. */
    __atomic_store_n(&u->owner, 0, __ATOMIC_SEQ_CST);
    vi_span_review(heap, head);
}

/* How long a new span is: in a small heap at most a 128th of it, so that every class
 * can have one; at least one block. */
static uint64_t span_units(const struct vi_heap *heap, unsigned class)
{
    const uint64_t least = (vi_classes[class].size + VI_UNIT - 1) / VI_UNIT;
    uint64_t units = vi_classes[class].units;

    while (units > heap->units / 128 && units / 2 >= least)
        units /= 2;
    return units;
}

static uint64_t make(struct vi_heap *heap, unsigned class)
{
    const uint64_t units = span_units(heap, class);
    const uint64_t head = vi_runs_take(heap, units);

    if (head == VI_NONE)
        return VI_NONE;
    if (heap->place.back != NULL &&
        heap->place.back(heap->place.context, head * VI_UNIT, units * VI_UNIT) != 0) {
        vi_runs_put(heap, head, units);
        return VI_NONE;
    }
    describe(heap, head, VI_SPAN(VI_SPAN_SMALL, units, class));
    load(heap, head, vi_descriptor(heap, head));
    return head;
}

uint64_t vi_span_acquire(struct vi_heap *heap, uint32_t slot, unsigned class)
{
    uint64_t head;

    errno = 0;
    if (heap->partial[class] == 0)
        vi_runs_scan(heap);
    while (heap->partial[class] != 0) {
        head = heap->partial[class] - 1;
        unlist(heap, head);
        __atomic_store_n(&heap->unit[head].owner, (uint16_t)(slot + 1), __ATOMIC_SEQ_CST);
        if (vi_span_harvest(heap, head))
            return head;
        vi_span_release(heap, head);
    }
    head = make(heap, class);
    if (head == VI_NONE)
        return heap->partial[class] != 0 ? vi_span_acquire(heap, slot, class) : VI_NONE;
    __atomic_store_n(&heap->unit[head].owner, (uint16_t)(slot + 1), __ATOMIC_SEQ_CST);
    vi_span_harvest(heap, head);
    return head;
}

/* ---- Looking through the heap ------------------------------------------ */

/* The stretch of free units at the frontier. */
static uint64_t free_stretch(const struct vi_heap *heap)
{
    uint64_t end = heap->frontier;

    while (end < heap->units && end - heap->frontier < VI_GROUP_UNITS &&
           vi_descriptor(heap, end) == 0 && heap->unit[end].state < VI_UNIT_PENDING)
        end++;
    return end - heap->frontier;
}

bool vi_runs_scan(struct vi_heap *heap)
{
    const bool more = heap->frontier < heap->units && !heap->damaged;

    for (int i = 0; i < SCAN_STEP && heap->frontier < heap->units && !heap->damaged; i++) {
        const uint64_t head = heap->frontier, d = vi_descriptor(heap, head);

        if (heap->unit[head].state >= VI_UNIT_PENDING) {
            heap->frontier += heap->unit[head].length; /* settled later */
        } else if (d == 0) {
            const uint64_t units = free_stretch(heap);

            heap->frontier += units;
            vi_runs_put(heap, head, units);
        } else if (!vi_descriptor_valid(heap, head, d) ||
                   !vi_span_alone(heap, head, VI_SPAN_UNITS(d))) {
            heap->damaged = true;
        } else {
            heap->frontier += VI_SPAN_UNITS(d);
            if (VI_SPAN_KIND(d) == VI_SPAN_SMALL) {
                if (heap->unit[head].state != VI_UNIT_SMALL)
                    load(heap, head, d);
                vi_span_review(heap, head);
            }
        }
    }
    return more;
}
