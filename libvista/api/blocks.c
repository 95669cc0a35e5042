/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls on the persistent heap.
 */
#include "heap/heap.h"

#include <errno.h>

#include "base/error.h"
#include "base/watch.h"
#include "core/transaction.h"
#include "heap/visit.h"
#include "ranges/ranges.h"

static inline struct vi_segment *has_heap(struct vi_segment *segment)
{
    return VISTA_INLINE_LIKELY(segment->heap != NULL)
               ? segment
               : (vi_fail(ENOTSUP, "%s: has no heap", segment->path), (struct vi_segment *)NULL);
}

/* The segment with the block that an open transaction is to change; NULL with errno. */
static inline struct vi_segment *owner_of(const struct vi_tx *tx, const void *address)
{
    struct vi_segment *owner = vi_group_find(tx->segment, (uintptr_t)address);

    return has_heap(owner != NULL ? owner : tx->segment);
}

/* Grows the heap, by a quarter if the disk has it, so that `size` bytes fit. */
static int grow_for(struct vi_segment *segment, size_t size)
{
    const uint64_t old = vi_segment_size(segment), left = segment->superblock.max_size - old,
                   need = size < left ? size / VI_PAGE * VI_PAGE + VI_PAGE : size, more = old / 4;

    if (left == 0 || need > left)
        return errno = ENOMEM, -1;
    if (more > need && vista_resize(&segment->handle, old + (more < left ? more : left)) == 0)
        return 0;
    return vista_resize(&segment->handle, old + need);
}

static inline void *get_block(struct vi_tx *tx, struct vi_segment *segment, size_t size)
{
    void *block = vi_heap_malloc(segment->heap, &tx->log, size);

    while (VISTA_INLINE_UNLIKELY(block == NULL) && errno == ENOMEM && segment->grows &&
           grow_for(segment, size) == 0)
        block = vi_heap_malloc(segment->heap, &tx->log, size);
    return block;
}

static void *get_watched_block(struct vi_tx *tx, struct vi_segment *segment, size_t size)
{
    void *block = size < SIZE_MAX - VI_WATCH_MARGIN ? get_block(tx, segment, size + VI_WATCH_MARGIN)
                                                    : get_block(tx, segment, size);

    if (block != NULL)
        vi_heap_show(segment->heap, block, size, false);
    return block;
}

/* A block is the program's, and `stored` bytes of it the library's, to store to without a fault
 * in the middle of a call.  Else it goes back. */
static void *open_block(struct vi_tx *tx, struct vi_segment *segment, void *block, size_t stored)
{
    struct vi_heap *heap = segment->heap;
    int error;

    if (vi_ranges_allow(tx, block, vi_heap_usable_size(heap, &tx->log, block), stored) == 0)
        return block;
    error = errno;
    vi_heap_free(heap, &tx->log, block); /* allocated just now: it can go back */
    errno = error;
    return NULL;
}

static __attribute__((noinline)) void *allocate(struct vi_tx *tx, struct vi_segment *segment,
                                                size_t size, size_t stored)
{
    void *block = VISTA_INLINE_UNLIKELY(vi_watched) ? get_watched_block(tx, segment, size)
                                                    : get_block(tx, segment, size);

    return segment->ranges == NULL || block == NULL ? block
                                                    : open_block(tx, segment, block, stored);
}

void *vista_malloc(vista_tx *handle, size_t size)
{
    struct vi_tx *tx = vi_tx_check(handle);

    if (VISTA_INLINE_UNLIKELY(tx == NULL))
        return NULL;
    if (VISTA_INLINE_LIKELY(tx->segment->heap != NULL && tx->segment->ranges == NULL &&
                            !tx->segment->grows && !vi_watched))
        return vi_heap_malloc(tx->segment->heap, &tx->log, size);
    return has_heap(tx->segment) ? allocate(tx, tx->segment, size, 0) : NULL;
}

/* The segment with a heap that an open transaction is told to allocate in; NULL with errno. */
static struct vi_segment *told_to(const struct vi_tx *tx, vista_segment *in)
{
    struct vi_segment *segment = tx != NULL ? vi_segment_check(in) : NULL;

    if (segment == NULL)
        return NULL;
    if (vi_home(segment) != tx->segment)
        return vi_fail(EINVAL, "%s: does not share the log of %s, which the transaction is on",
                       segment->path, tx->segment->path),
               NULL;
    return has_heap(segment);
}

static void *allocate_zeroed(struct vi_tx *tx, struct vi_segment *segment, size_t count,
                             size_t size)
{
    size_t bytes;
    void *block;

    if (segment == NULL)
        return NULL;
    if (__builtin_mul_overflow(count, size, &bytes))
        return vi_fail(ENOMEM, "vista_calloc: %zu times %zu bytes overflows", count, size), NULL;
    block = allocate(tx, segment, bytes, bytes);
    return block != NULL ? memset(block, 0, bytes) : NULL;
}

