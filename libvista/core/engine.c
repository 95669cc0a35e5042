/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Engines that are made of the undo log: see engine.h.
 */
#include "core/engine.h"

#include "core/lifetime.h"
#include "core/redo.h"
#include "core/transaction.h"

/* Commits flush by themselves. */
static int flush_undo(struct vi_segment *segment)
{
    return vi_segment_intact(segment);
}

static int flush_followed(struct vi_segment *segment)
{
    return vi_segment_intact(segment) != 0 ? -1 : vi_redo_flush(segment->group->redo);
}

#define UNDO \
    .begin = vi_tx_begin, .declare = vi_tx_declare, .recover = vi_recover, .close = vi_segment_close

static const struct vi_engine kill_engine = {UNDO, .gate = 0, .commit = vi_tx_commit,
                                             .abort = vi_tx_abort, .flush = flush_undo};

static const struct vi_engine flushing_engine = {UNDO, .gate = VI_GATED,
                                                 .commit = vi_tx_commit_flushing,
                                                 .abort = vi_tx_abort, .flush = flush_undo};

const struct vi_engine vi_engine_followed = {
    UNDO, .gate = VI_GATED, .commit = vi_tx_commit_followed, .abort = vi_tx_abort_followed,
    .flush = flush_followed};

const struct vi_engine *vi_engine_of(const struct vi_persist *persist)
{
    return persist->flushes ? &flushing_engine : &kill_engine;
}

void vi_engine_set(struct vi_group *group, const struct vi_engine *base)
{
    if (group->engine == group->base)
        group->engine = base;
    group->base = base;
}

void vi_engine_follow(struct vi_group *group, struct vi_redo *redo)
{
    struct vi_redo **at = &group->redo;

    while (*at != NULL)
        at = &(*at)->next;
    *at = redo;
    redo->next = NULL;
    if (group->base == &kill_engine || group->base == &flushing_engine)
        vi_engine_set(group, &vi_engine_followed);
}
