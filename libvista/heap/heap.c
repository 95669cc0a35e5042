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
    unsigned class; /* VI_CLASSES: a large block */
    uint32_t index; /* in its small span */
    struct vi_word *word;
    uint64_t bit;
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
        (__atomic_load_n(&heap->unit[head].state, __ATOMIC_ACQUIRE) >= VI_UNIT_PENDING ||
         (VI_SPAN_KIND(d) == VI_SPAN_LARGE && vi_descriptor_valid(heap, head, d)))) {
        b.head = head;
        return b;
    }
    head = vi_span_head(heap, head);
    if (head == VI_NONE)
        return b;
    b.class = VI_SPAN_CLASS(vi_descriptor(heap, head));
    in_span = offset - head * VI_UNIT;
    b.index = (uint32_t)(in_span * vi_classes[b.class].reciprocal >> 32);
    if ((uint64_t)b.index * vi_classes[b.class].size != in_span)
        return b;
    if (!vi_span_load(heap, head) || b.index >= heap->unit[head].blocks)
        return b;
    b.head = head;
    b.word = vi_span_word(heap, head, b.index);
    b.bit = (uint64_t)1 << b.index % 64;
    return b;
}

static uint32_t place_of(uint64_t offset, uint64_t head, uint32_t index)
{
    return (uint32_t)((offset / VI_UNIT - head) << 16) | index;
}

static bool is_stored(struct vi_heap *heap, const struct block *b)
{
    return __atomic_load_n(vi_span_bits(heap, b->head, b->index), __ATOMIC_ACQUIRE) & b->bit;
}

static bool is_set(const uint64_t *word, uint64_t bit)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) & bit;
}

size_t vi_heap_usable_size(struct vi_heap *heap, const struct vi_log *log, const void *address)
{
    const struct block b = find(heap, address);
    const struct vi_unit *u = &heap->unit[b.head != VI_NONE ? b.head : 0];
    const bool mine = log == NULL || __atomic_load_n(&u->owner, __ATOMIC_ACQUIRE) == log->slot + 1;
    size_t size = 0;

    if (b.head != VI_NONE && b.class < VI_CLASSES) {
        if (!is_set(&b.word->freeing, b.bit) && is_set(&b.word->taken, b.bit) &&
            !is_set(&b.word->avail, b.bit) && (mine || is_stored(heap, &b)))
            size = vi_classes[b.class].size;
    } else if (b.head != VI_NONE) {
        const uint64_t d = vi_descriptor(heap, b.head);
        const uint8_t state = __atomic_load_n(&u->state, __ATOMIC_ACQUIRE);

        if (state <= VI_UNIT_FREE)
            size = VI_SPAN_UNITS(d) * VI_UNIT;
        else if (state == VI_UNIT_PENDING && mine)
            size = (size_t)u->length * VI_UNIT;
    }
    if (size == 0)
        vi_fail(EINVAL, "%s: %p is not the start of an allocated block", heap->place.path, address);
    return size;
}

/* ---- Allocating -------------------------------------------------------- */

/* The next block of a slot's span: its number, or -1. */
static int32_t pop(struct vi_heap *heap, uint64_t head)
{
    struct vi_unit *u = &heap->unit[head];
    for (uint32_t i = u->word; i < u->words; i++) {
        struct vi_word *word = vi_span_word(heap, head, i * 64u);
        const uint64_t avail = word->avail;

        if (avail != 0) {
            u->word = (uint8_t)i;
            word->mine |= avail & -avail;
            __atomic_store_n(&word->avail, avail & (avail - 1), __ATOMIC_RELEASE);
            return (int32_t)(i * 64 + (uint32_t)__builtin_ctzll(avail));
        }
    }
    u->word = u->words;
    return -1;
}

static void push(struct vi_heap *heap, uint64_t head, uint32_t index)
{
    struct vi_word *word = vi_span_word(heap, head, index);

    word->mine &= ~((uint64_t)1 << index % 64);
    __atomic_store_n(&word->avail, word->avail | (uint64_t)1 << index % 64, __ATOMIC_RELEASE);
    if (heap->unit[head].word > index / 64)
        heap->unit[head].word = (uint8_t)(index / 64);
}

