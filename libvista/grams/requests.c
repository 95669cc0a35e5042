/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every call goes the same way: with the lock it finds a lane, declares, allocates, and makes the
 * lane its transaction's; without it, as the owner, it stores.  Nothing that is declared or
 * allocated waits for the end of another transaction, which would wait for the lock.
 */
#include "grams/requests.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "grams/hash.h"
#include "grams/owning.h"
#include "grams/staging.h"
#include "grams/waiting.h"

vista_endpoint *vi_request_check(vista_tx *tx, const vista_endpoint *endpoint, bool sane)
{
    if (tx == NULL || !sane)
        return vi_fail(EINVAL, "no transaction, no request, no message of that length, or an "
                               "unknown flag"),
               NULL;
    return vi_endpoint_check(endpoint);
}

static vista_request request_of(const struct vi_lane *lane)
{
    return (vista_request){lane->peer->session, lane->stored->generation,
                           (uint32_t)(lane - lane->peer->lane), lane->peer->row->id};
}

static bool is_too_long(const vista_endpoint *e, const struct vi_peer *peer, size_t length)
{
    if (length <= peer->row->message_max && length <= e->table->message_max)
        return false;
    vi_fail(EMSGSIZE, "%s: %zu bytes are more than peer %u takes, or this end may keep", e->address,
            length, peer->row->id);
    return true;
}

/* What can fail of a call, in an order in which nothing has changed when it does: declares the
 * slot, allocates a body if one is needed, registers the transaction's group, frees the old body
 * unless the message stays; then the lane is the transaction's.  NULL is handed on. */
static struct vi_lane *own(vista_endpoint *e, vista_tx *tx, struct vi_lane *lane, size_t length,
                           unsigned act)
{
    struct vi_gram_slot *slot = lane != NULL ? lane->stored : NULL;
    unsigned char *body = NULL;
    struct vi_group *group;

    if (lane == NULL)
        return NULL;
    if (!is_too_long(e, lane->peer, length) &&
        vista_set_range(tx, slot, VI_SLOT_HEADER + (length <= VI_BODY_INLINE ? length : 0)) == 0 &&
        (length <= VI_BODY_INLINE || (body = vista_malloc(tx, length)) != NULL) &&
        (group = vi_owning_group(e, tx)) != NULL &&
        (act == 0 || slot->body == NULL || vista_free(tx, slot->body) == 0)) {
        vi_owning_add(group, lane, act);
        vi_staging_unqueue(lane);
        lane->body = body;
        return lane;
    }
    if (body != NULL)
        vista_free(tx, body);
    return NULL;
}

static void put_message(struct vi_lane *lane, const void *message, size_t length)
{
    lane->stored->body = lane->body;
    lane->stored->length = (uint32_t)length;
    if (length > 0)
        memcpy(lane->body != NULL ? lane->body : lane->stored->inlined, message, length);
}

/* ---- Requests ---------------------------------------------------------------- */

/* A free lane of the peer; with the lock. */
static struct vi_lane *find_lane(vista_endpoint *e, vista_tx *tx, uint32_t id)
{
    struct vi_peer *peer = vi_endpoint_peer(e, id, false);
    struct vi_lane *lane;

    if (peer == NULL)
        return NULL;
    if (peer->owner != NULL && peer->owner != vi_owning_find(e, tx))
        return vi_fail(EAGAIN, "%s: another open transaction uses peer %u", e->address, id), NULL;
    if (peer->role != VI_ROLE_CLIENT || peer->row->state != VI_ROW_ACTIVE || peer->owner != NULL)
        return vi_fail(EINVAL, "%s: peer %u takes no requests", e->address, id), NULL;
    lane = vi_endpoint_free_lane(peer);
    if (lane == NULL)
        return vi_fail(EAGAIN, "%s: all slots of peer %u are in use", e->address, id), NULL;
    return lane;
}

