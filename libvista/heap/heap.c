/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Allocating and freeing, and what the heap's records mean.
 *
 * A record of a small block names it by `offset`; `length` says where its bit is:
 * units back to its span's head << 16 | number of the block.  A record of a large
 * one has its units there.
 */
#include "heap/spans.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/error.h"

/* ---- Open and close ---------------------------------------------------- */

static size_t state_size(const struct vi_heap_place *place)
{
    const uint64_t units = place->max_size / VI_UNIT;

    return sizeof(struct vi_heap) + VI_SLOTS * sizeof(struct vi_cache) +
           units * (sizeof(struct vi_unit) + VI_WORDS_PER_UNIT * sizeof(struct vi_word));
}

struct vi_heap *vi_heap_open(const struct vi_heap_place *place)
{
    struct vi_heap *heap = vi_reserve(state_size(place));

    if (heap == NULL)
        return vi_fail(ENOMEM, "%s: no memory for the heap's volatile state", place->path), NULL;
    heap->place = *place;
    heap->units = place->size / VI_UNIT;
    pthread_mutex_init(&heap->lock, NULL);
    heap->cache = (struct vi_cache *)(heap + 1);
    heap->unit = (struct vi_unit *)(heap->cache + VI_SLOTS);
    heap->word = (struct vi_word *)(heap->unit + place->max_size / VI_UNIT);
    return heap;
}

void vi_heap_close(struct vi_heap *heap)
{
    vi_release(heap, state_size(&heap->place));
}

/* ---- Finding a block --------------------------------------------------- */

struct block {
    uint64_t offset;
    uint64_t head;  /* unit; VI_NONE: no block begins at the address */
    unsigned class; /* VI_CLASSES: a large block, for which the rest says nothing */
    uint32_t index; /* in its small span */
    uint64_t bit;
    struct vi_word *word;
    const uint64_t *stored;
};

static struct block find(struct vi_heap *heap, const void *address)
{
    const uint64_t offset = (uintptr_t)address - (uintptr_t)heap->place.base;
    struct block b = {.offset = offset, .head = VI_NONE, .class = VI_CLASSES};
    uint64_t head, in_span, d;

    if (offset >= heap->units * VI_UNIT || offset % 16 != 0)
        return b;
    head = offset / VI_UNIT;
    d = vi_descriptor(heap, head);
    if (offset % VI_UNIT == 0 &&
        (heap->unit[head].state >= VI_UNIT_PENDING ||
         (VI_SPAN_KIND(d) == VI_SPAN_LARGE && vi_descriptor_valid(heap, head, d)))) {
        b.head = head;
        return b;
    }
    head = vi_span_head(heap, head);
    if (head == VI_NONE || !vi_span_load(heap, head))
        return b;
    b.class = heap->unit[head].class;
    in_span = offset - head * VI_UNIT;
    b.index = (uint32_t)(in_span * vi_classes[b.class].reciprocal >> 32);
    if (b.index * vi_classes[b.class].size == in_span && b.index < heap->unit[head].blocks)
        b.head = head;
    b.bit = (uint64_t)1 << b.index % 64;
    b.word = vi_span_word(heap, head, b.index);
    b.stored = vi_span_bits(heap, head, b.index);
    return b;
}

static bool is_stored(const struct block *b)
{
    return __atomic_load_n(b->stored, __ATOMIC_ACQUIRE) & b->bit;
}

/* How a record names a small block, beside its offset. */
static uint32_t place_of(uint64_t offset, uint64_t head, uint32_t index)
{
    return (uint32_t)((offset / VI_UNIT - head) << 16) | index;
}

/* Without the check that vi_heap_usable_size adds; 0: no such block. */
static size_t size_of(struct vi_heap *heap, const struct vi_log *log, const struct block *b)
{
    const struct vi_unit *u = &heap->unit[b->head];
    const bool mine = log == NULL || u->owner == log->slot + 1;

    if (b->class < VI_CLASSES) {
        const uint64_t allocated = ~b->word->freeing & b->word->taken &
                                   ~__atomic_load_n(&b->word->avail, __ATOMIC_ACQUIRE);

        return allocated & b->bit && (mine || is_stored(b)) ? vi_classes[b->class].size : 0;
    }
    if (u->state <= VI_UNIT_FREE)
        return VI_SPAN_UNITS(vi_descriptor(heap, b->head)) * VI_UNIT;
    return u->state == VI_UNIT_PENDING && mine ? (size_t)u->length * VI_UNIT : 0;
}

size_t vi_heap_usable_size(struct vi_heap *heap, const struct vi_log *log, const void *address)
{
    const struct block b = find(heap, address);
    const size_t size = b.head != VI_NONE ? size_of(heap, log, &b) : 0;

    if (size == 0)
        vi_fail(EINVAL, "%s: %p is not the start of an allocated block", heap->place.path, address);
    return size;
}

/* ---- Allocating -------------------------------------------------------- */

