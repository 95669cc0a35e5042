/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Disk blocks behind a segment's data.
 */
#ifndef VI_CORE_BACKING_H
#define VI_CORE_BACKING_H

#include "core/segment.h"

/* Allocates the disk blocks of a part of the data and of the heap's metadata for it. */
int vi_segment_allocate(struct vi_segment *segment, uint64_t offset, uint64_t length);

/* Gives back those behind `size`, up to `old`, where the heap's metadata is zero. */
void vi_segment_cut(struct vi_segment *segment, uint64_t size, uint64_t old);

/* The same where the segment is sparse, by 2 MiB and only once. */
int vi_segment_back(struct vi_segment *segment, uint64_t offset, uint64_t length);

/* The groups that the bytes `from` to `last` are in are to be backed again before they are used. */
void vi_segment_forget_backed(struct vi_segment *segment, uint64_t from, uint64_t last);

/* Gives the disk blocks of whole groups back, whose bytes are of no use and whose heap's metadata
 * is zero.  False: pages are watched, and it was not done. */
bool vi_segment_unback(struct vi_segment *segment, uint64_t offset, uint64_t length);

#endif
