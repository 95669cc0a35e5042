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

int vi_disk_write_ring(const struct vi_disk_log *redo, uint64_t from, uint64_t to, bool durable)
{
    const struct vi_disk_area *area = &redo->area;

    while (from < to) {
        const uint64_t to_wrap = area->log_size - from % area->log_size;
        const uint64_t length = to - from < to_wrap ? to - from : to_wrap;
        const uint64_t at = from % area->ring_size, first = area->ring_size - at;
        const struct iovec parts[] = {{redo->ring + at, length < first ? length : first},
                                      {redo->ring, length < first ? 0 : length - first}};

        if (vi_io_write(area->io, area->fd, parts, 2, area->log_offset + from % area->log_size,
                        durable) != 0)
            return -1;
        from += length;
    }
    return 0;
}

/* What the leader does without the lock. */
static int write_batch(const struct vi_disk_log *redo, const struct vi_disk_reached *from,
                       const struct vi_disk_reached *to, bool durable, bool unsynced)
{
    if (!is_intact(redo, from, to))
        return errno = EBADMSG, -1;
    if (vi_disk_write_ring(redo, from->lsn, to->lsn, durable) != 0)
        return -1;
    /* A synced write covers its own range only. */
    return durable && unsynced ? redo->area.io->sync(redo->area.fd) : 0;
}

void vi_disk_lead(struct vi_disk_log *redo, bool durable)
{
    const struct vi_disk_reached from = redo->written;
    const bool unsynced = redo->unsynced;
    struct vi_disk_reached to;
    int result, error;

    redo->leading = true;
    redo->tail.lsn = vi_disk_up(redo->tail.lsn, VI_REDO_BLOCK);
    to = redo->tail;
    pthread_mutex_unlock(&redo->lock);
    result = write_batch(redo, &from, &to, durable, unsynced);
    error = errno;
    pthread_mutex_lock(&redo->lock);
    redo->leading = false;
    if (result != 0) {
        vi_disk_poison(redo, error);
        return;
    }
    redo->written = to;
    redo->unsynced = !durable && (unsynced || from.lsn != to.lsn);
    if (durable)
        redo->durable = to;
    pthread_cond_broadcast(&redo->changed);
}

int vi_disk_reach(struct vi_disk_log *redo, const struct vi_disk_reached *reached, uint64_t lsn)
{
    while (reached->lsn < lsn && redo->failed == 0)
        if (redo->leading)
            pthread_cond_wait(&redo->changed, &redo->lock);
        else
            vi_disk_lead(redo, reached == &redo->durable);
    return reached->lsn >= lsn ? 0 : -1;
}

/* Of all that there is: not of a log that has failed, whatever it has reached. */
static int reach_unlocked(struct vi_disk_log *redo, const struct vi_disk_reached *reached,
                          uint64_t lsn)
{
    const bool all = lsn == UINT64_MAX;
    const int state = vi_disk_lock(redo);
    int result = -1;

    if (!all || redo->failed == 0)
        result = vi_disk_reach(redo, reached, all ? redo->tail.lsn : lsn);
    vi_disk_unlock(redo, state);
    return result == 0 ? 0 : vi_disk_refuse(redo);
}

int vi_disk_write_out(struct vi_disk_log *redo, uint64_t lsn)
{
    return redo->area.copies_on_write ? reach_unlocked(redo, &redo->written, lsn) : 0;
}

int vi_disk_flush(struct vi_disk_log *redo, uint64_t lsn)
{
    return reach_unlocked(redo, &redo->durable, lsn);
}
