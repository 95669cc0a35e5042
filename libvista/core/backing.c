/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which parts of a segment have disk blocks: of a sparse one those that were used since it was
 * mapped, by groups (see group_size), each with the heap's metadata for it.
 */
#include "core/backing.h"

#include <errno.h>

#include "base/error.h"

/* The heap's metadata for units and the data: where in the file, and how much. */
struct parts {
    uint64_t offset[3], length[3];
};

static struct parts parts_of(const struct vi_superblock *s, uint64_t offset, uint64_t length)
{
    const uint64_t first = offset / VI_UNIT, units = (length + VI_UNIT - 1) / VI_UNIT;
    const uint64_t descriptors = vi_superblock_descriptors(s) + first * sizeof(uint64_t),
                   marks = vi_superblock_marks(s) + first * VI_MARKS_PER_UNIT;

    if (s->heap_offset == 0)
        return (struct parts){{s->data_offset + offset}, {length}};
    return (struct parts){{s->data_offset + offset, descriptors, marks},
                          {length, units * sizeof(uint64_t), units * VI_MARKS_PER_UNIT}};
}

int vi_segment_allocate(struct vi_segment *segment, uint64_t offset, uint64_t length)
{
    const struct parts parts = parts_of(&segment->superblock, offset, length);

    for (int i = 2; i >= 0; i--)
        if (parts.length[i] != 0 &&
            vi_file_allocate(&segment->file, parts.offset[i], parts.length[i]) != 0)
            return -1;
    return 0;
}

void vi_segment_cut(struct vi_segment *segment, uint64_t size, uint64_t old)
{
    const struct parts parts = parts_of(&segment->superblock, size, old - size);

    for (int i = 1; i < 3; i++)
        vi_file_punch(&segment->file, parts.offset[i], parts.length[i]);
    (void)vi_file_truncate(&segment->file, parts.offset[0]);
}

static uint64_t group_bit(uint64_t group)
{
    return (uint64_t)1 << group % 64;
}

static bool is_backed(const struct vi_segment *segment, uint64_t group)
{
    return __atomic_load_n(&segment->backed[group / 64], __ATOMIC_ACQUIRE) & group_bit(group);
}

static uint64_t group_length(const struct vi_segment *segment, uint64_t group)
{
    const uint64_t left = vi_segment_size(segment) - group * segment->group_size;

    return left < segment->group_size ? left : segment->group_size;
}

/* What the groups from `from` to `to` that are not backed lack is more than the disk has. */
static bool is_too_much(const struct vi_segment *segment, uint64_t from, uint64_t to)
{
    const struct vi_superblock *s = &segment->superblock;
    const uint64_t room = vi_file_room(&segment->file);
    uint64_t lacking = 0;

    for (uint64_t group = from; group < to && lacking <= room; group++)
        if (!is_backed(segment, group))
            lacking += vi_file_holes(&segment->file, s->data_offset + group * segment->group_size,
                                     group_length(segment, group));
    return lacking > room;
}

/* What is a hole in the group was never stored to, and becomes one again. */
static void give_back(const struct vi_segment *segment, uint64_t group)
{
    const struct parts parts =
        parts_of(&segment->superblock, group * segment->group_size, group_length(segment, group));

    for (int i = 0; i < 3; i++)
        vi_file_punch_holes(&segment->file, parts.offset[i], parts.length[i]);
}

/* With `backing`: groups from `from` to `to` that no one has used since the mapping. */
static int back_groups(struct vi_segment *segment, uint64_t from, uint64_t to)
{
    uint64_t group;
    int error;

    if (to - from > 1 && is_too_much(segment, from, to))
        return vi_fail_system(ENOSPC, "%s: cannot allocate %llu bytes on the disk", segment->path,
                              (unsigned long long)((to - from) * segment->group_size));
    for (group = from; group < to; group++)
        if (!is_backed(segment, group) && vi_segment_allocate(segment, group * segment->group_size,
                                                              group_length(segment, group)) != 0)
            break;
    error = errno;
    if (group < to)
        to = group + 1;
    for (uint64_t done = from; done < to; done++)
        if (!is_backed(segment, done)) {
            if (group < to)
                give_back(segment, done);
            else
                __atomic_fetch_or(&segment->backed[done / 64], group_bit(done), __ATOMIC_RELEASE);
        }
    errno = error;
    return group < to ? -1 : 0;
}

int vi_segment_back(struct vi_segment *segment, uint64_t offset, uint64_t length)
{
    const uint64_t to = (offset + length + segment->group_size - 1) / segment->group_size;
    uint64_t from = offset / segment->group_size;
    int result = 0;

    if (!(segment->flags & VISTA_SPARSE))
        return 0;
    while (from < to && is_backed(segment, from))
        from++;
    if (from == to)
        return 0;
    pthread_mutex_lock(&segment->backing);
    result = back_groups(segment, from, to);
    pthread_mutex_unlock(&segment->backing);
    return result;
}

static void forget(struct vi_segment *segment, uint64_t from, uint64_t last)
{
    for (uint64_t group = from / segment->group_size; group <= last / segment->group_size; group++)
        __atomic_fetch_and(&segment->backed[group / 64], ~group_bit(group), __ATOMIC_RELEASE);
}

void vi_segment_forget_backed(struct vi_segment *segment, uint64_t from, uint64_t last)
{
    pthread_mutex_lock(&segment->backing); /* whoever is at it knows of the old size */
    if (segment->backed != NULL)
        forget(segment, from, last);
    pthread_mutex_unlock(&segment->backing);
}

bool vi_segment_unback(struct vi_segment *segment, uint64_t offset, uint64_t length)
{
    const struct parts parts = parts_of(&segment->superblock, offset, length);

    if (segment->ranges != NULL) /* what watches pages is not to lose them meanwhile */
        return false;
    pthread_mutex_lock(&segment->backing);
    forget(segment, offset, offset + length - 1);
    for (int i = 0; i < 3; i++)
        if (i != 1) /* descriptors of a group are less than a page of the disk */
            vi_file_punch(&segment->file, parts.offset[i], parts.length[i]);
    pthread_mutex_unlock(&segment->backing);
    return true;
}
