/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Ends that were restored from an older copy, copied, or run twice: each is found at the first
 * exchange that shows two histories, the session is broken at both ends for good, and a program
 * may forget it and begin anew.
 *
 * What was stored at a point is kept by copying the file while the endpoint is closed, and
 * restored by copying it back over the same file, which no inode tells.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "grams/tables.h"
#include "grams/wire.h"
#include "grams_fixture.h"

static struct gram_end client, server;
static char text[64];

static void setup(void)
{
    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("c")};
    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("s")};
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    gram_connect(&client, &server);
}

static void teardown(void)
{
    gram_close(&client);
    gram_close(&server);
    test_sound(client.path);
    test_sound(server.path);
}

/* The file's bytes are copied over those of another, which stays the file that it is. */
static void overwrite(const char *from, const char *to)
{
    char command[512];

    snprintf(command, sizeof command, "cp --sparse=never '%s' '%s'", from, to);
    ck_assert(system(command) == 0);
}

static const char *keep(struct gram_end *end)
{
    const char *copy = gram_path("kept");

    gram_close(end);
    test_copy(end->path, copy);
    gram_open(end, NULL);
    return copy;
}

static void restore(struct gram_end *end, const char *copy)
{
    gram_close(end);
    overwrite(copy, end->path);
    gram_open(end, NULL);
}

static ssize_t later(ssize_t (*call)(void))
{
    ssize_t length = -1;

    for (int i = 0; i < 20000 && length < 0; i++) {
        gram_settle(&client, &server);
        length = call();
        if (length < 0)
            test_sleep_us(500);
    }
    return length;
}

/* Not while a request is sent again several times. */
static void never(ssize_t (*call)(void))
{
    for (int i = 0; i < 60; i++) {
        gram_settle(&client, &server);
        ck_assert_int_eq(call(), -1);
        test_sleep_us(1000);
    }
}

static vista_request asked;

static ssize_t call_echo(void)
{
    return gram_echo(&server, text, sizeof text);
}

static ssize_t call_receive(void)
{
    return gram_receive(&client, &asked, text, sizeof text);
}

static void exchange(const char *what)
{
    asked = gram_send(&client, what, strlen(what) + 1, 0);
    ck_assert_int_gt(later(call_echo), 0);
    ck_assert_str_eq(text, what);
    ck_assert_int_gt(later(call_receive), 0);
}

static uint32_t broken_peer(struct gram_end *end, int rounds)
{
    struct vista_ready ready = {.endpoint = end->endpoint, .wanted = VISTA_BROKEN};

    for (int i = 0; i < rounds; i++) {
        gram_settle(&client, &server);
        ck_assert_int_ge(vista_select(&ready, 1, 0), 0);
        if (ready.ready & VISTA_BROKEN)
            return ready.broken;
        test_sleep_us(500);
    }
    return 0;
}

/* The client finds its session broken, says why, and so does its endpoint opened again. */
static void expect_broken(const char *why)
{
    vista_request request;
    vista_tx *tx;

    ck_assert_uint_eq(broken_peer(&client, 20000), client.root->peer);
    for (int again = 0; again < 2; again++) {
        tx = vista_begin_transaction(client.segment, 0);
        FAILS(vista_send_request(tx, client.endpoint, client.root->peer, "", 1, 0, &request),
              ESTALE, why);
        OK(vista_abort_transaction(tx));
        gram_close(&client);
        gram_open(&client, NULL);
    }
}

static void forget(struct gram_end *end, uint32_t peer)
{
    vista_tx *tx = vista_begin_transaction(end->segment, 0);

    OK(vista_forget_peer(tx, end->endpoint, peer));
    OK(vista_end_transaction(tx, 0));
}

