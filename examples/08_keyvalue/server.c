/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 8: a key-value server that speaks the Redis protocol (version 2), and whose
 * data is a segment: nothing is loaded at its start, and nothing saved.  It grows with
 * the data, up to --size.
 *
 *     cc -O2 -o keyvalue 08_keyvalue/?*.c $(pkg-config --cflags --libs vista)
 *
 *     ./keyvalue data.vista                    listens on 127.0.0.1, port 6379
 *     ./keyvalue data.vista --port 7000 --bind 0.0.0.0 --size 4096 --clients 100
 *     redis-cli set colour green
 *     redis-cli get colour
 *     redis-benchmark -t set,get -P 16 -r 100000
 *
 * What a kill leaves: every write command is a transaction that has committed before its
 * reply is sent; so all that any client was told is done is there after
 *
 *     kill -KILL $(pidof keyvalue); ./keyvalue data.vista
 *
 * and a command that no one was told about is done whole or not at all: with --kill N the
 * server dies before the commit of the Nth write command.
 *
 * What a loss of power leaves is chosen by --durability, as with Redis's appendfsync:
 *
 *     kill        nothing is promised (the default); the quickest
 *     everysec    all but the last second, whole commands, in order
 *     always      all that any client was told is done: it is synced before the replies of a round of
 *                 requests are sent, with one sync for all of them
 *
 * One thread waits for whatever client is ready, reads all that has come, runs all the
 * requests that are whole, and writes all the replies at once: with many requests at a
 * time, a pipeline, system calls cost little.
 *
 * Files: text (buffers, numbers, replies), request (the protocol), store (the persistent
 * table), multi (MULTI, WATCH), commands (what there is, and how it commits); strings,
 * key_commands, scan, lock and connection have the commands.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"
#include "multi.h"

#define READ_SIZE ((size_t)16 << 10) /* at least so much room for each read */
/* A client that does not take its replies is not read from, nor its requests run, while
 * as much waits for it.  (Some clients send all of a long pipeline before they read.) */
#define OUTPUT_PAUSE ((size_t)8 << 20)
#define FIRST_SIZE ((size_t)16 << 20) /* of the data, which grows as it fills */
#define EVENTS 256                    /* taken from the kernel at a time */
/* Looks for events before the server sleeps, some 100 microseconds: to sleep and be woken costs
 * both sides more than a request does.  On one processor the clients need it. */
#define LOOKS 300
#define TIDY_EVERY 100 /* milliseconds between looks for keys whose time is over */

struct client {
    struct client *next, **link; /* in the list of all */
    int fd;
    uint32_t events; /* that we wait for */
    bool closing;    /* when its replies are written */
    bool gone;       /* at once */
    struct buffer in, out;
    struct request request;
    struct session session;
};

struct server {
    struct keyvalue keyvalue;
    struct client *clients;
    size_t limit; /* of clients */
    int epoll, listener, signals;
    bool complained;    /* that it could not tidy up; not again until it could */
    bool deaf;          /* no more clients are accepted until one has gone */
    uint64_t next_tidy; /* when, as store_time has it */
    uint64_t tidied;    /* how far: see store_tidy */
};

struct options {
    const char *path, *bind, *port, *durability;
    size_t megabytes, clients, kill;
};

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "keyvalue: %s: %s\n", what, why);
    return false;
}

/* ---- Clients --------------------------------------------------------------- */

static bool watch(const struct server *server, int operation, int fd, uint32_t events, void *what)
{
    struct epoll_event event = {.events = events, .data.ptr = what};

    return epoll_ctl(server->epoll, operation, fd, &event) == 0;
}

static void drop(struct server *server, struct client *client)
{
    close(client->fd);
    *client->link = client->next;
    if (client->next != NULL)
        client->next->link = client->link;
    buffer_free(&client->in);
    buffer_free(&client->out);
    request_free(&client->request);
    session_end(&client->session);
    free(client);
    server->keyvalue.clients--;
    if (server->deaf)
        server->deaf = !watch(server, EPOLL_CTL_MOD, server->listener, EPOLLIN, &server->listener);
}

