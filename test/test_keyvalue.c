/* SPDX-License-Identifier: BSD-3-Clause
 *
 * examples/08_keyvalue: the protocol, its limits, SCAN while the table is resized, many
 * and slow clients; killed under load, with what was acknowledged kept by the clients and
 * compared after the restart.  By a client of our own, and by Debian's redis-cli and
 * redis-benchmark where they are installed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "command.h"

#define PROGRAM "examples/example_08_keyvalue"

/* ---- The server ------------------------------------------------------------ */

struct server {
    const char *path;
    pid_t process;
    int port;
    int says; /* its output */
};

/* Runs a command that starts a server, until it says that it is ready: true, or ends. */
static bool try_start(struct server *server, const char *command, char *says, size_t room)
{
    size_t got = 0;
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    server->process = test_begin_child();
    if (server->process == 0) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(99);
    }
    close(ends[1]);
    server->says = ends[0];
    says[0] = '\0';
    while (strstr(says, "ready on") == NULL || says[got - 1] != '\n') {
        const ssize_t more = read(server->says, says + got, room - 1 - got);

        if (more <= 0)
            return false;
        got += (size_t)more;
        says[got] = '\0';
    }
    server->port = atoi(strstr(says, "port ") + strlen("port "));
    ck_assert_int_gt(server->port, 0);
    return true;
}

static struct server start(const char *path, const char *options)
{
    struct server server = {.path = path};
    char command[2 * PATH_MAX], says[2 * PATH_MAX];

    /* The thread sanitizer has no room for reservations beyond 4 GiB. */
    snprintf(command, sizeof command, "exec %s/" PROGRAM " %s --port 0 %s%s", build_directory(),
             path, options,
             test_is_thread_sanitized() && strstr(options, "--size") == NULL ? " --size 1024" : "");
    ck_assert_msg(try_start(&server, command, says, sizeof says), "the server ended: %s", says);
    return server;
}

/* Waits for its end: its exit status, or 128 + the signal. */
static int end(struct server *server, int signal)
{
    int status;

    kill(server->process, signal);
    status = test_wait(server->process);
    close(server->says);
    return status;
}

static void stop(struct server *server)
{
    ck_assert_int_eq(end(server, SIGTERM), 0);
    EXPECT(0, "clean", "vista info %s", server->path);
    test_sound(server->path);
}

/* ---- Clients ----------------------------------------------------------------- */

