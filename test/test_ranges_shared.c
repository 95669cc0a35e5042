/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Automatic and checked ranges on segments that share a log, and on segments that change
 * size.
 *
 * Scenarios, each with home and members on tmpfs (userfaultfd, if the kernel has it) and on
 * a disk (mprotect), alike and mixed, in each class: commits, aborts and deaths over a
 * group; members with ranges of no such kind; the budget of pages that a group shares;
 * joining and leaving; undeclared stores to any segment; growing and shrinking, with a
 * transaction open, in the middle of one (VISTA_GROW), and beside threads.
 */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PAGE ((size_t)4096)
#define PAGES ((size_t)64)
#define SIZE (PAGES * PAGE)
#define MAX (16 * SIZE)
#define SEGMENTS 3 /* 0 is home; 2 has a heap */

static const struct way {
    bool disk[SEGMENTS];
    unsigned class;
} ways[] = {{{false, false, false}, VISTA_CLASS_KILL}, {{true, true, true}, VISTA_CLASS_KILL},
            {{false, true, false}, VISTA_CLASS_LINE},  {{true, false, true}, VISTA_CLASS_LINE},
            {{true, false, false}, VISTA_CLASS_EADR},  {{false, true, true}, VISTA_CLASS_KILL},
            {{false, false, false}, VISTA_CLASS_DISK}};
#define WAYS ((int)(sizeof ways / sizeof ways[0]))

static char path[SEGMENTS][200];
static vista_segment *segment[SEGMENTS];
static volatile unsigned char *base[SEGMENTS]; /* of the last, a block as large as the others */
static unsigned char model[SEGMENTS][SIZE];

static void names(int way)
{
    static const char *const of[] = {"home", "flat", "heap"};

    for (int i = 0; i < SEGMENTS; i++)
        snprintf(path[i], sizeof path[i], "%s",
                 ways[way].disk[i] ? test_disk_path(of[i]) : test_path(of[i]));
    OK(vista_init(&(struct vista_options){.force_class = ways[way].class}));
}

static vista_segment *map(int i, unsigned flags, size_t auto_pages)
{
    const struct vista_map_options options = {.log = i == 0 ? NULL : segment[0],
                                              .auto_pages = auto_pages,
                                              .max_size = MAX,
                                              .log_size = 16 << 20}; /* of the disk class */

    flags |= i == SEGMENTS - 1 ? 0 : VISTA_NO_HEAP;
    segment[i] =
        vista_map(path[i], i == SEGMENTS - 1 ? 3 * SIZE : SIZE, VISTA_CREATE | flags, &options);
    if (segment[i] != NULL)
        base[i] = i == SEGMENTS - 1 ? vista_root(segment[i], SIZE) : vista_base(segment[i]);
    return segment[i];
}

static void map_all(unsigned flags)
{
    for (int i = 0; i < SEGMENTS; i++) {
        SOME(map(i, flags, 0));
        SOME(base[i]);
    }
}

static void unmap_all(int first)
{
    for (int i = 0; i < SEGMENTS; i++)
        OK(vista_unmap(segment[(first + i) % SEGMENTS]));
    for (int i = 0; i < SEGMENTS; i++)
        test_sound(path[i]);
}

static vista_tx *begin(int on)
{
    vista_tx *tx = vista_begin_transaction(segment[on], 0);

    SOME(tx);
    return tx;
}

static void end(vista_tx *tx)
{
    OK(vista_end_transaction(tx, 0));
}

static struct vista_info info(int i)
{
    struct vista_info info;

    OK(vista_info(segment[i], &info));
    return info;
}

static void expect_model(void)
{
    for (int i = 0; i < SEGMENTS; i++)
        for (size_t at = 0; at < SIZE && memcmp((void *)base[i], model[i], SIZE) != 0; at++)
            ck_assert_msg(base[i][at] == model[i][at], "segment %d, byte %zu: %02x, not %02x", i,
                          at, base[i][at], model[i][at]);
}

/* ---- Stores that fault and may not be ----------------------------------- */

