/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions of the library's own: rows made, moved, broken and removed, and responses that no
 * one wants.  They are noted with the lock, and done from calls that wait or pump.
 * While the segment cannot begin one (automatic ranges, and a transaction is open) they stay.
 */
#ifndef VI_GRAMS_TASKS_H
#define VI_GRAMS_TASKS_H

#include "grams/endpoint.h"

/* False: no room; what led to it will be seen again. */
bool vi_tasks_add(vista_endpoint *e, const struct vi_task *task);

/* The same for a peer that is there; `reason`: BREAK's. */
bool vi_tasks_note(vista_endpoint *e, enum vi_task_kind kind, const struct vi_peer *peer,
                   uint32_t reason);

/* Is there anything to do, responses that no one wants included? */
static inline bool vi_tasks_are_due(const vista_endpoint *e)
{
    return e->task_count > 0 || !TAILQ_EMPTY(&e->unwanted);
}

/* Does that, all at once in one transaction.  The lock is given up on the way. */
void vi_tasks_run(vista_endpoint *e);

#endif