int vista_send_request(vista_tx *tx, vista_endpoint *endpoint, uint32_t peer, const void *message,
                       size_t length, unsigned flags, vista_request *request)
{
    vista_endpoint *e = vi_request_check(tx, endpoint,
                                         request != NULL && !(flags & ~VISTA_ONE_WAY) &&
                                             (message != NULL || length == 0));
    struct vi_lane *lane;
    struct vi_gram_slot *slot;

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    lane = own(e, tx, find_lane(e, tx, peer), length, VI_ACT_SEND);
    vi_endpoint_unlock(e);
    if (lane == NULL)
        return -1;
    slot = lane->stored;
    slot->generation++;
    slot->flags = flags & VISTA_ONE_WAY ? VI_SLOT_ONE_WAY : 0;
    slot->state = flags & VISTA_ONE_WAY ? VI_SLOT_CANCELLED : VI_SLOT_SENT;
    put_message(lane, message, length);
    slot->request_hash = vi_hash_message(slot->flags, message, length);
    vi_slot_seal(slot);
    *request = request_of(lane);
    return 0;
}

/* ---- Receiving --------------------------------------------------------------- */

/* Rule 3, tested once more when a transaction takes the lane. */
static bool may_execute(const struct vi_lane *lane)
{
    const struct vi_gram_slot *slot = lane->stored;

    return lane->staged->generation == slot->generation + 1 &&
           slot->state == (slot->generation == 0 ? VI_SLOT_IDLE : VI_SLOT_ANSWERED) &&
           lane->staged->history == slot->history;
}

static void store_answered(struct vi_lane *lane, const void *message, size_t length)
{
    struct vi_gram_slot *slot = lane->stored;

    put_message(lane, message, length);
    slot->state = VI_SLOT_ANSWERED;
    slot->history =
        vi_hash_history(slot->history, slot->request_hash, vi_hash_message(0, message, length));
    vi_slot_seal(slot);
}

/* What the lane, which is the transaction's, has staged becomes received. */
static void accept_request(struct vi_lane *lane)
{
    struct vi_gram_slot *slot = lane->stored;
    const struct vi_message *staged = lane->staged;

    slot->generation = staged->generation;
    slot->request_hash = staged->hash;
    slot->flags = staged->flags;
    slot->state = VI_SLOT_RECEIVED;
    slot->length = 0;
    slot->body = NULL;
    if (staged->flags & VI_SLOT_ONE_WAY)
        store_answered(lane, NULL, 0);
    else
        vi_slot_seal(slot);
}

/* The same of a response. */
static void take_response(struct vi_lane *lane)
{
    struct vi_gram_slot *slot = lane->stored;

    slot->history = vi_hash_history(slot->history, slot->request_hash, lane->staged->hash);
    slot->state = VI_SLOT_IDLE;
    slot->length = 0;
    slot->body = NULL;
    vi_slot_seal(slot);
}

/* The lane of a request as its sender or receiver names it; with the lock. */
static struct vi_lane *lane_of(vista_endpoint *e, const vista_request *request, unsigned role)
{
    struct vi_peer *peer = vi_endpoint_peer(e, request->peer, false);

    if (peer == NULL)
        return NULL;
    if (peer->role != role || peer->session != request->session || request->slot >= peer->slots)
        return vi_fail(EINVAL, "%s: there is no such request", e->address), NULL;
    if (peer->owner != NULL && peer->owner == peer->lane[request->slot].owner)
        return vi_fail(EBUSY, "%s: peer %u is being forgotten", e->address, request->peer), NULL;
    return &peer->lane[request->slot];
}

static int no_such(const vista_endpoint *e, const vista_request *request, const char *what)
{
    return vi_fail(EINVAL, "%s: request %llu in slot %u of peer %u %s", e->address,
                   (unsigned long long)request->generation, request->slot, request->peer, what);
}

/* The lane of a request that is in this state, no other transaction's; with the lock. */
static struct vi_lane *usable(vista_endpoint *e, vista_tx *tx, const vista_request *request,
                              unsigned role, uint32_t state)
{
    struct vi_lane *lane = lane_of(e, request, role);

    if (lane == NULL)
        return NULL;
    if (lane->owner != NULL && lane->owner != vi_owning_find(e, tx))
        return vi_fail(EBUSY, "%s: another open transaction uses the request", e->address), NULL;
    if (lane->stored->generation != request->generation || lane->stored->state != state)
        return no_such(e, request, "does not wait for an answer"), NULL;
    return lane;
}

