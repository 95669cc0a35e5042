/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Free runs of units, in bins by length; called with the heap's lock.
 */
#ifndef VI_HEAP_RUNS_H
#define VI_HEAP_RUNS_H

#include "heap/heap_state.h"

/* Lists of runs or spans, that begin at `first`. */
void vi_list_add(struct vi_heap *heap, uint32_t *first, uint64_t unit);
void vi_list_remove(struct vi_heap *heap, uint32_t *first, uint64_t unit);

/* Returns how long the run has become. */
uint64_t vi_runs_put(struct vi_heap *heap, uint64_t unit, uint64_t units);
/* Is the unit behind what was looked through for free runs? */
static inline bool vi_runs_unknown(const struct vi_heap *heap, uint64_t unit)
{
    return unit >= heap->frontier && unit < heap->limit;
}

/* Looks through the rest of the heap. */
void vi_runs_find(struct vi_heap *heap);

/* Looks further through the heap, far if it must, and allocates the disk blocks.  VI_NONE
 * with errno 0: no room; else with errno. */
uint64_t vi_runs_take(struct vi_heap *heap, uint64_t units);

/* The same of the units from `unit` on, which a span lies before.  False with errno 0: they are
 * not all free; else with errno. */
bool vi_runs_take_at(struct vi_heap *heap, uint64_t unit, uint64_t units);

#endif
