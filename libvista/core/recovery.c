/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rollback, finishing and recovery: see recovery.h.
 *
 * Everything here may die at any instruction and be run again: undo stores what is
 * in the log, finish what follows from it, and the log is discarded last, by one
 * store, when all of that is durable.
 */
#include "core/recovery.h"

#include <errno.h>

#include "base/error.h"
#include "core/members.h"

struct undo {
    struct vi_segment *home;
    const struct vi_log *log;
    bool changed; /* a record is not what it was when it was looked at */
};

static void undo_record(void *context, const struct vi_record *record)
{
    struct undo *const undo = context;
    const struct vi_item item = vi_item_of(undo->home, record);
    const struct vi_record_kind *kind;

    if (!undo->log->live && !vi_item_is_valid(undo->home, &item)) {
        undo->changed |= item.context != NULL || !undo->home->accept_torn;
        return;
    }
    kind = item.context != NULL ? undo->home->logs.kinds[item.kind] : NULL;
    if (kind != NULL && kind->undo != NULL)
        kind->undo(&item);
}

void vi_flush_effects(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages)
{
    struct vi_items items;

    if (!segment->persist.flushes)
        return;
    vi_pages_clear(pages); /* what is only noted is not flushed */
    vi_items_begin(&items, segment, log);
    vi_items_flush(&items, ~log->logs->deferred, pages);
    vi_fence(&segment->persist);
}

int vi_rollback(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages)
{
    struct undo undo = {segment, log, false};

    vi_walk_backward(log, undo_record, &undo);
    vi_flush_effects(segment, log, pages);
    if (undo.changed)
        return vi_fail(EBADMSG, "%s: its log slot %u was changed while it was recovered",
                       segment->path, log->slot);
    vi_log_discard(log);
    return 0;
}

void vi_flush_finished(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages)
{
    struct vi_items items;

    if (!segment->persist.flushes)
        return;
    vi_pages_clear(pages); /* what was flushed before the commit point may have changed */
    vi_items_begin_effects(&items, segment, log);
    vi_items_flush(&items, log->logs->deferred, pages);
    vi_fence(&segment->persist);
}

/* The members that a log names, each opened once. */
struct members {
    vi_attach_fn *attach;
    bool apart; /* their entries have been found so */
    enum { UNSEEN, HERE, LEFT_ALONE } state[VI_MEMBERS];
};

/* Opens the member that may have an address, which no segment that is here has: HERE, also if
 * there is none, or LEFT_ALONE; -1 with errno. */
static int open_owner(struct vi_segment *home, uint64_t address, struct members *members)
{
    const struct vi_member *entry = vi_member_at(&home->logs, address);
    const struct vi_segment *before = home->own.members;
    const size_t i = entry != NULL ? (size_t)(entry - vi_members(&home->logs)) : 0;

    if (entry == NULL)
        return HERE;
    if (!members->apart && !vi_members_apart(&home->logs))
        return vi_fail(EBADMSG, "%s: damaged: two members of its group have the same addresses",
                       home->path);
    members->apart = true;
    if (members->state[i] == UNSEEN) {
        if (members->attach(home, entry) != 0)
            return -1;
        members->state[i] = home->own.members != before ? HERE : LEFT_ALONE;
    }
    return (int)members->state[i];
}

/* Looks through a slot's log, before anything is changed: -1 when a record cannot be.  The
 * records of a member that is left alone are, too. */
static int validate(struct vi_segment *home, const struct vi_log *log, struct members *members)
{
    struct vi_walk walk;
    struct vi_item item;

    vi_walk_begin(&walk, log);
    for (uint64_t count = 0; vi_walk_next(&walk) != NULL; count++) {
        if (walk.record.kind < VI_KINDS && vi_group_find(home, walk.record.address) == NULL) {
            const int found = open_owner(home, walk.record.address, members);

            if (found < 0)
                return -1;
            if (found == LEFT_ALONE)
                continue;
        }
        item = vi_item_of(home, &walk.record);
        if (!vi_item_is_valid(home, &item))
            return vi_fail(EBADMSG,
                           "%s: damaged: log slot %u, record %llu (kind %u, address 0x%llx, "
                           "length %u) cannot be",
                           home->path, log->slot, (unsigned long long)count, walk.record.kind,
                           (unsigned long long)walk.record.address, walk.record.length);
    }
    return 0;
}

/* A record torn by a crash does not count, as its checksum tells.  But it has the stamp that
 * the slot's next transaction has, and would count in a class without checksums, or where that
 * transaction's own process reads the log, which trusts it.  So what is left in an idle slot is
 * discarded. */
static int recover_slot(struct vi_segment *segment, struct vi_log *log)
{
    struct vi_pages pages = {0};
    struct vi_walk walk;
    int result = 0;

    vi_walk_begin(&walk, log);
    if (*log->cursor.word & VI_STAMP_FINISHING) {
        vi_items_step_each(segment, log, VI_FINISH);
        vi_flush_finished(segment, log, &pages);
        vi_log_discard(log);
        segment->finished++;
    } else if (vi_walk_next(&walk) != NULL) {
        result = vi_rollback(segment, log, &pages);
        segment->rolled_back++;
    } else if (log->logs->checked) {
        vi_log_discard(log);
    }
    vi_pages_release(&pages);
    return result;
}

int vi_recover(struct vi_segment *segment, vi_attach_fn *attach)
{
    const struct vi_log_header *header = (const void *)(segment->map.meta + VI_LOG_OFFSET);
    const uint64_t used = __atomic_load_n(&header->slots_used, __ATOMIC_RELAXED);
    const uint32_t slots = used < VI_SLOTS ? (uint32_t)used : VI_SLOTS;
    struct members members = {.attach = attach};
    struct vi_log log = {0};

    for (uint32_t slot = 0; slot < slots; slot++) {
        vi_log_attach(&segment->logs, &log, slot);
        if (validate(segment, &log, &members) != 0)
            return -1;
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        vi_log_attach(&segment->logs, &log, slot);
        if (recover_slot(segment, &log) != 0)
            return -1;
    }
    return 0;
}
