/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The calls beside the common way: refusals, several sends in one transaction, one-way requests,
 * cancelling, forgetting, vista_select and its descriptor, vista_wake, threads, many peers, and
 * what strangers send.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "grams/wire.h"
#include "grams_fixture.h"

static struct gram_end client, server;
static char text[256];

static void setup_with(const struct vista_endpoint_options *options)
{
    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("c")};
    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("s")};
    gram_open(&client, options);
    gram_open(&server, options);
    gram_connect(&client, &server);
}

static void setup(void)
{
    setup_with(NULL);
}

/* As setup, upon sockets that refuse what gram_refuse says. */
static void setup_refusing(const struct vista_endpoint_options *options)
{
    gram_network(&(struct gram_faults){.seed = 1});
    setup_with(options);
}

static void teardown(void)
{
    gram_close(&client);
    gram_close(&server);
    test_sound(client.path);
    test_sound(server.path);
}

static struct vista_endpoint_info info_of(const struct gram_end *end)
{
    struct vista_endpoint_info info;

    OK(vista_endpoint_info(end->endpoint, &info));
    return info;
}

static vista_tx *begin(const struct gram_end *end)
{
    return vista_begin_transaction(end->segment, 0);
}

/* That a library cannot be loaded now is not for ever. */
START_TEST(test_key_later)
{
    struct rlimit before, none;

    OK(getrlimit(RLIMIT_NOFILE, &before));
    none = before;
    none.rlim_cur = 0;
    OK(setrlimit(RLIMIT_NOFILE, &none));
    FAILS(vi_wire_load_keys(), ENOTSUP, "libsodium");
    OK(setrlimit(RLIMIT_NOFILE, &before));
    OK(vi_wire_load_keys());
}
END_TEST

/* ---- Refusals ------------------------------------------------------------------ */

START_TEST(test_refusals)
{
    static const struct vista_endpoint_options large = {.slots = 65};
    const struct vista_open_options key = {.key = "0123456789abcdef0123456789abcdef"};
    vista_request request = {0};
    uint32_t peer;
    vista_tx *tx;

    setup();
    tx = begin(&client);
    NULLS(vista_create_endpoint(tx, &large), EINVAL, "65");
    FAILS(vista_send_request(tx, NULL, 1, "", 1, 0, &request), EINVAL, "no endpoint");
    FAILS(vista_send_request(NULL, client.endpoint, 1, "", 1, 0, &request), EINVAL, "");
    FAILS(vista_send_request(tx, client.endpoint, 77, "", 1, 0, &request), EINVAL, "no peer 77");
    FAILS(vista_send_request(tx, client.endpoint, client.root->peer, "", 1, 2, &request), EINVAL,
          "");
    FAILS(vista_send_request(tx, client.endpoint, client.root->peer, text, (1 << 20) + 1, 0,
                             &request),
          EMSGSIZE, "1048577");
    FAILS((int)vista_receive_request(tx, client.endpoint, text, 9, &request, 0), EAGAIN, "");
    FAILS((int)vista_receive_response(tx, client.endpoint, &request, text, 9, 5), ETIMEDOUT, "");
    request = (vista_request){1, 1, 0, client.root->peer};
    FAILS((int)vista_receive_response(tx, client.endpoint, &request, text, 9, 0), EINVAL, "");
    FAILS(vista_send_response(tx, client.endpoint, &request, text, 9), EINVAL, "");
    FAILS(vista_cancel_request(tx, client.endpoint, &request), EINVAL, "");
    FAILS(vista_forget_peer(tx, client.endpoint, 5), EINVAL, "no peer 5");
    OK(vista_abort_transaction(tx));
    NULLS(vista_open_endpoint(client.segment, client.root->block, "unix:", 0, NULL), EBUSY, "open");
    NULLS(vista_open_endpoint(client.segment, client.root, "unix:", 0, NULL), EBADMSG, "");
    NULLS(vista_open_endpoint(client.segment, client.root->block, "tcp:1", 0, NULL), EINVAL,
          "tcp:1");
    NULLS(vista_open_endpoint(client.segment, client.root->block, "udp:0.0.0.0:0", 0, NULL), EACCES,
          "key");
    FAILS(vista_connect(client.endpoint, "udp:127.0.0.1:9", NULL, &peer, 0), EINVAL, "reached");
    FAILS(vista_connect(client.endpoint, "unix:@nobody-is-there", NULL, &peer, 30), ETIMEDOUT, "");
    FAILS(vista_unmap(client.segment), EBUSY, "");
    gram_close(&client);
    client.segment = vista_map(client.path, 0, VISTA_READ_ONLY, NULL);
    SOME(client.segment);
    NULLS(vista_open_endpoint(client.segment, client.root->block, "unix:", 0, &key), EROFS, "");
    OK(vista_unmap(client.segment));
    gram_open(&client, NULL);
    teardown();
}
END_TEST

static void in_child(void *arg)
{
    (void)arg;
    REQUIRE(vista_pump(client.endpoint) == -1 && errno == EPERM);
    REQUIRE(vista_close_endpoint(client.endpoint) == -1 && errno == EPERM);
    REQUIRE(vista_open_endpoint(client.segment, client.root, "unix:", 0, NULL) == NULL);
    REQUIRE(errno == EPERM);
}

START_TEST(test_forked)
{
    setup();
    ck_assert_int_eq(test_in_child(in_child, NULL), 0);
    teardown();
}
END_TEST

/* ---- Transactions ---------------------------------------------------------------- */

START_TEST(test_all_or_none)
{
    const struct vista_endpoint_options few = {.slots = 4};
    vista_request requests[5];
    struct vista_ready room = {.wanted = VISTA_ROOM};
    vista_tx *tx, *other;

    setup_with(&few);
    room.endpoint = client.endpoint;
    for (int round = 0; round < 2; round++) {
        tx = begin(&client);
        for (int i = 0; i < 4; i++)
            OK(vista_send_request(tx, client.endpoint, client.root->peer, &i, sizeof i, 0,
                                  &requests[i]));
        other = begin(&client);
        FAILS(vista_send_request(other, client.endpoint, client.root->peer, "", 1, 0, &requests[4]),
              EAGAIN, "in use");
        FAILS(vista_cancel_request(other, client.endpoint, &requests[0]), EBUSY, "another");
        FAILS(vista_close_endpoint(client.endpoint), EBUSY, "a transaction");
        FAILS(vista_forget_peer(other, client.endpoint, client.root->peer), EBUSY, "");
        OK(vista_abort_transaction(other));
        ck_assert_int_eq(vista_select(&room, 1, 0), 0);
        gram_settle(&client, &server);
        ck_assert_int_eq(gram_echo(&server, text, sizeof text), -1);
        OK(round == 0 ? vista_abort_transaction(tx) : vista_end_transaction(tx, 0));
    }
    gram_settle(&client, &server);
    /* All are received, answered and taken in one transaction at each end. */
    tx = begin(&server);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(
            vista_receive_request(tx, server.endpoint, text, sizeof text, &requests[4], 0),
            sizeof i);
    OK(vista_abort_transaction(tx));
    tx = begin(&server);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(
            vista_receive_request(tx, server.endpoint, text, sizeof text, &requests[4], 0),
            sizeof i);
        OK(vista_send_response(tx, server.endpoint, &requests[4], text, sizeof i));
        FAILS(vista_send_response(tx, server.endpoint, &requests[4], text, sizeof i), EINVAL, "");
    }
    OK(vista_end_transaction(tx, 0));
    gram_settle(&client, &server);
    tx = begin(&client);
    for (int i = 3; i >= 0; i--) {
        int got;

        ck_assert_int_eq(
            vista_receive_response(tx, client.endpoint, &requests[i], &got, sizeof got, 0),
            sizeof got);
        ck_assert_int_eq(got, i);
    }
    /* Their slots are free when this has committed, not before. */
    FAILS(vista_send_request(tx, client.endpoint, client.root->peer, "", 1, 0, &requests[4]),
          EAGAIN, "");
    OK(vista_end_transaction(tx, 0));
    ck_assert_int_eq(vista_select(&room, 1, 0), 1);
    teardown();
}
END_TEST