static int try_connect(int port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timeval patience = {30, 0};
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (client >= 0 && connect(client, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(client);
        return -1;
    }
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return client;
}

static int connect_to(const struct server *server)
{
    const int client = try_connect(server->port);

    ck_assert_int_ge(client, 0);
    return client;
}

static void say(int client, const char *bytes, size_t length)
{
    while (length > 0) {
        const ssize_t put = send(client, bytes, length, MSG_NOSIGNAL);

        ck_assert_msg(put > 0, "cannot send: %s", strerror(errno));
        bytes += put;
        length -= (size_t)put;
    }
}

/* Exactly these bytes come. */
static void hear(int client, const char *bytes, size_t length)
{
    size_t got = 0;

    while (got < length) {
        char heard[4096];
        const size_t want = length - got < sizeof heard ? length - got : sizeof heard;
        const ssize_t more = recv(client, heard, want, 0);

        ck_assert_msg(more > 0, "no more than %zu of %zu bytes came of \"%.60s\"", got, length,
                      bytes);
        ck_assert_msg(memcmp(bytes + got, heard, (size_t)more) == 0,
                      "heard \"%.*s\", expected \"%.*s\"", (int)more, heard, (int)more,
                      bytes + got);
        got += (size_t)more;
    }
}

static void hear_end(int client)
{
    char byte;

    ck_assert_int_eq(recv(client, &byte, 1, 0), 0);
    close(client);
}

#define SAY(client, text) say(client, text, sizeof(text) - 1)
#define HEAR(client, text) hear(client, text, sizeof(text) - 1)

/* A line, without its end. */
static void hear_line(int client, char *line, size_t room)
{
    char *newline;
    ssize_t got;

    do {
        got = recv(client, line, room, MSG_PEEK);
        ck_assert_int_gt(got, 0);
        newline = memchr(line, '\n', (size_t)got);
        ck_assert(newline != NULL || (size_t)got < room);
    } while (newline == NULL);
    ck_assert_int_eq(recv(client, line, (size_t)(newline + 1 - line), 0), newline + 1 - line);
    newline[-1] = '\0';
}

/* A bulk reply's text, or false if there is none. */
static bool hear_bulk(int client, char *text, size_t room)
{
    char line[64];
    long length;

    hear_line(client, line, sizeof line);
    ck_assert_int_eq(line[0], '$');
    length = atol(line + 1);
    if (length < 0)
        return false;
    ck_assert_uint_lt((size_t)length + 2, room);
    ck_assert_int_eq(recv(client, text, (size_t)length + 2, MSG_WAITALL), length + 2);
    text[length] = '\0';
    return true;
}

static long ask_number(int client, const char *request)
{
    char line[64];

    say(client, request, strlen(request));
    hear_line(client, line, sizeof line);
    ck_assert_msg(line[0] == ':', "\"%s\" to %s", line, request);
    return atol(line + 1);
}

/* ---- The protocol -------------------------------------------------------------- */

/* In this order, on an empty store. */
#define EXCHANGE(request, reply) \
    { \
        request, sizeof(request) - 1, reply, sizeof(reply) - 1 \
    }
static const struct exchange {
    const char *request;
    size_t request_length;
    const char *reply;
    size_t reply_length;
} exchanges[] = {
    EXCHANGE("PING\r\n", "+PONG\r\n"),
    EXCHANGE("*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
    EXCHANGE("*2\r\n$4\r\nping\r\n$5\r\na\r\nb\n\r\n", "$5\r\na\r\nb\n\r\n"),
    EXCHANGE("ping one two\n", "-ERR wrong number of arguments for 'ping' command\r\n"),
    EXCHANGE("\r\n\n*0\r\n*-1\r\nECHO 1\n", "$1\r\n1\r\n"),
    EXCHANGE("echo \"a \\\"b\\\"\\n\" \n", "$6\r\na \"b\"\n\r\n"),
    EXCHANGE("echo 'a \\n b'\r\n", "$6\r\na \\n b\r\n"),
    EXCHANGE("echo \"\"\r\n", "$0\r\n\r\n"),
    EXCHANGE("GET colour\n", "$-1\r\n"),
    EXCHANGE("*3\r\n$3\r\nSET\r\n$6\r\ncolour\r\n$5\r\ngreen\r\n", "+OK\r\n"),
    EXCHANGE("*2\r\n$3\r\nGET\r\n$6\r\ncolour\r\n", "$5\r\ngreen\r\n"),
    EXCHANGE("set colour red\n", "+OK\r\n"),
    EXCHANGE("get colour\n", "$3\r\nred\r\n"),
    EXCHANGE("set colour ultramarine\n", "+OK\r\n"),
    EXCHANGE("get colour\n", "$11\r\nultramarine\r\n"),
    EXCHANGE("set colour x NX\n", "$-1\r\n"),
    EXCHANGE("set colour blue xx\n", "+OK\r\n"),
    EXCHANGE("set shape round xx\n", "$-1\r\n"),
    EXCHANGE("set shape round nx\n", "+OK\r\n"),
    EXCHANGE("set shape round ex ten\n", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE(
        "set shape round px 1 ex 1\n",
        "-ERR syntax error: the options here are NX or XX, GET, and one of EX, PX, EXAT, PXAT, "
        "KEEPTTL\r\n"),
    EXCHANGE("set shape round ex 9223372036854775807\n", "-ERR invalid expire time\r\n"),
    EXCHANGE("set shape\n", "-ERR wrong number of arguments for 'set' command\r\n"),
    EXCHANGE("*3\r\n$3\r\nset\r\n$3\r\n\0\1\2\r\n$4\r\n\r\n\0\xff\r\n", "+OK\r\n"),
    EXCHANGE("*2\r\n$3\r\nget\r\n$3\r\n\0\1\2\r\n", "$4\r\n\r\n\0\xff\r\n"),
    EXCHANGE("*3\r\n$3\r\nset\r\n$0\r\n\r\n$0\r\n\r\n", "+OK\r\n"),
    EXCHANGE("get \"\"\n", "$0\r\n\r\n"),
    EXCHANGE("dbsize\n", ":4\r\n"),
    EXCHANGE("exists colour shape colour size\n", ":3\r\n"),
    EXCHANGE("del colour size shape colour\n", ":2\r\n"),
    EXCHANGE("exists colour\n", ":0\r\n"),
    EXCHANGE("incr n\n", ":1\r\n"),
    EXCHANGE("incr n\n", ":2\r\n"),
    EXCHANGE("get n\n", "$1\r\n2\r\n"),
    EXCHANGE("set n -1\n", "+OK\r\n"),
    EXCHANGE("incr n\n", ":0\r\n"),
    EXCHANGE("set n 9223372036854775806\n", "+OK\r\n"),
    EXCHANGE("incr n\n", ":9223372036854775807\r\n"),
    EXCHANGE("incr n\n", "-ERR increment or decrement would overflow\r\n"),
    EXCHANGE("set n 9223372036854775808\n", "+OK\r\n"),
    EXCHANGE("incr n\n", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("set n -9223372036854775808\n", "+OK\r\n"),
    EXCHANGE("incr n\n", ":-9223372036854775807\r\n"),
    EXCHANGE("set n 01\n", "+OK\r\n"),
    EXCHANGE("incr n\n", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("mset a 1 b 2 a 3\n", "+OK\r\n"),
    EXCHANGE("mget a b c\n", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n"),
    EXCHANGE("mset a 1 b\n", "-ERR wrong number of arguments for 'mset' command\r\n"),
    EXCHANGE("select 0\n", "+OK\r\n"),
    EXCHANGE("select 1\n", "-ERR DB index is out of range: there is only 0\r\n"),
    EXCHANGE("select x\n", "-ERR invalid DB index\r\n"),
    EXCHANGE("hello 3\n", "-NOPROTO unsupported protocol version: there is only 2\r\n"),
    EXCHANGE("hello\n", "*4\r\n$6\r\nserver\r\n$8\r\nkeyvalue\r\n$5\r\nproto\r\n:2\r\n"),
    EXCHANGE("config get save\n", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    EXCHANGE("config get appendonly\n", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"),
    EXCHANGE("config get maxmemory\n", "*0\r\n"),
    EXCHANGE("command docs\n", "*0\r\n"),
    EXCHANGE("flush\n", "-ERR unknown command 'flush'\r\n"),
    EXCHANGE("*1\r\n$6\r\nfl\r\nsh\r\n", "-ERR unknown command 'fl  sh'\r\n"),
    EXCHANGE("scan x\n", "-ERR invalid cursor\r\n"),
    EXCHANGE("scan -1\n", "-ERR invalid cursor\r\n"),
    EXCHANGE("scan 0 count 0\n", "-ERR syntax error: the options here are MATCH and COUNT\r\n"),
    EXCHANGE("scan 0 match\n", "-ERR syntax error: the options here are MATCH and COUNT\r\n"),
    EXCHANGE("scan 0 count 100000 match co*\n", "*2\r\n$1\r\n0\r\n*0\r\n"),
};
#define EXCHANGES (sizeof exchanges / sizeof *exchanges)

/* One by one; then all as one pipeline; then byte by byte. */
START_TEST(test_replies)
{
    static char requests[16384], replies[16384];
    size_t request_length = 0, reply_length = 0;
    struct server server = start(test_path("one"), "");
    int client = connect_to(&server);

    for (size_t i = 0; i < EXCHANGES; i++) {
        const struct exchange *exchange = &exchanges[i];

        say(client, exchange->request, exchange->request_length);
        hear(client, exchange->reply, exchange->reply_length);
        memcpy(requests + request_length, exchange->request, exchange->request_length);
        memcpy(replies + reply_length, exchange->reply, exchange->reply_length);
        request_length += exchange->request_length;
        reply_length += exchange->reply_length;
    }
    SAY(client, "quit\nping\n");
    HEAR(client, "+OK\r\n");
    hear_end(client);
    stop(&server);

    server = start(test_path("pipeline"), "");
    client = connect_to(&server);
    say(client, requests, request_length);
    hear(client, replies, reply_length);
    close(client);
    stop(&server);

    server = start(test_path("bytes"), "");
    client = connect_to(&server);
    for (size_t i = 0; i < request_length; i++) {
        say(client, requests + i, 1);
        if (i % 64 == 0)
            test_sleep_us(100); /* so that it does come in pieces */
    }
    hear(client, replies, reply_length);
    close(client);
    stop(&server);
}
END_TEST

/* Each is answered by an error, and the connection closed; the server goes on. */
START_TEST(test_bad_protocol)
{
#define BAD(request, error) \
    { \
        request, sizeof(request) - 1, error \
    }
    static const struct {
        const char *request;
        size_t length;
        const char *error;
    } bad[] = {
        BAD("*x\r\n", "invalid multibulk length"),
        BAD("*1048577\r\n", "invalid multibulk length"),
        BAD("*99999999999999999999\r\n", "invalid multibulk length"),
        BAD("*1111111111111111111111111111", "invalid multibulk length"),
        BAD("*1\rx", "invalid multibulk length"),
        BAD("*1\r\n+PING\r\n", "expected '$'"),
        BAD("*1\r\n$-1\r\n", "invalid bulk length"),
        BAD("*1\r\n$67108865\r\n", "invalid bulk length"),
        BAD("*1\r\n$4\r\nPINGPING\r\n", "expected CRLF behind an argument"),
        BAD("get \"colour\n", "unbalanced quotes in request"),
        BAD("get \"col\"our\n", "unbalanced quotes in request"),
    };
    static char line[70000];
    struct server server = start(test_path("bad"), "");
    char expected[128];
    int client;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        client = connect_to(&server);
        SAY(client, "ping\n");
        HEAR(client, "+PONG\r\n");
        say(client, bad[i].request, bad[i].length);
        snprintf(expected, sizeof expected, "-ERR Protocol error: %s\r\n", bad[i].error);
        hear(client, expected, strlen(expected));
        hear_end(client);
    }
    memset(line, 'x', sizeof line);
    client = connect_to(&server);
    say(client, line, sizeof line);
    HEAR(client, "-ERR Protocol error: too big inline request\r\n");
    close(client);
    client = connect_to(&server); /* gone in the middle of a request */
    SAY(client, "*2\r\n$3\r\nGET\r\n$100\r\nkey");
    close(client);
    client = connect_to(&server);
    SAY(client, "ping\n");
    HEAR(client, "+PONG\r\n");
    close(client);
    stop(&server);
}
END_TEST

/* Random bytes, and requests with some changed: it answers someone else all along. */
START_TEST(test_noise)
{
    static const char noise[] = "\r\n*$0123456789abc \"'\\\xff";
    struct test_random random = test_random_new(0);
    struct server server = start(test_path("noise"), "");
    const int other = connect_to(&server);

    for (unsigned i = 0; i < test_times(300); i++) {
        char bytes[512] =
            "*3\r\n$3\r\nSET\r\n$6\r\ncolour\r\n$5\r\ngreen\r\n*1\r\n$6\r\nDBSIZE\r\n"
            "set a \"b c\"\n*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$0\r\n";
        const size_t length = 1 + test_below(&random, sizeof bytes - 1);
        const int client = connect_to(&server);

        for (uint64_t changes = test_below(&random, i % 3 == 0 ? 512 : 6); changes > 0; changes--)
            bytes[test_below(&random, length)] = noise[test_below(&random, sizeof noise)];
        if (send(client, bytes, length, MSG_NOSIGNAL) < 0)
            ck_abort_msg("send: %s", strerror(errno));
        close(client);
        SAY(other, "ping\n");
        HEAR(other, "+PONG\r\n");
    }
    close(other);
    stop(&server);
}
END_TEST

/* ---- Starting and ending --------------------------------------------------------- */

START_TEST(test_start_errors)
{
    const char *path = test_path("errors"), *foreign = test_path("foreign");
    struct server server = start(path, "");

    EXPECT(2, "usage", PROGRAM);
    EXPECT(2, "usage", PROGRAM " %s --port", path);
    EXPECT(2, "usage", PROGRAM " %s --size 0", path);
    EXPECT(2, "usage", PROGRAM " %s --verbose yes", path);
    EXPECT(1, "Address already in use", PROGRAM " %s.2 --port %d", path, server.port);
    EXPECT(2, "usage", PROGRAM " %s.2 --port 70000", path);
    EXPECT(1, "cannot listen on elsewhere", PROGRAM " %s.2 --bind elsewhere --port 0", path);
    EXPECT(1, "cannot map the data", PROGRAM " %s --port 0", path); /* the other has it */
    EXPECT(1, "cannot open", PROGRAM " /no/such/directory/file --port 0");
    EXPECT(0, "1\n", "examples/example_01_counter %s", foreign);
    EXPECT(1, "not a key-value server's", PROGRAM " %s --port 0", foreign);
    EXPECT(0, "2\n", "examples/example_01_counter %s", foreign);
    ck_assert_int_ne(access(test_path("errors.2"), F_OK), 0);
    stop(&server);
}
END_TEST

/* A segment of the same kind, with another program's root in it. */
START_TEST(test_foreign_root)
{
    const char *path = test_path("foreign");
    vista_segment *segment = vista_map(path, 1 << 20, VISTA_CREATE, NULL);
    uint64_t *root, size;
    vista_tx *tx;

    SOME(segment);
    root = vista_root(segment, 16);
    SOME(root);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_set_range(tx, root, 16));
    root[0] = 7;
    OK(vista_end_transaction(tx, 0));
    size = vista_usable_size(segment, root);
    OK(vista_unmap(segment));
    EXPECT(1, "not a key-value server's", PROGRAM " %s --port 0", path);
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    root = vista_root(segment, 0);
    ck_assert(root[0] == 7 && vista_usable_size(segment, root) == size);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Many, slow and greedy ---------------------------------------------------------- */

START_TEST(test_many_clients)
{
    struct server server = start(test_path("many"), "--clients 200");
    int clients[200];
    char line[64];

    for (int i = 0; i < 200; i++)
        clients[i] = connect_to(&server);
    for (int i = 0; i < 200; i++)
        SAY(clients[i], "incr n\n");
    for (int i = 0; i < 200; i++)
        hear_line(clients[i], line, sizeof line);
    ck_assert_int_eq(ask_number(clients[7], "incr n\n"), 201);
    for (int i = 0; i < 3; i++) {
        const int more = connect_to(&server);

        HEAR(more, "-ERR max number of clients reached\r\n");
        hear_end(more);
    }
    close(clients[0]);
    for (int i = 0; i < 100; i++) { /* until the server has seen it */
        const int more = connect_to(&server);

        SAY(more, "ping\n");
        if (recv(more, line, 1, 0) == 1 && line[0] == '+') {
            clients[0] = more;
            break;
        }
        close(more);
        test_sleep_us(10000);
        ck_assert_int_lt(i, 99);
    }
    for (int i = 0; i < 200; i++)
        close(clients[i]);
    stop(&server);
}
END_TEST

static unsigned long resident_kib(pid_t process)
{
    char path[64], line[256];
    unsigned long kib = 0;
    FILE *status;

    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    status = fopen(path, "r");
    ck_assert_ptr_ne(status, NULL);
    while (fgets(line, sizeof line, status) != NULL)
        sscanf(line, "RssAnon: %lu kB", &kib);
    fclose(status);
    return kib;
}

#define MIB ((size_t)1 << 20)

/* Asks for 500 MiB and reads none of it: the server holds a part of it and the requests.
 * Then all of it comes. */
START_TEST(test_slow_reader)
{
    struct server server = start(test_path("slow"), "");
    const int slow = connect_to(&server), other = connect_to(&server);
    char *value = malloc(MIB + 32);
    size_t header;

    header = (size_t)sprintf(value, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%zu\r\n", MIB);
    say(slow, value, header);
    header = (size_t)sprintf(value, "$%zu\r\n", MIB);
    for (size_t i = 0; i < MIB; i++)
        value[header + i] = (char)('a' + i % 25);
    memcpy(value + header + MIB, "\r\n", 2);
    say(slow, value + header, MIB + 2);
    HEAR(slow, "+OK\r\n");
    for (int i = 0; i < 500; i++)
        SAY(slow, "get big\n");
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(ask_number(other, "incr n\n"), i + 1);
        test_sleep_us(2000);
    }
    if (!test_is_sanitized())
        ck_assert_uint_lt(resident_kib(server.process), 40000);
    for (int i = 0; i < 500; i++)
        hear(slow, value, header + MIB + 2);
    SAY(slow, "ping\n");
    HEAR(slow, "+PONG\r\n");
    close(slow);
    close(other);
    free(value);
    stop(&server);
}
END_TEST

/* Values of half a MiB, more than the segment has at first: it grows, and is killed. */
START_TEST(test_growth)
{
    const unsigned values = 60, half = 1 << 19;
    struct server server = start(test_path("growth"), "");
    int client = connect_to(&server);
    char *value = malloc(half + 64);
    unsigned long long size = 0;

    for (unsigned i = 0; i < values; i++) {
        char request[64];

        say(client, request,
            (size_t)sprintf(request, "*3\r\n$3\r\nset\r\n$2\r\n%02u\r\n$%u\r\n", i, half));
        memset(value, (int)('A' + i), half);
        memcpy(value + half, "\r\n", 2);
        say(client, value, half + 2);
        HEAR(client, "+OK\r\n");
    }
    ck_assert_int_eq(end(&server, SIGKILL), KILLED);
    close(client);
    EXPECT(1, "size", "vista info %s", server.path); /* 1: it needs recovery */
    ck_assert_int_eq(sscanf(strstr(output, "\nsize"), " size %llu", &size), 1);
    ck_assert_uint_gt(size, (unsigned long long)values * half);
    server = start(server.path, "");
    client = connect_to(&server);
    for (unsigned i = 0; i < values; i++) {
        char request[16];
        const size_t header = (size_t)sprintf(value, "$%u\r\n", half);

        say(client, request, (size_t)sprintf(request, "get %02u\n", i));
        memset(value + header, (int)('A' + i), half);
        memcpy(value + header + half, "\r\n", 2);
        hear(client, value, header + half + 2);
    }
    close(client);
    free(value);
    stop(&server);
}
END_TEST

/* A heap of 1 MiB, full: what does not fit is refused, whole, and the rest goes on. */
START_TEST(test_full)
{
    struct server server = start(test_path("full"), "--size 1");
    const int client = connect_to(&server);
    char value[2001], request[4200], line[256];
    long size, i;

    memset(value, 'x', 2000);
    value[2000] = '\0';
    for (i = 0;; i++) {
        ck_assert_int_lt(i, 1000);
        say(client, request,
            (size_t)sprintf(request, "mset a%ld %s b%ld %s\n", i, value, i, value));
        hear_line(client, line, sizeof line);
        if (strcmp(line, "+OK") != 0)
            break;
    }
    ck_assert_ptr_eq(strstr(line, "-OOM "), line);
    ck_assert_int_gt(i, 10);
    size = ask_number(client, "dbsize\n");
    ck_assert_int_eq(size, 2 * i);
    ck_assert_int_eq(ask_number(client, "del a0 b0 a1 b1\n"), 4);
    say(client, request, (size_t)sprintf(request, "mset a0 %s b0 %s\n", value, value));
    HEAR(client, "+OK\r\n");
    close(client);
    stop(&server);
    /* The root, the pairs, a table, and that of before while it is emptied. */
    ck_assert_uint_ge(test_live_blocks(server.path), 2 + (uint64_t)size - 2);
    ck_assert_uint_le(test_live_blocks(server.path), 3 + (uint64_t)size - 2);
}
END_TEST

/* ---- SCAN ------------------------------------------------------------------------------ */

/* One call: the next cursor.  Marks in `seen` the keys "kept:<number>". */
static uint64_t scan_once(int client, uint64_t cursor, unsigned count, bool *seen, unsigned kept,
                          unsigned *keys)
{
    char text[128];
    uint64_t next;
    long found;

    say(client, text,
        (size_t)sprintf(text, "scan %llu count %u\n", (unsigned long long)cursor, count));
    HEAR(client, "*2\r\n");
    ck_assert(hear_bulk(client, text, sizeof text));
    next = strtoull(text, NULL, 10);
    hear_line(client, text, sizeof text);
    ck_assert_int_eq(text[0], '*');
    for (found = atol(text + 1); found > 0; found--, ++*keys) {
        unsigned number;

        ck_assert(hear_bulk(client, text, sizeof text));
        if (sscanf(text, "kept:%u", &number) == 1 && number < kept)
            seen[number] = true;
    }
    return next;
}

#define KEPT 1000u

#define OTHERS 30000u
#define STEP_MOST 512u

/* A pipeline of INCRs of new keys, or of DELs of the last. */
static void change_others(int client, unsigned *others, unsigned count, bool grow)
{
    char requests[STEP_MOST * 32] = "";
    size_t length = 0;
    unsigned sent = 0;

    for (; sent < count && (grow ? *others < OTHERS : *others > 0); sent++)
        if (grow)
            length += (size_t)sprintf(requests + length, "incr other:%u\n", (*others)++);
        else
            length += (size_t)sprintf(requests + length, "del other:%u\n", --*others);
    say(client, requests, length);
    for (; sent > 0; sent--)
        HEAR(client, ":1\r\n");
}

/* Scans, with the table growing and shrinking by a factor of thirty between the
 * calls: all that is kept is seen, every time. */
START_TEST(test_scan)
{
    struct test_random random = test_random_new(0);
    struct server server = start(test_path("scan"), "");
    const int client = connect_to(&server), other = connect_to(&server);
    unsigned others = 0;
    bool seen[KEPT];
    char text[128];

    for (unsigned i = 0; i < KEPT; i++)
        ck_assert_int_eq(ask_number(client, (sprintf(text, "incr kept:%u\n", i), text)), 1);
    for (unsigned round = 0; round < test_times(8); round++) {
        const unsigned step = round % 4 == 0 ? 0 : 1u << test_below(&random, 10);
        const bool grow = round % 2 == 1;
        unsigned keys = 0, calls = 0;
        uint64_t cursor = 0;

        memset(seen, 0, sizeof seen);
        do {
            cursor = scan_once(client, cursor, 1 + (unsigned)test_below(&random, 100), seen, KEPT,
                               &keys);
            change_others(other, &others, step, grow);
            ck_assert_uint_lt(++calls, 1000000);
        } while (cursor != 0);
        for (unsigned i = 0; i < KEPT; i++)
            ck_assert_msg(seen[i], "kept:%u was not seen in round %u", i, round);
        if (step == 0)
            ck_assert_uint_eq(keys, KEPT + others); /* each once while nothing changes */
    }
    ck_assert_int_eq(ask_number(client, "dbsize\n"), KEPT + others);
    close(client);
    close(other);
    stop(&server);
    ck_assert_uint_le(test_live_blocks(server.path), 1 + KEPT + others + 2);
    ck_assert_uint_ge(test_live_blocks(server.path), 1 + KEPT + others + 1);
}
END_TEST

START_TEST(test_patterns)
{
    static const struct {
        const char *pattern, *key;
        bool match;
    } cases[] = {
        {"*", "key", true},         {"key", "key", true},
        {"ke", "key", false},       {"keyx", "key", false},
        {"k?y", "key", true},       {"k?", "key", false},
        {"k*y", "key", true},       {"*e*", "key", true},
        {"*x*", "key", false},      {"**y*", "key", true},
        {"[jk]ey", "key", true},    {"[^jk]ey", "key", false},
        {"[a-z]*", "key", true},    {"[a-j]*", "key", false},
        {"\\*ey", "*ey", true},     {"\\*ey", "key", false},
        {"[\\]", "key", false},     {"k[", "key", false},
        {"k[^", "key", false},      {"", "key", false},
        {"*y*k*y", "keykey", true}, {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    struct server server = start(test_path("patterns"), "");
    const int client = connect_to(&server);
    char request[256], reply[256];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *pattern = cases[i].pattern, *key = cases[i].key;

        say(client, request,
            (size_t)sprintf(request,
                            "set %s 1\r\n*6\r\n$4\r\nscan\r\n$1\r\n0\r\n$5\r\nmatch\r\n"
                            "$%zu\r\n%s\r\n$5\r\ncount\r\n$4\r\n1000\r\ndel %s\r\n",
                            key, strlen(pattern), pattern, key));
        if (cases[i].match)
            sprintf(reply, "+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$%zu\r\n%s\r\n:1\r\n", strlen(key), key);
        else
            sprintf(reply, "+OK\r\n*2\r\n$1\r\n0\r\n*0\r\n:1\r\n");
        hear(client, reply, strlen(reply));
    }
    close(client);
    stop(&server);
}
END_TEST

/* ---- Killed under load --------------------------------------------------------------- */

#define WORKERS 4u
#define WORKER_KEYS 3000u
#define PIPELINE 24u
#define ASKED 100u /* for at a time: a part of WORKER_KEYS */

/* What one client has sent and has had acknowledged, by key: a key's operations are
 * numbered from 1, and every fifth is a DEL, the others SETs of the number. */
struct worker {
    uint32_t sent[WORKER_KEYS], acknowledged[WORKER_KEYS];
    uint32_t counter_sent, counter; /* INCRs */
    uint32_t pair_sent, pair;       /* MSETs of two keys */
};

struct load {
    struct worker workers[WORKERS];
    uint64_t seed;
};

static unsigned next_worker; /* of those that a fork starts, */
static int its_client;       /* and its connection */

static bool is_delete(uint32_t operation)
{
    return operation % 5 == 0;
}

/* The replies, in one piece or many, until each has its end of line. */
static bool take_replies(int client, unsigned count)
{
    char bytes[4096];

    while (count > 0) {
        const ssize_t got = recv(client, bytes, sizeof bytes, 0);

        if (got <= 0)
            return false;
        for (ssize_t i = 0; i < got; i++) {
            REQUIRE(bytes[i] != '-');
            count -= bytes[i] == '\n';
        }
    }
    return true;
}

/* Pipelines of random lengths until the connection breaks.  What was acknowledged is
 * known of a pipeline as a whole. */
static void run_worker(void *argument)
{
    struct load *load = argument;
    const unsigned number = next_worker;
    struct worker *worker = &load->workers[number];
    struct test_random random = {load->seed + number};
    const int client = its_client;
    char requests[PIPELINE * 128];

    for (;;) {
        const unsigned count = 1 + (unsigned)test_below(&random, PIPELINE);
        uint32_t keys[PIPELINE];
        size_t length = 0;

        for (unsigned i = 0; i < count; i++) {
            const uint32_t key = (uint32_t)test_below(&random, WORKER_KEYS);
            const uint32_t operation = ++worker->sent[key];

            keys[i] = key;
            length += (size_t)sprintf(requests + length,
                                      is_delete(operation) ? "del w%u:%u\n" : "set w%u:%u %u\n",
                                      number, key, operation);
        }
        length += (size_t)sprintf(requests + length, "incr counter:%u\n", number);
        worker->counter_sent++;
        worker->pair_sent++;
        length += (size_t)sprintf(requests + length, "mset left:%u %u right:%u %u\n", number,
                                  worker->pair_sent, number, worker->pair_sent);
        if (send(client, requests, length, MSG_NOSIGNAL) != (ssize_t)length ||
            !take_replies(client, count + 2))
            return;
        for (unsigned i = 0; i < count; i++)
            worker->acknowledged[keys[i]] = worker->sent[keys[i]];
        worker->counter = worker->counter_sent;
        worker->pair = worker->pair_sent;
    }
}

static void ask(int client, const char *format, unsigned a, unsigned b)
{
    char text[64] = "get ";
    int length = 4;

    length += sprintf(text + length, format, a, b);
    text[length++] = '\n';
    say(client, text, (size_t)length);
}

/* The number in a key that was asked for, 0 if it is not there. */
static uint32_t hear_value(int client)
{
    char text[64];

    return hear_bulk(client, text, sizeof text) ? (uint32_t)atol(text) : 0;
}

/* The store holds, of each key, what some operation between the last acknowledged and
 * the last sent has left; it becomes what the next round starts from. */
static void compare_worker(int client, struct worker *worker, unsigned number, uint64_t *there)
{
    uint32_t counter, left, right;

    for (unsigned key = 0; key < WORKER_KEYS; key++) {
        const uint32_t last = worker->acknowledged[key], sent = worker->sent[key];
        uint32_t value;
        bool found = false;

        if (key % ASKED == 0)
            for (unsigned i = key; i < key + ASKED; i++)
                ask(client, "w%u:%u", number, i);
        value = hear_value(client);

        for (uint32_t operation = last; operation <= sent && !found; operation++)
            found = value == (is_delete(operation) ? 0 : operation);
        ck_assert_msg(found, "w%u:%u is %u; acknowledged %u, sent %u", number, key, value, last,
                      sent);
        *there += value != 0;
        if (value != 0)
            worker->sent[key] = value;
        else
            worker->sent[key] -= worker->sent[key] % 5; /* the latest DEL, or none at all */
        worker->acknowledged[key] = worker->sent[key];
    }
    ask(client, "counter:%u", number, 0);
    counter = hear_value(client);
    ask(client, "left:%u", number, 0);
    left = hear_value(client);
    ask(client, "right:%u", number, 0);
    right = hear_value(client);
    ck_assert_uint_ge(counter, worker->counter);
    ck_assert_uint_le(counter, worker->counter_sent);
    ck_assert_uint_eq(left, right);
    ck_assert_uint_ge(left, worker->pair);
    ck_assert_uint_le(left, worker->pair_sent);
    worker->counter = worker->counter_sent = counter;
    worker->pair = worker->pair_sent = left;
    *there += (counter != 0) + (left != 0) + (right != 0);
}

static uint64_t count_by_scan(int client)
{
    unsigned keys = 0;
    bool none[1];

    for (uint64_t cursor = 0;;) {
        cursor = scan_once(client, cursor, 1000, none, 0, &keys);
        if (cursor == 0)
            return keys;
    }
}

static void compare_all(int client, struct load *load)
{
    uint64_t there = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        compare_worker(client, &load->workers[i], i, &there);
    ck_assert_uint_eq((uint64_t)ask_number(client, "dbsize\n"), there);
    ck_assert_uint_eq(count_by_scan(client), there);
}

static uint64_t acknowledged_in_all(const struct load *load)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        count += *(const volatile uint32_t *)&load->workers[i].counter;
    return count;
}

/* Every worker's connection breaks when the server dies, some time after it has answered the
 * first of them. */
static void load_and_kill(struct server *server, struct load *load, uint64_t microseconds)
{
    const uint64_t before = acknowledged_in_all(load);
    pid_t workers[WORKERS];

    load->seed += WORKERS;
    for (next_worker = 0; next_worker < WORKERS; next_worker++) {
        its_client = connect_to(server);
        workers[next_worker] = test_fork(run_worker, load);
        close(its_client);
    }
    for (unsigned ms = 0; acknowledged_in_all(load) == before; ms++) {
        ck_assert_msg(ms < 100000, "the server answers nothing");
        test_sleep_us(1000);
    }
    test_sleep_us(microseconds);
    ck_assert_int_eq(end(server, SIGKILL), KILLED);
    for (unsigned i = 0; i < WORKERS; i++)
        ck_assert_int_eq(test_wait(workers[i]), 0);
    test_sound(server->path);
}

/* Each durability in turn, with one file: what is promised of a kill is the same. */
static const char *const durabilities[] = {"--size 64", "--size 64 --durability everysec",
                                           "--size 64 --durability always"};

START_TEST(test_killed)
{
    const char *path = test_disk_path("killed");
    struct load *load = test_share(sizeof *load);
    struct test_random random = test_random_new(0);

    load->seed = test_next(&random);
    for (unsigned i = 0; i < test_times(12); i++) {
        const char *options = durabilities[i % 3];
        struct server server = start(path, options);
        int client;

        load_and_kill(&server, load, test_below(&random, 200000));
        server = start(path, options);
        client = connect_to(&server);
        compare_all(client, load);
        close(client);
        stop(&server);
    }
}
END_TEST

/* How many commits survive a loss of power now, and of how many in the redo log. */
static void ask_commits(int client, unsigned long *logged, unsigned long *durable)
{
    char text[1024];
    const char *at;

    SAY(client, "info\n");
    ck_assert(hear_bulk(client, text, sizeof text));
    at = strstr(text, "commits_logged:");
    ck_assert(at != NULL);
    ck_assert_int_eq(sscanf(at, "commits_logged:%lu commits_durable:%lu", logged, durable), 2);
}

/* With `always` what was acknowledged is durable by then, with `everysec` soon. */
START_TEST(test_durable)
{
    const char *path = test_disk_path("durable");
    unsigned long logged, durable = 0;

    for (int mode = 1; mode < 3; mode++) {
        struct server server = start(path, durabilities[mode]);
        const int client = connect_to(&server);

        for (unsigned i = 0; i < 20; i++) {
            SAY(client, "set colour green\n");
            HEAR(client, "+OK\r\n");
            ask_commits(client, &logged, &durable);
            ck_assert_uint_ge(logged, i + 1);
            if (mode == 2)
                ck_assert_uint_eq(durable, logged);
        }
        while (durable < logged) {
            test_sleep_us(10000);
            ask_commits(client, &logged, &durable);
        }
        close(client);
        stop(&server);
    }
}
END_TEST

#define MODEL_KEYS 3000u

/* What a write command leaves in a key: this text, and a tail of a length of its own. */
static int write_value(char *text, unsigned value)
{
    return sprintf(text, "%u%.*s", value, (int)(value * 7 % 60),
                   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

/* Appends a random write command to `requests`, and does to the model what it does: mostly
 * it adds keys, or mostly it takes them out. */
static size_t write_command(char *requests, struct test_random *random, bool grow, unsigned *model)
{
    const unsigned key = (unsigned)test_below(random, MODEL_KEYS);
    const unsigned value = 1 + (unsigned)test_below(random, 100000);
    const unsigned second = (key + 1) % MODEL_KEYS;
    char text[128];

    write_value(text, value);
    switch (test_below(random, 5) + (grow ? 0 : 2)) {
    case 0:
    case 1:
    case 2:
        model[key] = model[second] = value;
        return (size_t)sprintf(requests, "mset m:%u %s m:%u %s\n", key, text, second, text);
    case 3:
        model[key] = value;
        return (size_t)sprintf(requests, "set m:%u %s\n", key, text);
    default:
        model[key] = model[second] = 0;
        return (size_t)sprintf(requests, "del m:%u m:%u\n", key, second);
    }
}

static void compare_model(int client, const unsigned *model)
{
    char text[128], expected[128];
    uint64_t there = 0;

    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        bool found;

        if (key % ASKED == 0)
            for (unsigned i = key; i < key + ASKED; i++)
                ask(client, "m:%u", i, 0);
        found = hear_bulk(client, text, sizeof text);
        write_value(expected, model[key]);
        ck_assert_msg(found == (model[key] != 0) && (!found || strcmp(text, expected) == 0),
                      "m:%u is %s, expected %u", key, found ? text : "not there", model[key]);
        there += found;
    }
    ck_assert_uint_eq((uint64_t)ask_number(client, "dbsize\n"), there);
    ck_assert_uint_eq(count_by_scan(client), there);
}

/* The server dies when a write command is done but for the commit: all before it is there,
 * and nothing of it. */
START_TEST(test_killed_before_commit)
{
    const char *path = test_path("model");
    struct test_random random = test_random_new(0);
    unsigned model[MODEL_KEYS] = {0}, dying[MODEL_KEYS];
    char *requests = malloc(2000 * 256), options[64];
    struct server server;
    uint64_t there = 0;
    int client;

    for (unsigned round = 0; round < test_times(60); round++) {
        const unsigned writes = 1 + (unsigned)test_below(&random, round % 2 == 0 ? 10 : 1500);
        const bool grow = round / 10 % 2 == 0;
        size_t length = 0;
        char byte;

        sprintf(options, "--kill %u", writes);
        server = start(path, options);
        client = connect_to(&server);
        compare_model(client, model);
        for (unsigned i = 1; i < writes; i++)
            length += write_command(requests + length, &random, grow, model);
        memcpy(dying, model, sizeof dying);
        length += write_command(requests + length, &random, grow, dying);
        say(client, requests, length);
        while (recv(client, &byte, 1, 0) == 1)
            ck_assert_int_ne(byte, '-');
        close(client);
        ck_assert_int_eq(end(&server, SIGTERM), KILLED);
        test_sound(path);
    }
    server = start(path, "");
    client = connect_to(&server);
    compare_model(client, model);
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        there += model[key] != 0;
    close(client);
    stop(&server);
    ck_assert_uint_ge(test_live_blocks(path), 1 + there + 1);
    ck_assert_uint_le(test_live_blocks(path), 1 + there + 2);
    free(requests);
}
END_TEST

/* ---- Ranges that were forgotten ------------------------------------------------- */

#define CALLS 10u /* of vista_set_range in store.c */

/* The server without call number `out` of them (from 0 on; CALLS: with all). */
static void compile_without(unsigned out, const char *program)
{
    char command[4 * PATH_MAX];

    snprintf(command, sizeof command,
             "printf '#define vista_set_range(...) "
             "(__COUNTER__ == %u ? 0 : (vista_set_range)(__VA_ARGS__))\\n' >%s.h && "
             "%s -w -O1 -include vista.h -include %s.h %s/08_keyvalue/*.c -o %s -L%s "
             "-Wl,-rpath,%s -lvista",
             out, program, VISTA_COMPILE, program, VISTA_EXAMPLES, program, build_directory(),
             build_directory());
    ck_assert_int_eq(system(command), 0);
}

/* Writes of every kind: the table grows and shrinks, values are replaced in place and
 * not, deadlines come and go.  Whether one is answered by what VISTA_CHECK_RANGES has found. */
static bool write_finds(int client)
{
    static const char *const more[] = {"set key:1 0\n",       "set key:1 a-much-longer-value\n",
                                       "set key:2 0 ex 99\n", "set key:2 1\n",
                                       "expire key:3 99\n",   "persist key:3\n",
                                       "set new 1 ex 99\n",   "expire key:3 99\n"};
    const unsigned others = sizeof more / sizeof *more;
    char line[512], request[64];

    for (unsigned i = 0; i <= 1000 + others; i++) {
        if (i < 500)
            sprintf(request, "set key:%u value\n", i);
        else if (i < 500 + others)
            strcpy(request, more[i - 500]);
        else if (i < 1000 + others)
            sprintf(request, "del key:%u\n", i - 500 - others);
        else
            strcpy(request, "flushdb\n");
        say(client, request, strlen(request));
        hear_line(client, line, sizeof line);
        if (line[0] == '-') {
            ck_assert_msg(strstr(line, "stored to without vista_set_range") != NULL, "%s", line);
            return true;
        }
    }
    return false;
}

/* Whether the server has found one while it removed what was flushed, and says so. */
static bool tidying_finds(struct server *server)
{
    char says[4096];
    size_t got = 0;
    ssize_t more;

    test_sleep_us(500000); /* it takes 4 to 8 steps, which wait for nothing */
    kill(server->process, SIGTERM);
    while ((more = read(server->says, says + got, sizeof says - 1 - got)) > 0)
        got += (size_t)more;
    says[got] = '\0';
    return strstr(says, "stored to without vista_set_range") != NULL;
}

START_TEST(test_forgotten_ranges)
{
    const unsigned out = (unsigned)_i;
    struct server server = {.path = test_path("forgotten")};
    char program[PATH_MAX], command[3 * PATH_MAX], says[2 * PATH_MAX];
    bool found;

    if (test_is_sanitized()) {
        test_skip("the server with a range taken out", "compiled without sanitizers only");
        return;
    }
    snprintf(program, sizeof program, "%s", test_disk_path("server"));
    compile_without(out, program);
    snprintf(command, sizeof command, "VISTA_CHECK=ranges exec %s %s --size 4 --port 0", program,
             server.path);
    if (try_start(&server, command, says, sizeof says)) {
        const int client = connect_to(&server);

        found = write_finds(client);
        close(client);
        found |= tidying_finds(&server);
        ck_assert_int_eq(end(&server, SIGTERM), 0);
    } else {
        found = strstr(says, "stored to without vista_set_range") != NULL;
        ck_assert_msg(found, "%s", says);
        ck_assert_int_eq(end(&server, SIGTERM), 1);
    }
    ck_assert_msg(found == (out < CALLS), "call number %u", out);
}
END_TEST

/* ---- Debian's tools -------------------------------------------------------------------- */

static bool have_tools(void)
{
    if (system("command -v redis-cli >/dev/null && command -v redis-benchmark >/dev/null") == 0)
        return true;
    test_skip("redis-cli and redis-benchmark", "they are not installed");
    return false;
}

/* A command that succeeds, with `part` in its output. */
static void shell(const char *part, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void shell(const char *part, const char *format, ...)
{
    char command[512];
    va_list arguments;
    int status;

    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    status = run_shell(command);
    ck_assert_msg(status == 0 && strstr(output, part) != NULL, "%s: exit status %d, \"%s\" in:\n%s",
                  command, status, part, output);
}

START_TEST(test_tools)
{
    struct server server;

    if (!have_tools())
        return;
    server = start(test_path("tools"), "");
    shell("OK\n", "redis-cli -p %d set colour green", server.port);
    shell("green\n", "redis-cli -p %d get colour", server.port);
    shell("(integer) 3\n", "redis-cli --no-raw -p %d exists colour colour colour", server.port);
    shell("unknown command", "redis-cli -p %d flush", server.port);
    shell("PONG\ngreen\n", "printf 'ping\\nget colour\\n' | redis-cli -p %d", server.port);
    shell("replies: 2", "printf 'set a 1\\r\\nset b 2\\r\\n' | redis-cli -p %d --pipe",
          server.port);
    shell("GET", "redis-benchmark -p %d -q -t ping,set,get,incr,mset -n %u -r 1000 -c 20 2>&1",
          server.port, test_times(3000));
    ck_assert_msg(strstr(output, "rror") == NULL && strstr(output, "WARN") == NULL, "%s", output);
    shell("SET", "redis-benchmark -p %d -q -t set,get -n %u -r 10000 -P 16 2>&1", server.port,
          test_times(30000));
    ck_assert_msg(strstr(output, "rror") == NULL, "%s", output);
    shell("same",
          "test $(redis-cli -p %d --scan | sort -u | wc -l) = $(redis-cli -p %d dbsize) "
          "&& echo same",
          server.port, server.port);
    shell("colour\n", "redis-cli -p %d --scan --pattern 'col*'", server.port);
    stop(&server);
}
END_TEST

/* redis-benchmark's writes and ours at a time, and the server killed in the midst. */
START_TEST(test_tools_killed)
{
    const char *path = test_path("benchmark");
    struct load *load;
    struct test_random random = test_random_new(1);

    if (!have_tools())
        return;
    load = test_share(sizeof *load);
    for (unsigned i = 0; i < test_times(5); i++) {
        struct server server = start(path, "");
        char command[256];
        pid_t benchmark;
        int client;

        snprintf(command, sizeof command,
                 "exec redis-benchmark -p %d -q -t set,incr,mset -n 100000000 -r 50000 -P 8 "
                 ">/dev/null 2>&1",
                 server.port);
        benchmark = test_begin_child();
        if (benchmark == 0) {
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
            _exit(99);
        }
        load_and_kill(&server, load, 100000 + test_below(&random, 200000));
        kill(benchmark, SIGKILL);
        test_wait(benchmark);
        server = start(path, "");
        client = connect_to(&server);
        for (unsigned worker = 0; worker < WORKERS; worker++) {
            uint64_t there = 0;

            compare_worker(client, &load->workers[worker], worker, &there);
        }
        ck_assert_int_eq(ask_number(client, "dbsize\n"), (long)count_by_scan(client));
        close(client);
        stop(&server);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keyvalue");
    TCase *protocol = test_case(suite, "protocol", 60), *limits = test_case(suite, "limits", 60);
    TCase *scan = test_case(suite, "scan", 60), *kills = test_case(suite, "kills", 120);
    TCase *ranges = test_case(suite, "ranges", 60), *tools = test_case(suite, "tools", 120);

    tcase_add_test(protocol, test_replies);
    tcase_add_test(protocol, test_bad_protocol);
    tcase_add_test(protocol, test_noise);
    tcase_add_test(limits, test_start_errors);
    tcase_add_test(limits, test_foreign_root);
    tcase_add_test(limits, test_many_clients);
    tcase_add_test(limits, test_slow_reader);
    tcase_add_test(limits, test_growth);
    tcase_add_test(limits, test_full);
    tcase_add_test(scan, test_scan);
    tcase_add_test(scan, test_patterns);
    tcase_add_test(kills, test_killed);
    tcase_add_test(kills, test_durable);
    tcase_add_test(kills, test_killed_before_commit);
    tcase_add_loop_test(ranges, test_forgotten_ranges, 0, CALLS + 1);
    tcase_add_test(tools, test_tools);
    tcase_add_test(tools, test_tools_killed);
    return test_run(suite);
}