void *vista_malloc_in(vista_tx *handle, vista_segment *in, size_t size)
{
    struct vi_tx *tx = vi_tx_check(handle);
    struct vi_segment *segment = told_to(tx, in);

    return segment != NULL ? allocate(tx, segment, size, 0) : NULL;
}

void *vista_calloc(vista_tx *handle, size_t count, size_t size)
{
    struct vi_tx *tx = vi_tx_check(handle);

    return allocate_zeroed(tx, tx != NULL ? has_heap(tx->segment) : NULL, count, size);
}

void *vista_calloc_in(vista_tx *handle, vista_segment *in, size_t count, size_t size)
{
    struct vi_tx *tx = vi_tx_check(handle);

    return allocate_zeroed(tx, told_to(tx, in), count, size);
}

void *vista_realloc_in(vista_tx *handle, vista_segment *in, void *address, size_t size)
{
    struct vi_tx *tx = vi_tx_check(handle);
    struct vi_segment *segment = told_to(tx, in);

    if (segment == NULL)
        return NULL;
    if (address == NULL)
        return allocate(tx, segment, size, 0);
    if ((uintptr_t)address - (uintptr_t)segment->map.data >= vi_segment_size(segment))
        return vi_fail(EINVAL, "%s: %p is not in it", segment->path, address), NULL;
    return vista_realloc(handle, address, size);
}

/* Makes a large block longer where it lies; the last one of a heap that grows makes that larger.
 * False: it has to move. */
static bool extend(struct vi_tx *tx, struct vi_segment *segment, void *block, size_t old,
                   size_t size)
{
    struct vi_heap *heap = segment->heap;
    const uint64_t offset = (uintptr_t)block - (uintptr_t)segment->map.data,
                   left = vi_segment_size(segment) - offset;

    if (old < VI_PAGE)
        return false;
    if (!vi_heap_extend(heap, &tx->log, block, size) &&
        (errno != 0 || !segment->grows || size <= left || !vi_heap_is_last(heap, block) ||
         grow_for(segment, size - left) != 0 || !vi_heap_extend(heap, &tx->log, block, size)))
        return false;
    return segment->ranges == NULL ||
           vi_ranges_allow(tx, (char *)block + old,
                           vi_heap_usable_size(heap, &tx->log, block) - old, 0) == 0;
}

/* A block for one that grows and has to move.  If it had grown before it gets twice its size,
 * where there is room: so what is copied in all is in proportion to what it comes to. */
static void *move_to(struct vi_tx *tx, struct vi_segment *segment, const void *from, size_t old,
                     size_t size)
{
    void *block = NULL;

    if (size > old && size < 2 * old && !vi_watched && vi_heap_has_grown(segment->heap, from))
        block = vi_heap_malloc(segment->heap, &tx->log, 2 * old);
    if (block == NULL)
        block = allocate(tx, segment, size, size < old ? size : old);
    else if (segment->ranges != NULL)
        block = open_block(tx, segment, block, old);
    if (block != NULL && size > old)
        vi_heap_note_growth(segment->heap, block);
    return block;
}

/* A block that stays where it is has bytes that were not asked for before, and are stored to
 * without a range.  Where commits are made of what was declared, all is that was there before;
 * NULL: it cannot be. */
static void *keep_block(struct vi_tx *tx, const struct vi_segment *segment, void *block, size_t old,
                        size_t size)
{
    const struct iovec whole = {block, old};

    if (segment->persist.class == VISTA_CLASS_DISK) {
        vi_heap_show(segment->heap, block, old, true); /* to be logged */
        if (segment->group->engine->declare(tx, &whole, 1) != 0)
            return NULL;
    }
    vi_heap_show(segment->heap, block, size, true);
    return block;
}

void *vista_realloc(vista_tx *handle, void *address, size_t size)
{
    struct vi_tx *tx = vi_tx_check(handle);
    struct vi_segment *segment = tx != NULL ? owner_of(tx, address) : NULL;
    const size_t margin = vi_watched ? VI_WATCH_MARGIN : 0;
    size_t old;
    void *block;

    if (segment == NULL)
        return NULL;
    if (address == NULL)
        return allocate(tx, segment, size, 0);
    if (vi_heap_is_root(segment->heap, address)) /* which is not the program's to free */
        return vi_fail(EINVAL, "%s: %p is the root, which cannot be freed", segment->path, address),
               NULL;
    old = vi_heap_usable_size(segment->heap, &tx->log, address);
    if (old == 0)
        return NULL;
    if ((size <= old - margin && size + margin >= old / 2) ||
        (size > old && extend(tx, segment, address, old, size + margin)))
        return keep_block(tx, segment, address, old, size);
    vi_heap_show(segment->heap, address, old, true); /* to be copied */
    block = move_to(tx, segment, address, old, size);
    if (block == NULL)
        return NULL;
    if (vi_heap_free(segment->heap, &tx->log, address) != 0) {
        const int error = errno;

        vi_heap_free(segment->heap, &tx->log, block); /* allocated just now: it can go back */
        errno = error;
        return NULL;
    }
    return memcpy(block, address, size < old ? size : old); /* readable until the commit */
}

