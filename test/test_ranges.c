/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Automatic ranges: stores that no one declared are found, logged and taken back.
 *
 * Each scenario runs on tmpfs, where pages are protected through userfaultfd if the
 * kernel has it, and on a disk, where mprotect does it, in each class: first and
 * later stores to a page, at its edges and over them; explicit ranges before and
 * after; commit, abort, death; several threads; the heap's own stores; pages past
 * auto_pages; stores outside a transaction; system calls; the program's signal
 * handlers of every kind, before and after the library's, on alternate stacks and
 * interrupted by others; more scattered pages than the kernel has mappings for; disk
 * blocks that come with the store, on a disk that is full and in a file cut short.
 */
#include "refuse_calls.h"
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <ucontext.h>

#define PAGE ((size_t)4096)
#define PAGES ((size_t)256)
#define SIZE (PAGES * PAGE)
#define FLAT VISTA_NO_HEAP
#define HUGE ((size_t)2 << 20)

static const struct way {
    bool disk;
    unsigned class;
} ways[] = {{false, VISTA_CLASS_KILL}, {true, VISTA_CLASS_KILL},  {false, VISTA_CLASS_LINE},
            {true, VISTA_CLASS_LINE},  {false, VISTA_CLASS_EADR}, {true, VISTA_CLASS_EADR},
            {false, VISTA_CLASS_DISK}, {true, VISTA_CLASS_DISK}};
#define WAYS ((int)(sizeof ways / sizeof ways[0]))

typedef uint64_t unaligned __attribute__((aligned(1), may_alias));

static vista_segment *segment;
static volatile unsigned char *base;
static const char *path;
static unsigned char model[SIZE];
static volatile char *volatile nowhere = (volatile char *)16; /* not mapped */

/* In the disk class with a log that takes all pages in one transaction. */
static void open_as(int way, unsigned flags, const struct vista_map_options *options)
{
    static const struct vista_map_options large = {.log_size = 8 << 20};

    if (ways[way].class == VISTA_CLASS_DISK && options == NULL)
        options = &large;
    if (path == NULL)
        path = ways[way].disk ? test_disk_path("ranges") : test_path("ranges");
    OK(vista_init(&(struct vista_options){.force_class = ways[way].class}));
    segment = vista_map(path, SIZE, VISTA_CREATE | VISTA_AUTO_RANGE | flags, options);
    SOME(segment);
    base = vista_base(segment);
}

static void close_it(void)
{
    OK(vista_unmap(segment));
    segment = NULL;
    test_sound(path);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    return tx;
}

static void end(vista_tx *tx)
{
    OK(vista_end_transaction(tx, 0));
}

static struct vista_info info(void)
{
    struct vista_info info;

    OK(vista_info(segment, &info));
    return info;
}

static void expect_model(void)
{
    const unsigned char *now = (const unsigned char *)base;

    for (size_t i = 0; i < SIZE && memcmp(now, model, SIZE) != 0; i++)
        ck_assert_msg(now[i] == model[i], "byte %zu (page %zu) is %02x, should be %02x", i,
                      i / PAGE, now[i], model[i]);
}

/* ThreadSanitizer notes a store before it is made, and takes the copy of the still
 * protected page for a race; and it blocks faults while a handler runs. */
static bool not_under_thread_sanitizer(const char *what)
{
    if (test_is_thread_sanitized())
        test_skip(what, "the thread sanitizer does not know faults");
    return test_is_thread_sanitized();
}

/* ---- Pages ------------------------------------------------------------- */

START_TEST(commits_and_aborts)
{
    struct test_random random = test_random_new(1);

    open_as(_i, FLAT, NULL);
    for (int round = 0; round < 60; round++) {
        const unsigned stores = (unsigned)test_below(&random, 40);
        vista_tx *tx = begin();

        for (unsigned i = 0; i < stores; i++) {
            const size_t at = test_below(&random, SIZE);

            base[at] = (unsigned char)test_next(&random);
            if (round % 2 == 0)
                model[at] = base[at];
        }
        if (round % 2 == 0)
            end(tx);
        else
            OK(vista_abort_transaction(tx));
        expect_model();
    }
    close_it();
    open_as(_i, FLAT, NULL);
    expect_model();
    close_it();
}
END_TEST

START_TEST(edges_of_pages)
{
    vista_tx *tx;

    open_as(_i, FLAT, NULL);
    tx = begin();
    *(volatile unaligned *)(base + PAGE - 3) = UINT64_MAX; /* over two pages */
    ck_assert_uint_eq(info().pages_touched, 2);
    base[SIZE - 1] = 1; /* the last byte */
    base[0] = 1;
    memset((void *)(base + 10 * PAGE - 1), 7, 3 * PAGE + 2); /* by one instruction, perhaps */
    ck_assert_uint_eq(info().pages_touched, 2 + 1 + 5);
    ck_assert_uint_eq(info().pages_left, PAGES - 8);
    OK(vista_abort_transaction(tx));
    expect_model();
    ck_assert_uint_eq(info().pages_touched, 0);
    ck_assert_uint_eq(info().pages_left, PAGES);

    tx = begin(); /* all of them */
    memset((void *)base, 9, SIZE);
    memset(model, 9, SIZE);
    ck_assert_uint_eq(info().pages_left, 0);
    end(tx);
    expect_model();
    tx = begin();
    memset((void *)base, 8, SIZE);
    OK(vista_abort_transaction(tx));
    expect_model();
    close_it();
}
END_TEST

