/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Messages inside transactions: three of them to a round trip.  Compiled a second time with
 * volatile.c in the place of the library, which is the same protocol without persistence.
 * VISTA_BENCH_UNIX in the environment: by Unix datagrams instead of UDP.
 */
#include "pair.h"
#include "vista_grams.h"

static vista_segment *segment;
static vista_endpoint *endpoint;
static uint32_t peer;
static const char *transport;

static const char *address_of(const char *who)
{
    static char address[64];

    if (getenv("VISTA_BENCH_UNIX") != NULL)
        snprintf(address, sizeof address, "unix:@vista-bench-%s-%s", transport, who);
    else
        snprintf(address, sizeof address, "udp:127.0.0.%d:%d", strcmp(who, "server") == 0 ? 2 : 3,
                 20000 + (int)(strtoul(transport, NULL, 10) % 20000));
    return address;
}

static void open_end(const struct pair *pair, const char *who)
{
    const struct vista_endpoint_options options = {.slots = 64};
    char path[256];
    vista_tx *tx;
    void **root;

    snprintf(path, sizeof path, "%s/grams-%s-%s", pair->folder, who, transport);
    unlink(path);
    MUST((segment = vista_map(path, 32 << 20, VISTA_CREATE, NULL)) != NULL);
    unlink(path);
    MUST((root = vista_root(segment, sizeof *root)) != NULL);
    MUST((tx = vista_begin_transaction(segment, 0)) != NULL);
    MUST(vista_set_range(tx, root, sizeof *root) == 0);
    MUST((*root = vista_create_endpoint(tx, &options)) != NULL);
    MUST(vista_end_transaction(tx, 0) == 0);
    endpoint = vista_open_endpoint(segment, *root, address_of(who), 0, NULL);
    if (endpoint == NULL)
        fprintf(stderr, "%s\n", vista_errormsg());
    MUST(endpoint != NULL);
}

static void serve(const struct pair *pair)
{
    vista_request request;

    open_end(pair, "server");
    for (;;) {
        vista_tx *tx = vista_begin_transaction(segment, 0);
        ssize_t length;
        int ms = -1;

        while ((length = vista_receive_request(tx, endpoint, pair->message, pair->bytes, &request,
                                               ms)) >= 0) {
            MUST(vista_send_response(tx, endpoint, &request, pair->message, (size_t)length) == 0);
            if (pair->outstanding == 1)
                break;
            ms = 0;
        }
        MUST(vista_end_transaction(tx, 0) == 0);
    }
}

static void begin(const struct pair *pair)
{
    open_end(pair, "client");
    MUST(vista_connect(endpoint, address_of("server"), NULL, &peer, 10000) == 0);
}

static void round_trip(const struct pair *pair)
{
    vista_request request;
    vista_tx *tx = vista_begin_transaction(segment, 0);

    for (unsigned i = 0; i < pair->outstanding; i++)
        MUST(vista_send_request(tx, endpoint, peer, pair->message, pair->bytes, 0, &request) == 0);
    MUST(vista_end_transaction(tx, 0) == 0);
    tx = vista_begin_transaction(segment, 0);
    for (unsigned i = 0; i < pair->outstanding; i++) {
        if (pair->outstanding > 1)
            request.session = 0;
        MUST(vista_receive_response(tx, endpoint, &request, pair->message, pair->bytes, -1) ==
             (ssize_t)pair->bytes);
    }
    MUST(vista_end_transaction(tx, 0) == 0);
}

int main(int argc, char **argv)
{
    char id[16];

    snprintf(id, sizeof id, "%d", getpid());
    transport = id;
    return pair_run(argc, argv, serve, begin, round_trip);
}
