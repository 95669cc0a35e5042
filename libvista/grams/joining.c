/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a message of a transaction of several sites leads to, in the transaction that receives it.
 */
#include "grams/joining.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "grams/agreement.h"
#include "grams/requests.h"

/* Bytes of a record that is away before the one that it hands over. */
#define AWAY (sizeof(struct vi_agreement) + sizeof(struct vi_site) + sizeof(struct vi_saying))

/* It is none of ours where the answer would be too long for the peer, or for this end. */
static void read_message(struct vi_joining *j)
{
    const struct vi_message *staged = j->lane->staged;

    if (staged->length >= sizeof j->says)
        memcpy(&j->says, staged->data, sizeof j->says);
    if (j->says.magic != VI_AGREEMENT_MAGIC || j->e->table->message_max < sizeof j->says ||
        j->lane->peer->row->message_max < sizeof j->says)
        j->says = (struct vi_saying){0};
    j->message = staged->data + sizeof j->says;
    j->length = staged->length - sizeof j->says;
}

/* Half of a gid is the coordinator's: the beginning of its endpoint's UUID. */
static bool is_own(const vista_endpoint *e, const vista_gid *gid)
{
    return memcmp(&gid->part[1], e->table->uuid, sizeof gid->part[1]) == 0;
}

/* ---- Requests --------------------------------------------------------------- */

static int prepare(const struct vi_joining *j, const void *message, size_t length)
{
    const int vote = j->with->prepare != NULL
                         ? j->with->prepare(j->arg, j->tx, &j->says.gid, message, length)
                         : VISTA_VOTE_NO;

    return vote <= VISTA_VOTE_READ_ONLY ? vote : VISTA_VOTE_NO;
}

/* A site of what another hands over: it is asked from here, or is here. */
static int take_site(const struct vi_joining *j, struct vi_agreement *of, struct vi_site *site)
{
    const struct vi_saying *says = (const struct vi_saying *)((char *)of + site->offset);
    const bool is_here = memcmp(site->uuid, j->e->table->uuid, sizeof site->uuid) == 0;
    int vote;

    vi_agreement_name(j->e, site);
    site->state = is_here ? VI_SITE_DONE : VI_SITE_NEW;
    if (is_here && site->flags & VISTA_ONE_PHASE)
        of->local |= VI_LOCAL_ONE_PHASE;
    if (!is_here || site->flags & VISTA_ONE_PHASE)
        return 0;
    vote = prepare(j, says + 1, site->length - sizeof *says);
    of->local |= vote == VISTA_VOTE_YES ? VI_LOCAL_VOTED : 0;
    of->state = vote == VISTA_VOTE_NO ? VI_AGREEMENT_ABORTED : of->state;
    return vote < 0 ? -1 : 0;
}

/* What is handed over is this transaction, and each of its messages asks for a vote on it. */
static bool is_handed_over(const struct vi_joining *j, const struct vi_agreement *told)
{
    struct vi_saying says = {VI_AGREEMENT_MAGIC, 0, j->says.gid};

    if (!vi_agreement_is_sound(told, j->length) || memcmp(&told->says, &says, sizeof says) != 0)
        return false;
    says.kind = VI_SAY_PREPARE;
    for (const struct vi_site *site = told->site; site < told->site + told->count; site++)
        if (site->flags & ~VISTA_ONE_PHASE ||
            memcmp((const char *)told + site->offset, &says, sizeof says) != 0)
            return false;
    return is_own(j->e, &j->says.gid) && vi_agreement_find(j->e, &j->says.gid) == NULL;
}

/* Answered when it is decided; at once where it cannot be read, or there is no room for it. */
static int take_over(struct vi_joining *j, uint32_t *answer)
{
    const struct vi_agreement *told = j->message;
    struct vi_agreement *of;

    *answer = VI_SAY_VOTE + VISTA_VOTE_NO;
    if (!is_handed_over(j, told))
        return 0;
    of = vi_agreement_new(j->tx, j->e, told->size);
    if (of == NULL)
        return errno == ENOMEM || errno == ENOSPC ? 0 : -1;
    memcpy(of, told, told->size);
    of->parent = j->request;
    of->state = VI_AGREEMENT_OPEN;
    of->local = 0;
    for (struct vi_site *site = of->site; site < of->site + of->count; site++)
        if (take_site(j, of, site) != 0)
            return -1;
    vi_agreement_add(j->e, of);
    *answer = 0;
    return vi_agreement_advance(j, of);
}

static bool is_asker(const struct vi_joining *j, const struct vi_site *site)
{
    return memcmp(site->uuid, j->lane->peer->row->uuid, sizeof site->uuid) == 0;
}