/* Ranges declared before and after a page is touched, and never stored to. */
START_TEST(explicit_ranges)
{
    vista_tx *tx;

    open_as(_i, FLAT, NULL);
    for (int round = 0; round < 4; round++) {
        tx = begin();
        OK(vista_set_range(tx, (void *)(base + 100), 50));
        base[100] = 1;
        OK(vista_set_range(tx, (void *)(base + 90), 20));
        base[95] = 2;
        OK(vista_set_range(tx, (void *)(base + 20 * PAGE + 5), 3 * PAGE)); /* not stored to */
        OK(vista_set_range(tx, (void *)(base + 30 * PAGE), 8));
        base[30 * PAGE + 4000] = 3; /* of the page, not of the range */
        OK(vista_set_range(tx, (void *)(base + 30 * PAGE + 4000), 1));
        base[30 * PAGE + 4000] = 4;
        ck_assert_uint_eq(info().pages_touched, 2);
        if (round % 2 == 0) {
            OK(vista_abort_transaction(tx));
        } else {
            end(tx);
            model[100] = 1;
            model[95] = 2;
            model[30 * PAGE + 4000] = 4;
        }
        expect_model();
    }
    tx = begin(); /* so many that the log grows */
    for (size_t i = 0; i < 5000; i++)
        OK(vista_set_range(tx, (void *)(base + i * 200 % (SIZE - 100)), 100));
    memset((void *)base, 5, SIZE);
    OK(vista_abort_transaction(tx));
    expect_model();
    close_it();
}
END_TEST

START_TEST(one_at_a_time)
{
    vista_tx *tx;

    open_as(_i, FLAT, NULL);
    tx = begin();
    NULLS(vista_begin_transaction(segment, 0), EBUSY, "only one");
    FAILS(vista_unmap(segment), EBUSY, "open");
    end(tx);
    FAILS(vista_end_transaction(tx, 0), EINVAL, "ended");
    tx = vista_begin_transaction(segment, VISTA_NO_RESTORE);
    SOME(tx);
    base[5] = 5;
    model[5] = 5;
    FAILS(vista_abort_transaction(tx), EINVAL, "NO_RESTORE");
    end(tx);
    expect_model();
    close_it();
}
END_TEST

/* Handles that served other segments, and that threads remember as theirs. */
START_TEST(after_other_segments)
{
    for (int round = 0; round < 3; round++) {
        vista_segment *other = vista_map(test_path("other"), SIZE, VISTA_CREATE | FLAT, NULL);
        vista_tx *tx;

        SOME(other);
        tx = vista_begin_transaction(other, 0);
        OK(vista_set_range(tx, vista_base(other), 8));
        OK(vista_end_transaction(tx, 0));
        OK(vista_unmap(other));
        open_as(_i, FLAT, NULL);
        for (int i = 0; i < 3; i++) {
            tx = begin();
            base[i]++;
            model[i]++;
            end(tx);
        }
        expect_model();
        close_it();
    }
}
END_TEST

/* ---- Death ------------------------------------------------------------- */

static void die_in_transaction(void *way)
{
    const uintptr_t number = (uintptr_t)way;

    open_as((int)(number % 100), FLAT, NULL);
    vista_tx *tx = begin();
    memset((void *)(base + 3 * PAGE), 1, PAGE);
    end(tx);
    tx = begin();
    OK(vista_set_range(tx, (void *)(base + 9), 9));
    memset((void *)base, 2, 40 * PAGE);
    OK(vista_set_range(tx, (void *)(base + 90), 90));
    memset((void *)(base + 90), 3, 90);
    if (number >= 100)
        end(tx);
    raise(SIGKILL);
}

START_TEST(killed)
{
    for (int committed = 0; committed < 2; committed++) {
        path = NULL;
        path = ways[_i].disk ? test_disk_path("killed") : test_path("killed");
        ck_assert_int_eq(
            test_in_child(die_in_transaction, (void *)(uintptr_t)(_i + 100 * committed)),
            128 + SIGKILL);
        open_as(_i, FLAT, NULL);
        ck_assert_uint_eq(info().rolled_back,
                          !committed && ways[_i].class != VISTA_CLASS_DISK); /* it redoes */
        memset(model, committed ? 2 : 0, 40 * PAGE);
        if (committed)
            memset(model + 90, 3, 90);
        else
            memset(model + 3 * PAGE, 1, PAGE);
        expect_model();
        close_it();
    }
}
END_TEST

struct counters {
    uint64_t begun;
    uint64_t done;
};

/* Every page begins with the same number after each commit. */
static void count_for_ever(void *shared)
{
    struct counters *counters = shared;

    for (;;) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        REQUIRE(tx != NULL);
        counters->begun++;
        for (size_t page = 0; page < PAGES; page += 1 + counters->begun % 7)
            ++*(volatile uint64_t *)(base + page * PAGE + 8 * (counters->begun % 7));
        REQUIRE(vista_end_transaction(tx, 0) == 0);
        counters->done++;
    }
}

static void map_and_count(void *shared)
{
    open_as((int)((struct counters *)shared)[1].begun, FLAT, NULL);
    count_for_ever(shared);
}

/* Was the last transaction committed?  Each has counted on page 0. */
static bool has_committed(const struct counters *counters)
{
    uint64_t sum = 0;

    for (size_t step = 0; step < 7; step++)
        sum += *(volatile uint64_t *)(base + 8 * step);
    return sum == counters->begun;
}

START_TEST(killed_at_any_time)
{
    struct counters *counters = test_share(2 * sizeof *counters);
    struct test_random random = test_random_new(7);

    path = ways[_i].disk ? test_disk_path("any") : test_path("any");
    for (unsigned i = 0; i < test_times(8); i++) {
        const uint64_t before = counters->done;
        pid_t child;
        uint64_t expected[7] = {0};

        counters[1].begun = (uint64_t)_i;
        child = test_fork(map_and_count, counters);
        test_sleep_us(test_below(&random, 60000));
        while (*(volatile uint64_t *)&counters->done == before)
            test_sleep_us(1000);
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
        open_as(_i, FLAT, NULL);
        if (counters->begun > counters->done && has_committed(counters))
            counters->done = counters->begun; /* dead after the commit, before it was counted */
        counters->begun = counters->done;
        for (uint64_t n = 1; n <= counters->done; n++)
            expected[n % 7]++;
        for (size_t page = 0; page < PAGES; page++)
            for (size_t step = 0; step < 7; step++)
                ck_assert_uint_eq(*(volatile uint64_t *)(base + page * PAGE + 8 * step),
                                  page % (1 + step) == 0 ? expected[step] : 0);
        close_it();
    }
    ck_assert_uint_gt(counters->done, 0);
}
END_TEST

