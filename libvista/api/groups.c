/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mapping segments that share a log: members that a log names are opened for its
 * recovery, and a member that was left open has its home recovered first.
 */
#include <errno.h>
#include <limits.h>

#include "api/segments.h"
#include "base/error.h"
#include "core/members.h"
#include "core/transaction.h"
#include "ranges/ranges.h"

/* The member of an entry, recovered by its own log; NULL with errno.  To be recovered, a
 * segment need not lie where it belongs. */
static struct vi_segment *open_member(const struct vi_member *entry, unsigned flags)
{
    struct vi_segment *segment =
        vi_open_segment(entry->path, 0, flags | VISTA_ANY_ADDRESS, &vi_default_options);

    if (segment == NULL)
        return NULL;
    if (memcmp(segment->superblock.uuid, entry->uuid, sizeof entry->uuid) != 0)
        vi_fail(ENOENT, "%s: is another segment now", entry->path);
    else if (vi_segment_size(segment) > entry->max_size)
        vi_fail(EBADMSG, "%s: is larger than the group has room for", entry->path);
    else if (segment->own.engine->recover(segment, vi_attach_member) == 0)
        return segment;
    vi_close_segment(segment, false);
    return NULL;
}

int vi_attach_member(struct vi_segment *home, const struct vi_member *entry)
{
    struct vi_segment *segment = open_member(entry, home->accept_torn ? VISTA_ACCEPT_TORN : 0);

    if (segment != NULL)
        vi_group_link(home, segment, entry->mapped);
    else if (!home->accept_torn)
        return vi_fail(errno, "%s: a transaction in its log changed a member: %s", home->path,
                       vi_error_message());
    return 0;
}

int vi_release_members(struct vi_segment *home, bool clean)
{
    int result = 0;

    while (home->own.members != NULL)
        if (vi_close_segment(home->own.members, clean) != 0)
            result = -1;
    return result;
}

static bool is_mapped_here(const uint8_t uuid[16])
{
    struct vi_process *process = vi_process();
    bool found = false;

    pthread_mutex_lock(&process->lock);
    for (const struct vi_segment *at = process->mapped; at != NULL; at = at->next)
        found |= memcmp(at->superblock.uuid, uuid, sizeof at->superblock.uuid) == 0;
    pthread_mutex_unlock(&process->lock);
    return found;
}

/* A home may have been a member itself since; longer chains only a damaged file has. */
#define HOMES_DEEP 8

/* Mapping it rolls its members back, too, and counts them.
 * NOLINTNEXTLINE(misc-no-recursion) */
static int recover_home(const char *path, const struct vi_member *home, int deep,
                        struct vista_info *info)
{
    struct vi_segment *segment;
    uint8_t uuid[16];

    if (deep == HOMES_DEEP)
        return vi_fail(EBADMSG,
                       "%s: damaged: it was open with the log of a segment that was, and "
                       "so on",
                       path);
    segment = vi_map_segment(home->path, 0, VISTA_ANY_ADDRESS, &vi_default_options, deep + 1);
    if (segment == NULL)
        return vi_fail(errno, "%s: was open with the log of another segment: %s", path,
                       vi_error_message());
    memcpy(uuid, segment->superblock.uuid, sizeof uuid);
    info->rolled_back = segment->rolled_back;
    info->finished = segment->finished;
    if (vista_unmap(&segment->handle) != 0)
        return -1;
    if (memcmp(uuid, home->uuid, sizeof uuid) == 0)
        return 0;
    return vi_fail(ENOENT, "%s: was open with the log of %s, which is another segment now", path,
                   home->path);
}

/* A member that was left open is its home's to recover: NULL with errno if that fails.
 * NOLINTNEXTLINE(misc-no-recursion) */
struct vi_segment *vi_after_home(struct vi_segment *segment, size_t size, unsigned flags,
                                 const struct vista_map_options *options, int deep)
{
    const struct vi_superblock *s = &segment->superblock;
    struct vista_info info = {0};
    struct vi_member home;
    char path[PATH_MAX];
    bool known;

    if (s->clean || !(s->features_must & VI_MUST_MEMBER) || flags & VISTA_READ_ONLY)
        return segment;
    known = vi_member_home(segment, &home);
    if (known && is_mapped_here(home.uuid))
        return segment; /* which recovered it when it was mapped */
    memcpy(path, segment->path, sizeof path);
    vi_close_segment(segment, false); /* so that home can open it */
    if (!known)
        vi_fail(EBADMSG, "%s: damaged: it does not say whose log it used", path);
    if ((!known || recover_home(path, &home, deep, &info) != 0) && !(flags & VISTA_ACCEPT_TORN))
        return NULL;
    segment = vi_open_segment(path, size, flags, options);
    if (segment != NULL) { /* it was part of what was rolled back there */
        segment->rolled_back = info.rolled_back;
        segment->finished = info.finished;
    }
    return segment;
}

int vi_join(struct vi_segment *segment, unsigned flags, vista_segment *log)
{
    struct vi_segment *home = log != NULL ? vi_segment_check(log) : NULL;
    const unsigned mode = flags & (VISTA_AUTO_RANGE | VISTA_CHECK_RANGES);

    if (log == NULL)
        return 0;
    if (home == NULL)
        return -1;
    home = vi_home(home);
    if (home->flags & VISTA_READ_ONLY)
        return vi_fail(EINVAL, "%s: cannot use the log of %s, which is mapped read-only",
                       segment->path, home->path);
    if (mode != 0 && mode != vi_ranges_mode(home))
        return vi_fail(
            EINVAL, "%s: mapped %s, but %s, whose log it is to use, is not", segment->path,
            mode == VISTA_AUTO_RANGE ? "VISTA_AUTO_RANGE" : "VISTA_CHECK_RANGES", home->path);
    if (home->persist.class != segment->persist.class)
        return vi_fail(ENOTSUP, "%s: its class is %d, that of %s, whose log it is to use, %d",
                       segment->path, segment->persist.class, home->path, home->persist.class);
    return vi_group_join(home, segment);
}
