/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/handshake.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "grams/hash.h"
#include "grams/outgoing.h"
#include "grams/staging.h"
#include "grams/tasks.h"
#include "grams/waiting.h"

#define COOKIE_LIFE ((uint64_t)64 * 1000 * 1000 * 1000) /* a cookie is good for one to two */
#define HELLO_FIRST ((uint64_t)20 * 1000 * 1000)        /* to its first repetition */
#define HELLO_LAST ((uint64_t)1000 * 1000 * 1000)

/* ---- The server's side --------------------------------------------------- */

/* What this time's epoch, or one `ago`, gives this client at this address; never 0. */
static uint64_t cookie_of(vista_endpoint *e, const struct vi_address *from,
                          const unsigned char uuid[16], unsigned ago)
{
    const uint64_t epoch = vi_endpoint_now(e) / COOKIE_LIFE - ago;
    unsigned char text[VI_ADDRESS_LENGTH + 16 + sizeof epoch] = {0};

    vi_address_print(from, (char *)text);
    memcpy(text + VI_ADDRESS_LENGTH, uuid, 16);
    memcpy(text + VI_ADDRESS_LENGTH + 16, &epoch, sizeof epoch);
    return vi_hash_sip(e->cookie_key, text, sizeof text) | 1;
}

static bool is_cookie_good(vista_endpoint *e, const struct vi_address *from,
                           const struct vi_hello *hello)
{
    return hello->cookie == cookie_of(e, from, hello->uuid, 0) ||
           hello->cookie == cookie_of(e, from, hello->uuid, 1);
}

/* HELLO, CHALLENGE or WELCOME: what this end says of itself.  None is longer than what it answers. */
static void say(vista_endpoint *e, const struct vi_address *to, unsigned kind, uint64_t attempt,
                uint64_t session, uint64_t cookie)
{
    const struct vi_header header = {.kind = (uint8_t)kind, .generation = attempt};
    struct {
        struct vi_hello hello;
        unsigned char zero[VI_HELLO_LENGTH - sizeof header - sizeof(struct vi_hello)];
    } padded = {.hello = {.cookie = cookie,
                          .session = session,
                          .message_max = e->table->message_max,
                          .slots = e->table->slots,
                          .class = e->class}};

    memcpy(padded.hello.uuid, e->table->uuid, sizeof padded.hello.uuid);
    vi_out_datagram(e, to, &header, &padded, sizeof padded);
}

static void refuse(vista_endpoint *e, const struct vi_task *task, uint32_t reason)
{
    const struct vi_header hello = {.generation = task->attempt};

    vi_out_reply(e, &task->address, VI_BROKEN, &hello, reason);
}

/* Has any of its requests been executed? */
static bool is_used(const struct vi_peer *peer)
{
    for (uint32_t i = 0; i < peer->row->slots; i++)
        if (peer->row->slot[i].generation != 0 || peer->lane[i].owner != NULL)
            return true;
    return false;
}

/* Why a client is refused that says this session, or 0, and has this row, or NULL: one that has
 * forgotten an unused one may have it again. */
static uint32_t refusal_of(const struct vi_peer *peer, uint64_t session)
{
    if (peer == NULL || (peer->reason == VI_BROKEN_NOT && session != 0))
        return session != (peer != NULL ? peer->session : 0) ? VI_BROKEN_UNKNOWN : VI_BROKEN_NOT;
    return peer->reason != VI_BROKEN_NOT || is_used(peer) ? VI_BROKEN_USED : VI_BROKEN_NOT;
}

/* A row is to be made, or another address to be stored. */
static struct vi_task row_task(uint32_t role, uint64_t attempt, const struct vi_hello *hello,
                               const struct vi_address *address)
{
    return (struct vi_task){VI_TASK_ROW, 0, 0, 0, role, attempt, *hello, *address};
}

static void on_hello(vista_endpoint *e, const struct vi_address *from,
                     const struct vi_header *header, const struct vi_hello *hello)
{
    struct vi_task task = row_task(VI_ROLE_SERVER, header->generation, hello, from);
    struct vi_peer *peer;
    uint32_t reason;

    if (!is_cookie_good(e, from, hello)) {
        say(e, from, VI_CHALLENGE, header->generation, 0, cookie_of(e, from, hello->uuid, 0));
        return;
    }
    peer = vi_endpoint_uuid(e, hello->uuid, VI_ROLE_SERVER);
    if (peer != NULL && peer->owner != NULL) /* it says so again, when that has ended */
        return;
    reason = refusal_of(peer, hello->session);
    if (reason != VI_BROKEN_NOT) {
        refuse(e, &task, reason);
        return;
    }
    for (uint32_t i = 0; peer != NULL && hello->session == 0 && i < peer->slots; i++)
        vi_staging_drop(e, &peer->lane[i]);
    do
        e->socket->transport->random(e->socket, &task.hello.session, sizeof task.hello.session);
    while (task.hello.session == 0 || vi_endpoint_session(e, task.hello.session) != NULL);
    vi_tasks_add(e, &task);
}

