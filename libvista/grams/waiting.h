/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Waiting.  Of the threads that wait one at a time, the leader, receives from the socket, and
 * blocks there; the others wait to be told that something has changed.  Neither can be cancelled
 * there: it would stay the leader, or keep the lock.
 */
#ifndef VI_GRAMS_WAITING_H
#define VI_GRAMS_WAITING_H

#include "grams/endpoint.h"

struct vi_wait {
    uint64_t deadline; /* 0: do not wait; UINT64_MAX: for ever */
    uint64_t wakes;
    bool looked; /* what had arrived before was taken in */
};

/* With the lock. */
void vi_wait_begin(vista_endpoint *e, struct vi_wait *wait, int ms);
void vi_wait_end(vista_endpoint *e);

/*
 * Takes in what arrives, or waits until `until` or for what another thread has taken in.  The lock
 * is given up on the way.  -1: EAGAIN or ETIMEDOUT the time is over, ECANCELED, EINTR.
 */
int vi_wait_once(vista_endpoint *e, struct vi_wait *wait, uint64_t until);

/* The descriptor that a program waits on tells of what is there; only if there is one. */
void vi_wait_tell(vista_endpoint *e);
void vi_wait_close(vista_endpoint *e);

#endif
