/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mapping a segment: see mapping.h.  The steps of vi_map_segment:
 *
 *  1. The file is opened and locked, its memory mapped.
 *  2. Was it left open as a member of a group?  Then its home is mapped and unmapped, which
 *     recovers all of the group, and the file is opened again.
 *  3. Recovery: each slot of its log that is not idle is looked through.  Members that records
 *     name are opened, and recovered by their own logs first.  Only then is anything undone.
 *  4. The members are closed, clean; a segment that may have been torn is checked as a whole.
 *  5. It joins the group whose log it is to use.
 *  6. It is marked as open, durably, and transactions may begin; automatic ranges protect it.
 */
#include "api/mapping.h"

#include <errno.h>
#include <limits.h>

#include "api/opening.h"
#include "base/error.h"
#include "check/check.h"
#include "core/lifetime.h"
#include "core/members.h"
#include "core/moved.h"
#include "core/transaction.h"
#include "disk/disk.h"
#include "ranges/ranges.h"

const struct vista_map_options vi_default_options;

/* Of what was asked for the mapping, what matters to a recovery before it. */
static struct vista_map_options options_for_recovery(const struct vista_map_options *options)
{
    return (struct vista_map_options){.lock_wait_ms = options->lock_wait_ms,
                                      .group_folder = options->group_folder};
}

/* In the class that it was left open in, and closed.  NOLINTNEXTLINE(misc-no-recursion) */
static int recover_undo(const char *path, unsigned flags, const struct vista_map_options *options,
                        int depth)
{
    const struct vista_map_options wait = options_for_recovery(options);
    const unsigned kept = flags & (VISTA_ACCEPT_TORN | VISTA_ANY_ADDRESS);
    struct vi_segment *segment = vi_map_segment(path, 0, kept | VISTA_KILL_SAFE, &wait, depth);

    return segment != NULL ? vi_unmap_segment(segment) : -1;
}

static int recover_redo(const char *path, unsigned flags, const struct vista_map_options *options,
                        int depth);

/* Opened; a log that only another class can recover is recovered first.
 * NOLINTNEXTLINE(misc-no-recursion) */
static struct vi_segment *open_recovered(const char *path, size_t size, unsigned flags,
                                         const struct vista_map_options *options, int depth)
{
    struct vi_segment *segment = NULL;

    for (int tries = 0; tries < 3 && segment == NULL; tries++) {
        segment = vi_open_segment(path, size, flags, options);
        if (segment != NULL || (errno != VI_LEFT_REDO && errno != VI_LEFT_UNDO))
            return segment;
        if ((errno == VI_LEFT_REDO ? recover_redo(path, flags, options, depth)
                                   : recover_undo(path, flags, options, depth)) != 0)
            return NULL;
    }
    return vi_fail(EBUSY, "%s: is left open again and again", path), NULL;
}

/* A member's own log has nothing to undo while it uses another's. */
static int refuse_member(struct vi_segment *member, const struct vi_member *entry)
{
    return vi_fail(EBADMSG, "%s: damaged: a member, and its log changed %s", member->path,
                   entry->path);
}

/* A file is another's to change only if it says so itself. */
static int check_names_back(const struct vi_segment *home, const struct vi_member *entry,
                            const struct vi_file *file, const struct vi_superblock *superblock)
{
    if (memcmp(superblock->uuid, entry->uuid, sizeof superblock->uuid) != 0)
        return vi_fail(ENOENT, "%s: is another segment now", file->path);
    if (!vi_member_names_back(file, superblock, home->superblock.uuid, entry->opening))
        return vi_fail(ECANCELED, "%s: was not left open with the log of %s", file->path,
                       home->path);
    return 0;
}

/* Before it is opened as a segment, which allocates what a copy has lost. */
static int look_at_member(const struct vi_segment *home, const struct vi_member *entry,
                          const char *path)
{
    struct vi_superblock superblock;
    struct vi_file file;
    int result;

    if (vi_file_open(&file, path, VISTA_READ_ONLY, 0, 0) != 0)
        return -1;
    result = vi_superblock_read(&file, false, &superblock) < 0 /* 1: it is all zero */
                 ? -1
                 : check_names_back(home, entry, &file, &superblock);
    vi_file_close(&file);
    return result;
}

