/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Applying redo records to the data: truncation and recovery alike.
 */
#ifndef VI_DISK_APPLY_H
#define VI_DISK_APPLY_H

#include "disk/disk_state.h"

/* Of records in a log that is in memory: */

/* How many pieces their items are, cut at blocks.  -1 with EBADMSG when an item is not inside its target,
 * or is of a kind that may not be ignored, or when `newest` is not the LSN of the last record. */
int64_t vi_disk_validate(struct vi_disk_walk walk, uint64_t newest,
                         const struct vi_disk_target *target);

/* Writes what they say, `pieces` pieces at most, block by block in the order of the files; nothing is
 * synced. */
int vi_disk_apply(struct vi_disk_walk walk, int64_t pieces, struct vi_disk_target *target);

/* Syncs the files that were touched. */
int vi_disk_sync(const struct vi_disk_area *area, struct vi_disk_target *target);

#endif
