/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Debit-credit on SQLite, as its manual says it runs best: write-ahead log, exclusive
 * locking, a cache that holds the database, prepared statements.  Class kill:
 * synchronous=OFF, which survives the process.  Class sync: synchronous=FULL.
 */
#ifdef HAVE_SQLITE
#include <sqlite3.h>
#include <stdlib.h>

#include "bank.h"
#include "bench.h"

enum { BEGIN, ACCOUNT, TELLER, BRANCH, ROW, HEAD, COMMIT, STATEMENTS };

struct sqlite_bank {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    uint32_t branches;
    uint64_t count;
};

static void must(struct sqlite_bank *bank, int error, int wanted, const char *what)
{
    if (error != wanted)
        bench_fail("sqlite: %s: %s", what, sqlite3_errmsg(bank->db));
}

static void execute(struct sqlite_bank *bank, const char *sql)
{
    must(bank, sqlite3_exec(bank->db, sql, NULL, NULL, NULL), SQLITE_OK, sql);
}

static void step(struct sqlite_bank *bank, int which)
{
    must(bank, sqlite3_step(bank->statements[which]), SQLITE_DONE, "sqlite3_step");
    sqlite3_reset(bank->statements[which]);
}

static void load(struct sqlite_bank *bank)
{
    static const char *const tables[] = {"account", "teller", "branch"};
    const uint32_t counts[] = {bank->branches * BANK_ACCOUNTS, bank->branches * BANK_TELLERS,
                               bank->branches};
    char sql[256];

    execute(bank, "BEGIN");
    for (int i = 0; i < 3; i++) {
        snprintf(sql, sizeof sql,
                 "CREATE TABLE %s (id INTEGER PRIMARY KEY, balance INTEGER, "
                 "filler BLOB)",
                 tables[i]);
        execute(bank, sql);
        snprintf(sql, sizeof sql,
                 "INSERT INTO %s WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n "
                 "WHERE i < %u) SELECT i, 0, zeroblob(92) FROM n",
                 tables[i], counts[i] - 1);
        execute(bank, sql);
    }
    execute(bank, "CREATE TABLE history (id INTEGER PRIMARY KEY, number INTEGER, delta INTEGER, "
                  "account INTEGER, teller INTEGER, branch INTEGER, filler BLOB);"
                  "CREATE TABLE head (id INTEGER PRIMARY KEY, count INTEGER);"
                  "INSERT INTO head VALUES (0, 0); COMMIT");
}

static void sqlite_open(struct session *session)
{
    static const char *const texts[STATEMENTS] = {
        "BEGIN IMMEDIATE",
        "UPDATE account SET balance = balance + ?2 WHERE id = ?1",
        "UPDATE teller SET balance = balance + ?2 WHERE id = ?1",
        "UPDATE branch SET balance = balance + ?2 WHERE id = ?1",
        "INSERT OR REPLACE INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, zeroblob(22))",
        "UPDATE head SET count = count + 1 WHERE id = 0",
        "COMMIT"};
    struct sqlite_bank *bank = calloc(1, sizeof *bank);

    if (bank == NULL)
        bench_fail("out of memory");
    session->state = bank;
    bank->branches = bank_branches(session->size, 1);
    must(bank, sqlite3_open(session->path, &bank->db), SQLITE_OK, session->path);
    execute(bank, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
                  "PRAGMA cache_size = -1000000; PRAGMA temp_store = MEMORY");
    execute(bank, session->class == CLASS_SYNC ? "PRAGMA synchronous = FULL"
                                               : "PRAGMA synchronous = OFF");
    load(bank);
    for (int i = 0; i < STATEMENTS; i++)
        must(bank,
             sqlite3_prepare_v3(bank->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &bank->statements[i], NULL),
             SQLITE_OK, texts[i]);
}

static void add(struct sqlite_bank *bank, int which, uint32_t id, int64_t delta)
{
    sqlite3_bind_int64(bank->statements[which], 1, id);
    sqlite3_bind_int64(bank->statements[which], 2, delta);
    step(bank, which);
}

static unsigned sqlite_batch(struct session *session, unsigned lane, unsigned count)
{
    struct sqlite_bank *bank = session->state;
    sqlite3_stmt *row = bank->statements[ROW];
    unsigned i;

    count = count > 16 ? 16 : count;
    for (i = 0; i < count; i++) {
        const struct bank_transfer t = bank_draw(&session->lanes[lane].rng, 0, bank->branches);

        step(bank, BEGIN);
        add(bank, ACCOUNT, t.account, t.delta);
        add(bank, TELLER, t.teller, t.delta);
        add(bank, BRANCH, t.branch, t.delta);
        sqlite3_bind_int64(row, 1, (sqlite3_int64)(bank->count % BANK_ROWS));
        sqlite3_bind_int64(row, 2, (sqlite3_int64)bank->count);
        sqlite3_bind_int64(row, 3, t.delta);
        sqlite3_bind_int64(row, 4, t.account);
        sqlite3_bind_int64(row, 5, t.teller);
        sqlite3_bind_int64(row, 6, t.branch);
        step(bank, ROW);
        step(bank, HEAD);
        step(bank, COMMIT);
        bank->count++;
        ++*session->lanes[lane].done;
    }
    return count;
}

static int64_t ask(struct sqlite_bank *bank, const char *sql)
{
    sqlite3_stmt *statement;
    int64_t answer;

    must(bank, sqlite3_prepare_v2(bank->db, sql, -1, &statement, NULL), SQLITE_OK, sql);
    must(bank, sqlite3_step(statement), SQLITE_ROW, sql);
    answer = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return answer;
}

static bool sqlite_check(struct session *session, char *text, size_t size)
{
    struct sqlite_bank *bank = session->state;
    const int64_t accounts = ask(bank, "SELECT sum(balance) FROM account");
    const int64_t tellers = ask(bank, "SELECT sum(balance) FROM teller");
    const int64_t branches = ask(bank, "SELECT sum(balance) FROM branch");
    const int64_t count = ask(bank, "SELECT count FROM head");

    snprintf(text, size, "sums %lld, %lld, %lld, %lld history rows", (long long)accounts,
             (long long)tellers, (long long)branches, (long long)count);
    return accounts == tellers && tellers == branches && (uint64_t)count == *session->lanes[0].done;
}

static void sqlite_close(struct session *session)
{
    struct sqlite_bank *bank = session->state;

    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(bank->statements[i]);
    sqlite3_close(bank->db);
    free(bank);
}

const struct driver debit_credit_sqlite = {.workload = "debit-credit",
                                           .peer = "sqlite",
                                           .classes = 1u << CLASS_KILL | 1u << CLASS_SYNC,
                                           .one_thread = true,
                                           .open = sqlite_open,
                                           .batch = sqlite_batch,
                                           .check = sqlite_check,
                                           .close = sqlite_close};
#else
typedef int bench_no_sqlite; /* a translation unit is never empty */
#endif
