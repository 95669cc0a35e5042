/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions: handles, and the commit and rollback of one slot's log.
 */
#ifndef VI_CORE_TRANSACTION_H
#define VI_CORE_TRANSACTION_H

#include "core/group.h"
#include "core/handles.h"
#include "core/pages.h"
#include "core/process.h"
#include "core/segment.h"

/* In the handle that this thread has in its cache, or that it may keep there: then the next can
 * be inlined.  Uncached: the next cannot. */
struct vi_tx *vi_tx_begin(struct vi_segment *home, unsigned mode);
struct vi_tx *vi_tx_begin_uncached(struct vi_segment *home, unsigned mode);

/* The open transaction behind a handle, else NULL with EINVAL or EPERM. */
struct vi_tx *vi_tx_refuse(const struct vi_tx *tx);
static inline struct vi_tx *vi_tx_check(vista_tx *handle)
{
    struct vi_tx *tx = (struct vi_tx *)handle;

    return VISTA_INLINE_LIKELY(tx != NULL && vi_tx_is_open(tx)) ? tx : vi_tx_refuse(tx);
}

/* vista_set_ranges; the address and length of each are checked here. */
int vi_tx_declare(struct vi_tx *tx, const struct iovec *ranges, int count);

/* Operations of engines; "flushing": where lines are flushed; "followed": in any class, with a
 * list of vi_redo. */
int vi_tx_commit(struct vi_tx *tx, unsigned mode);
int vi_tx_commit_flushing(struct vi_tx *tx, unsigned mode);
int vi_tx_commit_followed(struct vi_tx *tx, unsigned mode);
void vi_tx_abort(struct vi_tx *tx);
void vi_tx_abort_followed(struct vi_tx *tx);

/* A record's item and whose it is. */
struct vi_item {
    const struct vi_record *record;
    struct vi_segment *owner;         /* NULL: a member's that is not there */
    const struct vi_handler *handler; /* NULL, too: an unknown kind */
    void *context;
};

/* The owner of a record that is not home's own: a member, with the offset in that, in `copy`. */
struct vi_segment *vi_member_record(struct vi_segment *home, const struct vi_record *record,
                                    struct vi_record *copy);

/* Says whose the record is, and what it means. */
static inline struct vi_item vi_item_of(struct vi_segment *home, const struct vi_record *record,
                                        struct vi_record *copy)
{
    struct vi_item item = {.record = record, .owner = home};

    if (VISTA_INLINE_UNLIKELY(record->offset >= vi_segment_size(home))) {
        item.owner = vi_member_record(home, record, copy);
        item.record = copy;
    }
    if (item.owner != NULL && record->kind < VI_KINDS) {
        item.handler = item.owner->kinds[record->kind].handler;
        item.context = item.owner->kinds[record->kind].context;
    }
    return item;
}

static inline bool vi_next_item(struct vi_segment *home, struct vi_walk *walk, struct vi_item *item)
{
    if (vi_walk_next(walk) == NULL)
        return false;
    *item = vi_item_of(home, &walk->record, &walk->record);
    return true;
}

/* Calls `visit` for every item, oldest first. */
typedef void vi_visit_fn(void *arg, const struct vi_item *item);
void vi_each_item(struct vi_segment *home, const struct vi_log *log, vi_visit_fn *visit, void *arg);

/* The same for what is no undo image, and for the rest too if not all of that was kept. */
void vi_each_effect(struct vi_segment *home, const struct vi_log *log, vi_visit_fn *visit,
                    void *arg);

/* Calls one of home->effects for all that the log has; the second for a log that is not being
 * recovered. */
bool vi_effects_of_any(struct vi_segment *home, const struct vi_log *log, vi_effects_fn *effects);
static inline bool vi_effects(struct vi_segment *home, const struct vi_log *log,
                              vi_effects_fn *effects)
{
    if (VISTA_INLINE_LIKELY(log->effect_count <= VI_EFFECTS_KEPT &&
                            __atomic_load_n(&home->own.members, __ATOMIC_RELAXED) == NULL))
        return effects(home->heap, log->slot, log->effects, log->effect_count);
    return vi_effects_of_any(home, log, effects);
}

/* Commit's and recovery's shared parts, on a log whose transaction has `stamp`. */

/* A visitor that flushes the stored words that items of some kinds change, and their data. */
struct vi_flush_item {
    const struct vi_persist *persist;
    struct vi_pages *pages;
    uint32_t kinds;
};
void vi_flush_item(void *arg, const struct vi_item *item);
/* Flushes what must be durable before the discard. */
void vi_flush_effects(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages);
/* Undoes newest first, durably, then discards: abort and recovery alike. */
void vi_rollback(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages);
/* Flushes what was deferred, and has been done. */
void vi_flush_finished(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages);

#endif
