/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Spans: loaded from what an earlier mapping stored, made, ended; blocks taken from them and given
 * back.
 */
#ifndef VI_HEAP_SPANS_H
#define VI_HEAP_SPANS_H

#include "heap/heap_state.h"

/* The first block of a span from number `from` on that is marked as allocated, or how
 * many blocks it has. */
uint32_t vi_span_allocated(const struct vi_heap *heap, uint64_t head, uint64_t descriptor,
                           uint32_t from);

/* What the map says of a unit, the span that it is in loaded; 0: it is in no small one
 * and at the beginning of no large one.  Takes the lock. */
unsigned vi_span_load(struct vi_heap *heap, uint64_t unit);

/* All of the following are called with the lock. */

/* A new span, its blocks free.  VI_NONE with errno 0: there is no room; else with errno. */
uint64_t vi_span_make(struct vi_heap *heap, unsigned kind, unsigned class, uint64_t units,
                      unsigned shard);
/* A span with free blocks of a small class; VI_NONE as above. */
uint64_t vi_span_find(struct vi_heap *heap, unsigned class, unsigned shard);
/* Makes a large block's span `units` long; false as vi_runs_take_at. */
bool vi_span_extend(struct vi_heap *heap, uint64_t head, uint64_t units);
/* Free blocks of a span, up to `most`, into an empty magazine. */
void vi_span_take(struct vi_heap *heap, uint64_t head, struct vi_magazine *magazine, uint32_t most);
/* The tools that look on are told that it may not be used. */
void vi_block_hide(const struct vi_heap *heap, uint64_t block);

/* A block is free; the last of a span ends it. */
void vi_span_put(struct vi_heap *heap, uint64_t block);
/* Loads a bounded number of spans, ends those that are empty.  False: none was left. */
bool vi_spans_load_some(struct vi_heap *heap, unsigned shard);

#endif