/* As many requests as leave at once, and no room for one of them: each is sent again, and that
 * before a time-out. */
START_TEST(test_all_refused)
{
    const struct vista_endpoint_options options = {.slots = VI_BATCH};
    struct vista_endpoint_info before, after;
    vista_request request;
    vista_tx *tx;

    setup_refusing(&options);
    tx = begin(&client);
    for (int i = 0; i < VI_BATCH; i++)
        OK(vista_send_request(tx, client.endpoint, client.root->peer, &i, sizeof i, 0, &request));
    gram_refuse(VI_BATCH);
    OK(vista_end_transaction(tx, 0));
    before = info_of(&client);
    test_sleep_us(2000);
    OK(vista_pump(client.endpoint));
    after = info_of(&client);
    ck_assert_uint_eq(after.datagrams_out - before.datagrams_out, VI_BATCH);
    ck_assert_uint_eq(after.retransmitted, before.retransmitted);
    teardown();
}
END_TEST

START_TEST(test_answer_later)
{
    vista_request request, got;
    vista_tx *tx;

    setup();
    request = gram_send(&client, "q", 2, 0);
    gram_settle(&client, &server);
    tx = begin(&server);
    ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 9, &got, 0), 2);
    OK(vista_end_transaction(tx, 0));
    gram_reopen(&server);
    ck_assert_uint_eq(info_of(&server).executing, 1);
    tx = begin(&server);
    OK(vista_send_response(tx, server.endpoint, &got, "a", 2));
    OK(vista_end_transaction(tx, 0));
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_receive(&client, &request, text, 9), 2);
    ck_assert_str_eq(text, "a");
    teardown();
}
END_TEST

static int count_states(void *arg, const vista_request *request, unsigned state, size_t length)
{
    unsigned *counts = arg;

    (void)request, (void)length;
    counts[state]++;
    return 0;
}

START_TEST(test_one_way_and_cancel)
{
    unsigned counts[5] = {0};
    vista_request request;
    vista_tx *tx;

    setup();
    gram_send(&client, "one-way", 8, VISTA_ONE_WAY);
    request = gram_send(&client, "cancelled", 10, 0);
    tx = begin(&client);
    OK(vista_cancel_request(tx, client.endpoint, &request));
    FAILS((int)vista_receive_response(tx, client.endpoint, &request, text, 9, 0), EINVAL, "");
    OK(vista_end_transaction(tx, 0));
    OK(vista_each_request(client.endpoint, count_states, counts));
    ck_assert_uint_eq(counts[VISTA_REQUEST_CANCELLED], 2);
    gram_settle(&client, &server);
    tx = begin(&server);
    ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 99, &request, 0), 8);
    FAILS(vista_send_response(tx, server.endpoint, &request, "", 1), EINVAL, "");
    OK(vista_end_transaction(tx, 0));
    ck_assert_int_eq(gram_echo(&server, text, 99), 10);
    gram_settle(&client, &server);
    ck_assert_uint_eq(info_of(&client).unanswered, 0);
    /* Cancelled when its answer is there. */
    request = gram_send(&client, "late", 5, 0);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_echo(&server, text, 99), 5);
    gram_settle(&client, &server);
    tx = begin(&client);
    OK(vista_cancel_request(tx, client.endpoint, &request));
    OK(vista_end_transaction(tx, 0));
    gram_settle(&client, &server);
    ck_assert_uint_eq(info_of(&client).unanswered, 0);
    FAILS((int)gram_receive(&client, &request, text, 9), EINVAL, "");
    teardown();
}
END_TEST

static int find_request(void *arg, const vista_request *request, unsigned state, size_t length)
{
    (void)state, (void)length;
    *(vista_request *)arg = *request;
    return 0;
}

/* The client sends its request again, and there is no room for that. */
static void refuse_repetition(void)
{
    const uint64_t before = info_of(&client).retransmitted;

    gram_refuse(1);
    while (info_of(&client).retransmitted == before) {
        test_sleep_us(500);
        OK(vista_pump(client.endpoint));
    }
}

/* Also when the answer comes after its request was to be sent again and found no room: what is
 * said in its place is that the client leaves. */
START_TEST(test_leaving)
{
    const uint32_t old = 1024;
    vista_request request;
    vista_tx *tx;

    setup_refusing(NULL);
    ck_assert_uint_eq(client.root->peer, old);
    request = gram_send(&client, "q", 2, 0);
    if (_i == 1)
        refuse_repetition();
    OK(vista_pump(server.endpoint));
    ck_assert_int_eq(gram_echo(&server, text, 99), 2);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_receive(&client, &request, text, 9), 2);
    for (int i = 0; i < 2; i++) {
        tx = begin(&client);
        OK(vista_forget_peer(tx, client.endpoint, old));
        OK(i == 0 ? vista_abort_transaction(tx) : vista_end_transaction(tx, 0));
        ck_assert_uint_eq(info_of(&client).leaving, (unsigned)i);
    }
    while (info_of(&client).peers > 0) {
        gram_settle(&client, &server);
        test_sleep_us(500);
        ck_assert_uint_eq(info_of(&server).broken, 0);
    }
    ck_assert_uint_eq(info_of(&client).peers, 0);
    ck_assert_uint_eq(info_of(&server).peers, 0);
    gram_connect(&client, &server);
    ck_assert_uint_eq(client.root->peer, 2 * old);
    teardown();
}
END_TEST

/* Begins to forget a peer of an end. */
static vista_tx *begin_forgetting(const struct gram_end *end, uint32_t peer)
{
    vista_tx *tx = begin(end);

    OK(vista_forget_peer(tx, end->endpoint, peer));
    return tx;
}

