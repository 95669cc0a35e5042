/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The redo record of a transaction: made of its undo log's items, with the values that the bytes
 * have when it commits.
 */
#ifndef VI_DISK_COMMIT_RECORD_H
#define VI_DISK_COMMIT_RECORD_H

#include "core/transaction.h"
#include "disk/disk_log.h"

/* How many bytes it will have at most.  `automatic`: pages that were not declared are its, too. */
uint64_t vi_disk_record_measure(struct vi_tx *tx, bool automatic);
/* Puts its items, between vi_disk_begin and vi_disk_end. */
void vi_disk_record_build(struct vi_disk_log *redo, struct vi_tx *tx, bool automatic);

/* Where in the segment's file an address of its data or its metadata is. */
static inline uint64_t vi_disk_offset(const struct vi_segment *segment, const void *address)
{
    const uint64_t offset = (uintptr_t)address - (uintptr_t)segment->map.data;

    return offset < segment->map.reserved ? segment->superblock.data_offset + offset
                                          : (uintptr_t)address - (uintptr_t)segment->map.meta;
}

#endif
