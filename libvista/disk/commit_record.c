/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The redo record of a transaction: see commit_record.h.  How large it can be is to be known before the
 * log is locked.  An undo log that lies in its slot says so by its length; another is walked
 * twice, so that no memory is needed for its items.
 */
#include "disk/commit_record.h"

#include "core/items.h"

#define GAP 24u /* equal bytes between two that differ, up to which one item is shorter than two */

struct visit {
    const struct vi_segment *home;
    struct vi_disk_log *redo; /* NULL: it is measured */
    uint64_t bytes;
};

/* The segment with an address of its data or its metadata: home, or a member. */
static const struct vi_segment *owner_of(const struct vi_segment *home, const void *address)
{
    const struct vi_segment *at = home;

    while (at != NULL && (uintptr_t)address - (uintptr_t)at->map.data >= at->map.reserved &&
           (uintptr_t)address - (uintptr_t)at->map.meta >= at->map.meta_size)
        at = at == home ? __atomic_load_n(&home->own.members, __ATOMIC_ACQUIRE) : at->next_member;
    return at;
}

/* What more has come up since it was measured is not put into the record, but counted. */
static void emit(struct visit *visit, const struct vi_segment *owner, const void *address,
                 uint64_t length)
{
    visit->bytes += vi_disk_item_size(length);
    if (visit->redo != NULL && visit->bytes <= visit->redo->writer.most)
        vi_disk_put(visit->redo, owner->member, vi_disk_offset(owner, address), address,
                    (uint32_t)length);
}

/* Of a page that was logged as a whole only the bytes that have changed. */
static void emit_changed(struct visit *visit, const struct vi_segment *owner,
                         const unsigned char *now, const unsigned char *old, uint64_t length)
{
    uint64_t from = 0, end = 0; /* of what differs, not yet emitted */

    for (uint64_t i = 0; i < length; i++) {
        if (now[i] == old[i])
            continue;
        if (end == 0 || i - end > GAP) {
            if (end != 0)
                emit(visit, owner, now + from, end - from);
            from = i;
        }
        end = i + 1;
    }
    if (end != 0)
        emit(visit, owner, now + from, end - from);
}

static void visit_undo(struct visit *visit, const struct vi_item *item)
{
    const struct vi_segment *owner = item->context;
    const unsigned char *now = (const unsigned char *)owner->map.data + item->offset;

    if (owner->ranges != NULL)
        emit_changed(visit, owner, now, item->payload, item->length);
    else if (item->length != 0)
        emit(visit, owner, now, item->length);
}

static void visit_item(struct visit *visit, const struct vi_record_kind *kind,
                       const struct vi_item *item)
{
    const bool given_up = kind->given_up != NULL && kind->given_up(item);
    const struct iovec none = {0};
    const struct iovec data = kind->extent != NULL && !given_up ? kind->extent(item) : none;
    const struct iovec stored = kind->stored != NULL ? kind->stored(item) : none;
    const struct vi_segment *owner =
        owner_of(visit->home, data.iov_len != 0 ? data.iov_base : stored.iov_base);

    if (owner == NULL)
        return;
    if (data.iov_len != 0)
        emit(visit, owner, data.iov_base, data.iov_len);
    if (stored.iov_len != 0)
        emit(visit, owner, stored.iov_base, stored.iov_len);
}

/* Visits all, or effects and maybe all.  `redo`: puts what there is; else measures it.  Returns how long
 * a record of it is. */
static __attribute__((noinline)) uint64_t visit_all(struct vi_tx *tx, struct vi_disk_log *redo,
                                                    bool automatic, bool effects)
{
    struct visit visit = {tx->segment, redo, .bytes = sizeof(struct vi_redo_record)};
    const struct vi_item *item;
    struct vi_items items;

    (effects ? vi_items_begin_effects : vi_items_begin)(&items, tx->segment, &tx->log);
    while ((item = vi_items_next(&items)) != NULL) {
        const struct vi_record_kind *kind =
            item->context != NULL ? tx->log.logs->kinds[item->kind] : NULL;

        /* Where ranges are checked what the pages say, which are set aside, was declared, too. */
        if (kind == NULL || (!automatic && items.walk.position.index < tx->log.start.index))
            continue;
        if (item->kind == VI_KIND_UNDO)
            visit_undo(&visit, item);
        else
            visit_item(&visit, kind, item);
    }
    return visit.bytes;
}

/* In the slot an image of n bytes is 8 + n long, n at least 8, and in a record half as much more at most;
 * so does the mark or root that an effect stores, but the data that it is about comes to it. */
uint64_t vi_disk_record_measure(struct vi_tx *tx, bool automatic)
{
    const uint64_t undo = tx->log.cursor.next - tx->log.cursor.first;

    if (tx->log.position.index != 0)
        return visit_all(tx, NULL, automatic, false);
    return undo + undo / 2 +
           (tx->log.kinds == 0 ? sizeof(struct vi_redo_record) : visit_all(tx, NULL, true, true));
}

/* Of an undo log as the inlined path writes it, which is most transactions' whole log: ranges of
 * home, in the slot.  False: there is more. */
static bool build_short(struct vi_disk_log *redo, const struct vi_tx *tx)
{
    const uint64_t *at = (const uint64_t *)tx->log.cursor.first;
    const uint64_t *const end = (const uint64_t *)tx->log.cursor.next;
    const struct vi_segment *home = tx->segment;

    if (tx->log.position.index != 0 || tx->log.kinds != 0 || home->ranges != NULL)
        return false;
    while (at < end) {
        uint64_t shape = at[1] & ~VISTA_INLINE_SHORT;

        if (shape == at[1])
            return false;
        for (at += 2; shape != 0; shape >>= VISTA_INLINE_SHAPE_BITS) {
            uint32_t length = shape & ((1u << VISTA_INLINE_SHAPE_BITS) - 1);
            const uint64_t offset = *at - home->logs.mapped;

            __asm__("" : "+r"(length)); /* the compiler would copy few bytes by slow instructions */

            if (offset >= vi_segment_size(home))
                return false;
            vi_disk_put(redo, home->member, home->superblock.data_offset + offset,
                        (const char *)home->map.data + offset, length);
            at += VISTA_INLINE_ITEM(length) / sizeof *at;
        }
    }
    return true;
}

void vi_disk_record_build(struct vi_disk_log *redo, struct vi_tx *tx, bool automatic)
{
    if (build_short(redo, tx))
        return;
    vi_disk_put_again(redo);
    redo->writer.to = (unsigned char *)redo->writer.record + visit_all(tx, redo, automatic, false);
}
