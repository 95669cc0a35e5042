/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Automatic ranges: the pages of a segment's data are protected; in a transaction
 * the first store to a page faults, and the handler logs the page and opens it.
 *
 * Invariant: a page is open if and only if its bit in `open` is set, and then,
 * but for a rollback, it is in the transaction's log as it was when that began.
 *
 * Segments that share a log, a group, have one open transaction at a time, so one handle
 * is all they ever have.  Pages are logged in space set aside in that handle's log
 * (core/page_log.h), by any thread, while the transaction's own thread appends to its part
 * of the log.  What the group shares is kept with its home; a member may be without
 * ranges of this kind.
 *
 * `lock` is taken with all signals blocked, and nothing is taken under it: so a
 * handler may run inside any call that stores to the data, and whoever it
 * interrupts does not hold the lock.
 */
#ifndef VI_RANGES_RANGES_H
#define VI_RANGES_RANGES_H

#include "core/transaction.h"
#include "ranges/ranges_state.h"

/* Which of VISTA_AUTO_RANGE and VISTA_CHECK_RANGES a segment has; 0: neither. */
static inline unsigned vi_ranges_mode(const struct vi_segment *segment)
{
    const struct vi_ranges *r = segment->ranges;

    return r == NULL ? 0 : r->check.allowed != NULL ? VISTA_CHECK_RANGES : VISTA_AUTO_RANGE;
}

/* Protects the data of a segment that has just been opened, and reserves log space
 * for so many pages, 0: for all.  `check`: for VISTA_CHECK_RANGES.  A member's home has
 * the same; EBUSY: and a transaction open. */
int vi_ranges_open(struct vi_segment *segment, uint64_t auto_pages, bool check);
void vi_ranges_close(struct vi_segment *segment);

/* What a segment of `size` bytes adds to the budget. */
static inline uint64_t vi_ranges_part(uint64_t auto_pages, uint64_t size)
{
    return auto_pages != 0 && auto_pages < size / VI_PAGE ? auto_pages : size / VI_PAGE;
}

/* The same of a segment that is open; 0 without VISTA_AUTO_RANGE. */
static inline uint64_t vi_ranges_pages(const struct vi_segment *segment, uint64_t size)
{
    return vi_ranges_mode(segment) == VISTA_AUTO_RANGE
               ? vi_ranges_part(segment->ranges->quota, size)
               : 0;
}

/* The size of the data has changed: what is new is protected.  Log space for it is
 * reserved by the next transaction, which is refused if that, or protecting, fails. */
void vi_ranges_resize(struct vi_segment *segment);

/*
 * The program may store to `length` bytes of the data of a segment in tx's group, and the
 * library or the kernel to the first `stored` of them: on the machinery of VISTA_CHECK_RANGES
 * all are noted, and their pages logged and opened; with automatic ranges those
 * of the latter.  ENOSPC when that is more than are left, and then none is.
 */
int vi_ranges_allow(struct vi_tx *tx, const void *address, size_t length, size_t stored);

/* Pages of a segment that the open transaction has touched, and that it has left. */
void vi_ranges_count(struct vi_ranges *ranges, uint64_t *touched, uint64_t *left);

/* A store faulted; all signals are blocked.  false: it is not to be. */
bool vi_ranges_fault(struct vi_ranges *ranges, struct vi_note store);

#endif