/* A retired span of the class in which this transaction has freed a block of its own:
 * taken off the list.  VI_NONE: there is none. */
static uint64_t unretire(struct vi_heap *heap, struct vi_cache *cache, unsigned class)
{
    uint32_t *at = &cache->retired;

    if (!(cache->returned >> class & 1))
        return VI_NONE;
    for (; *at != 0; at = &heap->unit[*at - 1].next) {
        const uint64_t head = *at - 1;

        if (heap->unit[head].class == class && heap->unit[head].word < heap->unit[head].words) {
            *at = heap->unit[head].next;
            return head;
        }
    }
    cache->returned &= ~((uint64_t)1 << class);
    return VI_NONE;
}

/* The slot's span of the class has no block left. */
static uint64_t refill(struct vi_heap *heap, uint32_t slot, unsigned class)
{
    struct vi_cache *cache = &heap->cache[slot];
    const uint64_t used_up = cache->current[class] - (uint64_t)1;
    uint64_t head = used_up;

    pthread_mutex_lock(&heap->lock);
    if (used_up == VI_NONE || !vi_span_harvest(heap, used_up)) {
        head = unretire(heap, cache, class);
        if (used_up != VI_NONE) { /* its blocks are this transaction's until it ends */
            heap->unit[used_up].next = cache->retired;
            cache->retired = cache->current[class];
        }
        if (head == VI_NONE)
            head = vi_span_acquire(heap, slot, class);
        cache->current[class] = (uint32_t)(head + 1); /* VI_NONE: 0 */
    }
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
        if (index < 0) /* a damaged file: bits are set in units that were free */
            return VI_NONE;
    }
    offset = head * VI_UNIT + (uint64_t)(uint32_t)index * vi_classes[class].size;
    heap->unit[head].stamp = log->cursor.stamp;
    if (vi_log_append(log, VI_KIND_ALLOC, offset, place_of(offset, head, (uint32_t)index), NULL) ==
        0)
        return offset;
    push(heap, head, (uint32_t)index);
    return VI_NONE;
}

static uint64_t allocate_run(struct vi_heap *heap, struct vi_log *log, uint64_t units)
{
    uint64_t head;
    int result = 0;

    pthread_mutex_lock(&heap->lock);
    head = vi_runs_take(heap, units);
    errno = 0;
    if (head != VI_NONE && heap->place.back != NULL)
        result = heap->place.back(heap->place.context, head * VI_UNIT, units * VI_UNIT);
    if (head != VI_NONE && result == 0)
        result = vi_log_append(log, VI_KIND_RUN_ALLOC, head * VI_UNIT, (uint32_t)units, NULL);
    if (head != VI_NONE && result == 0) {
        heap->unit[head].length = (uint32_t)units;
        __atomic_store_n(&heap->unit[head].owner, (uint16_t)(log->slot + 1), __ATOMIC_RELEASE);
        __atomic_store_n(&heap->unit[head].state, VI_UNIT_PENDING, __ATOMIC_RELEASE);
    } else if (head != VI_NONE) {
        vi_runs_put(heap, head, units);
        head = VI_NONE;
    }
    pthread_mutex_unlock(&heap->lock);
    return head != VI_NONE ? head * VI_UNIT : VI_NONE;
}

static void release(struct vi_heap *heap, struct vi_cache *cache, uint64_t except)
{
    pthread_mutex_lock(&heap->lock);
    for (unsigned class = 0; class < VI_CLASSES; class ++) {
        const uint32_t current = cache->current[class];

        if (current == 0 || heap->unit[current - 1].stamp == except)
            continue;
        cache->current[class] = 0;
        vi_span_release(heap, current - 1);
    }
    pthread_mutex_unlock(&heap->lock);
}

