/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See segment.h.
 */
#include "core/segment.h"

#define HEAP_MIN (64u << 10) /* the largest small span */

uint64_t vi_segment_round(uint64_t size, unsigned flags)
{
    const uint64_t least = flags & VISTA_NO_HEAP ? VI_PAGE : HEAP_MIN;

    return ((size < least ? least : size) + VI_PAGE - 1) / VI_PAGE * VI_PAGE;
}

int vi_segment_intact(const struct vi_segment *segment)
{
    return vi_file_check(&segment->file,
                         segment->superblock.data_offset + vi_segment_size(segment));
}

/* ---- Undo images --------------------------------------------------------- */

static struct iovec undo_extent(const struct vi_item *item)
{
    const struct vi_segment *segment = item->context;

    return (struct iovec){segment->map.data + item->offset, item->length};
}

static bool undo_valid(const struct vi_item *item)
{
    const struct vi_segment *segment = item->context;

    return item->length <= VI_RECORD_MAX && item->offset <= segment->map.data_size &&
           item->length <= segment->map.data_size - item->offset;
}

static void undo_undo(const struct vi_item *item)
{
    const struct vi_segment *segment = item->context;
    const unsigned char *from = item->payload;
    unsigned char *to = segment->map.data + item->offset;
    uint64_t left = item->length, part;

    /* A page that is protected still holds what it held, and is not to be stored to. */
    for (; left != 0; left -= part, from += part, to += part) {
        part = VI_PAGE - (uintptr_t)to % VI_PAGE;
        if (segment->ranges == NULL || part > left)
            part = left;
        if (segment->ranges == NULL || memcmp(to, from, part) != 0)
            memcpy(to, from, part);
    }
}

const struct vi_record_kind vi_undo_kind = {
    .payload = VI_PAYLOAD_LENGTH, .valid = undo_valid, .undo = undo_undo, .extent = undo_extent};