void vi_handshake_elsewhere(vista_endpoint *e, const struct vi_peer *peer,
                            const struct vi_address *from, const struct vi_header *asked)
{
    struct vi_header header = *asked;

    header.history = cookie_of(e, from, peer->uuid, 0);
    vi_out_reply(e, from, VI_ELSEWHERE, &header, 0);
}

void vi_handshake_bye(vista_endpoint *e, struct vi_peer *peer)
{
    for (uint32_t i = 0; i < peer->slots; i++) {
        if (peer->lane[i].owner != NULL)
            return;
        if (peer->row->slot[i].state == VI_SLOT_RECEIVED || peer->lane[i].staged != NULL) {
            vi_out_control(e, &peer->lane[i], VI_STALE);
            return; /* the client knows of no request, so one of the two was restored */
        }
    }
    vi_tasks_note(e, VI_TASK_REMOVE, peer, 0);
}

void vi_handshake_removed(vista_endpoint *e, struct vi_peer *peer)
{
    const struct vi_header bye = {.session = peer->session};

    if (peer->role == VI_ROLE_SERVER)
        vi_out_reply(e, &peer->address, VI_BROKEN, &bye, VI_BROKEN_UNKNOWN);
}

/* ---- The client's side --------------------------------------------------- */

static struct vi_attempt *attempt_of(vista_endpoint *e, uint64_t number)
{
    struct vi_attempt *attempt = LIST_FIRST(&e->attempts);

    while (attempt != NULL && attempt->number != number)
        attempt = LIST_NEXT(attempt, link);
    return attempt;
}

static void fail_attempt(struct vi_attempt *attempt, int error, const char *why)
{
    attempt->state = VI_REFUSED;
    attempt->error = error;
    attempt->why = why;
}

void vi_handshake_version(vista_endpoint *e, uint64_t number)
{
    struct vi_attempt *attempt = attempt_of(e, number);

    if (attempt != NULL && attempt->state == VI_ASKING)
        fail_attempt(attempt, ENOTSUP, "it speaks another version");
}

/* Does it fail, as its session with that peer, or NULL, has ended? */
static bool is_over(struct vi_attempt *attempt, const struct vi_peer *peer)
{
    if (peer == NULL || (peer->reason == VI_BROKEN_NOT && peer->row->state != VI_ROW_LEAVING))
        return false;
    fail_attempt(attempt, ESTALE,
                 peer->reason != VI_BROKEN_NOT ? vi_broken_reason(peer->reason)
                                               : "this end is forgetting it");
    return true;
}

static void on_challenge(vista_endpoint *e, struct vi_attempt *attempt, const struct vi_hello *told)
{
    struct vi_peer *peer = vi_endpoint_uuid(e, told->uuid, VI_ROLE_CLIENT);

    /* Once more where the server has other cookies since a restart. */
    if (attempt->state > VI_CHALLENGED || is_over(attempt, peer))
        return;
    if (attempt->flags & VISTA_POWER_SAFE && !(told->class & VISTA_POWER_SAFE)) {
        fail_attempt(attempt, ENOTSUP, "its segment is not power-safe");
        return;
    }
    memcpy(attempt->uuid, told->uuid, sizeof attempt->uuid);
    attempt->cookie = told->cookie;
    attempt->session = peer != NULL ? peer->row->session : 0;
    attempt->state = VI_CHALLENGED;
}

static void on_welcome(vista_endpoint *e, struct vi_attempt *attempt, const struct vi_hello *told)
{
    struct vi_task task = row_task(VI_ROLE_CLIENT, attempt->number, told, &attempt->address);
    struct vi_peer *peer = vi_endpoint_uuid(e, told->uuid, VI_ROLE_CLIENT);

    if (attempt->state != VI_CHALLENGED ||
        memcmp(told->uuid, attempt->uuid, sizeof told->uuid) != 0 || is_over(attempt, peer))
        return;
    if (peer != NULL && peer->row->session != told->session)
        fail_attempt(attempt, ESTALE, vi_broken_reason(VI_BROKEN_UNKNOWN));
    else if (told->session == 0)
        fail_attempt(attempt, ENOTSUP, "it speaks another version");
    else
        vi_tasks_add(e, &task);
}

static void on_refusal(vista_endpoint *e, struct vi_attempt *attempt, uint32_t reason)
{
    struct vi_peer *peer = vi_endpoint_uuid(e, attempt->uuid, VI_ROLE_CLIENT);

    if (attempt->state != VI_CHALLENGED)
        return;
    fail_attempt(attempt, reason == VI_BROKEN_FULL ? EUSERS : ESTALE, vi_broken_reason(reason));
    if (peer != NULL && reason == VI_BROKEN_UNKNOWN)
        vi_endpoint_break(e, peer, VI_BROKEN_UNKNOWN);
}

