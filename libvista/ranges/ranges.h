/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Automatic ranges: the pages of a segment's data are protected; in a transaction
 * the first store to a page faults, and the handler logs the page and opens it.
 *
 * Invariant: a page is open if and only if its bit in `open` is set, and then,
 * but for a rollback, it is in the transaction's log as it was when that began.
 *
 * A segment has one open transaction at a time, so one handle is all it ever has.
 * Pages are logged in space set aside in that handle's log (core/aside.h), by any
 * thread, while the transaction's own thread appends to its part of the log.
 *
 * `lock` is taken with all signals blocked, and nothing is taken under it: so a
 * handler may run inside any call that stores to the data, and whoever it
 * interrupts does not hold the lock.
 */
#ifndef VI_RANGES_RANGES_H
#define VI_RANGES_RANGES_H

#include <stdatomic.h>

#include "core/aside.h"
#include "core/transaction.h"
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
    atomic_int state; /* enum vi_ranges_state */

    pthread_mutex_t lock; /* of what follows, while the state is OPEN */
    struct vi_protect protect;
    struct vi_aside aside;
    uint64_t *open;             /* a bit for each page */
    uint32_t *touched;          /* the pages whose bit is set */
    uint64_t count;             /* of them */
    uint64_t left;              /* pages that can still be logged */
    bool stuck;                 /* a page could not be protected again: all are to be */
    struct vi_undeclared check; /* VISTA_CHECK_RANGES */
};

/* Protects the data of a segment that has just been opened, and reserves log space
 * for so many pages, 0: for all.  `check`: for VISTA_CHECK_RANGES. */
int vi_ranges_open(struct vi_segment *segment, uint64_t auto_pages, bool check);
void vi_ranges_close(struct vi_segment *segment);

/* These do what transaction.h has for it where there are no automatic ranges. */
struct vi_tx *vi_ranges_begin(struct vi_segment *segment, unsigned mode);
/* -1 with EFAULT: it is still open, for it has stored to what was not declared. */
int vi_ranges_commit(struct vi_tx *tx);
void vi_ranges_abort(struct vi_tx *tx);

/* Logs and opens the pages of a part of the data, if the segment has automatic
 * ranges; ENOSPC when they are more than are left, and then none. */
int vi_ranges_prepare(struct vi_tx *tx, const void *address, size_t length);

/* VISTA_CHECK_RANGES: the program may store to these bytes, and the kernel for it.
 * Errors as of vi_ranges_prepare. */
int vi_ranges_allow(struct vi_tx *tx, const void *address, size_t length);

/* It is why a transaction has not ended: EBUSY and the message are set. */
bool vi_ranges_found(struct vi_segment *segment);

/* Pages that the open transaction has touched, and that it has left. */
void vi_ranges_count(struct vi_ranges *ranges, uint64_t *touched, uint64_t *left);

/* A store faulted; all signals are blocked.  false: it is not to be. */
bool vi_ranges_fault(struct vi_ranges *ranges, struct vi_note store);

#endif
