/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A redo log in use: see disk_log.h.  Here are opening and appending; group commit is in lead.c, truncation
 * and the log's thread in truncate.c.
 */
#include "disk/disk_log.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/watch.h"

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
    redo->ring = NULL;
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
        writer->lsn = vi_disk_next_lsn(area, redo->tail, writer->bytes, &writer->end);
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
        .redo = redo, .bytes = bytes, .large = bytes > redo->area.ring_size / 2};
    pthread_mutex_lock(&redo->lock);
    if (bytes > vi_disk_record_max(&redo->area)) {
        pthread_mutex_unlock(&redo->lock);
        return vi_fail(ENOSPC, "%s: a transaction of %llu bytes is more than half its redo log",
                       redo->area.path, (unsigned long long)bytes);
    }
    if (wait_for_room(redo, writer) == 0) {
        writer->at = writer->lsn;
        writer->to = redo->ring + writer->lsn % redo->area.ring_size;
        return 0;
    }
    pthread_mutex_unlock(&redo->lock);
    return vi_disk_refuse(redo);
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
    if (writer->error == 0 && vi_disk_write_ring(redo, from, to, false) != 0)
        writer->error = errno;
}

static void put_large(struct vi_disk_writer *writer, const void *from, uint64_t length)
{
    const struct vi_disk_log *redo = writer->redo;
    const uint64_t ring = redo->area.ring_size;

    while (length != 0) {
        const uint64_t at = writer->at % ring, part = length < ring - at ? length : ring - at;

        vi_copy(redo->ring + at, from, part);
        /* Of the copy: a thread may store to what it was made of. */
        writer->crc = vi_crc32c(writer->crc, redo->ring + at, part);
        writer->at += part;
        from = (const char *)from + part;
        length -= part;
        if (writer->at % ring == 0)
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

    if (!writer->large) {
        memcpy(writer->to, &record, sizeof record);
        writer->to += sizeof record;
        return;
    }
    put_large(writer, &record, sizeof record.check);
    writer->crc = redo->area.seed;
    put_large(writer, &record.bytes, sizeof record - sizeof record.check);
}

void vi_disk_put(struct vi_disk_writer *writer, unsigned member, uint64_t offset, const void *from,
                 uint32_t length)
{
    const struct vi_redo_item item = {offset, length, (uint16_t)member, VI_REDO_BYTES};
    static const unsigned char zeros[8];

    if (!writer->large) { /* it lies in the ring as a whole */
        memcpy(writer->to, &item, sizeof item);
        writer->to += vi_disk_item_size(length);
        if (length % 8 != 0)
            memcpy(writer->to - sizeof zeros, zeros, sizeof zeros);
        vi_copy(writer->to - vi_disk_up(length, 8), from, length);
        return;
    }
    put_large(writer, &item, sizeof item);
    put_large(writer, from, length);
    put_large(writer, zeros, -length % 8);
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

    if (writer->large) {
        if (end_large(writer) != 0) {
            vi_disk_poison(redo, writer->error);
            pthread_mutex_unlock(&redo->lock);
            return vi_disk_refuse(redo);
        }
    } else {
        struct vi_redo_record *record = (void *)(writer->to - writer->bytes);
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
