/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rollback and finishing of one log, by abort, by commit and by recovery; and
 * recovery, which does to every slot what its word says.
 *
 * Everything here may die at any instruction and be run again: undo stores what is
 * in the log, finish what follows from it, and the log is discarded last, by one
 * store, when all of that is durable.
 */
#include <errno.h>

#include "base/error.h"
#include "core/members.h"
#include "core/transaction.h"

static bool undo_valid(void *context, const struct vi_record *record)
{
    const struct vi_segment *segment = context;

    return record->length <= VI_RECORD_MAX && record->offset <= segment->map.data_size &&
           record->length <= segment->map.data_size - record->offset;
}

static void undo_undo(void *context, const struct vi_record *record)
{
    const struct vi_segment *segment = context;
    const unsigned char *from = record->payload;
    unsigned char *to = segment->map.data + record->offset;
    uint64_t left = record->length, part;

    /* A page that is protected still holds what it held, and is not to be stored to. */
    for (; left != 0; left -= part, from += part, to += part) {
        part = VI_PAGE - (uintptr_t)to % VI_PAGE;
        if (segment->ranges == NULL || part > left)
            part = left;
        if (segment->ranges == NULL || memcmp(to, from, part) != 0)
            memcpy(to, from, part);
    }
}

static bool undo_extent(void *context, const struct vi_record *record, uint64_t *offset,
                        uint64_t *length)
{
    (void)context;
    *offset = record->offset;
    *length = record->length;
    return true;
}

const struct vi_handler vi_undo_handler = {
    .valid = undo_valid, .undo = undo_undo, .extent = undo_extent};

struct vi_segment *vi_member_record(struct vi_segment *home, const struct vi_record *record,
                                    struct vi_record *copy)
{
    *copy = *record;
    return vi_group_member(home, copy);
}

void vi_each_item(struct vi_segment *home, const struct vi_log *log, vi_visit_fn *visit, void *arg)
{
    struct vi_item item;
    struct vi_walk walk;

    vi_walk_begin(&walk, log);
    while (vi_next_item(home, &walk, &item))
        visit(arg, &item);
}

void vi_each_effect(struct vi_segment *home, const struct vi_log *log, vi_visit_fn *visit,
                    void *arg)
{
    struct vi_record copy;
    struct vi_item item;

    if (!log->ours || log->effect_count > VI_EFFECTS_KEPT)
        vi_each_item(home, log, visit, arg);
    else
        for (uint32_t i = 0; i < log->effect_count; i++) {
            item = vi_item_of(home, &log->effects[i], &copy);
            visit(arg, &item);
        }
}

struct effects_visit {
    uint32_t slot;
    vi_effects_fn *effects;
    bool settle;
};

static void visit_effects(void *arg, const struct vi_item *item)
{
    struct effects_visit *visit = arg;

    if (item->handler != NULL && item->record->kind != VI_KIND_UNDO)
        visit->settle |= visit->effects(item->context, visit->slot, item->record, 1);
}

bool vi_effects_of_any(struct vi_segment *home, const struct vi_log *log, vi_effects_fn *effects)
{
    struct effects_visit visit = {log->slot, effects, false};

    vi_each_effect(home, log, visit_effects, &visit);
    return visit.settle;
}

static void undo_record(void *context, const struct vi_record *record)
{
    struct vi_record own;
    const struct vi_item item = vi_item_of(context, record, &own);

    if (item.handler != NULL && item.handler->undo != NULL)
        item.handler->undo(item.context, item.record);
}

void vi_flush_item(void *arg, const struct vi_item *item)
{
    const struct vi_flush_item *what = arg;
    uint64_t offset, length;

    if (item->handler == NULL || !(what->kinds >> item->record->kind & 1))
        return;
    if (item->handler->extent != NULL &&
        item->handler->extent(item->context, item->record, &offset, &length))
        vi_pages_flush(what->pages, what->persist, item->owner->map.data + offset, length);
    if (item->handler->word != NULL)
        vi_pages_flush(what->pages, what->persist, item->handler->word(item->context, item->record),
                       sizeof(uint64_t));
}

