/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Free groups of a sparse heap, whose disk blocks can be given back; called with the heap's lock.
 */
#ifndef VI_HEAP_IDLE_H
#define VI_HEAP_IDLE_H

#include "heap/heap_state.h"

/* Some units of the free run have just become free. */
void vi_idle_add(struct vi_heap *heap, uint64_t unit, uint64_t units, uint64_t run,
                 uint64_t length);
/* These are used from now on. */
void vi_idle_remove(struct vi_heap *heap, uint64_t unit, uint64_t units);
/* Gives the disk blocks of all of them back. */
void vi_idle_give(struct vi_heap *heap);

#endif
