/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Debit-credit on a peer that is a database: included after the peer's own header.
 * Three balances are added to, the history row is written and its count raised.
 */
#include "bank.h"
#include "rows.h"

enum { BANK_ACCOUNT, BANK_TELLER, BANK_BRANCH, BANK_HISTORY_ROW, BANK_HEAD, BANK_TABLES };

struct bank {
    struct rows rows;
    uint32_t branches;
    uint64_t count; /* rows ever written to the history */
    bool loaded;
};

static void bank_load(struct bank *bank)
{
    const uint32_t counts[] = {bank->branches * BANK_ACCOUNTS, bank->branches * BANK_TELLERS,
                               bank->branches};
    const struct bank_record record = {0};
    const struct bank_head head = {0, 0};

    rows_begin(&bank->rows);
    for (unsigned table = BANK_ACCOUNT; table <= BANK_BRANCH; table++)
        for (uint32_t i = 0; i < counts[table]; i++)
            rows_append(&bank->rows, table, i, &record, sizeof record);
    rows_append(&bank->rows, BANK_HEAD, 0, &head, sizeof head);
    rows_commit(&bank->rows);
}

static void bank_open(struct session *session)
{
    static const char *const tables[BANK_TABLES] = {"account", "teller", "branch", "history",
                                                    "head"};
    struct bank *bank = calloc(1, sizeof *bank);
    struct bank_head head;

    if (bank == NULL)
        bench_fail("out of memory");
    session->state = bank;
    bank->branches = bank_branches(session->size, 1);
    rows_open(&bank->rows, session, tables, BANK_TABLES);
    if (!session->existing)
        bank_load(bank);
    rows_begin(&bank->rows);
    bank->loaded = rows_get(&bank->rows, BANK_HEAD, 0, &head, sizeof head);
    rows_commit(&bank->rows);
    if (!bank->loaded && !session->killed)
        bench_fail("%s: killed before it was loaded", session->path);
    bank->count = bank->loaded ? head.count : 0;
    if (session->existing && !session->killed)
        *session->lanes[0].done = bank->count;
}

static void bank_move(struct bank *bank, const struct bank_transfer *t)
{
    const size_t record = sizeof(struct bank_record);
    const uint64_t place = bank->count % BANK_ROWS;
    const struct bank_row row = {.number = bank->count,
                                 .delta = t->delta,
                                 .account = t->account,
                                 .teller = t->teller,
                                 .branch = t->branch};
    struct rows *rows = &bank->rows;

    rows_begin(rows);
    rows_add(rows, BANK_ACCOUNT, t->account, t->delta, record);
    rows_add(rows, BANK_TELLER, t->teller, t->delta, record);
    rows_add(rows, BANK_BRANCH, t->branch, t->delta, record);
    if (bank->count < BANK_ROWS)
        rows_append(rows, BANK_HISTORY_ROW, place, &row, sizeof row);
    else
        rows_update(rows, BANK_HISTORY_ROW, place, &row, sizeof row);
    rows_add(rows, BANK_HEAD, 0, 1, sizeof(struct bank_head));
    rows_commit(rows);
    bank->count++;
}

static unsigned bank_batch(struct session *session, unsigned lane, unsigned count)
{
    struct bank *bank = session->state;
    struct rng *rng = &session->lanes[lane].rng;
    const unsigned now = count < ROWS_BATCH ? count : ROWS_BATCH;

    for (unsigned i = 0; i < now; i++) {
        const struct bank_transfer t = bank_draw(rng, 0, bank->branches);

        bank_move(bank, &t);
        ++*session->lanes[lane].done;
    }
    return now;
}

static void bank_sum(void *context, uint64_t key, const void *row, size_t size)
{
    struct bank_record record;

    (void)key, (void)size;
    memcpy(&record, row, sizeof record);
    *(int64_t *)context += record.balance;
}

struct bank_found {
    uint64_t count, rows;
    int64_t sum;
    bool wrong;
};

/* A history row's number is its place, as often as the buffer went round. */
static void bank_see_row(void *context, uint64_t key, const void *row, size_t size)
{
    struct bank_found *found = context;
    struct bank_row seen;

    (void)size;
    memcpy(&seen, row, sizeof seen);
    found->rows++;
    found->sum += seen.delta;
    found->wrong |= seen.number % BANK_ROWS != key || seen.number >= found->count ||
                    seen.number + BANK_ROWS < found->count;
}

static bool bank_check(struct session *session, char *text, size_t size)
{
    struct bank *bank = session->state;
    const uint64_t *done = session->lanes[0].done;
    struct bank_found found = {.count = bank->count};
    int64_t sums[3] = {0, 0, 0};

    if (!bank->loaded) {
        snprintf(text, size, "killed before it was loaded: nothing to check");
        return true;
    }
    rows_begin(&bank->rows);
    for (unsigned table = BANK_ACCOUNT; table <= BANK_BRANCH; table++)
        rows_each(&bank->rows, table, bank_sum, &sums[table]);
    rows_each(&bank->rows, BANK_HISTORY_ROW, bank_see_row, &found);
    rows_commit(&bank->rows);
    snprintf(text, size, "sums %lld, %lld, %lld, %llu history rows", (long long)sums[0],
             (long long)sums[1], (long long)sums[2], (unsigned long long)bank->count);
    return sums[0] == sums[1] && sums[1] == sums[2] && !found.wrong &&
           found.rows == (bank->count < BANK_ROWS ? bank->count : BANK_ROWS) &&
           (bank->count > BANK_ROWS || found.sum == sums[2]) &&
           (done == NULL || (bank->count >= *done && bank->count <= *done + session->killed));
}

static void bank_close(struct session *session)
{
    struct bank *bank = session->state;

    rows_close(&bank->rows);
    free(bank);
}

const struct driver ROWS_SYMBOL(debit_credit) = {.workload = "debit-credit",
                                                 .peer = ROWS_NAME,
                                                 .classes = ROWS_CLASSES,
                                                 .one_thread = true,
                                                 .verifies = true,
                                                 .open = bank_open,
                                                 .batch = bank_batch,
                                                 .check = bank_check,
                                                 .close = bank_close};
