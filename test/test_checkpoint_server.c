/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A TCP server under vista-run is killed under load: at random, and before and after system calls
 * that are drawn.  Its clients see no reset, and of what it answers no byte lost or repeated.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "../bench/checkpoint/child_of.h"
#include "checkpoint/run_server.h"
#include "run_fixture.h"

#define CLIENTS 8
#define REQUESTS 30
#define MOST_BYTES 2000
#define MOST_COPIES 40

static struct test_random draws;
static pid_t supervisor;
static int port;
static FILE *output; /* of the server, read as long as it runs: a kill may repeat the line */
static unsigned kills;

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- The server --------------------------------------------------------------- */

/* The port is in the first line of its output. */
static void start(const char *runner, const char *way, const char *list)
{
    char line[64] = "";
    int fds[2];

    OK(pipe(fds));
    supervisor = test_begin_child();
    if (supervisor == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(fds[1], 1);
        close(fds[0]);
        close(fds[1]);
        if (list != NULL)
            setenv("VISTA_KILLS", list, 1);
        execl(runner, runner, "-f", "server.dc", "--retries", "1000000", VISTA_SERVER, way, NULL);
        _exit(126);
    }
    close(fds[1]);
    output = fdopen(fds[0], "r");
    ck_assert(output != NULL && fgets(line, sizeof line, output) != NULL &&
              sscanf(line, "port %d", &port) == 1);
}

static void kill_server(void)
{
    const pid_t pid = child_of(supervisor);

    if (pid != 0 && kill(pid, SIGKILL) == 0)
        kills++;
}

static void stop(void)
{
    int status;

    OK(kill(supervisor, SIGTERM));
    ck_assert_int_eq(waitpid(supervisor, &status, 0), supervisor);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status %x", status);
    ck_assert_int_ne(access("server.dc", F_OK), 0);
    fclose(output);
}

/* ---- Its clients -------------------------------------------------------------- */

/* All that a client is to send and to get is made before it begins. */
struct stream {
    unsigned char *bytes;
    size_t length, done, room;
};

struct client {
    int fd; /* -1: not connected */
    struct stream out, in;
};

static void append(struct stream *stream, const void *bytes, size_t length)
{
    if (stream->length + length > stream->room) {
        stream->room = 2 * (stream->length + length);
        stream->bytes = realloc(stream->bytes, stream->room);
        SOME(stream->bytes);
    }
    memcpy(stream->bytes + stream->length, bytes, length);
    stream->length += length;
}

/* Bytes of value 255 are what a landing zone holds where nothing has landed. */
static void draw_bytes(unsigned char *bytes, size_t length)
{
    const bool blank = test_below(&draws, 4) == 0;

    for (size_t i = 0; i < length; i++)
        bytes[i] = blank || test_below(&draws, 8) == 0 ? 255 : (unsigned char)test_next(&draws);
}

static void draw_dialogue(struct client *client)
{
    unsigned char bytes[MOST_BYTES];
    struct server_answer answer = {0};

    for (unsigned i = 1; i <= REQUESTS; i++) {
        const bool large = test_below(&draws, 10) == 0;
        const struct server_request request = {
            .length =
                i == REQUESTS ? 0 : (uint16_t)(1 + test_below(&draws, large ? MOST_BYTES : 60)),
            .copies = (uint16_t)(1 + (large ? test_below(&draws, MOST_COPIES) : 0))};

        draw_bytes(bytes, request.length);
        append(&client->out, &request, sizeof request);
        append(&client->out, bytes, request.length);
        answer.number = i;
        answer.hash = server_hash(answer.hash, bytes, request.length);
        answer.length = (uint32_t)request.length * request.copies;
        append(&client->in, &answer, sizeof answer);
        for (unsigned copy = 0; copy < request.copies; copy++)
            append(&client->in, bytes, request.length);
    }
}

static void begin(struct client *client)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    client->out.length = client->out.done = client->in.length = client->in.done = 0;
    draw_dialogue(client);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    OK(connect(client->fd, (const struct sockaddr *)&address, sizeof address));
    OK(fcntl(client->fd, F_SETFL, O_NONBLOCK));
}

