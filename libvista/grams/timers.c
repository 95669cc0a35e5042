/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/timers.h"

#include "grams/outgoing.h"

#define MILLISECOND ((uint64_t)1000 * 1000)
#define TIMEOUT_MIN MILLISECOND
#define REFUSED_FIRST (MILLISECOND / 8)
#define REFUSALS 8 /* then it is a time-out's turn, the client's */
#define TIMEOUT_MAX ((uint64_t)10000 * MILLISECOND)
#define DOUBLINGS 14 /* from the least to the most */

static uint64_t bounded(uint64_t ns)
{
    return ns < TIMEOUT_MIN ? TIMEOUT_MIN : ns > TIMEOUT_MAX ? TIMEOUT_MAX : ns;
}

/* The time-out after so many in vain, a quarter more or less. */
static uint64_t backed_off(vista_endpoint *e, const struct vi_peer *peer, unsigned tries)
{
    const uint64_t ns = bounded(peer->timeout << (tries < DOUBLINGS ? tries : DOUBLINGS));

    return ns - ns / 4 + vi_endpoint_jitter(e, ns / 2 + 1);
}

/* Its time-outs begin anew, and it is no measure of the round trip any more.  That there was
 * no room is forgotten with it: what `due` is for by then may be that the peer leaves. */
void vi_timers_restore(vista_endpoint *e, struct vi_lane *lane, uint64_t due)
{
    lane->again = true;
    lane->refused = false;
    lane->refusals = 0;
    lane->tries = 0;
    lane->due = due;
    vi_endpoint_due(e, due);
}

void vi_timers_sent(vista_endpoint *e, struct vi_lane *lane)
{
    vi_timers_restore(e, lane, lane->sent + backed_off(e, lane->peer, 0));
    lane->again = false;
}

void vi_timers_put_off(vista_endpoint *e, struct vi_lane *lane, uint64_t by)
{
    const uint64_t ns = by != 0 ? by : backed_off(e, lane->peer, 0);

    if (lane->due != 0)
        vi_timers_restore(e, lane, vi_endpoint_now(e) + ns);
}

void vi_timers_refused(vista_endpoint *e, const struct vi_header *header)
{
    struct vi_peer *peer = vi_endpoint_session(e, header->session);
    struct vi_lane *lane = peer != NULL ? &peer->lane[header->slot] : NULL;

    if (peer == NULL || peer->reason != VI_BROKEN_NOT ||
        (header->kind != VI_REQUEST && header->kind != VI_RESPONSE) || lane->refusals == REFUSALS ||
        (header->kind == VI_REQUEST && lane->due == 0))
        return;
    lane->refused = true;
    lane->due = vi_endpoint_now(e) + (REFUSED_FIRST << lane->refusals++);
    vi_endpoint_due(e, lane->due);
}

void vi_timers_measure(struct vi_lane *lane, uint64_t now)
{
    struct vi_peer *peer = lane->peer;
    const uint64_t took = now - lane->sent;
    uint64_t off;

    if (lane->again)
        return;
    if (peer->round_trip == 0) {
        peer->round_trip = took;
        peer->deviation = took / 2;
    } else {
        off = took > peer->round_trip ? took - peer->round_trip : peer->round_trip - took;
        peer->deviation = (3 * peer->deviation + off) / 4;
        peer->round_trip = (7 * peer->round_trip + took) / 8;
    }
    peer->timeout = bounded(peer->round_trip + 4 * peer->deviation);
}

/* Of a response that arrives in fragments the rest is asked for, else the request is sent. */
static void repeat(vista_endpoint *e, struct vi_lane *lane)
{
    const struct vi_peer *peer = lane->peer;
    const struct vi_header bye = {.session = peer->session};

    if (peer->row->state == VI_ROW_LEAVING) {
        vi_out_reply(e, &peer->address, VI_BYE, &bye, 0);
        return;
    }
    lane->again = true;
    e->counts.retransmitted++;
    if (lane->partial != NULL)
        vi_out_pull(e, lane);
    else
        vi_out_message(e, lane, 0, true);
}

void vi_timers_alive(vista_endpoint *e, struct vi_peer *peer, uint64_t now)
{
    peer->probe = NULL;
    for (struct vi_lane *lane = peer->lane; lane < peer->lane + peer->slots; lane++) {
        if (lane->due != UINT64_MAX)
            continue;
        vi_timers_restore(e, lane, now + backed_off(e, peer, 0));
        if (lane->owner == NULL)
            repeat(e, lane);
    }
}

static void run_lane(vista_endpoint *e, struct vi_lane *lane, uint64_t now)
{
    struct vi_peer *peer = lane->peer;

    if (lane->owner != NULL || peer->owner != NULL) { /* which may end it: look again later */
        lane->due = now + backed_off(e, peer, lane->tries);
        return;
    }
    if (lane->refused) {
        lane->refused = false;
        lane->due = peer->role == VI_ROLE_CLIENT ? now + backed_off(e, peer, lane->tries) : 0;
        if (peer->role == VI_ROLE_CLIENT || lane->stored->state == VI_SLOT_ANSWERED)
            vi_out_message(e, lane, 0, true);
        return;
    }
    if (peer->probe != NULL && peer->probe != lane) {
        lane->due = UINT64_MAX;
        return;
    }
    peer->probe = lane;
    lane->tries += lane->tries < DOUBLINGS;
    lane->due = now + backed_off(e, peer, lane->tries);
    repeat(e, lane);
}

static void run_peer(vista_endpoint *e, struct vi_peer *peer, uint64_t now)
{
    for (struct vi_lane *lane = peer->lane; lane < peer->lane + peer->slots; lane++) {
        if (lane->due == 0)
            continue;
        if (lane->due <= now)
            run_lane(e, lane, now);
        if (lane->due != 0)
            vi_endpoint_due(e, lane->due);
    }
}

void vi_timers_run(vista_endpoint *e, uint64_t now)
{
    if (now < e->next_due)
        return;
    e->next_due = UINT64_MAX;
    for (uint32_t i = 0; i < e->peers_used; i++)
        if (e->peer[i].row != NULL)
            run_peer(e, &e->peer[i], now);
}