/* The next block of a slot's span: its number, or -1. */
static int32_t pop(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];

    for (uint32_t block = u->from; block < u->blocks; block += 64) {
        struct vi_word *word = vi_span_word(heap, head, block);
        const uint64_t avail = word->avail;

        if (avail != 0) {
            u->from = (uint16_t)block;
            word->mine |= avail & -avail;
            __atomic_store_n(&word->avail, avail & (avail - 1), __ATOMIC_RELEASE);
            return (int32_t)(block + (uint32_t)__builtin_ctzll(avail));
        }
    }
    u->from = u->blocks;
    return -1;
}

/* A retired span of the class in which this transaction has freed a block of its own:
 * taken off the list.  VI_NONE: there is none. */
static uint64_t unretire(struct vi_heap *heap, struct vi_cache *cache, unsigned class)
{
    uint32_t *at = &cache->retired;

    if (!(cache->returned >> class & 1))
        return VI_NONE;
    for (; *at != 0; at = &heap->unit[*at - 1].next) {
        const struct vi_unit *u = &heap->unit[*at - 1];

        if (u->class == class && u->from < u->blocks) {
            *at = u->next;
            return (uint64_t)(u - heap->unit);
        }
    }
    cache->returned &= ~((uint64_t)1 << class);
    return VI_NONE;
}

/* The slot's span of the class has no block left: one that has, or VI_NONE. */
static uint64_t refill(struct vi_heap *heap, uint32_t slot, unsigned class)
{
    struct vi_cache *cache = &heap->cache[slot];
    uint64_t head = cache->current[class] - (uint64_t)1;

    pthread_mutex_lock(&heap->lock);
    if (head != VI_NONE && !vi_span_harvest(heap, head)) {
        heap->unit[head].next = cache->retired; /* its blocks are the transaction's to its end */
        cache->retired = (uint32_t)head + 1;
        head = VI_NONE;
    }
    if (head == VI_NONE)
        head = unretire(heap, cache, class);
    if (head == VI_NONE)
        head = vi_span_acquire(heap, slot, class);
    cache->current[class] = (uint32_t)(head + 1); /* VI_NONE: 0 */
    pthread_mutex_unlock(&heap->lock);
    return head;
}

/* The offset of a new small block; VI_NONE with errno 0: no room; else with errno. */
static uint64_t allocate_small(struct vi_heap *heap, struct vi_log *log, unsigned class)
{
    uint64_t head = heap->cache[log->slot].current[class] - (uint64_t)1;
    int32_t index = head != VI_NONE ? pop(heap, head) : -1;
    uint64_t offset;

    if (index < 0) {
        head = refill(heap, log->slot, class);
        if (head == VI_NONE)
            return VI_NONE;
        index = pop(heap, head);
    }
    offset = head * VI_UNIT + (uint64_t)(uint32_t)index * vi_classes[class].size;
    heap->unit[head].stamp = log->cursor.stamp;
    if (vi_log_append(log, VI_KIND_ALLOC, offset, place_of(offset, head, (uint32_t)index), NULL) ==
        0)
        return offset;
    vi_span_push(heap, head, (uint32_t)index);
    return VI_NONE;
}

static uint64_t allocate_run(struct vi_heap *heap, struct vi_log *log, uint64_t units)
{
    uint64_t head;

    pthread_mutex_lock(&heap->lock);
    head = vi_runs_take(heap, units);
    if (head != VI_NONE &&
        vi_log_append(log, VI_KIND_RUN_ALLOC, head * VI_UNIT, (uint32_t)units, NULL) != 0) {
        vi_runs_put(heap, head, units);
        head = VI_NONE;
    }
    if (head != VI_NONE) {
        heap->unit[head].length = (uint32_t)units;
        heap->unit[head].owner = (uint16_t)(log->slot + 1);
        heap->unit[head].state = VI_UNIT_PENDING;
    }
    pthread_mutex_unlock(&heap->lock);
    return head != VI_NONE ? head * VI_UNIT : VI_NONE;
}

/* A span that the open transaction with the stamp `open` has taken from stays: its
 * log may name free blocks. */
static void release(struct vi_heap *heap, struct vi_cache *cache, uint64_t open)
{
    pthread_mutex_lock(&heap->lock);
    for (uint32_t *current = cache->current; current < cache->current + VI_CLASSES; current++)
        if (*current != 0 && heap->unit[*current - 1].stamp != open) {
            vi_span_release(heap, *current - 1);
            *current = 0;
        }
    pthread_mutex_unlock(&heap->lock);
}

void vi_heap_release(struct vi_heap *heap, uint32_t slot)
{
    release(heap, &heap->cache[slot], VI_STAMP_FINISHING); /* no span's stamp */
}

