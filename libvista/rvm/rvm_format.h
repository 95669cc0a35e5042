/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The stored format of RVM's log, and no code.  It is the redo log of disk/redo_format.h in a file of
 * its own, with a table of the segments that records name:
 *
 *           +-------------------+  0
 *           | redo headers      |  2 of 4 KiB
 *           +-------------------+  8 KiB
 *           | members           |  255 of 4 KiB; items of member n are of entry n - 1
 *           +-------------------+  1028 KiB
 *           | ring, log         |
 *           +-------------------+
 *
 * A segment is a raw image of bytes and says nothing of the log.  So an entry says all by which the
 * segment is known again.
 */
#ifndef VI_RVM_FORMAT_H
#define VI_RVM_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "disk/redo_format.h"
#include "media/format.h"

#define VI_RVM_MEMBERS 255u
#define VI_RVM_MEMBERS_OFFSET (VI_REDO_HEADERS * VI_REDO_BLOCK)
#define VI_RVM_RING_OFFSET (VI_RVM_MEMBERS_OFFSET + VI_RVM_MEMBERS * VI_PAGE)

/* An entry of the table; all zero: none.  Laid out as struct vi_member, whose place it has. */
struct vi_rvm_member {
    uint8_t boot[16];        /*  0: id of the boot in which `device` counts; zero: unknown */
    uint64_t device;         /* 16 */
    uint64_t size;           /* 24: of the file */
    uint64_t inode;          /* 32 */
    uint64_t reserved[2];    /* 40 */
    uint32_t reserved1;      /* 56 */
    uint32_t check;          /* 60: CRC32C of all else, begun with that of the log's UUID */
    char path[VI_PAGE - 64]; /* 64: absolute; ends with zeros */
};
_Static_assert(sizeof(struct vi_rvm_member) == sizeof(struct vi_member), "an entry has its place");
_Static_assert(offsetof(struct vi_rvm_member, inode) == offsetof(struct vi_member, reserved),
               "entry layout");
_Static_assert(offsetof(struct vi_rvm_member, check) == offsetof(struct vi_member, check),
               "entry layout");

/* The smallest log that is made, and its ring: a quarter of that. */
#define VI_RVM_LOG_LEAST 65536u
#define VI_RVM_RING_MOST (1u << 20)

#endif
