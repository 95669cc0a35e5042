/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The superblock: reading with every number suspect, writing of both copies; and where in
 * the file everything is.
 */
#ifndef VI_MEDIA_SUPERBLOCK_H
#define VI_MEDIA_SUPERBLOCK_H

#include <stdbool.h>
#include <string.h>

#include "media/file.h"
#include "media/format.h"
#include "media/persist.h"

/* Fills in the areas' offsets from max_size, address and features; -1 with EINVAL
 * when max_size is too large. */
int vi_superblock_layout(struct vi_superblock *superblock);

/* Where the metadata ends: all before it is mapped apart from the data. */
uint64_t vi_superblock_meta_size(const struct vi_superblock *superblock);

/* Units of data for which there are descriptors and marks: those of max_size, and more. */
uint64_t vi_superblock_units(const struct vi_superblock *superblock);

/* Offsets in the file of the heap's descriptors and of its marks. */
static inline uint64_t vi_superblock_descriptors(const struct vi_superblock *superblock)
{
    return superblock->heap_offset + VI_PAGE;
}
static inline uint64_t vi_superblock_marks(const struct vi_superblock *superblock)
{
    return vi_superblock_descriptors(superblock) +
           vi_superblock_units(superblock) * sizeof(uint64_t);
}

/* How many slots the log area has room for. */
static inline uint64_t vi_superblock_slots(const struct vi_superblock *superblock)
{
    const uint64_t slots = VI_SLOTS_NEAR + superblock->chunks_size / VI_SLOT_SIZE;

    return slots < VI_SLOTS ? slots : VI_SLOTS;
}

/* Offset in the file of a slot, of a segment whose chunk area ends at `chunks_end`. */
static inline uint64_t vi_superblock_slot(uint64_t chunks_end, uint64_t slot)
{
    return slot < VI_SLOTS_NEAR ? VI_SLOTS_OFFSET + slot * VI_SLOT_SIZE
                                : chunks_end - (slot - VI_SLOTS_NEAR + 1) * VI_SLOT_SIZE;
}

/* Bytes at the end of the chunk area that are of slots, when so many were ever used. */
static inline uint64_t vi_superblock_far_slots(uint64_t slots_used)
{
    const uint64_t far = slots_used > VI_SLOTS_NEAR ? slots_used - VI_SLOTS_NEAR : 0;

    return (far + VI_CHUNK_SLOTS - 1) / VI_CHUNK_SLOTS * VI_CHUNK_UNIT;
}

/*
 * Reads the superblock that counts.  1: there is none, the file is new or its
 * creation was killed.  -1: EBADMSG damaged or not a segment, ENOTSUP another
 * version, byte order or feature, EIO.
 */
int vi_superblock_read(const struct vi_file *file, bool read_only, struct vi_superblock *out);

/* What is wrong with one copy, as vi_superblock_read: 0, or -1 with the message. */
int vi_superblock_check(const struct vi_file *file, const struct vi_superblock *superblock,
                        bool read_only);

/* Writes both copies, one after the other, each durable before the next: that the
 * segment is open is in both before anything else is stored, so that the loss of
 * either is harmless.  `copies` is the file's mapped beginning. */
int vi_superblock_write(const struct vi_file *file, const struct vi_persist *persist,
                        unsigned char *copies, struct vi_superblock *superblock);

#endif
