/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Opening a redo log, and appending to it; with lead.h and truncate.h all that is done with one
 * in use.
 */
#ifndef VI_DISK_DISK_LOG_H
#define VI_DISK_DISK_LOG_H

#include <string.h>

#include "base/watch.h"
#include "disk/lead.h"
#include "disk/truncate.h"

/* Begins to use an area whose header says that the log is empty from `head` on. */
int vi_disk_log_open(struct vi_disk_log *redo, const struct vi_disk_area *area,
                     struct vi_disk_point head, struct vi_disk_target *target);
/* The log's thread ends, the ring is unmapped; nothing is written. */
void vi_disk_log_close(struct vi_disk_log *redo);

/* ---- Appending --------------------------------------------------------- */

/* Locks the log and waits for space for a record of at most `bytes` bytes: 0, and the log is locked
 * until vi_disk_end.  -1, and it is not: EIO the log has failed, ENOSPC that is more than
 * vi_disk_record_max, ENOMEM. */
int vi_disk_begin(struct vi_disk_log *redo, uint64_t bytes);
/* Writes the next item. */
static inline void vi_disk_put(struct vi_disk_log *redo, unsigned member, uint64_t offset,
                               const void *from, uint32_t length)
{
    const struct vi_redo_item item = {offset, length, (uint16_t)member, VI_REDO_BYTES};
    struct vi_disk_writer *writer = &redo->writer;

    memcpy(writer->to, &item, sizeof item);
    writer->to += vi_disk_item_size(length);
    if (length % 8 != 0)
        memset(writer->to - 8, 0, 8);
    if (length == 8 && !vi_watched)
        memcpy(writer->to - 8, from, 8);
    else
        vi_copy(writer->to - vi_disk_up(length, 8), from, length);
    writer->items++;
}
/* Forgets the items so far. */
static inline void vi_disk_put_again(struct vi_disk_log *redo)
{
    redo->writer.items = 0;
    redo->writer.to = (unsigned char *)(redo->writer.record + 1);
}
/* The record counts: returns where the stream ends with it.  UINT64_MAX with EIO: it does not, and
 * the log has failed, as by a record that ends behind what vi_disk_begin was told.  Unlocks the log. */
uint64_t vi_disk_end(struct vi_disk_log *redo, bool is_commit);

#endif