/* ---- Threads ----------------------------------------------------------- */

#define THREADS 4
static pthread_barrier_t together;

static void *store_own_part(void *number)
{
    const uintptr_t mine = (uintptr_t)number;

    for (int round = 0; round < 20; round++) {
        pthread_barrier_wait(&together);
        for (size_t page = 0; page < PAGES; page += 3)
            base[page * PAGE + mine] += (unsigned char)(1 + mine);
        pthread_barrier_wait(&together);
    }
    return NULL;
}

START_TEST(stores_of_all_threads)
{
    pthread_t threads[THREADS];

    if (not_under_thread_sanitizer("stores by several threads"))
        return;
    open_as(_i, FLAT, NULL);
    pthread_barrier_init(&together, NULL, THREADS + 1);
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, store_own_part, (void *)i), 0);
    for (int round = 0; round < 20; round++) {
        vista_tx *tx = begin();

        pthread_barrier_wait(&together);
        for (size_t page = 0; page < PAGES; page += 3)
            OK(vista_set_range(tx, (void *)(base + page * PAGE + 64), 8));
        pthread_barrier_wait(&together);
        ck_assert_uint_eq(info().pages_touched, (PAGES + 2) / 3);
        if (round % 2 == 0) {
            for (size_t page = 0; page < PAGES; page += 3)
                for (size_t i = 0; i < THREADS; i++)
                    model[page * PAGE + i] += (unsigned char)(1 + i);
            end(tx);
        } else {
            OK(vista_abort_transaction(tx));
        }
        expect_model();
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close_it();
}
END_TEST

/* ---- The heap ---------------------------------------------------------- */

struct root {
    unsigned char *block;
    uint64_t number;
};

START_TEST(heap)
{
    const unsigned flags = _i / 2 % 2 ? VISTA_SPARSE : 0;
    struct root *root;
    vista_tx *tx;

    open_as(_i, flags, NULL);
    root = vista_root(segment, sizeof *root);
    SOME(root);
    ck_assert_ptr_eq(root->block, NULL);
    tx = begin();
    NULLS(vista_root(segment, 1 << 16), EBUSY, "open"); /* it would move */
    root->block = vista_calloc(tx, 100, 100);
    SOME(root->block);
    for (size_t i = 0; i < 10000; i++)
        ck_assert_uint_eq(root->block[i], 0);
    memset(root->block, 1, 10000);
    root->number = 1;
    end(tx);

    tx = begin();
    root->block = vista_realloc(tx, root->block, 30000);
    SOME(root->block);
    ck_assert_uint_eq(root->block[9999], 1);
    root->block[20000] = 2;
    root->number = 2;
    OK(vista_free(tx, vista_malloc(tx, 50)));
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(root->number, 1);
    ck_assert_uint_eq(root->block[9999], 1);
    ck_assert_uint_ge(vista_usable_size(segment, root->block), 10000);

    tx = begin();
    root->block = vista_realloc(tx, root->block, 60000);
    SOME(root->block);
    end(tx);
    ck_assert_uint_eq(root->block[9999], 1);
    root = vista_root(segment, 20000); /* moves; the new part zeroed */
    SOME(root);
    ck_assert_uint_eq(root->number, 1);
    ck_assert_uint_eq(((unsigned char *)root)[19999], 0);
    close_it();
    ck_assert_uint_eq(test_live_blocks(path), 2);
    open_as(_i, 0, NULL);
    root = vista_root(segment, 0);
    SOME(root);
    tx = begin();
    OK(vista_free(tx, root->block));
    root->block = NULL;
    end(tx);
    close_it();
    ck_assert_uint_eq(test_live_blocks(path), 1);
}
END_TEST

/* calloc fails, where a store would be refused. */
START_TEST(heap_past_auto_pages)
{
    const struct vista_map_options options = {.auto_pages = 4};
    vista_tx *tx;
    char *block;

    open_as(_i, 0, &options);
    tx = begin();
    NULLS(vista_calloc(tx, 10, PAGE), ENOSPC, "auto_pages");
    block = vista_malloc(tx, 10 * PAGE);
    SOME(block);
    SOME(vista_malloc(tx, PAGE)); /* it cannot grow where it lies */
    memset(block, 1, PAGE);
    NULLS(vista_realloc(tx, block, 20 * PAGE), ENOSPC, "auto_pages");
    SOME(vista_calloc(tx, 1, PAGE));
    end(tx);
    close_it();
    ck_assert_uint_eq(test_live_blocks(path), 3);
}
END_TEST

/* ---- Refused stores and the program's handlers ------------------------- */

static sigjmp_buf back;
static char said[512];
static volatile void *where;
static volatile sig_atomic_t handled;

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    handled++;
    where = info->si_addr;
    snprintf(said, sizeof said, "%s", vista_errormsg());
    siglongjmp(back, 1);
}

static void install(void (*action)(int, siginfo_t *, void *), int flags)
{
    struct sigaction own = {.sa_sigaction = action, .sa_flags = SA_SIGINFO | flags};

    sigemptyset(&own.sa_mask);
    OK(sigaction(SIGSEGV, &own, NULL));
    OK(sigaction(SIGBUS, &own, NULL));
}

