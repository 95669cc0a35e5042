/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A redo log in use: see disk_log.h.  Here are the ring, appending, and group commit; truncation and
 * the log's thread are in truncate.c.
 */
#include "disk/disk_log.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "disk/truncate.h"

int vi_disk_log_open(struct vi_disk_log *redo, const struct vi_disk_area *area,
                     struct vi_disk_point head, struct vi_disk_target *target)
{
    *redo = (struct vi_disk_log){
        .area = *area,
        .target = target,
        .head = head,
        .durable = head.lsn,
        .written = head.lsn,
        .tail = head.lsn,
        .last = head.previous,
        .last_written = head.previous,
        .last_durable = head.previous,
        .end = head.lsn,
        .end_durable = head.lsn,
    };
    pthread_mutex_init(&redo->lock, NULL);
    pthread_cond_init(&redo->changed, NULL);
    vi_disk_init_thread(redo);
    redo->ring = area->io->map(area->fd, area->ring_offset, area->ring_size);
    if (redo->ring == NULL)
        return vi_fail_system(errno, "%s: cannot map the ring of its redo log", area->path);
    return 0;
}

void vi_disk_log_close(struct vi_disk_log *redo)
{
    vi_disk_stop_thread(redo);
    if (redo->ring != NULL)
        redo->area.io->unmap(redo->ring, redo->area.ring_size);
    redo->ring = NULL;
}

void vi_disk_poison(struct vi_disk_log *redo, int error)
{
    if (redo->failed == 0)
        redo->failed = error != 0 ? error : EIO;
    pthread_cond_broadcast(&redo->changed);
}

static int refuse(const struct vi_disk_log *redo)
{
    return vi_fail(EIO,
                   "%s: writing its redo log has failed (error %d): whether the last commits are "
                   "durable the next mapping tells",
                   redo->area.path, redo->failed);
}

/* ---- The leader --------------------------------------------------------- */

/* Are the records in the ring from `from` up to `to` as they were built?  A wild store would
 * else be made durable as damage. */
static bool is_intact(const struct vi_disk_log *redo, uint64_t from, uint64_t to, uint64_t previous,
                      uint64_t last)
{
    struct vi_disk_point at = {from, previous};

    while (at.previous != last) {
        const struct vi_redo_record *record =
            vi_disk_next(&redo->area, redo->ring, redo->area.ring_size, &at);

        if (record == NULL || at.lsn + record->bytes > to)
            return false;
        at = vi_disk_behind(at, record);
    }
    return true;
}

/* Writes a part of the stream to the log, which the ring holds. */
static int write_ring(const struct vi_disk_log *redo, uint64_t from, uint64_t to, bool durable)
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
static int write_batch(const struct vi_disk_log *redo, uint64_t from, uint64_t to, bool durable,
                       bool unsynced, struct vi_disk_point span)
{
    if (!is_intact(redo, from, to, span.previous, span.lsn))
        return errno = EBADMSG, -1;
    if (write_ring(redo, from, to, durable) != 0)
        return -1;
    /* A synced write covers its own range only. */
    return durable && unsynced ? redo->area.io->sync(redo->area.fd) : 0;
}

/* With the lock, which it gives back meanwhile, and no leader: becomes the leader of what is in
 * the ring alone; `durable`: and of what was written without a sync. */
void vi_disk_lead(struct vi_disk_log *redo, bool durable)
{
    const uint64_t from = redo->written, to = vi_disk_up(redo->tail, VI_REDO_BLOCK);
    const struct vi_disk_point span = {redo->last, redo->last_written};
    const uint64_t commits = redo->committed, end = redo->end;
    const bool unsynced = redo->unsynced;
    int result, error, state;

    redo->leading = true;
    redo->tail = to;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* writing is a point of that */
    pthread_mutex_unlock(&redo->lock);
    result = write_batch(redo, from, to, durable, unsynced, span);
    error = errno;
    pthread_mutex_lock(&redo->lock);
    pthread_setcancelstate(state, NULL);
    redo->leading = false;
    if (result != 0) {
        vi_disk_poison(redo, error);
        return;
    }
    redo->written = to;
    redo->last_written = span.lsn;
    redo->unsynced = !durable && (unsynced || from != to);
    if (durable) {
        redo->durable = to;
        redo->last_durable = span.lsn;
        redo->end_durable = end;
        redo->durable_commits = commits;
    }
    pthread_cond_broadcast(&redo->changed);
}

/* With the lock. */
int vi_disk_flush_locked(struct vi_disk_log *redo, uint64_t lsn)
{
    while (redo->durable < lsn && redo->failed == 0)
        if (redo->leading)
            pthread_cond_wait(&redo->changed, &redo->lock);
        else
            vi_disk_lead(redo, true);
    return redo->durable >= lsn ? 0 : -1;
}

int vi_disk_flush(struct vi_disk_log *redo, uint64_t lsn)
{
    int result = -1;

    pthread_mutex_lock(&redo->lock);
    if (lsn != UINT64_MAX)
        result = vi_disk_flush_locked(redo, lsn);
    else if (redo->failed == 0)
        result = vi_disk_flush_locked(redo, redo->tail);
    pthread_mutex_unlock(&redo->lock);
    return result == 0 ? 0 : refuse(redo);
}

/* ---- Appending --------------------------------------------------------- */

