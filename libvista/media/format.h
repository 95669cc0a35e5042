/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The stored format, version 1: everything that is in a segment's file, and no
 * code.  Numbers are little-endian; offsets of areas are from the file's
 * beginning, offsets of data from the data's.
 *
 *        0 +--------------------+
 *          | superblock, copy 0 |  a page; the sound copy with the higher sequence counts
 *     4096 +--------------------+
 *          | superblock, copy 1 |
 *     8192 +--------------------+
 *          | log header         |  how many slots were ever used
 *    12288 +--------------------+
 *          | home               |  of a member: the segment whose log it used last
 *    16384 +--------------------+
 *          | shares             |  VI_SHARES of 64 bytes, for who uses the file beside its writer
 *    32768 +--------------------+
 *          | members            |  VI_MEMBERS of 4 KiB: segments that used this log
 *          +--------------------+  VI_SLOTS_OFFSET
 *          | near slots         |  VI_SLOTS_NEAR of 16 KiB: slot header, then records
 *          +--------------------+  chunks_offset
 *          | chunks             |  runs of 64 KiB: chunk header, then records
 *          |         ...        |
 *          | far slots          |  made when they are needed, from the area's end downwards
 *          +--------------------+  heap_offset (absent without a heap)
 *          | heap header        |  4 KiB: the root
 *          | descriptors        |  8 bytes a unit (4 KiB of data)
 *          | marks              |  256 bytes a unit
 *          +--------------------+  data_offset, congruent to the address modulo 2 MiB
 *          | data               |  size now, max_size at most
 *          +--------------------+
 *
 * All but the data is laid out for max_size and sparse; it is mapped apart from
 * the data.  The areas' offsets follow from max_size, the address and the
 * features; they are stored all the same, and must agree.  Where in the file each
 * thing is is computed in media/superblock.h, and nowhere else.
 *
 * Reserved words are written as zero when what they are part of is made, are kept as they
 * are found, and nothing depends on them: whatever a later library needs that an earlier
 * one may not ignore, it says by a feature bit.
 *
 * Who maps the file locks bytes [0, 2^62) of it, exclusively or, read-only, shared; byte
 * 2^62 + n belongs to share n.
 */
#ifndef VI_MEDIA_FORMAT_H
#define VI_MEDIA_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "vista.h"

#define VI_MAGIC 0x3147455341545356u         /* "VSTASEG1" read as a little-endian number */
#define VI_MAGIC_SWAPPED 0x5653544153454731u /* the same from a big-endian machine */
#define VI_VERSION 1u

#define VI_PAGE 4096u
#define VI_HUGE_PAGE (2u << 20)
#define VI_LINE 64u
#define VI_SIZE_MAX ((uint64_t)1 << 43) /* of the data: 8 TiB */
#define VI_LOCK_LENGTH ((uint64_t)1 << 62)

/* ---- Superblock -------------------------------------------------------- */

#define VI_SUPERBLOCK_SIZE VI_PAGE
#define VI_SUPERBLOCKS 2

/* Features: unknown ones in `may` are ignored, in `read_only` allow reading only,
 * in `must` refuse the file. */
#define VI_MUST_HEAP 0x1u   /* there is a heap; else the data is flat */
#define VI_MUST_SPARSE 0x2u /* data blocks are allocated with use */
#define VI_MUST_MEMBER 0x4u /* in use with another's log: see struct vi_member */
#define VI_MUST_REDO 0x8u   /* in use with a redo log in its chunk area: disk/redo_format.h */
#define VI_MUST_KNOWN 0xfu
#define VI_READ_ONLY_STANDBY 0x1u /* reserved: it follows another segment */
#define VI_READ_ONLY_KNOWN 0x0u

#define VI_LAYOUT_MAX 47u /* bytes of the program's name for what the data is */

/* From which LSN on a file's redo records are of which incarnation. */
struct vi_incarnation {
    uint64_t incarnation; /* 0: none */
    uint64_t first_lsn;   /* 8 */
};