int vista_free(vista_tx *handle, void *address)
{
    struct vi_tx *tx = vi_tx_check(handle);
    struct vi_segment *segment = tx != NULL ? owner_of(tx, address) : NULL;

    if (VISTA_INLINE_UNLIKELY(segment == NULL))
        return -1;
    return VISTA_INLINE_LIKELY(address != NULL) ? vi_heap_free(segment->heap, &tx->log, address)
                                                : 0;
}

static struct vi_segment *check_heap(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle);

    return segment != NULL ? has_heap(segment) : NULL;
}

size_t vista_usable_size(vista_segment *handle, const void *address)
{
    struct vi_segment *segment = check_heap(handle);
    const size_t size = segment != NULL ? vi_heap_usable_size(segment->heap, NULL, address) : 0;

    if (size != 0)
        vi_heap_show(segment->heap, address, size, true);
    return size;
}

int vista_heap_walk(vista_segment *handle, vista_walk_fn visit, void *arg)
{
    struct vi_segment *segment = check_heap(handle);

    if (segment != NULL && visit == NULL)
        return vi_fail(EINVAL, "vista_heap_walk: nothing to call");
    return segment != NULL ? vi_heap_walk(segment->heap, visit, arg) : -1;
}

/* ---- The root ---------------------------------------------------------- */

/* In a transaction of its own: the root becomes `size` bytes, in place if it can. */
static int grow_root(struct vi_tx *tx, struct vi_segment *segment, struct vi_root old, size_t room,
                     size_t size)
{
    struct vi_heap *heap = segment->heap;
    unsigned char *base = segment->map.data, *from = base + old.offset, *block = from;

    if (room < size) {
        block = allocate(tx, segment, size, size);
        if (block == NULL)
            return -1;
        memcpy(block, from, old.size);
    } else {
        const struct iovec added = {block + old.size, size - old.size};

        vi_heap_show(heap, block, size, true);
        if (vi_tx_declare(tx, &added, 1) != 0 ||
            vi_ranges_allow(tx, added.iov_base, added.iov_len, added.iov_len) != 0)
            return -1;
    }
    memset(block + old.size, 0, size - old.size);
    if (vi_heap_set_root(heap, &tx->log, (struct vi_root){(uint64_t)(block - base), size}) != 0)
        return -1;
    return room < size && old.size != 0 ? vi_heap_free_any(heap, &tx->log, from) : 0;
}

static int change_root(struct vi_segment *segment, struct vi_root old, size_t room, size_t size)
{
    const struct vi_engine *engine = segment->group->engine;
    struct vi_tx *tx;

    if (segment->flags & VISTA_READ_ONLY)
        return vi_fail(EROFS, "%s: is mapped read-only, its root has %llu bytes", segment->path,
                       (unsigned long long)old.size);
    if (old.size != 0 && room < size && vi_tx_count_open(vi_home(segment)) != 0)
        return vi_fail(EBUSY,
                       "%s: its root of %llu bytes would have to move to grow to %zu, and "
                       "transactions are open",
                       segment->path, (unsigned long long)old.size, size);
    tx = engine->begin(vi_home(segment), 0);
    if (tx == NULL)
        return -1;
    if (grow_root(tx, segment, old, room, size) != 0) {
        const int error = errno;

        engine->abort(tx);
        errno = error;
        return -1;
    }
    return engine->commit(tx, 0);
}

void *vista_root(vista_segment *handle, size_t size)
{
    struct vi_segment *segment = check_heap(handle);
    int result = 0;
    struct vi_root root;
    size_t room;

    if (segment == NULL)
        return NULL;
    pthread_mutex_lock(&segment->root_lock);
    root = vi_heap_root(segment->heap);
    room = root.size == 0 || root.offset >= segment->map.data_size
               ? 0
               : vi_heap_usable_size(segment->heap, NULL, segment->map.data + root.offset);
    if (room < root.size)
        result =
            vi_fail(EBADMSG, "%s: damaged: its root, %llu bytes at %llu, is no block",
                    segment->path, (unsigned long long)root.size, (unsigned long long)root.offset);
    else if (root.size == 0 && size == 0)
        result = vi_fail(ENOENT, "%s: has no root yet", segment->path);
    else if (root.size < size)
        result = change_root(segment, root, room, size);
    root = vi_heap_root(segment->heap);
    pthread_mutex_unlock(&segment->root_lock);
    return result == 0 ? segment->map.data + root.offset : NULL;
}
