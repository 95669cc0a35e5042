/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Allocating and freeing.
 */
#include "heap/heap.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/watch.h"
#include "heap/cache.h"
#include "heap/descriptor.h"
#include "heap/idle.h"
#include "heap/runs.h"
#include "heap/spans.h"

#define KEPT_BYTES 32768u /* in a magazine, at most; and a 1024th of the heap */

#define HUGE_FROM ((uint64_t)64 << 20) /* bytes of a heap whose state is in huge pages */

/* ---- Open and close ---------------------------------------------------- */

static uint64_t idle_words(const struct vi_heap_area *area)
{
    return area->unback != NULL ? area->max_size / VI_UNIT / VI_GROUP_UNITS / 64 + 1 : 0;
}

static size_t state_size(const struct vi_heap_area *area)
{
    const uint64_t units = area->max_size / VI_UNIT;

    return sizeof(struct vi_heap) + VI_SLOTS * sizeof(struct vi_cache) +
           idle_words(area) * sizeof(uint64_t) +
           units * (sizeof(struct vi_unit) + (1 + VI_MARKS_PER_UNIT) * sizeof(uint16_t));
}

static uint8_t capacity_of(const struct vi_heap *heap, unsigned class)
{
    const uint64_t share = heap->units * VI_UNIT / 1024;
    const uint64_t count = (share < KEPT_BYTES ? share : KEPT_BYTES) / vi_classes[class].size;

    return (uint8_t)(count == 0 ? 1 : count < VI_KEPT ? count : VI_KEPT);
}

struct vi_heap *vi_heap_open(const struct vi_heap_area *area)
{
    struct vi_heap *heap = vi_reserve(state_size(area));
    const uint64_t units = area->max_size / VI_UNIT;

    if (heap == NULL)
        return vi_fail(ENOMEM, "%s: no memory for the heap's volatile state", area->path), NULL;
    heap->area = *area;
    heap->units = area->size / VI_UNIT;
    heap->limit = area->header->end < heap->units ? area->header->end : heap->units;
    pthread_mutex_init(&heap->lock, NULL);
    heap->cache = (struct vi_cache *)(heap + 1);
    heap->unit = (struct vi_unit *)((uint64_t *)(heap->cache + VI_SLOTS) + idle_words(area));
    heap->map = (uint16_t *)(heap->unit + units);
    heap->state = heap->map + units;
    if (area->max_size >= HUGE_FROM) { /* fewer faults; where it is refused, so be it */
        char *const from =
            (char *)(((uintptr_t)heap->unit + VI_PAGE - 1) & ~(uintptr_t)(VI_PAGE - 1));

        madvise(from, (size_t)((char *)heap + state_size(area) - from), MADV_HUGEPAGE);
    }
    for (unsigned class = 0; class < VI_CLASSES; class ++)
        heap->capacity[class] = capacity_of(heap, class);
    if (heap->limit < heap->units)
        vi_runs_put(heap, heap->limit, heap->units - heap->limit);
    if (area->unback != NULL) /* only now: what was never used has no disk blocks */
        heap->idle = (uint64_t *)(heap->cache + VI_SLOTS);
    return heap;
}

void vi_heap_grow(struct vi_heap *heap, uint64_t size)
{
    const uint64_t old = heap->units;

    pthread_mutex_lock(&heap->lock);
    heap->area.size = size;
    heap->units = size / VI_UNIT;
    if (old < heap->units && heap->watched)
        vi_watch_hide(heap->area.base + old * VI_UNIT, (heap->units - old) * VI_UNIT);
    if (old < heap->units)
        vi_runs_put(heap, old, heap->units - old);
    pthread_mutex_unlock(&heap->lock);
}

int vi_heap_cut(struct vi_heap *heap, uint64_t size)
{
    uint64_t *end = &heap->area.header->end, next, d;

    for (int pass = 0; pass < 2; pass++) /* looking; ending */
        for (uint64_t unit = 0; unit < *end && unit < heap->units; unit = next) {
            next = vi_descriptor_pass(heap, unit, *end < heap->units ? *end : heap->units);
            if (next != unit)
                continue;
            d = vi_descriptor(heap, unit);
            next = unit + VI_SPAN_UNITS(d);
            if (!vi_span_sound(heap, unit, d))
                return vi_fail(EBADMSG, "%s: damaged: the heap's descriptor of unit %llu",
                               heap->area.path, (unsigned long long)unit);
            if (next * VI_UNIT <= size)
                continue;
            if (pass == 0 && vi_span_allocated(heap, unit, d, 0) < vi_span_blocks(d))
                return vi_fail(EBUSY, "%s: cannot shrink to %llu bytes: there is a block at %llu",
                               heap->area.path, (unsigned long long)size,
                               (unsigned long long)(unit * VI_UNIT));
            if (pass == 1)
                vi_heap_store_now(heap, &heap->area.descriptors[unit], 0);
        }
    if (*end > size / VI_UNIT)
        vi_heap_store_now(heap, end, size / VI_UNIT);
    return 0;
}