struct vi_superblock {
    uint64_t magic;              /*   0 */
    uint32_t version;            /*   8 */
    uint32_t reserved0;          /*  12 */
    uint64_t features_may;       /*  16 */
    uint64_t features_read_only; /*  24 */
    uint64_t features_must;      /*  32 */
    uint64_t sequence;           /*  40: of this update; copy sequence % 2 */
    uint8_t uuid[16];            /*  48 */
    uint64_t address;            /*  64: of the data */
    uint64_t size;               /*  72: of the data */
    uint64_t max_size;           /*  80 */
    uint64_t chunks_offset;      /*  88 */
    uint64_t chunks_size;        /*  96 */
    uint64_t heap_offset;        /* 104: 0 without a heap */
    uint64_t data_offset;        /* 112 */
    uint64_t device;             /* 120: of the file when last mapped for writing */
    uint64_t inode;              /* 128 */
    uint8_t boot_id[16];         /* 136: zero when it could not be told */
    uint32_t clean;              /* 152: 1 unmapped, 0 open or left open */
    uint32_t log_class;          /* 156: enum vista_class the log is written in */
    uint32_t real_class;         /* 160: the class that the file gave, forced or not */
    uint32_t reserved1;          /* 164 */
    uint64_t mapped;             /* 168: address of the data when last mapped for writing */
    uint64_t birth;              /* 176: of the file, as inode: nanoseconds since 1970; 0 unknown */

    /* Lasting: a library that does not use them keeps them as they are. */
    uint64_t lsn;                     /* 184: where redo records end, for the file's life */
    struct vi_incarnation history[8]; /* 192: newest first */
    char layout[VI_LAYOUT_MAX + 1];   /* 320: options.layout at creation, ends with zeros */
    uint64_t lasting[7];              /* 368: [0] the last epoch of redo records; reserved */

    /* The opening's: a library that does not use them makes them zero when it opens the
     * file for writing. */
    uint64_t shares;      /* 424: in use */
    uint64_t incarnation; /* 432: of this opening */
    uint64_t opening[6];  /* 440: [0] a number that no other opening has; reserved */

    uint64_t reserved2[2]; /* 488 */
    uint32_t reserved3;    /* 504 */
    uint32_t check;        /* 508: CRC32C of the 508 bytes before */
};
_Static_assert(sizeof(struct vi_superblock) == 512, "the superblock is a sector");
_Static_assert(offsetof(struct vi_superblock, uuid) == 48, "superblock layout");
_Static_assert(offsetof(struct vi_superblock, data_offset) == 112, "superblock layout");
_Static_assert(offsetof(struct vi_superblock, clean) == 152, "superblock layout");
_Static_assert(offsetof(struct vi_superblock, lsn) == 184, "superblock layout");
_Static_assert(offsetof(struct vi_superblock, layout) == 320, "superblock layout");
_Static_assert(offsetof(struct vi_superblock, shares) == 424, "superblock layout");
_Static_assert(offsetof(struct vi_superblock, opening) == 440, "superblock layout");
_Static_assert(offsetof(struct vi_superblock, check) == 508, "superblock layout");

/* ---- Undo log ---------------------------------------------------------- */

#define VI_LOG_OFFSET 8192u
#define VI_HOME_OFFSET 12288u
#define VI_SHARES_OFFSET 16384u
#define VI_SHARES 256u
#define VI_MEMBERS_OFFSET (VI_SHARES_OFFSET + VI_SHARES * VI_LINE)
#define VI_MEMBERS 255u
#define VI_SLOTS_OFFSET (VI_MEMBERS_OFFSET + VI_MEMBERS * VI_PAGE)

/* Reserved for readers of a segment in use.  Share 0 is the writer's; all are zero at first,
 * mapped MAP_SHARED in every class and not recovered; nothing but an LSN is believed. */
struct vi_share {
    uint64_t reserved[8];
};
_Static_assert(sizeof(struct vi_share) == VI_LINE, "a share has a line");
_Static_assert(VI_MEMBERS_OFFSET == 32768, "shares have four pages");

