/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A segment's size changes.  What counts is the superblock's: when a segment grows, disk
 * blocks are there, durably, before it says so; when it shrinks, they are given back after.
 * So a crash leaves the old size or the new one, and at most some blocks behind it.
 */
#include "core/resize.h"

#include <errno.h>

#include "base/error.h"
#include "core/backing.h"
#include "core/handles.h"

static int store_size(struct vi_segment *segment, uint64_t size)
{
    struct vi_superblock *s = &segment->superblock;
    const uint64_t old = s->size;
    int error;

    s->size = size;
    if (vi_superblock_write(&segment->file, &segment->persist, segment->map.meta, s) == 0)
        return 0;
    error = errno; /* one copy may say it: a newer one is not to */
    s->size = old;
    (void)vi_superblock_write(&segment->file, &segment->persist, segment->map.meta, s);
    errno = error;
    return -1;
}

/* From now on this is the size.  Handles learn that there is more when a range is declared
 * there, that there is less at once. */
static void publish(struct vi_segment *segment, uint64_t size)
{
    const bool less = size < segment->map.data_size;

    __atomic_store_n(&segment->map.data_size, size, __ATOMIC_RELEASE);
    if (less)
        vi_tx_set_bounds_all(vi_home(segment));
}

/* The file's length and its blocks are durable: also what a shrinking before cut off. */
static int sync_file(const struct vi_segment *segment)
{
    if (segment->persist.ops.sync(segment->file.fd) == 0)
        return 0;
    return vi_fail_system(errno, "%s: cannot sync", segment->path);
}

int vi_segment_grow(struct vi_segment *segment, uint64_t size)
{
    const uint64_t old = segment->map.data_size, end = segment->superblock.data_offset;
    int error;

    if (size > segment->map.reserved)
        return vi_fail(ENOMEM, "%s: the address space up to %llu bytes is not reserved",
                       segment->path, (unsigned long long)size);
    /* A crash may have left something behind the old end. */
    if (vi_segment_intact(segment) != 0 || vi_file_truncate(&segment->file, end + old) != 0)
        return -1;
    if (vi_file_truncate(&segment->file, end + size) == 0 &&
        (segment->flags & VISTA_SPARSE || vi_segment_allocate(segment, old, size - old) == 0) &&
        sync_file(segment) == 0 &&
        vi_map_extend(&segment->map, &segment->file, end, old, size) == 0) {
        if (store_size(segment, size) == 0) {
            /* First: what is published may be used.  Of the group that the old size ends in only a
             * part may have disk blocks. */
            vi_segment_forget_backed(segment, old, old);
            publish(segment, size);
            return 0;
        }
        error = errno; /* and the file stays as long as either copy may say */
        vi_map_cut(&segment->map, old, size);
    } else {
        error = errno;
        vi_segment_cut(segment, old, size);
    }
    errno = error;
    return -1;
}

int vi_segment_shrink(struct vi_segment *segment, uint64_t size)
{
    const uint64_t old = segment->map.data_size;

    if (vi_segment_intact(segment) != 0 || store_size(segment, size) != 0)
        return -1;
    publish(segment, size);
    vi_map_cut(&segment->map, size, old);
    vi_segment_forget_backed(segment, size, old);
    vi_segment_cut(segment, size, old);
    return 0;
}