void vi_handshake_receive(vista_endpoint *e, const struct vi_address *from,
                          const struct vi_header *header, const unsigned char *payload,
                          size_t length)
{
    const bool asks = header->kind == VI_HELLO;
    struct vi_attempt *attempt = attempt_of(e, header->generation);
    struct vi_hello hello;

    if (header->kind == VI_BROKEN && attempt != NULL) {
        on_refusal(e, attempt, header->offset);
        return;
    }
    if (length < (asks ? VI_HELLO_LENGTH - sizeof *header : sizeof hello) ||
        (!asks && attempt == NULL)) {
        e->counts.dropped++;
        return;
    }
    memcpy(&hello, payload, sizeof hello);
    if (asks)
        on_hello(e, from, header, &hello);
    else if (header->kind == VI_CHALLENGE)
        on_challenge(e, attempt, &hello);
    else if (header->kind == VI_WELCOME)
        on_welcome(e, attempt, &hello);
}

/* ---- What tasks have done -------------------------------------------------- */

/* All that connect there are done at once: the server may have a request soon, and refuses who says
 * hello then as if it knew of none. */
static void end_attempts(vista_endpoint *e, const struct vi_peer *peer)
{
    for (struct vi_attempt *attempt = LIST_FIRST(&e->attempts); attempt != NULL;
         attempt = LIST_NEXT(attempt, link)) {
        if (attempt->state != VI_CHALLENGED ||
            memcmp(attempt->uuid, peer->row->uuid, sizeof attempt->uuid) != 0)
            continue;
        attempt->session = peer->session;
        if (!vi_address_equal(&attempt->address, &peer->address))
            continue;
        attempt->peer = peer->row->id;
        attempt->state = VI_STORED;
    }
}

void vi_handshake_stored(vista_endpoint *e, struct vi_peer *peer)
{
    if (peer->role == VI_ROLE_CLIENT)
        end_attempts(e, peer);
    else if (peer->welcome != 0)
        say(e, &peer->address, VI_WELCOME, peer->welcome, peer->session, 0);
    peer->welcome = 0;
}

void vi_handshake_full(vista_endpoint *e, const struct vi_task *task)
{
    struct vi_attempt *attempt = attempt_of(e, task->attempt);

    if (task->role == VI_ROLE_SERVER)
        refuse(e, task, VI_BROKEN_FULL);
    else if (attempt != NULL)
        fail_attempt(attempt, EUSERS, "this end has no row free");
}

/* ---- vista_connect --------------------------------------------------------- */

void vi_handshake_moved(vista_endpoint *e, const struct vi_peer *peer, uint64_t cookie)
{
    say(e, &peer->address, VI_HELLO, 0, peer->session, cookie);
}

/* Says hello until the row is there.  With the lock, which a wait gives up. */
static int connect_to(vista_endpoint *e, struct vi_attempt *attempt, struct vi_wait *wait,
                      const char *address)
{
    uint64_t pause = HELLO_FIRST, next = 0;
    int state = VI_ASKING;

    for (;;) {
        const uint64_t now = vi_endpoint_now(e);

        if (attempt->state == VI_STORED)
            return 0;
        if (attempt->state == VI_REFUSED)
            return vi_fail(attempt->error, "%s: %s", address, attempt->why);
        if (now >= next || (int)attempt->state != state) {
            state = attempt->state;
            say(e, &attempt->address, VI_HELLO, attempt->number, attempt->session, attempt->cookie);
            next = now + pause;
            pause = pause < HELLO_LAST ? 2 * pause : pause;
        }
        if (vi_wait_once(e, wait, next) != 0)
            return -1;
    }
}

int vista_connect(vista_endpoint *endpoint, const char *address,
                  const struct vista_peer_options *options, uint32_t *peer, int ms)
{
    static const struct vista_peer_options none;
    vista_endpoint *e = vi_endpoint_check(endpoint);
    struct vi_attempt attempt = {.state = VI_ASKING};
    struct vi_wait wait;
    int result;

    if (e == NULL)
        return -1;
    options = options != NULL ? options : &none;
    if (peer == NULL || options->flags & ~VISTA_POWER_SAFE || options->unused != 0 ||
        memcmp(options->reserved, none.reserved, sizeof none.reserved) != 0)
        return vi_fail(EINVAL, "vista_connect: unknown options, or nowhere to put the peer");
    if (vi_address_parse(&attempt.address, address) != 0)
        return -1;
    if (attempt.address.any.sa_family != e->socket->bound.any.sa_family)
        return vi_fail(EINVAL, "%s cannot be reached from %s", address, e->address);
    attempt.flags = options->flags;
    vi_endpoint_lock(e);
    e->socket->transport->random(e->socket, &attempt.number, sizeof attempt.number);
    attempt.number |= 1;
    LIST_INSERT_HEAD(&e->attempts, &attempt, link);
    vi_wait_begin(e, &wait, ms);
    result = connect_to(e, &attempt, &wait, address);
    vi_wait_end(e);
    LIST_REMOVE(&attempt, link);
    *peer = result == 0 ? attempt.peer : 0;
    vi_endpoint_unlock(e);
    return result;
}
