/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Debit-credit on a peer that keeps its data in memory: included after the peer's
 * own header.  A transaction declares five ranges: three balances, the history row
 * and the history's head.
 *
 * Each thread has a history, and branches, of its own; with --shared all threads
 * use all branches, and a transaction holds the locks of the (one or two) branches
 * that it touches, the lower number first.
 */
#include <pthread.h>
#include <stdlib.h>

#include "bank.h"
#include "peer.h"

#ifndef PEER_APART
#define PEER_APART 0
#define peer_apart(peer, session, size) NULL
#endif

#define BANK_LOADED 0x74696465626b6e61u
#define BANK_MAX_THREADS 256u

struct bank_history {
    struct bank_head head;
    char pad[112]; /* heads of two threads on lines of their own */
    struct bank_row rows[BANK_ROWS];
    char end[130];
} __attribute__((aligned(16))); /* as peers' blocks are */
_Static_assert(sizeof(struct bank_history) % 64 == 0, "histories on lines of their own");

/* The root; followed by histories, branches, tellers and accounts. */
struct bank_root {
    uint64_t loaded; /* stored last */
    uint64_t histories;
    uint64_t branches;
    char pad[40];
};

struct bank {
    struct peer peer;
    struct bank_root *root;
    struct bank_history *histories;
    struct bank_record *branches, *tellers, *accounts;
    pthread_spinlock_t *locks; /* one a branch, with --shared */
};

static size_t bank_account_bytes(uint64_t branches)
{
    return branches * BANK_ACCOUNTS * sizeof(struct bank_record);
}

static void bank_lay_out(struct bank *bank, const struct session *session)
{
    const uint64_t histories = bank->root->histories, branches = bank->root->branches;

    bank->histories = (struct bank_history *)(bank->root + 1);
    bank->branches = (struct bank_record *)(bank->histories + histories);
    bank->tellers = bank->branches + branches;
    bank->accounts = PEER_APART ? peer_apart(&bank->peer, session, bank_account_bytes(branches))
                                : bank->tellers + branches * BANK_TELLERS;
    (void)session;
}

static size_t bank_bytes(uint64_t histories, uint64_t branches)
{
    return sizeof(struct bank_root) + histories * sizeof(struct bank_history) +
           branches * (1 + BANK_TELLERS) * sizeof(struct bank_record) +
           (PEER_APART ? 0 : bank_account_bytes(branches));
}

/* Every balance begins at zero, so that loading is one transaction. */
static void bank_load(struct bank *bank, const struct session *session, uint64_t branches)
{
    struct peer_tx tx;

    bank->root = peer_root(&bank->peer, bank_bytes(session->threads, branches));
    peer_begin(&bank->peer, &tx, session->class);
    peer_declare(&tx, bank->root, sizeof *bank->root);
    peer_ready(&tx);
    bank->root->histories = session->threads;
    bank->root->branches = branches;
    bank->root->loaded = BANK_LOADED;
    peer_end(&tx);
}

static void bank_open(struct session *session)
{
    struct bank *bank = calloc(1, sizeof *bank);
    const uint64_t branches = bank_branches(session->size, session->threads);
    const struct bank_root *root;

    if (bank == NULL)
        bench_fail("out of memory");
    session->state = bank;
    peer_open(&bank->peer, session, bank_bytes(session->threads, branches) + (2u << 20));
    if (session->existing)
        bank->root = peer_root(&bank->peer, sizeof *bank->root);
    else
        bank_load(bank, session, branches);
    root = bank->root;
    if (root->loaded != BANK_LOADED)
        return;
    if (root->histories > BANK_MAX_THREADS || root->branches > UINT32_MAX / BANK_ACCOUNTS)
        bench_fail("%s: not a debit-credit database", session->path);
    bank_lay_out(bank, session);
    bank->locks = calloc(root->branches, sizeof *bank->locks);
    if (bank->locks == NULL)
        bench_fail("out of memory");
    for (uint64_t i = 0; i < root->branches; i++)
        pthread_spin_init(&bank->locks[i], PTHREAD_PROCESS_PRIVATE);
    if (session->existing && !session->killed) {
        if (root->histories != session->threads)
            bench_fail("%s: made for %u threads", session->path, (unsigned)root->histories);
        for (unsigned i = 0; i < session->threads; i++)
            *session->lanes[i].done = bank->histories[i].head.count;
    }
}

HOT void bank_move(struct bank *bank, struct bank_history *history, struct bank_transfer t,
                   enum durability class)
{
    struct bank_record *account = &bank->accounts[t.account];
    struct bank_record *teller = &bank->tellers[t.teller];
    struct bank_record *branch = &bank->branches[t.branch];
    struct bank_row *row = &history->rows[history->head.next];
    const struct iovec ranges[] = {{&account->balance, sizeof account->balance},
                                   {&teller->balance, sizeof teller->balance},
                                   {&branch->balance, sizeof branch->balance},
                                   {row, sizeof *row},
                                   {&history->head, sizeof history->head}};
    struct peer_tx tx;

    peer_begin(&bank->peer, &tx, class);
    peer_declare_all(&tx, ranges, sizeof ranges / sizeof ranges[0]);
    peer_ready(&tx);
    account->balance += t.delta;
    teller->balance += t.delta;
    branch->balance += t.delta;
    *row = (struct bank_row){.number = history->head.count,
                             .delta = t.delta,
                             .account = t.account,
                             .teller = t.teller,
                             .branch = t.branch};
    history->head.count++;
    history->head.next = history->head.next + 1 < BANK_ROWS ? history->head.next + 1 : 0;
    peer_end(&tx);
}

