/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Step: the redo log of a segment of the disk class that was left open.  What it says of the
 * metadata is applied to the check's own view of it, so that later steps see what recovery will
 * make.
 */
#include "check/steps_redo.h"

#include "base/error.h"
#include "check/findings.h"
#include "check/steps_group.h"
#include "disk/apply.h"
#include "disk/disk.h"
#include "disk/replay.h"

/* What recovery lets the records change.  A member that cannot be had was noted, and recovery will
 * say so, too. */
static void set_targets(struct vi_check *check, const struct vi_disk_left *left,
                        struct vi_disk_target *target)
{
    const struct vi_superblock *s = check->superblock;
    const struct vi_logs logs = vi_check_logs(check);
    const struct vi_member *entry = vi_members(&logs);
    uint8_t named[VI_DISK_MEMBERS] = {0};
    bool missing;

    vi_disk_members_named(left, named);
    vi_disk_set_target(&target[0], s, check->file->fd, s->size);
    for (unsigned i = 1; i < VI_DISK_MEMBERS; i++, entry++) {
        const bool sound = named[i] && vi_member_is_sound(&logs, entry);
        const struct vi_check *member = sound ? vi_check_member(check, entry, &missing) : NULL;

        if (member != NULL)
            vi_disk_set_target(&target[i], member->superblock, -1, member->superblock->size);
        else if (sound)
            target[i] = (struct vi_disk_target){.exists = true, .abandoned = true};
    }
}

static void overlay(const struct vi_check *check, const struct vi_redo_item *item)
{
    if (item->kind == VI_REDO_BYTES && item->member == 0 &&
        item->offset < check->superblock->data_offset)
        memcpy((unsigned char *)check->meta + item->offset, item + 1, item->length);
}

static void show_items(const struct vi_check *check, const struct vi_disk_left *left)
{
    struct vi_disk_walk walk = vi_disk_walk_left(left);
    const struct vi_redo_item *item;

    while (check->visitor->redo != NULL && (item = vi_disk_walk(&walk)) != NULL)
        check->visitor->redo(check->visitor->arg, walk.record, item);
}

/* By the rule that recovery has for them. */
static void check_records(struct vi_check *check, const struct vi_disk_left *left)
{
    struct vi_disk_target target[VI_DISK_MEMBERS] = {0};
    struct vi_disk_walk walk = vi_disk_walk_left(left);
    const struct vi_redo_item *item;

    show_items(check, left);
    set_targets(check, left, target);
    if (vi_disk_validate(walk, left->end.previous, target) < 0) {
        vi_check_say(check, VI_CHECK_DAMAGE, "%s", vi_error_message());
        return;
    }
    check->overlaid = left->records != 0;
    while ((item = vi_disk_walk(&walk)) != NULL)
        overlay(check, item);
    vi_check_say(check, VI_CHECK_PASSED, "records that recovery will apply: %llu",
                 (unsigned long long)left->records);
}

void vi_check_redo(struct vi_check *check)
{
    const struct vi_superblock *s = check->superblock;
    const uint64_t end = s->chunks_offset + s->chunks_size;
    struct vi_disk_left left = {.area = vi_disk_area_of(check->file, s), .ring_from = UINT64_MAX};
    const struct vi_disk_area area = left.area;
    int found;

    if (s->clean && s->log_class == VISTA_CLASS_DISK && /* an empty one, made anew if need be */
        vi_disk_header_read(&left.area, end, &left.head) == 0) {
        left.end = left.head;
        check->totals->redo = left;
    }
    if (s->clean || !(s->features_must & VI_MUST_REDO)) /* there is none */
        return;
    if (s->features_must & VI_MUST_MEMBER) {
        vi_check_say(check, VI_CHECK_PASSED, "what it lacks is in the log of its home");
        return;
    }
    found = vi_disk_load(&left, &area, end);
    if (found != 0) {
        vi_check_say(check, VI_CHECK_DAMAGE, "%s",
                     found > 0 ? "no header of it is sound" : vi_error_message());
        return;
    }
    check_records(check, &left);
    vi_disk_unload(&left);
    left.log = left.ring = NULL;
    check->totals->redo = left;
}
