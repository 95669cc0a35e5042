/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Messages inside transactions, both ends in one process and on one thread where not said
 * otherwise: what each call does and refuses, and what aborts and restarts leave.
 */
#include <stdlib.h>

#include "grams_fixture.h"
#include "grams_mail.h"

static struct gram_end client, server;

static void setup_at(const char *client_address, const char *server_address, const void *key,
                     const struct vista_endpoint_options *options)
{
    client = (struct gram_end){.path = test_path("client"), .address = client_address, .key = key};
    server = (struct gram_end){.path = test_path("server"), .address = server_address, .key = key};
    gram_open(&client, options);
    gram_open(&server, options);
    gram_connect(&client, &server);
}

static void setup(void)
{
    setup_at("unix:", "unix:", NULL, NULL);
}

static void teardown(void)
{
    gram_close(&client);
    gram_close(&server);
    test_sound(client.path);
    test_sound(server.path);
}

/* ---- The way of a request ------------------------------------------------------ */

static void round_trip(size_t length)
{
    unsigned char *sent = malloc(length + 1), *got = malloc(length + 1);
    vista_request request;
    ssize_t echoed = -1, received = -1;

    for (size_t i = 0; i < length; i++)
        sent[i] = (unsigned char)(i * 7 + i / 251 + length);
    request = gram_send(&client, sent, length, 0);
    for (int i = 0; i < 20000 && echoed < 0; i++) {
        gram_settle(&client, &server);
        echoed = gram_echo(&server, got, length + 1);
    }
    ck_assert_int_eq(echoed, (ssize_t)length);
    ck_assert(memcmp(sent, got, length) == 0);
    memset(got, 0, length);
    for (int i = 0; i < 20000 && received < 0; i++) {
        gram_settle(&server, &client);
        received = gram_receive(&client, &request, got, length + 1);
    }
    ck_assert_int_eq(received, (ssize_t)length);
    ck_assert(memcmp(sent, got, length) == 0);
    free(sent);
    free(got);
}

static const char *const pairs[][2] = {
    {"unix:", "unix:"},
    {"udp:127.0.0.1:0", "udp:127.0.0.1:0"},
    {"udp:[::1]:0", "udp:[::1]:0"},
};
static const unsigned char key[32] = "a key that all the ends share...";

START_TEST(test_sizes)
{
    static const size_t lengths[] = {0,    1,    8,    64,    192,   193,
                                     1000, 1388, 1389, 65000, 70000, 1 << 20};
    const size_t count = sizeof lengths / sizeof *lengths;

    setup_at(pairs[_i % 3][0], pairs[_i % 3][1], _i >= 3 ? key : NULL, NULL);
    for (int again = 0; again < 2; again++)
        for (size_t i = 0; i < count; i++)
            round_trip(lengths[i]);
    teardown();
}
END_TEST

/* A server that is open to other machines, and a client that only this one reaches. */
START_TEST(test_open_to_all)
{
    static const char *const ends[][2] = {{"udp:127.0.0.1:0", "udp:0.0.0.0:0"},
                                          {"udp:[::1]:0", "udp:[::]:0"}};

    setup_at(ends[_i][0], ends[_i][1], key, NULL);
    round_trip(1389);
    round_trip(200000);
    teardown();
}
END_TEST

START_TEST(test_largest)
{
    const struct vista_endpoint_options options = {.message_max = VISTA_MESSAGE_MAX};

    setup_at(pairs[_i][0], pairs[_i][1], NULL, &options);
    round_trip(VISTA_MESSAGE_MAX);
    teardown();
}
END_TEST

START_TEST(test_abort_and_again)
{
    vista_request request, got;
    char text[16];
    vista_tx *tx;

    setup();
    /* What an aborted transaction sends never leaves. */
    tx = vista_begin_transaction(client.segment, 0);
    OK(vista_send_request(tx, client.endpoint, client.root->peer, "no", 3, 0, &request));
    FAILS((int)vista_receive_response(tx, client.endpoint, &request, text, 16, 0), EDEADLK,
          "commits");
    OK(vista_abort_transaction(tx));
    gram_settle(&client, &server);
    ck_assert_int_eq(gram_echo(&server, text, 16), -1);

    request = gram_send(&client, "yes", 4, 0);
    gram_settle(&client, &server);
    /* What an aborted transaction receives is there again; the whole message, or none. */
    for (int i = 0; i < 3; i++) {
        tx = vista_begin_transaction(server.segment, 0);
        FAILS((int)vista_receive_request(tx, server.endpoint, text, 3, &got, 0), EMSGSIZE, "4");
        ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 16, &got, 0), 4);
        ck_assert_str_eq(text, "yes");
        OK(vista_send_response(tx, server.endpoint, &got, "answer", 7));
        OK(vista_abort_transaction(tx));
        gram_settle(&client, &server);
        ck_assert_int_eq(gram_receive(&client, &request, text, 16), -1);
    }
    ck_assert_int_eq(gram_echo(&server, text, 16), 4);
    gram_settle(&client, &server);
    for (int i = 0; i < 3; i++) {
        tx = vista_begin_transaction(client.segment, 0);
        ck_assert_int_eq(vista_receive_response(tx, client.endpoint, &request, text, 16, 0), 4);
        FAILS((int)vista_receive_response(tx, client.endpoint, &request, text, 16, 0), EINVAL, "");
        OK(vista_abort_transaction(tx));
    }
    ck_assert_int_eq(gram_receive(&client, &request, text, 16), 4);
    FAILS((int)gram_receive(&client, &request, text, 16), EINVAL, "not waiting");
    teardown();
}
END_TEST

