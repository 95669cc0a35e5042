/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The torn guard where the boot id is not to be had, is a container's, or does not matter;
 * and what identifies a file.
 */
#include "media/guard.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "support.h"

#define MIB ((size_t)1 << 20)

static const char *path;

static void change(vista_segment *segment, char value)
{
    char *root = vista_root(segment, 100);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    REQUIRE(root != NULL && tx != NULL && vista_set_range(tx, root, 100) == 0);
    memset(root, value, 100);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void leave_open(void *argument)
{
    vista_segment *segment = vista_map(path, MIB, VISTA_CREATE, NULL);

    (void)argument;
    REQUIRE(segment != NULL);
    change(segment, 'a');
    raise(SIGKILL);
}

static void leave(void)
{
    ck_assert_int_eq(test_in_child(leave_open, NULL), 128 + SIGKILL);
}

static void expect_mapped(void)
{
    vista_segment *segment = vista_map(path, 0, 0, NULL);

    SOME(segment);
    ck_assert_int_eq(*(char *)vista_root(segment, 0), 'a');
    OK(vista_unmap(segment));
}

static void alter(void (*how)(struct vi_superblock *s))
{
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock s = test_superblock(path, copy);

        how(&s);
        test_superblock_put(path, copy, s, true);
    }
}

/* ---- What identifies a file --------------------------------------------- */

static void another_boot(struct vi_superblock *s)
{
    s->boot_id[5] ^= 1;
}

static void another_device(struct vi_superblock *s)
{
    s->device++;
}

static void another_inode(struct vi_superblock *s)
{
    s->inode++;
}

static void another_birth(struct vi_superblock *s)
{
    s->birth++;
}

static void unknown_birth(struct vi_superblock *s)
{
    s->birth = 0;
}

/* The message says what was seen, not what it may have come from, and the way out. */
static const struct {
    void (*how)(struct vi_superblock *s);
    const char *part; /* of the refusal; NULL: it is mapped */
    bool memory;
} altered[] = {
    {another_boot, "the boot id is not the one", false},
    {another_device, "another device number", false},
    {another_inode, "its inode is not that", false},
    {another_birth, "made at another time", false},
    {unknown_birth, NULL, false},
    {another_boot, NULL, true},
    {another_device, "another device number", true},
    {another_inode, "its inode is not that", true},
};

START_TEST(says_what_was_seen)
{
    path = altered[_i].memory ? test_path("seen") : test_disk_path("seen");
    leave();
    alter(altered[_i].how);
    if (altered[_i].part != NULL) {
        NULLS(vista_map(path, 0, 0, NULL), ECANCELED, altered[_i].part);
        ck_assert(test_says("vista recover --accept-torn"));
        ck_assert(!test_says("restarted") && !test_says("it is a copy"));
        vista_segment *segment = vista_map(path, 0, VISTA_ACCEPT_TORN, NULL);
        SOME(segment);
        OK(vista_unmap(segment));
    }
    expect_mapped();
}
END_TEST

START_TEST(info_tells_whether_it_is_guarded)
{
    struct vista_info info;
    vista_segment *segment;

    for (int disk = 0; disk < 2; disk++) {
        path = disk ? test_disk_path("told") : test_path("told");
        segment = vista_map(path, MIB, VISTA_CREATE, NULL);
        SOME(segment);
        OK(vista_info(segment, &info));
        ck_assert_uint_eq(info.torn_guard, (unsigned)disk);
        OK(vista_unmap(segment));
    }
}
END_TEST

/* ---- Without a boot id -------------------------------------------------- */

