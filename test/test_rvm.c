/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM as programs use it, by the shared library: commits, aborts, flushes, truncation, kills, recovery, and
 * the raw files that it leaves.  A process has one RVM for its life; so each test runs in a process of
 * its own, and its processes before a restart in children.
 */
#include <fcntl.h>
#include <signal.h>

#include "rvm_support.h"

START_TEST(a_program)
{
    rvm_tid_t *tid = rvm_malloc_tid();
    rvm_region_t region;

    WORKS(start(0));
    WORKS(start(0)); /* again is no mistake */
    WORKS(map_part(&region, 0, 0));
    ck_assert_uint_eq(region.length, SIZE);
    ck_assert_int_eq(region.vmaddr[100], 101);
    WORKS(rvm_begin_transaction(tid, restore));
    WORKS(rvm_set_range(tid, region.vmaddr + 100, 5));
    memcpy(region.vmaddr + 100, "hello", 5);
    WORKS(rvm_end_transaction(tid, flush));
    GIVES(rvm_end_transaction(tid, flush), RVM_ETID);
    WORKS(rvm_begin_transaction(tid, restore)); /* the same one again */
    WORKS(rvm_modify_bytes(tid, region.vmaddr + 100, "jello", 5));
    WORKS(rvm_set_range(tid, region.vmaddr + 104, PAGE));
    memset(region.vmaddr + 104, 7, PAGE);
    WORKS(rvm_abort_transaction(tid));
    ck_assert_mem_eq(region.vmaddr + 100, "hellojkl", 8);
    WORKS(rvm_truncate());
    expect_file(100, "hello", 5);
    WORKS(rvm_unmap(&region));
    ck_assert_mem_eq(region.vmaddr + 100, "hello", 5); /* memory stays */
    WORKS(rvm_terminate());
    GIVES(rvm_flush(), RVM_EINIT);
    GIVES(start(0), RVM_EINIT);
    expect_file(100, "hello", 5);
    rvm_free_tid(tid);
}
END_TEST

static void commit_and_die(void *mode)
{
    char *at;

    MUST(start(0));
    at = map_all();
    commit(at + 5000, "durable or not", 14, (rvm_mode_t)(intptr_t)mode);
    raise(SIGKILL);
}

/* Either kind survives the death of the process. */
START_TEST(a_kill_after_a_commit)
{
    const rvm_mode_t mode = _i == 0 ? flush : no_flush;
    const pid_t child = test_fork(commit_and_die, (void *)(intptr_t)mode);

    ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
    expect_file(0, "", 0); /* the log alone has it */
    WORKS(start(0));
    expect_file(5000, "durable or not", 14);
    WORKS(rvm_terminate());
}
END_TEST

static void die_inside(void *unused)
{
    rvm_tid_t tid;
    char *at;

    (void)unused;
    MUST(start(0));
    at = map_all();
    commit(at, "first", 5, no_flush);
    rvm_init_tid(&tid);
    MUST(rvm_begin_transaction(&tid, no_restore));
    MUST(rvm_modify_bytes(&tid, at, "second", 6));
    commit(at + 100, "third", 5, flush);
    raise(SIGKILL);
}

START_TEST(a_kill_inside_a_transaction)
{
    ck_assert_int_eq(test_in_child(die_inside, NULL), 128 + SIGKILL);
    WORKS(start(0));
    ck_assert_mem_eq(map_all(), "first\6", 6);
    WORKS(rvm_terminate());
}
END_TEST

static void grow_and_die(void *unused)
{
    rvm_region_t region;

    (void)unused;
    MUST(start(0));
    MUST(map_part(&region, 0, PAGE));
    commit(region.vmaddr, "first", 5, flush);
    REQUIRE(truncate(data_path, SIZE + PAGE) == 0);
    MUST(map_part(&region, SIZE, 0));
    commit(region.vmaddr, "truncated", 9, no_flush);
    MUST(rvm_truncate());
    commit(region.vmaddr + 100, "recovered", 9, flush);
    raise(SIGKILL);
}

/* A region of what a segment has grown by is as good as the first one. */
START_TEST(a_segment_that_grows)
{
    rvm_region_t region;

    ck_assert_int_eq(test_in_child(grow_and_die, NULL), 128 + SIGKILL);
    WORKS(start(0));
    WORKS(map_part(&region, SIZE, 0));
    ck_assert_mem_eq(region.vmaddr, "truncated", 9);
    ck_assert_mem_eq(region.vmaddr + 100, "recovered", 9);
    WORKS(rvm_terminate());
}
END_TEST

/* Two counters, far from each other, that are always equal; killed at any time. */
static void count_until_killed(void *told)
{
    uint64_t *const shared = told;
    uint64_t *one, *two;
    rvm_tid_t tid;
    char *at;

    MUST(start(RVM_COALESCE_RANGES));
    at = map_all();
    one = (uint64_t *)(at + 8);
    two = (uint64_t *)(at + SIZE - 8);
    rvm_init_tid(&tid);
    for (uint64_t i = *one + 1;; i++) {
        MUST(rvm_begin_transaction(&tid, restore));
        MUST(rvm_set_range(&tid, one, sizeof *one));
        *one = i;
        MUST(rvm_set_range(&tid, two, sizeof *two));
        *two = i;
        MUST(rvm_end_transaction(&tid, i % 64 == 0 ? flush : no_flush));
        __atomic_store_n(shared, i, __ATOMIC_RELEASE);
    }
}

START_TEST(kills_at_any_time)
{
    struct test_random random = test_random_new(1);
    uint64_t *told = test_share(sizeof *told), before = 1;
    uint64_t counters[2];

    make_segment(data_path, SIZE);
    test_poke(data_path, 8, &before, 8);
    test_poke(data_path, SIZE - 8, &before, 8);
    *told = before;
    for (unsigned i = 0; i < test_times(60); i++) {
        const pid_t child = test_fork(count_until_killed, told);

        for (uint64_t at = *told; __atomic_load_n(told, __ATOMIC_ACQUIRE) == at;)
            test_sleep_us(100); /* it is at it */
        test_sleep_us(test_below(&random, 10000));
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
    }
    WORKS(start(0));
    WORKS(rvm_terminate());
    const int fd = open(data_path, O_RDONLY);
    ck_assert_int_eq(pread(fd, &counters[0], 8, 8), 8);
    ck_assert_int_eq(pread(fd, &counters[1], 8, SIZE - 8), 8);
    close(fd);
    ck_assert_uint_eq(counters[0], counters[1]);
    ck_assert_uint_ge(counters[0], *told); /* what an end has returned for is there */
    ck_assert_uint_le(counters[0], *told + 1);
    ck_assert_uint_gt(counters[0], test_times(60));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rvm");
    TCase *calls = test_case(suite, "calls", 5);
    TCase *kills = test_case(suite, "kills", 20);

    tcase_add_checked_fixture(calls, set_up, NULL);
    tcase_add_test(calls, a_program);
    tcase_add_loop_test(calls, a_kill_after_a_commit, 0, 2);
    tcase_add_test(calls, a_kill_inside_a_transaction);
    tcase_add_test(calls, a_segment_that_grows);
    tcase_add_checked_fixture(kills, set_up, NULL);
    tcase_add_test(kills, kills_at_any_time);
    return test_run(suite);
}
