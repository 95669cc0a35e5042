/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Step: the redo log of a segment of the disk class that was left open.  What it says of the
 * metadata is applied to the check's own view of it, so that later steps see what recovery will
 * make.
 */
#include "check/steps_redo.h"

#include "base/error.h"
#include "check/findings.h"
#include "disk/disk.h"
#include "disk/replay.h"

/* False: the item is nowhere where one may be. */
static bool overlay(const struct vi_check *check, const struct vi_redo_item *item)
{
    const struct vi_superblock *s = check->superblock;
    const uint64_t meta = vi_superblock_meta_size(s), end = s->data_offset + s->size;

    if (item->kind != VI_REDO_BYTES || item->member != 0)
        return true;
    if (item->offset >= s->data_offset)
        return item->offset <= end && item->length <= end - item->offset;
    if (s->heap_offset == 0 || item->offset < s->heap_offset || item->offset > meta ||
        item->length > meta - item->offset)
        return false;
    memcpy((unsigned char *)check->meta + item->offset, item + 1, item->length);
    return true;
}

static void overlay_all(struct vi_check *check, const struct vi_disk_left *left)
{
    const struct vi_redo_record *record;
    struct vi_disk_point at = left->head;

    while (at.lsn < left->end.lsn &&
           (record = vi_disk_next(&left->area, left->log, left->area.log_size, &at)) != NULL) {
        const struct vi_redo_item *item = NULL;

        for (uint32_t i = 0; i < record->items; i++) {
            item = vi_disk_item(record, item);
            if (item == NULL || !overlay(check, item)) {
                vi_check_say(check, VI_CHECK_DAMAGE, "the record at LSN %llu, item %u, cannot be",
                             (unsigned long long)at.lsn, i);
                break;
            }
        }
        at = vi_disk_behind(at, record);
    }
}

void vi_check_redo(struct vi_check *check)
{
    const struct vi_superblock *s = check->superblock;
    const struct vi_disk_area area = vi_disk_area_of(check->file, s, VI_DISK_LOG_LEAST);
    struct vi_disk_left left;
    int found;

    if (s->clean || !(s->features_must & VI_MUST_REDO)) /* there is none */
        return;
    if (s->features_must & VI_MUST_MEMBER) {
        vi_check_say(check, VI_CHECK_PASSED, "what it lacks is in the log of its home");
        return;
    }
    found = vi_disk_load(&left, &area, s->chunks_offset + s->chunks_size);
    if (found != 0) {
        vi_check_say(check, VI_CHECK_DAMAGE, "%s",
                     found > 0 ? "no header of it is sound" : vi_error_message());
        return;
    }
    check->overlaid = left.records != 0;
    overlay_all(check, &left);
    if (check->damage == 0)
        vi_check_say(check, VI_CHECK_PASSED, "records that recovery will apply: %llu",
                     (unsigned long long)left.records);
    vi_disk_unload(&left);
}