static void bank_lock(struct bank *bank, uint32_t a, uint32_t b)
{
    pthread_spin_lock(&bank->locks[a < b ? a : b]);
    if (a != b)
        pthread_spin_lock(&bank->locks[a < b ? b : a]);
}

static void bank_unlock(struct bank *bank, uint32_t a, uint32_t b)
{
    pthread_spin_unlock(&bank->locks[a]);
    if (a != b)
        pthread_spin_unlock(&bank->locks[b]);
}

HOT void bank_loop(struct session *session, unsigned number, unsigned count, bool shared,
                   enum durability class)
{
    struct bank *bank = session->state;
    struct lane *lane = &session->lanes[number];
    struct bank_history *history = &bank->histories[number];
    const uint32_t all = (uint32_t)bank->root->branches;
    const uint32_t first = shared ? 0 : all * number / session->threads;
    const uint32_t end = shared ? all : all * (number + 1) / session->threads;
    struct rng rng = lane->rng;
    uint64_t *const done = lane->done;

    while (count-- > 0) {
        const struct bank_transfer t = bank_draw(&rng, first, end - first);

        if (shared)
            bank_lock(bank, t.branch, t.account_branch);
        bank_move(bank, history, t, class);
        if (shared)
            bank_unlock(bank, t.branch, t.account_branch);
        ++*done;
    }
    lane->rng = rng;
}

static unsigned bank_batch(struct session *session, unsigned lane, unsigned count)
{
    const bool shared = session->config->shared;

    if (shared && session->class == CLASS_KILL)
        bank_loop(session, lane, count, true, CLASS_KILL);
    else if (shared)
        bank_loop(session, lane, count, true, session->class);
    else if (session->class == CLASS_KILL)
        bank_loop(session, lane, count, false, CLASS_KILL);
    else if (session->class == CLASS_LINE)
        bank_loop(session, lane, count, false, CLASS_LINE);
    else
        bank_loop(session, lane, count, false, session->class);
    return count;
}

/* ---- Checks ------------------------------------------------------------ */

/* Rows carry consecutive numbers; while none was overwritten their amounts add up to
 * what all branches hold. */
static bool bank_check_history(const struct bank_history *history, int64_t *sum, bool *whole)
{
    const uint64_t count = history->head.count;

    if (history->head.next != count % BANK_ROWS)
        return false;
    *whole = *whole && count <= BANK_ROWS;
    for (uint64_t n = count > BANK_ROWS ? count - BANK_ROWS : 0; n < count; n++) {
        if (history->rows[n % BANK_ROWS].number != n)
            return false;
        *sum += history->rows[n % BANK_ROWS].delta;
    }
    return true;
}

static bool bank_check_balances(const struct bank *bank, int64_t *total, char *text, size_t size)
{
    int64_t accounts = 0;

    *total = 0;
    for (uint64_t b = 0; b < bank->root->branches; b++) {
        int64_t tellers = 0;

        for (uint64_t i = 0; i < BANK_TELLERS; i++)
            tellers += bank->tellers[b * BANK_TELLERS + i].balance;
        if (tellers != bank->branches[b].balance) {
            snprintf(text, size, "branch %u: its tellers differ from it", (unsigned)b);
            return false;
        }
        for (uint64_t i = 0; i < BANK_ACCOUNTS; i++)
            accounts += bank->accounts[b * BANK_ACCOUNTS + i].balance;
        *total += tellers;
    }
    if (accounts != *total)
        snprintf(text, size, "accounts hold %lld, branches %lld", (long long)accounts,
                 (long long)*total);
    return accounts == *total;
}

static bool bank_check(struct session *session, char *text, size_t size)
{
    const struct bank *bank = session->state;
    int64_t total, sum = 0;
    uint64_t count = 0;
    bool whole = true;

    if (bank->root->loaded != BANK_LOADED) {
        snprintf(text, size, "killed before it was loaded: nothing to check");
        return true;
    }
    if (!bank_check_balances(bank, &total, text, size))
        return false;
    for (unsigned i = 0; i < bank->root->histories; i++) {
        const uint64_t rows = bank->histories[i].head.count;
        const uint64_t *done = i < session->threads ? session->lanes[i].done : NULL;

        if (!bank_check_history(&bank->histories[i], &sum, &whole)) {
            snprintf(text, size, "history %u: its rows are not in order", i);
            return false;
        }
        if (done != NULL && (rows < *done || rows > *done + session->killed)) {
            snprintf(text, size, "history %u: %llu rows, %llu transactions acknowledged", i,
                     (unsigned long long)rows, (unsigned long long)*done);
            return false;
        }
        count += rows;
    }
    if (whole && sum != total) {
        snprintf(text, size, "history adds up to %lld, branches hold %lld", (long long)sum,
                 (long long)total);
        return false;
    }
    snprintf(text, size, "sums and %llu history rows agree", (unsigned long long)count);
    return true;
}

static void bank_close(struct session *session)
{
    struct bank *bank = session->state;

    peer_close(&bank->peer);
    free((void *)bank->locks);
    free(bank);
}

const struct driver PEER_SYMBOL(debit_credit) = {.workload = "debit-credit",
                                                 .peer = PEER_NAME,
                                                 .classes = PEER_CLASSES,
                                                 .one_thread = PEER_ONE_THREAD,
                                                 .verifies = true,
                                                 .open = bank_open,
                                                 .batch = bank_batch,
                                                 .check = bank_check,
                                                 .close = bank_close};
