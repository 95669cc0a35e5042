/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Going through a log's items: see items.h.
 */
#include "core/items.h"

#include <assert.h>

void vi_items_begin(struct vi_items *items, struct vi_segment *home, const struct vi_log *log)
{
    items->home = home;
    items->log = log;
    items->next = 0;
    items->kept = 0;
    vi_walk_begin(&items->walk, log);
}

void vi_items_begin_effects(struct vi_items *items, struct vi_segment *home,
                            const struct vi_log *log)
{
    vi_items_begin(items, home, log);
    if (log->live && log->effect_count <= VI_EFFECTS_KEPT) {
        items->kept = log->effect_count;
        items->walk.log = NULL;
    }
}

const struct vi_item *vi_items_next(struct vi_items *items)
{
    if (items->walk.log == NULL)
        return items->next < items->kept ? &items->log->effects[items->next++] : NULL;
    if (vi_walk_next(&items->walk) == NULL)
        return NULL;
    items->item = vi_item_of(items->home, &items->walk.record);
    /* It was valid when recovery looked: if it is not now, someone else writes the file. */
    if (!items->log->live && !vi_item_is_valid(items->home, &items->item))
        items->item.context = NULL;
    return &items->item;
}

void vi_items_flush(struct vi_items *items, uint32_t kinds, struct vi_pages *pages)
{
    const struct vi_persist *persist = &items->home->persist;
    const struct vi_item *item;

    while ((item = vi_items_next(items)) != NULL) {
        const struct vi_record_kind *kind =
            item->context != NULL ? items->log->logs->kinds[item->kind] : NULL;
        struct iovec part;

        if (kind == NULL || !(kinds >> item->kind & 1))
            continue;
        if (kind->extent != NULL) {
            part = kind->extent(item);
            vi_pages_flush(pages, persist, part.iov_base, part.iov_len);
        }
        if (kind->stored != NULL) {
            part = kind->stored(item);
            vi_pages_flush(pages, persist, part.iov_base, part.iov_len);
        }
    }
}

bool vi_items_step_each(struct vi_segment *home, const struct vi_log *log, enum vi_step step)
{
    const struct vi_item *item;
    struct vi_items items;
    bool settle = false;

    assert(log->logs->steps != NULL || log->effect_count == 0);
    vi_items_begin_effects(&items, home, log);
    while ((item = vi_items_next(&items)) != NULL)
        if (item->context != NULL && log->logs->kinds[item->kind]->steps != NULL)
            settle |= log->logs->steps[step](item->context, log->slot, item, 1);
    return settle;
}