static void send_some(struct client *client)
{
    struct stream *out = &client->out;
    size_t part = 1 + test_below(&draws, 300);
    ssize_t sent;

    if (part > out->length - out->done)
        part = out->length - out->done;
    sent = send(client->fd, out->bytes + out->done, part, MSG_NOSIGNAL);
    ck_assert_msg(sent > 0 || errno == EAGAIN, "sending: %s", strerror(errno));
    out->done += sent > 0 ? (size_t)sent : 0;
}

/* False: the connection was ended, where it should be. */
static bool receive_some(struct client *client)
{
    struct stream *in = &client->in;
    unsigned char bytes[4096];
    const ssize_t got = recv(client->fd, bytes, 1 + test_below(&draws, sizeof bytes), 0);

    ck_assert_msg(got >= 0 || errno == EAGAIN, "%s, received %zu of %zu bytes, sent %zu of %zu",
                  strerror(errno), in->done, in->length, client->out.done, client->out.length);
    if (got == 0) {
        ck_assert_msg(in->done == in->length, "the end behind %zu of %zu bytes", in->done,
                      in->length);
        close(client->fd);
        client->fd = -1;
        return false;
    }
    if (got > 0) {
        ck_assert_msg((size_t)got <= in->length - in->done &&
                          memcmp(bytes, in->bytes + in->done, (size_t)got) == 0,
                      "other bytes behind byte %zu of %zu", in->done, in->length);
        in->done += (size_t)got;
    }
    return true;
}

/* One look at each client; how many have ended. */
static unsigned turn(struct client *clients)
{
    struct pollfd fds[CLIENTS];
    unsigned ended = 0;

    for (int i = 0; i < CLIENTS; i++)
        fds[i] = (struct pollfd){
            .fd = clients[i].fd,
            .events =
                (short)(POLLIN | (clients[i].out.done < clients[i].out.length ? POLLOUT : 0))};
    ck_assert_int_ge(poll(fds, CLIENTS, 1), 0);
    for (int i = 0; i < CLIENTS; i++) {
        if (fds[i].revents & POLLOUT)
            send_some(&clients[i]);
        if (fds[i].revents & ~POLLOUT)
            ended += !receive_some(&clients[i]);
    }
    return ended;
}

/* `dialogues` of them, of which CLIENTS at a time; the server is killed about each `interval`
 * microseconds, 0: by itself. */
static void load(unsigned dialogues, unsigned interval)
{
    static struct client clients[CLIENTS];
    unsigned begun = 0, ended = 0;
    int64_t next = now_us() + (interval != 0 ? (int64_t)test_below(&draws, 2 * interval) : 0);

    for (int i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;
    while (ended < dialogues) {
        for (int i = 0; i < CLIENTS; i++)
            if (clients[i].fd < 0 && begun < dialogues) {
                begin(&clients[i]);
                begun++;
            }
        ended += turn(clients);
        if (interval != 0 && now_us() >= next) {
            kill_server();
            next = now_us() + (int64_t)test_below(&draws, 2 * interval);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        free(clients[i].in.bytes);
        free(clients[i].out.bytes);
        memset(&clients[i], 0, sizeof clients[i]);
    }
}

/* ---- Tests -------------------------------------------------------------------- */

static const char *const ways[] = {"poll", "epoll", "edge"};

START_TEST(killed_at_random)
{
    draws = test_random_new(1 + (uint64_t)_i);
    start(VISTA_RUN, ways[_i], NULL);
    do
        load(test_times(25), 4000);
    while (kills < 2); /* it may be over before */
    stop();
    printf("%s: %u kills at random, none seen\n", ways[_i], kills);
}
END_TEST

START_TEST(killed_at_calls)
{
    static char list[60000];
    unsigned call = 12;

    draws = test_random_new(11 + (uint64_t)_i);
    for (size_t at = 0; at + 16 < sizeof list / 8; at = strlen(list)) {
        call += 1 + (unsigned)test_below(&draws, 30);
        snprintf(list + at, 16, "%u%c ", call, test_below(&draws, 2) ? 'a' : 'b');
    }
    start(VISTA_RUN_KILLED, ways[_i], list);
    load(test_times(25), 0);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint server");
    TCase *tests = test_case(suite, "server", 20);

    if (!vista_run_works(VISTA_RUN))
        return 77;
    tcase_add_checked_fixture(tests, enter_case, leave_case);
    tcase_add_loop_test(tests, killed_at_random, 0, 3);
    tcase_add_loop_test(tests, killed_at_calls, 0, 3);
    return test_run(suite);
}
