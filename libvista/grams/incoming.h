/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What arrives: the rules by which requests and responses are staged, answered again, or found to
 * be of another history.
 */
#ifndef VI_GRAMS_INCOMING_H
#define VI_GRAMS_INCOMING_H

#include "grams/endpoint.h"

/* One datagram as it was received.  With the lock. */
void vi_incoming_packet(vista_endpoint *e, const struct vi_packet *packet);

#endif