/* While a transaction that forgets a peer is open nothing of it is received, answered or sent. */
START_TEST(test_forgetting)
{
    static const char body[200] = "longer than what a slot holds itself";
    struct vista_endpoint_info before;
    vista_request request = {0}, got;
    vista_tx *tx, *other;

    setup();
    tx = begin(&server);
    gram_send(&client, body, sizeof body, 0);
    gram_settle(&client, &server);
    ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 200, &got, 0), 200);
    FAILS(vista_forget_peer(tx, server.endpoint, got.peer), EBUSY, "");
    OK(vista_abort_transaction(tx));
    tx = begin_forgetting(&server, got.peer);
    other = begin(&server);
    FAILS((int)vista_receive_request(other, server.endpoint, text, 200, &got, 0), EAGAIN, "");
    OK(vista_abort_transaction(tx));
    ck_assert_int_eq(vista_receive_request(other, server.endpoint, text, 200, &got, 0), 200);
    OK(vista_end_transaction(other, 0));
    tx = begin_forgetting(&server, got.peer);
    FAILS(vista_send_response(tx, server.endpoint, &got, "a", 2), EBUSY, "forgotten");
    other = begin(&server);
    FAILS(vista_send_response(other, server.endpoint, &got, "a", 2), EBUSY, "forgotten");
    OK(vista_abort_transaction(tx));
    /* Nothing is repeated, though it is due; nor is what the answer was cancelled for kept. */
    tx = begin_forgetting(&client, client.root->peer);
    before = info_of(&client);
    test_sleep_us(60000);
    gram_settle(&client, &server);
    ck_assert_uint_eq(info_of(&client).datagrams_out, before.datagrams_out);
    OK(vista_abort_transaction(tx));
    OK(vista_send_response(other, server.endpoint, &got, "a", 2));
    OK(vista_end_transaction(other, 0));
    gram_settle(&client, &server);
    OK(vista_each_request(client.endpoint, find_request, &request));
    tx = begin(&client);
    OK(vista_cancel_request(tx, client.endpoint, &request));
    OK(vista_end_transaction(tx, 0));
    tx = begin_forgetting(&client, client.root->peer);
    FAILS(vista_cancel_request(tx, client.endpoint, &request), EBUSY, "forgotten");
    gram_settle(&client, &server);
    OK(vista_abort_transaction(tx));
    gram_settle(&client, &server);
    ck_assert_uint_eq(info_of(&client).unanswered, 0);
    /* Their rows go, with a request that has come. */
    gram_send(&client, body, sizeof body, 0);
    gram_settle(&client, &server);
    OK(vista_end_transaction(begin_forgetting(&server, got.peer), 0));
    OK(vista_end_transaction(begin_forgetting(&client, client.root->peer), 0));
    ck_assert_uint_eq(info_of(&server).staged_bytes + info_of(&server).peers, 0);
    ck_assert_uint_eq(info_of(&client).peers, 0);
    gram_connect(&client, &server);
    gram_send(&client, "q", 2, 0);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_echo(&server, text, 99), 2);
    teardown();
}
END_TEST

static void *connect_thread(void *arg)
{
    uint32_t peer;

    (void)arg;
    return vista_connect(client.endpoint, info_of(&server).address, NULL, &peer, -1) == 0
               ? NULL
               : (void *)(uintptr_t)errno;
}

/* The server takes in what has come, once, until it has sent something. */
static void answer_once(void)
{
    struct vista_ready any = {.endpoint = server.endpoint, .wanted = VISTA_REQUEST};
    const uint64_t before = info_of(&server).datagrams_out;

    while (info_of(&server).datagrams_out == before)
        ck_assert_int_eq(vista_select(&any, 1, 0), 0);
}

/* The client connects to a server that has forgotten it, and is told so while the transaction that
 * is returned forgets the server.  NULL: it has asked twice, and was not told. */
static vista_tx *learn_and_forget(void)
{
    const uint64_t before = info_of(&client).datagrams_in;
    pthread_t thread;
    void *error;
    vista_tx *tx;

    ck_assert(pthread_create(&thread, NULL, connect_thread, NULL) == 0);
    answer_once();
    while (info_of(&client).datagrams_in == before)
        test_sleep_us(100);
    tx = begin_forgetting(&client, client.root->peer);
    while (pthread_tryjoin_np(thread, &error) != 0) {
        OK(vista_pump(server.endpoint));
        test_sleep_us(100);
    }
    ck_assert_uint_eq((uintptr_t)error, ESTALE);
    if (info_of(&client).broken == 1)
        return tx;
    OK(vista_abort_transaction(tx));
    return NULL;
}

/* Nothing is sent to a peer whose session breaks while it is being forgotten, and it can be
 * forgotten once more. */
START_TEST(test_forgotten_by_both)
{
    uint64_t before;
    vista_tx *tx;

    setup();
    OK(vista_end_transaction(begin_forgetting(&server, 1024), 0));
    while ((tx = learn_and_forget()) == NULL)
        ;
    OK(vista_end_transaction(tx, 0));
    before = info_of(&client).datagrams_out;
    gram_settle(&client, &server);
    ck_assert_uint_eq(info_of(&client).datagrams_out, before);
    OK(vista_end_transaction(begin_forgetting(&client, client.root->peer), 0));
    ck_assert_uint_eq(info_of(&client).peers, 0);
    teardown();
}
END_TEST

/* Two threads connect to one server at once: one row is made, and each HELLO is answered. */
START_TEST(test_connecting_twice)
{
    const struct gram_faults sound = {.seed = 1};
    struct vista_endpoint_info info;
    pthread_t threads[2];
    void *error[2] = {NULL, NULL};
    int left = 2;

    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("c")};
    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("s")};
    gram_network(&sound);
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert(pthread_create(&threads[i], NULL, connect_thread, NULL) == 0);
    while (left > 0) {
        test_sleep_us(5000); /* so that theirs come together, most likely */
        OK(vista_pump(server.endpoint));
        for (int i = 0; i < 2; i++)
            if (threads[i] != 0 && pthread_tryjoin_np(threads[i], &error[i]) == 0) {
                threads[i] = 0;
                left--;
            }
    }
    ck_assert(error[0] == NULL && error[1] == NULL);
    OK(vista_pump(server.endpoint));
    info = info_of(&server);
    ck_assert_uint_eq(info.peers, 1);
    ck_assert_uint_eq(info.datagrams_out, info.datagrams_in);
    ck_assert_uint_eq(info_of(&client).peers, 1);
    teardown();
}
END_TEST

/* An answer that no one wants is dropped though it comes while another address of its server is to
 * be stored: neither can be while the program's transaction is open. */
START_TEST(test_dropped_beside_moving)
{
    vista_request request;
    uint64_t before;
    pthread_t thread;
    void *error;
    vista_tx *tx;

    client = (struct gram_end){
        .path = gram_path("client"), .address = gram_address("c"), .flags = VISTA_AUTO_RANGE};
    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("s")};
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    gram_connect(&client, &server);
    request = gram_send(&client, "q", 2, 0);
    tx = begin(&client);
    OK(vista_cancel_request(tx, client.endpoint, &request));
    OK(vista_end_transaction(tx, 0));
    tx = begin(&server);
    ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 9, &request, -1), 2);
    OK(vista_end_transaction(tx, 0));
    server.address = gram_address("elsewhere");
    gram_reopen(&server);
    before = info_of(&client).datagrams_in;
    tx = begin(&client);
    ck_assert(pthread_create(&thread, NULL, connect_thread, NULL) == 0);
    while (info_of(&client).datagrams_in < before + 2) { /* CHALLENGE and WELCOME */
        OK(vista_pump(server.endpoint));
        test_sleep_us(100);
    }
    {
        vista_tx *answering = begin(&server);

        OK(vista_send_response(answering, server.endpoint, &request, "a", 2));
        OK(vista_end_transaction(answering, 0));
    }
    while (info_of(&client).datagrams_in < before + 3)
        test_sleep_us(100);
    OK(vista_abort_transaction(tx));
    while (pthread_tryjoin_np(thread, &error) != 0) {
        OK(vista_pump(server.endpoint));
        test_sleep_us(100);
    }
    ck_assert(error == NULL);
    gram_settle(&client, &server);
    ck_assert_uint_eq(info_of(&client).unanswered, 0);
    teardown();
}
END_TEST

