/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/owning.h"

#include <errno.h>

#include "base/error.h"
#include "grams/handshake.h"
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

static struct vi_group *new_group(vista_endpoint *e, vista_tx *tx)
{
    struct vi_group *group = e->group;

    while (group < e->group + VI_GROUPS && group->endpoint != NULL)
        group++;
    if (group == e->group + VI_GROUPS)
        return vi_fail(ENOMEM, "too many transactions use the endpoint"), NULL;
    *group = (struct vi_group){.endpoint = e, .tx = tx, .number = tx->idle, .stamp = tx->stamp};
    LIST_INSERT_HEAD(&e->groups, group, link);
    return group;
}

static void delete_group(struct vi_group *group)
{
    LIST_REMOVE(group, link);
    group->endpoint = NULL;
}

/* ---- Ends -------------------------------------------------------------- */

static void committed(vista_endpoint *e, struct vi_lane *lane)
{
    if (lane->acts & VI_ACT_RECEIVE)
        vi_staging_drop(e, lane);
    if (lane->acts & VI_ACT_SEND && lane->peer->reason == VI_BROKEN_NOT) {
        lane->refusals = 0;
        lane->sent = vi_endpoint_now(e);
        if (lane->peer->role == VI_ROLE_CLIENT) /* first: what leaves at once may find no room */
            vi_timers_sent(e, lane);
        vi_out_message(e, lane, 0, false);
    }
}

/* What has arrived, and was not received, is another's to receive. */
static void end_lanes(vista_endpoint *e, struct vi_group *group, int outcome)
{
    for (struct vi_lane *lane = group->lanes, *next; lane != NULL; lane = next) {
        next = lane->next_owned;
        lane->owner = NULL;
        if (outcome == 1)
            committed(e, lane);
        lane->acts = 0;
        if (lane->staged != NULL && lane->peer->reason != VI_BROKEN_NOT)
            vi_staging_drop(e, lane);
        else if (lane->staged != NULL)
            vi_staging_queue(e, lane, true);
    }
}

/* What was stored of a peer is its own: it has come, changed, or gone. */
static void stored(vista_endpoint *e, struct vi_peer *peer)
{
    struct vi_gram_row *row = e->table->entry[peer->index].row;

    if (row == NULL && peer->row != NULL) {
        vi_handshake_removed(e, peer);
        vi_endpoint_detach(e, peer);
    }
    if (row == NULL)
        return;
    if (peer->row == NULL)
        vi_endpoint_attach(e, peer, row);
    else
        vi_address_parse(&peer->address, row->address);
    if (row->state == VI_ROW_ACTIVE)
        vi_handshake_stored(e, peer);
    else if (peer->reason == VI_BROKEN_NOT) /* it is leaving */
        vi_timers_restore(e, peer->lane, vi_endpoint_now(e));
}

static void end_peers(vista_endpoint *e, struct vi_group *group, int outcome)
{
    for (struct vi_peer *peer = group->peers, *next; peer != NULL; peer = next) {
        next = peer->next_owned;
        peer->owner = NULL;
        if (outcome == 1)
            stored(e, peer);
        peer->welcome = 0;
    }
}

static void ended(void *arg, int outcome)
{
    struct vi_group *group = arg;
    vista_endpoint *e = group->endpoint;
    const bool done = outcome == 1 && (group->lanes != NULL || group->peers != NULL);

    vi_endpoint_lock(e);
    if (outcome != 0 && outcome != 1) {
        LIST_REMOVE(group, link); /* what it owns stays owned until the endpoint is opened anew */
        vi_endpoint_unlock(e);
        return;
    }
    end_peers(e, group, outcome); /* first: what is left of a row that has gone is not read */
    end_lanes(e, group, outcome);
    delete_group(group);
    if (e->waiting > 0)
        pthread_cond_broadcast(&e->changed);
    if (vi_tasks_are_due(e)) /* at once where that may have made way for them, and else soon */
        vi_endpoint_due(e, done ? 0 : vi_endpoint_now(e) + VI_TIMEOUT_FIRST);
    vi_endpoint_unlock(e);
}

/* ---- Owning ------------------------------------------------------------ */

struct vi_group *vi_owning_group(vista_endpoint *e, vista_tx *tx)
{
    struct vi_group *group = vi_owning_find(e, tx);

    if (group != NULL)
        return group;
    group = new_group(e, tx);
    if (group == NULL || vista_on_end(tx, ended, group) == 0)
        return group;
    delete_group(group);
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

int vi_owning_peer(vista_endpoint *e, vista_tx *tx, struct vi_peer *peer)
{
    struct vi_gram_entry *entry = &e->table->entry[peer->index];

    if (vista_set_range(tx, entry, sizeof *entry) != 0)
        return -1;
    peer->owner = vi_owning_group(e, tx);
    if (peer->owner == NULL)
        return -1;
    peer->next_owned = peer->owner->peers;
    peer->owner->peers = peer;
    return 0;
}
