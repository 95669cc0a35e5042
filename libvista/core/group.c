/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Groups of segments: see group.h.
 */
#include "core/group.h"

#include <assert.h>

struct vi_segment *vi_group_search(struct vi_segment *home, uint64_t address)
{
    struct vi_segment *segment;

    for (segment = __atomic_load_n(&home->own.members, __ATOMIC_ACQUIRE); segment != NULL;
         segment = segment->next_member)
        if (address - segment->logged < vi_segment_size(segment))
            return segment;
    return NULL;
}

void vi_group_link(struct vi_segment *home, struct vi_segment *segment, uint64_t logged)
{
    assert(!vi_is_member(home) && !vi_is_member(segment) && segment->own.members == NULL);
    pthread_mutex_lock(&home->own.lock);
    segment->group = &home->own;
    segment->logged = logged;
    segment->next_member = home->own.members;
    __atomic_store_n(&home->own.members, segment, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&home->own.lock);
}

void vi_group_leave(struct vi_segment *segment)
{
    struct vi_segment *home = vi_home(segment);

    assert(vi_is_member(segment));
    pthread_mutex_lock(&home->own.lock);
    for (struct vi_segment **at = &home->own.members; *at != NULL; at = &(*at)->next_member)
        if (*at == segment) {
            __atomic_store_n(at, segment->next_member, __ATOMIC_RELEASE);
            break;
        }
    segment->group = &segment->own;
    pthread_mutex_unlock(&home->own.lock);
}