static sigjmp_buf back;
static char said[512];

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    snprintf(said, sizeof said, "%s", vista_errormsg());
    siglongjmp(back, 1);
}

static void catch_faults(void)
{
    struct sigaction own = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&own.sa_mask);
    OK(sigaction(SIGSEGV, &own, NULL));
    OK(sigaction(SIGBUS, &own, NULL));
}

/* The program's handler finds the path and `part` in the message. */
#define REFUSED(address, of, part) \
    do { \
        said[0] = '\0'; \
        if (sigsetjmp(back, 1) == 0) { \
            *(address) = 77; \
            ck_abort_msg("the store went through"); \
        } \
        ck_assert_msg(strstr(said, part) != NULL && strstr(said, of) != NULL, \
                      "said \"%s\", not \"%s\"", said, part); \
    } while (0)

/* ---- Groups ------------------------------------------------------------ */

START_TEST(commits_and_aborts)
{
    struct test_random random = test_random_new(1);

    names(_i);
    map_all(VISTA_AUTO_RANGE);
    for (int round = 0; round < 60; round++) {
        const unsigned stores = (unsigned)test_below(&random, 60);
        vista_tx *tx = begin(round % SEGMENTS);

        for (unsigned n = 0; n < stores; n++) {
            const size_t at = test_below(&random, SIZE - 8);
            const int i = (int)test_below(&random, SEGMENTS);

            if (n % 7 == 0)
                OK(vista_set_range(tx, (void *)(base[i] + at), 8));
            if (n % 7 == 1) /* not stored to */
                OK(vista_set_range(tx, (void *)(base[i] + test_below(&random, SIZE - 8)), 8));
            if (n % 20 == 0)
                SOME(vista_malloc_in(tx, segment[2], 100));
            base[i][at] = (unsigned char)test_next(&random);
            if (round % 3 != 0)
                model[i][at] = base[i][at];
        }
        if (round % 3 != 0)
            end(tx);
        else
            OK(vista_abort_transaction(tx));
        expect_model();
        if (round % 10 == 9) { /* in any order */
            unmap_all(round % SEGMENTS);
            map_all(VISTA_AUTO_RANGE);
            expect_model();
        }
    }
    unmap_all(1);
    for (int i = SEGMENTS - 1; i > 0; i--) { /* each alone */
        SOME((segment[0] = vista_map(path[i], 0, VISTA_AUTO_RANGE, NULL)));
        base[i] = i == 2 ? vista_root(segment[0], 0) : vista_base(segment[0]);
        ck_assert_mem_eq((void *)base[i], model[i], SIZE);
        OK(vista_unmap(segment[0]));
    }
}
END_TEST

/* Pages of all are taken from one budget, which is what each has brought. */
START_TEST(budget)
{
    vista_tx *tx;

    names(_i);
    catch_faults();
    SOME(map(0, VISTA_AUTO_RANGE, 3));
    SOME(map(1, VISTA_AUTO_RANGE, 2));
    ck_assert_uint_eq(info(0).pages_left, 5);
    tx = begin(1);
    for (size_t page = 0; page < 4; page++)
        base[1][2 * page * PAGE] = 1;
    ck_assert_uint_eq(info(1).pages_touched, 4);
    ck_assert_uint_eq(info(0).pages_touched, 0);
    ck_assert_uint_eq(info(0).pages_left, 1);
    FAILS(vista_open_pages(tx, (void *)base[0], PAGE + 1), ENOSPC, path[0]);
    base[0][0] = 1;
    ck_assert_uint_eq(info(1).pages_left, 0);
    REFUSED(base[0] + PAGE, path[0], "auto_pages");
    REFUSED(base[1] + PAGE, path[1], "auto_pages");
    OK(vista_abort_transaction(tx));
    OK(vista_unmap(segment[1]));
    ck_assert_uint_eq(info(0).pages_left, 3);
    SOME(map(1, VISTA_AUTO_RANGE, 0));
    ck_assert_uint_eq(info(0).pages_left, 3 + PAGES);
    tx = begin(0);
    memset((void *)base[1], 9, SIZE);
    memset((void *)base[0], 9, 3 * PAGE);
    ck_assert_uint_eq(info(0).pages_left, 0);
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[0][0] + base[1][0] + base[1][SIZE - 1], 0);
    REFUSED(base[1], path[1], "outside any transaction");
    OK(vista_unmap(segment[0]));
    tx = begin(1); /* home is still there */
    base[1][5] = 1;
    end(tx);
    OK(vista_unmap(segment[1]));
}
END_TEST

