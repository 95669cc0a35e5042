/* SPDX-License-Identifier: BSD-3-Clause
 *
 * SQLite, as its manual says it runs best:
 *   - journal_mode=WAL, and locking_mode=EXCLUSIVE, with which its index of the log is
 *     in ordinary memory and no locks are taken;
 *   - a cache that holds the database; statements prepared once and kept;
 *   - no mutexes (SQLITE_OPEN_NOMUTEX), as there is one thread;
 *   - rows by INTEGER PRIMARY KEY, which is the key of the table's own tree.
 * A row is its first number, which SQL can add to, and the rest as a blob, so that
 * little is encoded.  Class kill: synchronous=OFF, which survives the process.  Class
 * sync: synchronous=FULL, each commit synced.
 */
#include <sqlite3.h>

#include "rows.h"

#define ROWS_NAME "sqlite"
#define ROWS_SYMBOL(workload) workload##_sqlite
#define ROWS_CLASSES (1u << CLASS_KILL | 1u << CLASS_SYNC)

enum sqlite_statement { INSERT, UPDATE, ADD, GET, FIRST, DELETE, EACH, STATEMENTS };

struct rows {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *rollback;
    sqlite3_stmt *statements[ROWS_MAX][STATEMENTS];
    char *bytes; /* ROWS_LONGEST */
};

static void sqlite_must(struct rows *rows, int error, int wanted, const char *what)
{
    if (__builtin_expect(error != wanted, 0))
        bench_fail("sqlite: %s: %s", what, sqlite3_errmsg(rows->db));
}

static void sqlite_execute(struct rows *rows, const char *sql)
{
    sqlite_must(rows, sqlite3_exec(rows->db, sql, NULL, NULL, NULL), SQLITE_OK, sql);
}

static sqlite3_stmt *sqlite_prepare(struct rows *rows, const char *sql)
{
    sqlite3_stmt *statement;

    sqlite_must(rows,
                sqlite3_prepare_v3(rows->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL),
                SQLITE_OK, sql);
    return statement;
}

static void sqlite_table(struct rows *rows, unsigned table, const char *name)
{
    static const char *const texts[STATEMENTS] = {
        [INSERT] = "INSERT INTO %s VALUES (?1, ?2, ?3)",
        [UPDATE] = "UPDATE %s SET number = ?2, rest = ?3 WHERE id = ?1",
        [ADD] = "UPDATE %s SET number = number + ?2 WHERE id = ?1",
        [GET] = "SELECT number, rest FROM %s WHERE id = ?1",
        [FIRST] = "SELECT id FROM %s WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1",
        [DELETE] = "DELETE FROM %s WHERE id = ?1",
        [EACH] = "SELECT number, rest, id FROM %s ORDER BY id"};
    char sql[160];

    snprintf(sql, sizeof sql,
             "CREATE TABLE IF NOT EXISTS %s (id INTEGER PRIMARY KEY, number INTEGER, rest BLOB)",
             name);
    sqlite_execute(rows, sql);
    for (int i = 0; i < STATEMENTS; i++) {
        snprintf(sql, sizeof sql, texts[i], name);
        rows->statements[table][i] = sqlite_prepare(rows, sql);
    }
}

static void rows_open(struct rows *rows, const struct session *session, const char *const *tables,
                      unsigned count)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    sqlite_must(rows, sqlite3_open_v2(session->path, &rows->db, flags, NULL), SQLITE_OK,
                session->path);
    sqlite3_busy_timeout(rows->db, 10000); /* a killed process is still being taken down */
    sqlite_execute(rows, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
                         "PRAGMA cache_size = -2000000; PRAGMA temp_store = MEMORY");
    sqlite_execute(rows, session->class == CLASS_SYNC ? "PRAGMA synchronous = FULL"
                                                      : "PRAGMA synchronous = OFF");
    rows->bytes = malloc(ROWS_LONGEST);
    if (rows->bytes == NULL)
        bench_fail("out of memory");
    for (unsigned i = 0; i < count; i++)
        sqlite_table(rows, i, tables[i]);
    rows->begin = sqlite_prepare(rows, "BEGIN IMMEDIATE");
    rows->commit = sqlite_prepare(rows, "COMMIT");
    rows->rollback = sqlite_prepare(rows, "ROLLBACK");
}

static void rows_close(struct rows *rows)
{
    for (unsigned i = 0; i < ROWS_MAX; i++)
        for (int s = 0; s < STATEMENTS; s++)
            sqlite3_finalize(rows->statements[i][s]);
    sqlite3_finalize(rows->begin);
    sqlite3_finalize(rows->commit);
    sqlite3_finalize(rows->rollback);
    sqlite3_close(rows->db);
    free(rows->bytes);
}

