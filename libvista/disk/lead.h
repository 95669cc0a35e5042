/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Group commit: one thread writes the ring's new part to the log for all that wait, or because
 * the ring is full.
 */
#ifndef VI_DISK_LEAD_H
#define VI_DISK_LEAD_H

#include "disk/disk_state.h"

/* With the lock, if there is anyone else: the log is empty from here on. */
static inline void vi_disk_log_empty(struct vi_disk_log *redo, struct vi_disk_point from)
{
    redo->head = from;
    redo->tail = (struct vi_disk_reached){from.lsn, from.previous, from.lsn, redo->tail.commits};
    redo->durable = redo->written = redo->tail;
    redo->unsynced = false;
}

/* The thread cannot be cancelled until vi_disk_unlock, which gets what this returns: to wait and to
 * write are points of that, and whoever ended there would leave the log locked, or in use by nobody. */
static inline int vi_disk_lock(struct vi_disk_log *redo)
{
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&redo->lock);
    return state;
}
static inline void vi_disk_unlock(struct vi_disk_log *redo, int state)
{
    pthread_mutex_unlock(&redo->lock);
    pthread_setcancelstate(state, NULL);
}

/* The stream up to `lsn`, UINT64_MAX: all of it, is durable on return, or else survives the death
 * of the process, for which there is nothing to do, unless the ring is memory of the process's own.
 * -1 with EIO when the log has failed. */
int vi_disk_flush(struct vi_disk_log *redo, uint64_t lsn, bool durable);

/* With the lock, which is unlocked in between, and no leader, by a thread that cannot be cancelled:
 * becomes the leader of what is in the ring alone; `durable`: and of what was written without a sync. */
void vi_disk_lead(struct vi_disk_log *redo, bool durable);
/* With the lock: leads, or waits for who does, until the stream is written, or durable, up to `lsn`.
 * -1: the log has failed. */
int vi_disk_reach(struct vi_disk_log *redo, uint64_t lsn, bool durable);

/* With the lock: nothing is promised any more, and all who wait are told. */
void vi_disk_poison(struct vi_disk_log *redo, int error);
/* -1 with EIO, of such a log. */
int vi_disk_refuse(const struct vi_disk_log *redo);

#endif