/*
 * A segment may use another's log, its home's.  Home has an entry for each such member,
 * which is durable before a record names an address in it, and the member has one for
 * home.  An entry with a wrong checksum is none.
 */
struct vi_member {
    uint8_t uuid[16];        /*  0 */
    uint64_t mapped;         /* 16: where its data was mapped; of home: 0 */
    uint64_t max_size;       /* 24: of its data */
    uint64_t opening;        /* 32: of home in which it joined; 0: not known */
    uint64_t reserved[2];    /* 40 */
    uint32_t reserved1;      /* 56 */
    uint32_t check;          /* 60: CRC32C of all else, begun with that of this file's UUID */
    char path[VI_PAGE - 64]; /* 64: absolute, when it was mapped; ends with zeros */
};
_Static_assert(sizeof(struct vi_member) == VI_PAGE, "a member has a page");

/*
 * Few segments have more than VI_SLOTS_NEAR transactions open at once, and so the slots
 * beyond those lie where else chunks would, the last in the area first: slot VI_SLOTS_NEAR
 * ends where the area ends, the next one below it.  Chunks come from the area's beginning,
 * and never from a unit that a used slot is in.  The area is large enough for all of the
 * data to be declared at once, an eighth more for headers, and VI_CHUNKS_LEAST: 1,024 slots
 * without a transaction that declares much, or the redo log of a small segment (two headers
 * of 4 KiB, a ring of 1 MiB, 4 MiB of log) and some hundred slots.  A segment that may grow
 * to 42 MiB can have VI_SLOTS.
 */
#define VI_SLOTS 4096u       /* transactions open at once, at most */
#define VI_SLOTS_NEAR 64u    /* 1 MiB */
#define VI_SLOT_SIZE 16384u  /* the first chunk: 130 ranges of order-entry's delivery fit */
#define VI_CHUNK_UNIT 65536u /* further chunks are runs of this */
#define VI_CHUNK_SLOTS (VI_CHUNK_UNIT / VI_SLOT_SIZE)
#define VI_CHUNKS_OFFSET (VI_SLOTS_OFFSET + VI_SLOTS_NEAR * VI_SLOT_SIZE)
#define VI_CHUNKS_LEAST ((uint64_t)16 << 20)

struct vi_log_header {
    uint64_t slots_used; /* 0: slots from this one on were never used */
};

/*
 * A stamp names one transaction for the file's life:
 *
 *     63                          13 12            1   0
 *    +------------------------------+---------------+---+
 *    | count of this slot, from 1   | slot          | F |
 *    +------------------------------+---------------+---+
 *
 * F in a slot's word is 1 while the transaction is committed with work to finish.  At 10
 * million transactions a second through one slot the 51 bits last 7 years.
 *
 * The slot's states, all told from its word W:
 *   idle       no record begins the log that has the stamp W
 *   open       one does; the transaction's records are it and those that follow
 *   finishing  F set; the records are those of stamp W - 1
 */
#define VI_STAMP_FINISHING 1u /* in a slot's word */
#define VI_STAMP_SLOT_SHIFT 1

struct vi_slot_header {
    uint64_t word;        /*  0: the commit point; 0: never used */
    uint64_t next;        /*  8: offset of the second chunk, 0 if none */
    uint64_t reserved[6]; /* 16 */
};
_Static_assert(sizeof(struct vi_slot_header) == VI_LINE, "slot header is one line");

struct vi_chunk_header {
    uint64_t owner;       /*  0: slot + 1; a link to a chunk counts only if this agrees */
    uint64_t next;        /*  8: offset of the next chunk, 0 if none; as in the slot header */
    uint64_t index;       /* 16: place in its slot's chain, from 1: no cycle */
    uint64_t size;        /* 24: bytes, header included, a multiple of VI_CHUNK_UNIT */
    uint64_t reserved[4]; /* 32 */
};
_Static_assert(sizeof(struct vi_chunk_header) == VI_LINE, "chunk header is one line");
_Static_assert(offsetof(struct vi_chunk_header, next) == offsetof(struct vi_slot_header, next),
               "links are found alike");

