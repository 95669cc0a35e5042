/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 6: threads.  Four tellers move money between the accounts of one bank, and
 * a clerk books the large transfers.
 *
 *     cc -pthread -o threads 06_threads.c $(pkg-config --cflags --libs vista)
 *
 *     ./threads bank.vista              20000 transfers by each teller
 *     ./threads bank.vista 1000         1000 by each
 *     ./threads bank.vista kill         works until it kills itself in the middle
 *     ./threads bank.vista 0            says what was rolled back, adds everything up
 *
 * Each teller has a transaction of its own, all on one segment, open at once.  What
 * keeps them apart is the program's business:
 *
 * - A teller's own counters are changed by its thread alone: no lock.
 * - Accounts are shared: each has a lock, held from before the range is declared until
 *   the transaction has ended, since until then an abort or a crash may put the old
 *   bytes back.  Two are locked in the order of their numbers.
 * - A large transfer is begun by the teller and ended by the clerk: the handle goes
 *   from thread to thread.  The locks stay with the teller, who waits.
 *
 * What a kill leaves: up to five transactions were open, and are rolled back.  The
 * locks need no recovery, because they are not in the segment: there, one that a
 * killed thread held would stay locked for ever.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vista.h>

#define ACCOUNTS 64
#define TELLERS 4
#define FIRST_BALANCE 1000
#define LARGE 150

struct teller {
    uint64_t transfers;
    uint64_t large;
    uint64_t unused[6]; /* no other thread stores to this cache line */
};

/* The root. */
struct bank {
    int64_t money; /* of all accounts together, always; 0: the bank is new */
    int64_t balance[ACCOUNTS];
    struct teller tellers[TELLERS];
    uint64_t booked; /* by the clerk: all the large transfers */
};

static vista_segment *segment;
static struct bank *bank;
static unsigned long transfers = 20000; /* for each teller to do */
static pthread_mutex_t account_locks[ACCOUNTS];

/* The message is that of the thread that calls. */
static void fail(void)
{
    fprintf(stderr, "threads: %s\n", vista_errormsg());
    exit(1);
}

/* ---- The clerk --------------------------------------------------------- */

/* An open transaction on its way from a teller to the clerk and back, ended. */
struct order {
    vista_tx *tx;
    bool booked;
};

static struct {
    pthread_mutex_t lock; /* after any account's */
    pthread_cond_t changed;
    struct order *order; /* NULL: the desk is free */
    bool closed;
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Only the clerk changes `booked`. */
static void book(vista_tx *tx)
{
    if (vista_set_range(tx, &bank->booked, sizeof bank->booked) != 0)
        fail();
    bank->booked++;
    if (vista_end_transaction(tx, 0) != 0)
        fail();
}

static void *clerk(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&desk.lock);
    for (;;) {
        while (desk.order == NULL && !desk.closed)
            pthread_cond_wait(&desk.changed, &desk.lock);
        if (desk.order == NULL)
            break;
        book(desk.order->tx);
        desk.order->booked = true;
        desk.order = NULL;
        pthread_cond_broadcast(&desk.changed);
    }
    pthread_mutex_unlock(&desk.lock);
    return NULL;
}

/* Returns when the clerk has ended the transaction. */
static void hand_over(vista_tx *tx)
{
    struct order order = {tx, false};

    pthread_mutex_lock(&desk.lock);
    while (desk.order != NULL)
        pthread_cond_wait(&desk.changed, &desk.lock);
    desk.order = &order;
    pthread_cond_broadcast(&desk.changed);
    while (!order.booked)
        pthread_cond_wait(&desk.changed, &desk.lock);
    pthread_mutex_unlock(&desk.lock);
}

static void close_desk(void)
{
    pthread_mutex_lock(&desk.lock);
    desk.closed = true;
    pthread_cond_broadcast(&desk.changed);
    pthread_mutex_unlock(&desk.lock);
}

/* ---- The tellers ------------------------------------------------------- */

/* Both accounts are locked. */
static void transfer(struct teller *teller, int64_t *from, int64_t *to, int64_t amount)
{
    const bool large = amount >= LARGE;
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL || vista_set_range(tx, from, sizeof *from) != 0 ||
        vista_set_range(tx, to, sizeof *to) != 0 ||
        vista_set_range(tx, teller, sizeof *teller) != 0)
        fail();
    *from -= amount;
    *to += amount;
    teller->transfers++;
    teller->large += large;
    if (large)
        hand_over(tx);
    else if (vista_end_transaction(tx, 0) != 0)
        fail();
}