/* A member that declares its ranges has them logged, beside pages of home. */
START_TEST(ordinary_member)
{
    vista_tx *tx;

    names(_i);
    catch_faults();
    SOME(map(0, VISTA_AUTO_RANGE, 0));
    SOME(map(2, VISTA_AUTO_RANGE, 0));
    SOME(map(1, 0, 0));
    ck_assert_uint_eq(info(1).flags & VISTA_AUTO_RANGE, 0);
    for (int commit = 0; commit < 2; commit++) {
        tx = begin(1);
        base[0][5 * PAGE] = 1;
        base[2][5 * PAGE] = 1;
        OK(vista_set_range(tx, (void *)(base[1] + 10), 600));
        memset((void *)(base[1] + 10), 1, 600);
        OK(vista_open_pages(tx, (void *)(base[1] + 9 * PAGE), 1));
        base[1][9 * PAGE + 100] = 1;
        if (commit)
            end(tx);
        else
            OK(vista_abort_transaction(tx));
        ck_assert_uint_eq(base[0][5 * PAGE] + base[1][10] + base[1][609] + base[1][9 * PAGE + 100],
                          4 * commit);
        REFUSED(base[0] + 5 * PAGE, path[0], "outside any transaction");
        REFUSED(base[2] + 5 * PAGE, path[2], "outside any transaction");
        ck_assert_uint_eq(base[2][5 * PAGE], commit);
    }
    base[1][0] = 1; /* not watched */
    unmap_all(1);
}
END_TEST

START_TEST(joining)
{
    struct vista_map_options options = {0};
    const char *touched;
    vista_tx *tx;
    int fd;

    names(_i);
    SOME(map(0, 0, 0));
    NULLS(map(1, VISTA_AUTO_RANGE, 0), EINVAL, path[0]);
    NULLS(map(1, VISTA_CHECK_RANGES, 0), EINVAL, "VISTA_CHECK_RANGES");
    ck_assert_int_eq(access(path[1], F_OK), -1); /* nothing is left */
    OK(vista_unmap(segment[0]));
    SOME(map(0, VISTA_AUTO_RANGE, 0));
    NULLS(map(1, VISTA_CHECK_RANGES, 0), EINVAL, path[0]);
    setenv("VISTA_CHECK", "ranges", 1); /* leaves such a group alone */
    SOME(map(2, 0, 0));
    options.log = segment[2];
    SOME((segment[1] = vista_map(path[1], SIZE, VISTA_CREATE | VISTA_NO_HEAP, &options)));
    ck_assert_uint_eq(info(1).flags, VISTA_NO_HEAP);
    unsetenv("VISTA_CHECK");
    unmap_all(0);
    SOME(map(0, VISTA_CHECK_RANGES, 0));
    SOME(map(1, 0, 0));
    ck_assert_uint_eq(info(1).flags, VISTA_NO_HEAP);
    setenv("VISTA_CHECK", "ranges", 1);
    options.log = segment[1]; /* its home is meant */
    SOME((segment[2] = vista_map(path[2], 0, 0, &options)));
    ck_assert_uint_eq(info(2).flags, VISTA_CHECK_RANGES);
    unsetenv("VISTA_CHECK");
    unmap_all(1);
    SOME(map(0, VISTA_AUTO_RANGE, 0));
    tx = begin(0);
    NULLS(map(1, VISTA_AUTO_RANGE, 0), EBUSY, "open");
    options.log = segment[0]; /* an empty file is left as it was */
    touched = test_path("touched");
    fd = open(touched, O_RDWR | O_CREAT, 0600);
    NULLS(vista_map(touched, SIZE, VISTA_CREATE | VISTA_AUTO_RANGE, &options), EBUSY, "open");
    ck_assert_int_eq(lseek(fd, 0, SEEK_END), 0);
    close(fd);
    base[0][0] = 1; /* goes on as it was */
    base[0][SIZE - 1] = 1;
    ck_assert_uint_eq(info(0).pages_left, PAGES - 2);
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[0][0] + base[0][SIZE - 1], 0);
    options.log = segment[0];               /* more than the whole log area of home */
    if (ways[_i].class != VISTA_CLASS_DISK) /* which takes as many as fit */
        NULLS(vista_map(test_path("large"), 80 << 20,
                        VISTA_CREATE | VISTA_AUTO_RANGE | VISTA_NO_HEAP | VISTA_SPARSE, &options),
              ENOSPC, "log area");
    ck_assert_uint_eq(info(0).pages_left, PAGES);
    tx = begin(0);
    memset((void *)base[0], 1, SIZE);
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[0][0] + base[0][SIZE - 1], 0);
    SOME(map(1, VISTA_AUTO_RANGE, 0));
    OK(vista_unmap(segment[1]));
    OK(vista_unmap(segment[0]));
}
END_TEST