void vi_heap_trim(struct vi_heap *heap, uint32_t slots)
{
    if (heap->idle == NULL)
        return;
    for (uint32_t slot = 0; slot < slots; slot++)
        vi_cache_release(heap, slot);
    pthread_mutex_lock(&heap->lock);
    if (heap->overlooked || heap->area.left_open)
        vi_runs_find(heap);
    vi_idle_give(heap);
    pthread_mutex_unlock(&heap->lock);
}

void vi_heap_close(struct vi_heap *heap)
{
    vi_release(heap, state_size(&heap->area));
}

/* ---- Finding a block --------------------------------------------------- */

/* What the map says of the span that `offset` lies in; 0: see vi_span_load. */
static unsigned find(struct vi_heap *heap, uint64_t offset)
{
    unsigned entry;

    if (offset >= heap->units * VI_UNIT)
        return 0;
    entry = vi_map_of(heap, offset);
    return entry != 0 ? entry : vi_span_load(heap, offset / VI_UNIT);
}

/* How a record names a block, beside its offset. */
static uint32_t place_of(uint64_t offset, uint64_t block)
{
    return (uint32_t)((offset / VI_UNIT - (block >> 16)) << 16 | (block & 0xffffu));
}

/* May the transaction that has `log` take the block as its own or live?  NULL: may any? */
static bool is_allocated(uint32_t state, const struct vi_log *log)
{
    if (state < VI_BLOCK_OWNED)
        return state == VI_BLOCK_LIVE;
    return log != NULL ? state == VI_BLOCK_TAKEN(log->slot) : (state - VI_BLOCK_OWNED) % 2 == 0;
}

size_t vi_heap_usable_size(struct vi_heap *heap, const struct vi_log *log, const void *address)
{
    const uint64_t offset = (uintptr_t)address - (uintptr_t)heap->area.base;
    const unsigned entry = find(heap, offset);
    const uint64_t block = entry != 0 ? vi_block_at(offset, entry) : VI_NONE;

    if (block != VI_NONE && is_allocated(vi_block_state(heap, block), log))
        return vi_span_block_size(vi_descriptor(heap, block >> 16));
    vi_fail(EINVAL, "%s: %p is not the start of an allocated block", heap->area.path, address);
    return 0;
}

/* Appends a record about a block. */
static inline struct vi_item item_of(struct vi_heap *heap, enum vi_kind kind, uint64_t offset,
                                     uint32_t length)
{
    return (struct vi_item){offset, length, (uint16_t)kind, NULL, heap};
}

static inline bool try_append(struct vi_heap *heap, struct vi_log *log, enum vi_kind kind,
                              uint64_t offset, uint64_t block)
{
    return vi_log_try_append(log, item_of(heap, kind, offset, place_of(offset, block)),
                             (uintptr_t)heap->area.base + offset);
}

static bool append(struct vi_heap *heap, struct vi_log *log, enum vi_kind kind, uint64_t offset,
                   uint64_t block)
{
    return vi_log_append(log, item_of(heap, kind, offset, place_of(offset, block)),
                         (uintptr_t)heap->area.base + offset) == 0;
}

/* ---- Allocating -------------------------------------------------------- */

static inline uint64_t next_block(const struct vi_magazine *magazine)
{
    return magazine->block[magazine->count - 1];
}

/* The magazine's next block has become the transaction's. */
static inline void take_next(struct vi_heap *heap, const struct vi_log *log,
                             struct vi_magazine *magazine, uint64_t block)
{
    magazine->count--;
    vi_block_become(heap, block, VI_BLOCK_TAKEN(log->slot));
}

/* Gives the magazine's next block to the transaction.  Like both that follow it returns
 * the block's offset, or VI_NONE with errno, which is 0 when there is no room. */
static uint64_t allocate(struct vi_heap *heap, struct vi_log *log, struct vi_magazine *magazine,
                         unsigned class)
{
    const uint64_t block = next_block(magazine), offset = vi_block_offset(block, class);

    if (!append(heap, log, VI_KIND_ALLOC, offset, block))
        return VI_NONE;
    take_next(heap, log, magazine, block);
    return offset;
}

static uint64_t allocate_small(struct vi_heap *heap, struct vi_log *log, unsigned class)
{
    struct vi_magazine *magazine = &heap->cache[log->slot].magazine[class];

    if (magazine->count == 0 && !vi_cache_fill(heap, log->slot, class))
        return VI_NONE;
    return allocate(heap, log, magazine, class);
}

