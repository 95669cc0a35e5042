/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions: handles, and the commit and rollback of one slot's log.
 */
#ifndef VI_CORE_TRANSACTION_H
#define VI_CORE_TRANSACTION_H

#include "core/pages.h"
#include "core/process.h"
#include "core/segment.h"

#define VI_RANGES_KEPT 16

/* A handle; bound to one slot while its segment is mapped; memory never freed. */
struct vi_tx {
    struct vi_log log; /* first: begins with the public prefix */
    struct vi_segment *segment;
    uintptr_t other_low; /* what cursor.low and .high were before, of another segment */
    uintptr_t other_high;
    bool no_restore;
    bool cached; /* in some thread's cache */
    struct vi_pages pages;
    /* Where lines are flushed, the first ranges declared: a commit that finds all here
     * need not read the log, whose lines the flush may have driven from the cache. */
    struct iovec ranges[VI_RANGES_KEPT];
    unsigned range_count; /* all, kept or not */
    struct vi_tx *next_all;
    struct vi_tx *next_idle;
};

struct vi_tx *vi_tx_begin(struct vi_segment *segment, unsigned mode);

/* The open transaction behind a handle, else NULL with EINVAL or EPERM. */
struct vi_tx *vi_tx_check(vista_tx *handle);

/* vista_set_ranges; the address and length of each are checked here. */
int vi_tx_declare(struct vi_tx *tx, const struct iovec *ranges, int count);

void vi_tx_commit(struct vi_tx *tx);
void vi_tx_abort(struct vi_tx *tx);

/* How many are open. */
uint64_t vi_tx_count_open(struct vi_segment *segment);

/* The segment is going: its handles end, and serve other segments. */
void vi_tx_retire_all(struct vi_segment *segment);

/* In a forked child: the same, touching nothing that another thread may hold. */
void vi_tx_forget_all(struct vi_segment *segment);

/* Gives the exiting thread's cached handle back: the destructor of exit_key. */
void vi_tx_thread_exit(void *cache);

/* Calls `release` for each slot that no thread holds. */
void vi_tx_each_idle(struct vi_segment *segment);

/* Ranges inside `segment`, of the group, are inlined from now on, and no others. */
void vi_tx_face(struct vi_tx *tx, const struct vi_segment *segment);

/* A record's item and whose it is. */
struct vi_item {
    const struct vi_record *record;
    struct vi_segment *owner;         /* NULL: a member's that is not there */
    const struct vi_handler *handler; /* NULL, too: an unknown kind */
    void *context;
};

/* A record that is not home's own: of a member, with the offset in that, in `copy`. */
void vi_member_item(struct vi_segment *home, struct vi_item *item, struct vi_record *copy);

/* Says whose the item's record is, and what it means. */
static inline void vi_item_resolve(struct vi_segment *home, struct vi_item *item,
                                   struct vi_record *copy)
{
    const unsigned kind = item->record->kind;

    item->owner = home;
    if (VISTA_UNLIKELY(item->record->offset >= vi_segment_size(home)))
        vi_member_item(home, item, copy);
    item->handler = NULL;
    if (item->owner == NULL || kind >= VI_KINDS)
        return;
    item->handler = item->owner->kinds[kind].handler;
    item->context = item->owner->kinds[kind].context;
}

static inline bool vi_next_item(struct vi_segment *home, struct vi_walk *walk, struct vi_item *item)
{
    item->record = vi_walk_next(walk);
    if (item->record == NULL)
        return false;
    vi_item_resolve(home, item, &walk->record);
    return true;
}

/* Commit's and recovery's shared parts, on a log whose transaction has `stamp`. */

/* Flushes the stored words that items of some kinds change, and their data's `extents`. */
void vi_flush_items(struct vi_segment *segment, struct vi_walk *walk, struct vi_pages *pages,
                    uint32_t kinds, bool extents);
/* Flushes what must be durable before the discard. */
void vi_flush_effects(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages,
                      bool verify);
/* Undoes newest first, durably, then discards: abort and recovery alike. */
void vi_rollback(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages,
                 bool verify);
/* Does what was deferred, durably, then discards. */
void vi_finish(struct vi_segment *segment, struct vi_log *log, struct vi_pages *pages, bool verify);

#endif
