/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sockets, behind a table, so that a test can put a faulty network, its own clock and its own
 * random numbers in their place.
 */
#ifndef VI_GRAMS_TRANSPORT_H
#define VI_GRAMS_TRANSPORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "grams/stored.h"

/* An address: as text, which is what is stored, and as the kernel has it. */
struct vi_address {
    union {
        struct sockaddr any;
        struct sockaddr_un unix_path;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6; /* whose port lies where v4's does */
        struct sockaddr_storage storage;
    };
    socklen_t length;
};

/* Reads "udp:127.0.0.1:7000", "udp:[::1]:7000", "unix:/path", "unix:@name", "unix:".
 * EINVAL. */
int vi_address_parse(struct vi_address *address, const char *text);

/* The same the other way, at most VI_ADDRESS_LENGTH bytes with the NUL; "" if it is none. */
void vi_address_print(const struct vi_address *address, char text[VI_ADDRESS_LENGTH]);

bool vi_address_equal(const struct vi_address *a, const struct vi_address *b);

/* Of this machine alone. */
bool vi_address_is_local(const struct vi_address *address);

#define VI_BATCH 32 /* datagrams to a system call */

struct vi_packet {
    struct vi_address address; /* to, or from */
    struct iovec part[2];      /* sending: header and payload; receiving: the first, a buffer */
    int parts;
    size_t length; /* received; more than the buffer's: it was cut off.  Sent: not 0 where there
                      was no room for it now */
};

struct vi_socket;

struct vi_transport {
    /* Without waiting; how many were taken, the rest is lost.  One thread at a time. */
    int (*send)(struct vi_socket *socket, struct vi_packet *packets, int count);
    /* Waits `ns` nanoseconds at most, -1 for ever; how many came, -1 with EAGAIN or EINTR.
     * One thread at a time, beside one that sends. */
    int (*receive)(struct vi_socket *socket, struct vi_packet *packets, int count, int64_t ns);
    void (*wake)(struct vi_socket *socket);    /* ends a wait of another thread */
    uint64_t (*now)(struct vi_socket *socket); /* nanoseconds, monotonic */
    void (*random)(struct vi_socket *socket, void *data, size_t length); /* at most 256 bytes */
    void (*close)(struct vi_socket *socket);
};

struct vi_socket {
    const struct vi_transport *transport;
    int fd; /* readable when something has come */
    struct vi_address bound;
    uint32_t datagram_max; /* bytes that are sent at once */
    uint32_t receive_max;  /* that may come, from an end of this machine, too */
    uint32_t window;       /* fragments that are sent without being asked for */
};

/* Binds `address`.  NULL with the errno of socket(2), bind(2) or ENOMEM. */
struct vi_socket *vi_socket_open(const struct vi_address *address);

/* Tests only: what vi_socket_open returns becomes what this makes of it. */
extern struct vi_socket *(*vi_socket_wrap)(struct vi_socket *socket);

#endif
