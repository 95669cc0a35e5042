/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A network in memory for two ends of one process: one datagram waits at a time, the clock stands
 * until the test moves it, and random numbers are always the same.
 */
#ifndef VISTA_TEST_GRAMS_MAIL_H
#define VISTA_TEST_GRAMS_MAIL_H

#include "grams/transport.h"

struct gram_mail {
    uint64_t clock;
    int opening;           /* which end the next socket is that of */
    uint32_t datagram_max; /* 0: as the socket has it */
    void (*sent)(int which, const struct vi_packet *packet);
    /* What waits: */
    int to; /* -1: nothing */
    struct vi_address from;
    size_t length;
    unsigned char bytes[2048];
};
extern struct gram_mail gram_mail;

/* Sockets opened from now on are of it. */
void gram_mail_use(void);

/* All of a packet, if there is room for it; its length. */
size_t gram_mail_gather(const struct vi_packet *packet, void *to, size_t size);

#endif