/* The member of an entry, which has nothing to undo by itself; NULL with errno.  To be recovered, a
 * segment need not lie where it belongs. */
static struct vi_segment *open_member(const struct vi_segment *home, const struct vi_member *entry,
                                      unsigned flags)
{
    struct vi_segment *segment;
    char path[PATH_MAX];

    if (!vi_moved_find(entry, home->real, home->group_folder, path))
        return vi_fail(ENOENT, "%s: is not there, or is another segment now", path), NULL;
    if (look_at_member(home, entry, path) != 0)
        return NULL;
    segment = vi_open_segment(path, 0, flags | VISTA_ANY_ADDRESS, &vi_default_options);
    if (segment == NULL)
        return errno == VI_LEFT_REDO || errno == VI_LEFT_UNDO ? errno = ECANCELED, NULL : NULL;
    if (vi_segment_size(segment) > entry->max_size)
        vi_fail(EBADMSG, "%s: is larger than the group has room for", path);
    else if (check_names_back(home, entry, &segment->file, &segment->superblock) == 0 &&
             segment->own.engine->recover(segment, refuse_member) == 0)
        return segment;
    vi_close_segment(segment, false);
    return NULL;
}

static int attach_member(struct vi_segment *home, const struct vi_member *entry)
{
    struct vi_segment *segment = open_member(
        home, entry, (home->accept_torn ? VISTA_ACCEPT_TORN : 0) | (home->flags & VI_REPLAY));

    if (segment != NULL)
        vi_group_link(home, segment, entry->mapped);
    else if (!home->accept_torn)
        return vi_fail(errno, "%s: a transaction in its log changed a member: %s", home->path,
                       vi_error_message());
    return 0;
}

/* What recovery has attached is given back. */
static int release_members(struct vi_segment *home, bool clean)
{
    int result = 0;

    while (home->own.members != NULL)
        if (vi_close_segment(home->own.members, clean) != 0)
            result = -1;
    return result;
}

/* Is the home of an entry mapped here?  Then it says in which opening, and if its table names the
 * member with `uuid`. */
static bool is_mapped(const struct vi_member *home, const uint8_t uuid[16], uint64_t *opening,
                      int *named)
{
    struct vi_process *process = vi_process();
    const struct vi_segment *at;

    pthread_mutex_lock(&process->lock); /* or it is unmapped meanwhile */
    at = process->mapped;
    while (at != NULL && !vi_segment_is(at, home->uuid))
        at = at->next;
    if (at != NULL) {
        *opening = at->superblock.opening[0];
        *named = vi_member_listed(&at->file, &at->superblock, uuid, home->opening);
    }
    pthread_mutex_unlock(&process->lock);
    return at != NULL;
}

/* A home may have been a member itself since; longer chains only a damaged file has. */
#define DEPTH_MAX 8

/* Has home, whose file is open for reading, something to undo in the member with `uuid`?  Not if it
 * was recovered since, or does not name that.  -1: it cannot be told, as when it is older than what
 * the member was open with. */
static int asks_for(const struct vi_file *file, const char *path, const struct vi_member *home,
                    const uint8_t uuid[16])
{
    struct vi_superblock superblock;

    if (vi_superblock_read(file, true, &superblock) < 0) /* 1: it is all zero */
        return -1;
    if (memcmp(superblock.uuid, home->uuid, sizeof superblock.uuid) != 0)
        return vi_fail(ENOENT, "%s: was open with the log of %s, which is another segment now",
                       path, file->path);
    if (superblock.sequence < home->opening)
        return vi_fail(ECANCELED, "%s: was open with the log of %s, which is an old copy now", path,
                       file->path);
    return superblock.clean ? 0 : vi_member_listed(file, &superblock, uuid, home->opening);
}

/* Mapping home rolls its members back, too, and counts them.
 * NOLINTNEXTLINE(misc-no-recursion) */
static int map_home(const char *path, const char *home, const char *folder, int depth,
                    struct vista_info *info)
{
    const struct vista_map_options options = {.group_folder = folder};
    struct vi_segment *segment;