static void sqlite_step(struct rows *rows, sqlite3_stmt *statement)
{
    sqlite_must(rows, sqlite3_step(statement), SQLITE_DONE, "sqlite3_step");
    sqlite3_reset(statement);
}

static void rows_begin(struct rows *rows)
{
    sqlite_step(rows, rows->begin);
}

static void rows_commit(struct rows *rows)
{
    sqlite_step(rows, rows->commit);
}

UNUSED static void rows_abort(struct rows *rows)
{
    sqlite_step(rows, rows->rollback);
}

static void sqlite_store(struct rows *rows, sqlite3_stmt *statement, uint64_t key, const void *row,
                         size_t size)
{
    int64_t number;

    memcpy(&number, row, sizeof number);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
    sqlite3_bind_int64(statement, 2, number);
    sqlite3_bind_blob(statement, 3, (const char *)row + sizeof number, (int)(size - sizeof number),
                      SQLITE_STATIC);
    sqlite_step(rows, statement);
}

UNUSED static void rows_insert(struct rows *rows, unsigned table, uint64_t key, const void *row,
                               size_t size)
{
    sqlite_store(rows, rows->statements[table][INSERT], key, row, size);
}

UNUSED static void rows_append(struct rows *rows, unsigned table, uint64_t key, const void *row,
                               size_t size)
{
    rows_insert(rows, table, key, row, size);
}

UNUSED static void rows_update(struct rows *rows, unsigned table, uint64_t key, const void *row,
                               size_t size)
{
    sqlite_store(rows, rows->statements[table][UPDATE], key, row, size);
}

UNUSED static void rows_fill(struct rows *rows, unsigned table, uint64_t key, int byte, size_t size)
{
    memset(rows->bytes, byte, size);
    rows_update(rows, table, key, rows->bytes, size);
}

UNUSED static void rows_add(struct rows *rows, unsigned table, uint64_t key, int64_t delta,
                            size_t size)
{
    sqlite3_stmt *statement = rows->statements[table][ADD];

    (void)size;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
    sqlite3_bind_int64(statement, 2, delta);
    sqlite_step(rows, statement);
}

/* The row that a statement stands on, whole; its length. */
static size_t sqlite_row(sqlite3_stmt *statement, void *row, size_t room)
{
    const int64_t number = sqlite3_column_int64(statement, 0);
    const void *rest = sqlite3_column_blob(statement, 1);
    const size_t bytes = (size_t)sqlite3_column_bytes(statement, 1);

    if (bytes + sizeof number > room)
        bench_fail("sqlite: a row of %zu bytes", bytes + sizeof number);
    memcpy(row, &number, sizeof number);
    if (bytes != 0)
        memcpy((char *)row + sizeof number, rest, bytes);
    return bytes + sizeof number;
}

UNUSED static bool rows_get(struct rows *rows, unsigned table, uint64_t key, void *row, size_t size)
{
    sqlite3_stmt *statement = rows->statements[table][GET];
    int found;

    sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
    found = sqlite3_step(statement);
    if (found == SQLITE_ROW && sqlite_row(statement, row, size) != size)
        bench_fail("sqlite: a row is not of %zu bytes", size);
    if (found != SQLITE_ROW)
        sqlite_must(rows, found, SQLITE_DONE, "sqlite3_step");
    sqlite3_reset(statement);
    return found == SQLITE_ROW;
}

UNUSED static bool rows_first(struct rows *rows, unsigned table, uint64_t low, uint64_t high,
                              uint64_t *key)
{
    sqlite3_stmt *statement = rows->statements[table][FIRST];
    int found;

    sqlite3_bind_int64(statement, 1, (sqlite3_int64)low);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)high);
    found = sqlite3_step(statement);
    if (found == SQLITE_ROW)
        *key = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        sqlite_must(rows, found, SQLITE_DONE, "sqlite3_step");
    sqlite3_reset(statement);
    return found == SQLITE_ROW;
}

UNUSED static void rows_delete(struct rows *rows, unsigned table, uint64_t key)
{
    sqlite3_stmt *statement = rows->statements[table][DELETE];

    sqlite3_bind_int64(statement, 1, (sqlite3_int64)key);
    sqlite_step(rows, statement);
}

UNUSED static void rows_each(struct rows *rows, unsigned table, rows_visit *visit, void *context)
{
    sqlite3_stmt *statement = rows->statements[table][EACH];
    int found;

    while ((found = sqlite3_step(statement)) == SQLITE_ROW) {
        const size_t size = sqlite_row(statement, rows->bytes, ROWS_LONGEST);

        visit(context, (uint64_t)sqlite3_column_int64(statement, 2), rows->bytes, size);
    }
    sqlite_must(rows, found, SQLITE_DONE, "sqlite3_step");
    sqlite3_reset(statement);
}
