/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/incoming.h"

#include <string.h>

#include "grams/handshake.h"
#include "grams/hash.h"
#include "grams/outgoing.h"
#include "grams/staging.h"
#include "grams/tasks.h"
#include "grams/timers.h"

#define REPEAT_NS ((uint64_t)700 * 1000) /* the least time-out less its jitter */
#define PENDING_NS ((uint64_t)1000 * 1000 * 1000)

/* A sound datagram of a known session. */
struct arrival {
    const struct vi_address *from;
    const struct vi_header *header;
    unsigned char *payload;
    size_t length;
    struct vi_peer *peer;
    struct vi_lane *lane;
};

/* Does it name the newest request of a slot that no transaction uses: at its client, one that is
 * not answered? */
static bool is_current(const struct arrival *a)
{
    const struct vi_gram_slot *slot = a->lane->stored;

    return a->lane->owner == NULL && slot->generation == a->header->generation &&
           slot->generation != 0 &&
           (a->peer->role == VI_ROLE_SERVER || slot->state == VI_SLOT_SENT ||
            slot->state == VI_SLOT_CANCELLED);
}

/* ---- Messages, whole or in fragments -------------------------------------------- */

/* The message that the datagram belongs to; NULL: it has no room. */
static struct vi_message *message_of(vista_endpoint *e, const struct arrival *a)
{
    struct vi_message *message = a->lane->partial;

    if (message != NULL && message->generation == a->header->generation &&
        message->length == a->header->length)
        return message;
    vi_staging_drop(e, a->lane); /* nothing is staged: see to it that no one finds what is freed */
    message = a->lane->partial = vi_staging_new(e, a->lane, a->header->length);
    if (message != NULL)
        message->generation = a->header->generation;
    return message;
}

/* Fragments are taken in order.  The last of those that come together asks for the next, or for
 * those behind a gap; so does the first alone, when it comes again.  A last one that was taken before
 * does not: else a datagram that was doubled would double all that follow. */
static bool add_fragment(vista_endpoint *e, const struct arrival *a, struct vi_message *message)
{
    const uint32_t offset = a->header->offset;
    const bool is_next = offset == message->arrived;

    if (is_next) {
        memcpy(message->data + offset, a->payload, a->length);
        message->arrived += (uint32_t)a->length;
    }
    if (message->arrived == message->length)
        return true;
    message->touched = vi_endpoint_now(e);
    if (a->header->flags & VI_WIRE_AGAIN && (is_next || offset == 0 || offset > message->arrived))
        vi_out_pull(e, a->lane);
    return false;
}

/* The whole message, if this datagram is or completes it. */
static struct vi_message *assemble(vista_endpoint *e, const struct arrival *a)
{
    struct vi_message *message = message_of(e, a);

    if (message == NULL || !add_fragment(e, a, message))
        return NULL;
    a->lane->partial = NULL;
    message->history = a->header->history;
    message->flags = a->header->flags & VI_WIRE_ONE_WAY ? VI_SLOT_ONE_WAY : 0;
    message->hash = vi_hash_message(message->flags, message->data, message->length);
    return message;
}

/* ---- The server's side ------------------------------------------------------- */

/* Once a time-out; else the many that loss brings would bring as many answers. */
static bool may_tell(vista_endpoint *e, struct vi_lane *lane)
{
    const uint64_t now = vi_endpoint_now(e);

    if (lane->sent != 0 && now - lane->sent < REPEAT_NS)
        return false;
    lane->sent = now;
    return true;
}

/* The slot's newest request has come again, whole or its first fragment. */
static void on_repetition(vista_endpoint *e, const struct arrival *a)
{
    const struct vi_gram_slot *slot = a->lane->stored;
    const uint64_t seed = a->header->flags & VI_WIRE_ONE_WAY ? VI_SLOT_ONE_WAY : 0;

    e->counts.repeated++;
    if (a->length == a->header->length &&
        vi_hash_message(seed, a->payload, a->length) != slot->request_hash) {
        vi_endpoint_break(e, a->peer, VI_BROKEN_REQUEST);
        return;
    }
    if (!may_tell(e, a->lane))
        return;
    if (slot->state == VI_SLOT_ANSWERED)
        vi_out_message(e, a->lane, 0, true);
    else
        vi_out_control(e, a->lane, VI_PENDING);
}