static void welcome(struct server *server, int fd)
{
    static const char full[] = "-ERR max number of clients reached\r\n";
    const int yes = 1;
    struct client *client =
        server->keyvalue.clients < server->limit ? calloc(1, sizeof *client) : NULL;

    if (client == NULL || !watch(server, EPOLL_CTL_ADD, fd, EPOLLIN, client)) {
        send(fd, full, sizeof full - 1, MSG_NOSIGNAL);
        close(fd);
        free(client);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    client->fd = fd;
    client->events = EPOLLIN;
    client->link = &server->clients;
    client->next = server->clients;
    if (client->next != NULL)
        client->next->link = &client->next;
    server->clients = client;
    server->keyvalue.clients++;
    session_begin(&client->session, &server->keyvalue);
}

/* Those who wait at the door, a few at a time. */
static void accept_some(struct server *server)
{
    for (int i = 0; i < 16; i++) {
        const int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            welcome(server, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            /* No descriptor or no memory.  They would be reported again and again. */
            server->deaf = watch(server, EPOLL_CTL_MOD, server->listener, 0, &server->listener);
            return;
        }
    }
}

/* ---- Reading, running, writing ---------------------------------------------- */

static void read_some(struct client *client)
{
    char *to = buffer_reserve(&client->in, READ_SIZE);
    ssize_t got;

    if (to == NULL)
        return;
    got = recv(client->fd, to, client->in.room - client->in.end, 0);
    if (got > 0)
        client->in.end += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        client->gone = true;
    if (buffer_length(&client->in) == 0)
        buffer_free(&client->in);
}

static void run_one(struct server *server, struct client *client)
{
    struct call call = {.server = &server->keyvalue,
                        .session = &client->session,
                        .out = &client->out,
                        .bytes = client->in.bytes + client->in.begin,
                        .arguments = client->request.arguments,
                        .count = client->request.count};

    if (call.count > 0)
        command_run(&call);
    client->closing = call.quit;
    buffer_consume(&client->in, client->request.position);
    request_reset(&client->request);
}

/* Runs all requests that have come whole; false if there was none. */
static bool run_requests(struct server *server, struct client *client)
{
    bool any = false;

    while (!client->closing && buffer_length(&client->in) > 0 &&
           buffer_length(&client->out) < OUTPUT_PAUSE) {
        const char *error = "";
        const enum parsed parsed =
            request_parse(&client->request, client->in.bytes + client->in.begin,
                          buffer_length(&client->in), &error);

        if (parsed == PARSED_PART)
            break;
        any = true;
        if (parsed == PARSED_WHOLE) {
            run_one(server, client);
        } else {
            reply_error(&client->out, "ERR Protocol error: %s", error);
            client->closing = true;
        }
    }
    return any;
}

/* All that was written, by any client, is durable on return: false, and the promise cannot be
 * kept. */
static bool settle(struct server *server)
{
    struct keyvalue *keyvalue = &server->keyvalue;

    if (!keyvalue->flushes || !keyvalue->unflushed)
        return true;
    if (vista_flush(keyvalue->segment) != 0)
        return complain("nothing more can be made durable", vista_errormsg());
    keyvalue->unflushed = false;
    return true;
}

static void write_some(struct server *server, struct client *client)
{
    const size_t length = buffer_length(&client->out);
    ssize_t put;

    if (length == 0)
        return;
    if (!settle(server)) {
        client->gone = true;
        return;
    }
    put = send(client->fd, client->out.bytes + client->out.begin, length, MSG_NOSIGNAL);
    if (put >= 0)
        buffer_consume(&client->out, (size_t)put);
    else if (errno != EAGAIN && errno != EINTR)
        client->gone = true;
}

static void receive(struct client *client, uint32_t events)
{
    if ((events & ~(uint32_t)EPOLLOUT) != 0) /* an error or a hang-up is read, too */
        read_some(client);
}

static void serve(struct server *server, struct client *client)
{
    uint32_t wanted = 0;

    /* Requests that waited for room to reply can go on when the replies are written. */
    do {
        const bool any = run_requests(server, client);

        write_some(server, client);
        if (!any)
            break;
    } while (buffer_length(&client->out) == 0 && !client->gone);

    if (client->gone || client->in.failed || client->out.failed ||
        (client->closing && buffer_length(&client->out) == 0)) {
        drop(server, client);
        return;
    }
    if (buffer_length(&client->out) > 0)
        wanted |= EPOLLOUT;
    if (buffer_length(&client->out) < OUTPUT_PAUSE && !client->closing)
        wanted |= EPOLLIN;
    if (wanted != client->events && watch(server, EPOLL_CTL_MOD, client->fd, wanted, client))
        client->events = wanted;
}

/* What can wait, a little of it if it is time: how long to sleep until the next, at most. */
static int tidy(struct server *server)
{
    const uint64_t now = store_time();
    int result;

    if (now < server->next_tidy && server->next_tidy - now <= TIDY_EVERY)
        return (int)(server->next_tidy - now);
    server->next_tidy = now;
    result = store_tidy(server->keyvalue.segment, server->keyvalue.store, &server->tidied);
    if (result == 1)
        return 0;
    if (result < 0 && !server->complained)
        complain("what is over cannot be removed", vista_errormsg());
    server->complained = result < 0;
    server->next_tidy += TIDY_EVERY;
    return store_mortal(server->keyvalue.store) > 0 ? TIDY_EVERY : -1;
}

/* Until a signal comes. */
static void serve_all(struct server *server)
{
    const int looks = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? LOOKS : 0;
    struct epoll_event events[EVENTS];

    for (int look = 0;; look++) {
        const int sleep = tidy(server);
        const int count = epoll_wait(server->epoll, events, EVENTS, look < looks ? 0 : sleep);

        if (count > 0)
            look = -1;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &server->signals)
                return;
            if (events[i].data.ptr == &server->listener) {
                accept_some(server);
                continue;
            }
            receive(events[i].data.ptr, events[i].events);
            if (server->keyvalue.flushes) /* all requests first, then one sync for all replies */
                run_requests(server, events[i].data.ptr);
            else
                serve(server, events[i].data.ptr);
        }
        for (int i = 0; server->keyvalue.flushes && i < count; i++)
            if (events[i].data.ptr != &server->listener)
                serve(server, events[i].data.ptr);
    }
}

