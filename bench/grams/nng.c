/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LMDB beside nng: the client stores a request before it sends it and the answer when it has come,
 * the server what it has executed with its answer, each in a transaction that is not synced.
 */
#include <lmdb.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "pair.h"

static MDB_env *env;
static MDB_dbi table;
static nng_socket socket_of;

static void open_end(const struct pair *pair, const char *who)
{
    char path[256];
    MDB_txn *txn;

    snprintf(path, sizeof path, "%s/grams-lmdb-%s-%d", pair->folder, who, getpid());
    MUST(mdb_env_create(&env) == 0);
    MUST(mdb_env_set_mapsize(env, 64 << 20) == 0);
    MUST(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_WRITEMAP | MDB_NOLOCK, 0600) == 0);
    unlink(path);
    MUST(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    MUST(mdb_dbi_open(txn, NULL, MDB_CREATE, &table) == 0);
    MUST(mdb_txn_commit(txn) == 0);
    MUST(nng_pair0_open(&socket_of) == 0);
}

static void put(uint64_t number, const void *message, size_t length)
{
    MDB_val key = {sizeof number, &number}, value = {length, (void *)(uintptr_t)message};
    MDB_txn *txn;

    MUST(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    MUST(mdb_put(txn, table, &key, &value, 0) == 0);
    MUST(mdb_txn_commit(txn) == 0);
}

static char *url_of(pid_t server)
{
    static char url[64];

    snprintf(url, sizeof url, "ipc:///tmp/vista-bench-nng-%d", server);
    return url;
}

static void serve(const struct pair *pair)
{
    open_end(pair, "server");
    MUST(nng_listen(socket_of, url_of(getppid()), NULL, 0) == 0);
    for (;;) {
        size_t length = pair->bytes;

        MUST(nng_recv(socket_of, pair->message, &length, 0) == 0);
        put(1, pair->message, length);
        MUST(nng_send(socket_of, pair->message, length, 0) == 0);
    }
}

static void begin(const struct pair *pair)
{
    open_end(pair, "client");
    for (int i = 0; i < 1000 && nng_dial(socket_of, url_of(getpid()), NULL, 0) != 0; i++)
        usleep(5000);
}

static void round_trip(const struct pair *pair)
{
    for (unsigned i = 0; i < pair->outstanding; i++) {
        put(i, pair->message, pair->bytes);
        MUST(nng_send(socket_of, pair->message, pair->bytes, 0) == 0);
    }
    for (unsigned i = 0; i < pair->outstanding; i++) {
        size_t length = pair->bytes;

        MUST(nng_recv(socket_of, pair->message, &length, 0) == 0);
        put(i, pair->message, length);
    }
}

int main(int argc, char **argv)
{
    const int status = pair_run(argc, argv, serve, begin, round_trip);

    unlink(url_of(getpid()) + strlen("ipc://"));
    return status;
}
