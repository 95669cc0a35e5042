/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a heap is given of its segment.
 */
#ifndef VI_HEAP_HEAP_AREA_H
#define VI_HEAP_HEAP_AREA_H

#include <stdbool.h>
#include <stdint.h>

#include "media/format.h"
#include "media/persist.h"

struct vi_segment;

/* Where a heap lies, and what it needs of its segment. */
struct vi_heap_area {
    struct vi_heap_header *header;
    uint64_t *descriptors;
    uint8_t *marks;
    unsigned char *base; /* of the data */
    uint64_t size;
    uint64_t max_size;
    const struct vi_persist *persist;
    const char *path;
    bool left_open; /* by an earlier mapping, which may not have given disk blocks back */
    /* Sparse: allocates the disk blocks behind a part of the data; else NULL. */
    int (*back)(struct vi_segment *segment, uint64_t offset, uint64_t length);
    /* The same: gives them back; what was there reads as zero.  False: not now. */
    bool (*unback)(struct vi_segment *segment, uint64_t offset, uint64_t length);
    /* Visits the slots that no thread holds. */
    void (*each_idle)(struct vi_segment *segment, void (*visit)(void *arg, uint32_t slot),
                      void *arg);
    /* Stored metadata was changed outside any transaction; NULL: no one wants to know. */
    void (*note)(struct vi_segment *segment, const void *address, size_t length);
    /* Bytes from a place in the descriptors on that the file has no data for; NULL: it cannot be
     * told.  To read them would fill a hole. */
    uint64_t (*hole)(const struct vi_segment *segment, const void *address);
    struct vi_segment *segment; /* whom these are told */
};

#endif
