/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/endpoint.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "grams/outgoing.h"
#include "grams/staging.h"
#include "grams/tasks.h"
#include "grams/timers.h"
#include "grams/waiting.h"

vista_endpoint *vi_endpoint_check(const vista_endpoint *endpoint)
{
    vista_endpoint *e = (vista_endpoint *)(uintptr_t)endpoint;

    if (e == NULL)
        return vi_fail(EINVAL, "no endpoint: the handle is NULL"), NULL;
    if (e->segment->idle == 0)
        return vi_fail(EPERM, "%s: the endpoint belongs to the parent process", e->address), NULL;
    return e;
}

/* ---- The lock ------------------------------------------------------------ */

void vi_endpoint_lock(vista_endpoint *e)
{
    pthread_mutex_lock(&e->lock);
}

void vi_endpoint_flush(vista_endpoint *e)
{
    const int error = errno;

    if (e->out_count == 0 && !e->leader && e->poll_fd < 0)
        return;
    vi_out_flush(e);
    if (e->leader && e->next_due < e->leader_until) {
        e->leader_until = e->next_due; /* once is enough */
        e->socket->transport->wake(e->socket);
    }
    if (e->poll_fd >= 0)
        vi_wait_tell(e);
    errno = error;
}

void vi_endpoint_unlock(vista_endpoint *e)
{
    vi_endpoint_flush(e);
    pthread_mutex_unlock(&e->lock);
}

/* xorshift64 (Marsaglia 2003): good enough to keep two ends from marching in step. */
uint64_t vi_endpoint_jitter(vista_endpoint *e, uint64_t limit)
{
    e->random ^= e->random << 13;
    e->random ^= e->random >> 7;
    e->random ^= e->random << 17;
    return e->random % limit;
}

/* ---- Finding peers --------------------------------------------------------- */

struct vi_peer *vi_endpoint_peer(vista_endpoint *e, uint32_t id, bool broken_too)
{
    struct vi_peer *peer = &e->peer[id % e->table->peers];

    if (id == 0 || peer->row == NULL || peer->row->id != id)
        return vi_fail(EINVAL, "%s: there is no peer %u", e->address, id), NULL;
    if (!broken_too && peer->reason != VI_BROKEN_NOT)
        return vi_fail(ESTALE, "%s: the session with peer %u at %s is broken: %s", e->address, id,
                       peer->row->address, vi_broken_reason(peer->reason)),
               NULL;
    return peer;
}

static struct vi_sessions *sessions_of(vista_endpoint *e, uint64_t session)
{
    return &e->peer[(uint32_t)session % e->table->peers].sessions;
}

struct vi_peer *vi_endpoint_session(vista_endpoint *e, uint64_t session)
{
    struct vi_peer *peer = LIST_FIRST(sessions_of(e, session));

    while (peer != NULL && peer->session != session)
        peer = LIST_NEXT(peer, same);
    return peer;
}

struct vi_peer *vi_endpoint_uuid(vista_endpoint *e, const unsigned char *uuid, unsigned role)
{
    for (uint32_t i = 0; i < e->peers_used; i++) {
        struct vi_peer *peer = &e->peer[i];

        if (peer->row != NULL && peer->role == role &&
            memcmp(peer->uuid, uuid, sizeof peer->uuid) == 0)
            return peer;
    }
    return NULL;
}

struct vi_lane *vi_endpoint_free_lane(struct vi_peer *peer)
{
    if (peer->role == VI_ROLE_CLIENT && peer->reason == VI_BROKEN_NOT &&
        peer->row->state == VI_ROW_ACTIVE)
        for (struct vi_lane *lane = peer->lane; lane < peer->lane + peer->slots; lane++)
            if (lane->owner == NULL && lane->stored->state == VI_SLOT_IDLE)
                return lane;
    return NULL;
}

/* ---- Peers come and go ------------------------------------------------------- */

static void attach_lane(vista_endpoint *e, struct vi_peer *peer, uint32_t index)
{
    struct vi_lane *lane = &peer->lane[index];
    const uint32_t state = peer->row->slot[index].state;

    *lane =
        (struct vi_lane){.stored = &peer->row->slot[index], .peer = peer, .awaited = lane->awaited};
    if ((state == VI_SLOT_SENT || state == VI_SLOT_CANCELLED) && peer->reason == VI_BROKEN_NOT)
        vi_timers_restore(e, lane, vi_endpoint_now(e) + vi_endpoint_jitter(e, VI_TIMEOUT_FIRST));
}