/* ---- Waiting ----------------------------------------------------------------------- */

static void *echo_thread(void *arg)
{
    struct gram_end *end = arg;
    unsigned char buffer[64];

    for (;;) {
        vista_tx *tx = begin(end);
        vista_request request;
        const ssize_t length = vista_receive_request(tx, end->endpoint, buffer, 64, &request, -1);

        if (length < 0) {
            ck_assert_int_eq(errno, ECANCELED);
            OK(vista_abort_transaction(tx));
            return NULL;
        }
        OK(vista_send_response(tx, end->endpoint, &request, buffer, (size_t)length));
        OK(vista_end_transaction(tx, 0));
    }
}

static void *ask_thread(void *arg)
{
    const uint64_t base = (uintptr_t)arg * 1000000;
    const uint64_t times = test_times(300);

    for (uint64_t i = 0; i < times; i++) {
        uint64_t number = base + i, got = 0;
        vista_request request;
        vista_tx *tx = begin(&client);

        while (vista_send_request(tx, client.endpoint, client.root->peer, &number, sizeof number, 0,
                                  &request) != 0) {
            struct vista_ready room = {.endpoint = client.endpoint, .wanted = VISTA_ROOM};

            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_ge(vista_select(&room, 1, 100), 0);
        }
        OK(vista_end_transaction(tx, 0));
        tx = begin(&client);
        ck_assert_int_eq(vista_receive_response(tx, client.endpoint, &request, &got, 8, -1), 8);
        OK(vista_end_transaction(tx, 0));
        ck_assert_uint_eq(got, number);
    }
    return NULL;
}

/* A thread that waits for ever sends again what found no room when another's transaction ended. */
START_TEST(test_refused_beside_waiting)
{
    uint64_t before;
    vista_request request;
    pthread_t thread;
    vista_tx *tx;

    setup_refusing(NULL);
    gram_send(&client, "q", 2, 0);
    OK(vista_pump(server.endpoint));
    tx = begin(&server);
    ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 9, &request, 0), 2);
    OK(vista_send_response(tx, server.endpoint, &request, "a", 2));
    ck_assert(pthread_create(&thread, NULL, echo_thread, &server) == 0);
    test_sleep_us(5000); /* so that it waits, most likely */
    before = info_of(&server).datagrams_out;
    gram_refuse(1);
    OK(vista_end_transaction(tx, 0));
    while (info_of(&server).datagrams_out < before + 2)
        test_sleep_us(500);
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        OK(vista_wake(server.endpoint));
        test_sleep_us(500);
    }
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_receive(&client, &(vista_request){0}, text, 9), 2);
    teardown();
}
END_TEST

static void *select_thread(void *arg)
{
    const int first = (int)(uintptr_t)arg / 8, count = (int)(uintptr_t)arg % 8;
    struct vista_ready of[] = {{.endpoint = server.endpoint, .wanted = VISTA_REQUEST},
                               {.endpoint = client.endpoint, .wanted = VISTA_BROKEN}};

    vista_select(of + first, count, -1);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return NULL;
}

static void *send_thread(void *arg)
{
    vista_tx *tx = begin(&client);
    vista_request request;
    int result;

    (void)arg;
    OK(vista_send_request(tx, client.endpoint, client.root->peer, "q", 2, 0, &request));
    pthread_cancel(pthread_self());
    result = vista_end_transaction(tx, 0);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    OK(result);
    return NULL;
}

/* Of the threads that are cancelled one receives, one waits for that, one waits for two endpoints, one
 * receives at the other end, and one sends there: none ends by that, and the endpoints are as good as
 * before. */
START_TEST(test_cancelled)
{
    static const uintptr_t of[] = {1, 1, 2, 9};
    pthread_t threads[5];
    void *result;

    setup();
    for (int i = 0; i < 4; i++)
        ck_assert(pthread_create(&threads[i], NULL, select_thread, (void *)of[i]) == 0);
    test_sleep_us(5000); /* so that they wait, most likely */
    for (int i = 0; i < 4; i++)
        pthread_cancel(threads[i]);
    ck_assert(pthread_create(&threads[4], NULL, send_thread, NULL) == 0);
    for (int i = 4; i >= 0; i--) {
        while (pthread_tryjoin_np(threads[i], &result) != 0) {
            if (i < 4) {
                OK(vista_wake(server.endpoint));
                OK(vista_wake(client.endpoint));
            }
            test_sleep_us(500);
        }
        ck_assert_ptr_null(result); /* and not PTHREAD_CANCELED */
    }
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_echo(&server, text, 9), 2);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_receive(&client, &(vista_request){0}, text, 9), 2);
    teardown();
}
END_TEST

