/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the stored descriptor of a unit can be.
 */
#ifndef VI_HEAP_DESCRIPTOR_H
#define VI_HEAP_DESCRIPTOR_H

#include "heap/heap_state.h"

/* Passes over units from `unit` on that have none, up to `end`: those of a page of descriptors, or
 * of a hole in the file.  Where it does not move, that unit has one. */
uint64_t vi_descriptor_pass(const struct vi_heap *heap, uint64_t unit, uint64_t end);

/* Does the descriptor make sense for a span that begins at `unit`? */
bool vi_descriptor_valid(const struct vi_heap *heap, uint64_t unit, uint64_t descriptor);

/* Is it valid, and are those behind it zero, so that it overlaps no other? */
bool vi_span_sound(const struct vi_heap *heap, uint64_t head, uint64_t descriptor);

#endif