/* ---- Starting and stopping --------------------------------------------------- */

/* Descriptors for all the clients. */
static bool allow_descriptors(const struct options *options)
{
    const rlim_t wanted = options->clients + 32;
    struct rlimit limit;
    char why[128];

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return true;
    limit.rlim_cur = wanted;
    if (wanted <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    snprintf(why, sizeof why, "the limit of open files, %llu, does not allow %zu clients",
             (unsigned long long)limit.rlim_max, options->clients);
    return complain("--clients", why);
}

static bool open_store(struct server *server, const struct options *options)
{
    const bool always = strcmp(options->durability, "always") == 0;
    const bool everysec = strcmp(options->durability, "everysec") == 0;
    const struct vista_map_options growth = {.max_size = options->megabytes << 20,
                                             .flush_ms = everysec ? 1000 : 0};
    const unsigned flags = VISTA_CREATE | VISTA_GROW | (always ? VISTA_POWER_SAFE : 0);
    const size_t size = growth.max_size < FIRST_SIZE ? growth.max_size : FIRST_SIZE;
    struct vista_info info;

    struct keyvalue *keyvalue = &server->keyvalue;

    keyvalue->durability = options->durability;
    keyvalue->flushes = always;
    keyvalue->end_mode = always ? VISTA_NO_FLUSH : 0;
    keyvalue->segment = vista_map(options->path, size, flags, &growth);
    if (keyvalue->segment == NULL || vista_info(keyvalue->segment, &info) != 0)
        return complain("cannot map the data", vista_errormsg());
    keyvalue->store = store_open(keyvalue->segment);
    if (keyvalue->store == NULL)
        return complain(options->path, errno == EBADMSG ? "this segment is not a key-value server's"
                                                        : vista_errormsg());
    if (info.rolled_back + info.finished != 0)
        printf("recovered: %llu transactions rolled back, %llu finished\n",
               (unsigned long long)info.rolled_back, (unsigned long long)info.finished);
    return true;
}

static bool listen_at(struct server *server, const struct options *options)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    const int yes = 1;
    struct addrinfo *address;
    char where[256];
    int error;

    snprintf(where, sizeof where, "cannot listen on %s, port %s", options->bind, options->port);
    error = getaddrinfo(options->bind, options->port, &hints, &address);
    if (error != 0)
        return complain(where, gai_strerror(error));
    server->listener = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->listener < 0 ||
        setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(server->listener, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(server->listener, 511) != 0) {
        complain(where, strerror(errno));
        freeaddrinfo(address);
        return false;
    }
    freeaddrinfo(address);
    return true;
}

