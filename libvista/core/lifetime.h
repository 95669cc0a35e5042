/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How a file becomes a mapped segment, and a file again.
 *
 * Opening takes three steps, between which the caller puts in what this layer does
 * not know: vi_segment_open; setting `contexts` and vi_logs_use (what records mean);
 * vi_recover; vi_segment_start.
 */
#ifndef VI_CORE_LIFETIME_H
#define VI_CORE_LIFETIME_H

#include "core/segment.h"

/* What vi_segment_open fails with where an earlier opening left what has to be recovered first
 * in its own class: a redo log; an undo log, where the disk class is wanted. */
#define VI_LEFT_REDO 0x7001
#define VI_LEFT_UNDO 0x7002

/* A flag of vi_segment_open: the redo log that was left is to be applied to the file; its image is
 * not used. */
#define VI_REPLAY 0x80000000u

/* Opens or creates; arguments are checked by the caller.  Errors as vista_map. */
struct vi_segment *vi_segment_open(const char *path, size_t size, unsigned flags,
                                   const struct vista_map_options *options);

/* Marks the segment as open, durably, and lets transactions begin. */
int vi_segment_start(struct vi_segment *segment);

/* Undoes vi_segment_open and start; the file is marked clean if `clean`.  The handle
 * is gone, also on failure. */
int vi_segment_close(struct vi_segment *segment, bool clean);

#endif
