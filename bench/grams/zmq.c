/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An outbox in SQLite (WAL, not synced) beside ZeroMQ: the client stores a request before it sends
 * it and deletes it when its answer has come, the server stores what it has executed.
 */
#include <sqlite3.h>
#include <zmq.h>

#include "pair.h"

static sqlite3 *db;
static sqlite3_stmt *insert, *finish;
static void *context, *socket_of;

/* Which is open, and goes with the process. */
static void remove_file(const char *path, const char *suffix)
{
    char name[300];

    snprintf(name, sizeof name, "%s%s", path, suffix);
    unlink(name);
}

static void open_end(const struct pair *pair, const char *who)
{
    char path[256];

    snprintf(path, sizeof path, "%s/grams-sqlite-%s-%d", pair->folder, who, getpid());
    MUST(sqlite3_open(path, &db) == SQLITE_OK);
    MUST(sqlite3_exec(db,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
                      "CREATE TABLE box (id INTEGER PRIMARY KEY, body BLOB);",
                      NULL, NULL, NULL) == SQLITE_OK);
    MUST(sqlite3_prepare_v3(db, "INSERT OR REPLACE INTO box VALUES (?, ?)", -1,
                            SQLITE_PREPARE_PERSISTENT, &insert, NULL) == SQLITE_OK);
    MUST(sqlite3_prepare_v3(db, "DELETE FROM box WHERE id = ?", -1, SQLITE_PREPARE_PERSISTENT,
                            &finish, NULL) == SQLITE_OK);
    remove_file(path, "");
    remove_file(path, "-wal");
    remove_file(path, "-shm");
    context = zmq_ctx_new();
    socket_of = zmq_socket(context, ZMQ_PAIR);
}

static void run(sqlite3_stmt *statement, uint64_t id, const struct pair *pair)
{
    MUST(sqlite3_bind_int64(statement, 1, (sqlite3_int64)id) == SQLITE_OK);
    if (statement == insert)
        MUST(sqlite3_bind_blob(statement, 2, pair->message, (int)pair->bytes, SQLITE_STATIC) ==
             SQLITE_OK);
    MUST(sqlite3_step(statement) == SQLITE_DONE);
    MUST(sqlite3_reset(statement) == SQLITE_OK);
}

static char *url_of(pid_t server)
{
    static char url[64];

    snprintf(url, sizeof url, "ipc:///tmp/vista-bench-zmq-%d", server);
    return url;
}

static void receive(const struct pair *pair)
{
    MUST(zmq_recv(socket_of, pair->message, pair->bytes, 0) == (int)pair->bytes);
}

static void serve(const struct pair *pair)
{
    open_end(pair, "server");
    MUST(zmq_bind(socket_of, url_of(getppid())) == 0);
    for (;;) {
        receive(pair);
        run(insert, 1, pair);
        MUST(zmq_send(socket_of, pair->message, pair->bytes, 0) == (int)pair->bytes);
    }
}

static void begin(const struct pair *pair)
{
    open_end(pair, "client");
    MUST(zmq_connect(socket_of, url_of(getpid())) == 0);
}

static void round_trip(const struct pair *pair)
{
    for (unsigned i = 0; i < pair->outstanding; i++) {
        run(insert, i, pair);
        MUST(zmq_send(socket_of, pair->message, pair->bytes, 0) == (int)pair->bytes);
    }
    for (unsigned i = 0; i < pair->outstanding; i++) {
        receive(pair);
        run(finish, i, pair);
    }
}

int main(int argc, char **argv)
{
    const int status = pair_run(argc, argv, serve, begin, round_trip);

    unlink(url_of(getpid()) + strlen("ipc://"));
    return status;
}
