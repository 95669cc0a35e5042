/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The redo record of a transaction: made of its undo log's items, with the values that the bytes
 * have when it commits.
 */
#ifndef VI_DISK_COMMIT_RECORD_H
#define VI_DISK_COMMIT_RECORD_H

#include "core/transaction.h"
#include "disk/disk_log.h"

#define VI_DISK_SPANS 8u /* items of most transactions, which are walked through once then */

struct vi_disk_record {
    uint64_t bytes;
    uint32_t items;
    bool automatic; /* pages that were not declared are its, too */
    struct vi_disk_span {
        const void *address;
        uint64_t offset;
        uint32_t length, member;
    } span[VI_DISK_SPANS]; /* its items, unless there are more */
    struct vi_disk_writer writer;
};

/* How large it will be.  `automatic`: there are pages that were not declared. */
void vi_disk_record_measure(struct vi_disk_record *record, struct vi_tx *tx, bool automatic);
/* Builds it, in what vi_disk_begin has given: before vi_disk_end. */
void vi_disk_record_build(struct vi_disk_record *record, struct vi_tx *tx);

/* Where in the segment's file an address of its data or its metadata is. */
static inline uint64_t vi_disk_offset(const struct vi_segment *segment, const void *address)
{
    const uint64_t offset = (uintptr_t)address - (uintptr_t)segment->map.data;

    return offset < segment->map.reserved ? segment->superblock.data_offset + offset
                                          : (uintptr_t)address - (uintptr_t)segment->map.meta;
}

#endif
