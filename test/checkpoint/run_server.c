/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A TCP server on malloc for test_checkpoint_server: one thread, many connections, no blocking.
 *
 *     server poll|epoll|edge
 *
 * By poll it has itself told of each kill, in a handler, and committed for time's sake, too.
 *
 * A request is a struct server_request and `length` bytes; the answer a struct server_answer and the
 * bytes `copies` times over.  A request of no bytes is the last one.
 */
#include "run_server.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>

#include "dc.h"

#define MOST 512

struct buffer {
    unsigned char *bytes;
    size_t used, room;
};

struct connection {
    struct buffer in, out;
    size_t sent; /* of `out` */
    uint32_t number;
    uint32_t hash;
    bool last;
};

static struct connection *connections[MOST]; /* by descriptor */
static int epoll = -1;
static bool edge;

static void append(struct buffer *buffer, const void *bytes, size_t length)
{
    if (buffer->used + length > buffer->room) {
        buffer->room = 2 * (buffer->used + length);
        buffer->bytes = realloc(buffer->bytes, buffer->room);
        if (buffer->bytes == NULL)
            abort();
    }
    memcpy(buffer->bytes + buffer->used, bytes, length);
    buffer->used += length;
}

static void answer(struct connection *c, struct server_request request, const unsigned char *bytes)
{
    struct server_answer head = {.number = ++c->number};

    c->hash = server_hash(c->hash, bytes, request.length);
    head.hash = c->hash;
    head.length = (uint32_t)request.length * request.copies;
    append(&c->out, &head, sizeof head);
    for (unsigned i = 0; i < request.copies; i++)
        append(&c->out, bytes, request.length);
    c->last = request.length == 0;
}

static void take_requests(struct connection *c)
{
    struct server_request request;
    size_t at = 0;

    while (!c->last && c->in.used - at >= sizeof request) {
        memcpy(&request, c->in.bytes + at, sizeof request);
        if (c->in.used - at - sizeof request < request.length)
            break;
        answer(c, request, c->in.bytes + at + sizeof request);
        at += sizeof request + request.length;
    }
    memmove(c->in.bytes, c->in.bytes + at, c->in.used - at);
    c->in.used -= at;
}

static void end(int fd)
{
    struct connection *c = connections[fd];

    connections[fd] = NULL;
    free(c->in.bytes);
    free(c->out.bytes);
    free(c);
    close(fd);
}

/* False: the connection is at its end. */
static bool send_answers(int fd, struct connection *c)
{
    while (c->sent < c->out.used) {
        const ssize_t sent = send(fd, c->out.bytes + c->sent, c->out.used - c->sent, MSG_NOSIGNAL);

        if (sent < 0)
            return errno == EAGAIN;
        c->sent += (size_t)sent;
    }
    c->sent = c->out.used = 0;
    return !c->last;
}

static void serve(int fd)
{
    struct connection *c = connections[fd];
    unsigned char bytes[1500];
    ssize_t got;

    while ((got = read(fd, bytes, sizeof bytes)) > 0)
        append(&c->in, bytes, (size_t)got);
    if (got == 0 || errno != EAGAIN) {
        end(fd);
        return;
    }
    take_requests(c);
    if (!send_answers(fd, c))
        end(fd);
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};

        if (fd >= MOST || (connections[fd] = calloc(1, sizeof **connections)) == NULL)
            abort();
        if (!edge)
            event.events = EPOLLIN | EPOLLOUT;
        if (epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            abort();
    }
    if (errno != EAGAIN)
        abort();
}

static void ready(int listener, int fd)
{
    if (fd == listener)
        accept_all(listener);
    else if (connections[fd] != NULL)
        serve(fd);
}

static void by_poll(int listener)
{
    struct pollfd fds[MOST] = {{.fd = listener, .events = POLLIN}};
    nfds_t count = 1;

    for (int fd = 0; fd < MOST; fd++)
        if (connections[fd] != NULL)
            fds[count++] = (struct pollfd){
                .fd = fd,
                .events = (short)(POLLIN | (connections[fd]->out.used != 0 ? POLLOUT : 0))};
    if (poll(fds, count, -1) < 0) {
        if (errno != EINTR)
            abort();
        return;
    }
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents != 0)
            ready(listener, fds[i].fd);
}

static void by_epoll(int listener)
{
    struct epoll_event events[16];
    const int count = epoll_wait(epoll, events, 16, -1);

    if (count < 0)
        abort();
    for (int i = 0; i < count; i++)
        ready(listener, events[i].data.fd);
}

static int start(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, 64) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        abort();
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void resume(void *argument, const struct dc_info *info)
{
    *(uint64_t *)argument = info->commits;
}

int main(int argc, char **argv)
{
    static uint64_t commits;
    const struct dc_options options = {
        .after_recovery = resume, .argument = &commits, .interval_ms = 20};
    const int listener = start();
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

    edge = argc > 1 && strcmp(argv[1], "edge") == 0;
    if (argc > 1 && strcmp(argv[1], "poll") != 0) {
        epoll = epoll_create1(0);
        if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
            abort();
    }
    if (epoll < 0 && dc_init("server.dc", &options) != 0)
        abort();
    for (;;)
        if (epoll < 0)
            by_poll(listener);
        else
            by_epoll(listener);
}