void *vi_heap_malloc(struct vi_heap *heap, struct vi_log *log, size_t size)
{
    const uint64_t units = size / VI_UNIT + (size % VI_UNIT != 0 || size == 0);
    const bool small = size <= VI_SMALL_MAX, fits = units <= heap->units;
    uint64_t offset = VI_NONE;

    errno = 0;
    for (int again = 0; again < 2 && fits && offset == VI_NONE && errno == 0; again++) {
        if (again) { /* gathers what is free but kept by someone */
            release(heap, &heap->cache[log->slot], log->cursor.stamp);
            heap->place.reclaim(heap->place.context);
            errno = 0;
        }
        if (small)
            offset = allocate_small(heap, log, vi_class_of(size));
        if (offset == VI_NONE && errno == 0 && (!small || again)) /* a run may fit, if no span */
            offset = allocate_run(heap, log, units);
    }
    if (offset != VI_NONE)
        return heap->place.base + offset;
    if (errno == 0 && heap->damaged)
        vi_fail(EBADMSG, "%s: damaged: the heap's descriptor of unit %llu makes no sense",
                heap->place.path, (unsigned long long)heap->frontier);
    else if (errno == 0)
        vi_fail(ENOMEM, "%s: no room for %zu bytes in its heap of %llu", heap->place.path, size,
                (unsigned long long)(heap->units * VI_UNIT));
    return NULL;
}

/* ---- Freeing ----------------------------------------------------------- */

static int refuse(const struct vi_heap *heap, const void *address, const char *why)
{
    return vi_fail(EINVAL, "%s: vista_free of %p: %s", heap->place.path, address, why);
}

static int free_small(struct vi_heap *heap, struct vi_log *log, const struct block *b,
                      const void *address)
{
    const uint32_t place = place_of(b->offset, b->head, b->index);

    if (is_stored(b)) {
        if (atomic_fetch_or(&b->word->freeing, b->bit) & b->bit)
            return refuse(heap, address, "the block is being freed already");
        /* Looked at again: another thread may have freed it meanwhile. */
        if (is_stored(b) && vi_log_append(log, VI_KIND_FREE, b->offset, place, NULL) == 0)
            return 0;
        b->word->freeing &= ~b->bit;
        return is_stored(b) ? -1 : refuse(heap, address, "the block is free");
    }
    if (heap->unit[b->head].owner != log->slot + 1 || !(b->word->mine & b->bit))
        return refuse(heap, address, "the block is free, or of another open transaction");
    if (vi_log_append(log, VI_KIND_CANCEL, b->offset, place, NULL) != 0)
        return -1;
    vi_span_push(heap, b->head, b->index);
    heap->cache[log->slot].returned |= (uint64_t)1 << b->class;
    return 0;
}

/* Called with the lock. */
static int free_run(struct vi_heap *heap, struct vi_log *log, const struct block *b,
                    const void *address)
{
    struct vi_unit *u = &heap->unit[b->head];
    const uint64_t d = vi_descriptor(heap, b->head);
    const bool pending = u->state == VI_UNIT_PENDING;

    if (u->state == VI_UNIT_FREEING)
        return refuse(heap, address, "the block is being freed already");
    if (pending && u->owner != log->slot + 1)
        return refuse(heap, address, "the block is of another open transaction");
    if (!pending && VI_SPAN_KIND(d) != VI_SPAN_LARGE)
        return refuse(heap, address, "the block is free");
    if (!pending && !vi_span_sound(heap, b->head, d))
        return vi_fail(EBADMSG, "%s: damaged: the block at %p overlaps another", heap->place.path,
                       address);
    if (!pending)
        u->length = (uint32_t)VI_SPAN_UNITS(d);
    if (vi_log_append(log, pending ? VI_KIND_RUN_CANCEL : VI_KIND_RUN_FREE, b->offset, u->length,
                      NULL) != 0)
        return -1;
    u->state = VI_UNIT_FREEING;
    return 0;
}

int vi_heap_free(struct vi_heap *heap, struct vi_log *log, const void *address)
{
    const struct block b = find(heap, address);
    int result;

    if (b.head == VI_NONE)
        return refuse(heap, address, "no block begins there");
    if (b.class < VI_CLASSES)
        return free_small(heap, log, &b, address);
    pthread_mutex_lock(&heap->lock);
    result = free_run(heap, log, &b, address);
    pthread_mutex_unlock(&heap->lock);
    return result;
}

void vi_heap_end(struct vi_heap *heap, uint32_t slot)
{
    struct vi_cache *cache = &heap->cache[slot];

    cache->returned = 0;
    if (cache->retired == 0)
        return;
    pthread_mutex_lock(&heap->lock);
    while (cache->retired != 0) {
        const uint64_t head = cache->retired - 1;

        cache->retired = heap->unit[head].next;
        vi_span_release(heap, head);
    }
    pthread_mutex_unlock(&heap->lock);
}

/* ---- The root ---------------------------------------------------------- */

struct vi_root vi_heap_root(const struct vi_heap *heap)
{
    const struct vi_root *root = &heap->place.header->root;

    return (struct vi_root){__atomic_load_n(&root->offset, __ATOMIC_ACQUIRE),
                            __atomic_load_n(&root->size, __ATOMIC_ACQUIRE)};
}

int vi_heap_set_root(struct vi_heap *heap, struct vi_log *log, struct vi_root root)
{
    const struct vi_root both[2] = {vi_heap_root(heap), root};

    return vi_log_append(log, VI_KIND_ROOT, root.offset, 0, both);
}
