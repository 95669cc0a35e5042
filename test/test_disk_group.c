/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments of the disk class that share a log: what recovery finds of the others when commits were
 * left in home's log, from whichever of them it begins; members that are missing, locked, old
 * copies, abandoned, idle or gone in order; a home that is an old copy; sizes.  Commits, aborts and
 * deaths over a group in all classes are in test_group and test_ranges_shared.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "media/io.h"
#include "support.h"

#define SEGMENTS 3 /* 0 is home */

static const struct vista_options disk_class = {.force_class = VISTA_CLASS_DISK};
static char path[SEGMENTS][200];
static vista_segment *segment[SEGMENTS];
static uint64_t *words[SEGMENTS];

static vista_segment *map(int i, unsigned flags)
{
    const struct vista_map_options options = {.log = i == 0 ? NULL : segment[0]};

    segment[i] = vista_map(path[i], flags & VISTA_CREATE ? 1 << 20 : 0, flags, &options);
    words[i] = segment[i] != NULL ? vista_base(segment[i]) : NULL;
    return segment[i];
}

static void unmap_all(void)
{
    for (int i = SEGMENTS - 1; i >= 0; i--)
        OK(vista_unmap(segment[i]));
}

static void make_group(void)
{
    static const char *const names[] = {"home", "one", "two"};

    OK(vista_init(&disk_class));
    for (int i = 0; i < SEGMENTS; i++) {
        snprintf(path[i], sizeof path[i], "%s", test_path(names[i]));
        SOME(map(i, VISTA_CREATE | VISTA_NO_HEAP));
    }
    unmap_all();
}