/* Others join while a thread works, in turns with it, and leave when it has no transaction. */
static atomic_bool stop;
static pthread_mutex_t no_transaction = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *argument)
{
    const bool checked = argument != NULL;

    while (!atomic_load(&stop)) {
        vista_tx *tx;

        pthread_mutex_lock(&no_transaction);
        tx = vista_begin_transaction(segment[0], 0);
        if (tx == NULL) /* it waits while the other joins */
            return "begin";
        if (checked && vista_set_range(tx, (void *)base[0], 1) != 0)
            return "range";
        base[0][0]++;
        if (vista_end_transaction(tx, 0) != 0)
            return "end";
        pthread_mutex_unlock(&no_transaction);
        test_sleep_us(500);
    }
    return NULL;
}

START_TEST(joining_beside_a_thread)
{
    const unsigned flag = _i % 2 == 0 ? VISTA_AUTO_RANGE : VISTA_CHECK_RANGES;
    pthread_t thread;
    void *failure;
    int joined = 0;

    names(_i / 2);
    SOME(map(0, flag, 0));
    SOME(map(1, flag, 0));
    OK(vista_unmap(segment[1]));
    atomic_store(&stop, false);
    OK(pthread_create(&thread, NULL, work, flag == VISTA_CHECK_RANGES ? &stop : NULL));
    while (joined < 20) {
        if (map(1, flag, 0) == NULL) { /* the thread has a transaction open */
            ck_assert_msg(errno == EBUSY, "%s", vista_errormsg());
            test_sleep_us(50);
            continue;
        }
        joined++;
        pthread_mutex_lock(&no_transaction);
        OK(vista_unmap(segment[1]));
        pthread_mutex_unlock(&no_transaction);
    }
    atomic_store(&stop, true);
    OK(pthread_join(thread, &failure));
    ck_assert_msg(failure == NULL, "%s: %s", (const char *)failure, vista_errormsg());
    OK(vista_unmap(segment[0]));
}
END_TEST

/* ---- Death ------------------------------------------------------------- */

