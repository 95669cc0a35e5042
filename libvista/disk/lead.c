/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Group commit: see lead.h.
 */
#include "disk/lead.h"

#include <errno.h>

#include "base/error.h"

void vi_disk_poison(struct vi_disk_log *redo, int error)
{
    if (redo->failed == 0)
        redo->failed = error != 0 ? error : EIO;
    redo->writer.limit = 0;
    pthread_cond_broadcast(&redo->changed);
}

int vi_disk_refuse(const struct vi_disk_log *redo)
{
    return vi_fail(EIO,
                   "%s: writing its redo log has failed (error %d): whether the last commits are "
                   "durable the next mapping tells",
                   redo->area.path, redo->failed);
}

/* Are the records in the ring from `from` up to `to` as they were built?  A wild store would
 * else be made durable as damage. */
static bool is_intact(const struct vi_disk_log *redo, const struct vi_disk_reached *from,
                      const struct vi_disk_reached *to)
{
    struct vi_disk_walk walk = {&redo->area, redo->ring, redo->area.ring_size,
                                .at = {from->lsn, from->last}, .to = to->lsn};

    while (walk.at.previous != to->last)
        if (vi_disk_walk_record(&walk) == NULL)
            return false;
    return true;
}

/* Writes a part of the stream, which the ring holds, to the log. */
static int write_ring(const struct vi_disk_log *redo, uint64_t from, uint64_t to, bool durable)
{
    const struct vi_disk_area *area = &redo->area;

    for (uint64_t length; from < to; from += length) {
        const uint64_t at = from % area->ring_size, to_wrap = area->ring_size - at;
        const struct iovec part = {redo->ring + at, to - from < to_wrap ? to - from : to_wrap};

        length = part.iov_len;
        if (vi_io_write(area->io, area->fd, &part, 1, area->log_offset + from % area->log_size,
                        durable) != 0)
            return -1;
    }
    return 0;
}

/* What the leader does without the lock. */
static int write_batch(const struct vi_disk_log *redo, const struct vi_disk_reached *from,
                       const struct vi_disk_reached *to, bool durable)
{
    if (!is_intact(redo, from, to))
        return errno = EBADMSG, -1;
    if (write_ring(redo, from->lsn, to->lsn, durable) != 0)
        return -1;
    /* A synced write covers its own range only. */
    return durable && redo->unsynced ? redo->area.io->sync(redo->area.fd) : 0;
}

void vi_disk_lead(struct vi_disk_log *redo, bool durable)
{
    const struct vi_disk_reached from = redo->written;
    struct vi_disk_reached to;
    int result, error;

    redo->leading = true;
    redo->tail.lsn = vi_disk_up(redo->tail.lsn, VI_REDO_BLOCK);
    to = redo->tail;
    pthread_mutex_unlock(&redo->lock);
    result = write_batch(redo, &from, &to, durable);
    error = errno;
    pthread_mutex_lock(&redo->lock);
    redo->leading = false;
    if (result != 0) {
        vi_disk_poison(redo, error);
        return;
    }
    redo->written = to;
    redo->unsynced = !durable && (redo->unsynced || from.lsn != to.lsn);
    if (durable)
        redo->durable = to;
    pthread_cond_broadcast(&redo->changed);
}

int vi_disk_reach(struct vi_disk_log *redo, uint64_t lsn, bool durable)
{
    const struct vi_disk_reached *reached = durable ? &redo->durable : &redo->written;

    while (reached->lsn < lsn && redo->failed == 0)
        if (redo->leading)
            pthread_cond_wait(&redo->changed, &redo->lock);
        else
            vi_disk_lead(redo, durable);
    return reached->lsn >= lsn ? 0 : -1;
}

int vi_disk_flush(struct vi_disk_log *redo, uint64_t lsn, bool durable)
{
    const bool all = lsn == UINT64_MAX;
    int state, result = -1;

    if (!durable && !redo->area.copies_on_write)
        return 0;
    state = vi_disk_lock(redo);
    if (!all || redo->failed == 0) /* of one that has failed not all, whatever it has reached */
        result = vi_disk_reach(redo, all ? redo->tail.lsn : lsn, durable);
    vi_disk_unlock(redo, state);
    return result == 0 ? 0 : vi_disk_refuse(redo);
}
