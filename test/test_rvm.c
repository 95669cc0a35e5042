/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM as programs use it, by the shared library: commits, aborts, flushes, truncation, kills, recovery, and
 * the raw files that it leaves.  A process has one RVM for its life; so each test runs in a process of
 * its own, and its processes before a restart in children.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "rvm/rvm_format.h"
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

/* ---- A log of the first version -------------------------------------------- */

/* A file as golden/README.md has it: without tables and repetitions. */
static void write_golden(const char *path, const char *name)
{
    FILE *from = fopen(name, "re"), *to = fopen(path, "we");
    char line[256], bytes[160];
    unsigned long at, size;

    ck_assert_msg(from != NULL && to != NULL, "%s: %s", name, strerror(errno));
    while (fgets(line, sizeof line, from) != NULL) {
        if (sscanf(line, "size %lu", &size) == 1) {
            ck_assert_int_eq(ftruncate(fileno(to), (off_t)size), 0);
            continue;
        }
        ck_assert_int_eq(sscanf(line, "%lx %159s", &at, bytes), 2);
        ck_assert_int_eq(fseek(to, (long)at, SEEK_SET), 0);
        for (const char *digit = bytes; *digit != '\0'; digit += 2) {
            unsigned byte;

            ck_assert_int_eq(sscanf(digit, "%2x", &byte), 1);
            ck_assert_int_eq(fputc((int)byte, to), (int)byte);
        }
    }
    ck_assert_int_eq(fclose(to), 0);
    fclose(from);
    ck_assert_int_eq(chmod(path, 0600), 0);
}

/* What only the machine of the segment knows of it. */
static void complete_entry(const char *path)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct vi_redo_header header;
    struct vi_member entry;
    char real[PATH_MAX];
    struct stat st;
    uint32_t crc;

    ck_assert_int_eq(stat(data_path, &st), 0);
    ck_assert_int_eq(pread(fd, &header, sizeof header, 0), sizeof header);
    ck_assert_int_eq(pread(fd, &entry, sizeof entry, VI_RVM_MEMBERS_OFFSET), sizeof entry);
    ck_assert_str_eq(entry.path, "/golden/data");
    ck_assert_uint_eq(entry.max_size, SIZE);
    ck_assert_ptr_nonnull(realpath(data_path, real));
    ck_assert_uint_lt(strlen(real), sizeof entry.path);
    memset(entry.path, 0, sizeof entry.path);
    memcpy(entry.path, real, strlen(real));
    VI_RVM_INODE(&entry) = st.st_ino;
    crc = vi_crc32c(0, header.uuid, sizeof header.uuid);
    crc = vi_crc32c(crc, &entry, offsetof(struct vi_member, check));
    entry.check = vi_crc32c(crc, entry.path, sizeof entry.path);
    ck_assert_int_eq(pwrite(fd, &entry, sizeof entry, VI_RVM_MEMBERS_OFFSET), sizeof entry);
    close(fd);
}

/* It is recovered, by this version and all later ones. */
START_TEST(a_golden_log)
{
    unsigned char wanted[SIZE], got[SIZE];
    FILE *file;

    for (size_t i = 0; i < SIZE; i++)
        wanted[i] = (unsigned char)(i + 1);
    memcpy(wanted, "firtwo ranges", 13);
    memcpy(wanted + 40000, "of one transaction", 18);
    memcpy(wanted + 65531, "death", 5);
    memcpy(wanted + 5000, "in the ring alone", 17);
    write_golden(log_path, VISTA_GOLDEN "/rvm1/log-open");
    complete_entry(log_path);
    WORKS(start(0));
    file = fopen(data_path, "re");
    ck_assert_uint_eq(fread(got, 1, SIZE, file), SIZE);
    fclose(file);
    ck_assert_mem_eq(got, wanted, SIZE);
    ck_assert_mem_eq(map_all(), wanted, SIZE);
    WORKS(rvm_terminate());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rvm");
    TCase *calls = test_case(suite, "calls", 5);
    TCase *kills = test_case(suite, "kills", 20), *disk = test_case(suite, "on a disk", 60);

    tcase_add_checked_fixture(calls, set_up, NULL);
    tcase_add_test(calls, a_golden_log);
    tcase_add_test(calls, a_program);
    tcase_add_loop_test(calls, a_kill_after_a_commit, 0, 2);
    tcase_add_test(calls, a_kill_inside_a_transaction);
    tcase_add_test(calls, a_segment_that_grows);
    tcase_add_checked_fixture(kills, set_up, NULL);
    tcase_add_test(kills, kills_at_any_time);
    tcase_add_checked_fixture(disk, set_up_on_disk, NULL);
    tcase_add_test(disk, a_program);
    tcase_add_loop_test(disk, a_kill_after_a_commit, 0, 2);
    tcase_add_test(disk, a_kill_inside_a_transaction);
    tcase_add_test(disk, kills_at_any_time);
    return test_run(suite);
}