/* Waits until the pair has moved on, over retransmissions. */
static ssize_t echo_later(char *text, size_t size)
{
    ssize_t length = -1;

    for (int i = 0; i < 20000 && length < 0; i++) {
        gram_settle(&client, &server);
        length = gram_echo(&server, text, size);
        if (length < 0)
            test_sleep_us(500);
    }
    return length;
}

static ssize_t receive_later(vista_request *request, char *text, size_t size)
{
    ssize_t length = -1;

    for (int i = 0; i < 20000 && length < 0; i++) {
        gram_settle(&client, &server);
        length = gram_receive(&client, request, text, size);
        if (length < 0)
            test_sleep_us(500);
    }
    return length;
}

START_TEST(test_restarts)
{
    vista_request request;
    char text[16];

    client = (struct gram_end){.path = test_path("client"), .address = gram_address("client")};
    server = (struct gram_end){.path = test_path("server"), .address = gram_address("server")};
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    gram_connect(&client, &server);
    /* The client's end after its commit, the server's after its own. */
    request = gram_send(&client, "one", 4, 0);
    gram_reopen(&client);
    gram_reopen(&server);
    ck_assert_int_eq(echo_later(text, 16), 4);
    gram_reopen(&client);
    gram_reopen(&server);
    ck_assert_int_eq(receive_later(&request, text, 16), 4);
    gram_close(&client);
    gram_close(&server);
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    request = gram_send(&client, "two", 4, 0);
    ck_assert_int_eq(echo_later(text, 16), 4);
    ck_assert_int_eq(receive_later(&request, text, 16), 4);
    ck_assert_str_eq(text, "two");
    teardown();
}
END_TEST

/* A client that is elsewhere than its server thinks, before its request has been executed and
 * after, gets its answer without a call: also one that comes in fragments. */
START_TEST(test_moved)
{
    static const size_t sizes[] = {8, 8, 600000};
    static char message[600000];
    const size_t size = sizes[_i];
    vista_request request;

    client = (struct gram_end){.path = test_path("client"), .address = gram_address("client")};
    server = (struct gram_end){.path = test_path("server"), .address = gram_address("server")};
    client.key = server.key = _i == 1 ? key : NULL;
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    gram_connect(&client, &server);
    memset(message, 'm', size);
    request = gram_send(&client, message, size, 0);
    client.address = gram_address("elsewhere");
    gram_reopen(&client);
    ck_assert_int_eq(echo_later(message, size), (ssize_t)size);
    client.address = gram_address("further");
    gram_reopen(&client);
    memset(message, 0, size);
    ck_assert_int_eq(receive_later(&request, message, size), (ssize_t)size);
    ck_assert_int_eq(message[size - 1], 'm');
    teardown();
}
END_TEST

/* With automatic ranges, where the library's own transactions wait for the program's, and in the
 * classes that flush or sync. */
START_TEST(test_classes)
{
    const struct vista_options options = {.force_class = _i == 1   ? VISTA_CLASS_LINE
                                                         : _i == 2 ? VISTA_CLASS_EADR
                                                         : _i == 3 ? VISTA_CLASS_DISK
                                                                   : VISTA_CLASS_PROBE};
    vista_request request;
    char text[16];
    vista_tx *tx;

    OK(vista_init(&options));
    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("client")};
    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("server")};
    client.flags = server.flags = _i == 0 ? VISTA_AUTO_RANGE : 0;
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    gram_connect(&client, &server);
    for (size_t length = 0; length < 5000; length += 499)
        round_trip(length);
    /* A one-way request's answer is dropped by a transaction of the library's: not while one of
     * the program's is open that no other may be beside. */
    request = gram_send(&client, "one-way", 8, VISTA_ONE_WAY);
    gram_settle(&client, &server);
    tx = vista_begin_transaction(client.segment, 0);
    ck_assert_int_eq(gram_echo(&server, text, 0) == -1 && errno == EMSGSIZE, 1);
    {
        vista_tx *receiving = vista_begin_transaction(server.segment, 0);

        ck_assert_int_eq(vista_receive_request(receiving, server.endpoint, text, 16, &request, 0),
                         8);
        OK(vista_end_transaction(receiving, 0));
    }
    gram_settle(&client, &server);
    {
        struct vista_endpoint_info info;

        OK(vista_endpoint_info(client.endpoint, &info));
        ck_assert_uint_eq(info.unanswered, _i == 0);
        OK(vista_abort_transaction(tx));
        gram_settle(&client, &server);
        OK(vista_endpoint_info(client.endpoint, &info));
        ck_assert_uint_eq(info.unanswered, 0);
    }
    teardown();
}
END_TEST

