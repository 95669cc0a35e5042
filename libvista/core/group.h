/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Groups of segments: which of them has an address, and how they come and go.
 */
#ifndef VI_CORE_GROUP_H
#define VI_CORE_GROUP_H

#include "core/segment.h"

/* The member of this home's group that has an address; NULL: none. */
struct vi_segment *vi_group_search(struct vi_segment *home, uint64_t address);

/* The same of home and its members. */
static inline struct vi_segment *vi_group_find(struct vi_segment *home, uint64_t address)
{
    if (VISTA_INLINE_LIKELY(address - home->logs.mapped < vi_segment_size(home)))
        return home;
    return vi_group_search(home, address);
}

/* Links a member whose data is at `logged` in records, and takes it out again. */
void vi_group_link(struct vi_segment *home, struct vi_segment *segment, uint64_t logged);
void vi_group_leave(struct vi_segment *segment);

#endif