/* The store goes to the program's handler, which finds `part` in the message. */
#define REFUSED(address, part) \
    do { \
        said[0] = '\0'; \
        if (sigsetjmp(back, 1) == 0) { \
            *(volatile unsigned char *)(address) = 77; \
            ck_abort_msg("the store went through"); \
        } \
        ck_assert_msg(strstr(said, part) != NULL, "said \"%s\", not \"%s\"", said, part); \
        ck_assert_ptr_eq((const void *)where, (const void *)(address)); \
    } while (0)

START_TEST(outside_any_transaction)
{
    vista_tx *tx;

    install(jump, 0);
    open_as(_i, FLAT, NULL);
    REFUSED(base + 5, "outside any transaction");
    ck_assert_ptr_ne(strstr(said, path), NULL);
    tx = begin();
    base[5] = 1;
    end(tx);
    REFUSED(base + 5, "outside any transaction");
    tx = begin();
    base[5] = 2;
    OK(vista_abort_transaction(tx));
    REFUSED(base + 5, "outside any transaction");
    model[5] = 1;
    expect_model();
    REFUSED(base + SIZE, ""); /* not ours at all */
    REFUSED(nowhere, "");
    close_it();
}
END_TEST

START_TEST(past_auto_pages)
{
    const struct vista_map_options options = {.auto_pages = 10};
    vista_tx *tx;

    install(jump, SA_NODEFER);
    open_as(_i, FLAT, &options);
    ck_assert_uint_eq(info().pages_left, 10);
    for (int round = 0; round < 3; round++) {
        tx = begin();
        for (size_t page = 0; page < 10; page++)
            base[2 * page * PAGE] = 1;
        ck_assert_uint_eq(info().pages_left, 0);
        REFUSED(base + 31 * PAGE, "auto_pages");
        FAILS(vista_open_pages(tx, (void *)(base + 31 * PAGE), 1), ENOSPC, "auto_pages");
        base[4 * PAGE] = 2; /* open already */
        if (round == 1) {
            end(tx);
            for (size_t page = 0; page < 10; page++)
                model[2 * page * PAGE] = 1;
            model[4 * PAGE] = 2;
        } else {
            OK(vista_abort_transaction(tx));
        }
        expect_model();
    }
    close_it();
}
END_TEST

static void wild_store(void *way)
{
    open_as((int)(uintptr_t)way, FLAT, NULL);
    base[0] = 1;
}

static void ignored(void *way)
{
    signal(SIGSEGV, SIG_IGN);
    signal(SIGBUS, SIG_IGN);
    open_as((int)(uintptr_t)way, FLAT, NULL);
    raise(SIGSEGV); /* sent, not a fault: ignored */
    raise(SIGBUS);
    base[0] = 1;
}

static void sent(void *way)
{
    open_as((int)(uintptr_t)way, FLAT, NULL);
    raise(SIGSEGV);
}

static void elsewhere(void *way)
{
    open_as((int)(uintptr_t)way, FLAT, NULL);
    begin();
    *nowhere = 1;
}

static void in_the_child(void *way)
{
    volatile unsigned char *address;

    open_as((int)(uintptr_t)way, FLAT, NULL);
    begin();
    address = base;
    switch (fork()) {
    case 0:
        *address = 1;
        _exit(0);
    default: {
        int status;

        wait(&status);
        *address = 1;
        _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : 0);
    }
    }
}

START_TEST(default_actions)
{
    const struct rlimit no_core = {0, 0};
    const int fault = _i % 2 == 0 ? SIGBUS : SIGSEGV; /* or SIGSEGV where userfaultfd is not */
    int died;

    if (test_is_sanitized()) {
        test_skip("what a wild store does", "the sanitizer has the signals");
        return;
    }
    setrlimit(RLIMIT_CORE, &no_core);
    path = ways[_i].disk ? test_disk_path("wild") : test_path("wild");
    died = test_in_child(wild_store, (void *)(uintptr_t)_i);
    ck_assert(died == 128 + fault || died == 128 + SIGSEGV);
    ck_assert_int_eq(test_in_child(ignored, (void *)(uintptr_t)_i), died);
    ck_assert_int_eq(test_in_child(sent, (void *)(uintptr_t)_i), 128 + SIGSEGV);
    ck_assert_int_eq(test_in_child(elsewhere, (void *)(uintptr_t)_i), 128 + SIGSEGV);
    ck_assert_int_eq(test_in_child(in_the_child, (void *)(uintptr_t)_i), 128 + SIGSEGV);
}
END_TEST

static sigset_t in_handler;

static void plain(int signal)
{
    handled = signal;
    pthread_sigmask(SIG_BLOCK, NULL, &in_handler);
    siglongjmp(back, 1);
}

static void fault_twice(void *way)
{
    const struct sigaction action = {.sa_handler = plain, .sa_flags = SA_RESETHAND};
    volatile int i;

    REQUIRE(sigaction(SIGSEGV, &action, NULL) == 0);
    path = test_path("twice"); /* the parent has the other */
    open_as((int)(uintptr_t)way, FLAT, NULL);
    for (i = 0; i < 2; i++)
        if (sigsetjmp(back, 1) == 0)
            *nowhere = 1;
}

/* The handler before us finds the mask that the kernel would have given it. */
START_TEST(handlers_of_all_kinds)
{
    struct sigaction action = {.sa_handler = plain, .sa_flags = SA_RESETHAND}, now;

    if (!test_is_sanitized()) /* before there are handlers of the library's to inherit */
        ck_assert_int_eq(test_in_child(fault_twice, (void *)(uintptr_t)_i), 128 + SIGSEGV);
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR1);
    OK(sigaction(SIGSEGV, &action, NULL));
    OK(sigaction(SIGBUS, &action, NULL));
    open_as(_i, FLAT, NULL);
    vista_tx *tx = begin();
    base[0] = 1; /* ours is ours */
    ck_assert_int_eq(handled, 0);
    if (sigsetjmp(back, 1) == 0)
        *nowhere = 1;
    ck_assert_int_eq(handled, SIGSEGV);
    ck_assert(sigismember(&in_handler, SIGUSR1) && sigismember(&in_handler, SIGSEGV));
    ck_assert(!sigismember(&in_handler, SIGUSR2) && !sigismember(&in_handler, SIGTERM));
    base[PAGE] = 1; /* it is reset, ours is not */
    end(tx);

    OK(sigaction(SIGSEGV, NULL, &now)); /* ours stays after the segment */
    close_it();
    ck_assert(now.sa_flags & SA_SIGINFO);
}
END_TEST