void vi_flush_effects(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages)
{
    struct vi_flush_item flush = {&segment->persist, pages, ~segment->deferred};

    if (!segment->persist.flushes)
        return;
    vi_pages_clear(pages); /* what is only noted is not flushed */
    vi_each_item(segment, log, vi_flush_item, &flush);
    vi_fence(&segment->persist);
}

void vi_rollback(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages)
{
    vi_walk_backward(log, undo_record, segment);
    vi_flush_effects(segment, log, pages);
    vi_log_discard(log);
}

void vi_flush_finished(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages)
{
    struct vi_flush_item flush = {&segment->persist, pages, segment->deferred};

    if (!segment->persist.flushes)
        return;
    vi_pages_clear(pages); /* what was flushed before the commit point may have changed */
    vi_each_effect(segment, log, vi_flush_item, &flush);
    vi_fence(&segment->persist);
}

enum { SEEN = 1, MISSING };

/* Looks through slot's log, before anything is changed: -1 when a record cannot be.
 * Members that it names are opened, each once: `seen` has a byte for each.  The records of
 * one that was not attached then are left alone. */
static int validate(struct vi_segment *home, const struct vi_log *log, vi_attach_fn *attach,
                    uint8_t seen[VI_MEMBERS])
{
    const struct vi_member *entry;
    struct vi_item item;
    struct vi_walk walk;

    vi_walk_begin(&walk, log);
    for (uint64_t count = 0; vi_next_item(home, &walk, &item); count++) {
        if (item.owner == NULL && item.record->kind < VI_KINDS &&
            (entry = vi_member_of(log->logs, item.record)) != NULL) {
            uint8_t *const once = &seen[entry - vi_members(log->logs)];
            const struct vi_segment *before = home->own.members;

            if (*once == 0 && attach(home, entry) != 0)
                return -1;
            if (*once == 0)
                *once = home->own.members != before ? SEEN : MISSING;
            if (*once == MISSING)
                continue;
            item = vi_item_of(home, &walk.record, &walk.record);
        }
        if (item.handler == NULL ||
            (item.handler->valid != NULL && !item.handler->valid(item.context, item.record)))
            return vi_fail(EBADMSG,
                           "%s: damaged: log slot %u, record %llu (kind %u, offset %llu, length "
                           "%u) cannot be",
                           home->path, log->slot, (unsigned long long)count, item.record->kind,
                           (unsigned long long)item.record->offset, item.record->length);
    }
    return 0;
}

/* A record torn by a crash does not count, as its checksum tells.  But it has the stamp that
 * the slot's next transaction has, and would count in a class without checksums, or where that
 * transaction's own process reads the log, which trusts it.  So what is left in an idle slot is
 * discarded. */
static void recover_slot(struct vi_segment *segment, struct vi_log *log)
{
    struct vi_pages pages = {0};
    struct vi_walk walk;

    vi_walk_begin(&walk, log);
    if (*log->cursor.word & VI_STAMP_FINISHING) {
        vi_effects_of_any(segment, log, segment->effects->finish);
        vi_flush_finished(segment, log, &pages);
        vi_log_discard(log);
        segment->finished++;
    } else if (vi_walk_next(&walk) != NULL) {
        vi_rollback(segment, log, &pages);
        segment->rolled_back++;
    } else if (log->logs->checked) {
        vi_log_discard(log);
    }
    vi_pages_release(&pages);
}

int vi_recover(struct vi_segment *segment, vi_attach_fn *attach)
{
    const struct vi_log_header *header = (const void *)(segment->map.meta + VI_LOG_OFFSET);
    uint8_t seen[VI_MEMBERS] = {0};
    struct vi_log log = {0};

    for (uint32_t slot = 0; slot < header->slots_used; slot++) {
        vi_log_attach(&segment->logs, &log, slot);
        if (validate(segment, &log, attach, seen) != 0)
            return -1;
    }
    for (uint32_t slot = 0; slot < header->slots_used; slot++) {
        vi_log_attach(&segment->logs, &log, slot);
        recover_slot(segment, &log);
    }
    return 0;
}
