/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recovery of a redo log: see replay.h.
 */
#include "disk/replay.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "disk/apply.h"

#define CHUNK (1u << 20)  /* bytes read or written at once */
#define HOLES (64u << 10) /* places where it is asked for one */
#define LOOKS 4           /* at each byte, at most, for records behind the end */

/* ---- Reading ------------------------------------------------------------ */

/* Is there a record in a ring or log of `size` bytes, which lies at `offset` of the file, at an LSN
 * from `from` up to `to`, that was built when more was durable than was found?  Or what only looks
 * like records, one over the other: sound ones lie side by side. */
static bool knows_of_more(const struct vi_disk_left *left, const unsigned char *memory,
                          uint64_t size, uint64_t offset, uint64_t from, uint64_t to)
{
    uint64_t looked = 0;

    for (uint64_t at = 0; at + sizeof(struct vi_redo_record) <= size; at += 8) {
        const struct vi_redo_record *record = (const void *)(memory + at);
        const uint64_t hole = at % HOLES == 0 ? vi_io_hole(left->area.fd, offset + at) : 0;

        if (hole > 8) {
            at = hole < size - at ? at + hole - 8 : size;
            continue;
        }
        if (record->lsn < from || record->lsn > to - sizeof *record || record->lsn % size != at ||
            record->synced <= left->end.lsn || record->epoch != left->area.epoch ||
            record->bytes > size - at)
            continue;
        looked += record->bytes;
        if (looked > LOOKS * size || vi_disk_sound(&left->area, record, size - at, record->lsn))
            return true;
    }
    return false;
}

/* A record that the log does not have is copied there from the ring. */
static int find_end(struct vi_disk_left *left)
{
    const struct vi_disk_area *area = &left->area;
    const uint64_t limit = left->head.lsn + area->log_size; /* behind, it would be over the first */
    struct vi_disk_walk log = {area, left->log, area->log_size, .at = left->head, .to = limit};
    struct vi_disk_walk ring = {area, left->ring, area->ring_size, .to = limit};

    for (;; left->records++) {
        left->end = ring.at = log.at;
        if (vi_disk_walk_record(&log) != NULL)
            continue;
        if (vi_disk_walk_record(&ring) == NULL)
            break;
        log.at = ring.at;
        if (left->ring_from == UINT64_MAX)
            left->ring_from = ring.record->lsn;
        memcpy(left->log + ring.record->lsn % area->log_size, ring.record, ring.record->bytes);
    }
    if (!knows_of_more(left, left->log, area->log_size, area->log_offset, left->end.lsn, limit) &&
        !knows_of_more(left, left->ring, area->ring_size, area->ring_offset, left->end.lsn, limit))
        return 0;
    return vi_fail(EBADMSG,
                   "%s: damaged: commits that were acknowledged are missing from its redo log, "
                   "from %llu on",
                   area->path, (unsigned long long)left->end.lsn);
}

/* A part of the file, to memory that was never used, which has zeros where the file has holes. */
static int load(const struct vi_disk_area *area, unsigned char *to, uint64_t size, uint64_t offset)
{
    for (uint64_t at = 0, length; at < size; at += length) {
        const uint64_t hole = vi_io_hole(area->fd, offset + at);

        length = hole != 0 ? hole : CHUNK - at % CHUNK;
        length = length < size - at ? length : size - at;
        if (hole == 0 && vi_io_read(area->io, area->fd, to + at, length, offset + at, false) != 0)
            return vi_fail_system(errno, "%s: cannot read its redo log", area->path);
    }
    return 0;
}

int vi_disk_load(struct vi_disk_left *left, const struct vi_disk_area *area, uint64_t end)
{
    int result;

    *left = (struct vi_disk_left){.area = *area, .ring_from = UINT64_MAX};
    result = vi_disk_header_read(&left->area, end, &left->head);
    if (result != 0)
        return result;
    left->log = vi_reserve(left->area.log_size + left->area.ring_size);
    if (left->log == NULL)
        return -1;
    left->ring = left->log + left->area.log_size;
    if (load(&left->area, left->log, left->area.log_size, left->area.log_offset) == 0 &&
        load(&left->area, left->ring, left->area.ring_size, left->area.ring_offset) == 0 &&
        find_end(left) == 0)
        return 0;
    vi_disk_unload(left);
    return -1;
}

void vi_disk_unload(struct vi_disk_left *left)
{
    vi_release(left->log, left->area.log_size + left->area.ring_size);
}

void vi_disk_members_named(const struct vi_disk_left *left, uint8_t named[VI_DISK_MEMBERS])
{
    struct vi_disk_walk walk = vi_disk_walk_left(left);
    const struct vi_redo_item *item;

    while ((item = vi_disk_walk(&walk)) != NULL)
        if (item->kind == VI_REDO_BYTES && item->member < VI_DISK_MEMBERS)
            named[item->member] = 1;
}