START_TEST(test_threads)
{
    const struct vista_endpoint_options few = {.slots = 3};
    pthread_t servers[2], clients[4];

    setup_with(&few);
    for (int i = 0; i < 2; i++)
        ck_assert(pthread_create(&servers[i], NULL, echo_thread, &server) == 0);
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert(pthread_create(&clients[i], NULL, ask_thread, (void *)i) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(clients[i], NULL);
    for (int i = 0; i < 2; i++) /* each may be about to wait, and not yet wait */
        while (pthread_tryjoin_np(servers[i], NULL) != 0) {
            OK(vista_wake(server.endpoint));
            test_sleep_us(1000);
        }
    teardown();
}
END_TEST

/* What stays ready does not keep select from taking in the rest. */
START_TEST(test_select_takes_in)
{
    struct vista_ready ready = {.wanted = VISTA_RESPONSE | VISTA_ROOM};
    vista_request any = {0};

    setup();
    ready.endpoint = client.endpoint;
    gram_send(&client, "q", 2, 0);
    while (gram_echo(&server, text, 9) < 0)
        ck_assert_int_eq(vista_select(&ready, 1, 0), 1);
    do
        ck_assert_int_eq(vista_select(&ready, 1, -1), 1);
    while (!(ready.ready & VISTA_RESPONSE));
    ck_assert_int_eq(gram_receive(&client, &any, text, 9), 2);
    teardown();
}
END_TEST

START_TEST(test_descriptor)
{
    struct vista_ready ready[2];
    struct pollfd fd;

    setup();
    fd = (struct pollfd){.fd = vista_endpoint_fd(server.endpoint), .events = POLLIN};
    ck_assert_int_ge(fd.fd, 0);
    OK(vista_pump(server.endpoint));
    ck_assert_int_eq(poll(&fd, 1, 0), 0);
    gram_send(&client, "q", 2, 0);
    ck_assert_int_eq(poll(&fd, 1, -1), 1);
    OK(vista_pump(server.endpoint));
    ck_assert_int_eq(poll(&fd, 1, -1), 1); /* the request waits */
    ready[0] =
        (struct vista_ready){.endpoint = client.endpoint, .wanted = VISTA_RESPONSE | VISTA_BROKEN};
    ready[1] = (struct vista_ready){.endpoint = server.endpoint, .wanted = VISTA_REQUEST};
    ck_assert_int_eq(vista_select(ready, 2, -1), 1);
    ck_assert_uint_eq(ready[1].ready, VISTA_REQUEST);
    ck_assert_uint_eq(ready[1].request_length, 2);
    ck_assert_int_eq(gram_echo(&server, text, 9), 2);
    ck_assert_int_eq(poll(&fd, 1, 0), 0);
    ck_assert_int_eq(vista_select(ready, 2, -1), 1);
    ck_assert_uint_eq(ready[0].ready, VISTA_RESPONSE);
    ck_assert_int_eq(vista_select(ready + 1, 1, 20), 0);
    /* The client's timer makes its descriptor readable. */
    {
        struct pollfd timer = {.fd = vista_endpoint_fd(client.endpoint), .events = POLLIN};
        vista_request any = {0};

        ck_assert_int_eq(gram_receive(&client, &any, text, 9), 2);
        gram_close(&server);
        gram_send(&client, "r", 2, 0);
        OK(vista_pump(client.endpoint));
        ck_assert_int_eq(poll(&timer, 1, -1), 1);
        gram_open(&server, NULL);
    }
    teardown();
}
END_TEST

#define LARGE ((size_t)9 << 20) /* more than all others of an endpoint may have together */

/* Large answers that no one receives yet do not keep a small one out. */
START_TEST(test_large_beside_small)
{
    const struct vista_endpoint_options options = {.message_max = VISTA_MESSAGE_MAX};
    unsigned char *large = calloc(1, LARGE);
    vista_request requests[3], got;
    vista_tx *tx;

    SOME(large);
    setup_with(&options);
    for (int i = 0; i < 3; i++) {
        requests[i] = gram_send(&client, "q", 2, 0);
        gram_settle(&client, &server);
        tx = begin(&server);
        ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 9, &got, 0), 2);
        OK(vista_send_response(tx, server.endpoint, &got, large, i < 2 ? LARGE : 3));
        OK(vista_end_transaction(tx, 0));
        while (i == 0 && info_of(&client).staged_bytes < LARGE)
            gram_settle(&client, &server);
    }
    for (int i = 0; i < 3; i++) /* the small one first */
        while (gram_receive(&client, &requests[(i + 2) % 3], large, LARGE) !=
               (i == 0 ? 3 : (ssize_t)LARGE))
            gram_settle(&client, &server);
    ck_assert_uint_eq(info_of(&client).staged_bytes, 0);
    free(large);
    teardown();
}
END_TEST

#define FULL 9 /* answers of 1 MiB are more than an endpoint keeps unreceived */

/* Who waits for room, for ever, finishes what another transaction has cancelled before that, though
 * no one led when it ended and nothing is due. */
START_TEST(test_room_of_cancelled)
{
    const struct vista_endpoint_options one = {.slots = 1};
    struct vista_ready room = {.wanted = VISTA_ROOM};
    vista_request request;
    vista_tx *tx;

    setup_with(&one);
    room.endpoint = client.endpoint;
    request = gram_send(&client, "q", 2, 0);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_echo(&server, text, 9), 2);
    test_sleep_us(60000); /* until the time-out has run out, most likely */
    gram_settle(&client, &server);
    tx = begin(&client);
    OK(vista_cancel_request(tx, client.endpoint, &request));
    OK(vista_end_transaction(tx, 0));
    ck_assert_int_eq(vista_select(&room, 1, -1), 1);
    teardown();
}
END_TEST

/* Answers that no one receives do not keep out the one that a call waits for. */
START_TEST(test_awaited_beside_unreceived)
{
    const size_t length = (size_t)1 << 20;
    unsigned char *large = calloc(1, length);
    vista_request requests[FULL], got, any;
    vista_tx *tx;

    SOME(large);
    setup();
    for (int i = 0; i < FULL; i++)
        requests[i] = gram_send(&client, &i, sizeof i, 0);
    for (int i = 0; i < FULL; i++) {
        tx = begin(&server);
        ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 9, &got, -1), sizeof i);
        large[0] = text[0];
        OK(vista_send_response(tx, server.endpoint, &got, large, length));
        OK(vista_end_transaction(tx, 0));
        while (i < FULL - 1 && info_of(&client).staged_bytes < (size_t)(i + 1) * length)
            gram_settle(&client, &server);
    }
    ck_assert_uint_eq(info_of(&client).staged_bytes, (FULL - 1) * length);
    while (gram_receive(&client, &requests[FULL - 1], large, length) != (ssize_t)length)
        OK(vista_pump(server.endpoint));
    ck_assert_uint_eq(large[0], FULL - 1);
    for (int i = 0; i < FULL - 1; i++) {
        any = (vista_request){0};
        ck_assert_int_eq(gram_receive(&client, &any, large, length), (ssize_t)length);
        ck_assert_uint_eq(large[0], i);
    }
    ck_assert_uint_eq(info_of(&client).staged_bytes, 0);
    free(large);
    teardown();
}
END_TEST

/* ---- Many ---------------------------------------------------------------------------- */

#define MANY 12

START_TEST(test_many_peers)
{
    const struct vista_endpoint_options options = {.slots = 2, .peers = MANY - 1};
    struct gram_end ends[MANY];
    char name[16];
    uint32_t peer;

    setup_with(&options);
    for (int i = 0; i < MANY - 2; i++) {
        snprintf(name, sizeof name, "many%d", i);
        ends[i] = (struct gram_end){.path = gram_path(name), .address = gram_address(name)};
        gram_open(&ends[i], &options);
        gram_connect(&ends[i], &server);
        gram_send(&ends[i], &i, sizeof i, 0);
    }
    { /* one more has no room, and no memory is taken for it */
        struct gram_end last = {.path = gram_path("last"), .address = gram_address("last")};

        gram_open(&last, &options);
        ck_assert_int_eq(gram_try_connect(&last, &server, &peer, -1), EUSERS);
        gram_close(&last);
    }
    for (int i = 0; i < MANY - 2; i++) {
        int number;

        while (gram_echo(&server, &number, sizeof number) < 0)
            gram_settle(&server, &ends[i]);
    }
    for (int i = 0; i < MANY - 2; i++) {
        vista_request any = {0};
        int number = -1;

        while (gram_receive(&ends[i], &any, &number, sizeof number) < 0)
            gram_settle(&server, &ends[i]);
        ck_assert_int_eq(number, i);
        gram_close(&ends[i]);
    }
    teardown();
}
END_TEST

#define SERVERS 5
#define SLOTS 64

/* Until all answers have come, and those of before. */
static void fill_slots(struct gram_end *to)
{
    const uint64_t all = info_of(&client).staged_bytes + (uint64_t)2 * SLOTS;

    for (int i = 0; i < SLOTS; i++)
        gram_send(&client, "q", 2, 0);
    for (int i = 0; i < SLOTS; i++)
        while (gram_echo(to, text, 9) < 0)
            gram_settle(&client, to);
    while (info_of(&client).staged_bytes < all)
        gram_settle(&client, to);
}

