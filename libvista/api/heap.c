/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls on the persistent heap.
 */
#include "heap/heap.h"

#include <errno.h>

#include "base/error.h"
#include "core/transaction.h"
#include "ranges/ranges.h"

/* The open transaction behind a handle, on a segment that has a heap. */
static struct vi_tx *check(vista_tx *handle)
{
    struct vi_tx *tx = vi_tx_check(handle);

    if (tx != NULL && tx->segment->heap == NULL)
        return vi_fail(ENOTSUP, "%s: has no heap", tx->segment->path), NULL;
    return tx;
}

/* The root is not the program's to free. */
static int check_not_root(const struct vi_tx *tx, const void *address)
{
    const struct vi_root root = vi_heap_root(tx->segment->heap);

    if (root.size == 0 || (uintptr_t)address - (uintptr_t)tx->segment->map.data != root.offset)
        return 0;
    return vi_fail(EINVAL, "%s: %p is the root, which cannot be freed", tx->segment->path, address);
}

/* Grows the heap, by a quarter if the disk has it, so that `size` bytes fit. */
static int grow_for(struct vi_segment *segment, size_t size)
{
    const uint64_t old = vi_segment_size(segment), left = segment->superblock.max_size - old,
                   need = vi_segment_round(size, segment->flags), more = old / 4;

    if (left == 0 || need > left)
        return errno = ENOMEM, -1;
    if (more > need && vista_resize(&segment->handle, old + (more < left ? more : left)) == 0)
        return 0;
    return vista_resize(&segment->handle, old + need);
}

static void *get_block(struct vi_tx *tx, size_t size)
{
    struct vi_segment *segment = tx->segment;
    void *block = vi_heap_malloc(segment->heap, &tx->log, size);

    while (block == NULL && errno == ENOMEM && segment->grows && grow_for(segment, size) == 0)
        block = vi_heap_malloc(segment->heap, &tx->log, size);
    return block;
}

/* Allocates, and opens `stored` bytes to stores by the library, which is not to fault
 * in the middle of a call. */
static void *allocate(struct vi_tx *tx, size_t size, size_t stored)
{
    struct vi_heap *heap = tx->segment->heap;
    void *block = get_block(tx, size);
    int error;

    if (tx->segment->ranges == NULL || block == NULL ||
        (vi_ranges_prepare(tx, block, stored) == 0 &&
         vi_ranges_allow(tx, block, vi_heap_usable_size(heap, &tx->log, block)) == 0))
        return block;
    error = errno;
    vi_heap_free(heap, &tx->log, block); /* allocated just now: it can go back */
    errno = error;
    return NULL;
}

void *vista_malloc(vista_tx *handle, size_t size)
{
    struct vi_tx *tx = check(handle);

    return tx != NULL ? allocate(tx, size, 0) : NULL;
}

void *vista_calloc(vista_tx *handle, size_t count, size_t size)
{
    struct vi_tx *tx = check(handle);
    size_t bytes;
    void *block;

    if (tx == NULL)
        return NULL;
    if (__builtin_mul_overflow(count, size, &bytes))
        return vi_fail(ENOMEM, "vista_calloc: %zu times %zu bytes overflows", count, size), NULL;
    block = allocate(tx, bytes, bytes);
    return block != NULL ? memset(block, 0, bytes) : NULL;
}

void *vista_realloc(vista_tx *handle, void *address, size_t size)
{
    struct vi_tx *tx = check(handle);
    struct vi_heap *heap = tx != NULL ? tx->segment->heap : NULL;
    size_t old;
    void *block;

    if (tx == NULL)
        return NULL;
    if (address == NULL)
        return allocate(tx, size, 0);
    if (check_not_root(tx, address) != 0)
        return NULL;
    old = vi_heap_usable_size(heap, &tx->log, address);
    if (old == 0 || (size <= old && size >= old / 2))
        return old == 0 ? NULL : address;
    block = allocate(tx, size, size < old ? size : old);
    if (block == NULL)
        return NULL;
    if (vi_heap_free(heap, &tx->log, address) != 0) {
        const int error = errno;

        vi_heap_free(heap, &tx->log, block); /* allocated just now: it can always go back */
        errno = error;
        return NULL;
    }
    return memcpy(block, address, size < old ? size : old); /* readable until the commit */
}

