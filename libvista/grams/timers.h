/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Retransmission, which is the client's: RFC 6298 with a floor of 1 ms and a ceiling of 10 s.
 * After a time-out one request of a peer is a probe, and the rest wait for a sign of life.
 * All with the endpoint's lock.
 */
#ifndef VI_GRAMS_TIMERS_H
#define VI_GRAMS_TIMERS_H

#include "grams/endpoint.h"

/* Before anything is measured. */
#define VI_TIMEOUT_FIRST ((uint64_t)20 * 1000 * 1000)

/* A committed request was sent; or is to be, after a restart, at `due`.  When it is answered, `due`
 * is set to 0. */
void vi_timers_sent(vista_endpoint *e, struct vi_lane *lane);
void vi_timers_restore(vista_endpoint *e, struct vi_lane *lane, uint64_t due);

/* The server works on it: ask again in a second; or something of the answer has come. */
void vi_timers_put_off(vista_endpoint *e, struct vi_lane *lane, uint64_t by);

/* There was no room for this datagram, which is sent again soon if it is a message's and its session
 * is sound: a queue that is full empties as soon as its owner runs. */
void vi_timers_refused(vista_endpoint *e, const struct vi_header *header);

/* The response to a request that was sent once tells the time of a round trip. */
void vi_timers_measure(struct vi_lane *lane, uint64_t now);

/* The peer is alive: what waited for that is sent. */
void vi_timers_alive(vista_endpoint *e, struct vi_peer *peer, uint64_t now);

/* Sends what is due. */
void vi_timers_run(vista_endpoint *e, uint64_t now);

#endif