/* Nothing is presumed of what another coordinates.  The answer may be lost with its session: so
 * nothing changes here until the asker says COMMIT.  A site that is being told hears it by that. */
static int find_outcome(struct vi_joining *j, uint32_t *answer)
{
    struct vi_agreement *of = vi_agreement_find(j->e, &j->says.gid);

    if (of == NULL)
        *answer = is_own(j->e, &j->says.gid) ? VI_SAY_ABORT : VI_SAY_UNDECIDED;
    else
        *answer = of->state == VI_AGREEMENT_ABORTED     ? VI_SAY_ABORT
                  : of->state == VI_AGREEMENT_COMMITTED ? VI_SAY_COMMIT
                                                        : VI_SAY_UNDECIDED;
    if (of == NULL || *answer == VI_SAY_UNDECIDED)
        return 0;
    for (const struct vi_site *site = of->site; site < of->site + of->count; site++)
        if (site->state == VI_SITE_TOLD && is_asker(j, site))
            *answer = VI_SAY_UNDECIDED;
    return vi_agreement_advance(j, of);
}

/* Who is no site has handed it over. */
static int on_heard(struct vi_joining *j)
{
    struct vi_agreement *of = vi_agreement_find(j->e, &j->says.gid);
    bool is_site = false;

    if (of == NULL || of->state != VI_AGREEMENT_COMMITTED)
        return 0;
    if (vi_agreement_declare(j->tx, of) != 0)
        return -1;
    for (struct vi_site *site = of->site; site < of->site + of->count; site++) {
        if (!is_asker(j, site))
            continue;
        is_site = true;
        if (!(site->flags & VISTA_ONE_PHASE))
            site->state = VI_SITE_DONE;
    }
    if (!is_site)
        of->parent.session = 0;
    return vi_agreement_advance(j, of);
}

/* 0 and no answer: it comes later. */
static int execute(struct vi_joining *j, uint32_t *answer)
{
    int result;

    *answer = VI_SAY_DONE;
    switch (j->says.kind) {
    case VI_SAY_PREPARE:
        result = prepare(j, j->message, j->length);
        *answer = VI_SAY_VOTE + (uint32_t)result;
        return result;
    case VI_SAY_COMMIT:
    case VI_SAY_ABORT:
        if (is_own(j->e, &j->says.gid))
            return j->says.kind == VI_SAY_COMMIT ? on_heard(j) : 0;
        return vi_agreement_tell(j, &j->says.gid, j->says.kind == VI_SAY_COMMIT);
    case VI_SAY_COMMITTED:
    case VI_SAY_ABORTED:
        return j->with->one_phase == NULL
                   ? 0
                   : j->with->one_phase(j->arg, j->tx, &j->says.gid,
                                        j->says.kind == VI_SAY_COMMITTED, j->message, j->length);
    case VI_SAY_HAND_OVER:
        return take_over(j, answer);
    case VI_SAY_INQUIRE:
        return find_outcome(j, answer);
    default:
        return 0;
    }
}

static int on_request(struct vi_joining *j)
{
    struct vi_saying answer = j->says;

    if (j->lane->stored->state != VI_SLOT_RECEIVED) /* one-way: it could not be answered */
        return 0;
    if (execute(j, &answer.kind) < 0)
        return -1;
    if (answer.kind == 0)
        return 0;
    return vista_send_response(j->tx, j->e, &j->request, &answer,
                               answer.magic != 0 ? sizeof answer : 0);
}

/* ---- Responses -------------------------------------------------------------- */

/* Without a free slot the record there stays until this end asks once more, or is told. */
static int say_heard(struct vi_joining *j)
{
    vista_request request = {.peer = j->request.peer};

    return vi_agreement_send(j, &request, &j->says, sizeof j->says) == -1 ? -1 : 0;
}

/* What this end has asked for; of what it has handed over that is a vote.  An inquiry may overtake
 * what is handed over, and then knows nothing of it: unless that can no longer arrive, its abort
 * means nothing. */
static int on_outcome(struct vi_joining *j)
{
    const bool committed = j->says.kind == VI_SAY_COMMIT;
    struct vi_agreement *of = vi_agreement_find(j->e, &j->says.gid);

    if (!committed && j->says.kind != VI_SAY_ABORT)
        return 0;
    if (of == NULL && committed && say_heard(j) != 0)
        return -1;
    if (of == NULL)
        return vi_agreement_tell(j, &j->says.gid, committed);
    if (!(of->site->flags & VI_SITE_IS_AWAY) || of->site->state != VI_SITE_ASKED ||
        (!committed &&
         (j->request.peer == of->site->request.peer || !vi_agreement_is_lost(j->e, of->site))))
        return 0;
    if (vi_agreement_declare(j->tx, of) != 0)
        return -1;
    vi_agreement_vote(of, of->site, committed ? VISTA_VOTE_YES : VISTA_VOTE_NO);
    return vi_agreement_advance(j, of);
}