static void on_new_request(vista_endpoint *e, const struct arrival *a)
{
    struct vi_lane *lane = a->lane;

    if (lane->stored->state == VI_SLOT_RECEIVED)
        vi_endpoint_break(e, a->peer, VI_BROKEN_AHEAD);
    else if (lane->stored->history != a->header->history)
        vi_endpoint_break(e, a->peer, VI_BROKEN_HISTORY);
    else if (lane->staged == NULL && (lane->staged = assemble(e, a)) != NULL)
        vi_staging_queue(e, lane, false);
}

static void on_request(vista_endpoint *e, const struct arrival *a)
{
    const uint64_t generation = a->header->generation, newest = a->lane->stored->generation;

    if (a->lane->owner != NULL || generation == 0)
        return;
    if (generation == newest + 1)
        on_new_request(e, a);
    else if (generation == newest)
        on_repetition(e, a);
    else if (generation > newest)
        vi_endpoint_break(e, a->peer, VI_BROKEN_AHEAD);
    else if (may_tell(e, a->lane))
        vi_out_control(e, a->lane, VI_STALE);
}

/* ---- The client's side ------------------------------------------------------- */

static bool is_history_shared(const struct vi_gram_slot *slot, const struct vi_message *response)
{
    return vi_hash_history(slot->history, slot->request_hash, response->hash) == response->history;
}

static void on_response(vista_endpoint *e, const struct arrival *a)
{
    struct vi_lane *lane = a->lane;
    struct vi_message *message;

    if (!is_current(a) || lane->staged != NULL)
        return;
    vi_timers_measure(lane, vi_endpoint_now(e));
    message = assemble(e, a);
    if (message == NULL) {
        vi_timers_put_off(e, lane, 0);
        return;
    }
    if (!is_history_shared(lane->stored, message)) {
        vi_staging_free(e, message);
        vi_endpoint_break(e, a->peer, VI_BROKEN_HISTORY);
        return;
    }
    lane->staged = message;
    lane->due = 0;
    vi_staging_queue(e, lane, false);
}

static void on_stale(vista_endpoint *e, const struct arrival *a)
{
    if (a->peer->row->state == VI_ROW_LEAVING)
        vi_tasks_note(e, VI_TASK_REMOVE, a->peer, 0);
    else if (a->lane->owner == NULL && a->header->generation > a->lane->stored->generation)
        vi_endpoint_break(e, a->peer, VI_BROKEN_BEHIND);
}

/* ---- Either ------------------------------------------------------------------ */

static void on_pull(vista_endpoint *e, const struct arrival *a)
{
    const bool client = a->peer->row->role == VI_ROLE_CLIENT;
    struct vi_lane *lane = a->lane;

    /* Who has the beginning of an answer knows what this end, restored, does not. */
    if (!client && a->header->flags & VI_WIRE_RESPONSE && lane->owner == NULL &&
        a->header->generation + (lane->stored->state == VI_SLOT_RECEIVED) >
            lane->stored->generation)
        vi_endpoint_break(e, a->peer, VI_BROKEN_AHEAD);
    if (!is_current(a) || client != !(a->header->flags & VI_WIRE_RESPONSE) ||
        (!client && lane->stored->state != VI_SLOT_ANSWERED) ||
        a->header->offset >= lane->stored->length)
        return;
    if (client)
        vi_timers_put_off(e, lane, 0);
    vi_out_message(e, lane, a->header->offset, false);
}

/* Believed only if it names a request that is under way, which no stranger knows. */
static void on_broken(vista_endpoint *e, const struct arrival *a)
{
    const uint32_t reason =
        a->header->offset == VI_BROKEN_UNKNOWN ? VI_BROKEN_UNKNOWN : VI_BROKEN_PEER;

    if (a->peer->row->state == VI_ROW_LEAVING)
        on_stale(e, a);
    else if (is_current(a))
        vi_endpoint_break(e, a->peer, reason);
}

