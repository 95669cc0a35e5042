/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows below are wired together: see opening.h.
 */
#include "api/opening.h"

#include <errno.h>

#include "base/error.h"
#include "base/watch.h"
#include "core/backing.h"
#include "core/engine.h"
#include "core/lifetime.h"
#include "core/redo.h"
#include "core/resize.h"
#include "core/transaction.h"
#include "disk/disk.h"
#include "heap/heap.h"
#include "heap/heap_kinds.h"
#include "heap/visit.h"
#include "media/io.h"
#include "ranges/ranges.h"

static void note(struct vi_segment *segment, const void *address, size_t length)
{
    vi_redo_note(segment->group->redo, segment, address, length);
}

/* Of the file, where the metadata is mapped as it is there. */
static uint64_t hole(const struct vi_segment *segment, const void *address)
{
    return vi_io_hole(segment->file.fd,
                      (uint64_t)((const unsigned char *)address - segment->map.meta));
}

static struct vi_heap *make_heap(struct vi_segment *segment, uint64_t size)
{
    const struct vi_superblock *s = &segment->superblock;
    unsigned char *meta = segment->map.meta;
    const struct vi_heap_area area = {
        .header = (struct vi_heap_header *)(meta + s->heap_offset),
        .descriptors = (uint64_t *)(meta + vi_superblock_descriptors(s)),
        .marks = meta + vi_superblock_marks(s),
        .base = segment->map.data,
        .size = size,
        .max_size = s->max_size,
        .persist = &segment->persist,
        .path = segment->path,
        .left_open = !s->clean,
        .back = segment->flags & VISTA_SPARSE ? vi_segment_back : NULL,
        .unback = segment->flags & VISTA_SPARSE && segment->persist.class != VISTA_CLASS_DISK
                      ? vi_segment_unback
                      : NULL, /* the log may still say what is there */
        .note = segment->persist.class == VISTA_CLASS_DISK ? note : NULL,
        .each_idle = vi_tx_each_idle,
        .hole = segment->map.is_private ? NULL : hole,
        .segment = segment,
    };

    return vi_heap_open(&area);
}

static int open_heap(struct vi_segment *segment, struct vi_heap *heap)
{
    if (heap == NULL)
        return -1;
    segment->heap = heap;
    for (unsigned kind = VI_KIND_UNDO + 1; kind < VI_KINDS; kind++)
        segment->contexts[kind] = heap;
    return 0;
}

/* What finds ranges by itself copies whole pages: there nobody is told. */
void vi_watch_segment(const struct vi_segment *segment, bool on)
{
    if (vi_watched && segment->heap != NULL && segment->ranges == NULL)
        vi_heap_watch(segment->heap, on);
}

/* errno stays, unless this fails: of several, or after a failure, it is the first's. */
int vi_close_segment(struct vi_segment *segment, bool clean)
{
    const uint64_t pages = vi_ranges_pages(segment, segment->map.data_size);
    const int error = errno;
    int result;

    vi_watch_segment(segment, false);
    vi_ranges_close(segment); /* which are its group's, too */
    (void)vi_disk_reserve_pages(segment, -(int64_t)pages);
    if (clean && segment->heap != NULL && !(segment->flags & VISTA_READ_ONLY))
        vi_heap_trim(segment->heap, vi_home(segment)->logs.slots);
    if (vi_is_member(segment)) {
        struct vi_segment *home = vi_home(segment);

        vi_group_leave(segment);
        vi_tx_set_bounds_all(home);
    }
    if (segment->heap != NULL)
        vi_heap_close(segment->heap);
    result = (segment->own.engine->close)(segment, clean);
    if (result == 0)
        errno = error;
    return result;
}

/* Opened, with what its records mean, and not yet recovered. */
struct vi_segment *vi_open_segment(const char *path, size_t size, unsigned flags,
                                   const struct vista_map_options *options)
{
    struct vi_segment *segment = vi_segment_open(path, size, flags, options);

    if (segment == NULL)
        return NULL;
    vi_engine_set(&segment->own, vi_engine_of(&segment->persist));
    segment->accept_torn = flags & VISTA_ACCEPT_TORN;
    segment->contexts[VI_KIND_UNDO] = segment;
    vi_logs_use(&segment->logs, vi_heap_kinds);
    if (!(segment->flags & VISTA_NO_HEAP) &&
        open_heap(segment, make_heap(segment, segment->superblock.size)) != 0) {
        vi_close_segment(segment, false);
        return NULL;
    }
    return segment;
}

/* No transaction is open, and the part above holds no block. */
static int shrink(struct vi_segment *segment, uint64_t size)
{
    struct vi_heap *heap = NULL, *old = segment->heap;
    int result, error;

    if (old != NULL) {
        heap = make_heap(segment, size);
        if (heap == NULL)
            return -1;
    }
    if (old != NULL && vi_heap_cut(old, size) != 0) {
        error = errno;
        vi_heap_close(heap);
        errno = error;
        return -1;
    }
    vi_watch_segment(segment, false);
    result = vi_disk_settle(segment) == 0 ? vi_segment_shrink(segment, size) : -1;
    error = errno;
    if (heap != NULL) { /* what the old one knows of is gone */
        if (result != 0)
            vi_heap_grow(heap, vi_segment_size(segment));
        open_heap(segment, heap);
        vi_heap_close(old);
    }
    vi_watch_segment(segment, true);
    errno = error;
    return result;
}

/* With size_lock. */
int vi_resize_segment(struct vi_segment *segment, uint64_t size)
{
    const uint64_t old = segment->map.data_size, open = vi_tx_count_open(vi_home(segment));
    const uint64_t pages = vi_ranges_pages(segment, size), before = vi_ranges_pages(segment, old);
    const uint64_t most = pages > before ? pages : before;
    const bool watched = segment->heap == NULL && segment->ranges != NULL;
    int result;

    if (open != 0 && (size < old || (size > old && watched)))
        return vi_fail(EBUSY, "%s: cannot %s while transactions are open: %llu", segment->path,
                       size < old ? "shrink" : "grow", (unsigned long long)open);
    if (vi_disk_reserve_pages(segment, (int64_t)(most - before)) != 0)
        return -1;
    result = size < old ? shrink(segment, size) : size > old ? vi_segment_grow(segment, size) : 0;
    (void)vi_disk_reserve_pages(segment, (int64_t)((result == 0 ? pages : before) - most));
    if (result != 0)
        return -1;
    vi_ranges_resize(segment);
    if (segment->heap != NULL)
        vi_heap_grow(segment->heap, size);
    return 0;
}
