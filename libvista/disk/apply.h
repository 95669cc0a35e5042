/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Applying redo records to the data: truncation and recovery alike.
 */
#ifndef VI_DISK_APPLY_H
#define VI_DISK_APPLY_H

#include "disk/disk_log.h"

/* Sets a byte for each member that the records from `from` up to `to` name, in a log that is in
 * memory. */
void vi_disk_named(const struct vi_disk_area *area, const unsigned char *log,
                   struct vi_disk_point from, uint64_t to, uint8_t named[VI_DISK_MEMBERS]);

/* Looks through the same records: -1 with EBADMSG when an item is not inside its target, or is of
 * a kind that may not be ignored. */
int vi_disk_validate(const struct vi_disk_area *area, const unsigned char *log,
                     struct vi_disk_point from, uint64_t to, const struct vi_disk_target *target);

/* Writes what they say, block by block in the order of the files; nothing is synced.  `last`
 * becomes the point behind the last record. */
int vi_disk_apply(const struct vi_disk_area *area, const unsigned char *log,
                  struct vi_disk_point from, uint64_t to, struct vi_disk_target *target,
                  struct vi_disk_point *last);

/* Syncs the files that were touched. */
int vi_disk_sync(const struct vi_disk_area *area, struct vi_disk_target *target);

#endif
