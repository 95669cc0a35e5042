/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Small spans: making, owning, ending them; and the look through the heap that
 * finds those made in earlier mappings.
 */
#include "heap/spans.h"

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
    uint64_t head = unit, d;

    while ((d = vi_descriptor(heap, head)) == 0)
        if (head == 0 || unit - --head >= VI_SMALL_UNITS)
            return VI_NONE;
    return VI_SPAN_KIND(d) == VI_SPAN_SMALL && unit - head < VI_SPAN_UNITS(d) &&
                   vi_descriptor_valid(heap, head, d)
               ? head
               : VI_NONE;
}

bool vi_span_sound(const struct vi_heap *heap, uint64_t head, uint64_t descriptor)
{
    if (!vi_descriptor_valid(heap, head, descriptor))
        return false;
    for (uint64_t unit = head + 1; unit < head + VI_SPAN_UNITS(descriptor); unit++)
        if (vi_descriptor(heap, unit) != 0)
            return false;
    return true;
}

/* ---- Lists ------------------------------------------------------------- */

void vi_list_add(struct vi_heap *heap, uint32_t *first, uint64_t unit)
{
    heap->unit[unit].next = *first;
    heap->unit[unit].prev = 0;
    if (*first != 0)
        heap->unit[*first - 1].prev = (uint32_t)unit + 1;
    *first = (uint32_t)unit + 1;
}

void vi_list_remove(struct vi_heap *heap, uint32_t *first, uint64_t unit)
{
    const struct vi_unit *u = &heap->unit[unit];

    if (u->next != 0)
        heap->unit[u->next - 1].prev = u->prev;
    if (u->prev != 0)
        heap->unit[u->prev - 1].next = u->next;
    else
        *first = u->next;
}

/* ---- Spans ------------------------------------------------------------- */

/* Bits that are blocks in the word of `block`, its first. */
static uint64_t block_mask(const struct vi_unit *u, uint32_t block)
{
    const uint32_t left = u->blocks - block;

    return left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
}

/* Sets the volatile words from the stored ones.  Spans that ended left them zero. */
static void load(struct vi_heap *heap, uint64_t head, uint64_t descriptor)
{
    struct vi_unit *u = &heap->unit[head];

    u->class = (uint8_t)VI_SPAN_CLASS(descriptor);
    u->blocks = (uint16_t)(VI_SPAN_UNITS(descriptor) * VI_UNIT / vi_classes[u->class].size);
    for (uint32_t block = 0; block < u->blocks; block += 64)
        vi_span_word(heap, head, block)->taken =
            __atomic_load_n(vi_span_bits(heap, head, block), __ATOMIC_RELAXED) &
            block_mask(u, block);
    u->owner = 0;
    u->state = VI_UNIT_SMALL;
}

bool vi_span_load(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];
    uint64_t d;

    if (u->state == VI_UNIT_SMALL)
        return true;
    pthread_mutex_lock(&heap->lock);
    d = vi_descriptor(heap, head);
    if (u->state == VI_UNIT_UNSEEN && VI_SPAN_KIND(d) == VI_SPAN_SMALL &&
        vi_span_sound(heap, head, d))
        load(heap, head, d);
    pthread_mutex_unlock(&heap->lock);
    return u->state == VI_UNIT_SMALL;
}

/* Durable at once: a span outlives the transaction that it was made for. */
static void describe(struct vi_heap *heap, uint64_t head, uint64_t descriptor)
{
    uint64_t *where = &heap->place.descriptors[head];

    vi_heap_store(where, ~(uint64_t)0, descriptor);
    vi_flush_fence(heap->place.persist, where, sizeof *where);
}

static void unlist(struct vi_heap *heap, uint64_t head)
{
    vi_list_remove(heap, &heap->partial[heap->unit[head].class], head);
    heap->unit[head].listed = 0;
}

void vi_span_review(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];
    bool any_free = false, any_taken = false;
    uint64_t units;

    if (u->state != VI_UNIT_SMALL || u->owner != 0)
        return;
    for (uint32_t block = 0; block < u->blocks; block += 64) {
        const uint64_t taken = vi_span_word(heap, head, block)->taken;

        any_free |= taken != block_mask(u, block);
        any_taken |= taken != 0;
    }
    if (any_taken && any_free && !u->listed) {
        vi_list_add(heap, &heap->partial[u->class], head);
        u->listed = 1;
    }
    if (any_taken)
        return;
    if (u->listed)
        unlist(heap, head);
    units = VI_SPAN_UNITS(vi_descriptor(heap, head));
    describe(heap, head, 0);
    u->state = VI_UNIT_UNSEEN;
    if (head < heap->frontier) /* else the look through the heap will find them */
        vi_runs_put(heap, head, units);
}

