/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The disk class: what runs the transactions of a group whose segments are private images, and
 * whose commits go to a redo log in home's file.
 *
 * A commit does to the image what the kill-safe class does to the file; then it is told what has
 * changed, by the undo log, and copies the values to a record (core/redo.h).
 */
#ifndef VI_DISK_DISK_H
#define VI_DISK_DISK_H

#include "core/operations.h"
#include "core/segment.h"
#include "disk/stream.h"

/* Where a segment's file has its redo log, the smallest; the header tells its real size. */
struct vi_disk_area vi_disk_area_of(const struct vi_file *file, const struct vi_superblock *s);

struct vi_disk_target;

/* What records may change of a segment whose data has or may have so many bytes. */
void vi_disk_set_target(struct vi_disk_target *target, const struct vi_superblock *s, int fd,
                        uint64_t size);

/* Makes what the redo log says part of the data, of the segment and of those members that it names,
 * which `attach` opens, in their files.  The segment was opened with VI_REPLAY; it can be closed,
 * clean, then.  0, also if there was nothing to do; -1 with errno as vista_map. */
int vi_disk_recover(struct vi_segment *segment, vi_attach_fn *attach);

/* Begins with a redo log, an empty one, before the segment starts; it is the segment's group's
 * engine from then on.  A member's commits go to home's.  Of a segment of another class the file has no
 * redo log from then on. */
int vi_disk_open(struct vi_segment *segment, unsigned flags,
                 const struct vista_map_options *options);

/* Makes the data in the files what was committed; -1 with errno. */
int vi_disk_settle(struct vi_segment *segment);

/* How many pages automatic ranges can change in one transaction by default; 0: the segment is of
 * another class. */
uint64_t vi_disk_pages(const struct vi_segment *segment);

/* They may change so many more in a transaction of the segment's group, or fewer.  -1: ENOSPC, EIO, and not
 * for fewer. */
int vi_disk_reserve_pages(const struct vi_segment *segment, int64_t pages);

/* Sets the disk class's fields, which are zero. */
void vi_disk_count(const struct vi_segment *segment, struct vista_info *info);

#endif
