/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Requests and responses, sent and received inside transactions: the public calls.
 */
#ifndef VI_GRAMS_REQUESTS_H
#define VI_GRAMS_REQUESTS_H

#include "grams/endpoint.h"

/* What a call needs to begin; `sane`: its other arguments are.  NULL: all is said. */
vista_endpoint *vi_request_check(vista_tx *tx, const vista_endpoint *endpoint, bool sane);

/* Takes a request (as a server) or a response (as a client), as the public calls do, of arguments
 * that are sane, without copying the message: it is the lane's `staged`, as long as the transaction
 * is open. */
struct vi_lane *vi_request_receive(vista_tx *tx, vista_endpoint *e, unsigned role, size_t size,
                                   vista_request *request, int ms);

/* With the lock: drops the response that a lane has staged; removes a peer, as vista_forget_peer
 * does. */
int vi_request_drop(vista_tx *tx, vista_endpoint *e, struct vi_lane *lane);
int vi_request_forget(vista_tx *tx, vista_endpoint *e, struct vi_peer *peer);

#endif