bool vi_span_harvest(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];
    bool any = false;

    for (uint32_t block = 0; block < u->blocks; block += 64) {
        struct vi_word *word = vi_span_word(heap, head, block);
        const uint64_t free = block_mask(u, block) & ~word->taken;

        if (free == 0)
            continue;
        word->taken |= free;
        __atomic_store_n(&word->avail, word->avail | free, __ATOMIC_RELAXED);
        u->from = 0;
        any = true;
    }
    return any;
}

void vi_span_push(struct vi_heap *heap, uint64_t head, uint32_t block)
{
    struct vi_unit *u = &heap->unit[head];
    struct vi_word *word = vi_span_word(heap, head, block);
    const uint64_t bit = (uint64_t)1 << block % 64;

    word->mine &= ~bit;
    __atomic_store_n(&word->avail, word->avail | bit, __ATOMIC_RELEASE);
    if (u->from > block)
        u->from = (uint16_t)(block / 64 * 64);
}

void vi_span_release(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];

    for (uint32_t block = 0; block < u->blocks; block += 64) {
        struct vi_word *word = vi_span_word(heap, head, block);
        const uint64_t avail = word->avail;

        __atomic_store_n(&word->avail, 0, __ATOMIC_RELAXED);
        if (avail != 0)
            word->taken &= ~avail;
    }
    /* Who frees a block looks at the owner after clearing its taken bit; we look at
     * the bits after clearing the owner.  One of the two sees the other. */
    u->owner = 0;
    vi_span_review(heap, head);
}

/* In a small heap a span is at most a 128th of it, so that every class can have one;
 * at least one block. */
static uint64_t make(struct vi_heap *heap, unsigned class)
{
    uint64_t units = vi_classes[class].units, head;

    while (units > heap->units / 128 && units / 2 * VI_UNIT >= vi_classes[class].size)
        units /= 2;
    head = vi_runs_take(heap, units);
    if (head != VI_NONE) {
        describe(heap, head, VI_SPAN(VI_SPAN_SMALL, units, class));
        load(heap, head, vi_descriptor(heap, head));
    }
    return head;
}

uint64_t vi_span_acquire(struct vi_heap *heap, uint32_t slot, unsigned class)
{
    const uint32_t *partial = &heap->partial[class];
    uint64_t head = VI_NONE;

    if (*partial == 0)
        vi_runs_scan(heap);
    if (*partial == 0)
        head = make(heap, class);
    if (head == VI_NONE && *partial != 0) { /* making one may have found others */
        head = *partial - 1;
        unlist(heap, head);
    }
    if (head == VI_NONE)
        return VI_NONE;
    heap->unit[head].owner = (uint16_t)(slot + 1);
    /* No free block: a damaged file, bits are set in units that were free. */
    return vi_span_harvest(heap, head) ? head : VI_NONE;
}

/* ---- Looking through the heap ------------------------------------------ */

bool vi_runs_scan(struct vi_heap *heap)
{
    const bool more = heap->frontier < heap->units && !heap->damaged;

    for (int i = 0; i < SCAN_STEP && heap->frontier < heap->units && !heap->damaged; i++) {
        const uint64_t head = heap->frontier, d = vi_descriptor(heap, head);
        const struct vi_unit *u = &heap->unit[head];

        if (u->state >= VI_UNIT_PENDING) {
            heap->frontier += u->length; /* settled later */
        } else if (d == 0) {
            uint64_t end = head + 1;

            while (end < heap->units && end - head < VI_GROUP_UNITS &&
                   vi_descriptor(heap, end) == 0 && heap->unit[end].state < VI_UNIT_PENDING)
                end++;
            heap->frontier = end;
            vi_runs_put(heap, head, end - head);
        } else if (!vi_span_sound(heap, head, d)) {
            heap->damaged = true;
        } else {
            heap->frontier += VI_SPAN_UNITS(d);
            if (VI_SPAN_KIND(d) == VI_SPAN_SMALL && u->state != VI_UNIT_SMALL)
                load(heap, head, d);
            vi_span_review(heap, head);
        }
    }
    return more;
}