static vista_request asked[SERVERS * SLOTS];

static int keep_request(void *arg, const vista_request *request, unsigned state, size_t length)
{
    (void)state, (void)length;
    asked[(*(int *)arg)++] = *request;
    return 0;
}

/* More responses are dropped at once than the library notes: the rest are asked for again. */
START_TEST(test_many_cancelled)
{
    const struct vista_endpoint_options options = {.slots = SLOTS, .peers = SERVERS};
    struct gram_end more[SERVERS - 1];
    char name[16];
    int count = 0;
    vista_tx *tx;

    setup_with(&options);
    fill_slots(&server);
    for (int i = 0; i < SERVERS - 1; i++) {
        snprintf(name, sizeof name, "more%d", i);
        more[i] = (struct gram_end){.path = gram_path(name), .address = gram_address(name)};
        gram_open(&more[i], &options);
        gram_connect(&client, &more[i]);
        fill_slots(&more[i]);
    }
    OK(vista_each_request(client.endpoint, keep_request, &count));
    ck_assert_int_eq(count, SERVERS * SLOTS);
    tx = begin(&client);
    for (int i = 0; i < count; i++)
        OK(vista_cancel_request(tx, client.endpoint, &asked[i]));
    OK(vista_end_transaction(tx, 0));
    while (info_of(&client).unanswered > 0)
        for (int i = 0; i < SERVERS; i++)
            gram_settle(&client, i > 0 ? &more[i - 1] : &server);
    ck_assert_uint_eq(info_of(&client).staged_bytes, 0);
    for (int i = 0; i < SERVERS - 1; i++)
        gram_close(&more[i]);
    teardown();
}
END_TEST

static long mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;

    SOME(file);
    ck_assert_int_eq(fscanf(file, "%ld", &pages), 1);
    fclose(file);
    return pages;
}

/* A small message that waits takes little memory, of which a program that locks its own has all. */
START_TEST(test_memory_of_small)
{
    const struct vista_endpoint_options options = {.slots = SLOTS};
    long before;

    setup_with(&options);
    for (int i = 0; i < SLOTS; i++)
        gram_send(&client, "q", 2, 0);
    before = mapped_pages();
    while (info_of(&server).staged_bytes < (uint64_t)2 * SLOTS)
        gram_settle(&client, &server);
    if (!test_is_sanitized() && !test_is_valgrind()) /* which map more of their own */
        ck_assert_int_lt(mapped_pages() - before, (long)4 * SLOTS);
    teardown();
}
END_TEST

/* ---- Strangers ------------------------------------------------------------------------- */

static int stranger(void)
{
    const struct sockaddr_un name = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert(bind(fd, (const struct sockaddr *)&name, sizeof name.sun_family) == 0);
    return fd;
}

static void tell_server(int fd, const void *datagram, size_t length)
{
    struct vi_address to;

    OK(vi_address_parse(&to, server.address));
    ck_assert(sendto(fd, datagram, length, 0, &to.any, to.length) == (ssize_t)length);
}

/* Sends to the server and returns how many bytes come back. */
static ssize_t provoke(int fd, const void *datagram, size_t length)
{
    unsigned char answer[4096];

    tell_server(fd, datagram, length);
    OK(vista_pump(server.endpoint));
    return recv(fd, answer, sizeof answer, MSG_DONTWAIT);
}

static size_t seal(unsigned char *datagram, struct vi_header header, size_t payload)
{
    struct vi_envelope envelope = {.header = header};
    struct vi_packet packet;

    vi_wire_seal(&packet, &envelope, datagram + 64, payload, NULL, NULL, NULL);
    memcpy(datagram, &envelope.header, 64);
    return 64 + payload;
}

START_TEST(test_strangers)
{
    const uint64_t times = test_times(20000);
    struct test_random random = test_random_new(3);
    struct vista_endpoint_info before, after;
    unsigned char datagram[2048];
    vista_request request;
    int fd;

    setup();
    fd = stranger();
    request = gram_send(&client, "q", 2, 0);
    before = info_of(&server);
    for (uint64_t i = 0; i < times; i++) {
        size_t length = test_below(&random, sizeof datagram);
        struct vi_header header;

        for (size_t j = 0; j < length; j++)
            datagram[j] = (unsigned char)test_next(&random);
        if (i % 2 == 0) { /* sound ones of nonsense; now and then of the session itself */
            length = length < 64 ? 64 : length;
            memcpy(&header, datagram, sizeof header);
            header.kind = (uint8_t)test_below(&random, VI_WIRE_KINDS + 1);
            header.flags &= 0xfe;
            header.slot = (uint16_t)test_below(&random, 20);
            if (header.kind == VI_HELLO)
                length = test_below(&random, 2) == 0 ? 256 : length;
            length = seal(datagram, header, length - 64);
        } else if (i % 3 == 0 && length > 4) {
            memcpy(datagram, i % 9 == 0 ? "VGM2" : "VGM1", 4);
        }
        ck_assert_int_le(provoke(fd, datagram, length), (ssize_t)length);
    }
    close(fd);
    after = info_of(&server);
    ck_assert_uint_eq(after.peers, before.peers);
    ck_assert_uint_eq(after.staged_bytes, 2);
    ck_assert_uint_ge(after.dropped - before.dropped, times / 3);
    ck_assert_uint_ge(after.forged - before.forged, times / 12);
    ck_assert_int_eq(gram_echo(&server, text, 9), 2);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_receive(&client, &request, text, 9), 2);
    teardown();
}
END_TEST

/* Datagrams of the session itself, with every field wrong in turn: nothing is executed that was
 * not sent, and nothing is written outside. */
START_TEST(test_hostile_session)
{
    const uint64_t times = test_times(20000);
    struct test_random random = test_random_new(4);
    unsigned char datagram[2048] = {0};
    vista_request request;
    int fd;

    setup();
    fd = stranger();
    request = gram_send(&client, "q", 2, 0);
    gram_settle(&client, &server);
    for (uint64_t i = 0; i < times; i++) {
        struct vi_header header = {
            .kind = (uint8_t)(VI_REQUEST + test_below(&random, VI_WIRE_KINDS - VI_REQUEST)),
            .flags = (uint8_t)(test_below(&random, 8) << 1),
            .slot = (uint16_t)test_below(&random, 18),
            .session = request.session,
            .generation = test_below(&random, 2),
            .length = (uint32_t)test_below(&random, 3000000),
            .offset = (uint32_t)(test_below(&random, 40) * 64)};
        const size_t length = test_below(&random, 30) * 64;

        if (header.kind == VI_BYE ||
            (header.kind == VI_PULL && header.flags & VI_WIRE_RESPONSE && header.generation == 1))
            continue; /* which end the session */
        if (header.kind == VI_REQUEST && header.generation == 1 && header.slot == request.slot)
            continue;
        if (test_below(&random, 2) == 0)
            header.length = header.offset + (uint32_t)length;
        provoke(fd, datagram, seal(datagram, header, length));
    }
    close(fd);
    ck_assert_uint_eq(info_of(&server).broken, 0);
    ck_assert_uint_le(info_of(&server).staged_bytes, (size_t)8 << 20);
    teardown();
}
END_TEST

static vista_request first; /* which the client has sent */