    if (depth == DEPTH_MAX)
        return vi_fail(EBADMSG,
                       "%s: damaged: it was open with the log of a segment that was, and "
                       "so on",
                       path);
    segment = vi_map_segment(home, 0, VISTA_ANY_ADDRESS, &options, depth + 1);
    if (segment == NULL)
        return vi_fail(errno, "%s: was open with the log of another segment: %s", path,
                       vi_error_message());
    info->rolled_back = segment->rolled_back;
    info->finished = segment->finished;
    return vi_unmap_segment(segment);
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int recover_home(const char *path, const char *real, const uint8_t uuid[16],
                        const struct vi_member *home, const char *folder, int depth,
                        struct vista_info *info)
{
    char where[PATH_MAX];
    struct vi_file file;
    int asks;

    if (!vi_moved_find(home, real, folder, where))
        return vi_fail(ENOENT,
                       "%s: was open with the log of %s, which is not there, or is another segment "
                       "now",
                       path, where);
    if (vi_file_open(&file, where, VISTA_READ_ONLY, 0, 0) != 0)
        return vi_fail(errno, "%s: was open with the log of another segment: %s", path,
                       vi_error_message());
    asks = asks_for(&file, path, home, uuid);
    vi_file_close(&file);
    return asks <= 0 ? asks : map_home(path, where, folder, depth, info);
}

/* A member that was left open is its home's to recover: the segment, opened again then; NULL with
 * errno if that fails.  NOLINTNEXTLINE(misc-no-recursion) */
static struct vi_segment *after_home(struct vi_segment *segment, size_t size, unsigned flags,
                                     const struct vista_map_options *options, int depth)
{
    const struct vi_superblock *s = &segment->superblock;
    struct vista_info info = {0};
    struct vi_member home;
    char path[PATH_MAX], real[PATH_MAX];
    uint8_t uuid[16];
    uint64_t opening;
    bool known;
    int named;

    if (s->clean || !(s->features_must & VI_MUST_MEMBER) || flags & VISTA_READ_ONLY)
        return segment;
    known = vi_member_home(&segment->file, s, &home);
    memcpy(uuid, s->uuid, sizeof uuid);
    if (known && is_mapped(&home, uuid, &opening, &named))
        return segment; /* which recovered it when it was mapped */
    memcpy(path, segment->path, sizeof path);
    memcpy(real, segment->real, sizeof real);
    vi_close_segment(segment, false); /* so that home can open it */
    if (!known)
        vi_fail(EBADMSG, "%s: damaged: it does not say whose log it used", path);
    if ((!known ||
         recover_home(path, real, uuid, &home, options->group_folder, depth, &info) != 0) &&
        !(flags & VISTA_ACCEPT_TORN))
        return NULL;
    segment = open_recovered(path, size, flags, options, depth);
    if (segment != NULL) { /* it was part of what was rolled back there */
        segment->rolled_back = info.rolled_back;
        segment->finished = info.finished;
    }
    return segment;
}

/* Has home, which was recovered, had nothing of this member in its redo log?  So it says by the opening
 * in which it joined; else one of them is an old copy, or it was abandoned. */
static int check_idle(const struct vi_segment *member, const char *folder)
{
    const struct vi_superblock *s = &member->superblock;
    struct vi_superblock superblock;
    struct vi_member home;
    struct vi_file file;
    char where[PATH_MAX];
    uint64_t opening;
    int named = 0;
    bool here;

    if (!vi_member_home(&member->file, s, &home))
        return vi_fail(EBADMSG, "%s: damaged: it does not say whose log it used", member->path);
    here = is_mapped(&home, s->uuid, &opening, &named);
    (void)vi_moved_find(&home, member->real, folder, where);
    if (here && home.opening == opening)
        return vi_fail(EBUSY, "%s: its last commits are in the log of %s, which is mapped",
                       member->path, where);
    if (!here && vi_file_open(&file, where, VISTA_READ_ONLY, 0, 0) != 0)
        return -1;
    if (!here && vi_superblock_read(&file, true, &superblock) == 0)
        named = vi_member_listed(&file, &superblock, s->uuid, home.opening);
    if (!here)
        vi_file_close(&file);
    return named > 0 ? 0
                     : vi_fail(ECANCELED, "%s: was open with the log of %s, which does not say so",
                               member->path, where);
}

/* What the redo log says that was left becomes part of the files, which are closed, clean.
 * NOLINTNEXTLINE(misc-no-recursion) */
static int recover_redo(const char *path, unsigned flags, const struct vista_map_options *options,
                        int depth)
{
    const unsigned kept = (flags & VISTA_ACCEPT_TORN) | VISTA_ANY_ADDRESS | VI_REPLAY;
    const struct vista_map_options wait = options_for_recovery(options);
    struct vi_segment *segment = vi_open_segment(path, 0, kept, &wait);
    int result = 0;

    if (segment != NULL)
        segment = after_home(segment, 0, kept, &wait, depth);
    if (segment == NULL)
        return -1;
    segment->group_folder = options->group_folder;
    if (!(segment->superblock.features_must & VI_MUST_MEMBER))
        result = vi_disk_recover(segment, attach_member);
    else if (!(flags & VISTA_ACCEPT_TORN))
        result = check_idle(segment, options->group_folder);
    if (release_members(segment, result == 0) != 0)
        result = -1;
    return vi_close_segment(segment, result == 0) == 0 ? result : -1;
}

/* The segment, mapped with these flags, is to use the log of `log`, unless that is NULL. */
static int join(struct vi_segment *segment, unsigned flags, vista_segment *log)
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

/* What was torn may be damaged anywhere: the log was, now all is looked at. */
static int check_torn(const struct vi_segment *segment)
{
    if (vi_check_mapped(&segment->file, &segment->superblock, segment->map.meta, NULL, NULL) == 0)
        return 0;
    return vi_fail(EBADMSG, "torn: after its rollback, %s", vi_error_message());
}

/* What is only checked has all its ranges declared, and so needs no room for pages. */
static int open_ranges(struct vi_segment *segment, unsigned flags, uint64_t pages)
{
    uint64_t reserved;
    int result;

    if (flags & VISTA_AUTO_RANGE && pages == 0)
        pages = vi_disk_pages(segment);
    reserved = flags & VISTA_AUTO_RANGE ? vi_ranges_part(pages, segment->superblock.size) : 0;
    if (vi_disk_reserve_pages(segment, (int64_t)reserved) != 0)
        return -1;
    result = flags & (VISTA_AUTO_RANGE | VISTA_CHECK_RANGES)
                 ? vi_ranges_open(segment, pages, flags & VISTA_CHECK_RANGES)
                 : 0;
    if (result != 0)
        (void)vi_disk_reserve_pages(segment, -(int64_t)reserved);
    return result;
}

/* With arguments that make sense.  NOLINTNEXTLINE(misc-no-recursion) */
struct vi_segment *vi_map_segment(const char *path, size_t size, unsigned flags,
                                  const struct vista_map_options *options, int depth)
{
    struct vi_segment *segment = open_recovered(path, size, flags, options, depth);

    if (segment != NULL)
        segment = after_home(segment, size, flags, options, depth);
    if (segment == NULL)
        return NULL;
    segment->group_folder = options->group_folder;
    if ((!(flags & VISTA_READ_ONLY) && segment->own.engine->recover(segment, attach_member) != 0) ||
        (flags & VISTA_ACCEPT_TORN && check_torn(segment) != 0) ||
        release_members(segment, true) != 0 || join(segment, flags, options->log) != 0 ||
        (!(flags & VISTA_READ_ONLY) && vi_disk_open(segment, flags, options) != 0) ||
        vi_segment_start(segment) != 0) {
        release_members(segment, false);
        vi_close_segment(segment, false);
        return NULL;
    }
    if (open_ranges(segment, flags, options->auto_pages) != 0) {
        const int error = errno;

        vi_close_segment(segment, !segment->created); /* which may have something to say, too */
        errno = error;
        return NULL;
    }
    segment->created = false; /* from here on it is left behind */
    segment->group_folder = NULL;
    segment->grows = flags & VISTA_GROW;
    vi_watch_segment(segment, true);
    return segment;
}

int vi_unmap_segment(struct vi_segment *segment)
{
    struct vi_segment *home = vi_home(segment);
    int result;

    if (segment->own.members != NULL) { /* their log stays */
        segment->grows = false;
        vi_process_detach(segment);
        return 0;
    }
    result = vi_close_segment(segment, true);
    if (home->state == VI_SEGMENT_DETACHED && home->own.members == NULL &&
        vi_close_segment(home, true) != 0)
        result = -1;
    return result;
}