static int on_response(struct vi_joining *j)
{
    struct vi_agreement *of;
    struct vi_site *site = vi_agreement_asked(j->e, &j->request, &of);
    const uint32_t vote = j->says.kind - VI_SAY_VOTE;

    if (site == NULL)
        return on_outcome(j);
    if (vi_agreement_declare(j->tx, of) != 0)
        return -1;
    if (site->state == VI_SITE_TOLD)
        site->state = VI_SITE_DONE;
    else
        vi_agreement_vote(of, site, vote <= VISTA_VOTE_READ_ONLY ? vote : VISTA_VOTE_NO);
    return vi_agreement_advance(j, of);
}

static int on_message(struct vi_joining *j)
{
    read_message(j);
    return j->lane->peer->role == VI_ROLE_SERVER ? on_request(j) : on_response(j);
}

static int advance_all(struct vi_joining *j)
{
    for (struct vi_agreement *of = j->e->table->agreements, *next; of != NULL; of = next) {
        next = of->next;
        if (vi_agreement_advance(j, of) != 0)
            return -1;
    }
    return 0;
}

int vista_join(vista_tx *tx, vista_endpoint *endpoint, const struct vista_participant *with,
               void *arg)
{
    struct vi_joining j = {.tx = tx, .with = with, .arg = arg};
    int result;

    j.e = vi_request_check(tx, endpoint, with != NULL);
    if (j.e == NULL)
        return -1;
    j.lane = vi_request_receive(tx, j.e, VI_ROLE_SERVER, SIZE_MAX, &j.request, 0);
    if (j.lane == NULL && errno == EAGAIN)
        j.lane = vi_request_receive(tx, j.e, VI_ROLE_CLIENT, SIZE_MAX, &j.request, 0);
    if (j.lane == NULL && errno != EAGAIN)
        return -1;
    result = j.lane != NULL ? on_message(&j) : advance_all(&j);
    if (result < 0 && errno == EAGAIN) /* of a callback; to the caller it is that nothing is due */
        return vi_fail(EBUSY, "%s: a callback has failed with EAGAIN", j.e->address);
    if (j.lane == NULL && result == 0 && !j.done)
        return vi_fail(EAGAIN, "%s: nothing is there yet", j.e->address);
    return result < 0 ? -1 : 0;
}

/* ---- Coordinating ----------------------------------------------------------- */

static size_t padded(size_t length)
{
    return (sizeof(struct vi_saying) + length + 7) & ~(size_t)7;
}

/* Of the record; 0: all is said. */
static size_t size_of(const struct vista_site *sites, int count)
{
    size_t size = sizeof(struct vi_agreement) + (size_t)count * sizeof(struct vi_site);

    for (int i = 0; i < count; i++) {
        if (sites[i].flags & ~VISTA_ONE_PHASE || (sites[i].message == NULL && sites[i].length > 0))
            return vi_fail(EINVAL, "vista_coordinate: site %d: unknown flags, or no message", i), 0;
        if (sites[i].length > VISTA_MESSAGE_MAX || size > UINT32_MAX - padded(sites[i].length))
            return vi_fail(EMSGSIZE, "vista_coordinate: the messages are too long"), 0;
        size += padded(sites[i].length);
    }
    return size;
}

/* EINVAL: there is no such peer, or no server of ours. */
static int copy_uuid(vista_endpoint *e, uint32_t id, void *uuid, size_t length)
{
    const struct vi_peer *peer;

    vi_endpoint_lock(e);
    peer = vi_endpoint_peer(e, id, true);
    if (peer != NULL && peer->role != VI_ROLE_CLIENT)
        peer = NULL;
    if (peer != NULL)
        memcpy(uuid, peer->uuid, length);
    vi_endpoint_unlock(e);
    return peer != NULL ? 0 : vi_fail(EINVAL, "%s: %u is no peer to send to", e->address, id);
}

/* Where the record's next message begins: sites are filled in order. */
static int fill_site(vista_endpoint *e, struct vi_agreement *of, uint32_t *offset,
                     const struct vista_site *from, uint32_t kind)
{
    struct vi_site *site = &of->site[of->count++];
    struct vi_saying *says = (struct vi_saying *)((char *)of + *offset);

    if (copy_uuid(e, from->peer, site->uuid, sizeof site->uuid) != 0)
        return -1;
    site->request.peer = from->peer;
    site->flags = from->flags;
    site->offset = *offset;
    site->length = (uint32_t)(sizeof *says + from->length);
    *says = of->says;
    says->kind = kind;
    if (from->message != NULL)
        memcpy(says + 1, from->message, from->length);
    *offset += (uint32_t)padded(from->length);
    return 0;
}