/* The first bytes of a message that is to be so long, in a slot behind that of `first`. */
static void announce(int fd, unsigned slot, size_t length)
{
    const struct vi_header header = {.kind = VI_REQUEST,
                                     .slot = (uint16_t)(first.slot + slot),
                                     .session = first.session,
                                     .generation = 1,
                                     .length = (uint32_t)length};
    unsigned char datagram[128] = {0};

    ck_assert_int_eq(provoke(fd, datagram, seal(datagram, header, 64)), -1);
}

/* A message that is announced anew, longer, where there is no room for that, is dropped. */
START_TEST(test_announced_anew)
{
    const size_t length = 100000, most = (size_t)1 << 20, all = 8 * most;
    int fd;

    setup();
    fd = stranger();
    first = gram_send(&client, "q", 2, 0);
    OK(vista_pump(server.endpoint));
    announce(fd, 1, length);
    for (unsigned slot = 2; slot < 9; slot++)
        announce(fd, slot, most);
    announce(fd, 9, all - info_of(&server).staged_bytes);
    ck_assert_uint_le(info_of(&server).staged_bytes, all);
    announce(fd, 1, most);
    ck_assert_uint_le(info_of(&server).staged_bytes, all);
    ck_assert_int_eq(gram_echo(&server, text, 9), 2);
    close(fd);
    teardown();
}
END_TEST

/* ---- A server that loses what it says --------------------------------------------------- */

static char own_address[VI_ADDRESS_LENGTH]; /* of the stranger who plays the server */

static void *connect_to_stranger(void *arg)
{
    uint32_t peer;

    (void)arg;
    return vista_connect(client.endpoint, own_address, NULL, &peer, -1) == 0
               ? NULL
               : (void *)(uintptr_t)errno;
}

/* Takes a HELLO; false: none is there. */
static bool take_hello(int fd, struct vi_header *header, struct vi_hello *hello)
{
    unsigned char datagram[VI_HELLO_LENGTH];

    if (recv(fd, datagram, sizeof datagram, MSG_DONTWAIT) != (ssize_t)sizeof datagram)
        return false;
    memcpy(header, datagram, sizeof *header);
    memcpy(hello, datagram + sizeof *header, sizeof *hello);
    return header->kind == VI_HELLO;
}

static void send_to_client(int fd, const unsigned char *datagram, size_t size)
{
    struct vi_address to;

    OK(vi_address_parse(&to, client.address));
    ck_assert(sendto(fd, datagram, size, 0, &to.any, to.length) == (ssize_t)size);
}

static void tell_client(int fd, struct vi_header header, const struct vi_hello *hello)
{
    unsigned char datagram[128] = {0};

    memcpy(datagram + 64, hello, sizeof *hello);
    seal(datagram, header, sizeof *hello);
    send_to_client(fd, datagram, sizeof datagram);
}

/* As an end of another version would. */
static void tell_version(int fd, struct vi_header header, unsigned kind)
{
    unsigned char datagram[64];

    header.kind = (uint8_t)kind;
    seal(datagram, header, 0);
    memcpy(datagram, "VGM2", 4);
    send_to_client(fd, datagram, sizeof datagram);
}

/* The client is there, and a thread of it connects to this stranger. */
static pthread_t begin_connecting(int fd)
{
    struct vi_address bound = {.length = sizeof bound.storage};
    pthread_t thread;

    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("c")};
    gram_open(&client, NULL);
    OK(getsockname(fd, &bound.any, &bound.length));
    vi_address_print(&bound, own_address);
    ck_assert(pthread_create(&thread, NULL, connect_to_stranger, NULL) == 0);
    return thread;
}

/* Who connects to another version is told so; who asks in one is told which this end speaks. */
START_TEST(test_other_version)
{
    struct vi_header header = {0};
    struct vi_hello hello;
    pthread_t thread;
    void *error = NULL;
    int fd = stranger();

    thread = begin_connecting(fd);
    while (pthread_tryjoin_np(thread, &error) != 0) {
        if (take_hello(fd, &header, &hello))
            tell_version(fd, header, VI_OTHER_VERSION);
        test_sleep_us(100);
    }
    ck_assert_uint_eq((uintptr_t)error, ENOTSUP);
    while (recv(fd, &header, sizeof header, MSG_DONTWAIT) >= 0)
        ;
    tell_version(fd, (struct vi_header){.generation = 7}, VI_REQUEST);
    OK(vista_pump(client.endpoint));
    ck_assert_int_eq(recv(fd, &header, sizeof header, MSG_DONTWAIT), sizeof header);
    ck_assert(header.kind == VI_OTHER_VERSION && header.magic == VI_WIRE_MAGIC);
    ck_assert_uint_eq(header.generation, 7);
    close(fd);
    gram_close(&client);
}
END_TEST

/* Two threads connect at once, and the WELCOME of one is lost: the other's row is its own, too, as
 * the server, which has a request by then, would refuse a client that says it has none. */
START_TEST(test_connecting_lost)
{
    struct vi_hello own = {.uuid = "the server's id", .message_max = 1024, .slots = 4, .cookie = 1};
    struct vi_hello hello;
    struct vi_header header;
    struct vi_address bound = {.length = sizeof bound.storage};
    pthread_t threads[2];
    void *error[2] = {NULL, NULL};
    uint64_t first = 0, second = 0;
    int fd = stranger(), left = 2;

    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("c")};
    gram_open(&client, NULL);
    OK(getsockname(fd, &bound.any, &bound.length));
    vi_address_print(&bound, own_address);
    for (int i = 0; i < 2; i++)
        ck_assert(pthread_create(&threads[i], NULL, connect_to_stranger, NULL) == 0);
    while (left > 0) {
        for (int i = 0; i < 2; i++)
            if (threads[i] != 0 && pthread_tryjoin_np(threads[i], &error[i]) == 0) {
                threads[i] = 0;
                left--;
            }
        if (!take_hello(fd, &header, &hello)) {
            test_sleep_us(100);
            continue;
        }
        if (hello.cookie != 0 && first == 0)
            first = header.generation;
        else if (hello.cookie != 0 && header.generation != first)
            second = header.generation;
        if (hello.cookie == 0)
            header.kind = VI_CHALLENGE;
        else if (header.generation == first && second != 0) /* both wait for a WELCOME */
            header.kind = VI_WELCOME;
        else if (header.generation == second && left == 1 && hello.session == 0)
            header.kind = VI_BROKEN;
        else
            continue;
        header.offset = VI_BROKEN_USED;
        own.session = header.kind == VI_WELCOME ? 99 : 0;
        tell_client(fd, header, &own);
    }
    ck_assert(error[0] == NULL && error[1] == NULL);
    ck_assert_uint_eq(info_of(&client).peers, 1);
    close(fd);
    gram_close(&client);
}
END_TEST

/* Answers HELLOs until the client's thread is done, or, `half` way, it has said the cookie, another
 * than the attempt `last`; the header of that. */