int vista_free(vista_tx *handle, void *address)
{
    struct vi_tx *tx = check(handle);

    if (tx == NULL)
        return -1;
    if (address == NULL)
        return 0;
    if (check_not_root(tx, address) != 0)
        return -1;
    return vi_heap_free(tx->segment->heap, &tx->log, address);
}

static struct vi_segment *check_heap(vista_segment *handle)
{
    struct vi_segment *segment = vi_segment_check(handle);

    if (segment != NULL && segment->heap == NULL)
        return vi_fail(ENOTSUP, "%s: has no heap", segment->path), NULL;
    return segment;
}

size_t vista_usable_size(vista_segment *handle, const void *address)
{
    struct vi_segment *segment = check_heap(handle);

    return segment != NULL ? vi_heap_usable_size(segment->heap, NULL, address) : 0;
}

int vista_heap_walk(vista_segment *handle, vista_walk_fn visit, void *arg)
{
    struct vi_segment *segment = check_heap(handle);

    if (segment != NULL && visit == NULL)
        return vi_fail(EINVAL, "vista_heap_walk: nothing to call");
    return segment != NULL ? vi_heap_walk(segment->heap, visit, arg) : -1;
}

/* ---- The root ---------------------------------------------------------- */

/* Bytes of the root's block; 0 if there is none. */
static size_t room_of(const struct vi_segment *segment, struct vi_root root)
{
    if (root.size == 0 || root.offset >= segment->map.data_size)
        return 0;
    return vi_heap_usable_size(segment->heap, NULL, segment->map.data + root.offset);
}

/* In a transaction of its own: the root becomes `size` bytes, in place if it can. */
static int grow_root(struct vi_tx *tx, struct vi_root old, size_t room, size_t size)
{
    struct vi_heap *heap = tx->segment->heap;
    unsigned char *base = tx->segment->map.data, *from = base + old.offset, *block = from;

    if (room < size) {
        block = allocate(tx, size, size);
        if (block == NULL)
            return -1;
        memcpy(block, from, old.size);
    } else {
        const struct iovec fresh = {block + old.size, size - old.size};

        if (vi_tx_declare(tx, &fresh, 1) != 0 ||
            vi_ranges_prepare(tx, fresh.iov_base, fresh.iov_len) != 0 ||
            vi_ranges_allow(tx, fresh.iov_base, fresh.iov_len) != 0)
            return -1;
    }
    memset(block + old.size, 0, size - old.size);
    if (vi_heap_set_root(heap, &tx->log, (struct vi_root){(uint64_t)(block - base), size}) != 0)
        return -1;
    return room < size && old.size != 0 ? vi_heap_free(heap, &tx->log, from) : 0;
}

static int change_root(struct vi_segment *segment, struct vi_root old, size_t room, size_t size)
{
    struct vi_tx *tx;

    if (segment->flags & VISTA_READ_ONLY)
        return vi_fail(EROFS, "%s: is mapped read-only, its root has %llu bytes", segment->path,
                       (unsigned long long)old.size);
    if (old.size != 0 && room < size && vi_tx_count_open(segment) != 0)
        return vi_fail(EBUSY,
                       "%s: its root of %llu bytes would have to move to grow to %zu, and "
                       "transactions are open",
                       segment->path, (unsigned long long)old.size, size);
    tx = vi_ranges_begin(segment, 0);
    if (tx == NULL)
        return -1;
    if (grow_root(tx, old, room, size) != 0) {
        const int error = errno;

        vi_ranges_abort(tx);
        errno = error;
        return -1;
    }
    return vi_ranges_commit(tx);
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
    room = room_of(segment, root);
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
