/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A site goes through
 *
 *     NEW -- prepare --> ASKED -- yes --> READY -- outcome --> TOLD -- answered --> DONE
 *
 * and is DONE at once when it votes no or read-only, or was never asked when that is no longer
 * needed; one without a vote is told straight from NEW.  Requests of one session arrive in no
 * order, so each waits for the answer to the one before.  A record stays until all sites are DONE,
 * and until whoever has handed it over says COMMIT, too: so nothing that any of them may yet ask
 * about is ever presumed to have been aborted, but what was.
 */
#include "grams/agreement.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "grams/requests.h"

enum { SENT = 1, LATER = 0, NEVER = -2 }; /* -1: as errno says */

/* ---- Records --------------------------------------------------------------- */

struct vi_agreement *vi_agreement_find(const vista_endpoint *e, const vista_gid *gid)
{
    struct vi_agreement *of = e->table->agreements;

    while (of != NULL && memcmp(&of->says.gid, gid, sizeof *gid) != 0)
        of = of->next;
    return of;
}

struct vi_site *vi_agreement_asked(const vista_endpoint *e, const vista_request *request,
                                   struct vi_agreement **whose)
{
    for (struct vi_agreement *of = e->table->agreements; of != NULL; of = of->next)
        for (struct vi_site *site = of->site; site < of->site + of->count; site++)
            if (memcmp(&site->request, request, sizeof *request) == 0) {
                *whose = of;
                return site;
            }
    return NULL;
}

struct vi_agreement *vi_agreement_new(vista_tx *tx, vista_endpoint *e, size_t size)
{
    return vista_set_range(tx, e->table, sizeof *e->table) == 0 ? vista_calloc(tx, 1, size) : NULL;
}

void vi_agreement_add(vista_endpoint *e, struct vi_agreement *of)
{
    of->next = e->table->agreements;
    e->table->agreements = of;
    vi_table_seal(e->table, sizeof *e->table, &e->table->crc);
    vi_table_seal(of, of->size, &of->crc);
}

int vi_agreement_declare(vista_tx *tx, struct vi_agreement *of)
{
    return vista_set_range(tx, of, sizeof *of + of->count * sizeof of->site[0]);
}

static int remove_record(vista_tx *tx, vista_endpoint *e, struct vi_agreement *of)
{
    struct vi_agreement **link = &e->table->agreements, *before = NULL;

    while (*link != of) {
        before = *link;
        link = &before->next;
    }
    if (vista_set_range(tx, e->table, sizeof *e->table) != 0 ||
        (before != NULL && vi_agreement_declare(tx, before) != 0) || vista_free(tx, of) != 0)
        return -1;
    *link = of->next;
    if (before != NULL)
        vi_table_seal(before, before->size, &before->crc);
    vi_table_seal(e->table, sizeof *e->table, &e->table->crc);
    return 0;
}

/* ---- What is sent ---------------------------------------------------------- */

int vi_agreement_send(struct vi_joining *j, vista_request *request, const void *says, size_t length)
{
    if (vista_send_request(j->tx, j->e, request->peer, says, length, 0, request) == 0) {
        j->done = true;
        return SENT;
    }
    if (errno == EAGAIN)
        return LATER;
    return errno == ESTALE || errno == EINVAL || errno == EMSGSIZE ? NEVER : -1;
}

bool vi_agreement_is_lost(vista_endpoint *e, const struct vi_site *site)
{
    bool lost;

    vi_endpoint_lock(e);
    lost = vi_endpoint_peer(e, site->request.peer, false) == NULL;
    vi_endpoint_unlock(e);
    return lost;
}

void vi_agreement_vote(struct vi_agreement *of, struct vi_site *site, unsigned vote)
{
    site->state = vote == VISTA_VOTE_YES ? VI_SITE_READY : VI_SITE_DONE;
    if (vote == VISTA_VOTE_NO && of->state == VI_AGREEMENT_OPEN)
        of->state = VI_AGREEMENT_ABORTED;
}

static int ask(struct vi_joining *j, struct vi_agreement *of, struct vi_site *site)
{
    const int sent = vi_agreement_send(j, &site->request, (char *)of + site->offset, site->length);

    if (sent == SENT)
        site->state = VI_SITE_ASKED;
    else if (sent == NEVER)
        vi_agreement_vote(of, site, VISTA_VOTE_NO);
    return sent;
}

void vi_agreement_name(vista_endpoint *e, struct vi_site *site)
{
    const struct vi_peer *peer;

    vi_endpoint_lock(e);
    peer = vi_endpoint_uuid(e, site->uuid, VI_ROLE_CLIENT);
    site->request = (vista_request){.peer = peer != NULL ? peer->row->id : 0};
    vi_endpoint_unlock(e);
}

/* Who is lost is not told of an abort: it presumes that.  Of a commit it is told in another
 * session, once there is one, or asks. */
