/* SPDX-License-Identifier: BSD-3-Clause
 *
 * LMDB, as its manual (lmdb.h) says it runs best:
 *   - MDB_WRITEMAP: pages are changed in the map, without a copy and a write;
 *   - MDB_INTEGERKEY: keys compared as numbers, and MDB_APPEND where they come in order;
 *   - MDB_RESERVE: a value is written where it will lie, not copied there;
 *   - MDB_NOLOCK and MDB_NOTLS: there is one process and one thread;
 *   - MDB_NORDAHEAD is left off: the database fits the memory.
 * Class kill: MDB_NOSYNC, which survives the process.  Class sync: its default, each
 * commit synced.
 */
#include <lmdb.h>

#include "rows.h"

#define ROWS_NAME "lmdb"
#define ROWS_SYMBOL(workload) workload##_lmdb
#define ROWS_CLASSES (1u << CLASS_KILL | 1u << CLASS_SYNC)

struct rows {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tables[ROWS_MAX];
};

static void lmdb_must(int error, const char *what)
{
    if (__builtin_expect(error != 0, 0))
        bench_fail("lmdb: %s: %s", what, mdb_strerror(error));
}

static MDB_val lmdb_value(const void *data, size_t size)
{
    return (MDB_val){size, (void *)(uintptr_t)data};
}

static void rows_open(struct rows *rows, const struct session *session, const char *const *tables,
                      unsigned count)
{
    const unsigned sync = session->class == CLASS_SYNC ? 0 : MDB_NOSYNC;
    const size_t size = 4 * session->size + 4 * session->grows + ((size_t)64 << 20);

    lmdb_must(mdb_env_create(&rows->env), "mdb_env_create");
    lmdb_must(mdb_env_set_maxdbs(rows->env, ROWS_MAX), "mdb_env_set_maxdbs");
    lmdb_must(mdb_env_set_mapsize(rows->env, size & ~(size_t)4095), "mdb_env_set_mapsize");
    lmdb_must(mdb_env_open(rows->env, session->path,
                           MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOLOCK | MDB_NOTLS | sync, 0600),
              session->path);
    lmdb_must(mdb_txn_begin(rows->env, NULL, 0, &rows->txn), "mdb_txn_begin");
    for (unsigned i = 0; i < count; i++)
        lmdb_must(mdb_dbi_open(rows->txn, tables[i], MDB_CREATE | MDB_INTEGERKEY, &rows->tables[i]),
                  tables[i]);
    lmdb_must(mdb_txn_commit(rows->txn), "mdb_txn_commit");
}

static void rows_close(struct rows *rows)
{
    mdb_env_close(rows->env);
}

static void rows_begin(struct rows *rows)
{
    lmdb_must(mdb_txn_begin(rows->env, NULL, 0, &rows->txn), "mdb_txn_begin");
}

static void rows_commit(struct rows *rows)
{
    lmdb_must(mdb_txn_commit(rows->txn), "mdb_txn_commit");
}

UNUSED static void rows_abort(struct rows *rows)
{
    mdb_txn_abort(rows->txn);
}

/* Where the row is to be written. */
static void *lmdb_reserve(struct rows *rows, unsigned table, uint64_t key, size_t size,
                          unsigned flags)
{
    MDB_val k = lmdb_value(&key, sizeof key), v = lmdb_value(NULL, size);

    lmdb_must(mdb_put(rows->txn, rows->tables[table], &k, &v, MDB_RESERVE | flags), "mdb_put");
    return v.mv_data;
}

static const void *lmdb_find(struct rows *rows, unsigned table, uint64_t key, size_t size)
{
    MDB_val k = lmdb_value(&key, sizeof key), v;
    const int error = mdb_get(rows->txn, rows->tables[table], &k, &v);

    if (error == MDB_NOTFOUND)
        return NULL;
    lmdb_must(error, "mdb_get");
    if (v.mv_size != size)
        bench_fail("lmdb: a row of %zu bytes, not %zu", v.mv_size, size);
    return v.mv_data;
}

UNUSED static void rows_insert(struct rows *rows, unsigned table, uint64_t key, const void *row,
                               size_t size)
{
    memcpy(lmdb_reserve(rows, table, key, size, MDB_NOOVERWRITE), row, size);
}

UNUSED static void rows_append(struct rows *rows, unsigned table, uint64_t key, const void *row,
                               size_t size)
{
    memcpy(lmdb_reserve(rows, table, key, size, MDB_APPEND), row, size);
}

UNUSED static void rows_update(struct rows *rows, unsigned table, uint64_t key, const void *row,
                               size_t size)
{
    memcpy(lmdb_reserve(rows, table, key, size, 0), row, size);
}

UNUSED static void rows_fill(struct rows *rows, unsigned table, uint64_t key, int byte, size_t size)
{
    memset(lmdb_reserve(rows, table, key, size, 0), byte, size);
}

UNUSED static bool rows_get(struct rows *rows, unsigned table, uint64_t key, void *row, size_t size)
{
    const void *found = lmdb_find(rows, table, key, size);

    if (found != NULL)
        memcpy(row, found, size);
    return found != NULL;
}

/* The row is copied out first: what mdb_get returned need not outlive mdb_put. */
UNUSED static void rows_add(struct rows *rows, unsigned table, uint64_t key, int64_t delta,
                            size_t size)
{
    char row[128];
    int64_t number;

    if (size > sizeof row || !rows_get(rows, table, key, row, size))
        bench_fail("lmdb: no such row");
    memcpy(&number, row, sizeof number);
    number += delta;
    memcpy(row, &number, sizeof number);
    rows_update(rows, table, key, row, size);
}

UNUSED static bool rows_first(struct rows *rows, unsigned table, uint64_t low, uint64_t high,
                              uint64_t *key)
{
    MDB_val k = lmdb_value(&low, sizeof low), v;
    MDB_cursor *cursor;
    int error;

    lmdb_must(mdb_cursor_open(rows->txn, rows->tables[table], &cursor), "mdb_cursor_open");
    error = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (error == 0)
        memcpy(key, k.mv_data, sizeof *key);
    mdb_cursor_close(cursor);
    if (error != MDB_NOTFOUND)
        lmdb_must(error, "mdb_cursor_get");
    return error == 0 && *key < high;
}

UNUSED static void rows_delete(struct rows *rows, unsigned table, uint64_t key)
{
    MDB_val k = lmdb_value(&key, sizeof key);

    lmdb_must(mdb_del(rows->txn, rows->tables[table], &k, NULL), "mdb_del");
}

UNUSED static void rows_each(struct rows *rows, unsigned table, rows_visit *visit, void *context)
{
    MDB_cursor *cursor;
    MDB_val k, v;

    lmdb_must(mdb_cursor_open(rows->txn, rows->tables[table], &cursor), "mdb_cursor_open");
    while (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) == 0) {
        uint64_t key;

        memcpy(&key, k.mv_data, sizeof key);
        visit(context, key, v.mv_data, v.mv_size);
    }
    mdb_cursor_close(cursor);
}
