/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/owning.h"

#include <errno.h>

#include "base/error.h"
#include "grams/outgoing.h"
#include "grams/staging.h"
#include "grams/tasks.h"
#include "grams/timers.h"

struct vi_group *vi_owning_find(vista_endpoint *e, vista_tx *tx)
{
    for (struct vi_group *group = LIST_FIRST(&e->groups); group != NULL;
         group = LIST_NEXT(group, link))
        if (group->tx == tx && group->number == tx->idle && group->stamp == tx->stamp)
            return group;
    return NULL;
}

struct vi_group *vi_owning_new(vista_endpoint *e)
{
    struct vi_group *group = e->group;

    while (group < e->group + VI_GROUPS && group->endpoint != NULL)
        group++;
    if (group == e->group + VI_GROUPS)
        return vi_fail(ENOMEM, "too many transactions use the endpoint"), NULL;
    group->endpoint = e;
    group->tx = NULL;
    group->lanes = NULL;
    group->peers = NULL;
    group->task.kind = VI_TASK_NONE;
    LIST_INSERT_HEAD(&e->groups, group, link);
    return group;
}

void vi_owning_delete(struct vi_group *group)
{
    LIST_REMOVE(group, link);
    group->endpoint = NULL;
}

struct vi_group *vi_owning_group(vista_endpoint *e, vista_tx *tx)
{
    struct vi_group *group = vi_owning_find(e, tx);

    if (group != NULL)
        return group;
    group = vi_owning_new(e);
    if (group == NULL)
        return NULL;
    group->tx = tx;
    group->number = tx->idle;
    group->stamp = tx->stamp;
    if (vista_on_end(tx, vi_owning_ended, group) == 0)
        return group;
    vi_owning_delete(group);
    return NULL;
}

void vi_owning_add(struct vi_group *group, struct vi_lane *lane, unsigned act)
{
    if (lane->owner != group) {
        lane->owner = group;
        lane->acts = 0;
        lane->next_owned = group->lanes;
        group->lanes = lane;
    }
    lane->acts |= (uint8_t)act;
}

void vi_owning_add_peer(struct vi_group *group, struct vi_peer *peer)
{
    peer->owner = group;
    peer->next_owned = group->peers;
    group->peers = peer;
}

/* ---- Ends -------------------------------------------------------------- */

/* What had arrived is to be received by another; by the same task, if that is only put off.  Also
 * for a lane whose peer alone was to be forgotten. */
static void aborted(vista_endpoint *e, struct vi_lane *lane, const struct vi_group *group)
{
    const bool finish = lane->acts & VI_ACT_FINISH;

    if (lane->staged == NULL || (finish && group->task.kind != VI_TASK_NONE))
        return;
    if (finish)
        vi_tasks_unfinished(e, lane);
    else if (lane->peer->reason != VI_BROKEN_NOT)
        vi_staging_drop(e, lane);
    else if (lane->stored->state == VI_SLOT_CANCELLED)
        vi_tasks_finish(e, lane);
    else
        vi_staging_queue(e, lane, true);
}

static void committed(vista_endpoint *e, struct vi_lane *lane)
{
    const bool broken = lane->peer->reason != VI_BROKEN_NOT;

    if (lane->acts & (VI_ACT_TAKE | VI_ACT_ACCEPT | VI_ACT_FINISH))
        vi_staging_drop(e, lane);
    if (lane->acts & (VI_ACT_SEND | VI_ACT_ANSWER) && !broken) {
        lane->refusals = 0;
        lane->sent = vi_endpoint_now(e);
        if (lane->acts & VI_ACT_SEND) /* first: what leaves at once may find no room */
            vi_timers_sent(e, lane);
        vi_out_message(e, lane, false);
    }
    if (lane->acts & VI_ACT_CANCEL && lane->staged != NULL)
        vi_tasks_finish(e, lane);
}

static void end_lanes(vista_endpoint *e, struct vi_group *group, int outcome)
{
    for (struct vi_lane *lane = group->lanes, *next; lane != NULL; lane = next) {
        next = lane->next_owned;
        lane->owner = NULL;
        if (outcome == 1 && lane->acts != 0)
            committed(e, lane);
        else
            aborted(e, lane, group);
        lane->acts = 0;
    }
}

/* Rows that a program has forgotten. */
static void end_peers(vista_endpoint *e, struct vi_group *group, int outcome)
{
    for (struct vi_peer *peer = group->peers, *next; peer != NULL; peer = next) {
        next = peer->next_owned;
        peer->owner = NULL;
        if (group->task.kind != VI_TASK_NONE || outcome != 1)
            continue;
        if (e->table->entry[peer->index].row == NULL)
            vi_endpoint_detach(e, peer);
        else if (peer->reason == VI_BROKEN_NOT) /* it is leaving */
            vi_timers_restore(e, peer->lane, vi_endpoint_now(e));
    }
}

void vi_owning_ended(void *arg, int outcome)
{
    struct vi_group *group = arg;
    vista_endpoint *e = group->endpoint;

    vi_endpoint_lock(e);
    if (outcome != 0 && outcome != 1) {
        LIST_REMOVE(group, link); /* what it owns stays owned until the endpoint is opened anew */
        vi_endpoint_unlock(e);
        return;
    }
    end_peers(e, group, outcome); /* first: what is left of a row that has gone is not read */
    end_lanes(e, group, outcome);
    if (group->task.kind != VI_TASK_NONE)
        vi_tasks_ended(e, &group->task, outcome);
    vi_owning_delete(group);
    if (e->waiting > 0)
        pthread_cond_broadcast(&e->changed);
    if (e->leader && e->task_count > 0)
        e->socket->transport->wake(e->socket);
    vi_endpoint_unlock(e);
}
