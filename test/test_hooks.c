/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is called when a transaction has ended, and what keeps a segment mapped.
 *
 * Scenarios: a commit and an abort tell their outcome once, and the next transaction of the
 * handle tells nothing; a few functions and many, in their order; functions that begin,
 * end and abort transactions, on the same thread's handle, and register others; an end that
 * fails and leaves the transaction open; automatic ranges; two transactions at once, ended by
 * another thread; a group; wrong arguments; a fork while another thread registers; a hold on each kind of segment.
 */
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

#define SIZE (1u << 20)
#define TOLD 1000

static vista_segment *segment;
static const char *path;
static int told[TOLD]; /* outcome + 10 * who, in the order in which they were told */
static int count;

static void open_as(unsigned flags)
{
    path = test_path("hooks");
    segment = vista_map(path, SIZE, VISTA_CREATE | flags, NULL);
    SOME(segment);
    count = 0;
}

static void set_up(void)
{
    open_as(VISTA_NO_HEAP);
}

static void tear_down(void)
{
    OK(vista_unmap(segment));
    test_sound(path);
}

static void tell(void *arg, int outcome)
{
    ck_assert_int_lt(count, TOLD);
    told[count++] = (int)(intptr_t)arg * 10 + outcome;
}

static void end_nothing(void *arg, int outcome)
{
    (void)arg;
    (void)outcome;
}

static vista_tx *begin_told(int who)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    OK(vista_on_end(tx, tell, (void *)(intptr_t)who));
    return tx;
}

static void store(vista_tx *tx, size_t at, long value)
{
    long *const place = (long *)vista_base(segment) + at;

    OK(vista_set_range(tx, place, sizeof *place));
    *place = value;
}

START_TEST(outcomes)
{
    vista_tx *tx = begin_told(1);

    store(tx, 0, 5);
    ck_assert_int_eq(count, 0);
    OK(vista_end_transaction(tx, _i == 1 ? VISTA_NO_FLUSH : 0));
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(told[0], 11);

    tx = begin_told(2);
    store(tx, 0, 6);
    OK(vista_abort_transaction(tx));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(told[1], 20);
    ck_assert_int_eq(*(long *)vista_base(segment), 5);

    tx = vista_begin_transaction(segment, 0); /* of the same handle, and has nothing to tell */
    store(tx, 0, 7);
    OK(vista_end_transaction(tx, 0));
    tx = begin_told(3); /* a commit that changes nothing is one */
    OK(vista_end_transaction(tx, 0));
    ck_assert_int_eq(count, 3);
    ck_assert_int_eq(told[2], 31);
}
END_TEST

START_TEST(many_in_order)
{
    static const int numbers[] = {2, 100};
    vista_tx *tx;

    for (int round = 0; round < 2; round++) {
        count = 0;
        tx = vista_begin_transaction(segment, 0);
        for (int i = 0; i < numbers[_i]; i++)
            OK(vista_on_end(tx, tell, (void *)(intptr_t)i));
        OK(round == 0 ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx));
        ck_assert_int_eq(count, numbers[_i]);
        for (int i = 0; i < count; i++)
            ck_assert_int_eq(told[i], i * 10 + (round == 0));
    }
}
END_TEST

/* Runs three transactions, the last of which has it called again, until `left` is 0. */
static void go_on(void *arg, int outcome)
{
    int *left = arg;
    vista_tx *tx;

    tell((void *)(intptr_t)*left, outcome);
    tx = vista_begin_transaction(segment, 0);
    store(tx, 1, *left);
    OK(vista_end_transaction(tx, 0));
    tx = begin_told(50);
    OK(vista_abort_transaction(tx));
    if (--*left == 0)
        return;
    tx = vista_begin_transaction(segment, 0);
    OK(vista_on_end(tx, go_on, left));
    store(tx, 2, *left);
    OK(vista_end_transaction(tx, 0));
}

START_TEST(transactions_inside)
{
    const long *data = vista_base(segment);
    int left = 3;
    vista_tx *tx = vista_begin_transaction(segment, 0);

    OK(vista_on_end(tx, go_on, &left));
    store(tx, 0, 9);
    OK(vista_end_transaction(tx, 0));
    ck_assert_int_eq(left, 0);
    ck_assert_int_eq(count, 6);
    ck_assert_int_eq(told[0], 31);
    ck_assert_int_eq(told[1], 500);
    ck_assert_int_eq(told[4], 11);
    ck_assert_int_eq(data[0], 9);
    ck_assert_int_eq(data[1], 1);
    ck_assert_int_eq(data[2], 1);
}
END_TEST

static void *end_it(void *tx)
{
    OK(vista_end_transaction(tx, 0));
    return NULL;
}

START_TEST(two_at_once)
{
    vista_tx *first = begin_told(1), *second = begin_told(2);
    pthread_t thread;

    store(first, 0, 1);
    store(second, 1, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, end_it, second), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(told[0], 21);
    OK(vista_abort_transaction(first));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(told[1], 10);
}
END_TEST

