/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The ends of a conversation, for tests that have both in one process.
 */
#include <pthread.h>
#include <stdlib.h>

#include "grams_fixture.h"

#define SEGMENT_SIZE ((size_t)4 << 20)

static const char *keep(const char *text)
{
    static char kept[64][160];
    static unsigned next;
    char *to = kept[next++ % 64];

    ck_assert_uint_lt(strlen(text), sizeof kept[0]);
    return strcpy(to, text);
}

const char *gram_path(const char *name)
{
    return keep(test_path(name));
}

const char *gram_address(const char *name)
{
    char address[64];

    snprintf(address, sizeof address, "unix:@vista-%d-%s", getpid(), name);
    return keep(address);
}

static void make(struct gram_end *end, const struct vista_endpoint_options *options)
{
    vista_tx *tx = vista_begin_transaction(end->segment, 0);
    void *block = vista_create_endpoint(tx, options);

    SOME(block);
    OK(vista_set_range(tx, &end->root->block, sizeof end->root->block));
    end->root->block = block;
    OK(vista_end_transaction(tx, 0));
}

static void open_endpoint(struct gram_end *end)
{
    const struct vista_open_options options = {.key = end->key};

    end->endpoint = vista_open_endpoint(end->segment, end->root->block, end->address,
                                        end->open_flags, &options);
    SOME(end->endpoint);
}

void gram_open(struct gram_end *end, const struct vista_endpoint_options *options)
{
    const struct vista_map_options map = {.max_size = 64 * SEGMENT_SIZE};

    if (end->path == NULL)
        end->path = test_path("end");
    end->segment = vista_map(end->path, SEGMENT_SIZE, VISTA_CREATE | VISTA_GROW | end->flags, &map);
    SOME(end->segment);
    end->root = vista_root(end->segment, sizeof *end->root);
    SOME(end->root);
    if (end->root->block == NULL)
        make(end, options);
    open_endpoint(end);
}

void gram_close(struct gram_end *end)
{
    OK(vista_close_endpoint(end->endpoint));
    OK(vista_unmap(end->segment));
    end->endpoint = NULL;
    end->segment = NULL;
}

void gram_reopen(struct gram_end *end)
{
    OK(vista_close_endpoint(end->endpoint));
    open_endpoint(end);
}

struct connecting {
    struct gram_end *server;
    bool stop;
};

static void *serve(void *arg)
{
    struct connecting *with = arg;

    while (!__atomic_load_n(&with->stop, __ATOMIC_ACQUIRE)) {
        vista_pump(with->server->endpoint);
        test_sleep_us(100);
    }
    return NULL;
}

int gram_try_connect(struct gram_end *client, struct gram_end *server, uint32_t *peer, int ms)
{
    struct connecting with = {.server = server};
    struct vista_endpoint_info info;
    pthread_t thread;
    int error;

    OK(vista_endpoint_info(server->endpoint, &info));
    ck_assert(pthread_create(&thread, NULL, serve, &with) == 0);
    error = vista_connect(client->endpoint, info.address, NULL, peer, ms) == 0 ? 0 : errno;
    __atomic_store_n(&with.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    return error;
}

void gram_connect(struct gram_end *client, struct gram_end *server)
{
    vista_tx *tx;
    uint32_t peer;

    ck_assert_int_eq(gram_try_connect(client, server, &peer, -1), 0);
    tx = vista_begin_transaction(client->segment, 0);
    OK(vista_set_range(tx, &client->root->peer, sizeof client->root->peer));
    client->root->peer = peer;
    OK(vista_end_transaction(tx, 0));
}

void gram_settle(struct gram_end *a, struct gram_end *b)
{
    for (int i = 0; i < 20; i++) {
        OK(vista_pump(a->endpoint));
        OK(vista_pump(b->endpoint));
    }
}

vista_request gram_send(struct gram_end *client, const void *message, size_t length, unsigned flags)
{
    vista_tx *tx = vista_begin_transaction(client->segment, 0);
    vista_request request;

    OK(vista_send_request(tx, client->endpoint, client->root->peer, message, length, flags,
                          &request));
    OK(vista_end_transaction(tx, 0));
    return request;
}

ssize_t gram_echo(struct gram_end *server, void *message, size_t size)
{
    vista_tx *tx = vista_begin_transaction(server->segment, 0);
    vista_request request;
    const ssize_t length = vista_receive_request(tx, server->endpoint, message, size, &request, 0);

    if (length < 0) {
        const int error = errno;

        OK(vista_abort_transaction(tx));
        errno = error;
        return -1;
    }
    OK(vista_send_response(tx, server->endpoint, &request, message, (size_t)length));
    OK(vista_end_transaction(tx, 0));
    return length;
}

ssize_t gram_receive(struct gram_end *client, vista_request *request, void *message, size_t size)
{
    vista_tx *tx = vista_begin_transaction(client->segment, 0);
    const ssize_t length = vista_receive_response(tx, client->endpoint, request, message, size, 0);

    if (length < 0) {
        const int error = errno;

        OK(vista_abort_transaction(tx));
        errno = error;
        return -1;
    }
    OK(vista_end_transaction(tx, 0));
    return length;
}