static struct sigaction under;

/* A handler that the program installs later. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    handled++;
    under.sa_sigaction(signal, info, context);
}

START_TEST(handler_over_ours)
{
    struct sigaction over = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO};
    const int signals[] = {SIGSEGV, SIGBUS};

    open_as(_i, FLAT, NULL);
    for (int i = 0; i < 2; i++)
        OK(sigaction(signals[i], &over, &under));
    vista_tx *tx = begin();
    base[0] = 1;
    ck_assert_int_eq(handled, 1);
    OK(vista_abort_transaction(tx));
    close_it();
    open_as(_i, FLAT, NULL); /* does not come between */
    tx = begin();
    base[0] = 1;
    ck_assert_int_eq(handled, 2);
    OK(vista_abort_transaction(tx));
    close_it();
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    open_as(_i, FLAT, NULL); /* comes back */
    tx = begin();
    base[0] = 1;
    OK(vista_abort_transaction(tx));
    close_it();
}
END_TEST

static void host(int signal, siginfo_t *info, void *context)
{
    handled++;
    if (vista_fault(info, context) == 1)
        return;
    jump(signal, info, context);
}

START_TEST(host_faults)
{
    vista_tx *tx;

    install(host, SA_NODEFER);
    OK(vista_init(&(struct vista_options){.flags = VISTA_HOST_FAULTS}));
    path = ways[_i].disk ? test_disk_path("host") : test_path("host");
    segment = vista_map(path, SIZE, VISTA_CREATE | VISTA_AUTO_RANGE, NULL);
    SOME(segment);
    SOME(vista_root(segment, 100));
    ck_assert_int_eq(handled, 0); /* the library's own stores do not fault */
    base = vista_root(segment, 0);
    tx = begin();
    base[1] = 1;
    base[2] = 1;
    ck_assert_int_eq(handled, 1);
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[1], 0);
    REFUSED(base, "outside any transaction");
    REFUSED(nowhere, "");
    ck_assert_int_eq(vista_fault(NULL, NULL), 0);
    close_it();
    FAILS(vista_init(&(struct vista_options){.flags = 2}), EINVAL, "flags");
}
END_TEST

static volatile bool on_alternate;
static char *alternate;
#define ALTERNATE ((size_t)65536)

static void store_in_handler(int signal)
{
    char here;

    (void)signal;
    on_alternate = &here >= alternate && &here < alternate + ALTERNATE;
    base[50 * PAGE] = 5; /* faults on the stack that we are on */
    handled++;
}

static void on_which_stack(int signal)
{
    char here;

    (void)signal;
    on_alternate = &here >= alternate && &here < alternate + ALTERNATE;
    siglongjmp(back, 1);
}

static void *overflow(void *tx)
{
    const stack_t stack = {.ss_sp = alternate, .ss_size = ALTERNATE};
    stack_t before;
    struct sigaction action = {.sa_handler = store_in_handler, .sa_flags = SA_ONSTACK};

    (void)tx;
    OK(sigaltstack(&stack, &before));
    OK(sigaction(SIGUSR1, &action, NULL));
    base[0] = 1; /* its fault is on the alternate stack */
    raise(SIGUSR1);
    ck_assert(on_alternate);
    on_alternate = false;
    if (sigsetjmp(back, 1) == 0) /* the library's handler, and from it the program's */
        *nowhere = 1;
    OK(sigaltstack(&before, NULL));
    return NULL;
}

START_TEST(alternate_stacks)
{
    pthread_t thread;

    if (not_under_thread_sanitizer("stores in signal handlers on alternate stacks"))
        return;
    alternate = malloc(ALTERNATE);
    signal(SIGSEGV, on_which_stack);
    open_as(_i, FLAT, NULL);
    vista_tx *tx = begin();
    ck_assert_int_eq(pthread_create(&thread, NULL, overflow, tx), 0);
    pthread_join(thread, NULL);
    ck_assert(on_alternate);
    ck_assert_uint_eq(info().pages_touched, 2);
    end(tx);
    model[0] = 1;
    model[50 * PAGE] = 5;
    expect_model();
    close_it();
}
END_TEST

/* A signal at any moment, whose handler stores: in the middle of faults, of
 * declarations, of heap calls. */
static volatile bool may_store;

static void store_anywhere(int signal)
{
    static volatile unsigned at;

    (void)signal;
    if (may_store)
        ++*(volatile uint64_t *)(base + (128 + at++ % 100) * PAGE);
    handled++;
}

