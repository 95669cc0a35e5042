/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A segment's size changes.
 */
#ifndef VI_CORE_RESIZE_H
#define VI_CORE_RESIZE_H

#include "core/segment.h"

/*
 * Makes the data larger, or smaller: what is above goes.  The caller keeps two from doing
 * so at once, and transactions from being open while it shrinks.  On failure nothing has
 * changed.
 */
int vi_segment_grow(struct vi_segment *segment, uint64_t size);
int vi_segment_shrink(struct vi_segment *segment, uint64_t size);

#endif