int vista_send_response(vista_tx *tx, vista_endpoint *endpoint, const vista_request *request,
                        const void *message, size_t length)
{
    vista_endpoint *e =
        vi_request_check(tx, endpoint, request != NULL && (message != NULL || length == 0));
    struct vi_lane *lane;

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    lane = usable(e, tx, request, VI_ROLE_SERVER, VI_SLOT_RECEIVED);
    lane = own(e, tx, lane, length, VI_ACT_SEND);
    vi_endpoint_unlock(e);
    if (lane == NULL)
        return -1;
    store_answered(lane, message, length);
    return 0;
}

/* ---- Waiting for either ------------------------------------------------------ */

/* 1: *lane has a request that can be executed; 0: not yet. */
static int find_request(vista_endpoint *e, struct vi_lane **lane)
{
    while ((*lane = TAILQ_FIRST(&e->requests)) != NULL && !may_execute(*lane))
        vi_staging_drop(e, *lane);
    return *lane != NULL;
}

/* 1: *lane has a response that can be taken; 0: not yet; -1: it never will. */
static int find_response(vista_endpoint *e, vista_tx *tx, const vista_request *request,
                         struct vi_lane **lane)
{
    const struct vi_gram_slot *slot;

    *lane = TAILQ_FIRST(&e->responses);
    if (request->session == 0)
        return *lane != NULL;
    *lane = lane_of(e, request, VI_ROLE_CLIENT);
    if (*lane == NULL)
        return -1;
    slot = (*lane)->stored;
    if ((*lane)->owner != NULL && (*lane)->owner == vi_owning_find(e, tx))
        return (*lane)->acts & VI_ACT_SEND
                   ? vi_fail(EDEADLK, "%s: the request leaves only when this transaction commits",
                             e->address)
                   : no_such(e, request, "was dealt with in this transaction");
    if ((*lane)->owner != NULL && ((*lane)->acts & VI_ACT_SEND) == 0)
        return vi_fail(EBUSY, "%s: another open transaction uses the request", e->address);
    if ((*lane)->owner == NULL &&
        (slot->generation != request->generation || slot->state != VI_SLOT_SENT))
        return no_such(e, request, "is not waiting for a response");
    return (*lane)->in != NULL;
}

/* The lane whose message is next, and fits; with the lock. */
static struct vi_lane *wait_for(vista_endpoint *e, vista_tx *tx, unsigned role,
                                const vista_request *request, size_t size, int ms)
{
    struct vi_lane *lane = NULL;
    struct vi_wait wait;
    int found = 0, result = 0;

    vi_wait_begin(e, &wait, ms);
    while (result == 0) {
        found =
            role == VI_ROLE_SERVER ? find_request(e, &lane) : find_response(e, tx, request, &lane);
        if (found != 0)
            break;
        if (lane != NULL)
            lane->awaited++;
        result = vi_wait_once(e, &wait, UINT64_MAX);
        if (lane != NULL)
            lane->awaited--;
    }
    vi_wait_end(e);
    if (found != 1 || lane->staged->length <= size)
        return found == 1 ? lane : NULL;
    return vi_fail(EMSGSIZE, "%s: a message of %u bytes waits, and there is room for %zu",
                   e->address, lane->staged->length, size),
           NULL;
}

struct vi_lane *vi_request_receive(vista_tx *tx, vista_endpoint *e, unsigned role, size_t size,
                                   vista_request *request, int ms)
{
    unsigned acts = VI_ACT_RECEIVE;
    struct vi_lane *lane;

    vi_endpoint_lock(e);
    lane = wait_for(e, tx, role, request, size, ms);
    if (lane != NULL && role == VI_ROLE_SERVER && lane->staged->flags & VI_SLOT_ONE_WAY)
        acts |= VI_ACT_SEND;
    lane = own(e, tx, lane, 0, acts);
    vi_endpoint_unlock(e);
    if (lane == NULL)
        return NULL;
    if (role == VI_ROLE_SERVER)
        accept_request(lane);
    else
        take_response(lane);
    *request = request_of(lane);
    return lane;
}

