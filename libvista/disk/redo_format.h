/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The stored format of the disk class, and no code: the redo log.  Numbers are little-endian.  It lies in
 * a segment's chunk area, which this class has no other use for:
 *
 *           +-------------------+  chunks_offset
 *           | redo header 0     |  4 KiB each; the sound one with the higher generation counts
 *           | redo header 1     |
 *           +-------------------+
 *           | ring              |  the newest records; never synced for its own sake, and
 *           |                   |  not stored to where the file system copies on write
 *           +-------------------+
 *           | log               |  a multiple of the ring
 *           +-------------------+
 *
 * A log sequence number (LSN) is a position in an endless stream of bytes.  The byte at LSN L
 * lies at L % log_size in the log and, until it is overwritten there, at L % ring_size in the
 * ring.  The stream is a chain of records; behind a record that ends at E the next one begins at
 * E or, when something is skipped, at the next multiple of 4 KiB, of the ring's size, or of the
 * log's.  It counts if its lsn, previous, epoch, bounds and check agree.
 */
#ifndef VI_DISK_FORMAT_H
#define VI_DISK_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define VI_REDO_MAGIC 0x3130304f44455256u /* "VREDO001" read as a little-endian number */
#define VI_REDO_BLOCK 4096u               /* of a header; a synced batch ends at a multiple */
#define VI_REDO_HEADERS 2

struct vi_redo_header {
    uint64_t magic;        /*   0 */
    uint32_t version;      /*   8: 1 */
    uint32_t epoch;        /*  12: of the records from head on; a new one at each opening */
    uint8_t uuid[16];      /*  16: of the segment */
    uint64_t generation;   /*  32: of this update; header generation % 2 */
    uint64_t incarnation;  /*  40: seeds the checks, with the UUID */
    uint64_t head;         /*  48: LSN: what is below has reached the data */
    uint64_t previous;     /*  56: LSN of the last record below head; 0: none of this epoch */
    uint64_t ring_size;    /*  64 */
    uint64_t log_size;     /*  72 */
    uint64_t reserved[53]; /*  80: written 0 and not judged */
    uint32_t reserved1;    /* 504 */
    uint32_t check;        /* 508: CRC32C of the 508 bytes before */
};
_Static_assert(sizeof(struct vi_redo_header) == 512, "a redo header is one sector");
_Static_assert(offsetof(struct vi_redo_header, head) == 48, "redo header layout");
_Static_assert(offsetof(struct vi_redo_header, check) == 508, "redo header layout");

#define VI_REDO_VERSION 1u

struct vi_redo_record {
    uint32_t check;    /*  0: CRC32C of all that follows, begun with that of UUID, incarnation */
    uint32_t bytes;    /*  4: of the whole record, a multiple of 8 */
    uint64_t lsn;      /*  8 */
    uint64_t previous; /* 16: LSN of the record before; 0: the epoch's first */
    uint64_t synced;   /* 24: LSN behind a record: all below was durable when this was built */
    uint32_t epoch;    /* 32 */
    uint32_t items;    /* 36 */
};
_Static_assert(sizeof(struct vi_redo_record) == 40, "redo record layout");

/* Behind it `length` bytes, and zeros to a multiple of 8. */
struct vi_redo_item {
    uint64_t offset; /*  0: in the member's file */
    uint32_t length; /*  8 */
    uint16_t member; /* 12: 0 the log's own segment; n: entry n - 1 of its table of members */
    uint16_t kind;   /* 14 */
};
_Static_assert(sizeof(struct vi_redo_item) == 16, "redo item layout");

/* Kinds.  Unknown ones are skipped from SKIPPED on; others refuse the log. */
enum vi_disk_kind {
    VI_REDO_BYTES = 0, /* the bytes from offset on have become these */
    VI_REDO_KINDS = 5, /* 1 to 4: reserved, without effect on the data */
    VI_REDO_SKIPPED = 0x8000
};

#endif