START_TEST(interrupted)
{
    const struct sigaction action = {.sa_handler = store_anywhere, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    const struct itimerspec often = {{0, 200000}, {0, 200000}};
    timer_t timer;

    if (not_under_thread_sanitizer("stores in signal handlers"))
        return;
    open_as(_i, FLAT, NULL);
    OK(sigaction(SIGUSR2, &action, NULL));
    OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    OK(timer_settime(timer, 0, &often, NULL));
    for (int round = 0; handled < 100 || round < 50; round++) {
        vista_tx *tx = begin();

        may_store = true;
        for (size_t page = 0; page < 100; page++) {
            OK(vista_set_range(tx, (void *)(base + page * PAGE), 300));
            base[page * PAGE] = (unsigned char)round;
        }
        OK(vista_open_pages(tx, (void *)(base + 100 * PAGE), 10 * PAGE));
        may_store = false;
        if (round % 2 == 0) {
            memcpy(model, (const void *)base, SIZE);
            end(tx);
        } else {
            OK(vista_abort_transaction(tx));
        }
        expect_model();
    }
    OK(timer_delete(timer));
    close_it();
}
END_TEST

/* ---- System calls ------------------------------------------------------ */

START_TEST(system_calls)
{
    int ends[2];
    vista_tx *tx;

    open_as(_i, FLAT, NULL);
    OK(pipe(ends));
    tx = begin();
    ck_assert_int_eq(write(ends[1], "twelve bytes", 12), 12);
    ck_assert(read(ends[0], (void *)(base + PAGE - 5), 12) == -1 && errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    OK(pipe(ends));
    ck_assert_int_eq(write(ends[1], "twelve bytes", 12), 12);
    OK(vista_open_pages(tx, (void *)(base + PAGE - 5), 12));
    ck_assert_uint_eq(info().pages_touched, 2);
    ck_assert_int_eq(read(ends[0], (void *)(base + PAGE - 5), 12), 12);
    ck_assert_mem_eq((void *)(base + PAGE - 5), "twelve bytes", 12);
    OK(vista_open_pages(tx, (void *)base, 0));
    OK(vista_open_pages(tx, (void *)(base + SIZE), 0));
    OK(vista_open_pages(tx, (void *)base, SIZE)); /* two of them are open */
    ck_assert_uint_eq(info().pages_left, 0);
    FAILS(vista_open_pages(tx, (void *)(base + SIZE), 1), EINVAL, "inside");
    FAILS(vista_open_pages(tx, (void *)(base - 1), 1), EINVAL, "inside");
    FAILS(vista_open_pages(tx, (void *)base, SIZE + 1), EINVAL, "inside");
    FAILS(vista_open_pages(NULL, (void *)base, 1), EINVAL, "NULL");
    OK(vista_abort_transaction(tx));
    FAILS(vista_open_pages(tx, (void *)base, 1), EINVAL, "ended");
    expect_model();
    close_it();
}
END_TEST

/* What is not open is not stored to: less is read, or what came is lost; nothing outside a
 * transaction. */
START_TEST(system_calls_half_way)
{
    char *bytes = calloc(1, 3 * PAGE);
    int ends[2], packets[2];
    struct iovec parts[2];
    vista_tx *tx;

    open_as(_i, FLAT, NULL);
    OK(pipe(ends));
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, packets));
    memset(bytes, 7, 3 * PAGE);
    ck_assert_int_eq(write(ends[1], bytes, 3 * PAGE), 3 * PAGE);
    ck_assert(read(ends[0], (void *)base, PAGE) == -1 && errno == EFAULT);
    tx = begin();
    base[0] = base[9 * PAGE] = 1;
    ck_assert_int_eq(read(ends[0], (void *)base, 2 * PAGE), PAGE);
    parts[0] = (struct iovec){(void *)(base + 9 * PAGE), PAGE};
    parts[1] = (struct iovec){(void *)(base + 20 * PAGE), PAGE};
    ck_assert_int_eq(readv(ends[0], parts, 2), PAGE);
    ck_assert_int_eq(read(ends[0], bytes, 3 * PAGE), PAGE); /* a pipe keeps the rest */
    ck_assert_int_eq(send(packets[1], bytes, 2 * PAGE, 0), 2 * PAGE);
    ck_assert(recv(packets[0], (void *)(base + 30 * PAGE), 2 * PAGE, 0) == -1 && errno == EFAULT);
    ck_assert(recv(packets[0], bytes, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    ck_assert_uint_eq(info().pages_touched, 2);
    end(tx);
    memset(model, 7, PAGE);
    memset(model + 9 * PAGE, 7, PAGE);
    expect_model();
    close_it();
    free(bytes);
}
END_TEST

/* Without automatic ranges it declares whole pages. */
START_TEST(open_pages_of_any_segment)
{
    vista_tx *tx;

    path = test_path("ordinary");
    segment = vista_map(path, SIZE, VISTA_CREATE | FLAT, NULL);
    SOME(segment);
    base = vista_base(segment);
    tx = begin();
    OK(vista_open_pages(tx, (void *)(base + 100), PAGE));
    memset((void *)base, 1, 2 * PAGE);
    OK(vista_open_pages(tx, (void *)(base + SIZE - 1), 1));
    base[SIZE - 1] = 2;
    OK(vista_open_pages(tx, (void *)(base + SIZE), 0));
    OK(vista_abort_transaction(tx));
    expect_model();
    ck_assert_uint_eq(info().pages_left, 0);
    close_it();
}
END_TEST

/* ---- Size -------------------------------------------------------------- */

static uint64_t read_number(const char *file)
{
    FILE *in = fopen(file, "re");
    unsigned long long number = 0;

    if (in != NULL && fscanf(in, "%llu", &number) != 1)
        number = 0;
    if (in != NULL)
        fclose(in);
    return number;
}

/* All up to there is opened together, so it must have its disk blocks: by 2 MiB. */
static void open_far_away(size_t page, size_t far)
{
    const uint64_t touched = info().pages_touched;

    fault_set(CALL_FALLOCATE, UINT32_MAX, 0, 0); /* to count them */
    base[far * PAGE] = 0;
    ck_assert_uint_gt(info().pages_touched, touched + far - page - HUGE / PAGE);
    ck_assert_uint_ge(fault_calls(), (far - page) / (HUGE / PAGE));
    fault_clear();
}

/* Every other page of so many that each would be a mapping more than there can be. */
START_TEST(more_pages_than_mappings)
{
    const uint64_t most = read_number("/proc/sys/vm/max_map_count");
    const size_t pages = 2 * most + 1000, size = pages * PAGE;
    const struct vista_options host_options = {.flags = VISTA_HOST_FAULTS}; /* by mprotect */
    const unsigned flags = VISTA_CREATE | VISTA_AUTO_RANGE | FLAT | VISTA_SPARSE;

    if (most == 0 || most > 100000 || test_room(false) < 3 * size) {
        test_skip("more scattered pages than mappings", "vm.max_map_count, or no room");
        return;
    }
    path = test_path("many");
    install(host, SA_NODEFER);
    OK(vista_init(&host_options));
    segment = vista_map(path, size, flags, NULL);
    SOME(segment);
    base = vista_base(segment);
    for (int commit = 0; commit < 2; commit++) {
        vista_tx *tx = begin();

        for (size_t page = 0; page < pages; page += 2) {
            if (commit == 0 && page == (most + 1000) / 2 * 2)
                open_far_away(page, page + 3 * HUGE / PAGE);
            base[page * PAGE + 9] = 1;
        }
        ck_assert_uint_ge(info().pages_touched, pages / 2);
        ck_assert_uint_lt(info().pages_touched, pages);
        if (commit)
            end(tx);
        else
            OK(vista_abort_transaction(tx));
        for (size_t page = 0; page < pages; page++)
            ck_assert_uint_eq(base[page * PAGE + 9], commit && page % 2 == 0);
        REFUSED(base + PAGE, "outside any transaction");
        REFUSED(base + (pages - 1) * PAGE, "outside any transaction");
    }
    close_it();
}
END_TEST

/* Log space is had at map or not at all. */
START_TEST(no_room_for_the_log)
{
    const struct vista_map_options few = {.auto_pages = 100}, most = {.auto_pages = 1 << 30};

    path = test_path("small");
    disk_room = 2 << 20; /* for the data, and not for a log that is larger */
    NULLS(vista_map(path, 2 << 20, VISTA_CREATE | VISTA_AUTO_RANGE | FLAT, NULL), ENOSPC, path);
    ck_assert_int_eq(access(path, F_OK), -1); /* nothing is left */
    segment = vista_map(path, 2 << 20, VISTA_CREATE | FLAT, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
    NULLS(vista_map(path, 0, VISTA_AUTO_RANGE, NULL), ENOSPC, path);
    disk_room = INT64_MAX;
    path = test_path("few");
    segment = vista_map(path, 16 << 20, VISTA_CREATE | VISTA_AUTO_RANGE | FLAT, &few);
    SOME(segment);
    ck_assert_uint_eq(info().pages_left, 100);
    ck_assert_uint_lt(info().log_bytes, 1 << 20);
    close_it();
    segment = vista_map(path, 0, VISTA_AUTO_RANGE, &most);
    SOME(segment);
    ck_assert_uint_eq(info().pages_left, (16 << 20) / PAGE);
    ck_assert_uint_ge(info().log_bytes, 16 << 20);
    ck_assert_uint_lt(info().log_bytes, 18 << 20);
    close_it();
}
END_TEST

static uint64_t disk_bytes(void)
{
    struct stat st;

    OK(fstat(info().fd, &st));
    return (uint64_t)st.st_blocks * 512;
}

START_TEST(sparse)
{
    uint64_t before;
    vista_tx *tx;

    open_as(_i, FLAT | VISTA_SPARSE, NULL);
    tx = begin();
    before = disk_bytes();
    base[3 * PAGE] = 3;
    ck_assert_uint_ge(disk_bytes(), before + 16 * PAGE); /* a group at once */
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[3 * PAGE], 0);
    tx = begin();
    base[SIZE - 1] = 3;
    model[SIZE - 1] = 3;
    end(tx);
    expect_model();
    close_it();
}
END_TEST

static void open_sparse(int way, unsigned watch)
{
    path = way % 2 ? test_disk_path("full") : test_path("full");
    segment = vista_map(path, SIZE, VISTA_CREATE | FLAT | VISTA_SPARSE | watch, NULL);
    SOME(segment);
    base = vista_base(segment);
}

/* It is told before or at the store; a call that was interrupted is made again. */
START_TEST(sparse_on_a_full_disk)
{
    vista_tx *tx;

    install(jump, SA_NODEFER);
    open_sparse(_i, VISTA_AUTO_RANGE);
    tx = begin();
    fault_set(CALL_FALLOCATE, 0, UINT32_MAX, 0);
    FAILS(vista_open_pages(tx, (void *)(base + PAGE), 1), ENOSPC, path);
    REFUSED(base + PAGE, "on the disk");
    FAILS(vista_set_range(tx, (void *)(base + PAGE), 8), ENOSPC, path);
    fault_set(CALL_FALLOCATE, 0, 3, EINTR);
    base[PAGE] = 1;
    ck_assert_uint_eq(fault_calls(), 3 + 1);
    end(tx);
    tx = begin();
    base[PAGE] = 2;
    fault_clear();
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[PAGE], 1);
    close_it();
}
END_TEST

/* What could not be opened has not become declared. */
START_TEST(checked_on_a_full_disk)
{
    vista_tx *tx;

    open_sparse(_i, VISTA_CHECK_RANGES);
    tx = begin();
    fault_set(CALL_FALLOCATE, 0, UINT32_MAX, 0);
    FAILS(vista_open_pages(tx, (void *)base, 2 * PAGE), ENOSPC, path);
    fault_clear();
    base[PAGE] = 1;
    FAILS(vista_end_transaction(tx, 0), EFAULT, "offset 4096");
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[PAGE], 0);
    close_it();
}
END_TEST