void vi_endpoint_attach(vista_endpoint *e, struct vi_peer *peer, struct vi_gram_row *row)
{
    *peer = (struct vi_peer){
        .row = row,
        .lane = peer->lane,
        .session = row->session,
        .role = row->role,
        .slots = row->slots,
        .index = peer->index,
        .reason = row->state == VI_ROW_BROKEN ? row->reason : VI_BROKEN_NOT,
        .timeout = VI_TIMEOUT_FIRST,
        .welcome = peer->welcome,
        .sessions = peer->sessions,
    };
    memcpy(peer->uuid, row->uuid, sizeof peer->uuid);
    vi_address_parse(&peer->address, row->address);
    for (uint32_t i = 0; i < row->slots; i++)
        attach_lane(e, peer, i);
    LIST_INSERT_HEAD(sessions_of(e, peer->session), peer, same);
    if (e->peers_used <= peer->index)
        e->peers_used = peer->index + 1;
    e->broken += peer->reason != VI_BROKEN_NOT;
    if (row->state == VI_ROW_LEAVING)
        vi_timers_restore(e, peer->lane, vi_endpoint_now(e));
}

/* The row's block may be another's by now. */
void vi_endpoint_detach(vista_endpoint *e, struct vi_peer *peer)
{
    for (uint32_t i = 0; i < peer->slots; i++) {
        peer->lane[i].due = 0;
        vi_staging_drop(e, &peer->lane[i]);
    }
    e->broken -= peer->reason != VI_BROKEN_NOT;
    peer->reason = VI_BROKEN_NOT;
    peer->row = NULL;
    LIST_REMOVE(peer, same);
}

void vi_endpoint_break(vista_endpoint *e, struct vi_peer *peer, uint32_t reason)
{
    if (peer->reason != VI_BROKEN_NOT || !vi_tasks_note(e, VI_TASK_BREAK, peer, reason))
        return;
    peer->reason = reason;
    e->broken++;
    for (uint32_t i = 0; i < peer->slots; i++) {
        peer->lane[i].due = 0;
        if (peer->lane[i].owner == NULL)
            vi_staging_drop(e, &peer->lane[i]);
    }
}

/* ---- What it tells of itself ------------------------------------------------- */

static void count_row(const struct vi_peer *peer, struct vista_endpoint_info *out)
{
    out->peers++;
    out->broken += peer->reason != VI_BROKEN_NOT;
    out->leaving += peer->owner == NULL && peer->row->state == VI_ROW_LEAVING;
    for (uint32_t i = 0; i < peer->slots; i++) {
        if (peer->lane[i].owner != NULL)
            continue;
        out->unanswered += peer->row->slot[i].state == VI_SLOT_SENT ||
                           peer->row->slot[i].state == VI_SLOT_CANCELLED;
        out->executing += peer->row->slot[i].state == VI_SLOT_RECEIVED;
    }
}

int vista_endpoint_info(const vista_endpoint *endpoint, struct vista_endpoint_info *out)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);

    if (out == NULL)
        return vi_fail(EINVAL, "vista_endpoint_info: nowhere to put it");
    memset(out, 0, sizeof *out);
    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    *out = e->counts;
    memcpy(out->uuid, e->table->uuid, sizeof out->uuid);
    out->address = e->address;
    out->slots = e->table->slots;
    out->peers_max = e->table->peers;
    out->message_max = e->table->message_max;
    out->staged_bytes = e->staged;
    for (uint32_t i = 0; i < e->peers_used; i++)
        if (e->peer[i].row != NULL)
            count_row(&e->peer[i], out);
    for (const struct vi_agreement *of = e->table->agreements; of != NULL; of = of->next)
        out->agreements++;
    vi_endpoint_unlock(e);
    return 0;
}

static int tell(const struct vi_gram_row *row, uint32_t slot, vista_request_fn visit, void *arg)
{
    const struct vi_gram_slot *of = &row->slot[slot];
    const vista_request request = {row->session, of->generation, slot, row->id};

    return of->state == VI_SLOT_IDLE ? 0 : visit(arg, &request, of->state, of->length);
}

int vista_each_request(vista_endpoint *endpoint, vista_request_fn visit, void *arg)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);
    int result = 0;

    if (e == NULL)
        return -1;
    if (visit == NULL)
        return vi_fail(EINVAL, "vista_each_request: nothing to call");
    vi_endpoint_lock(e);
    for (uint32_t i = 0; i < e->peers_used && result == 0; i++) {
        const struct vi_peer *peer = &e->peer[i];

        for (uint32_t s = 0; peer->row != NULL && s < peer->row->slots && result == 0; s++)
            if (peer->lane[s].owner == NULL && peer->owner == NULL)
                result = tell(peer->row, s, visit, arg);
    }
    vi_endpoint_unlock(e);
    return result == 0 ? 0 : vi_fail(ECANCELED, "%s: stopped by its caller", e->address);
}