void vi_heap_release(struct vi_heap *heap, uint32_t slot)
{
    release(heap, &heap->cache[slot], VI_STAMP_FINISHING); /* no span's stamp */
}

/* No room was found: gathers what is free but kept by someone.  A span that the
 * slot's open transaction has taken from stays: its log may name free blocks. */
static void gather(struct vi_heap *heap, const struct vi_log *log)
{
    release(heap, &heap->cache[log->slot], log->cursor.stamp);
    heap->place.reclaim(heap->place.context);
}

void *vi_heap_malloc(struct vi_heap *heap, struct vi_log *log, size_t size)
{
    const uint64_t units = size / VI_UNIT + (size % VI_UNIT != 0 || size == 0);
    uint64_t offset = VI_NONE;

    errno = 0;
    if (size <= VI_SMALL_MAX)
        offset = allocate_small(heap, log, vi_class_of(size));
    else if (units <= heap->units)
        offset = allocate_run(heap, log, units);
    if (offset == VI_NONE && errno == 0 && units <= heap->units) {
        gather(heap, log);
        errno = 0;
        if (size <= VI_SMALL_MAX)
            offset = allocate_small(heap, log, vi_class_of(size));
        if (offset == VI_NONE && errno == 0) /* also where a small span does not fit */
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
    const uint32_t where = place_of(b->offset, b->head, b->index);

    if (is_stored(heap, b)) {
        if (__atomic_fetch_or(&b->word->freeing, b->bit, __ATOMIC_ACQ_REL) & b->bit)
            return refuse(heap, address, "the block is being freed already");
        /* Looked at again: another thread may have freed it meanwhile. */
        if (is_stored(heap, b) && vi_log_append(log, VI_KIND_FREE, b->offset, where, NULL) == 0)
            return 0;
        __atomic_fetch_and(&b->word->freeing, ~b->bit, __ATOMIC_ACQ_REL);
        return is_stored(heap, b) ? -1 : refuse(heap, address, "the block is free");
    }
    if (__atomic_load_n(&heap->unit[b->head].owner, __ATOMIC_ACQUIRE) != log->slot + 1 ||
        !(b->word->mine & b->bit))
        return refuse(heap, address, "the block is free, or of another open transaction");
    if (vi_log_append(log, VI_KIND_CANCEL, b->offset, where, NULL) != 0)
        return -1;
    push(heap, b->head, b->index);
    heap->cache[log->slot].returned |= (uint64_t)1 << b->class;
    return 0;
}

/* Called with the lock. */
static int free_run(struct vi_heap *heap, struct vi_log *log, const struct block *b,
                    const void *address)
{
    struct vi_unit *u = &heap->unit[b->head];
    const uint64_t d = vi_descriptor(heap, b->head);

    if (u->state == VI_UNIT_FREEING || u->state == VI_UNIT_CANCELLED)
        return refuse(heap, address, "the block is being freed already");
    if (u->state == VI_UNIT_PENDING) {
        if (u->owner != log->slot + 1)
            return refuse(heap, address, "the block is of another open transaction");
        if (vi_log_append(log, VI_KIND_RUN_CANCEL, b->offset, u->length, NULL) != 0)
            return -1;
        __atomic_store_n(&u->state, VI_UNIT_CANCELLED, __ATOMIC_RELEASE);
        return 0;
    }
    if (VI_SPAN_KIND(d) != VI_SPAN_LARGE)
        return refuse(heap, address, "the block is free");
    if (!vi_span_alone(heap, b->head, VI_SPAN_UNITS(d)))
        return vi_fail(EBADMSG, "%s: damaged: the block at %p overlaps another", heap->place.path,
                       address);
    if (vi_log_append(log, VI_KIND_RUN_FREE, b->offset, (uint32_t)VI_SPAN_UNITS(d), NULL) != 0)
        return -1;
    u->length = (uint32_t)VI_SPAN_UNITS(d);
    __atomic_store_n(&u->state, VI_UNIT_FREEING, __ATOMIC_RELEASE);
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
