/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How two ends come to know each other, and part.  A client's HELLO is answered with a cookie that
 * only its address could have got; with that the server commits a row and WELCOMEs it.
 *
 *     HELLO -> <- CHALLENGE    HELLO, cookie -> (a row) <- WELCOME    (a row)
 *
 * All with the endpoint's lock.
 */
#ifndef VI_GRAMS_HANDSHAKE_H
#define VI_GRAMS_HANDSHAKE_H

#include "grams/endpoint.h"

/* HELLO, CHALLENGE, WELCOME, and BROKEN and VERSION where they answer a HELLO. */
void vi_handshake_receive(vista_endpoint *e, const struct vi_address *from,
                          const struct vi_header *header, const unsigned char *payload,
                          size_t length);

/* The other end has answered this attempt with a VERSION of its own. */
void vi_handshake_version(vista_endpoint *e, uint64_t attempt);

/* The server's client may be at `from` now, whence it has `asked` once more: VI_ELSEWHERE, with a
 * cookie that only that address gets.  The client answers it with a HELLO of its session. */
void vi_handshake_elsewhere(vista_endpoint *e, const struct vi_peer *peer,
                            const struct vi_address *from, const struct vi_header *asked);
void vi_handshake_moved(vista_endpoint *e, const struct vi_peer *peer, uint64_t cookie);

/* A client's BYE. */
void vi_handshake_bye(vista_endpoint *e, struct vi_peer *peer);

/* What tasks have done, or could not. */
void vi_handshake_stored(vista_endpoint *e, struct vi_peer *peer);
void vi_handshake_full(vista_endpoint *e, const struct vi_task *task);
void vi_handshake_removed(vista_endpoint *e, struct vi_peer *peer);

#endif