static void die_in_transaction(void *argument)
{
    const uintptr_t number = (uintptr_t)argument;
    vista_tx *tx;

    map_all(VISTA_AUTO_RANGE);
    for (int round = 0; round < 2; round++) {
        tx = vista_begin_transaction(segment[round], 0);
        REQUIRE(tx != NULL);
        for (int i = 0; i < SEGMENTS; i++) {
            memset((void *)(base[i] + 3 * PAGE + 17), 1 + round, 5 * PAGE);
            REQUIRE(vista_set_range(tx, (void *)(base[i] + 90), 90) == 0);
            memset((void *)(base[i] + 90), 3 + round, 90);
        }
        if (round == 0 || number != 0)
            REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
    raise(SIGKILL);
}

START_TEST(killed)
{
    for (int first = 0; first < SEGMENTS; first++)
        for (uintptr_t committed = 0; committed < 2; committed++) {
            names(_i);
            map_all(VISTA_AUTO_RANGE);
            unmap_all(0);
            ck_assert_int_eq(test_in_child(die_in_transaction, (void *)committed), 128 + SIGKILL);
            segment[0] = vista_map(path[first], 0, 0, NULL);
            SOME(segment[0]);
            ck_assert_uint_eq(info(0).rolled_back,
                              !committed && ways[_i].class != VISTA_CLASS_DISK);
            OK(vista_unmap(segment[0]));
            map_all(VISTA_AUTO_RANGE);
            for (int i = 0; i < SEGMENTS; i++) {
                memset(model[i] + 3 * PAGE + 17, 1 + (int)committed, 5 * PAGE);
                memset(model[i] + 90, 3 + (int)committed, 90);
            }
            expect_model();
            unmap_all(0);
        }
}
END_TEST

struct counters {
    uint64_t begun;
    uint64_t done;
};

/* Every page of all three begins with the same number after each commit. */
static void count_for_ever(void *shared)
{
    struct counters *counters = shared;

    map_all(VISTA_AUTO_RANGE);
    for (;;) {
        vista_tx *tx = vista_begin_transaction(segment[counters->begun % SEGMENTS], 0);

        REQUIRE(tx != NULL);
        counters->begun++;
        for (size_t page = 0; page < PAGES; page++)
            for (int i = 0; i < SEGMENTS; i++)
                ++*(volatile uint64_t *)(base[i] + page * PAGE);
        REQUIRE(vista_end_transaction(tx, 0) == 0);
        counters->done++;
    }
}

START_TEST(killed_at_any_time)
{
    struct counters *counters = test_share(sizeof *counters);
    struct test_random random = test_random_new(7);

    names(_i);
    map_all(VISTA_AUTO_RANGE);
    unmap_all(0);
    for (unsigned times = 0; times < test_times(8); times++) {
        const uint64_t before = counters->done;
        const pid_t child = test_fork(count_for_ever, counters);
        uint64_t now;

        test_sleep_us(test_below(&random, 60000));
        while (*(volatile uint64_t *)&counters->done == before)
            test_sleep_us(1000);
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
        segment[0] = vista_map(path[times % SEGMENTS], 0, 0, NULL);
        SOME(segment[0]);
        OK(vista_unmap(segment[0]));
        map_all(VISTA_AUTO_RANGE);
        now = *(volatile uint64_t *)base[0];
        ck_assert(now == counters->done || now == counters->begun);
        for (int i = 0; i < SEGMENTS; i++)
            for (size_t page = 0; page < PAGES; page++)
                ck_assert_uint_eq(*(volatile uint64_t *)(base[i] + page * PAGE), now);
        counters->begun = counters->done = now;
        unmap_all((int)times % SEGMENTS);
    }
    ck_assert_uint_gt(counters->done, 0);
}
END_TEST

/* ---- Checked groups ---------------------------------------------------- */

START_TEST(undeclared)
{
    char part[700];
    vista_tx *tx;

    names(_i);
    if (_i % 2 == 0)
        setenv("VISTA_CHECK", "ranges", 1);
    map_all(_i % 2 == 0 ? 0 : VISTA_CHECK_RANGES);
    for (int i = 0; i < SEGMENTS; i++) {
        const size_t offset = (size_t)((char *)base[i] - (char *)vista_base(segment[i]));

        ck_assert_uint_ne(info(i).flags & VISTA_CHECK_RANGES, 0);
        for (int declared = 0; declared < 2; declared++) { /* a first and a later store */
            tx = begin((i + 1) % SEGMENTS);
            OK(vista_set_range(tx, (void *)(base[(i + 1) % SEGMENTS] + 64), 64));
            base[(i + 1) % SEGMENTS][64] = 1;
            if (declared)
                OK(vista_set_range(tx, (void *)(base[i] + PAGE), 8));
            base[i][PAGE + 8] = 1;
            base[(i + 2) % SEGMENTS][3 * PAGE] = 1;
            if (declared) /* not the first to its page: found at the end */
                snprintf(part, sizeof part, "%s: stored to", path[(i + 2) % SEGMENTS]);
            else
                snprintf(part, sizeof part, "%s: stored to without vista_set_range: %p, offset %zu",
                         path[i], (void *)(base[i] + PAGE + 8), offset + PAGE + 8);
            FAILS(vista_end_transaction(tx, 0), EFAULT, part);
            FAILS(vista_end_transaction(tx, 0), EFAULT, "; 2 such stores in all");
            FAILS(vista_unmap(segment[i]), EBUSY, part);
            NULLS(vista_begin_transaction(segment[i], 0), EBUSY, part);
            OK(vista_abort_transaction(tx));
            expect_model();
        }
        tx = begin(i); /* nothing is left of that */
        OK(vista_set_range(tx, (void *)(base[i] + PAGE + 8), 1));
        base[i][PAGE + 8] = model[i][PAGE + 8] = 9;
        memset(vista_malloc_in(tx, segment[2], 2 * PAGE), 1, 2 * PAGE);
        end(tx);
    }
    expect_model();
    unmap_all(1);
}
END_TEST

/* ---- Sizes ------------------------------------------------------------- */

/* The flat segment alone: new pages are watched, ones that are gone no longer. */
START_TEST(resized)
{
    const unsigned flag = _i / WAYS == 0 ? VISTA_AUTO_RANGE : VISTA_CHECK_RANGES;
    const bool checked = flag == VISTA_CHECK_RANGES;
    vista_tx *tx;

    names(_i % WAYS);
    catch_faults();
    SOME(map(0, flag, 0));
    for (int round = 0; round < 3; round++) {
        OK(vista_resize(segment[0], 4 * SIZE));
        ck_assert_uint_eq(info(0).pages_left, 4 * PAGES);
        REFUSED(base[0] + SIZE, path[0], "outside any transaction");
        REFUSED(base[0] + 4 * SIZE - 1, path[0], "outside any transaction");
        tx = begin(0);
        FAILS(vista_resize(segment[0], SIZE), EBUSY, "open");
        FAILS(vista_resize(segment[0], 5 * SIZE), EBUSY, "grow");
        if (checked)
            OK(vista_set_range(tx, (void *)base[0], 4 * SIZE));
        memset((void *)base[0], 1 + round, 4 * SIZE);
        ck_assert_uint_eq(info(0).pages_left, 0);
        if (round == 2)
            end(tx);
        else
            OK(vista_abort_transaction(tx));
        for (size_t at = 0; at < 4 * SIZE; at += 100)
            ck_assert_uint_eq(base[0][at], round == 2 ? 3 : 0);
        REFUSED(base[0] + 3 * SIZE, path[0], "outside any transaction");
        OK(vista_resize(segment[0], SIZE));
        ck_assert_uint_eq(info(0).pages_left, PAGES);
        FAILS(vista_resize(NULL, SIZE), EINVAL, "NULL");
        REFUSED(base[0] + SIZE, "", "NULL"); /* not ours any more: nothing is said of it */
        tx = begin(0);
        if (checked)
            OK(vista_set_range(tx, (void *)(base[0] + SIZE - 1), 1));
        base[0][SIZE - 1] = 9;
        FAILS(vista_open_pages(tx, (void *)(base[0] + SIZE), 1), EINVAL, "inside");
        OK(vista_abort_transaction(tx));
        ck_assert_uint_eq(base[0][SIZE - 1], round == 2 ? 3 : 0);
    }
    OK(vista_unmap(segment[0]));
    test_sound(path[0]);
}
END_TEST

/* A heap grows in the middle of a transaction, which fills what there is: more than it has
 * log space for, were that needed. */
struct root {
    unsigned char *block[40];
};

static void fill(vista_tx *tx, struct root *root, bool declare, int with)
{
    for (size_t n = 0; n < sizeof root->block / sizeof root->block[0]; n++) {
        root->block[n] = vista_malloc_in(tx, segment[2], SIZE / 4);
        SOME(root->block[n]);
        memset(root->block[n], with, SIZE / 4);
    }
    if (declare)
        OK(vista_set_range(tx, (void *)base[2], SIZE));
    memset((void *)base[2], with, SIZE);
}

static struct root *open_growing(int way, unsigned flag)
{
    struct root *root;

    names(way);
    SOME(map(0, flag, 0));
    SOME(map(2, flag | VISTA_GROW, 0));
    root = vista_root(segment[2], SIZE);
    SOME(root);
    return root;
}

START_TEST(grown_in_a_transaction)
{
    const unsigned flag = _i / WAYS == 0 ? VISTA_AUTO_RANGE : VISTA_CHECK_RANGES;
    const bool checked = flag == VISTA_CHECK_RANGES;
    static struct root list;
    struct root *root = open_growing(_i % WAYS, flag);
    vista_tx *tx = begin(0);

    fill(tx, &list, checked, 1);
    ck_assert_uint_gt(vista_size(segment[2]), 10 * SIZE);
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(((unsigned char *)root)[SIZE - 1], 0);
    ck_assert_uint_ge(info(2).pages_left, 11 * PAGES); /* and home's */
    tx = begin(2); /* the pages were there before it, and are logged */
    fill(tx, &list, checked, 2);
    end(tx);
    tx = begin(0);
    for (int n = 0; n < 40; n++) {
        if (checked)
            OK(vista_set_range(tx, list.block[n], SIZE / 4));
        memset(list.block[n], 3, SIZE / 4);
    }
    OK(vista_abort_transaction(tx));
    for (int n = 0; n < 40; n++)
        ck_assert(list.block[n][0] == 2 && list.block[n][SIZE / 4 - 1] == 2);
    tx = begin(0);
    for (int n = 0; n < 40; n++)
        OK(vista_free(tx, list.block[n]));
    end(tx);
    OK(vista_resize(segment[2], 3 * SIZE));
    ck_assert_uint_eq(info(2).pages_left, 4 * PAGES);
    tx = begin(0);
    FAILS(vista_open_pages(tx, (char *)vista_base(segment[2]) + 3 * SIZE, 1), EINVAL, "inside");
    NULLS(vista_malloc_in(tx, segment[2], MAX), ENOMEM, "");
    OK(vista_abort_transaction(tx));
    OK(vista_unmap(segment[2]));
    OK(vista_unmap(segment[0]));
    test_sound(path[2]);
    ck_assert_uint_eq(test_live_blocks(path[2]), 1);
}
END_TEST

/* A store to what has just come, in no block. */
START_TEST(undeclared_where_it_grew)
{
    unsigned char *beyond;
    char part[100];
    vista_tx *tx;

    open_growing(_i, VISTA_CHECK_RANGES);
    tx = begin(0);
    beyond = (unsigned char *)vista_base(segment[2]) + vista_size(segment[2]);
    OK(vista_resize(segment[2], MAX)); /* an open transaction is no hindrance */
    beyond[4 * PAGE] = 1;
    snprintf(part, sizeof part, "%p", (void *)(beyond + 4 * PAGE));
    FAILS(vista_end_transaction(tx, 0), EFAULT, part);
    OK(vista_abort_transaction(tx));
    tx = begin(0);
    SOME(vista_malloc_in(tx, segment[2], 8 * SIZE));
    end(tx);
    OK(vista_unmap(segment[2]));
    OK(vista_unmap(segment[0]));
}
END_TEST

static void grow_and_die(void *argument)
{
    static struct root list;
    struct root *root = open_growing((int)(uintptr_t)argument, VISTA_AUTO_RANGE);
    vista_tx *tx = begin(0);

    fill(tx, &list, false, 1);
    *root = list;
    end(tx);
    OK(vista_resize(segment[2], MAX));
    tx = begin(2);
    for (int n = 0; n < 40; n++) {
        memset(root->block[n], 2, SIZE / 4);
        if (n % 2 == 0)
            OK(vista_free(tx, root->block[n]));
    }
    memset(vista_malloc_in(tx, segment[2], 3 * SIZE), 2, 3 * SIZE);
    raise(SIGKILL);
}

START_TEST(killed_when_grown)
{
    const struct root *root;

    names(_i);
    ck_assert_int_eq(test_in_child(grow_and_die, (void *)(uintptr_t)_i), 128 + SIGKILL);
    segment[0] = vista_map(path[2], 0, 0, NULL);
    SOME(segment[0]);
    ck_assert_uint_eq(info(0).rolled_back, ways[_i].class != VISTA_CLASS_DISK);
    ck_assert_uint_eq(info(0).size, MAX);
    root = vista_root(segment[0], 0);
    for (int n = 0; n < 40; n++)
        for (size_t at = 0; at < SIZE / 4; at += 64)
            ck_assert_uint_eq(root->block[n][at], 1);
    OK(vista_unmap(segment[0]));
    ck_assert_uint_eq(test_live_blocks(path[2]), 41);
}
END_TEST

/* Sizes change while another thread works, in transactions and between them. */
static void *work_in_heap(void *argument)
{
    (void)argument;
    for (unsigned n = 0; !atomic_load(&stop); n++) {
        vista_tx *tx = vista_begin_transaction(segment[2], 0);
        unsigned char *block = vista_malloc_in(tx, segment[2], 3 * PAGE);

        if (tx == NULL || block == NULL)
            return "begin";
        memset(block, 1, 3 * PAGE);
        base[2][n * PAGE % SIZE]++;
        base[0][n * PAGE % SIZE]++;
        if (n % 3 == 0 ? vista_abort_transaction(tx) != 0
                       : vista_free(tx, block) != 0 || vista_end_transaction(tx, 0) != 0)
            return "end";
    }
    return NULL;
}

START_TEST(grown_beside_a_thread)
{
    pthread_t thread;
    void *failure;

    open_growing(_i, VISTA_AUTO_RANGE);
    atomic_store(&stop, false);
    OK(pthread_create(&thread, NULL, work_in_heap, NULL));
    for (size_t size = 3 * SIZE; size <= MAX; size += 4 * PAGE) {
        OK(vista_resize(segment[2], size));
        OK(vista_resize(segment[0], size) == 0 ? 0 : errno != EBUSY);
        ck_assert_uint_gt(info(2).size, 0);
        test_sleep_us(200);
    }
    atomic_store(&stop, true);
    OK(pthread_join(thread, &failure));
    ck_assert_msg(failure == NULL, "%s: %s", (const char *)failure, vista_errormsg());
    OK(vista_unmap(segment[2]));
    OK(vista_unmap(segment[0]));
    test_sound(path[2]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ranges_shared");
    TCase *tests = test_case(suite, "groups", 60);

    tcase_add_loop_test(tests, commits_and_aborts, 0, WAYS);
    tcase_add_loop_test(tests, budget, 0, WAYS);
    tcase_add_loop_test(tests, ordinary_member, 0, WAYS);
    tcase_add_loop_test(tests, joining, 0, WAYS);
    tcase_add_loop_test(tests, joining_beside_a_thread, 0, 4);
    tcase_add_loop_test(tests, killed, 0, WAYS);
    tcase_add_loop_test(tests, killed_at_any_time, 0, WAYS);
    tcase_add_loop_test(tests, undeclared, 0, WAYS);
    tests = test_case(suite, "sizes", 60);
    tcase_add_loop_test(tests, resized, 0, 2 * WAYS);
    tcase_add_loop_test(tests, grown_in_a_transaction, 0, 2 * WAYS);
    tcase_add_loop_test(tests, undeclared_where_it_grew, 0, WAYS);
    tcase_add_loop_test(tests, killed_when_grown, 0, WAYS);
    tcase_add_loop_test(tests, grown_beside_a_thread, 0, WAYS);
    return test_run(suite);
}
