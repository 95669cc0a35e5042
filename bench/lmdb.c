/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Debit-credit on LMDB, as its manual says it runs best: a writable map, integer
 * keys, no lock file as there is one process and one thread, no read-ahead of a
 * thread's slot.  Class kill: MDB_NOSYNC, which survives the process.  Class sync: its
 * default, each commit synced.
 */
#ifdef HAVE_LMDB
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"
#include "bench.h"

enum { ACCOUNTS, TELLERS, BRANCHES, HISTORY, HEAD, TABLES };

struct lmdb_bank {
    MDB_env *env;
    MDB_dbi tables[TABLES];
    uint32_t branches;
};

static void must(int error, const char *what)
{
    if (error != 0)
        bench_fail("lmdb: %s: %s", what, mdb_strerror(error));
}

static MDB_val value(void *data, size_t size)
{
    return (MDB_val){size, data};
}

static void put(MDB_txn *txn, MDB_dbi table, uint32_t key, void *data, size_t size, unsigned flags)
{
    MDB_val k = value(&key, sizeof key), v = value(data, size);

    must(mdb_put(txn, table, &k, &v, flags), "mdb_put");
}

static void get(MDB_txn *txn, MDB_dbi table, uint32_t key, void *data, size_t size)
{
    MDB_val k = value(&key, sizeof key), v;

    must(mdb_get(txn, table, &k, &v), "mdb_get");
    memcpy(data, v.mv_data, size);
}

static void add(MDB_txn *txn, MDB_dbi table, uint32_t key, int64_t delta)
{
    struct bank_record record;

    get(txn, table, key, &record, sizeof record);
    record.balance += delta;
    put(txn, table, key, &record, sizeof record, 0);
}

static void load(struct lmdb_bank *bank, MDB_txn *txn)
{
    const uint32_t counts[] = {bank->branches * BANK_ACCOUNTS, bank->branches * BANK_TELLERS,
                               bank->branches};
    struct bank_record record = {0};
    struct bank_head head = {0, 0};

    for (int table = ACCOUNTS; table <= BRANCHES; table++) {
        for (uint32_t i = 0; i < counts[table]; i++)
            put(txn, bank->tables[table], i, &record, sizeof record, MDB_APPEND);
    }
    put(txn, bank->tables[HEAD], 0, &head, sizeof head, 0);
}

static void lmdb_open(struct session *session)
{
    static const char *const names[] = {"accounts", "tellers", "branches", "history", "head"};
    const unsigned sync = session->class == CLASS_SYNC ? 0 : MDB_NOSYNC;
    struct lmdb_bank *bank = calloc(1, sizeof *bank);
    MDB_txn *txn;

    if (bank == NULL)
        bench_fail("out of memory");
    session->state = bank;
    bank->branches = bank_branches(session->size, 1);
    must(mdb_env_create(&bank->env), "mdb_env_create");
    must(mdb_env_set_maxdbs(bank->env, TABLES), "mdb_env_set_maxdbs");
    must(mdb_env_set_mapsize(bank->env, 4 * session->size + (64u << 20)), "mdb_env_set_mapsize");
    must(mdb_env_open(bank->env, session->path,
                      MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD | sync,
                      0600),
         session->path);
    must(mdb_txn_begin(bank->env, NULL, 0, &txn), "mdb_txn_begin");
    for (int i = 0; i < TABLES; i++)
        must(mdb_dbi_open(txn, names[i], MDB_CREATE | MDB_INTEGERKEY, &bank->tables[i]), names[i]);
    load(bank, txn);
    must(mdb_txn_commit(txn), "mdb_txn_commit");
}

static unsigned lmdb_batch(struct session *session, unsigned lane, unsigned count)
{
    struct lmdb_bank *bank = session->state;
    unsigned i;

    count = count > 16 ? 16 : count;
    for (i = 0; i < count; i++) {
        const struct bank_transfer t = bank_draw(&session->lanes[lane].rng, 0, bank->branches);
        struct bank_head head;
        struct bank_row row = {
            .delta = t.delta, .account = t.account, .teller = t.teller, .branch = t.branch};
        MDB_txn *txn;

        must(mdb_txn_begin(bank->env, NULL, 0, &txn), "mdb_txn_begin");
        add(txn, bank->tables[ACCOUNTS], t.account, t.delta);
        add(txn, bank->tables[TELLERS], t.teller, t.delta);
        add(txn, bank->tables[BRANCHES], t.branch, t.delta);
        get(txn, bank->tables[HEAD], 0, &head, sizeof head);
        row.number = head.count;
        put(txn, bank->tables[HISTORY], (uint32_t)head.next, &row, sizeof row, 0);
        head.count++;
        head.next = head.count % BANK_ROWS;
        put(txn, bank->tables[HEAD], 0, &head, sizeof head, 0);
        must(mdb_txn_commit(txn), "mdb_txn_commit");
        ++*session->lanes[lane].done;
    }
    return count;
}

static int64_t sum(MDB_txn *txn, MDB_dbi table)
{
    MDB_cursor *cursor;
    MDB_val key, data;
    int64_t total = 0;

    must(mdb_cursor_open(txn, table, &cursor), "mdb_cursor_open");
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
        struct bank_record record;

        memcpy(&record, data.mv_data, sizeof record);
        total += record.balance;
    }
    mdb_cursor_close(cursor);
    return total;
}

static bool lmdb_check(struct session *session, char *text, size_t size)
{
    struct lmdb_bank *bank = session->state;
    int64_t sums[3];
    struct bank_head head;
    MDB_txn *txn;

    must(mdb_txn_begin(bank->env, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
    for (int i = 0; i < 3; i++)
        sums[i] = sum(txn, bank->tables[i]);
    get(txn, bank->tables[HEAD], 0, &head, sizeof head);
    mdb_txn_abort(txn);
    snprintf(text, size, "sums %lld, %lld, %lld, %llu history rows", (long long)sums[0],
             (long long)sums[1], (long long)sums[2], (unsigned long long)head.count);
    return sums[0] == sums[1] && sums[1] == sums[2] && head.count == *session->lanes[0].done;
}

static void lmdb_close(struct session *session)
{
    struct lmdb_bank *bank = session->state;

    mdb_env_close(bank->env);
    free(bank);
}

const struct driver debit_credit_lmdb = {.workload = "debit-credit",
                                         .peer = "lmdb",
                                         .classes = 1u << CLASS_KILL | 1u << CLASS_SYNC,
                                         .one_thread = true,
                                         .open = lmdb_open,
                                         .batch = lmdb_batch,
                                         .check = lmdb_check,
                                         .close = lmdb_close};
#else
typedef int bench_no_lmdb; /* a translation unit is never empty */
#endif
