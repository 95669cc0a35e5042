/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the tests of messages share: an end of a conversation, and a faulty network between ends.
 */
#ifndef VISTA_TEST_GRAMS_FIXTURE_H
#define VISTA_TEST_GRAMS_FIXTURE_H

#include "grams/transport.h"
#include "support.h"
#include "vista_grams.h"

/* ---- Ends ---------------------------------------------------------------- */

#define GRAM_DATA 4096

/* What the root of an end's segment begins with. */
struct gram_root {
    void *block;
    uint32_t peer;
    uint64_t data[GRAM_DATA];
};

struct gram_end {
    const char *path;
    const char *address;
    vista_segment *segment;
    struct gram_root *root;
    vista_endpoint *endpoint;
    unsigned flags; /* of vista_map */
    unsigned open_flags;
    const void *key;
};

/* A path as test_path has it, and a Unix address that no other process has: good for the next 63
 * calls of either. */
const char *gram_path(const char *name);
const char *gram_address(const char *name);

/* Maps the segment, made when it is not there, and opens its endpoint, likewise. */
void gram_open(struct gram_end *end, const struct vista_endpoint_options *options);
/* Closes and unmaps. */
void gram_close(struct gram_end *end);
/* Closes and opens the endpoint alone: to what is stored the same as a death. */
void gram_reopen(struct gram_end *end);

/* Connects while `server`, of the same process, is pumped; keeps the peer's number. */
void gram_connect(struct gram_end *client, struct gram_end *server);

/* The same without keeping anything; 0 or errno. */
int gram_try_connect(struct gram_end *client, struct gram_end *server, uint32_t *peer, int ms);

/* Both are pumped until nothing more happens. */
void gram_settle(struct gram_end *a, struct gram_end *b);

/* Each in a transaction of its own, which commits. */
vista_request gram_send(struct gram_end *client, const void *message, size_t length,
                        unsigned flags);
/* What waits is received and answered with the same bytes; its length, or -1 with errno. */
ssize_t gram_echo(struct gram_end *server, void *message, size_t size);
ssize_t gram_receive(struct gram_end *client, vista_request *request, void *message, size_t size);

/* ---- The network ----------------------------------------------------------- */

/* In thousandths, of each datagram that is sent. */
struct gram_faults {
    unsigned loss, duplication, delay, corruption, move;
    unsigned delay_us;     /* at most */
    unsigned partition_ms; /* now and then nothing passes, for at most so long; 0: never */
    unsigned refusal;      /* in thousandths: there is no room, and the sender is told */
    uint64_t seed;
};

/* Sockets opened from now on are faulty; NULL: sound again. */
void gram_network(const struct gram_faults *faults);

/* Faulty sockets have no room for the next `count` datagrams that any of them sends. */
void gram_refuse(int count);

#endif
