/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A ring of processes, each of which listens, connects to the next, and accepts the one before it: for
 * programs of the bench and of the tests that run under vista-run, each under one of its own.
 *
 * Each finds the next without a file, since vista-run takes a program's files to be left alone by others:
 * by Unix sockets "ring.N" in the working directory, or by TCP at 127.A.B.N+1, where "127.A.B" is what
 * whoever starts them draws, so that no two rings meet.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RING_PORT 7919 /* no port that the kernel gives away */

struct ring {
    int before, next; /* the connections, of which the former is read and the latter written */
};

static inline void ring_need(bool good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

struct ring_address {
    struct sockaddr_storage bytes;
    socklen_t size;
};

/* Of that number; `way` is "unix" or "127.A.B". */
static inline struct ring_address ring_address(const char *way, unsigned number)
{
    struct ring_address address = {0};
    struct sockaddr_un *path = (struct sockaddr_un *)&address.bytes;
    struct sockaddr_in *port = (struct sockaddr_in *)&address.bytes;
    char text[32];

    if (strcmp(way, "unix") == 0) {
        *path = (struct sockaddr_un){.sun_family = AF_UNIX};
        snprintf(path->sun_path, sizeof path->sun_path, "ring.%u", number);
        address.size = sizeof *path;
    } else {
        snprintf(text, sizeof text, "%s.%u", way, number + 1);
        *port = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(RING_PORT)};
        ring_need(inet_aton(text, &port->sin_addr) == 1, text);
        address.size = sizeof *port;
    }
    return address;
}

static inline int ring_listen(const char *way, unsigned number)
{
    const struct ring_address address = ring_address(way, number);
    const struct sockaddr *to = (const struct sockaddr *)&address.bytes;
    const int listener = socket(to->sa_family, SOCK_STREAM, 0), on = 1;

    ring_need(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                  bind(listener, to, address.size) == 0 && listen(listener, 4) == 0,
              "listen");
    return listener;
}

static inline int ring_connect(const char *way, unsigned number)
{
    const struct ring_address address = ring_address(way, number);
    const struct sockaddr *to = (const struct sockaddr *)&address.bytes;
    const int on = 1;

    for (;; usleep(5000)) {
        const int fd = socket(to->sa_family, SOCK_STREAM, 0);

        if (connect(fd, to, address.size) == 0) {
            if (to->sa_family == AF_INET)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return fd;
        }
        close(fd);
    }
}

/* Of `size` processes the one of that number, from 0. */
static inline struct ring ring_join(const char *way, unsigned size, unsigned number)
{
    const int listener = ring_listen(way, number);
    struct ring ring;

    ring.next = ring_connect(way, (number + 1) % size);
    ring.before = accept(listener, NULL, NULL);
    ring_need(ring.before >= 0, "accept");
    close(listener);
    return ring;
}

/* All of the bytes, or false: the other has ended. */
static inline bool ring_receive(const struct ring *ring, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got = read(ring->before, (char *)bytes + done, size - done);

        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static inline bool ring_send(const struct ring *ring, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t sent =
            send(ring->next, (const char *)bytes + done, size - done, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        done += (size_t)sent;
    }
    return true;
}

#endif