static uint64_t allocate_large(struct vi_heap *heap, struct vi_log *log, uint64_t units)
{
    struct vi_magazine one;
    uint64_t head, offset;

    pthread_mutex_lock(&heap->lock);
    head = vi_span_make(heap, VI_SPAN_LARGE, 0, units, 0);
    if (head != VI_NONE)
        vi_span_take(heap, head, &one, 1);
    pthread_mutex_unlock(&heap->lock);
    if (head == VI_NONE)
        return VI_NONE;
    offset = allocate(heap, log, &one, VI_LARGE);
    if (offset == VI_NONE)
        vi_cache_put(heap, log->slot, VI_LARGE, one.block[0]);
    return offset;
}

/* Brings together what is free but kept by someone, or not yet known to be free. */
static void gather(struct vi_heap *heap, const struct vi_log *log)
{
    vi_cache_release(heap, log->slot);
    heap->area.each_idle(heap->area.segment, vi_cache_release, heap);
    pthread_mutex_lock(&heap->lock);
    while (vi_spans_load_some(heap, log->slot % VI_SHARDS))
        ;
    pthread_mutex_unlock(&heap->lock);
    errno = 0;
}

/* NULL with errno and a message. */
static __attribute__((noinline)) void *find_room(struct vi_heap *heap, struct vi_log *log,
                                                 size_t size)
{
    const uint64_t units = size / VI_UNIT + (size % VI_UNIT != 0 || size == 0);
    const bool small = size <= VI_SMALL_MAX;
    uint64_t offset = VI_NONE;

    errno = 0;
    if (small)
        offset = allocate_small(heap, log, vi_class_of(size));
    else if (units <= heap->units)
        offset = allocate_large(heap, log, units);
    if (offset == VI_NONE && errno == 0 && units <= heap->units) {
        gather(heap, log);
        if (small)
            offset = allocate_small(heap, log, vi_class_of(size));
        if (offset == VI_NONE && errno == 0) /* pages may be had where no small span can */
            offset = allocate_large(heap, log, units);
    }
    if (offset == VI_NONE && errno == 0 && heap->damaged)
        vi_fail(EBADMSG, "%s: damaged: the heap's descriptor of unit %llu makes no sense",
                heap->area.path, (unsigned long long)heap->frontier);
    else if (offset == VI_NONE && errno == 0)
        vi_fail(ENOMEM, "%s: no room for %zu bytes in its heap of %llu", heap->area.path, size,
                (unsigned long long)(heap->units * VI_UNIT));
    return offset != VI_NONE ? heap->area.base + offset : NULL;
}

void *vi_heap_malloc(struct vi_heap *heap, struct vi_log *log, size_t size)
{
    const unsigned class = size <= VI_SMALL_MAX ? vi_class_of(size) : VI_LARGE; /* has none */
    struct vi_magazine *magazine = &heap->cache[log->slot].magazine[class];

    if (VISTA_INLINE_LIKELY(magazine->count != 0)) {
        const uint64_t block = next_block(magazine), offset = vi_block_offset(block, class);

        if (VISTA_INLINE_LIKELY(try_append(heap, log, VI_KIND_ALLOC, offset, block))) {
            take_next(heap, log, magazine, block);
            return heap->area.base + offset;
        }
    }
    return find_room(heap, log, size);
}

/* ---- Freeing ----------------------------------------------------------- */

static int refuse(const struct vi_heap *heap, const void *address, const char *why)
{
    return vi_fail(EINVAL, "%s: vista_free of %p: %s", heap->area.path, address, why);
}

int vi_heap_free_any(struct vi_heap *heap, struct vi_log *log, const void *address)
{
    const uint64_t offset = (uintptr_t)address - (uintptr_t)heap->area.base;
    const unsigned entry = find(heap, offset);
    const uint64_t block = entry != 0 ? vi_block_at(offset, entry) : VI_NONE;
    uint32_t state;

    if (block == VI_NONE)
        return refuse(heap, address, "no block begins there");
    state = vi_block_state(heap, block);
    if (state == VI_BLOCK_FREEING)
        return refuse(heap, address, "the block is being freed already");
    if (state != VI_BLOCK_LIVE && state != VI_BLOCK_TAKEN(log->slot))
        return refuse(heap, address, "the block is free, or of another open transaction");
    if (!append(heap, log, state == VI_BLOCK_LIVE ? VI_KIND_FREE : VI_KIND_CANCEL, offset, block))
        return -1;
    if (state == VI_BLOCK_LIVE)
        vi_block_become(heap, block, VI_BLOCK_FREEING);
    else
        vi_cache_put_back(heap, log->slot, vi_map_class(entry), block);
    return 0;
}

