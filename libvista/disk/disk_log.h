/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Opening a redo log, and appending to it; with lead.h and truncate.h all that is done with one
 * in use.
 */
#ifndef VI_DISK_DISK_LOG_H
#define VI_DISK_DISK_LOG_H

#include "disk/lead.h"
#include "disk/truncate.h"

/* Begins to use an area whose header says that the log is empty from `head` on. */
int vi_disk_log_open(struct vi_disk_log *redo, const struct vi_disk_area *area,
                     struct vi_disk_point head, struct vi_disk_target *target);
/* The log's thread ends, the ring is unmapped; nothing is written. */
void vi_disk_log_close(struct vi_disk_log *redo);

/* ---- Appending --------------------------------------------------------- */

struct vi_disk_writer {
    struct vi_disk_log *redo;
    uint64_t lsn;      /* of the record */
    uint64_t at;       /* where the next byte goes */
    unsigned char *to; /* and where that is in the ring, of one that is not large */
    uint64_t end;      /* of the stream with it */
    uint64_t bytes;    /* of the record */
    uint32_t crc;      /* of a large one, so far */
    bool large;
    bool is_commit;
    int error; /* errno: a large one could not be written */
};

/* Takes the lock and waits for room for a record of `bytes` bytes and `items` items: 0, and the
 * lock is held until vi_disk_end.  -1 without it: EIO the log has failed, ENOSPC it is larger
 * than vi_disk_record_max. */
int vi_disk_begin(struct vi_disk_log *redo, uint64_t bytes, struct vi_disk_writer *writer);
/* Writes the record's head, then, in order, its items. */
void vi_disk_head(struct vi_disk_writer *writer, uint32_t items);
void vi_disk_put(struct vi_disk_writer *writer, unsigned member, uint64_t offset, const void *from,
                 uint32_t length);
/* The record counts, unless this fails: EIO, and the log has failed.  Gives the lock back. */
int vi_disk_end(struct vi_disk_writer *writer);

#endif