static ssize_t receive(vista_tx *tx, vista_endpoint *endpoint, unsigned role,
                       vista_request *request, void *message, size_t size, int ms)
{
    vista_endpoint *e =
        vi_request_check(tx, endpoint, request != NULL && (message != NULL || size == 0));
    const struct vi_lane *lane =
        e != NULL ? vi_request_receive(tx, e, role, size, request, ms) : NULL;

    if (lane == NULL)
        return -1;
    if (message != NULL)
        memcpy(message, lane->staged->data, lane->staged->length);
    return (ssize_t)lane->staged->length;
}

ssize_t vista_receive_request(vista_tx *tx, vista_endpoint *endpoint, void *message, size_t size,
                              vista_request *request, int ms)
{
    return receive(tx, endpoint, VI_ROLE_SERVER, request, message, size, ms);
}

ssize_t vista_receive_response(vista_tx *tx, vista_endpoint *endpoint, vista_request *request,
                               void *message, size_t size, int ms)
{
    return receive(tx, endpoint, VI_ROLE_CLIENT, request, message, size, ms);
}

int vi_request_drop(vista_tx *tx, vista_endpoint *e, struct vi_lane *lane)
{
    if (own(e, tx, lane, 0, VI_ACT_RECEIVE) == NULL)
        return -1;
    take_response(lane);
    return 0;
}

/* ---- Cancelling ---------------------------------------------------- */

int vista_cancel_request(vista_tx *tx, vista_endpoint *endpoint, const vista_request *request)
{
    vista_endpoint *e = vi_request_check(tx, endpoint, request != NULL);
    struct vi_lane *lane;

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    lane = usable(e, tx, request, VI_ROLE_CLIENT, VI_SLOT_SENT);
    lane = own(e, tx, lane, 0, 0);
    vi_endpoint_unlock(e);
    if (lane == NULL)
        return -1;
    lane->stored->state = VI_SLOT_CANCELLED;
    vi_slot_seal(lane->stored);
    return 0;
}

/* ---- Forgetting ------------------------------------------------------------- */

/* Does its own end have to remove its row first?  Not if this one gives up what is unanswered. */
static bool is_to_leave(const struct vi_peer *peer)
{
    for (uint32_t i = 0; i < peer->slots; i++)
        if (peer->row->slot[i].state != VI_SLOT_IDLE)
            return false;
    return peer->reason == VI_BROKEN_NOT && peer->role == VI_ROLE_CLIENT &&
           peer->row->state == VI_ROW_ACTIVE;
}

static bool is_used(const struct vi_peer *peer)
{
    bool used = peer->owner != NULL;

    for (uint32_t i = 0; i < peer->slots; i++)
        used = used || peer->lane[i].owner != NULL;
    return used;
}

/* The row goes at once, or when the peer's has gone.  It and all its lanes become the
 * transaction's, so that nothing of them is received, answered or sent until it is known whether
 * they stay; with the lock. */
int vi_request_forget(vista_tx *tx, vista_endpoint *e, struct vi_peer *peer)
{
    if (is_used(peer))
        return vi_fail(EBUSY, "%s: an open transaction uses peer %u", e->address, peer->row->id);
    if (vi_owning_peer(e, tx, peer) != 0 ||
        (is_to_leave(peer) ? vi_row_change(tx, peer->row, VI_ROW_LEAVING, VI_BROKEN_NOT, NULL)
                           : vi_row_remove(tx, e->table, peer->index)) != 0)
        return -1;
    for (uint32_t i = 0; i < peer->slots; i++) {
        vi_owning_add(peer->owner, &peer->lane[i], 0);
        vi_staging_unqueue(&peer->lane[i]);
    }
    return 0;
}

int vista_forget_peer(vista_tx *tx, vista_endpoint *endpoint, uint32_t id)
{
    vista_endpoint *e = vi_request_check(tx, endpoint, true);
    struct vi_peer *peer;
    int result;

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    peer = vi_endpoint_peer(e, id, true);
    result = peer != NULL ? vi_request_forget(tx, e, peer) : -1;
    vi_endpoint_unlock(e);
    return result;
}
