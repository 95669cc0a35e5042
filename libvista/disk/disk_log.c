/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A redo log in use: see disk_log.h.  Here are opening and appending; group commit is in lead.c, truncation
 * and the log's thread in truncate.c.
 */
#include "disk/disk_log.h"

#include <errno.h>

#include "base/arena.h"
#include "base/error.h"

int vi_disk_log_open(struct vi_disk_log *redo, const struct vi_disk_area *area,
                     struct vi_disk_point head, struct vi_disk_target *target)
{
    *redo = (struct vi_disk_log){.area = *area, .target = target, .truncate_percent = 50};
    vi_disk_log_empty(redo, head);
    pthread_mutex_init(&redo->lock, NULL);
    pthread_cond_init(&redo->changed, NULL);
    pthread_cond_init(&redo->work, NULL);
    redo->ring = area->copies_on_write
                     ? vi_reserve(area->ring_size)
                     : area->io->map(area->fd, area->ring_offset, area->ring_size);
    if (redo->ring == NULL)
        return vi_fail_system(errno, "%s: cannot map the ring of its redo log", area->path);
    return 0;
}

void vi_disk_log_close(struct vi_disk_log *redo)
{
    vi_disk_stop_thread(redo);
    if (redo->area.copies_on_write)
        vi_release(redo->ring, redo->area.ring_size);
    else if (redo->ring != NULL)
        redo->area.io->unmap(redo->ring, redo->area.ring_size);
}

/* ---- Appending --------------------------------------------------------- */

/* With the lock: waits until there is space behind the tail, in the log and in the ring. */
static int wait_for_space(struct vi_disk_log *redo, uint64_t bytes, bool large)
{
    const struct vi_disk_area *area = &redo->area;
    struct vi_disk_writer *writer = &redo->writer;

    if (bytes > vi_disk_record_max(area))
        return vi_fail(ENOSPC, "%s: a transaction of %llu bytes is more than half its redo log",
                       area->path, (unsigned long long)bytes);
    while (redo->failed == 0) {
        uint64_t end;
        bool full;

        writer->lsn = vi_disk_next_lsn(area, redo->tail.lsn, bytes, &end);
        end = vi_disk_up(end, VI_REDO_BLOCK);
        full = end - redo->head.lsn > area->log_size;
        if (!redo->growing && !full &&
            (large ? !redo->leading && redo->written.lsn == redo->tail.lsn
                   : end - redo->written.lsn <= area->ring_size))
            return 0;
        if (redo->growing || (full ? redo->truncating : redo->leading))
            pthread_cond_wait(&redo->changed, &redo->lock);
        else if (full)
            (void)vi_disk_truncate_locked(redo, true);
        else
            vi_disk_lead(redo, false);
    }
    return vi_disk_refuse(redo);
}

/* Of a record that is not large: how far the next can go without a look at all this. */
static void set_limit(struct vi_disk_log *redo)
{
    const uint64_t ring = redo->area.ring_size, in_ring = redo->written.lsn + ring;
    const uint64_t in_log = redo->head.lsn + redo->area.log_size;
    struct vi_disk_writer *writer = &redo->writer;
    uint64_t limit;

    writer->lap = writer->lsn - writer->lsn % ring;
    limit = writer->lap + ring;
    limit = limit < in_ring ? limit : in_ring;
    limit = limit < in_log ? limit : in_log;
    writer->limit = limit / VI_REDO_BLOCK * VI_REDO_BLOCK;
}

/* Where it is built: in the ring, or in memory of its own, of which there may be none. */
static __attribute__((noinline)) int find_place(struct vi_disk_log *redo, uint64_t bytes,
                                                bool large)
{
    int result, state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* see vi_disk_lock */
    result = wait_for_space(redo, bytes, large);
    pthread_setcancelstate(state, NULL);
    if (result != 0)
        return -1;
    if (!large)
        return set_limit(redo), 0;
    redo->writer.record = vi_reserve(vi_disk_up(bytes, VI_REDO_BLOCK));
    return redo->writer.record != NULL
               ? 0
               : vi_fail(ENOMEM, "%s: no memory for a large redo record", redo->area.path);
}