static struct vi_header play_server(int fd, pthread_t thread, void **error, uint64_t last,
                                    bool half)
{
    struct vi_hello own = {.uuid = "the server's id", .message_max = 1024, .slots = 4, .cookie = 1};
    struct vi_header header = {0};
    struct vi_hello hello;

    while (pthread_tryjoin_np(thread, error) != 0) {
        if (!take_hello(fd, &header, &hello)) {
            test_sleep_us(100);
            continue;
        }
        if (half && hello.cookie != 0 && header.generation != last)
            break;
        header.kind = hello.cookie == 0 ? VI_CHALLENGE : VI_WELCOME;
        own.session = hello.cookie == 0 ? 0 : 99;
        tell_client(fd, header, &own);
    }
    return header;
}

static void end_session(int fd, bool breaks)
{
    static const struct vi_hello nothing;
    struct vi_header header = {.kind = VI_BROKEN, .session = 99, .offset = VI_BROKEN_PEER};
    vista_request request;
    vista_tx *tx;

    if (!breaks) {
        OK(vista_end_transaction(begin_forgetting(&client, 1024), 0));
        return;
    }
    tx = begin(&client);
    OK(vista_send_request(tx, client.endpoint, 1024, "q", 2, 0, &request));
    OK(vista_end_transaction(tx, 0));
    header.slot = (uint16_t)request.slot;
    header.generation = request.generation;
    tell_client(fd, header, &nothing);
    while (info_of(&client).broken == 0)
        test_sleep_us(100);
}

/* Who connects once more is told when the session ends meanwhile: it is forgotten, or breaks. */
START_TEST(test_connecting_over)
{
    struct vi_header header;
    pthread_t thread;
    void *error = NULL;
    int fd = stranger();

    thread = begin_connecting(fd);
    header = play_server(fd, thread, &error, 0, false);
    ck_assert(error == NULL);
    ck_assert(pthread_create(&thread, NULL, connect_to_stranger, NULL) == 0);
    play_server(fd, thread, &error, header.generation, true);
    end_session(fd, _i == 1);
    play_server(fd, thread, &error, 0, false);
    ck_assert_uint_eq((uintptr_t)error, ESTALE);
    close(fd);
    gram_close(&client);
}
END_TEST

static uint64_t now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* The same request many times at once is executed once, and answered again once a time-out. */
START_TEST(test_repeats)
{
    uint64_t begun;
    struct vista_endpoint_info before, after;
    unsigned char datagram[128] = {0};
    vista_request request;
    int fd;

    setup();
    fd = stranger();
    request = gram_send(&client, "q", 2, 0);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_echo(&server, text, 9), 2);
    before = info_of(&server);
    memcpy(datagram + 64, "q", 2);
    begun = now_us();
    for (int i = 0; i < 200; i++) {
        const struct vi_header header = {.kind = VI_REQUEST,
                                         .slot = (uint16_t)request.slot,
                                         .session = request.session,
                                         .generation = request.generation,
                                         .length = 2};

        provoke(fd, datagram, seal(datagram, header, 2));
    }
    close(fd);
    after = info_of(&server);
    ck_assert_uint_eq(after.repeated - before.repeated, 200);
    ck_assert_uint_le(after.datagrams_out - before.datagrams_out, 1 + (now_us() - begun) / 700);
    ck_assert_int_eq(gram_echo(&server, text, 9), -1);
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_receive(&client, &request, text, 9), 2);
    teardown();
}
END_TEST

/* What there is no room for when it leaves is not sent again where the session has broken since. */
START_TEST(test_refused_and_broken)
{
    struct vi_header header = {.kind = VI_REQUEST, .length = 2};
    unsigned char datagram[128] = {0};
    vista_request request;
    uint64_t before;
    int fd;

    setup_refusing(NULL);
    fd = stranger();
    request = gram_send(&client, "q", 2, 0);
    OK(vista_pump(server.endpoint));
    ck_assert_int_eq(gram_echo(&server, text, 9), 2);
    memcpy(datagram + 64, "q", 2);
    header.slot = (uint16_t)request.slot;
    header.session = request.session;
    header.generation = request.generation;
    tell_server(fd, datagram, seal(datagram, header, 2));
    header.generation += 5;
    tell_server(fd, datagram, seal(datagram, header, 2));
    test_sleep_us(2000); /* until a repetition is answered */
    before = info_of(&server).datagrams_out;
    gram_refuse(1);
    for (int i = 0; i < 2; i++) {
        OK(vista_pump(server.endpoint));
        ck_assert_uint_eq(info_of(&server).broken, 1);
        ck_assert_uint_eq(info_of(&server).datagrams_out, before + 1);
        test_sleep_us(2000);
    }
    close(fd);
    teardown();
}
END_TEST

/* To a server that is dead for 200 ms go a few datagrams, however many requests wait. */
START_TEST(test_no_storm)
{
    vista_request any = {0};

    setup();
    gram_close(&server);
    for (int i = 0; i < 16; i++)
        gram_send(&client, &i, sizeof i, 0);
    for (int i = 0; i < 200; i++) {
        OK(vista_pump(client.endpoint));
        test_sleep_us(1000);
    }
    ck_assert_uint_ge(info_of(&client).retransmitted, 1);
    ck_assert_uint_le(info_of(&client).retransmitted, 16);
    gram_open(&server, NULL);
    for (int got = 0; got < 16;) { /* and then all at the first sign of life */
        gram_settle(&client, &server);
        gram_echo(&server, text, 9);
        any.session = 0;
        got += gram_receive(&client, &any, text, 9) >= 0;
        test_sleep_us(100);
    }
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_calls");
    TCase *tcase = test_case(suite, "calls", 3);

    tcase_add_test(tcase, test_key_later); /* before any of this process has used a key */
    tcase_add_test(tcase, test_refusals);
    tcase_add_test(tcase, test_forked);
    tcase_add_test(tcase, test_all_or_none);
    tcase_add_test(tcase, test_all_refused);
    tcase_add_test(tcase, test_answer_later);
    tcase_add_test(tcase, test_one_way_and_cancel);
    tcase_add_loop_test(tcase, test_leaving, 0, 2);
    tcase_add_test(tcase, test_forgetting);
    tcase_add_test(tcase, test_forgotten_by_both);
    tcase_add_test(tcase, test_refused_beside_waiting);
    tcase_add_test(tcase, test_cancelled);
    tcase_add_test(tcase, test_connecting_twice);
    tcase_add_test(tcase, test_other_version);
    tcase_add_test(tcase, test_connecting_lost);
    tcase_add_loop_test(tcase, test_connecting_over, 0, 2);
    tcase_add_test(tcase, test_dropped_beside_moving);
    tcase_add_test(tcase, test_threads);
    tcase_add_test(tcase, test_select_takes_in);
    tcase_add_test(tcase, test_descriptor);
    tcase_add_test(tcase, test_room_of_cancelled);
    tcase_add_test(tcase, test_large_beside_small);
    tcase_add_test(tcase, test_awaited_beside_unreceived);
    tcase_add_test(tcase, test_many_peers);
    tcase_add_test(tcase, test_many_cancelled);
    tcase_add_test(tcase, test_memory_of_small);
    tcase_add_test(tcase, test_strangers);
    tcase_add_test(tcase, test_hostile_session);
    tcase_add_test(tcase, test_announced_anew);
    tcase_add_test(tcase, test_repeats);
    tcase_add_test(tcase, test_refused_and_broken);
    tcase_add_test(tcase, test_no_storm);
    return test_run(suite);
}