/* Adds 1 to the first word of those segments whose bit is set, in one transaction. */
static void add(unsigned which)
{
    vista_tx *tx = vista_begin_transaction(segment[0], 0);

    REQUIRE(tx != NULL);
    for (int i = 0; i < SEGMENTS; i++)
        if (which >> i & 1) {
            REQUIRE(vista_set_range(tx, words[i], 8) == 0);
            ++*words[i];
        }
    REQUIRE(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
}

static void add_and_die(void *which)
{
    for (int i = 0; i < SEGMENTS; i++)
        REQUIRE(map(i, 0) != NULL);
    add((unsigned)(uintptr_t)which);
    kill(getpid(), SIGKILL);
}

/* Leaves commits to those segments in home's log. */
static void leave(unsigned which)
{
    ck_assert_int_eq(test_in_child(add_and_die, (void *)(uintptr_t)which), 128 + SIGKILL);
}

static uint64_t value_with(int i, unsigned flags)
{
    uint64_t value;

    segment[i] = vista_map(path[i], 0, flags, NULL);
    SOME(segment[i]);
    value = *(uint64_t *)vista_base(segment[i]);
    OK(vista_unmap(segment[i]));
    test_sound(path[i]);
    return value;
}

static uint64_t value_of(int i)
{
    return value_with(i, 0);
}

/* From whichever is mapped first, alone. */
START_TEST(recovered_from_any)
{
    make_group();
    leave(7);
    leave(7);
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(value_of((_i + i) % SEGMENTS), 2);
}
END_TEST

START_TEST(recovered_together)
{
    make_group();
    for (uint64_t round = 1; round <= 3; round++) {
        leave(7);
        for (int i = 0; i < SEGMENTS; i++) {
            SOME(map(i, 0));
            ck_assert_uint_eq(*words[i], 2 * round - 1);
        }
        add(7);
        OK(vista_flush(segment[2]));
        unmap_all();
    }
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(value_of(i), 6);
}
END_TEST

/* No record names it: home does not need it, and it needs home's word. */
START_TEST(an_idle_member)
{
    make_group();
    leave(3);
    ck_assert_uint_eq(value_of(_i), 1);
    if (_i == 0) { /* home is mapped meanwhile */
        SOME(map(0, 0));
        SOME(map(2, 0));
        ck_assert_uint_eq(*words[2], 0);
        OK(vista_unmap(segment[2]));
        OK(vista_unmap(segment[0]));
    }
    ck_assert_uint_eq(value_of(2), 0);
    ck_assert_uint_eq(value_of(1), 1);
}
END_TEST

START_TEST(a_missing_member)
{
    const char *elsewhere;

    make_group();
    leave(7);
    elsewhere = test_path("elsewhere");
    OK(rename(path[1], elsewhere));
    for (int i = 0; i < SEGMENTS; i += 2)
        NULLS(vista_map(path[i], 0, 0, NULL), ENOENT, path[1]);
    if (_i == 0) {
        OK(rename(elsewhere, path[1]));
        for (int i = 0; i < SEGMENTS; i++)
            ck_assert_uint_eq(value_of(i), 1);
        return;
    }
    ck_assert_uint_eq(value_with(0, VISTA_ACCEPT_TORN), 1);
    ck_assert_uint_eq(value_of(2), 1);
    OK(rename(elsewhere, path[1])); /* it was abandoned: what it lacks is nowhere any more */
    NULLS(vista_map(path[1], 0, 0, NULL), ECANCELED, "does not say so");
    ck_assert_uint_eq(value_with(1, VISTA_ACCEPT_TORN), 0);
    ck_assert_uint_eq(value_of(1), 0);
}
END_TEST

static void hold(void *argument)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = open(path[2], O_RDWR | O_CLOEXEC);
    int *ready = argument;

    REQUIRE(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
    *ready = 1;
    pause();
}

START_TEST(a_locked_member)
{
    int *ready = test_share(sizeof *ready);
    pid_t child;

    make_group();
    leave(7);
    child = test_fork(hold, ready);
    while (*(volatile int *)ready == 0)
        test_sleep_us(1000);
    NULLS(vista_map(path[1], 0, 0, NULL), EBUSY, path[2]);
    NULLS(vista_map(path[0], 0, 0, NULL), EBUSY, path[2]);
    kill(child, SIGKILL);
    test_wait(child);
    ck_assert_uint_eq(value_of(1), 1);
}
END_TEST

/* Into the same file, so that it is no copy by its inode. */
static void put_back(const char *from, const char *to)
{
    char command[9000];

    snprintf(command, sizeof command, "cp --sparse=always %s %s", from, to);
    ck_assert_int_eq(system(command), 0);
}

/* Home's log names members that have gone on. */
START_TEST(an_old_copy_of_home)
{
    const char *old = test_path("old");
    uint64_t before[SEGMENTS];

    make_group();
    leave(7);
    test_copy(path[0], old);
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(value_of(i), 1);
    for (int i = 1; i < SEGMENTS; i++)
        before[i] = test_digest(path[i]);
    put_back(old, path[0]);
    NULLS(vista_map(path[0], 0, 0, NULL), ECANCELED, "was not left open with the log of");
    for (int i = 1; i < SEGMENTS; i++)
        ck_assert_uint_eq(test_digest(path[i]), before[i]);
}
END_TEST

/* It was left open, and so was the one that the log names, but in an earlier opening of home. */
START_TEST(an_old_copy_of_a_member)
{
    const char *old = test_path("old");
    uint64_t before;

    make_group();
    leave(7);
    test_copy(path[1], old);
    ck_assert_uint_eq(value_of(0), 1);
    leave(7);
    put_back(old, path[1]);
    before = test_digest(path[0]);
    NULLS(vista_map(path[0], 0, 0, NULL), ECANCELED, "was not left open with the log of");
    NULLS(vista_map(path[1], 0, 0, NULL), ECANCELED, "does not say so");
    ck_assert_uint_eq(test_digest(path[0]), before);
}
END_TEST

static void unmap_one_and_die(void *unused)
{
    (void)unused;
    for (int i = 0; i < SEGMENTS; i++)
        REQUIRE(map(i, 0) != NULL);
    add(7);
    REQUIRE(vista_unmap(segment[1]) == 0);
    add(5);
    REQUIRE(vista_unmap(segment[0]) == 0); /* two goes on with its log */
    kill(getpid(), SIGKILL);
}

/* One that was unmapped is whole, and recovery does not need it. */
START_TEST(a_member_that_has_left)
{
    make_group();
    ck_assert_int_eq(test_in_child(unmap_one_and_die, NULL), 128 + SIGKILL);
    ck_assert_uint_eq(test_superblock(path[1], test_superblock_current(path[1])).clean, 1);
    ck_assert_uint_eq(value_of(1), 1);
    OK(unlink(path[1]));
    ck_assert_uint_eq(value_of(2), 2);
    ck_assert_uint_eq(value_of(0), 2);
}
END_TEST

static void resize_and_die(void *unused)
{
    const size_t length = 3 << 20;
    vista_tx *tx;

    (void)unused;
    for (int i = 0; i < SEGMENTS; i++)
        REQUIRE(map(i, 0) != NULL);
    REQUIRE(vista_resize(segment[1], 4 << 20) == 0);
    tx = vista_begin_transaction(segment[1], 0);
    REQUIRE(tx != NULL && vista_set_range(tx, words[1], length) == 0);
    memset(words[1], 7, length); /* more than the log has */
    REQUIRE(vista_set_range(tx, words[2], 8) == 0);
    *words[2] = 7;
    REQUIRE(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
    REQUIRE(vista_resize(segment[2], 1 << 19) == 0);
    add(6);
    kill(getpid(), SIGKILL);
}

START_TEST(sizes)
{
    make_group();
    ck_assert_int_eq(test_in_child(resize_and_die, NULL), 128 + SIGKILL);
    ck_assert_uint_eq(value_of(2), 8);
    ck_assert_uint_eq(value_of(1), 0x0707070707070708);
    SOME(map(0, 0));
    SOME(map(1, 0));
    ck_assert_uint_eq(vista_size(segment[1]), 4 << 20);
    ck_assert_uint_eq(words[1][(3 << 17) - 1], 0x0707070707070707);
    ck_assert_uint_eq(words[1][3 << 17], 0);
    OK(vista_unmap(segment[1]));
    OK(vista_unmap(segment[0]));
}
END_TEST

/* ---- Automatic ranges ---------------------------------------------------- */

#define PAGE ((size_t)4096)

static void *map_automatic(void *which)
{
    const int i = (int)(uintptr_t)which;
    const struct vista_map_options options = {.log = segment[0], .auto_pages = 400};

    segment[i] =
        vista_map(path[i], 2 << 20, VISTA_CREATE | VISTA_NO_HEAP | VISTA_AUTO_RANGE, &options);
    return segment[i];
}

/* A home with automatic ranges of `size` bytes, and names for members. */
static void make_automatic_home(size_t size)
{
    static const char *const names[] = {"home", "one", "two"};

    OK(vista_init(&disk_class));
    for (int i = 0; i < SEGMENTS; i++)
        snprintf(path[i], sizeof path[i], "%s", test_path(names[i]));
    segment[0] = vista_map(path[0], size, VISTA_CREATE | VISTA_NO_HEAP | VISTA_AUTO_RANGE, NULL);
    SOME(segment[0]);
}

/* The log takes the pages of both, whoever of them was first. */
START_TEST(members_with_automatic_ranges_at_once)
{
    for (unsigned round = 0; round < test_times(20); round++) {
        pthread_t other;
        vista_tx *tx;

        make_automatic_home(1 << 16);
        ck_assert_int_eq(pthread_create(&other, NULL, map_automatic, (void *)1), 0);
        map_automatic((void *)2);
        ck_assert_int_eq(pthread_join(other, NULL), 0);
        tx = vista_begin_transaction(segment[0], 0);
        SOME(tx);
        for (int i = 1; i < SEGMENTS; i++) {
            SOME(segment[i]);
            memset(vista_base(segment[i]), i, 400 * PAGE);
        }
        OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
        unmap_all();
        for (int i = 0; i < SEGMENTS; i++)
            ck_assert_int_eq(unlink(path[i]), 0);
    }
}
END_TEST

static const struct vi_io_ops *system_ops;
static struct vi_io_ops ops; /* in use, for a test to change */
static pthread_t mapper;     /* begun by the first synced write */
static atomic_bool is_begun;

static void *map_small(void *unused)
{
    const struct vista_map_options options = {
        .max_size = 1 << 20, .log = segment[0], .auto_pages = 20};

    (void)unused;
    segment[1] =
        vista_map(path[1], 1 << 16, VISTA_CREATE | VISTA_NO_HEAP | VISTA_AUTO_RANGE, &options);
    if (segment[1] == NULL)
        fprintf(stderr, "%s\n", vista_errormsg());
    return segment[1];
}

static ssize_t map_meanwhile(int fd, const struct iovec *from, int count, uint64_t offset,
                             bool durable)
{
    if (durable && !atomic_exchange(&is_begun, true)) {
        pthread_create(&mapper, NULL, map_small, NULL);
        test_sleep_us(50000); /* it comes to where it waits, unless the machine is busy */
    }
    return system_ops->write(fd, from, count, offset, durable);
}

static void make_automatic_home_with_ops(void)
{
    system_ops = vi_io();
    ops = *system_ops;
    vi_io_test_ops = &ops;
    make_automatic_home(1 << 16);
}

/* One that ends is not open: whoever maps a member waits for it. */
START_TEST(a_member_with_automatic_ranges_while_one_ends)
{
    vista_tx *tx;

    make_automatic_home_with_ops();
    ops.write = map_meanwhile;
    tx = vista_begin_transaction(segment[0], 0);
    SOME(tx);
    *(char *)vista_base(segment[0]) = 1;
    OK(vista_end_transaction(tx, 0));
    ck_assert(is_begun);
    ck_assert_int_eq(pthread_join(mapper, NULL), 0);
    vi_io_test_ops = NULL;
    SOME(segment[1]);
    OK(vista_unmap(segment[1]));
    OK(vista_unmap(segment[0]));
}
END_TEST

static void *grow_small(void *unused)
{
    (void)unused;
    return vista_resize(segment[1], 1 << 17) == 0 ? segment[1] : NULL;
}

/* The log cannot grow for the first that wants it to, and meanwhile another member grows. */
static ssize_t refuse_and_grow(int fd, const struct iovec *from, int count, uint64_t offset,
                               bool durable)
{
    if (from->iov_len != 1 << 20 || durable) /* not the zeros of a log that grows */
        return system_ops->write(fd, from, count, offset, durable);
    if (!atomic_exchange(&is_begun, true)) {
        pthread_create(&mapper, NULL, grow_small, NULL);
        test_sleep_us(50000);
    }
    return errno = ENOSPC, -1;
}

/* Nobody is refused for pages that are to be refused themselves. */
START_TEST(pages_that_the_log_has_no_room_for)
{
    void *grown;

    make_automatic_home_with_ops();
    SOME(map_small(NULL));
    ops.write = refuse_and_grow;
    NULLS(map_automatic((void *)2), ENOSPC, "redo log");
    ck_assert(is_begun);
    ck_assert_int_eq(pthread_join(mapper, &grown), 0);
    SOME(grown);
    OK(vista_unmap(segment[1]));
    OK(vista_unmap(segment[0]));
    vi_io_test_ops = NULL;
}
END_TEST

/* What a member's pages would have taken of the log is the others' when it has left, or is smaller. */
START_TEST(a_member_with_automatic_ranges_leaves)
{
    const struct vista_map_options large = {.auto_pages = 1000};
    struct vista_map_options options = {0};
    vista_segment *member;
    vista_tx *tx;

    make_automatic_home(1 << 16);
    options = large;
    options.log = segment[0];
    segment[1] =
        vista_map(path[1], 14 << 20, VISTA_CREATE | VISTA_NO_HEAP | VISTA_AUTO_RANGE, &options);
    SOME(segment[1]);
    options.auto_pages = 0;
    member = vista_map(path[2], 14 << 20, VISTA_CREATE | VISTA_NO_HEAP, &options);
    SOME(member);
    tx = vista_begin_transaction(segment[0], 0);
    SOME(tx);
    FAILS(vista_set_range(tx, vista_base(member), 4 << 20), ENOSPC, "redo log");
    OK(vista_abort_transaction(tx));
    if (_i == 0)
        OK(vista_unmap(segment[1]));
    else
        OK(vista_resize(segment[1], 1 << 16));
    tx = vista_begin_transaction(segment[0], 0);
    SOME(tx);
    OK(vista_set_range(tx, vista_base(member), 4 << 20));
    memset(vista_base(member), 5, 4 << 20);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    if (_i != 0)
        OK(vista_unmap(segment[1]));
    OK(vista_unmap(member));
    OK(vista_unmap(segment[0]));
}
END_TEST

static ssize_t no_space(int fd, const struct iovec *from, int count, uint64_t offset, bool durable)
{
    (void)fd, (void)from, (void)count, (void)offset, (void)durable;
    return errno = ENOSPC, -1;
}

/* Its last commits are in the log of home alone, which is mapped: it cannot be had without them. */
START_TEST(a_member_whose_unmap_failed)
{
    struct vi_io_ops ops = *vi_io();
    struct vista_info info;

    make_group();
    vi_io_test_ops = &ops;
    for (int i = 0; i < SEGMENTS; i++)
        SOME(map(i, 0));
    add(7);
    OK(vista_flush(segment[0]));
    ops.write = no_space;
    ck_assert_int_eq(vista_unmap(segment[2]), -1);
    OK(vista_info(segment[0], &info)); /* nothing can be applied any more */
    ck_assert_uint_eq(info.failed, ENOSPC);
    vi_io_test_ops = NULL;
    ops = *vi_io();
    NULLS(map(2, 0), EBUSY, "which is mapped");
    (void)vista_unmap(segment[1]);
    (void)vista_unmap(segment[0]);
    for (int i = SEGMENTS - 1; i >= 0; i--)
        ck_assert_uint_eq(value_of(i), 1);
}
END_TEST

START_TEST(classes_and_promises)
{
    const struct vista_map_options lazy = {.flush_ms = 1000};
    struct vista_map_options options = {0};
    struct vista_info info;

    OK(vista_init(NULL));
    options.log = vista_map(test_disk_path("home"), 1 << 20, VISTA_CREATE, &lazy);
    SOME(options.log);
    OK(vista_info(options.log, &info));
    if (info.persistence == VISTA_CLASS_DISK) {
        NULLS(vista_map(test_disk_path("one"), 1 << 20, VISTA_CREATE, &options), ENOTSUP,
              "its class is 1");
        NULLS(vista_map(test_disk_path("one"), 1 << 20, VISTA_CREATE | VISTA_POWER_SAFE, &options),
              ENOTSUP, "is not");
    } else {
        test_skip("the disk class on a disk", "there is no disk without MAP_SYNC");
    }
    OK(vista_unmap(options.log));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("groups of the disk class");
    TCase *tcase = test_case(suite, "disk", 20);

    tcase_add_loop_test(tcase, recovered_from_any, 0, SEGMENTS);
    tcase_add_test(tcase, recovered_together);
    tcase_add_loop_test(tcase, an_idle_member, 0, 2);
    tcase_add_loop_test(tcase, a_missing_member, 0, 2);
    tcase_add_test(tcase, a_locked_member);
    tcase_add_test(tcase, an_old_copy_of_home);
    tcase_add_test(tcase, an_old_copy_of_a_member);
    tcase_add_test(tcase, a_member_that_has_left);
    tcase_add_test(tcase, a_member_whose_unmap_failed);
    tcase_add_test(tcase, sizes);
    tcase_add_test(tcase, classes_and_promises);
    tcase_add_test(tcase, members_with_automatic_ranges_at_once);
    tcase_add_test(tcase, a_member_with_automatic_ranges_while_one_ends);
    tcase_add_test(tcase, pages_that_the_log_has_no_room_for);
    tcase_add_loop_test(tcase, a_member_with_automatic_ranges_leaves, 0, 2);
    return test_run(suite);
}