/* The head of a record of so many sites; where their messages go. */
static uint32_t begin_record(struct vi_agreement *of, const vista_gid *gid, size_t size, int count)
{
    of->says = (struct vi_saying){VI_AGREEMENT_MAGIC, 0, *gid};
    of->size = (uint32_t)size;
    return (uint32_t)(sizeof *of + (size_t)count * sizeof of->site[0]);
}

/* With `via` the record has that one site, whose message is the record of all others. */
static int fill(vista_endpoint *e, struct vi_agreement *of, const vista_gid *gid, size_t size,
                const struct vista_site *sites, int count, uint32_t via)
{
    const struct vista_site away = {.peer = via, .flags = VI_SITE_IS_AWAY, .length = size};
    uint32_t offset = begin_record(of, gid, size + (via != 0 ? AWAY : 0), via != 0 ? 1 : count);

    if (via != 0) {
        if (fill_site(e, of, &offset, &away, VI_SAY_HAND_OVER) != 0)
            return -1;
        of = (struct vi_agreement *)((char *)of + AWAY);
        offset = begin_record(of, gid, size, count);
    }
    for (int i = 0; i < count; i++)
        if (fill_site(e, of, &offset, &sites[i], VI_SAY_PREPARE) != 0)
            return -1;
    return 0;
}

static int make_gid(vista_endpoint *e, uint32_t via, vista_gid *gid)
{
    e->socket->transport->random(e->socket, &gid->part[0], sizeof gid->part[0]);
    memcpy(&gid->part[1], e->table->uuid, sizeof gid->part[1]);
    return via != 0 ? copy_uuid(e, via, &gid->part[1], sizeof gid->part[1]) : 0;
}

int vista_coordinate(vista_tx *tx, vista_endpoint *endpoint, vista_gid *gid,
                     const struct vista_site *sites, int count, uint32_t via)
{
    vista_endpoint *e = vi_request_check(
        tx, endpoint, gid != NULL && sites != NULL && count > 0 && (unsigned)count <= VI_SITES_MAX);
    const size_t size = e != NULL && gid != NULL && sites != NULL ? size_of(sites, count) : 0;
    struct vi_agreement *of = size > 0 ? vi_agreement_new(tx, e, size + AWAY) : NULL;

    if (of == NULL)
        return -1;
    if (make_gid(e, via, gid) != 0 || fill(e, of, gid, size, sites, count, via) != 0) {
        vista_free(tx, of);
        return -1;
    }
    of->local = VI_LOCAL_VOTED;
    vi_agreement_add(e, of);
    return vi_agreement_advance(&(struct vi_joining){.tx = tx, .e = e}, of);
}

/* All have heard of the commit but who has handed it over, whom nothing is owed any more. */
static bool is_kept_for_parent(const struct vi_agreement *of)
{
    return of->state == VI_AGREEMENT_COMMITTED && of->local == 0 && of->parent.session != 0 &&
           of->parent.generation == 0 && vi_agreement_is_at(of, VI_SITE_DONE);
}

int vista_withdraw(vista_tx *tx, vista_endpoint *endpoint, const vista_gid *gid)
{
    vista_endpoint *e = vi_request_check(tx, endpoint, gid != NULL);
    struct vi_agreement *of = e != NULL ? vi_agreement_find(e, gid) : NULL;

    if (e == NULL)
        return -1;
    if (of == NULL || of->site->flags & VI_SITE_IS_AWAY)
        return vi_fail(EINVAL, "%s: does not coordinate that", e->address);
    if (of->state != VI_AGREEMENT_OPEN && !is_kept_for_parent(of))
        return vi_fail(EALREADY, "%s: that is decided", e->address);
    if (vi_agreement_declare(tx, of) != 0)
        return -1;
    if (of->state == VI_AGREEMENT_OPEN)
        of->state = VI_AGREEMENT_ABORTED;
    else
        of->parent.session = 0;
    vi_table_seal(of, of->size, &of->crc);
    return 0;
}

int vista_inquire(vista_tx *tx, vista_endpoint *endpoint, uint32_t peer, const vista_gid *gid)
{
    struct vi_saying says = {VI_AGREEMENT_MAGIC, VI_SAY_INQUIRE, {{0}}};
    vista_request request;

    if (gid == NULL)
        return vi_fail(EINVAL, "vista_inquire: no gid");
    says.gid = *gid;
    return vista_send_request(tx, endpoint, peer, &says, sizeof says, 0, &request);
}