/* After both have forgotten each other they talk as strangers do. */
static void begin_anew(void)
{
    const uint32_t old = client.root->peer;
    struct vista_endpoint_info info;
    uint32_t peer = broken_peer(&server, 150);

    forget(&client, old);
    gram_settle(&client, &server);
    if (peer == 0) {
        const struct vista_endpoint_info none = {0};

        info = none;
        OK(vista_endpoint_info(server.endpoint, &info));
        if (info.peers == 1)
            peer = 1024;
    }
    if (peer != 0)
        forget(&server, peer);
    gram_connect(&client, &server);
    ck_assert_uint_ne(client.root->peer, old);
    exchange("anew");
    OK(vista_endpoint_info(client.endpoint, &info));
    ck_assert_uint_eq(info.broken, 0);
}

/* A client that has forgotten answers of its own sends an old generation. */
START_TEST(test_restored_client)
{
    const char *copy;

    setup();
    exchange("one");
    copy = keep(&client);
    exchange("two");
    if (_i == 1)
        exchange("three");
    restore(&client, copy);
    asked = gram_send(&client, "other", 6, 0);
    never(call_echo);
    expect_broken(_i == 1 ? "later requests" : "broken");
    begin_anew();
    teardown();
}
END_TEST

/* A server that has forgotten what it has executed: before, and after the client has learnt. */
START_TEST(test_restored_server)
{
    const char *copy;

    setup();
    if (_i > 0)
        exchange("one");
    copy = keep(&server);
    exchange("two");
    restore(&server, copy);
    asked = gram_send(&client, "three", 6, 0);
    never(call_echo);
    expect_broken("broken");
    begin_anew();
    teardown();
}
END_TEST

/* A server that executed a request whose answer no one has seen may do so again. */
START_TEST(test_unseen)
{
    const char *copy;

    setup();
    exchange("one");
    copy = keep(&server);
    asked = gram_send(&client, "two", 4, 0);
    gram_settle(&client, &server);
    {
        vista_tx *tx = vista_begin_transaction(server.segment, 0);
        vista_request request;

        ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, sizeof text, &request, 0),
                         4);
        OK(vista_end_transaction(tx, 0));
    }
    restore(&server, copy);
    ck_assert_int_eq(later(call_echo), 4);
    ck_assert_int_eq(later(call_receive), 4);
    exchange("three");
    teardown();
}
END_TEST

/* A server that is restored to before an answer, or before it knew the request, when the client has
 * the answer's beginning. */
START_TEST(test_partial_answer)
{
    static char answer[1 << 19]; /* more than is sent without being asked for */
    const char *copy = NULL;
    vista_request request;
    vista_tx *tx;

    setup();
    exchange("one");
    if (_i == 0)
        copy = keep(&server);
    asked = gram_send(&client, "two", 4, 0);
    OK(vista_pump(server.endpoint));
    tx = vista_begin_transaction(server.segment, 0);
    ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, sizeof text, &request, -1),
                     4);
    OK(vista_end_transaction(tx, 0));
    if (_i == 1)
        copy = keep(&server);
    tx = vista_begin_transaction(server.segment, 0);
    OK(vista_send_response(tx, server.endpoint, &request, answer, sizeof answer));
    OK(vista_end_transaction(tx, 0));
    OK(vista_pump(client.endpoint));
    restore(&server, copy);
    expect_broken("broken");
    begin_anew();
    teardown();
}
END_TEST

/* The server is made anew: it knows nothing of the session. */
START_TEST(test_made_anew)
{
    setup();
    exchange("one");
    gram_close(&server);
    OK(unlink(server.path));
    gram_open(&server, NULL);
    asked = gram_send(&client, "two", 4, 0);
    expect_broken("nothing of it");
    begin_anew();
    teardown();
}
END_TEST

/* A client made anew under the same address is another one; restored to before it connected it
 * is the same, and refused until the server forgets. */
START_TEST(test_before_connect)
{
    struct vista_endpoint_info info;
    const char *copy;
    uint32_t peer;

    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("c")};
    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("s")};
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    copy = keep(&client);
    gram_connect(&client, &server);
    if (_i == 0) { /* an unused row is taken up again */
        restore(&client, copy);
        gram_connect(&client, &server);
        OK(vista_endpoint_info(server.endpoint, &info));
        ck_assert_uint_eq(info.peers, 1);
        exchange("one");
        teardown();
        return;
    }
    exchange("one");
    restore(&client, copy);
    ck_assert_int_eq(gram_try_connect(&client, &server, &peer, -1), ESTALE);
    forget(&server, 1024);
    gram_connect(&client, &server);
    exchange("anew");
    teardown();
}
END_TEST

