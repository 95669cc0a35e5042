/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The superblock: layout of the file, reading with every number suspect, writing
 * of both copies.
 */
#ifndef VI_MEDIA_SUPERBLOCK_H
#define VI_MEDIA_SUPERBLOCK_H

#include <stdbool.h>

#include "media/file.h"
#include "media/format.h"
#include "media/persist.h"

/* Fills in the areas' offsets from max_size, address and features; -1 with EINVAL
 * when max_size is too large. */
int vi_superblock_layout(struct vi_superblock *superblock);

/* Where the metadata ends: all before it is mapped apart from the data. */
uint64_t vi_superblock_meta_size(const struct vi_superblock *superblock);

/* Bytes of descriptors and of marks for all of max_size. */
uint64_t vi_superblock_units(const struct vi_superblock *superblock);

/*
 * Reads the superblock that counts.  1: there is none, the file is new or its
 * creation was killed.  -1: EBADMSG damaged or not a segment, ENOTSUP another
 * version, byte order or feature, EIO.
 */
int vi_superblock_read(const struct vi_file *file, bool read_only, struct vi_superblock *out);

/* What is wrong with one copy, as vi_superblock_read: 0, or -1 with the message. */
int vi_superblock_check(const struct vi_file *file, const struct vi_superblock *superblock,
                        bool read_only);

/*
 * NULL, or why a segment that was left open may be torn: the machine went down
 * meanwhile, since the kernel writes pages in any order where nothing flushes them,
 * or it was copied meanwhile.
 */
const char *vi_superblock_torn(const struct vi_superblock *superblock, const struct vi_file *file);

/* Writes both copies, one after the other, each durable before the next: that the
 * segment is open is in both before anything else is stored, so that the loss of
 * either is harmless.  `copies` is the file's mapped beginning. */
int vi_superblock_write(const struct vi_file *file, const struct vi_persist *persist,
                        unsigned char *copies, struct vi_superblock *superblock);

#endif
