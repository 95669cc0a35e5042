/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Looking through the heap: every block, the totals, and what tools that look on are told.
 */
#ifndef VI_HEAP_VISIT_H
#define VI_HEAP_VISIT_H

#include "heap/heap.h"

/* As vista_heap_walk. */
int vi_heap_walk(struct vi_heap *heap, vista_walk_fn visit, void *arg);

/* Sets the heap's fields, which are zero. */
void vi_heap_count(struct vi_heap *heap, struct vista_info *info);

/* From now on tools that look on are told which memory is a block's, or are not any
 * more.  Then, how much of a block may be used, and if it has contents. */
void vi_heap_watch(struct vi_heap *heap, bool on);
void vi_heap_show(const struct vi_heap *heap, const void *block, size_t size, bool contents);

#endif