/* ---- Recovery ----------------------------------------------------------- */

/* After a failed sync the cache shows what the disk lacks, and the kernel believes it written.
 * So blocks whose content on the disk is another are written again; they were never synced.  The
 * others are not: a power failure during their writing could harm what was acknowledged.
 * `wanted` is what the file is to have from `offset` on, and `disk` is as long. */
static int write_if_lost(const struct vi_disk_area *area, const unsigned char *wanted,
                         unsigned char *disk, uint64_t length, uint64_t offset)
{
    int result = vi_io_read(area->io, area->fd, disk, length, offset, true);

    if (result != 0 && errno == ENOTSUP) /* as in memory, where nothing is lost */
        result = vi_io_read(area->io, area->fd, disk, length, offset, false);
    for (uint64_t i = 0; i < length && result == 0; i += VI_REDO_BLOCK) {
        const struct iovec block = {(void *)(wanted + i), VI_REDO_BLOCK};

        if (memcmp(wanted + i, disk + i, VI_REDO_BLOCK) != 0)
            result = vi_io_write(area->io, area->fd, &block, 1, offset + i, false);
    }
    return result;
}

/* The log's blocks that have records. */
static int write_log(const struct vi_disk_left *left, unsigned char *disk)
{
    const struct vi_disk_area *area = &left->area;
    const uint64_t to = vi_disk_up(left->end.lsn, VI_REDO_BLOCK);
    uint64_t from = left->head.lsn / VI_REDO_BLOCK * VI_REDO_BLOCK;
    int result = 0;

    for (uint64_t length; from < to && result == 0; from += length) {
        const uint64_t at = from % area->log_size, to_wrap = area->log_size - at;

        length = to - from < CHUNK ? to - from : CHUNK;
        length = length < to_wrap ? length : to_wrap;
        result = write_if_lost(area, left->log + at, disk, length, area->log_offset + at);
    }
    return result;
}

/* All that is about to be applied is in the log first, durably, and the header that counts: else
 * a power failure while the data is written would tear a commit that the ring alone had. */
static int secure(const struct vi_disk_left *left)
{
    const struct vi_disk_area *area = &left->area;
    const uint64_t header =
        area->headers_offset + area->generation % VI_REDO_HEADERS * VI_REDO_BLOCK;
    unsigned char *const memory = vi_reserve(VI_REDO_BLOCK + CHUNK);
    int result = -1;

    if (memory == NULL)
        return errno = ENOMEM, -1;
    if (vi_io_read(area->io, area->fd, memory, VI_REDO_BLOCK, header, false) == 0 &&
        write_if_lost(area, memory, memory + VI_REDO_BLOCK, VI_REDO_BLOCK, header) == 0 &&
        write_log(left, memory + VI_REDO_BLOCK) == 0)
        result = area->io->sync(area->fd);
    vi_release(memory, VI_REDO_BLOCK + CHUNK);
    return result;
}

int vi_disk_replay(struct vi_disk_left *left, struct vi_disk_target *target)
{
    struct vi_disk_area *area = &left->area;
    const struct vi_disk_point start = {vi_disk_up(left->end.lsn + 1, area->ring_size), 0};
    /* A copy from the ring can make a record sound that was not, and leads past what counts. */
    const int64_t pieces = vi_disk_validate(vi_disk_walk_left(left), left->end.previous, target);

    if (pieces < 0)
        return -1;
    if (secure(left) != 0 || vi_disk_apply(vi_disk_walk_left(left), pieces, target) != 0 ||
        vi_disk_sync(area, target) != 0)
        return vi_fail_system(errno, "%s: cannot apply its redo log", area->path);
    return vi_disk_header_write(area, area->epoch + 1, start);
}

/* ---- Creation ----------------------------------------------------------- */

int vi_disk_create(struct vi_disk_area *area, uint32_t epoch, struct vi_disk_point head)
{
    struct iovec zeros = {vi_reserve(CHUNK), 0};
    int result = zeros.iov_base != NULL ? 0 : 1;

    for (uint64_t at = 0; at < area->log_size && result == 0; at += zeros.iov_len) {
        zeros.iov_len = area->log_size - at < CHUNK ? area->log_size - at : CHUNK;
        result = -vi_io_write(area->io, area->fd, &zeros, 1, area->log_offset + at, false);
    }
    vi_release(zeros.iov_base, CHUNK);
    if (result == 0)
        result = area->io->sync(area->fd);
    if (result == 0)
        return vi_disk_header_write(area, epoch, head);
    vi_fail_system(errno, "%s: cannot write a redo log of %llu bytes", area->path,
                   (unsigned long long)area->log_size);
    return result;
}
