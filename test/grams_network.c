/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A faulty network: a socket around a sound one, which loses, refuses, doubles, delays (and so
 * reorders), corrupts what is sent, shuts everything out now and then, and says of some datagrams
 * that they came from elsewhere.  All from a seed.
 */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "grams_fixture.h"

#define HELD 256
#define LARGEST (132 << 10)

struct held {
    uint64_t due;
    struct vi_address to;
    size_t length;
    unsigned char *bytes;
};

struct faulty {
    struct vi_socket socket;
    struct vi_socket *inner;
    pthread_mutex_t lock; /* one thread receives while others send */
    struct test_random random;
    struct gram_faults faults;
    struct held held[HELD];
    int count;
    uint64_t shut_until, open_until;
};

static struct gram_faults network;
static uint64_t opened;
static _Atomic int to_refuse;

static bool happens(struct faulty *f, unsigned thousandths)
{
    return test_below(&f->random, 1000) < thousandths;
}

static uint64_t now_of(struct vi_socket *socket)
{
    struct faulty *f = (struct faulty *)socket;

    return f->inner->transport->now(f->inner);
}

static void random_of(struct vi_socket *socket, void *data, size_t length)
{
    struct faulty *f = (struct faulty *)socket;

    f->inner->transport->random(f->inner, data, length);
}

static void wake_inner(struct vi_socket *socket)
{
    struct faulty *f = (struct faulty *)socket;

    f->inner->transport->wake(f->inner);
}

static void close_faulty(struct vi_socket *socket)
{
    struct faulty *f = (struct faulty *)socket;

    for (int i = 0; i < f->count; i++)
        free(f->held[i].bytes);
    f->inner->transport->close(f->inner);
    free(f);
}

/* Not 0: there was no room for it. */
static size_t pass_on(struct faulty *f, const struct held *held)
{
    struct vi_packet packet = {
        .address = held->to, .part[0] = {held->bytes, held->length}, .parts = 1};

    f->inner->transport->send(f->inner, &packet, 1);
    return packet.length;
}

/* What is due leaves. */
static uint64_t release_due(struct faulty *f, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < f->count;) {
        if (f->held[i].due > now) {
            next = f->held[i].due < next ? f->held[i].due : next;
            i++;
            continue;
        }
        pass_on(f, &f->held[i]);
        free(f->held[i].bytes);
        f->held[i] = f->held[--f->count];
    }
    pthread_mutex_unlock(&f->lock);
    return next;
}

static bool is_shut(struct faulty *f, uint64_t now)
{
    if (f->faults.partition_ms == 0)
        return false;
    /* A period that is over is followed by one that is anywhere in its course: else one who
     * sends more seldom than a period lasts would always find it at its beginning. */
    if (now >= f->open_until) {
        const uint64_t shut = test_below(&f->random, f->faults.partition_ms * (uint64_t)1000000);
        const uint64_t all = shut + 20000000 + test_below(&f->random, 60000000);
        const uint64_t begun = now - test_below(&f->random, all);

        f->shut_until = begun + shut;
        f->open_until = begun + all;
    }
    return now < f->shut_until;
}

static void gather(const struct vi_packet *packet, struct held *held)
{
    held->length = 0;
    for (int i = 0; i < packet->parts; i++)
        held->length += packet->part[i].iov_len;
    held->bytes = malloc(held->length);
    held->to = packet->address;
    for (size_t at = 0, i = 0; i < (size_t)packet->parts; at += packet->part[i++].iov_len)
        memcpy(held->bytes + at, packet->part[i].iov_base, packet->part[i].iov_len);
}

static bool is_refused(struct faulty *f)
{
    int left = to_refuse;

    while (left > 0)
        if (atomic_compare_exchange_weak(&to_refuse, &left, left - 1))
            return true;
    return happens(f, f->faults.refusal);
}

static size_t send_one(struct faulty *f, const struct vi_packet *packet, uint64_t now)
{
    struct held held;
    size_t refused;

    gather(packet, &held);
    if (happens(f, f->faults.corruption))
        held.bytes[test_below(&f->random, held.length)] ^=
            (unsigned char)(1 + test_below(&f->random, 255));
    if (happens(f, f->faults.delay) && f->count < HELD) {
        held.due = now + test_below(&f->random, f->faults.delay_us + 1) * 1000;
        f->held[f->count++] = held;
        return 0;
    }
    refused = pass_on(f, &held);
    free(held.bytes);
    return refused;
}

static int send_faulty(struct vi_socket *socket, struct vi_packet *packets, int count)
{
    struct faulty *f = (struct faulty *)socket;
    const uint64_t now = now_of(socket);

    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < count; i++) {
        packets[i].length = 0;
        if (is_shut(f, now) || happens(f, f->faults.loss))
            continue;
        packets[i].length = is_refused(f);
        if (packets[i].length != 0)
            continue;
        packets[i].length = send_one(f, &packets[i], now);
        if (happens(f, f->faults.duplication))
            send_one(f, &packets[i], now);
    }
    pthread_mutex_unlock(&f->lock);
    return count;
}

/* All that is there, so that what comes together is taken in together. */
static int receive_all(struct faulty *f, struct vi_packet *packets, int count)
{
    int got = 0, more = 1;

    while (got < count && more > 0) {
        more = f->inner->transport->receive(f->inner, packets + got, count - got, 0);
        got += more > 0 ? more : 0;
    }
    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < got; i++)
        if (happens(f, f->faults.move) && packets[i].address.any.sa_family == AF_INET)
            ((struct sockaddr_in *)&packets[i].address.storage)->sin_port ^= 0x100;
    pthread_mutex_unlock(&f->lock);
    return got > 0 ? got : -1;
}

static int receive_faulty(struct vi_socket *socket, struct vi_packet *packets, int count,
                          int64_t ns)
{
    struct faulty *f = (struct faulty *)socket;
    const uint64_t end = ns < 0 ? UINT64_MAX : now_of(socket) + (uint64_t)ns;

    for (;;) {
        const uint64_t now = now_of(socket), due = release_due(f, now);
        const uint64_t until = due < end ? due : end;
        struct pollfd poll = {.fd = f->inner->fd, .events = POLLIN};
        struct timespec left = {0};
        int got = receive_all(f, packets, count);

        if (got > 0 || now >= end)
            return got;
        if (until != UINT64_MAX && until > now) {
            left.tv_sec = (time_t)((until - now) / 1000000000u);
            left.tv_nsec = (long)((until - now) % 1000000000u);
        }
        if (ppoll(&poll, 1, until == UINT64_MAX ? NULL : &left, NULL) < 0)
            return -1;
    }
}

static const struct vi_transport faulty_transport = {
    .send = send_faulty,
    .receive = receive_faulty,
    .wake = wake_inner,
    .now = now_of,
    .random = random_of,
    .close = close_faulty,
};

static struct vi_socket *wrap(struct vi_socket *inner)
{
    struct faulty *f = calloc(1, sizeof *f);

    f->socket = *inner;
    f->socket.transport = &faulty_transport;
    f->inner = inner;
    pthread_mutex_init(&f->lock, NULL);
    f->faults = network;
    f->random.state = network.seed * 0x9e3779b97f4a7c15u + (uint64_t)getpid() * 31 + opened++;
    return &f->socket;
}

void gram_network(const struct gram_faults *faults)
{
    vi_socket_wrap = faults != NULL ? wrap : NULL;
    if (faults != NULL)
        network = *faults;
}

void gram_refuse(int count)
{
    to_refuse = count;
}
