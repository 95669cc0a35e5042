/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions: handles, and the commit and rollback of one slot's log.
 */
#ifndef VI_CORE_TRANSACTION_H
#define VI_CORE_TRANSACTION_H

#include "core/group.h"
#include "core/handles.h"
#include "core/recovery.h"

/* In the handle that this thread has in its cache, or that it may keep there: then the next can
 * be inlined.  Uncached: the next cannot. */
struct vi_tx *vi_tx_begin(struct vi_segment *home, unsigned mode);
struct vi_tx *vi_tx_begin_uncached(struct vi_segment *home, unsigned mode);

/* The open transaction behind a handle, else NULL with EINVAL or EPERM. */
struct vi_tx *vi_tx_refuse(const struct vi_tx *tx);
static inline struct vi_tx *vi_tx_check(vista_tx *handle)
{
    struct vi_tx *tx = (struct vi_tx *)handle;

    return VISTA_INLINE_LIKELY(tx != NULL && vi_tx_is_open(tx)) ? tx : vi_tx_refuse(tx);
}

/* vista_set_ranges; the address and length of each are checked here. */
int vi_tx_declare(struct vi_tx *tx, const struct iovec *ranges, int count);

/* Operations of engines; "flushing": where lines are flushed; "followed": in any class, with a
 * list of vi_redo. */
int vi_tx_commit(struct vi_tx *tx, unsigned mode);
int vi_tx_commit_flushing(struct vi_tx *tx, unsigned mode);
int vi_tx_commit_followed(struct vi_tx *tx, unsigned mode);
void vi_tx_abort(struct vi_tx *tx);
void vi_tx_abort_followed(struct vi_tx *tx);

#endif
