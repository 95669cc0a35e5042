/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The redo stream: where its headers and records lie, and which of them count.
 */
#ifndef VI_DISK_STREAM_H
#define VI_DISK_STREAM_H

#include <stdbool.h>

#include "disk/redo_format.h"
#include "media/io.h"

/* Where a redo log lies in its file, and what its records have to agree with. */
struct vi_disk_area {
    const struct vi_io_ops *io;
    const char *path; /* for messages */
    int fd;
    bool copies_on_write; /* a store to the ring, were it mapped, could lack a block and kill */
    uint64_t headers_offset;
    uint64_t ring_offset;
    uint64_t log_offset;
    uint64_t ring_size;
    uint64_t log_size;
    uint8_t uuid[16];
    uint64_t incarnation;
    uint64_t generation; /* of the newest header */
    uint32_t epoch;
    uint32_t seed; /* of checks */
};

/* A place between two records. */
struct vi_disk_point {
    uint64_t lsn;
    uint64_t previous; /* LSN of the record before; 0: none of this epoch */
};

/* Lays an area out behind its headers.  The caller has set io, path, fd, uuid. */
void vi_disk_area_set(struct vi_disk_area *area, uint64_t headers_offset, uint64_t ring_offset,
                      uint64_t ring_size, uint64_t log_size);

/* Reads the header that counts, and sets sizes, generation, epoch, incarnation by it; the log
 * may reach to `end` of the file.  1: there is none for this UUID.  -1: EBADMSG, EIO. */
int vi_disk_header_read(struct vi_disk_area *area, uint64_t end, struct vi_disk_point *head);

/* Writes the next header, durably: the log of `epoch` begins at `head`. */
int vi_disk_header_write(struct vi_disk_area *area, uint32_t epoch, struct vi_disk_point head);

/* Writes zeros over both headers, durably: there is no log any more. */
int vi_disk_headers_void(const struct vi_disk_area *area);

/* The largest record that fits, whatever stands in the log. */
uint64_t vi_disk_record_max(const struct vi_disk_area *area);

/* Where a record goes that is appended at `tail`, and in `end` where the stream then ends. */
uint64_t vi_disk_next_lsn(const struct vi_disk_area *area, uint64_t tail, uint64_t bytes,
                          uint64_t *end);

/* What a record's check has to be. */
uint32_t vi_disk_check(const struct vi_disk_area *area, const struct vi_redo_record *record);

/* Is there a sound record of this epoch at `lsn`, of whose bytes `left` are at `record`? */
bool vi_disk_sound(const struct vi_disk_area *area, const struct vi_redo_record *record,
                   uint64_t left, uint64_t lsn);

/* The records from one point of a stream up to an LSN, in a log or a ring that is in memory, and
 * their items. */
struct vi_disk_walk {
    const struct vi_disk_area *area;
    const unsigned char *memory;
    uint64_t size;
    struct vi_disk_point at; /* behind `record` */
    uint64_t to;
    const struct vi_redo_record *record; /* that `item`, the last, is of; NULL: none yet */
    const struct vi_redo_item *item;
};

/* The next record, whose items are next then; NULL: none counts that ends at `to` or before. */
const struct vi_redo_record *vi_disk_walk_record(struct vi_disk_walk *walk);
/* The next item of any record; NULL: there is none.  What of a record does not fit is passed
 * over. */
const struct vi_redo_item *vi_disk_walk(struct vi_disk_walk *walk);

/* The item behind `item` (NULL: the first) of a record that is `record->bytes` long; NULL: there
 * is none, or it does not fit. */
const struct vi_redo_item *vi_disk_item(const struct vi_redo_record *record,
                                        const struct vi_redo_item *item);

static inline uint64_t vi_disk_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

/* Bytes of an item in a record. */
static inline uint64_t vi_disk_item_size(uint64_t length)
{
    return sizeof(struct vi_redo_item) + vi_disk_up(length, 8);
}

#endif