START_TEST(a_transaction_that_stays_open)
{
    vista_tx *tx;

    OK(vista_unmap(segment));
    segment = vista_map(path, 0, VISTA_CHECK_RANGES, NULL);
    SOME(segment);
    tx = begin_told(1);
    *(long *)vista_base(segment) = 4; /* forgotten */
    FAILS(vista_end_transaction(tx, 0), EFAULT, "");
    ck_assert_int_eq(count, 0);
    OK(vista_on_end(tx, tell, (void *)2));
    OK(vista_abort_transaction(tx));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(told[0], 10);
    ck_assert_int_eq(told[1], 20);
}
END_TEST

/* A function that begins on a segment of automatic ranges finds no transaction open. */
START_TEST(automatic_ranges)
{
    int left = 2;
    vista_tx *tx;

    OK(vista_unmap(segment));
    segment = vista_map(path, 0, VISTA_AUTO_RANGE, NULL);
    SOME(segment);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_on_end(tx, go_on, &left));
    *(long *)vista_base(segment) = 4;
    OK(vista_end_transaction(tx, 0));
    ck_assert_int_eq(left, 0);
    ck_assert_int_eq(count, 4);
}
END_TEST

START_TEST(wrong_arguments)
{
    vista_tx *tx = begin_told(1);

    FAILS(vista_on_end(tx, NULL, NULL), EINVAL, "nothing to call");
    FAILS(vista_on_end(NULL, tell, NULL), EINVAL, "NULL");
    OK(vista_end_transaction(tx, 0));
    FAILS(vista_on_end(tx, tell, NULL), EINVAL, "ended");
    ck_assert_int_eq(count, 1);
    /* The flags of a transaction's beginning and end are not each other's. */
    ck_assert_uint_ne(VISTA_NO_RESTORE, VISTA_NO_FLUSH);
    NULLS(vista_begin_transaction(segment, VISTA_NO_FLUSH), EINVAL, "mode");
    tx = vista_begin_transaction(segment, VISTA_NO_RESTORE);
    FAILS(vista_end_transaction(tx, VISTA_NO_RESTORE), EINVAL, "mode");
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
}
END_TEST

START_TEST(holds)
{
    OK(vista_hold(segment));
    OK(vista_hold(segment));
    FAILS(vista_unmap(segment), EBUSY, "held");
    OK(vista_drop(segment));
    FAILS(vista_unmap(segment), EBUSY, "held");
    OK(vista_drop(segment));
    FAILS(vista_drop(segment), EINVAL, "not held");
    FAILS(vista_hold(NULL), EINVAL, "NULL");
    FAILS(vista_drop(NULL), EINVAL, "NULL");
}
END_TEST

START_TEST(holds_in_a_group)
{
    const struct vista_map_options options = {.log = segment};
    const char *other = test_path("member");
    vista_segment *member = vista_map(other, SIZE, VISTA_CREATE, &options);

    SOME(member);
    OK(vista_hold(member));
    FAILS(vista_unmap(member), EBUSY, "held");
    OK(vista_hold(segment));
    FAILS(vista_unmap(segment), EBUSY, "held"); /* its members use its log: not even detached */
    OK(vista_drop(segment));
    OK(vista_drop(member));
    OK(vista_unmap(member));
    FAILS(vista_hold(member), EINVAL, "not mapped");
}
END_TEST

/* Registers and runs as fast as it can, so that a fork finds it at any point of that. */
static void *tell_for_ever(void *arg)
{
    vista_segment *mine = vista_map(test_path("other"), SIZE, VISTA_CREATE, NULL);
    int *stop = arg;

    SOME(mine);
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
        vista_tx *tx = vista_begin_transaction(mine, 0);

        if (vista_on_end(tx, end_nothing, NULL) != 0 || vista_end_transaction(tx, 0) != 0)
            abort(); /* no assertion: Check's has a lock, which the child would find held */
    }
    OK(vista_unmap(mine));
    return NULL;
}

static void use_own_file(void *arg)
{
    vista_segment *own = vista_map(arg, SIZE, VISTA_CREATE, NULL);
    vista_tx *tx = vista_begin_transaction(own, 0);

    REQUIRE(vista_on_end(tx, end_nothing, NULL) == 0);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    REQUIRE(vista_unmap(own) == 0);
}

START_TEST(a_fork_at_any_point)
{
    pthread_t thread;
    int stop = 0;

    ck_assert_int_eq(pthread_create(&thread, NULL, tell_for_ever, &stop), 0);
    for (unsigned i = 0; i < test_times(100); i++)
        ck_assert_int_eq(test_in_child(use_own_file, (void *)(uintptr_t)test_path("own")), 0);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hooks");
    TCase *tests = test_case(suite, "on_end", 5);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, outcomes, 0, 2);
    tcase_add_loop_test(tests, many_in_order, 0, 2);
    tcase_add_test(tests, transactions_inside);
    tcase_add_test(tests, two_at_once);
    tcase_add_test(tests, a_transaction_that_stays_open);
    tcase_add_test(tests, automatic_ranges);
    tcase_add_test(tests, wrong_arguments);
    tcase_add_test(tests, a_fork_at_any_point);
    tcase_add_test(tests, holds);
    tcase_add_test(tests, holds_in_a_group);
    return test_run(suite);
}
