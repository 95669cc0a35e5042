/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is sent.  All with the endpoint's lock; it leaves at the latest when that is given up.
 */
#ifndef VI_GRAMS_OUTGOING_H
#define VI_GRAMS_OUTGOING_H

#include "grams/endpoint.h"

/* One datagram.  `header` has what the kind needs; life, checksum and tag are added.  A payload of
 * more than VI_HELLO_LENGTH bytes stays until the lock is given up. */
void vi_out_datagram(vista_endpoint *e, const struct vi_address *to, const struct vi_header *header,
                     const void *payload, size_t length);

/* The request or response that the lane stores, from `offset`: all, or as many fragments as are sent
 * without being asked for.  `again`: of a request one alone, upon which the receiver asks for what
 * it lacks. */
void vi_out_message(vista_endpoint *e, struct vi_lane *lane, uint32_t offset, bool again);

/* Asks for the next fragments of a message that arrives. */
void vi_out_pull(vista_endpoint *e, struct vi_lane *lane);

/* PENDING or STALE to the session's address. */
void vi_out_control(vista_endpoint *e, struct vi_lane *lane, unsigned kind);

/* BROKEN, VERSION or ELSEWHERE, to whoever has `asked`; or BYE, of whose header the session alone
 * counts. */
void vi_out_reply(vista_endpoint *e, const struct vi_address *to, unsigned kind,
                  const struct vi_header *asked, uint32_t reason);

void vi_out_flush(vista_endpoint *e);

#endif