/* With the lock: waits until there is room behind the tail, in the log and in the ring. */
static int wait_for_room(struct vi_disk_log *redo, struct vi_disk_writer *writer)
{
    const struct vi_disk_area *area = &redo->area;

    while (redo->failed == 0) {
        uint64_t end;

        if (redo->growing) {
            pthread_cond_wait(&redo->changed, &redo->lock);
            continue;
        }
        writer->lsn = vi_disk_place(area, redo->tail, writer->bytes, &writer->end);
        end = vi_disk_up(writer->end, VI_REDO_BLOCK);
        if (end - redo->head.lsn > area->log_size)
            vi_disk_truncate_locked(redo);
        else if (writer->large ? !redo->leading && redo->written == redo->tail
                               : end - redo->written <= area->ring_size)
            return 0;
        else if (redo->leading)
            pthread_cond_wait(&redo->changed, &redo->lock);
        else
            vi_disk_lead(redo, false);
    }
    return -1;
}

int vi_disk_begin(struct vi_disk_log *redo, uint64_t bytes, struct vi_disk_writer *writer)
{
    *writer = (struct vi_disk_writer){
        .redo = redo, .bytes = bytes, .large = vi_disk_is_large(&redo->area, bytes)};
    pthread_mutex_lock(&redo->lock);
    if (bytes > vi_disk_record_max(&redo->area)) {
        pthread_mutex_unlock(&redo->lock);
        return vi_fail(ENOSPC, "%s: a transaction of %llu bytes is more than half its redo log",
                       redo->area.path, (unsigned long long)bytes);
    }
    if (wait_for_room(redo, writer) == 0)
        return 0;
    pthread_mutex_unlock(&redo->lock);
    return refuse(redo);
}

/* A large record is built in the ring, which is drained, and written piece by piece, but for its
 * first block, which makes it count. */
static void write_piece(struct vi_disk_writer *writer, uint64_t from, uint64_t to)
{
    struct vi_disk_log *redo = writer->redo;

    if (from == writer->lsn) {
        memcpy(redo->first, redo->ring + from % redo->area.ring_size, VI_REDO_BLOCK);
        from += VI_REDO_BLOCK;
    }
    if (writer->error == 0 && write_ring(redo, from, to, false) != 0)
        writer->error = errno;
}

static void put_bytes(struct vi_disk_writer *writer, const void *from, uint64_t length)
{
    const struct vi_disk_log *redo = writer->redo;
    const uint64_t ring = redo->area.ring_size;

    if (writer->large)
        writer->crc = vi_crc32c(writer->crc, from, length);
    while (length != 0) {
        const uint64_t at = writer->at % ring, part = length < ring - at ? length : ring - at;

        memcpy(redo->ring + at, from, part);
        writer->at += part;
        from = (const char *)from + part;
        length -= part;
        if (writer->large && writer->at % ring == 0)
            write_piece(writer, writer->at - ring, writer->at);
    }
}

void vi_disk_head(struct vi_disk_writer *writer, uint32_t items)
{
    const struct vi_disk_log *redo = writer->redo;
    const struct vi_redo_record record = {
        .bytes = (uint32_t)writer->bytes,
        .lsn = writer->lsn,
        .previous = redo->last,
        .synced = redo->end_durable,
        .epoch = redo->area.epoch,
        .items = items,
    };

    writer->at = writer->lsn;
    put_bytes(writer, &record, sizeof record.check);
    writer->crc = redo->area.seed;
    put_bytes(writer, &record.bytes, sizeof record - sizeof record.check);
}

void vi_disk_put(struct vi_disk_writer *writer, unsigned member, uint64_t offset, const void *from,
                 uint32_t length)
{
    const struct vi_redo_item item = {offset, length, (uint16_t)member, VI_REDO_BYTES};
    static const unsigned char zeros[8];

    put_bytes(writer, &item, sizeof item);
    put_bytes(writer, from, length);
    put_bytes(writer, zeros, -length % 8);
}

/* The rest of a large record, then its first block. */
static int end_large(struct vi_disk_writer *writer)
{
    struct vi_disk_log *redo = writer->redo;
    const struct vi_disk_area *area = &redo->area;
    const struct iovec first = {redo->first, VI_REDO_BLOCK};

    if (writer->at % area->ring_size != 0)
        write_piece(writer, writer->at / area->ring_size * area->ring_size,
                    vi_disk_up(writer->at, VI_REDO_BLOCK));
    memcpy(redo->first, &writer->crc, sizeof writer->crc);
    if (writer->error == 0 &&
        vi_io_write(area->io, area->fd, &first, 1, area->log_offset + writer->lsn % area->log_size,
                    false) != 0)
        writer->error = errno;
    redo->unsynced = true;
    redo->written = writer->end;
    redo->last_written = writer->lsn;
    return writer->error == 0 ? 0 : -1;
}

int vi_disk_end(struct vi_disk_writer *writer)
{
    struct vi_disk_log *redo = writer->redo;
    struct vi_redo_record *record = (void *)(redo->ring + writer->lsn % redo->area.ring_size);

    if (writer->large) {
        if (end_large(writer) != 0) {
            vi_disk_poison(redo, writer->error);
            pthread_mutex_unlock(&redo->lock);
            return refuse(redo);
        }
    } else {
        const uint32_t check = vi_disk_check(&redo->area, record);

        __atomic_store_n(&record->check, check, __ATOMIC_RELEASE); /* from here on it counts */
    }
    redo->tail = writer->end;
    redo->end = writer->lsn + writer->bytes;
    redo->last = writer->lsn;
    redo->committed += writer->is_commit;
    vi_disk_wake_thread(redo);
    pthread_mutex_unlock(&redo->lock);
    return 0;
}

void vi_disk_cancel(struct vi_disk_writer *writer)
{
    pthread_mutex_unlock(&writer->redo->lock);
}
