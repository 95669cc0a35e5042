/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions of several sites: the coordinator's records.  All without the endpoint's lock: no
 * two open transactions use the records of one endpoint.
 */
#ifndef VI_GRAMS_AGREEMENT_H
#define VI_GRAMS_AGREEMENT_H

#include "grams/endpoint.h"
#include "grams/tables.h"

/* A call: its transaction, what the program does in that, and the message that it has received. */
struct vi_joining {
    vista_tx *tx;
    vista_endpoint *e;
    const struct vista_participant *with; /* NULL: it does nothing, there is only sent */
    void *arg;
    struct vi_lane *lane;
    vista_request request;
    struct vi_saying says; /* zero: it is none of ours */
    const void *message;   /* behind that */
    size_t length;
    bool done; /* something was sent, decided or told */
};

/* NULL: it is not coordinated here. */
struct vi_agreement *vi_agreement_find(const vista_endpoint *e, const vista_gid *gid);

/* The site to which this request went, and whose it is; NULL: of no record. */
struct vi_site *vi_agreement_asked(const vista_endpoint *e, const vista_request *request,
                                   struct vi_agreement **whose);

/* Allocates a record, which is not yet in the list. */
struct vi_agreement *vi_agreement_new(vista_tx *tx, vista_endpoint *e, size_t size);
/* It is in the list. */
void vi_agreement_add(vista_endpoint *e, struct vi_agreement *of);

/* Before its head or its sites change. */
int vi_agreement_declare(vista_tx *tx, struct vi_agreement *of);

/* Is the session with the site's peer broken, or its row gone? */
bool vi_agreement_is_lost(vista_endpoint *e, const struct vi_site *site);

/* Sets the site's peer after its UUID: where it is connected now, or 0. */
void vi_agreement_name(vista_endpoint *e, struct vi_site *site);

/* The site, which was asked, has voted; declared. */
void vi_agreement_vote(struct vi_agreement *of, struct vi_site *site, unsigned vote);

/*
 * Decides, if that can be done, sends what is due, tells this end's program and whoever has handed
 * it over, and removes the record when all is done.  Declares and seals.
 */
int vi_agreement_advance(struct vi_joining *j, struct vi_agreement *of);

/* Sends to the request's peer.  1: *request is that; 0: it has no free slot; -2: it never can; -1:
 * anything else, as errno says. */
int vi_agreement_send(struct vi_joining *j, vista_request *request, const void *says,
                      size_t length);

/* Is each site DONE, so that all know the outcome?  READY: or has each that has a vote given it? */
bool vi_agreement_is_at(const struct vi_agreement *of, uint32_t state);

/* Commit or abort: the program's callback. */
int vi_agreement_tell(const struct vi_joining *j, const vista_gid *gid, bool committed);

#endif
