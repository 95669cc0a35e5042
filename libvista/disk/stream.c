/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The redo stream: see stream.h.
 */
#include "disk/stream.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"

void vi_disk_area_set(struct vi_disk_area *area, uint64_t headers_offset, uint64_t ring_offset,
                      uint64_t ring_size, uint64_t log_size)
{
    area->headers_offset = headers_offset;
    area->ring_offset = ring_offset;
    area->log_offset = ring_offset + ring_size;
    area->ring_size = ring_size;
    area->log_size = log_size;
    area->seed = vi_crc32c(vi_crc32c(0, area->uuid, sizeof area->uuid), &area->incarnation,
                           sizeof area->incarnation);
}

/* ---- Headers ----------------------------------------------------------- */

static bool header_sound(const struct vi_disk_area *area, const struct vi_redo_header *h,
                         uint64_t end)
{
    const uint64_t ring = h->ring_size, log = h->log_size;

    return h->magic == VI_REDO_MAGIC && h->version == VI_REDO_VERSION &&
           h->check == vi_crc32c(0, h, offsetof(struct vi_redo_header, check)) &&
           memcmp(h->uuid, area->uuid, sizeof h->uuid) == 0 && ring != 0 &&
           ring % VI_REDO_BLOCK == 0 && log % ring == 0 && log / ring >= 4 &&
           end > area->ring_offset && ring < end - area->ring_offset &&
           log <= end - area->ring_offset - ring && h->head % 8 == 0 && h->head >= ring &&
           h->head < UINT64_MAX / 2 && (h->previous == 0 || h->previous < h->head);
}

int vi_disk_header_read(struct vi_disk_area *area, uint64_t end, struct vi_disk_point *head)
{
    struct vi_redo_header both[VI_REDO_HEADERS];
    const struct vi_redo_header *newest = NULL;

    *head = (struct vi_disk_point){0};
    for (int i = 0; i < VI_REDO_HEADERS; i++) {
        if (vi_io_read(area->io, area->fd, &both[i], sizeof both[i],
                       area->headers_offset + (uint64_t)i * VI_REDO_BLOCK, false) != 0)
            return vi_fail_system(errno, "%s: cannot read its redo log's header", area->path);
        if (header_sound(area, &both[i], end) &&
            (newest == NULL || both[i].generation > newest->generation))
            newest = &both[i];
    }
    if (newest == NULL)
        return 1;
    area->generation = newest->generation;
    area->epoch = newest->epoch;
    area->incarnation = newest->incarnation;
    vi_disk_area_set(area, area->headers_offset, area->ring_offset, newest->ring_size,
                     newest->log_size);
    *head = (struct vi_disk_point){newest->head, newest->previous};
    return 0;
}

static int write_header(const struct vi_disk_area *area, const struct vi_redo_header *header,
                        uint64_t generation)
{
    static const unsigned char rest[VI_REDO_BLOCK - sizeof *header];
    const struct iovec parts[] = {{(void *)header, sizeof *header}, {(void *)rest, sizeof rest}};

    if (vi_io_write(area->io, area->fd, parts, 2,
                    area->headers_offset + generation % VI_REDO_HEADERS * VI_REDO_BLOCK, true) == 0)
        return 0;
    return vi_fail_system(errno, "%s: cannot write its redo log's header", area->path);
}

int vi_disk_header_write(struct vi_disk_area *area, uint32_t epoch, struct vi_disk_point head)
{
    struct vi_redo_header header = {
        .magic = VI_REDO_MAGIC,
        .version = VI_REDO_VERSION,
        .epoch = epoch,
        .generation = area->generation + 1,
        .incarnation = area->incarnation,
        .head = head.lsn,
        .previous = head.previous,
        .ring_size = area->ring_size,
        .log_size = area->log_size,
    };

    memcpy(header.uuid, area->uuid, sizeof header.uuid);
    header.check = vi_crc32c(0, &header, offsetof(struct vi_redo_header, check));
    if (write_header(area, &header, header.generation) != 0)
        return -1;
    area->generation = header.generation;
    area->epoch = epoch;
    return 0;
}