static int tell_site(struct vi_joining *j, struct vi_agreement *of, struct vi_site *site)
{
    const bool committed = of->state == VI_AGREEMENT_COMMITTED;
    const bool voted = !(site->flags & VISTA_ONE_PHASE);
    struct vi_saying outcome = of->says, *says = &outcome;
    int sent;

    outcome.kind = committed ? VI_SAY_COMMIT : VI_SAY_ABORT;
    if (voted) {
        vi_agreement_name(j->e, site);
    } else {
        says = (struct vi_saying *)((char *)of + site->offset);
        if (vista_set_range(j->tx, says, sizeof *says) != 0)
            return -1;
        says->kind = committed ? VI_SAY_COMMITTED : VI_SAY_ABORTED;
    }
    sent = vi_agreement_send(j, &site->request, says, voted ? sizeof outcome : site->length);
    if (sent == SENT)
        site->state = VI_SITE_TOLD;
    else if (sent == NEVER && !(voted && committed))
        site->state = VI_SITE_DONE;
    return sent;
}

static int advance_site(struct vi_joining *j, struct vi_agreement *of, struct vi_site *site)
{
    const bool decided = of->state != VI_AGREEMENT_OPEN;

    if (site->state == VI_SITE_NEW && !(site->flags & VISTA_ONE_PHASE)) {
        if (!decided)
            return ask(j, of, site);
        site->state = VI_SITE_DONE;
    } else if (site->state == VI_SITE_ASKED && !(site->flags & VI_SITE_IS_AWAY) &&
               vi_agreement_is_lost(j->e, site)) {
        vi_agreement_vote(of, site, VISTA_VOTE_NO);
        j->done = true;
    } else if (site->state == VI_SITE_TOLD && vi_agreement_is_lost(j->e, site)) {
        site->state = VI_SITE_READY;
    }
    return decided && (site->state == VI_SITE_NEW || site->state == VI_SITE_READY)
               ? tell_site(j, of, site)
               : LATER;
}

/* ---- The outcome ----------------------------------------------------------- */

bool vi_agreement_is_at(const struct vi_agreement *of, uint32_t state)
{
    for (const struct vi_site *site = of->site; site < of->site + of->count; site++)
        if (site->state < state && (state == VI_SITE_DONE || !(site->flags & VISTA_ONE_PHASE)))
            return false;
    return true;
}

int vi_agreement_tell(const struct vi_joining *j, const vista_gid *gid, bool committed)
{
    int (*const call)(void *, vista_tx *, const vista_gid *) =
        committed ? j->with->commit : j->with->abort;

    return call != NULL ? call(j->arg, j->tx, gid) : 0;
}

static int tell_local(const struct vi_joining *j, const struct vi_agreement *of)
{
    const bool committed = of->state == VI_AGREEMENT_COMMITTED;
    const bool to_sites = of->local & VI_LOCAL_ONE_PHASE && j->with->one_phase != NULL;

    for (const struct vi_site *site = of->site; to_sites && site < of->site + of->count; site++) {
        const struct vi_saying *says = (const struct vi_saying *)((const char *)of + site->offset);

        if (site->flags & VISTA_ONE_PHASE &&
            memcmp(site->uuid, j->e->table->uuid, sizeof site->uuid) == 0 &&
            j->with->one_phase(j->arg, j->tx, &of->says.gid, committed, says + 1,
                               site->length - sizeof *says) != 0)
            return -1;
    }
    return of->local & VI_LOCAL_VOTED ? vi_agreement_tell(j, &of->says.gid, committed) : 0;
}

/* The parent's answer: of a broken session it has to ask. */
static int finish(struct vi_joining *j, struct vi_agreement *of)
{
    const bool committed = of->state == VI_AGREEMENT_COMMITTED;
    struct vi_saying outcome = of->says;

    outcome.kind = VI_SAY_VOTE + (committed ? VISTA_VOTE_YES : VISTA_VOTE_NO);
    if (tell_local(j, of) != 0)
        return -1;
    if (of->parent.generation != 0 &&
        vista_send_response(j->tx, j->e, &of->parent, &outcome, sizeof outcome) != 0 &&
        errno != ESTALE && errno != EINVAL)
        return -1;
    j->done = j->done || of->local != 0 || of->parent.generation != 0;
    of->local = 0;
    of->parent.generation = 0;
    of->parent.session = committed ? of->parent.session : 0;
    vi_table_seal(of, of->size, &of->crc);
    if (!vi_agreement_is_at(of, VI_SITE_DONE) || of->parent.session != 0)
        return 0;
    j->done = true;
    return remove_record(j->tx, j->e, of);
}

int vi_agreement_advance(struct vi_joining *j, struct vi_agreement *of)
{
    uint32_t before;

    if (vi_agreement_declare(j->tx, of) != 0)
        return -1;
    do {
        before = of->state;
        for (struct vi_site *site = of->site; site < of->site + of->count; site++)
            if (advance_site(j, of, site) == -1)
                return -1;
        if (of->state == VI_AGREEMENT_OPEN && j->with != NULL &&
            vi_agreement_is_at(of, VI_SITE_READY))
            of->state = VI_AGREEMENT_COMMITTED;
        j->done = j->done || of->state != before;
    } while (of->state != before);
    vi_table_seal(of, of->size, &of->crc);
    return j->with == NULL || of->state == VI_AGREEMENT_OPEN ? 0 : finish(j, of);
}