/* A store does not make longer what someone has cut off. */
START_TEST(sparse_and_truncated)
{
    struct stat st;
    vista_tx *tx;
    off_t cut;

    install(jump, SA_NODEFER);
    open_sparse(_i, VISTA_AUTO_RANGE);
    cut = (off_t)(info().data_offset + SIZE / 2);
    tx = begin();
    OK(truncate(path, cut));
    REFUSED(base + SIZE - 1, "truncated");
    FAILS(vista_open_pages(tx, (void *)(base + SIZE - 1), 1), EBADMSG, path);
    OK(vista_abort_transaction(tx));
    OK(stat(path, &st));
    ck_assert_int_eq(st.st_size, cut);
    FAILS(vista_unmap(segment), EBADMSG, "truncated");
}
END_TEST

/* ---- Cost -------------------------------------------------------------- */

static unsigned char *bare, *bare_log;
static size_t bare_logged;

/* A bare loop: copies the page and opens it. */
static void bare_handler(int signal, siginfo_t *info, void *context)
{
    unsigned char *page = (unsigned char *)((uintptr_t)info->si_addr / PAGE * PAGE);

    (void)signal;
    (void)context;
    if (page < bare || page >= bare + SIZE)
        abort();
    memcpy(bare_log + bare_logged, page, PAGE);
    bare_logged += PAGE;
    if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0)
        abort();
}

