/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Hot pages of automatic ranges: those that one transaction after another stores to stay
 * open, and are logged when one begins; until many have not stored to them.
 */
#include "support.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>

#define PAGE ((size_t)4096)
#define SIZE (512 * PAGE)

static vista_segment *segment;
static const char *path; /* NULL: not chosen yet */
static volatile unsigned char *base;
static volatile unsigned faults;
static sigjmp_buf back;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    if (vista_fault(info, context) != 1)
        siglongjmp(back, 1);
    faults++;
}

static void open_counting(unsigned class)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

    sigfillset(&action.sa_mask);
    OK(sigaction(SIGSEGV, &action, NULL));
    OK(sigaction(SIGBUS, &action, NULL));
    OK(vista_init(&(struct vista_options){.force_class = class, .flags = VISTA_HOST_FAULTS}));
    path = path != NULL ? path : test_path("hot");
    segment = vista_map(path, SIZE, VISTA_CREATE | VISTA_AUTO_RANGE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    base = vista_base(segment);
}

static uint64_t touched(void)
{
    struct vista_info info;

    OK(vista_info(segment, &info));
    return info.pages_touched;
}

/* Commits `count` transactions that store to pages 3 and 5, and to another each. */
static void heat(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        SOME(tx);
        base[3 * PAGE]++;
        base[5 * PAGE + 77]++;
        base[(10 + i) * PAGE] = 1;
        OK(vista_end_transaction(tx, 0));
    }
}

START_TEST(fault_a_few_times)
{
    if (test_is_thread_sanitized()) {
        test_skip("hot pages", "the thread sanitizer does not know faults");
        return;
    }
    open_counting((unsigned)_i);
    heat(100);
    ck_assert_uint_ge(faults, 100 + 2);
    ck_assert_uint_le(faults, 100 + 2 * 5);
    ck_assert_uint_eq(base[3 * PAGE], 100);
    ck_assert_uint_eq(base[5 * PAGE + 77], 100);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

START_TEST(count_as_touched_when_stored_to)
{
    vista_tx *tx;

    if (test_is_thread_sanitized())
        return;
    open_counting((unsigned)_i);
    heat(10);
    tx = vista_begin_transaction(segment, 0);
    ck_assert_uint_eq(touched(), 0);
    base[5 * PAGE]++;
    ck_assert_uint_eq(touched(), 1);
    base[300 * PAGE] = 1;
    ck_assert_uint_eq(touched(), 2);
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(are_rolled_back)
{
    vista_tx *tx;
    unsigned before;

    if (test_is_thread_sanitized())
        return;
    open_counting((unsigned)_i);
    heat(10);
    before = faults;
    tx = vista_begin_transaction(segment, 0);
    base[3 * PAGE] = 200;
    base[3 * PAGE + 1] = 201;
    ck_assert_uint_eq(faults, before); /* or this tests nothing */
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[3 * PAGE], 10);
    ck_assert_uint_eq(base[3 * PAGE + 1], 0);
    heat(1);
    ck_assert_uint_eq(base[3 * PAGE], 11);
    OK(vista_unmap(segment));
}
END_TEST

static void store_and_die(void *class)
{
    open_counting((unsigned)(uintptr_t) class);
    heat(10);
    REQUIRE(vista_begin_transaction(segment, 0) != NULL);
    base[3 * PAGE] = 200;
    base[5 * PAGE] = 200;
    raise(SIGKILL);
}

START_TEST(are_rolled_back_after_a_kill)
{
    if (test_is_thread_sanitized())
        return;
    path = test_path("hot");
    ck_assert_int_eq(test_in_child(store_and_die, (void *)(uintptr_t)_i), 128 + SIGKILL);
    open_counting((unsigned)_i);
    ck_assert_uint_eq(base[3 * PAGE], 10);
    ck_assert_uint_eq(base[5 * PAGE], 0);
    ck_assert_uint_eq(base[5 * PAGE + 77], 10);
    OK(vista_unmap(segment));
}
END_TEST

static bool goes_through(volatile unsigned char *at)
{
    if (sigsetjmp(back, 1) != 0)
        return false;
    *at = 99;
    return true;
}

START_TEST(cool_down)
{
    if (test_is_thread_sanitized())
        return;
    open_counting((unsigned)_i);
    heat(10);
    for (unsigned i = 0; i < 40; i++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        base[5 * PAGE + 77]++;
        OK(vista_end_transaction(tx, 0));
    }
    ck_assert(!goes_through(base + 3 * PAGE));
    ck_assert_uint_eq(base[3 * PAGE], 10);
    ck_assert_uint_eq(base[5 * PAGE + 77], 50);
    OK(vista_unmap(segment));
}
END_TEST

/* Every page of many is stored to again and again, by hot and cold ones together. */
START_TEST(are_few)
{
    unsigned round;

    if (test_is_thread_sanitized())
        return;
    open_counting((unsigned)_i);
    for (round = 1; round <= 20; round++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        for (size_t page = 0; page < 200; page++)
            base[page * PAGE + round] = (unsigned char)round;
        ck_assert_uint_eq(touched(), 200);
        OK(round % 5 == 0 ? vista_abort_transaction(tx) : vista_end_transaction(tx, 0));
    }
    for (size_t page = 0; page < 200; page++)
        for (round = 1; round <= 20; round++)
            ck_assert_uint_eq(base[page * PAGE + round], round % 5 == 0 ? 0 : round);
    OK(vista_resize(segment, SIZE / 4)); /* which some of them are behind */
    heat(20);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("hot");
    TCase *tests = test_case(suite, "hot", 30);

    tcase_add_loop_test(tests, fault_a_few_times, VISTA_CLASS_KILL, VISTA_CLASS_EADR + 1);
    tcase_add_loop_test(tests, count_as_touched_when_stored_to, VISTA_CLASS_KILL,
                        VISTA_CLASS_EADR + 1);
    tcase_add_loop_test(tests, are_rolled_back, VISTA_CLASS_KILL, VISTA_CLASS_EADR + 1);
    tcase_add_loop_test(tests, are_rolled_back_after_a_kill, VISTA_CLASS_KILL,
                        VISTA_CLASS_EADR + 1);
    tcase_add_loop_test(tests, cool_down, VISTA_CLASS_KILL, VISTA_CLASS_EADR + 1);
    tcase_add_loop_test(tests, are_few, VISTA_CLASS_KILL, VISTA_CLASS_EADR + 1);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
