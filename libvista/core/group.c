/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Groups of segments: see group.h.
 */
#include "core/group.h"

#include <assert.h>

/* The last member that begins at the address or before it, if there is any; while one joins,
 * another thread may find the wrong one. */
static struct vi_segment *guess(const struct vi_group *group, uint64_t address)
{
    unsigned low = 0, high = __atomic_load_n(&group->count, __ATOMIC_ACQUIRE);

    while (high - low > 1) {
        const unsigned middle = (low + high) / 2;
        const bool before =
            __atomic_load_n(&group->part[middle].logged, __ATOMIC_RELAXED) <= address;

        low = before ? middle : low;
        high = before ? high : middle;
    }
    return __atomic_load_n(&group->part[low].segment, __ATOMIC_ACQUIRE);
}

/* With the lock. */
static void add_part(struct vi_group *group, struct vi_segment *segment)
{
    struct vi_group_part *at = &group->part[group->count];

    for (; at > group->part && at[-1].logged > segment->logged; at--) {
        __atomic_store_n(&at->segment, at[-1].segment, __ATOMIC_RELEASE);
        __atomic_store_n(&at->logged, at[-1].logged, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&at->segment, segment, __ATOMIC_RELEASE);
    __atomic_store_n(&at->logged, segment->logged, __ATOMIC_RELAXED);
    __atomic_store_n(&group->count, group->count + 1, __ATOMIC_RELEASE);
}

struct vi_segment *vi_group_search(struct vi_segment *home, uint64_t address)
{
    struct vi_segment *segment = guess(&home->own, address);

    if (segment != NULL && address - segment->logged < vi_segment_size(segment))
        return segment;
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
    add_part(&home->own, segment);
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
    __atomic_store_n(&home->own.count, 0, __ATOMIC_RELAXED); /* no transaction is open */
    __atomic_store_n(&home->own.part[0].segment, NULL, __ATOMIC_RELAXED);
    for (struct vi_segment *at = home->own.members; at != NULL; at = at->next_member)
        add_part(&home->own, at);
    segment->group = &segment->own;
    pthread_mutex_unlock(&home->own.lock);
}