int vi_disk_begin(struct vi_disk_log *redo, uint64_t bytes)
{
    struct vi_disk_writer *writer = &redo->writer;
    const bool large = bytes > redo->area.ring_size / 2;

    pthread_mutex_lock(&redo->lock);
    writer->lsn = redo->tail.lsn;
    if ((large || writer->lsn + bytes > writer->limit) && find_place(redo, bytes, large) != 0) {
        pthread_mutex_unlock(&redo->lock);
        return -1;
    }
    if (!large)
        writer->record = (void *)(redo->ring + (writer->lsn - writer->lap));
    writer->most = bytes;
    writer->large = large;
    vi_disk_put_again(redo);
    return 0;
}

/* The record is whole, and counts where it is, unless there was not room for all of it: then the log
 * has failed.  Returns how long it is. */
static uint64_t seal(struct vi_disk_log *redo)
{
    const struct vi_disk_writer *writer = &redo->writer;
    struct vi_redo_record *record = writer->record;
    const uint64_t bytes = (uint64_t)(writer->to - (unsigned char *)record);

    if (bytes > writer->most)
        return vi_disk_poison(redo, EOVERFLOW), bytes;
    *record = (struct vi_redo_record){
        .bytes = (uint32_t)bytes,
        .lsn = writer->lsn,
        .previous = redo->tail.last,
        .synced = redo->durable.end,
        .epoch = redo->area.epoch,
        .items = writer->items,
    };
    __atomic_store_n(&record->check, vi_disk_check(&redo->area, record), __ATOMIC_RELEASE);
    return bytes;
}

/* To the log, its memory given back; the first block, which makes it count, last.  Returns where the stream
 * ends. */
static __attribute__((noinline)) uint64_t write_large(struct vi_disk_log *redo, uint64_t bytes)
{
    const struct vi_disk_area *area = &redo->area;
    const uint64_t at = area->log_offset + redo->writer.lsn % area->log_size;
    unsigned char *const from = (unsigned char *)redo->writer.record;
    const struct iovec first = {from, VI_REDO_BLOCK};
    const struct iovec rest = {from + VI_REDO_BLOCK,
                               vi_disk_up(bytes, VI_REDO_BLOCK) - VI_REDO_BLOCK};
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* see vi_disk_lock */
    if (redo->failed == 0 &&
        (vi_io_write(area->io, area->fd, &rest, 1, at + VI_REDO_BLOCK, false) != 0 ||
         vi_io_write(area->io, area->fd, &first, 1, at, false) != 0))
        vi_disk_poison(redo, errno);
    pthread_setcancelstate(state, NULL);
    vi_release(from, vi_disk_up(redo->writer.most, VI_REDO_BLOCK));
    redo->unsynced = true;
    return vi_disk_up(redo->writer.lsn + bytes, area->ring_size);
}

/* The tail is stored field by field: as a whole, and built of fields, it would be read again at once by
 * wider loads, for which a processor waits. */
uint64_t vi_disk_end(struct vi_disk_log *redo, bool is_commit)
{
    const struct vi_disk_writer *writer = &redo->writer;
    const uint64_t bytes = seal(redo), end = writer->lsn + bytes;
    uint64_t lsn = end;

    if (writer->large)
        lsn = write_large(redo, bytes);
    if (redo->failed != 0) {
        pthread_mutex_unlock(&redo->lock);
        return (void)vi_disk_refuse(redo), UINT64_MAX;
    }
    redo->tail.lsn = lsn;
    redo->tail.last = writer->lsn;
    redo->tail.end = end;
    redo->tail.commits += is_commit;
    if (writer->large)
        redo->written = redo->tail;
    if (end > writer->quiet)
        vi_disk_wake_thread(redo);
    pthread_mutex_unlock(&redo->lock);
    return lsn;
}
