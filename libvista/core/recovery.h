/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rollback and finishing of one log, by abort, by commit and by recovery; and recovery, which
 * does to every slot what its word says.
 */
#ifndef VI_CORE_RECOVERY_H
#define VI_CORE_RECOVERY_H

#include "core/items.h"

/* Rolls back and finishes what the log says; EBADMSG when the log is damaged, and
 * then nothing was changed. */
int vi_recover(struct vi_segment *segment, vi_attach_fn *attach);

/* Commit's and recovery's shared parts, on a log whose transaction has `stamp`. */

/* Flushes what must be durable before the discard. */
void vi_flush_effects(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages);
/* Undoes newest first, durably, then discards: abort and recovery alike.  -1, EBADMSG, in
 * recovery alone: someone else writes the file; then it is not discarded. */
int vi_rollback(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages);
/* Flushes what was deferred, and has been done. */
void vi_flush_finished(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages);

#endif
