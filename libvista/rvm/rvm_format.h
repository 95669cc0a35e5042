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

/* An entry of the table is a struct vi_member (media/format.h), all zero if there is none.  `uuid` is the id
 * of the boot in which the device number counts, zero if it is not known; `mapped` that number; `max_size` the
 * file's size; `check` begins with the CRC32C of the log's UUID.  And: */
#define VI_RVM_INODE(entry) ((entry)->reserved[0])
/* When the file was made, in nanoseconds since 1970; 0: not known. */
#define VI_RVM_BIRTH(entry) ((entry)->reserved[1])

/* The smallest log that is made, and its ring: a quarter of that. */
#define VI_RVM_LOG_LEAST 65536u
#define VI_RVM_RING_MOST (1u << 20)

#endif
