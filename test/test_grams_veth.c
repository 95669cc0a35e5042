/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Two machines, as far as the kernel can tell: network namespaces with a pair of virtual Ethernet
 * devices between them.  Datagrams are as long as Ethernet's, and keyed, as addresses are no
 * loopback ones; meanwhile the link goes down and up, the server is killed, and the client gets
 * another address.  Each request is executed once.
 *
 * Needs root; where it may not make namespaces it is skipped.  They go with the processes in them.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "grams/wire.h"
#include "grams_fixture.h"

#define REQUESTS 120
#define LARGEST 200000

static const unsigned char key[32] = "between the two namespaces.....";
static unsigned char sent[LARGEST], got[LARGEST];

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...)
{
    char command[512];
    va_list list;

    va_start(list, format);
    vsnprintf(command, sizeof command, format, list);
    va_end(list);
    return system(command);
}

/* ---- The server, in the other namespace -------------------------------------- */

struct server {
    const char *path;
    pid_t holder; /* of the namespace */
};

static void enter(pid_t holder)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/%d/ns/net", holder);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0 && setns(fd, CLONE_NEWNET) == 0);
    close(fd);
}

static void serve(void *arg)
{
    const struct server *server = arg;
    struct gram_end end = {.path = server->path, .address = "udp:10.77.0.2:7000", .key = key};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    enter(server->holder);
    gram_open(&end, NULL);
    for (;;) {
        struct vista_ready ready = {.endpoint = end.endpoint, .wanted = VISTA_REQUEST};
        vista_request request;
        vista_tx *tx;
        ssize_t length;
        uint64_t number;

        REQUIRE(vista_select(&ready, 1, -1) == 1);
        tx = vista_begin_transaction(end.segment, 0);
        length = vista_receive_request(tx, end.endpoint, got, sizeof got, &request, 0);
        REQUIRE(length >= (ssize_t)sizeof number);
        memcpy(&number, got, sizeof number);
        REQUIRE(vista_set_range(tx, &end.root->data[number], 8) == 0);
        end.root->data[number]++;
        REQUIRE(vista_send_response(tx, end.endpoint, &request, got, (size_t)length) == 0);
        REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
}

static void hold(void *arg)
{
    const int *ready = arg;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    REQUIRE(unshare(CLONE_NEWNET) == 0 && write(ready[1], "", 1) == 1);
    for (;;)
        pause();
}

static pid_t make_network(void)
{
    int ready[2];
    pid_t holder;
    char byte;

    ck_assert(unshare(CLONE_NEWNET) == 0 && pipe(ready) == 0);
    holder = test_fork(hold, ready);
    ck_assert(read(ready[0], &byte, 1) == 1);
    ck_assert_int_eq(shell("ip link add va type veth peer name vb netns %d", holder), 0);
    ck_assert_int_eq(shell("ip addr add 10.77.0.1/24 dev va && ip addr add 10.77.0.3/24 dev va && "
                           "ip link set va up"),
                     0);
    ck_assert_int_eq(shell("nsenter -t %d -n sh -c 'ip addr add 10.77.0.2/24 dev vb && "
                           "ip link set vb up'",
                           holder),
                     0);
    return holder;
}

/* ---- The client ---------------------------------------------------------------- */

static void disturb(struct gram_end *client, struct server *server, pid_t *pid, int number)
{
    if (number % 30 == 10) {
        ck_assert_int_eq(shell("ip link set va down"), 0);
        test_sleep_us(20000);
        ck_assert_int_eq(shell("ip link set va up"), 0);
    }
    if (number % 40 == 20) {
        kill(*pid, SIGKILL);
        ck_assert_int_eq(test_wait(*pid), 128 + SIGKILL);
        *pid = test_fork(serve, server);
    }
    /* Once it repeats a request from there a cookie says that it is the same client. */
    if (number % 40 == 20 || number % 40 == 25) {
        client->address = number % 40 == 20 ? "udp:10.77.0.3:0" : "udp:10.77.0.1:0";
        gram_reopen(client);
    }
}

static void ask(struct gram_end *client, struct server *server, pid_t *pid, uint64_t number,
                size_t length)
{
    struct vista_ready ready = {.endpoint = client->endpoint, .wanted = VISTA_RESPONSE};
    vista_request request;

    memset(sent, (int)number + 1, length);
    memcpy(sent, &number, sizeof number);
    request = gram_send(client, sent, length, 0);
    disturb(client, server, pid, (int)number);
    ready.endpoint = client->endpoint;
    ck_assert_int_eq(vista_select(&ready, 1, -1), 1);
    ck_assert_int_eq(gram_receive(client, &request, got, sizeof got), (ssize_t)length);
    ck_assert(memcmp(sent, got, length) == 0);
}

START_TEST(test_two_machines)
{
    struct server server = {.path = gram_path("server")};
    struct gram_end client = {
        .path = gram_path("client"), .address = "udp:10.77.0.1:0", .key = key};
    struct test_random random = test_random_new(77);
    vista_tx *tx;
    uint32_t peer;
    pid_t pid;

    server.holder = make_network();
    pid = test_fork(serve, &server);
    gram_open(&client, NULL);
    OK(vista_connect(client.endpoint, "udp:10.77.0.2:7000", NULL, &peer, -1));
    tx = vista_begin_transaction(client.segment, 0);
    OK(vista_set_range(tx, &client.root->peer, sizeof client.root->peer));
    client.root->peer = peer;
    OK(vista_end_transaction(tx, 0));
    for (uint64_t i = 0; i < REQUESTS; i++)
        ask(&client, &server, &pid, i,
            8 + test_below(&random, i % 10 == 0 ? sizeof sent - 8 : 2000));
    gram_close(&client);
    client.key = NULL;
    client.segment = vista_map(client.path, 0, 0, NULL);
    SOME(client.segment);
    ck_assert(vista_open_endpoint(client.segment, client.root->block, client.address, 0, NULL) ==
                  NULL &&
              errno == EACCES); /* beyond this machine, without a key */
    OK(vista_unmap(client.segment));
    kill(pid, SIGKILL);
    test_wait(pid);
    kill(server.holder, SIGKILL);
    test_wait(server.holder);
    client.segment = vista_map(server.path, 0, 0, NULL);
    SOME(client.segment);
    client.root = vista_root(client.segment, 0);
    for (int i = 0; i < REQUESTS; i++)
        ck_assert_uint_eq(client.root->data[i], 1);
    OK(vista_unmap(client.segment));
}
END_TEST

/* In a child, whose namespace goes with it. */
static bool can_make(void)
{
    const pid_t child = fork();
    int status;

    if (child == 0)
        _exit(unshare(CLONE_NEWNET) == 0 &&
                      shell("ip link add va type veth peer name vb >/dev/null 2>&1 && "
                            "command -v nsenter >/dev/null") == 0
                  ? 0
                  : 1);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(void)
{
    Suite *suite = suite_create("grams_veth");
    TCase *tcase = test_case(suite, "veth", 20);

    if (!can_make() || vi_wire_load_keys() != 0) {
        printf("SKIPPED: no network namespaces with virtual devices can be made here, or there is "
               "no libsodium\n");
        return 77;
    }
    tcase_add_test(tcase, test_two_machines);
    return test_run(suite);
}
