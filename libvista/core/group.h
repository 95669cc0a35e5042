/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Groups of segments: which of them has an address, and how they come and go.
 */
#ifndef VI_CORE_GROUP_H
#define VI_CORE_GROUP_H

#include "core/segment.h"

/* The member of this home that `address` is mapped in; NULL: none. */
struct vi_segment *vi_group_search(struct vi_segment *home, const void *address);

/* The same of home and its members. */
static inline struct vi_segment *vi_group_find(struct vi_segment *home, const void *address)
{
    if (VISTA_INLINE_LIKELY((uintptr_t)address - (uintptr_t)home->map.data < vi_segment_size(home)))
        return home;
    return vi_group_search(home, address);
}

/* The member that a record of home's log names an address of, and then the record's offset
 * becomes one in that segment; NULL: none. */
struct vi_segment *vi_group_member(struct vi_segment *home, struct vi_record *record);

/* Links a member whose data is at `logged` in records, and takes it out again. */
void vi_group_link(struct vi_segment *home, struct vi_segment *segment, uint64_t logged);
void vi_group_leave(struct vi_segment *segment);

#endif
