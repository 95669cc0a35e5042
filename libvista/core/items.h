/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The items of a log with their owners: the one way to go through them, and what commit,
 * rollback and recovery do with all of them.
 */
#ifndef VI_CORE_ITEMS_H
#define VI_CORE_ITEMS_H

#include "core/group.h"
#include "core/pages.h"
#include "core/walk.h"

struct vi_items {
    struct vi_segment *home;
    const struct vi_log *log;
    uint32_t next, kept; /* of log->effects, instead of the walk */
    struct vi_walk walk;
    struct vi_item item; /* the last one read there */
};

/* Before all items, or before those that are no undo images and, if not all of these were kept
 * in memory, the others too. */
void vi_items_begin(struct vi_items *items, struct vi_segment *home, const struct vi_log *log);
void vi_items_begin_effects(struct vi_items *items, struct vi_segment *home,
                            const struct vi_log *log);

/* The next, from the oldest on; NULL behind the last. */
const struct vi_item *vi_items_next(struct vi_items *items);

/* The owner of a record is looked up here and nowhere else: by its address, among the segments
 * of home's group. */
static inline struct vi_item vi_item_of(struct vi_segment *home, const struct vi_record *record)
{
    struct vi_segment *owner = home;
    struct vi_item item = {.offset = record->address - home->logs.mapped,
                           .length = record->length,
                           .kind = record->kind,
                           .payload = record->payload};

    if (VISTA_INLINE_UNLIKELY(item.offset >= vi_segment_size(home))) {
        owner = vi_group_search(home, record->address);
        item.offset = owner != NULL ? record->address - owner->logged : 0;
    }
    if (owner != NULL && record->kind < VI_KINDS)
        item.context = owner->contexts[record->kind];
    return item;
}

/* Does an owner have it, and can it be? */
static inline bool vi_item_is_valid(const struct vi_segment *home, const struct vi_item *item)
{
    const struct vi_record_kind *kind = item->context != NULL ? home->logs.kinds[item->kind] : NULL;

    return kind != NULL && (kind->valid == NULL || kind->valid(item));
}

/* Flushes the data and the stored metadata of all items of some kinds. */
void vi_items_flush(struct vi_items *items, uint32_t kinds, struct vi_pages *pages);

/* Takes a step with all effects of a log; the second, of a log that is not being recovered and
 * has some. */
bool vi_items_step_each(struct vi_segment *home, const struct vi_log *log, enum vi_step step);
static inline bool vi_items_step(struct vi_segment *home, const struct vi_log *log,
                                 enum vi_step step)
{
    const struct vi_item *const first = log->effects;

    if (VISTA_INLINE_LIKELY(log->effect_count <= VI_EFFECTS_KEPT &&
                            __atomic_load_n(&home->own.members, __ATOMIC_RELAXED) == NULL))
        return log->logs->steps[step](first->context, log->slot, first, log->effect_count);
    return vi_items_step_each(home, log, step);
}

#endif
