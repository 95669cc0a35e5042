/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A segment with its heap: opened, resized and closed.
 */
#ifndef VI_API_OPENING_H
#define VI_API_OPENING_H

#include "core/segment.h"

/* Opened, with what its records mean, and not yet recovered. */
struct vi_segment *vi_open_segment(const char *path, size_t size, unsigned flags,
                                   const struct vista_map_options *options);
int vi_close_segment(struct vi_segment *segment, bool clean);

/* As vista_resize, with size_lock and a size that makes sense. */
int vi_resize_segment(struct vi_segment *segment, uint64_t size);

/* From now on tools that look on are told which memory is a block's, or are not any more. */
void vi_watch_segment(const struct vi_segment *segment, bool on);

#endif