static __attribute__((noinline)) int free_slowly(struct vi_heap *heap, struct vi_log *log,
                                                 const void *address)
{
    if (vi_heap_is_root(heap, address))
        return refuse(heap, address, "the root cannot be freed");
    return vi_heap_free_any(heap, log, address);
}

int vi_heap_free(struct vi_heap *heap, struct vi_log *log, const void *address)
{
    const uint64_t offset = (uintptr_t)address - (uintptr_t)heap->area.base;
    const unsigned entry =
        VISTA_INLINE_LIKELY(offset < heap->units * VI_UNIT) ? vi_map_of(heap, offset) : 0;
    const uint64_t block = VISTA_INLINE_LIKELY(entry != 0) ? vi_block_at(offset, entry) : VI_NONE;

    if (VISTA_INLINE_UNLIKELY(block == VI_NONE || offset == heap->area.header->root.offset))
        return free_slowly(heap, log, address);
    /* What the commit stores to, and the block, which is likely to be allocated next. */
    __builtin_prefetch(heap->area.marks + vi_block_cell(block), 1);
    __builtin_prefetch(address, 1);
    if (VISTA_INLINE_UNLIKELY(vi_block_state(heap, block) != VI_BLOCK_LIVE ||
                              !try_append(heap, log, VI_KIND_FREE, offset, block)))
        return free_slowly(heap, log, address);
    vi_block_become(heap, block, VI_BLOCK_FREEING);
    return 0;
}

/* ---- Growing where it lies --------------------------------------------- */

/* The large block that begins at an address; VI_NONE. */
static uint64_t large_at(struct vi_heap *heap, const void *address)
{
    const uint64_t offset = (uintptr_t)address - (uintptr_t)heap->area.base;
    const unsigned entry = find(heap, offset);

    return entry != 0 && vi_map_class(entry) == VI_LARGE ? vi_block_at(offset, entry) : VI_NONE;
}

static bool append_extension(struct vi_heap *heap, struct vi_log *log, const void *block,
                             uint64_t old)
{
    const uint64_t offset = (uintptr_t)block - (uintptr_t)heap->area.base;

    return vi_log_append(log, item_of(heap, VI_KIND_EXTEND, offset, (uint32_t)old),
                         (uintptr_t)block) == 0;
}

bool vi_heap_extend(struct vi_heap *heap, struct vi_log *log, const void *address, size_t size)
{
    const uint64_t block = large_at(heap, address), units = size / VI_UNIT + (size % VI_UNIT != 0);
    uint64_t old;
    bool extended;

    errno = 0;
    if (block == VI_NONE || units > heap->units || !is_allocated(vi_block_state(heap, block), log))
        return false;
    pthread_mutex_lock(&heap->lock);
    old = VI_SPAN_UNITS(vi_descriptor(heap, block >> 16));
    extended = vi_span_extend(heap, block >> 16, units);
    pthread_mutex_unlock(&heap->lock);
    return extended && append_extension(heap, log, address, old);
}

bool vi_heap_is_last(struct vi_heap *heap, const void *address)
{
    const uint64_t block = large_at(heap, address);
    uint64_t unit;
    bool last;

    if (block == VI_NONE)
        return false;
    pthread_mutex_lock(&heap->lock);
    unit = (block >> 16) + VI_SPAN_UNITS(vi_descriptor(heap, block >> 16));
    last = unit == heap->units || unit + heap->unit[unit].length == heap->units;
    pthread_mutex_unlock(&heap->lock);
    return last;
}

bool vi_heap_has_grown(struct vi_heap *heap, const void *address)
{
    const uint64_t block = large_at(heap, address);

    return block != VI_NONE && heap->unit[block >> 16].grown != 0;
}

void vi_heap_note_growth(struct vi_heap *heap, const void *address)
{
    const uint64_t block = large_at(heap, address);

    if (block != VI_NONE)
        heap->unit[block >> 16].grown = 1;
}

/* ---- The root ---------------------------------------------------------- */

struct vi_root vi_heap_root(const struct vi_heap *heap)
{
    const struct vi_root *root = &heap->area.header->root;

    return (struct vi_root){__atomic_load_n(&root->offset, __ATOMIC_ACQUIRE),
                            __atomic_load_n(&root->size, __ATOMIC_ACQUIRE)};
}

bool vi_heap_is_root(const struct vi_heap *heap, const void *address)
{
    const struct vi_root root = vi_heap_root(heap);

    return root.size != 0 && (uintptr_t)address - (uintptr_t)heap->area.base == root.offset;
}

int vi_heap_set_root(struct vi_heap *heap, struct vi_log *log, struct vi_root root)
{
    const struct vi_root both[2] = {vi_heap_root(heap), root};

    struct vi_item item = item_of(heap, VI_KIND_ROOT, root.offset, 0);

    item.payload = both;
    return vi_log_append(log, item, (uintptr_t)heap->area.base + root.offset);
}