/* Of the processor, for this thread: others want it, too. */
static uint64_t nanoseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define ROUNDS 25 /* so few that most are not interrupted */

/* Rounds of stores to 4 pages of `data`; the time. */
static uint64_t store_rounds(volatile unsigned char *data, struct test_random *random, bool ours)
{
    const uint64_t began = nanoseconds();

    for (int round = 0; round < ROUNDS; round++) {
        vista_tx *tx = ours ? begin() : NULL;
        size_t pages[4];

        bare_logged = 0;
        for (int i = 0; i < 4; i++) {
            pages[i] = test_below(random, PAGES);
            data[pages[i] * PAGE + 8]++;
        }
        if (ours)
            end(tx);
        for (int i = 0; i < 4 && !ours; i++)
            if (mprotect(bare + pages[i] * PAGE, PAGE, PROT_READ) != 0)
                abort();
    }
    return nanoseconds() - began;
}

/* At most 1.2 times a bare loop, in turns with it; the quickest of many counts, since
 * other programs run, too. */
START_TEST(cost)
{
    struct test_random random = test_random_new(3);
    uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
    double ratio = 9;
    int fd;

    if (!test_is_optimized() || test_is_sanitized() || test_is_valgrind()) {
        test_skip("the cost of automatic ranges", "not an optimized build on the bare machine");
        return;
    }
    install(bare_handler, 0);
    fd = open(ways[_i].disk ? test_disk_path("bare") : test_path("bare"), O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(posix_fallocate(fd, 0, (off_t)(2 * SIZE)), 0);
    bare = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(bare, MAP_FAILED);
    bare_log = bare + SIZE;
    memset(bare, 1, 2 * SIZE);
    OK(mprotect(bare, SIZE, PROT_READ));
    open_as(_i, FLAT, NULL);
    for (int i = 0; i < 8000 && (i < 200 || ratio > 1.2); i++) {
        for (int ours = 0; ours < 2; ours++) {
            const uint64_t time = store_rounds(ours ? base : bare, &random, ours);

            best[ours] = time < best[ours] ? time : best[ours];
        }
        ratio = (double)best[1] / (double)best[0];
    }
    printf("automatic ranges, %s: %.2f times a bare loop, %.1f us for a page\n",
           ways[_i].disk ? "disk" : "memory", ratio, (double)best[1] / (4e3 * ROUNDS));
    ck_assert_double_le(ratio, 1.2);
    close_it();
    close(fd);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("ranges");
    TCase *tests = test_case(suite, "pages", 60);

    tcase_add_loop_test(tests, commits_and_aborts, 0, WAYS);
    tcase_add_loop_test(tests, edges_of_pages, 0, WAYS);
    tcase_add_loop_test(tests, explicit_ranges, 0, WAYS);
    tcase_add_loop_test(tests, one_at_a_time, 0, 2);
    tcase_add_loop_test(tests, after_other_segments, 0, 2);
    tcase_add_loop_test(tests, killed, 0, WAYS);
    tcase_add_loop_test(tests, killed_at_any_time, 0, WAYS);
    tcase_add_loop_test(tests, stores_of_all_threads, 0, WAYS);
    tcase_add_loop_test(tests, heap, 0, WAYS);
    tcase_add_loop_test(tests, heap_past_auto_pages, 0, 2);
    tests = test_case(suite, "faults", 60);
    tcase_add_loop_test(tests, outside_any_transaction, 0, WAYS);
    tcase_add_loop_test(tests, past_auto_pages, 0, WAYS);
    tcase_add_loop_test(tests, default_actions, 0, 2);
    tcase_add_loop_test(tests, handlers_of_all_kinds, 0, 2);
    tcase_add_loop_test(tests, handler_over_ours, 0, 2);
    tcase_add_loop_test(tests, host_faults, 0, 2);
    tcase_add_loop_test(tests, alternate_stacks, 0, 2);
    tcase_add_loop_test(tests, interrupted, 0, 4);
    tcase_add_loop_test(tests, system_calls, 0, 2);
    tcase_add_loop_test(tests, system_calls_half_way, 0, 2);
    tcase_add_test(tests, open_pages_of_any_segment);
    tests = test_case(suite, "size", 120);
    tcase_add_test(tests, more_pages_than_mappings);
    tcase_add_test(tests, no_room_for_the_log);
    tcase_add_loop_test(tests, sparse, 0, WAYS);
    tcase_add_loop_test(tests, sparse_on_a_full_disk, 0, 2);
    tcase_add_loop_test(tests, checked_on_a_full_disk, 0, 2);
    tcase_add_loop_test(tests, sparse_and_truncated, 0, 2);
    tests = test_case(suite, "cost", 120);
    tcase_add_loop_test(tests, cost, 0, 2);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
