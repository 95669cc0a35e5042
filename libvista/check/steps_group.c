/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The step of a check that looks at groups: see steps_group.h.  A member is looked at as far as
 * recovery of its home goes by what it says: is it there, does it name its home back, and can it
 * have what the log names.  What recovery would call damaged is; what it would only miss is noted.
 */
#include "check/steps_group.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "check/steps_heap.h"
#include "check/view.h"
#include "core/moved.h"
#include "media/superblock.h"

struct vi_check_member {
    enum { UNSEEN, SEEN, LEFT } state;
    struct vi_check check;
    struct vi_check_totals totals;
};

struct vi_logs vi_check_logs(const struct vi_check *check)
{
    const struct vi_superblock *s = check->superblock;

    return (struct vi_logs){.meta = (unsigned char *)(uintptr_t)check->meta,
                            .seed = vi_crc32c(0, s->uuid, sizeof s->uuid)};
}

static void check_home(struct vi_check *check, const struct vi_logs *logs)
{
    const struct vi_member *home = (const void *)(check->meta + VI_HOME_OFFSET);
    char path[256];

    if (!vi_member_is_sound(logs, home)) {
        vi_check_say(check, VI_CHECK_DAMAGE, "it does not say whose log it used");
        return;
    }
    vi_escape(path, sizeof path, home->path);
    vi_check_say(check, VI_CHECK_NOTE, "it was open with the log of %s, which recovers it", path);
}

void vi_check_group(struct vi_check *check)
{
    const struct vi_superblock *s = check->superblock;
    const struct vi_logs logs = vi_check_logs(check);
    struct vi_check_scan table = vi_check_scan(check, VI_MEMBERS_OFFSET, VI_SLOTS_OFFSET);

    if (check->is_recovered)
        return;
    if (vi_check_next(&table) != table.end && !vi_members_apart(&logs))
        vi_check_say(check, VI_CHECK_DAMAGE, "two members have the same addresses");
    if (!s->clean && s->features_must & VI_MUST_MEMBER)
        check_home(check, &logs);
}

/* ---- Members ------------------------------------------------------------ */

/* Its superblock, when it names this home back; -1 with the message. */
static int read_member(const struct vi_check *check, const struct vi_member *entry,
                       const struct vi_file *file, struct vi_superblock *superblock)
{
    if (vi_superblock_read(file, true, superblock) < 0) /* 1: it is all zero */
        return -1;
    if (memcmp(superblock->uuid, entry->uuid, sizeof entry->uuid) != 0 ||
        !vi_member_names_back(file, superblock, check->superblock->uuid, entry->opening))
        return vi_fail(ECANCELED, "%s: was not left open with this log", file->path);
    return 0;
}

/* -1 with the message. */
static int look_at(struct vi_check *check, const struct vi_member *entry,
                   const struct vi_file *file, struct vi_check_member *member)
{
    static const struct vi_check_visitor none;
    struct vi_superblock *const s = &member->totals.superblock;
    const unsigned char *meta;

    if (read_member(check, entry, file, s) != 0)
        return -1;
    if (s->size > entry->max_size)
        vi_check_say(check, VI_CHECK_DAMAGE, "a member has %llu bytes, the group room for %llu",
                     (unsigned long long)s->size, (unsigned long long)entry->max_size);
    meta = vi_view_map(file, vi_superblock_meta_size(s));
    if (meta == NULL)
        return -1;
    member->check = (struct vi_check){.file = file,
                                      .superblock = s,
                                      .meta = meta,
                                      .totals = &member->totals,
                                      .visitor = &none,
                                      .step = "member"};
    if (s->heap_offset != 0)
        vi_check_descriptors(&member->check);
    return 0;
}

static void open_member(struct vi_check *check, const struct vi_member *entry,
                        struct vi_check_member *member)
{
    char real[PATH_MAX] = "", path[PATH_MAX] = "";
    struct vi_file file;
    int result = -1;

    member->state = LEFT;
    if (realpath(check->file->path, real) == NULL || !vi_moved_find(entry, real, NULL, path))
        vi_fail(ENOENT, "%s: is not there, or is another segment now", path);
    else if (vi_file_open(&file, path, VISTA_READ_ONLY, 0, 0) == 0) {
        result = look_at(check, entry, &file, member);
        vi_file_close(&file);
    }
    if (result == 0)
        member->state = SEEN;
    else
        vi_check_say(check, VI_CHECK_NOTE,
                     "a transaction changed a member, which its recovery will not find: %s",
                     vi_error_message());
}

const struct vi_check *vi_check_member(struct vi_check *check, const struct vi_member *entry,
                                       bool *left)
{
    const struct vi_logs logs = vi_check_logs(check);
    struct vi_check_member *member;

    if (check->members == NULL)
        check->members = vi_reserve(VI_MEMBERS * sizeof *check->members);
    *left = true;
    if (check->members == NULL)
        return NULL;
    member = &check->members[entry - vi_members(&logs)];
    if (member->state == UNSEEN)
        open_member(check, entry, member);
    *left = member->state == LEFT;
    return *left ? NULL : &member->check;
}

void vi_check_members_close(struct vi_check *check)
{
    if (check->members == NULL)
        return;
    for (unsigned i = 0; i < VI_MEMBERS; i++)
        if (check->members[i].state == SEEN)
            munmap((void *)(uintptr_t)check->members[i].check.meta,
                   vi_superblock_meta_size(&check->members[i].totals.superblock));
    vi_release(check->members, VI_MEMBERS * sizeof *check->members);
}