static unsigned below(unsigned *seed, unsigned limit)
{
    return (unsigned)rand_r(seed) / 16 % limit;
}

static void *work(void *argument)
{
    struct teller *teller = argument;
    unsigned seed = (unsigned)time(NULL) + (unsigned)(teller - bank->tellers);

    for (unsigned long i = 0; i < transfers; i++) {
        const unsigned from = below(&seed, ACCOUNTS);
        const unsigned to = (from + 1 + below(&seed, ACCOUNTS - 1)) % ACCOUNTS;
        const unsigned first = from < to ? from : to, second = from < to ? to : from;

        pthread_mutex_lock(&account_locks[first]);
        pthread_mutex_lock(&account_locks[second]);
        transfer(teller, &bank->balance[from], &bank->balance[to], below(&seed, LARGE + 10));
        pthread_mutex_unlock(&account_locks[second]);
        pthread_mutex_unlock(&account_locks[first]);
    }
    return NULL;
}

static void run(void)
{
    pthread_t threads[TELLERS + 1];

    for (int i = 0; i < ACCOUNTS; i++)
        pthread_mutex_init(&account_locks[i], NULL);
    for (int i = 0; i < TELLERS; i++)
        if (pthread_create(&threads[i], NULL, work, &bank->tellers[i]) != 0)
            exit(1);
    if (pthread_create(&threads[TELLERS], NULL, clerk, NULL) != 0)
        exit(1);
    for (int i = 0; i < TELLERS; i++)
        pthread_join(threads[i], NULL);
    close_desk();
    pthread_join(threads[TELLERS], NULL);
}

/* ---- The bank ---------------------------------------------------------- */

/* The root is zeroed when it is new.  The money is put in by one transaction, so that
 * a kill in here leaves a bank that is new still. */
static void found_bank(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL || vista_set_range(tx, bank, sizeof *bank) != 0)
        fail();
    for (int i = 0; i < ACCOUNTS; i++)
        bank->balance[i] = FIRST_BALANCE;
    bank->money = (int64_t)ACCOUNTS * FIRST_BALANCE;
    if (vista_end_transaction(tx, 0) != 0)
        fail();
}

/* What holds after every transaction, whoever was killed when. */
static bool adds_up(void)
{
    int64_t money = 0;
    uint64_t moved = 0, large = 0;

    for (int i = 0; i < ACCOUNTS; i++)
        money += bank->balance[i];
    for (int i = 0; i < TELLERS; i++) {
        moved += bank->tellers[i].transfers;
        large += bank->tellers[i].large;
    }
    printf("%lld in %d accounts, %llu transfers, %llu of them large, %llu booked\n",
           (long long)money, ACCOUNTS, (unsigned long long)moved, (unsigned long long)large,
           (unsigned long long)bank->booked);
    return money == bank->money && large == bank->booked;
}

static void *kill_soon(void *unused)
{
    struct timespec now, soon = {0, 20000000};

    clock_gettime(CLOCK_REALTIME, &now);
    soon.tv_nsec += now.tv_nsec % 20000000; /* at a random moment of the work */
    nanosleep(&soon, NULL);
    raise(SIGKILL);
    return unused;
}

int main(int argc, char **argv)
{
    const bool kill = argc == 3 && strcmp(argv[2], "kill") == 0;
    struct vista_info info;
    char *end = "";
    pthread_t killer;

    if (argc == 3 && !kill)
        transfers = strtoul(argv[2], &end, 10);
    if (argc < 2 || argc > 3 || *end != '\0') {
        fprintf(stderr, "usage: %s FILE [TRANSFERS | kill]\n", argv[0]);
        return 2;
    }

    segment = vista_map(argv[1], 1 << 20, VISTA_CREATE, NULL);
    bank = segment == NULL ? NULL : vista_root(segment, sizeof *bank);
    if (bank == NULL || vista_info(segment, &info) != 0)
        fail();
    if (info.rolled_back != 0)
        printf("recovered: %llu transactions rolled back\n", (unsigned long long)info.rolled_back);
    if (bank->money == 0)
        found_bank();
    if (kill) {
        transfers = (unsigned long)-1;
        if (pthread_create(&killer, NULL, kill_soon, NULL) != 0)
            return 1;
    }
    run();
    if (!adds_up()) {
        fprintf(stderr, "threads: that does not add up\n");
        return 1;
    }
    if (vista_unmap(segment) != 0)
        fail();
    return 0;
}