/* A client that has moved repeats itself in vain, as the answers go to where it was. */
static bool is_repeated_elsewhere(const struct arrival *a)
{
    return (a->header->flags & VI_WIRE_AGAIN || a->header->kind == VI_PULL) &&
           !vi_address_equal(&a->peer->address, a->from);
}

static void to_server(vista_endpoint *e, const struct arrival *a)
{
    if (is_repeated_elsewhere(a))
        vi_handshake_elsewhere(e, a->peer, a->from, a->header);
    if (a->header->kind == VI_REQUEST)
        on_request(e, a);
    else if (a->header->kind == VI_PULL)
        on_pull(e, a);
    else if (a->header->kind == VI_BYE)
        vi_handshake_bye(e, a->peer);
    else if (a->header->kind == VI_BROKEN)
        on_broken(e, a);
}

static void to_client(vista_endpoint *e, const struct arrival *a)
{
    if (a->header->kind == VI_RESPONSE)
        on_response(e, a);
    else if (a->header->kind == VI_PENDING && is_current(a))
        vi_timers_put_off(e, a->lane, PENDING_NS);
    else if (a->header->kind == VI_ELSEWHERE && is_current(a))
        vi_handshake_moved(e, a->peer, a->header->history);
    else if (a->header->kind == VI_PULL)
        on_pull(e, a);
    else if (a->header->kind == VI_STALE)
        on_stale(e, a);
    else if (a->header->kind == VI_BROKEN)
        on_broken(e, a);
}

/* Of a session; the datagram's numbers are not yet judged. */
static void dispatch(vista_endpoint *e, struct arrival *a)
{
    const struct vi_header *header = a->header;
    const bool asks = header->kind == VI_REQUEST || header->kind == VI_BYE ||
                      (header->kind == VI_PULL && header->flags & VI_WIRE_RESPONSE);

    a->peer = vi_endpoint_session(e, header->session);
    if (a->peer == NULL || a->peer->reason != VI_BROKEN_NOT) {
        if (asks)
            vi_out_reply(e, a->from, VI_BROKEN, header,
                         a->peer == NULL ? VI_BROKEN_UNKNOWN : VI_BROKEN_PEER);
        return;
    }
    if (a->peer->owner != NULL) /* its row is being changed */
        return;
    if (header->slot >= a->peer->row->slots ||
        ((header->kind == VI_REQUEST || header->kind == VI_RESPONSE) &&
         (header->length > e->table->message_max || header->offset > header->length ||
          a->length > header->length - header->offset))) {
        e->counts.dropped++;
        return;
    }
    a->lane = &a->peer->lane[header->slot];
    if (a->peer->row->role == VI_ROLE_SERVER) {
        to_server(e, a);
    } else {
        to_client(e, a);
        if (a->peer->probe != NULL)
            vi_timers_alive(e, a->peer, vi_endpoint_now(e));
    }
}

void vi_incoming_packet(vista_endpoint *e, const struct vi_packet *packet)
{
    struct vi_header header;
    struct arrival a = {.from = &packet->address, .header = &header};
    const enum vi_wire_fault fault = vi_wire_open(packet, e->key, &header, &a.payload, &a.length);

    if (packet->length == 1) /* vista_wake's */
        return;
    e->counts.datagrams_in++;
    e->counts.bytes_in += packet->length;
    if (fault == VI_WIRE_OTHER_VERSION && header.kind != VI_OTHER_VERSION)
        vi_out_reply(e, &packet->address, VI_OTHER_VERSION, &header, 0);
    else if (fault == VI_WIRE_OTHER_VERSION)
        vi_handshake_version(e, header.generation);
    if (fault != VI_WIRE_SOUND || header.kind == 0 || header.kind >= VI_WIRE_KINDS) {
        e->counts.dropped++;
        e->counts.forged += fault == VI_WIRE_FORGED;
        return;
    }
    if (header.kind <= VI_WELCOME || (header.kind == VI_BROKEN && header.session == 0))
        vi_handshake_receive(e, a.from, &header, a.payload, a.length);
    else
        dispatch(e, &a);
}