/* A copy is refused by its inode until it is said to be the only one. */
START_TEST(test_copied)
{
    const char *copy = gram_path("copy");

    setup();
    exchange("one");
    gram_close(&client);
    test_copy(client.path, copy);
    client.path = copy;
    client.segment = vista_map(copy, 0, 0, NULL);
    SOME(client.segment);
    client.root = vista_root(client.segment, 0);
    NULLS(vista_open_endpoint(client.segment, client.root->block, client.address, 0, NULL),
          ECANCELED, "VISTA_ADOPT");
    OK(vista_unmap(client.segment));
    client.open_flags = VISTA_ADOPT;
    gram_open(&client, NULL);
    exchange("of the copy");
    client.open_flags = 0;
    gram_reopen(&client); /* which is the one that was used last, now */
    teardown();
}
END_TEST

/* Two clients of one history send different requests under one generation. */
START_TEST(test_twice)
{
    const char *copy;

    setup();
    exchange("one");
    copy = keep(&client);
    asked = gram_send(&client, "two", 4, 0);
    ck_assert_int_eq(later(call_echo), 4);
    restore(&client, copy);
    asked = gram_send(&client, "too", 4, 0);
    never(call_echo);
    expect_broken("");
    begin_anew();
    teardown();
}
END_TEST

/* A datagram about the client's newest request, from whoever has this socket. */
static void arrive_from(int fd, unsigned kind, unsigned flags, const char *body, size_t length)
{
    const struct vi_gram_table *table = server.root->block;
    const struct vi_gram_row *row = NULL;
    struct vi_envelope envelope = {
        {.kind = (uint8_t)kind, .flags = (uint8_t)flags, .session = asked.session}, {0}};
    unsigned char datagram[128];
    struct vi_packet packet;
    struct vi_address to;

    for (uint32_t i = 0; i < table->peers && row == NULL; i++)
        row = table->entry[i].row;
    envelope.header.slot = (uint16_t)asked.slot;
    envelope.header.generation = asked.generation;
    envelope.header.history = row->slot[asked.slot].history;
    envelope.header.length = (uint32_t)length;
    vi_wire_seal(&packet, &envelope, body, length, NULL, NULL, NULL);
    memcpy(datagram, &envelope.header, 64);
    memcpy(datagram + 64, body, length);
    OK(vi_address_parse(&to, server.address));
    ck_assert(sendto(fd, datagram, 64 + length, 0, &to.any, to.length) == (ssize_t)(64 + length));
}

static void arrive_late(const char *body, size_t length)
{
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    arrive_from(fd, VI_REQUEST, 0, body, length);
    close(fd);
}

/* Who repeats another's request from elsewhere gets no answer to it, and no more bytes than it
 * sent: an address changes by a cookie alone. */
START_TEST(test_stranger)
{
    struct vi_address stranger;
    unsigned char got[1024];
    int fd;

    setup();
    exchange("one");
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    OK(vi_address_parse(&stranger, gram_address("stranger")));
    OK(bind(fd, &stranger.any, stranger.length));
    for (int i = 0; i < 4; i++) {
        test_sleep_us(2000);
        if (i % 2 == 0)
            arrive_from(fd, VI_REQUEST, VI_WIRE_AGAIN, "one", 4);
        else
            arrive_from(fd, VI_PULL, VI_WIRE_RESPONSE, "", 0);
        gram_settle(&client, &server);
        ck_assert_int_eq(recv(fd, got, sizeof got, 0), sizeof(struct vi_header));
        ck_assert_uint_eq(got[4], VI_ELSEWHERE);
        ck_assert_int_eq(recv(fd, got, sizeof got, 0), -1);
    }
    exchange("two");
    ck_assert_int_eq(recv(fd, got, sizeof got, 0), -1);
    close(fd);
    teardown();
}
END_TEST