/* SIGTERM and SIGINT come as an event among others. */
static bool set_up_events(struct server *server)
{
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN); /* if no one reads what it prints, it goes on */
    server->signals = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    server->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server->signals < 0 || server->epoll < 0 ||
        !watch(server, EPOLL_CTL_ADD, server->signals, EPOLLIN, &server->signals) ||
        !watch(server, EPOLL_CTL_ADD, server->listener, EPOLLIN, &server->listener))
        return complain("cannot wait for events", strerror(errno));
    return true;
}

/* Tells the port, too, if it was 0: any. */
static void say_ready(const struct server *server, const struct options *options)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char port[32] = "?";

    if (getsockname(server->listener, (struct sockaddr *)&address, &length) == 0)
        getnameinfo((struct sockaddr *)&address, length, NULL, 0, port, sizeof port,
                    NI_NUMERICSERV);
    printf("%s: %llu keys; ready on %s, port %s\n", options->path,
           (unsigned long long)store_count(server->keyvalue.store), options->bind, port);
    fflush(stdout);
}

static bool parse_number(const char *text, size_t least, size_t most, size_t *number)
{
    char *end;

    *number = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *number >= least && *number <= most;
}

static bool parse_option(struct options *options, const char *name, const char *value)
{
    size_t port;

    if (strcmp(name, "--bind") == 0) {
        options->bind = value;
        return true;
    }
    if (strcmp(name, "--port") == 0) {
        options->port = value;
        return parse_number(value, 0, 65535, &port);
    }
    if (strcmp(name, "--durability") == 0) {
        options->durability = value;
        return strcmp(value, "kill") == 0 || strcmp(value, "everysec") == 0 ||
               strcmp(value, "always") == 0;
    }
    if (strcmp(name, "--size") == 0)
        return parse_number(value, 1, (size_t)1 << 24, &options->megabytes);
    if (strcmp(name, "--clients") == 0)
        return parse_number(value, 1, 1000000, &options->clients);
    if (strcmp(name, "--kill") == 0)
        return parse_number(value, 1, SIZE_MAX, &options->kill);
    return false;
}

static bool parse_options(struct options *options, char **words)
{
    for (; *words != NULL; words += 2)
        if (words[1] == NULL || !parse_option(options, words[0], words[1]))
            return false;
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {NULL, "127.0.0.1", "6379", "kill", 16384, 1000, 0};
    struct server server = {0};

    if (argc < 2 || argv[1][0] == '-' || !parse_options(&options, argv + 2)) {
        fprintf(stderr,
                "usage: %s FILE [--port NUMBER] [--bind ADDRESS] [--size MEGABYTES] "
                "[--clients NUMBER] [--durability kill|everysec|always] [--kill WRITES]\n",
                argv[0]);
        return 2;
    }
    options.path = argv[1];
    server.limit = options.clients;
    server.keyvalue.writes_to_kill = options.kill;
    server.keyvalue.begun = store_time();
    if (!allow_descriptors(&options) || !listen_at(&server, &options) ||
        !open_store(&server, &options) || !set_up_events(&server)) {
        if (server.keyvalue.segment != NULL)
            vista_unmap(server.keyvalue.segment);
        return 1;
    }
    say_ready(&server, &options);
    serve_all(&server);

    for (struct client *client = server.clients, *next; client != NULL; client = next) {
        next = client->next;
        drop(&server, client);
    }
    if (vista_unmap(server.keyvalue.segment) != 0) {
        complain("unmapping", vista_errormsg());
        return 1;
    }
    printf("unmapped\n");
    return 0;
}