/*
 * A record: the transaction's stamp; where flushes can be lost, a word with the bytes
 * that follow << 32 | CRC32C; the shape; then one item, or as many as the shape says; and,
 * where flushes can be lost, zeros to the end of a line.
 * An item is an address, where the segment was mapped when the record was written, and
 * what the kind has, padded to 8: for an undo item the bytes as they were.
 *
 *     63  62     56 55                                                   0
 *    +---+---------+------------------------------------------------------+
 *    | 0 | kind    | length                                               |  one item
 *    +---+---------+-----+-------------+-----+-------------+--------------+
 *    | 1 | length 6, or 0| length 5    | ... | length 1    | length 0     |  undo items
 *    +---+---------------+-------------+-----+-------------+--------------+
 *
 * A range longer than VI_RECORD_MAX becomes several records.
 */
#define VI_KIND_SHIFT 56
#define VI_RECORD_MAX (1u << 30)
#define VI_CHUNK_MAX ((uint64_t)2 << 30) /* a record of that length fits */

/* Kinds.  `offset` is of data.  `length`: of UNDO, in bytes; of a block's record,
 * units back to its span's head << 16 | number of the block in it; of EXTEND, the units that
 * the large block had before. */
enum vi_kind {
    VI_KIND_UNDO = 0,   /* payload: the bytes as they were */
    VI_KIND_ALLOC = 1,  /* a block was allocated */
    VI_KIND_CANCEL = 2, /* one allocated in this transaction was freed */
    VI_KIND_FREE = 3,   /* one allocated before is to be freed at commit */
    VI_KIND_ROOT = 4,   /* payload: two struct vi_root, as it was and as it is to be */
    VI_KIND_EXTEND = 5, /* a large block was given units behind its own: their bytes are new */
    VI_KINDS = 6
};

/* ---- Heap -------------------------------------------------------------- */

#define VI_UNIT 4096u          /* of data */
#define VI_MARKS_PER_UNIT 256u /* one for each 16 bytes, the smallest block */
#define VI_GROUP_UNITS 512u    /* units whose descriptors fill a page: 2 MiB of data */

struct vi_root {
    uint64_t offset; /* of data */
    uint64_t size;   /* as asked for; 0: there is no root */
};

struct vi_heap_header {
    struct vi_root root; /*  0 */
    uint64_t end;        /* 16: units from this one on were never in a span */
};

/*
 * A span is a run of units.  The descriptor of its first unit says what it is;
 * those of its other units are zero, as are those of free units, so that making
 * or unmaking a span is one store:
 *
 *     63          48 47          40 39                               8 7     0
 *    +--------------+--------------+---------------------------------+-------+
 *    | zero         | size class   | units                           | kind  |
 *    +--------------+--------------+---------------------------------+-------+
 *
 * A small span holds blocks of its class's size, a large one a single block.  Block i
 * is allocated if the i-th mark from its span's first unit's on is 1 (a byte for each, so
 * that no two transactions store to the same); marks past a span's last block, and those
 * of free units, are zero.  A span whose marks are all zero is as good as free.
 */
#define VI_MARK_FREE 0u
#define VI_MARK_ALLOCATED 1u
#define VI_SPAN_FREE 0u
#define VI_SPAN_SMALL 1u
#define VI_SPAN_LARGE 2u
#define VI_SPAN_KIND(d) ((unsigned)((d)&0xffu))
#define VI_SPAN_UNITS(d) ((uint64_t)((d) >> 8 & 0xffffffffu))
#define VI_SPAN_CLASS(d) ((unsigned)((d) >> 40 & 0xffu))
#define VI_SPAN(kind, units, size_class) \
    ((uint64_t)(kind) | (uint64_t)(units) << 8 | (uint64_t)(size_class) << 40)

#endif