/* A server restored to before an answer answers otherwise: the next request shows it. */
START_TEST(test_other_answer)
{
    const char *copy;
    vista_tx *tx;
    vista_request request;

    setup();
    exchange("one");
    copy = keep(&server);
    asked = gram_send(&client, "two", 4, 0);
    for (int i = 0; i < 2; i++) {
        tx = vista_begin_transaction(server.segment, 0);
        for (int j = 0; j < 20000; j++)
            if (vista_receive_request(tx, server.endpoint, text, sizeof text, &request, 10) == 4)
                break;
            else
                OK(vista_pump(client.endpoint));
        OK(vista_send_response(tx, server.endpoint, &request, i == 0 ? "A" : "B", 2));
        OK(vista_end_transaction(tx, 0));
        if (i > 0)
            break;
        /* The answer is lost with what the server knew, and the request comes again; but a
         * duplicate of that answer was held up in the network, and reaches the client first. */
        OK(vista_pump(client.endpoint));
        restore(&server, copy);
        if (_i != 1) {
            ck_assert_int_eq(later(call_receive), 2);
            ck_assert_str_eq(text, "A");
            if (_i == 2) { /* and so does one of the request, which is executed again */
                arrive_late("two", 4);
                continue;
            }
            asked = gram_send(&client, "two", 4, 0);
            break;
        }
        gram_reopen(&client); /* has seen nothing */
    }
    if (_i == 2)
        asked = gram_send(&client, "three", 6, 0);
    if (_i != 1) {
        expect_broken("broken");
    } else {
        ck_assert_int_eq(later(call_receive), 2);
        ck_assert_str_eq(text, "B");
        exchange("three");
    }
    teardown();
}
END_TEST

/* What may be torn may not remember: no session of it is believed, whoever took it, and new
 * ones are not broken again. */
START_TEST(test_torn)
{
    const char *copy = gram_path("torn");
    char command[1024], tool[512];

    snprintf(tool, sizeof tool, "%s/vista", build_directory());
    if (_i == 1 && access(tool, X_OK) != 0)
        return; /* built by test/grams_mutants, without it */
    setup();
    exchange("one");
    test_copy(client.path, copy);
    gram_close(&client);
    client.path = copy;
    client.open_flags = VISTA_ADOPT;
    if (_i == 0) {
        client.flags = VISTA_ACCEPT_TORN;
    } else {
        snprintf(command, sizeof command, "%s recover --accept-torn '%s'", tool, copy);
        ck_assert_int_eq(run_shell(command), 0);
    }
    gram_open(&client, NULL);
    {
        vista_tx *tx = vista_begin_transaction(client.segment, 0);
        vista_request request;

        FAILS(vista_send_request(tx, client.endpoint, client.root->peer, "", 1, 0, &request),
              ESTALE, "torn");
        OK(vista_abort_transaction(tx));
    }
    begin_anew();
    gram_reopen(&client);
    exchange("still");
    gram_close(&client);
    client.flags = 0;
    client.open_flags = 0;
    gram_open(&client, NULL);
    exchange("on");
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_broken");
    TCase *tcase = test_case(suite, "restored", 3);

    tcase_add_loop_test(tcase, test_restored_client, 0, 2);
    tcase_add_loop_test(tcase, test_restored_server, 0, 2);
    tcase_add_test(tcase, test_unseen);
    tcase_add_loop_test(tcase, test_partial_answer, 0, 2);
    tcase_add_test(tcase, test_made_anew);
    tcase_add_loop_test(tcase, test_before_connect, 0, 2);
    tcase_add_test(tcase, test_copied);
    tcase_add_test(tcase, test_twice);
    tcase_add_loop_test(tcase, test_other_answer, 0, 3);
    tcase_add_loop_test(tcase, test_torn, 0, 2);
    tcase_add_test(tcase, test_stranger);
    return test_run(suite);
}