static int packets;
static struct vi_address addresses[2];

/* No datagram leaves before all that was committed until then is on the disk. */
static void note_sent(int which, const struct vi_packet *packet)
{
    struct vista_info info;

    OK(vista_info(which == 0 ? client.segment : server.segment, &info));
    ck_assert_uint_gt(info.committed, 0);
    ck_assert_uint_eq(info.durable, info.committed);
    gram_mail.to = 1 - which;
    gram_mail.from = addresses[which];
    gram_mail.length = gram_mail_gather(packet, gram_mail.bytes, sizeof gram_mail.bytes);
    packets++;
}

/* Two ends, their files at `place`, that are connected. */
static void meet(const char *(*place)(const char *name))
{
    client = (struct gram_end){.path = place("client"), .address = gram_address("client")};
    server = (struct gram_end){.path = place("server"), .address = gram_address("server")};
    OK(vi_address_parse(&addresses[0], client.address));
    OK(vi_address_parse(&addresses[1], server.address));
    gram_open(&client, NULL);
    gram_open(&server, NULL);
    gram_connect(&client, &server);
}

/* They are opened again, on the network in memory. */
static void use_mail(void (*sent)(int which, const struct vi_packet *packet))
{
    gram_mail.sent = sent;
    gram_mail_use();
    gram_reopen(&client);
    gram_mail.opening = 1;
    gram_reopen(&server);
}

/* A commit that need not be durable yet, and is not. */
static void count_lazily(struct gram_end *end)
{
    vista_tx *tx = vista_begin_transaction(end->segment, 0);
    struct vista_info info;

    OK(vista_set_range(tx, end->root->data, 8));
    end->root->data[0]++;
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_info(end->segment, &info));
    ck_assert_uint_lt(info.durable, info.committed);
}

START_TEST(test_disk)
{
    const struct vista_options options = {.force_class = VISTA_CLASS_DISK};
    vista_request request = {0};
    char text[16] = "";
    vista_tx *tx;

    OK(vista_init(&options));
    meet(gram_path);
    round_trip(100);
    use_mail(note_sent);

    count_lazily(&client);
    tx = vista_begin_transaction(client.segment, 0);
    OK(vista_send_request(tx, client.endpoint, client.root->peer, "lazy", 5, 0, &request));
    ck_assert_int_eq(packets, 0);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    ck_assert_int_eq(packets, 1);
    count_lazily(&server);
    tx = vista_begin_transaction(server.segment, 0);
    ck_assert_int_eq(vista_receive_request(tx, server.endpoint, text, 16, &request, 0), 5);
    OK(vista_send_response(tx, server.endpoint, &request, text, 5));
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    ck_assert_int_eq(packets, 2);
    request.session = 0;
    ck_assert_int_eq(gram_receive(&client, &request, text, 16), 5);
    ck_assert_str_eq(text, "lazy");
    teardown();
}
END_TEST

static struct {
    int from;
    size_t length;
    unsigned char bytes[sizeof gram_mail.bytes];
} kept[16];

static void keep_sent(int which, const struct vi_packet *packet)
{
    ck_assert_int_lt(packets, 16);
    kept[packets].from = which;
    kept[packets].length = gram_mail_gather(packet, kept[packets].bytes, sizeof kept->bytes);
    packets++;
}

static void deliver(int which)
{
    gram_mail.to = 1 - kept[which].from;
    gram_mail.from = addresses[kept[which].from];
    gram_mail.length = kept[which].length;
    memcpy(gram_mail.bytes, kept[which].bytes, kept[which].length);
    OK(vista_pump(gram_mail.to == 0 ? client.endpoint : server.endpoint));
}

/* A message's last fragment overtakes another: that is asked for, while no clock runs. */
START_TEST(test_overtaken)
{
    /* Two fragments, a PULL, two more; in the second case that asks for the first two again. */
    static const int order[][5] = {{0, 1, 2, 4, 3}, {1, 0, 2, 3, 4}};
    unsigned char message[5000] = {0};

    meet(test_path);
    gram_mail.datagram_max = 1452;
    use_mail(keep_sent);
    gram_send(&client, message, sizeof message, 0);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_lt(order[_i][i], packets);
        deliver(order[_i][i]);
    }
    for (int i = 5; i < packets; i++)
        deliver(i);
    ck_assert_int_eq(gram_echo(&server, message, sizeof message), sizeof message);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams");
    TCase *tcase = test_case(suite, "way", 2);

    tcase_add_loop_test(tcase, test_sizes, 0, 6);
    tcase_add_loop_test(tcase, test_open_to_all, 0, 2);
    tcase_add_loop_test(tcase, test_largest, 0, 2);
    tcase_add_test(tcase, test_abort_and_again);
    tcase_add_test(tcase, test_restarts);
    tcase_add_loop_test(tcase, test_moved, 0, 3);
    tcase_add_loop_test(tcase, test_classes, 0, 4);
    tcase_add_test(tcase, test_disk);
    tcase_add_loop_test(tcase, test_overtaken, 0, 2);
    return test_run(suite);
}
