/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A redo log that was left behind: reading it, and recovery.
 */
#ifndef VI_DISK_REPLAY_H
#define VI_DISK_REPLAY_H

#include "disk/disk_state.h"

struct vi_disk_left {
    struct vi_disk_area area;
    unsigned char *log; /* in memory, with what only the ring had */
    unsigned char *ring;
    struct vi_disk_point head;
    struct vi_disk_point end; /* behind the last record that counts */
    uint64_t records;         /* from head to end */
    uint64_t ring_from;       /* LSN of the first record that only the ring has; UINT64_MAX: none */
};

/* Reads what is left, and changes nothing: `area` has io, path, fd, uuid and offsets, the log may
 * reach to `end` of the file.  1: there is no log for this UUID.  -1: EBADMSG records are missing
 * that were acknowledged, EIO, ENOMEM. */
int vi_disk_load(struct vi_disk_left *left, const struct vi_disk_area *area, uint64_t end);
void vi_disk_unload(struct vi_disk_left *left);

/* All items that recovery will apply. */
static inline struct vi_disk_walk vi_disk_walk_left(const struct vi_disk_left *left)
{
    return (struct vi_disk_walk){&left->area, left->log, left->area.log_size, .at = left->head,
                                 .to = left->end.lsn};
}

/* Sets a byte for each member that they name. */
void vi_disk_members_named(const struct vi_disk_left *left, uint8_t named[VI_DISK_MEMBERS]);

/* Makes the data what the records say, durably, and begins a new epoch with an empty log.  May die
 * anywhere and be run again.  -1: EBADMSG a record cannot be, and then nothing has changed; EIO. */
int vi_disk_replay(struct vi_disk_left *left, struct vi_disk_target *target);

/* Writes a new, empty log, durably; its blocks are allocated.  `area` is set; the epoch must be above
 * all that were ever used, and the head, a multiple of the ring, above their LSN.  1: the blocks could not be written; the header that was
 * there still counts, of a log that was empty, too.  -1: it is not known which counts. */
int vi_disk_create(struct vi_disk_area *area, uint32_t epoch, struct vi_disk_point head);

#endif