/* A filter that allows all: but the library cannot know, and must not be killed by it. */
static void filter_calls(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = 1, .filter = &allow};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* As in a container: a file of its own, with another id at each start, lies over the boot id. */
static void enter_container(void)
{
    const char *own = test_disk_path("own-id");
    const int fd = open(own, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    char text[64];

    REQUIRE(snprintf(text, sizeof text, "%08x-0000-0000-0000-000000000000\n", (unsigned)getpid()) ==
            37);
    REQUIRE(write(fd, text, 37) == 37);
    close(fd);
    REQUIRE(unshare(CLONE_NEWNS) == 0);
    REQUIRE(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    REQUIRE(mount(own, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL) == 0);
}

static void leave_open_in_container(void *argument)
{
    enter_container();
    leave_open(argument);
}

static void map_in_container(void *argument)
{
    vista_segment *segment;

    (void)argument;
    enter_container();
    segment = vista_map(path, 0, 0, NULL);
    REQUIRE(segment != NULL && *(char *)vista_root(segment, 0) == 'a');
    REQUIRE(vista_unmap(segment) == 0);
}

/* Root finds the machine's all the same, and what was killed in one container is recovered in
 * the next, or outside. */
START_TEST(a_container_that_starts_again)
{
    path = test_disk_path("container");
    ck_assert_int_eq(test_in_child(leave_open_in_container, NULL), 128 + SIGKILL);
    ck_assert_int_eq(test_in_child(map_in_container, NULL), 0);
    ck_assert_int_eq(test_in_child(leave_open_in_container, NULL), 128 + SIGKILL);
    expect_mapped();
}
END_TEST

static void be_declined(void *memory)
{
    vista_segment *segment;

    enter_container();
    filter_calls();
    segment = vista_map(memory, MIB, VISTA_CREATE, NULL); /* which needs none */
    REQUIRE(segment != NULL && vista_unmap(segment) == 0);
    REQUIRE(vista_map(path, MIB, VISTA_CREATE, NULL) == NULL && errno == ENOTSUP);
    REQUIRE(test_says("a container's own") && test_says("VISTA_ACCEPT_TORN"));
    REQUIRE(access(path, F_OK) != 0); /* nothing is left */
    segment = vista_map(path, MIB, VISTA_CREATE | VISTA_ACCEPT_TORN, NULL);
    REQUIRE(segment != NULL);
    change(segment, 'a');
    raise(SIGKILL);
}

/* Who may not look further is told when the segment is mapped, not after a kill. */
START_TEST(declined_where_it_could_not_be_recovered)
{
    vista_segment *segment;

    path = test_disk_path("declined");
    ck_assert_int_eq(test_in_child(be_declined, (void *)test_path("memory")), 128 + SIGKILL);
    NULLS(vista_map(path, 0, 0, NULL), ECANCELED, "no boot id could be had when it was opened");
    segment = vista_map(path, 0, VISTA_READ_ONLY | VISTA_ANY_ADDRESS, NULL);
    ck_assert_ptr_eq(segment, NULL);
    segment = vista_map(path, 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
    expect_mapped();
}
END_TEST

static void map_with_one_descriptor(void *argument)
{
    const struct rlimit few = {64, 64};
    int last = -1, fd;

    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    while ((fd = open("/dev/null", O_RDONLY)) >= 0)
        last = fd;
    close(last);
    REQUIRE(vista_map(path, 0, 0, NULL) != NULL);
    (void)argument;
    raise(SIGKILL);
}

START_TEST(one_descriptor_is_enough)
{
    path = test_disk_path("descriptor");
    leave();
    ck_assert_int_eq(test_in_child(map_with_one_descriptor, NULL), 128 + SIGKILL);
    expect_mapped();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("torn guard");
    TCase *tests = test_case(suite, "guard", 10);

    tcase_add_loop_test(tests, says_what_was_seen, 0, sizeof altered / sizeof *altered);
    tcase_add_test(tests, info_tells_whether_it_is_guarded);
    tcase_add_test(tests, one_descriptor_is_enough);
    if (geteuid() != 0) {
        test_skip("boot ids of containers", "only root can mount");
        return suite;
    }
    tcase_add_test(tests, a_container_that_starts_again);
    tcase_add_test(tests, declined_where_it_could_not_be_recovered);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
