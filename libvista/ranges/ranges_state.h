/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a segment with automatic ranges has in memory: see ranges.h.
 */
#ifndef VI_RANGES_RANGES_STATE_H
#define VI_RANGES_RANGES_STATE_H

#include <stdatomic.h>

#include "core/page_log.h"
#include "core/segment.h"
#include "ranges/hot.h"
#include "ranges/protect.h"
#include "ranges/undeclared.h"

enum vi_ranges_state {
    VI_RANGES_IDLE,
    VI_RANGES_BUSY, /* a transaction begins or ends: stores are none of its */
    VI_RANGES_OPEN
};

struct vi_ranges {
    struct vi_ranges *next;  /* in the list of all, which only grows */
    _Atomic(uintptr_t) base; /* of the data; 0: of no segment now */
    atomic_size_t size;
    struct vi_segment *segment;
    struct vi_ranges *home; /* of its group, which may be it alone */

    /* Under home's lock: */
    struct vi_protect protect;
    struct vi_hot hot;          /* but with VISTA_CHECK_RANGES */
    uint64_t quota;             /* pages that it adds to home's budget, if it has as many; 0: all */
    uint64_t unlogged_from;     /* pages from here on are newer than the transaction: what they
                                   hold need not be logged, for no block is there yet */
    struct vi_undeclared check; /* VISTA_CHECK_RANGES */

    /* Of home, for the group: */
    atomic_int state;            /* enum vi_ranges_state */
    pthread_mutex_t lock;        /* of what is not atomic, while the state is OPEN */
    _Atomic(uint64_t) budget;    /* pages that a transaction may log */
    uint64_t left;               /* those that the open one has not */
    struct vi_page_log page_log; /* where they go */
    struct vi_engine engine;     /* the group's: its base with ranges of this kind around it */
    bool stuck;                  /* a page could not be protected again: all are to be */
};

#endif