int vi_disk_headers_void(const struct vi_disk_area *area)
{
    const struct vi_redo_header none = {0};

    /* The older one first, so that it does not count in between. */
    return write_header(area, &none, area->generation + 1) == 0
               ? write_header(area, &none, area->generation)
               : -1;
}

/* ---- Records ----------------------------------------------------------- */

uint64_t vi_disk_record_max(const struct vi_disk_area *area)
{
    /* Where it would wrap the log, what is skipped is shorter than the record and a ring. */
    const uint64_t half = area->log_size / 2 - area->ring_size;

    return half < UINT32_MAX - 7 ? half : (uint64_t)UINT32_MAX - 7;
}

uint64_t vi_disk_next_lsn(const struct vi_disk_area *area, uint64_t tail, uint64_t bytes,
                          uint64_t *end)
{
    const uint64_t ring = area->ring_size;
    uint64_t at = tail;

    if (bytes <= ring / 2) {
        if (at % ring + bytes > ring)
            at = vi_disk_up(at, ring);
        *end = at + bytes;
        return at;
    }
    at = vi_disk_up(at, ring);
    if (at % area->log_size + bytes > area->log_size)
        at = vi_disk_up(at, area->log_size);
    *end = vi_disk_up(at + bytes, ring);
    return at;
}

uint32_t vi_disk_check(const struct vi_disk_area *area, const struct vi_redo_record *record)
{
    return vi_crc32c(area->seed, &record->bytes, record->bytes - sizeof record->check);
}

bool vi_disk_sound(const struct vi_disk_area *area, const struct vi_redo_record *record,
                   uint64_t left, uint64_t lsn)
{
    return left >= sizeof *record && record->lsn == lsn && record->epoch == area->epoch &&
           record->bytes >= sizeof *record && record->bytes % 8 == 0 && record->bytes <= left &&
           record->check == vi_disk_check(area, record);
}

const struct vi_redo_item *vi_disk_item(const struct vi_redo_record *record,
                                        const struct vi_redo_item *item)
{
    const unsigned char *const begin = (const unsigned char *)record, *at;
    uint64_t left;

    at = item == NULL ? (const unsigned char *)(record + 1)
                      : (const unsigned char *)item + vi_disk_item_size(item->length);
    left = record->bytes - (uint64_t)(at - begin);
    item = (const struct vi_redo_item *)at;
    return left >= sizeof *item && left >= vi_disk_item_size(item->length) ? item : NULL;
}

const struct vi_redo_record *vi_disk_walk_record(struct vi_disk_walk *walk)
{
    const struct vi_disk_area *area = walk->area;
    const uint64_t steps[] = {VI_REDO_BLOCK, area->ring_size, area->log_size, 1};
    uint64_t lsn = walk->at.lsn;

    walk->record = NULL;
    walk->item = NULL;
    for (size_t i = 0; i < 4 && lsn < walk->to; lsn = vi_disk_up(lsn, steps[i++])) {
        const uint64_t place = lsn % walk->size, behind = walk->size - place, most = walk->to - lsn;
        const struct vi_redo_record *record = (const void *)(walk->memory + place);

        if (vi_disk_sound(area, record, behind < most ? behind : most, lsn) &&
            record->previous == walk->at.previous) {
            walk->at = (struct vi_disk_point){lsn + record->bytes, lsn};
            return walk->record = record;
        }
    }
    return NULL;
}

const struct vi_redo_item *vi_disk_walk(struct vi_disk_walk *walk)
{
    while (walk->record == NULL || (walk->item = vi_disk_item(walk->record, walk->item)) == NULL)
        if (vi_disk_walk_record(walk) == NULL)
            return NULL;
    return walk->item;
}
