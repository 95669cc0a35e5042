/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The disk class from outside: which files get it and what it promises, what survives a kill and
 * a loss of power, changes of class, copies, resizing, large transactions, a failed disk, the
 * heap's notes.  The redo log itself is tested in test_disk_log and test_disk_explore.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/engine.h"
#include "core/items.h"
#include "core/redo.h"
#include "core/segment.h"
#include "core/transaction.h"
#include "disk/redo_format.h"
#include "media/io.h"
#include "refuse_calls.h"
#include "support.h"

static const struct vista_options disk_class = {.force_class = VISTA_CLASS_DISK};

/* In memory, where it is quick and only the process dies. */
static vista_segment *map(const char *path, size_t size, unsigned flags)
{
    vista_segment *segment;

    OK(vista_init(&disk_class));
    segment = vista_map(path, size, size != 0 ? flags | VISTA_CREATE : flags, NULL);
    SOME(segment);
    return segment;
}

static vista_segment *map_automatic(const char *path, size_t size,
                                    const struct vista_map_options *options)
{
    vista_segment *segment;

    OK(vista_init(&disk_class));
    segment = vista_map(path, size, VISTA_CREATE | VISTA_NO_HEAP | VISTA_AUTO_RANGE, options);
    SOME(segment);
    return segment;
}

static struct vista_info info_of(vista_segment *segment)
{
    struct vista_info info;

    OK(vista_info(segment, &info));
    return info;
}

static void add(vista_segment *segment, uint64_t *word, unsigned mode)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    REQUIRE(tx != NULL);
    REQUIRE(vista_set_range(tx, word, sizeof *word) == 0);
    ++*word;
    REQUIRE(vista_end_transaction(tx, mode) == 0);
}

static bool has_disk(const char *path)
{
    vista_segment *segment = vista_map(path, 1 << 16, VISTA_CREATE | VISTA_POWER_SAFE, NULL);
    const bool has = segment != NULL && info_of(segment).persistence == VISTA_CLASS_DISK;

    if (segment != NULL)
        OK(vista_unmap(segment));
    unlink(path);
    return has;
}

/* ---- The class ----------------------------------------------------------- */

START_TEST(who_gets_it)
{
    const struct vista_map_options everysec = {.flush_ms = 1000};
    const char *disk = test_disk_path("segment");
    vista_segment *segment;

    OK(vista_init(NULL));
    NULLS(vista_map(test_path("memory"), 1 << 16, VISTA_CREATE | VISTA_POWER_SAFE, NULL), ENOTSUP,
          "memory");
    OK(vista_init(&disk_class));
    NULLS(vista_map(test_path("memory"), 1 << 16, VISTA_CREATE | VISTA_POWER_SAFE, NULL), ENOTSUP,
          "memory");
    segment = map(test_path("memory"), 1 << 16, 0);
    ck_assert_uint_eq(info_of(segment).persistence, VISTA_CLASS_DISK);
    ck_assert_uint_eq(info_of(segment).durability, VISTA_KILL_SAFE);
    ck_assert_uint_eq(info_of(segment).log_size, 4 << 20);
    OK(vista_unmap(segment));
    OK(vista_init(NULL));
    if (!has_disk(disk)) {
        test_skip("the disk class on a disk", "there is no disk without MAP_SYNC");
        return;
    }
    segment = vista_map(disk, 1 << 16, VISTA_CREATE | VISTA_POWER_SAFE, NULL);
    SOME(segment);
    ck_assert_uint_eq(info_of(segment).durability, VISTA_POWER_SAFE);
    OK(vista_unmap(segment));
    segment = vista_map(disk, 0, 0, NULL); /* asked for nothing */
    SOME(segment);
    ck_assert_uint_eq(info_of(segment).persistence, VISTA_CLASS_KILL);
    OK(vista_unmap(segment));
    segment = vista_map(disk, 0, VISTA_KILL_SAFE, &everysec);
    SOME(segment);
    ck_assert_uint_eq(info_of(segment).persistence, VISTA_CLASS_DISK);
    ck_assert_uint_eq(info_of(segment).durability, VISTA_KILL_SAFE);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Death of the process ------------------------------------------------ */

struct run {
    char path[200];
    unsigned flags;
    uint64_t *done; /* shared: how far the child is */
};

static void run_and_die(void *argument)
{
    const struct run *run = argument;
    vista_segment *segment;
    uint64_t *words;
    vista_tx *open;

    REQUIRE(vista_init(&disk_class) == 0);
    segment = vista_map(run->path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    words = run->flags & VISTA_NO_HEAP ? vista_base(segment) : vista_root(segment, 4096);
    REQUIRE(words != NULL);
    open = vista_begin_transaction(segment, 0);
    REQUIRE(open != NULL && vista_set_range(open, words + 8, 8) == 0);
    words[8] = 77; /* never committed */
    for (int i = 0; i < 1000; i++)
        add(segment, words, i % 100 == 99 ? 0 : VISTA_NO_FLUSH);
    kill(getpid(), SIGKILL);
}

static char reported[4096];

static int keep_report(void *arg, int severity, const char *text)
{
    const size_t length = strlen(reported);

    (void)arg;
    (void)severity;
    snprintf(reported + length, sizeof reported - length, "%s\n", text);
    return 0;
}

static void survives_a_kill(unsigned flags)
{
    struct run run = {.flags = flags};
    vista_segment *segment;
    uint64_t *words;

    snprintf(run.path, sizeof run.path, "%s", test_path("segment"));
    OK(vista_unmap(map(run.path, 1 << 20, flags)));
    for (uint64_t i = 1; i <= 2; i++) {
        ck_assert_int_eq(test_in_child(run_and_die, &run), 128 + SIGKILL);
        NULLS(vista_map(run.path, 0, VISTA_READ_ONLY, NULL), EUCLEAN, "needs recovery");
        reported[0] = '\0';
        OK(vista_check(run.path, 0, keep_report, NULL));
        ck_assert_ptr_nonnull(strstr(reported, "records that recovery will apply: 1"));
        segment = map(run.path, 0, 0);
        words = flags & VISTA_NO_HEAP ? vista_base(segment) : vista_root(segment, 4096);
        ck_assert_uint_eq(words[0], 1000 * i);
        ck_assert_uint_eq(words[8], 0);
        OK(vista_unmap(segment));
        test_sound(run.path);
    }
}

START_TEST(flat_segment_survives_a_kill)
{
    survives_a_kill(VISTA_NO_HEAP);
}
END_TEST

START_TEST(heap_survives_a_kill)
{
    survives_a_kill(0);
}
END_TEST

/* A list in the heap: pushed and popped at random, blocks of all sizes. */
struct node {
    struct node *next;
    uint64_t number, size;
};

struct list {
    struct node *first;
    uint64_t count, number;
};

static bool change_list(vista_segment *segment, struct list *list, struct test_random *random)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    const uint64_t size = sizeof(struct node) + test_below(random, 1 << test_below(random, 15));
    struct node *node;

    REQUIRE(tx != NULL && vista_set_range(tx, list, sizeof *list) == 0);
    if (list->first == NULL || test_below(random, 5) < 3) {
        node = vista_malloc(tx, size);
        if (node == NULL) {
            REQUIRE(vista_abort_transaction(tx) == 0);
            return false;
        }
        *node = (struct node){list->first, list->number + 1, size};
        memset(node + 1, (int)(list->number + 1), size - sizeof *node);
        list->first = node;
        list->count++;
    } else {
        node = list->first;
        list->first = node->next;
        list->count--;
        REQUIRE(vista_free(tx, node) == 0);
    }
    list->number++;
    if (test_below(random, 7) == 0) {
        REQUIRE(vista_abort_transaction(tx) == 0);
        return false;
    }
    REQUIRE(vista_end_transaction(tx, test_below(random, 8) != 0 ? VISTA_NO_FLUSH : 0) == 0);
    return true;
}

static void change_lists_for_ever(void *argument)
{
    const struct run *run = argument;
    struct test_random random = test_random_new(*run->done);
    vista_segment *segment;
    struct list *list;

    REQUIRE(vista_init(&disk_class) == 0);
    segment = vista_map(run->path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    list = vista_root(segment, sizeof *list);
    REQUIRE(list != NULL);
    for (;;)
        if (change_list(segment, list, &random))
            __atomic_store_n(run->done, list->number, __ATOMIC_RELEASE);
}

static void check_list(vista_segment *segment, uint64_t least)
{
    const struct list *list = vista_root(segment, sizeof *list);
    uint64_t count = 0;
    bool right = true;

    SOME(list);
    ck_assert_uint_ge(list->number, least);
    ck_assert_uint_le(list->number, least + 1);
    for (const struct node *node = list->first; node != NULL; node = node->next, count++) {
        ck_assert_uint_ge(vista_usable_size(segment, node), node->size);
        for (uint64_t i = sizeof *node; i < node->size; i++)
            right &= ((const unsigned char *)node)[i] == (unsigned char)node->number;
    }
    ck_assert(right);
    ck_assert_uint_eq(count, list->count);
    ck_assert_uint_eq(info_of(segment).heap_blocks, count + 1);
}

START_TEST(killed_at_random)
{
    struct run run = {.done = test_share(sizeof *run.done)};
    struct test_random random = test_random_new(1);

    snprintf(run.path, sizeof run.path, "%s", test_path("segment"));
    OK(vista_unmap(map(run.path, 8 << 20, 0)));
    for (unsigned i = 0; i < test_times(30); i++) {
        const pid_t child = test_fork(change_lists_for_ever, &run);
        vista_segment *segment;

        while (i == 0 && __atomic_load_n(run.done, __ATOMIC_ACQUIRE) == 0)
            test_sleep_us(1000); /* a slow machine may reach no further in all the others */
        test_sleep_us(1000 + test_below(&random, 60000));
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
        segment = map(run.path, 0, 0);
        check_list(segment, __atomic_load_n(run.done, __ATOMIC_ACQUIRE));
        OK(vista_unmap(segment));
        test_sound(run.path);
    }
    ck_assert_uint_gt(*run.done, 0);
}
END_TEST

/* ---- Loss of power ------------------------------------------------------- */

/* The operations of the system, but that what is written goes to a copy of the file only when it
 * is durable: after a loss of power with all that was not synced lost. */
static const struct vi_io_ops *system_ops;
static int copy_fd = -1;

static ssize_t write_durable(int fd, const struct iovec *from, int count, uint64_t offset,
                             bool durable)
{
    const ssize_t done = system_ops->write(fd, from, count, offset, durable);

    if (done > 0 && durable)
        ck_assert_int_eq(pwritev(copy_fd, from, count, (off_t)offset), done);
    return done;
}

/* A sync makes all that was written durable; the ring is as it is at that moment. */
static int sync_durable(int fd)
{
    static unsigned char bytes[1 << 16];
    const off_t end = lseek(fd, 0, SEEK_END);

    for (off_t at = 0; at < end && (at = lseek(fd, at, SEEK_DATA)) >= 0; at += sizeof bytes) {
        const ssize_t got = pread(fd, bytes, sizeof bytes, at);

        ck_assert_int_eq(pwrite(copy_fd, bytes, (size_t)got, at), got);
    }
    return system_ops->sync(fd);
}

START_TEST(power_fails)
{
    const char *path = test_path("segment"), *copy = test_path("copy"), *left = test_path("left");
    struct vi_io_ops ops = *vi_io();
    vista_segment *segment;
    uint64_t *words;

    segment = map(path, 1 << 20, 0);
    words = vista_root(segment, 64);
    SOME(words);
    OK(vista_unmap(segment));
    test_copy(path, copy);
    copy_fd = open(copy, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(copy_fd, 0);
    system_ops = vi_io();
    ops.write = write_durable;
    ops.sync = sync_durable;
    vi_io_test_ops = &ops;
    segment = map(path, 0, 0);
    words = vista_root(segment, 0);
    for (int i = 0; i < 500; i++)
        add(segment, words, VISTA_NO_FLUSH);
    add(segment, words, 0);
    add(segment, words, VISTA_NO_FLUSH);
    ck_assert_uint_eq(info_of(segment).committed, 502);
    ck_assert_uint_eq(info_of(segment).durable, 501);
    test_copy(copy, left);
    OK(vista_unmap(segment));
    vi_io_test_ops = NULL;
    close(copy_fd);
    test_adopt(left);
    segment = map(left, 0, 0);
    words = vista_root(segment, 0);
    SOME(words);
    ck_assert_uint_eq(words[0], 501);
    OK(vista_unmap(segment));
    test_sound(left);
}
END_TEST

/* ---- Being told of the end ----------------------------------------------- */

static void keep_durable(void *arg, int outcome)
{
    struct vista_info info;

    ck_assert_int_eq(outcome, 1);
    OK(vista_info(arg, &info));
    ck_assert_uint_eq(info.durable, info.committed);
    ck_assert_uint_eq(info.committed, 2);
}

START_TEST(who_is_told_is_told_of_what_is_durable)
{
    vista_segment *segment = map(test_path("segment"), 1 << 20, VISTA_NO_HEAP);
    uint64_t *words = vista_base(segment);
    vista_tx *tx;

    add(segment, words, VISTA_NO_FLUSH);
    ck_assert_uint_eq(info_of(segment).durable, 0);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_set_range(tx, words, 8));
    OK(vista_on_end(tx, keep_durable, segment));
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Classes by turns, copies ------------------------------------------- */

static void leave_open(void *argument)
{
    const struct run *run = argument;
    vista_segment *segment = vista_map(run->path, 0, run->flags, NULL);

    REQUIRE(segment != NULL);
    add(segment, vista_root(segment, 64), VISTA_NO_FLUSH);
    kill(getpid(), SIGKILL);
}

/* What a block that stays in its place can hold beyond what was asked for. */
static void grow_in_place_and_die(void *path)
{
    vista_segment *segment = map(path, 1 << 16, 0);
    char **const root = vista_root(segment, sizeof(char *));
    vista_tx *tx = vista_begin_transaction(segment, 0);
    char *block = vista_malloc(tx, 33);

    REQUIRE(block != NULL && vista_set_range(tx, root, sizeof *root) == 0);
    *root = block;
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(vista_realloc(tx, block, 48) == block);
    memset(block + 33, 'x', 15);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    raise(SIGKILL);
}

START_TEST(a_block_that_grows_in_its_place)
{
    const char *path = test_path("segment");
    char **root;
    vista_segment *segment;

    ck_assert_int_eq(test_in_child(grow_in_place_and_die, (void *)(uintptr_t)path), 128 + SIGKILL);
    segment = map(path, 0, 0);
    root = vista_root(segment, 0);
    SOME(root);
    for (int i = 33; i < 48; i++)
        ck_assert_int_eq((*root)[i], 'x');
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(classes_by_turns)
{
    struct run run = {.flags = 0};
    vista_segment *segment;
    uint64_t expected = 0;

    snprintf(run.path, sizeof run.path, "%s", test_path("segment"));
    OK(vista_unmap(map(run.path, 1 << 20, 0)));
    for (int i = 0; i < 8; i++) { /* killed in either class, opened in either */
        OK(vista_init(i & 1 ? &disk_class : NULL));
        ck_assert_int_eq(test_in_child(leave_open, &run), 128 + SIGKILL);
        expected++;
        OK(vista_init(i & 2 ? &disk_class : NULL));
        segment = vista_map(run.path, 0, 0, NULL);
        SOME(segment);
        ck_assert_uint_eq(info_of(segment).persistence,
                          i & 2 ? VISTA_CLASS_DISK : VISTA_CLASS_KILL);
        ck_assert_uint_eq(*(uint64_t *)vista_root(segment, 0), expected);
        add(segment, vista_root(segment, 0), 0);
        expected++;
        OK(vista_unmap(segment));
        test_sound(run.path);
    }
}
END_TEST

START_TEST(a_copy_made_while_open)
{
    const char *path = test_path("segment"), *copy = test_path("copy");
    vista_segment *segment = map(path, 1 << 20, 0);

    add(segment, vista_root(segment, 64), 0);
    test_copy(path, copy);
    NULLS(vista_map(copy, 0, 0, NULL), ECANCELED, "copy");
    OK(vista_unmap(segment));
    segment = map(copy, 0, VISTA_ACCEPT_TORN); /* replayed and checked */
    ck_assert_uint_eq(*(uint64_t *)vista_root(segment, 0), 1);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Sizes --------------------------------------------------------------- */

START_TEST(large_transactions)
{
    const size_t size = 64 << 20;
    struct run run = {.flags = VISTA_NO_HEAP};
    vista_segment *segment;
    unsigned char *data;

    snprintf(run.path, sizeof run.path, "%s", test_path("segment"));
    segment = map(run.path, size, VISTA_NO_HEAP);
    data = vista_base(segment);
    for (size_t length = 1 << 20; length <= 16 << 20; length *= 4) { /* more than the log has */
        vista_tx *tx = vista_begin_transaction(segment, 0);

        OK(vista_set_range(tx, data + 100, length));
        memset(data + 100, (int)(length >> 20), length);
        OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
        ck_assert_uint_gt(info_of(segment).log_size, 2 * length);
    }
    OK(vista_unmap(segment));
    segment = map(run.path, 0, 0);
    data = vista_base(segment);
    ck_assert_uint_eq(data[99], 0);
    ck_assert_uint_eq(data[100], 16);
    ck_assert_uint_eq(data[99 + (16 << 20)], 16);
    ck_assert_uint_eq(data[100 + (16 << 20)], 0);
    OK(vista_unmap(segment));
}
END_TEST

/* The redo log grows when a range is declared or a block allocated, or that fails; a commit never
 * does for want of space. */
START_TEST(room_is_made_before)
{
    const struct vista_map_options options = {.max_size = 64 << 20};
    const char *heap = test_path("heap");
    vista_segment *segment;
    unsigned char *data;
    size_t done;
    vista_tx *tx;
    char *block;

    OK(vista_init(&disk_class));
    segment = vista_map(test_path("flat"), 64 << 20, VISTA_CREATE | VISTA_NO_HEAP, &options);
    SOME(segment);
    data = vista_base(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_set_range(tx, data, 10 << 20));
    ck_assert_uint_ge(info_of(segment).log_size, 20 << 20);
    FAILS(vista_set_range(tx, data, 50 << 20), ENOSPC, "log area");
    memset(data, 1, 10 << 20);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    for (done = 0; done < 1 << 20 && vista_set_range(tx, data + 64 * done, 8) == 0; done++)
        data[64 * done] = 2; /* short ones, until there is no room */
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_uint_gt(done, 1 << 18);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_unmap(segment));
    segment = vista_map(heap, 64 << 20, VISTA_CREATE, &options);
    SOME(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    block = vista_malloc(tx, 20 << 20);
    SOME(block);
    ck_assert_uint_ge(info_of(segment).log_size, 40 << 20);
    NULLS(vista_malloc(tx, 40 << 20), ENOSPC, "log area");
    SOME(vista_malloc(tx, 100));
    memset(block, 3, 20 << 20);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    for (done = 0; (block = vista_malloc(tx, 1000)) != NULL; done++)
        memset(block, 4, 1000); /* small blocks, until there is no room */
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_uint_gt(done, 20000);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_unmap(segment));
    test_sound(heap);
}
END_TEST

static void resize_and_die(void *argument)
{
    const struct run *run = argument;
    vista_segment *segment;
    uint64_t *words;

    REQUIRE(vista_init(&disk_class) == 0);
    segment = vista_map(run->path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    words = vista_base(segment);
    add(segment, words + (1 << 17) - 1, VISTA_NO_FLUSH); /* the last word of a MiB */
    REQUIRE(vista_resize(segment, 2 << 20) == 0);
    add(segment, words + (2 << 17) - 1, VISTA_NO_FLUSH);
    if (run->flags != 0) {
        REQUIRE(vista_resize(segment, 1 << 19) == 0);
        add(segment, words, VISTA_NO_FLUSH);
    }
    kill(getpid(), SIGKILL);
}

START_TEST(resizes)
{
    for (unsigned shrinks = 0; shrinks < 2; shrinks++) {
        struct run run = {.flags = shrinks};
        vista_segment *segment;
        uint64_t *words;

        snprintf(run.path, sizeof run.path, "%s", test_path("segment"));
        OK(vista_unmap(map(run.path, 1 << 20, VISTA_NO_HEAP)));
        ck_assert_int_eq(test_in_child(resize_and_die, &run), 128 + SIGKILL);
        segment = map(run.path, 0, 0);
        words = vista_base(segment);
        ck_assert_uint_eq(vista_size(segment), shrinks ? 1 << 19 : 2 << 20);
        if (shrinks) {
            ck_assert_uint_eq(words[0], 1);
            OK(vista_resize(segment, 2 << 20)); /* what was cut off is zero */
            ck_assert_uint_eq(words[(1 << 17) - 1], 0);
        } else {
            ck_assert_uint_eq(words[(1 << 17) - 1], 1);
            ck_assert_uint_eq(words[(2 << 17) - 1], 1);
        }
        OK(vista_unmap(segment));
    }
}
END_TEST

/* ---- Failure ------------------------------------------------------------- */

static int fail_sync(int fd)
{
    (void)fd;
    return errno = EIO, -1;
}

static ssize_t fail_durable(int fd, const struct iovec *from, int count, uint64_t offset,
                            bool durable)
{
    return durable ? (errno = EIO, -1) : system_ops->write(fd, from, count, offset, durable);
}

static void keep_outcome(void *arg, int outcome)
{
    *(int *)arg = outcome;
}

START_TEST(a_disk_that_fails)
{
    int unknown = 7, rolled_back = 7, aborted = 7;
    const char *path = test_path("segment");
    struct vi_io_ops ops = *vi_io();
    vista_segment *segment = map(path, 1 << 20, 0);
    uint64_t *words = vista_root(segment, 64);
    vista_tx *tx, *open;

    OK(vista_unmap(segment));
    system_ops = vi_io();
    ops.write = system_ops->write;
    ops.sync = system_ops->sync;
    vi_io_test_ops = &ops;
    segment = map(path, 0, 0);
    words = vista_root(segment, 0);
    ops.sync = fail_sync;
    ops.write = fail_durable;
    add(segment, words, VISTA_NO_FLUSH); /* needs no disk */
    open = vista_begin_transaction(segment, 0);
    SOME(open);
    OK(vista_on_end(open, keep_outcome, &rolled_back));
    OK(vista_set_range(open, words + 2, 8));
    words[2] = 7;
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_on_end(tx, keep_outcome, &unknown));
    OK(vista_set_range(tx, words + 1, 8));
    words[1] = 5;
    ops = *system_ops;
    ops.write = fail_durable;
    /* The log's operations are a pointer to these. */
    FAILS(vista_end_transaction(tx, 0), EIO, "has failed");
    ck_assert_uint_eq(info_of(segment).failed, EIO);
    ck_assert_uint_eq(words[1], 5); /* the next mapping decides */
    ck_assert_int_eq(unknown, -1);
    FAILS(vista_end_transaction(open, 0), EIO, "has failed");
    ck_assert_uint_eq(words[2], 0); /* no record was built: rolled back */
    ck_assert_int_eq(rolled_back, 0);
    ck_assert_uint_eq(info_of(segment).aborts, 1);
    FAILS(vista_flush(segment), EIO, "has failed");
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_set_range(tx, words + 2, 8));
    words[2] = 9;
    OK(vista_on_end(tx, keep_outcome, &aborted));
    OK(vista_abort_transaction(tx));
    ck_assert_int_eq(aborted, 0);
    ck_assert_uint_eq(words[2], 0);
    ck_assert_int_eq(vista_unmap(segment), -1);
    vi_io_test_ops = NULL;
    segment = map(path, 0, 0);
    words = vista_root(segment, 0);
    ck_assert_uint_eq(words[0], 1); /* the page cache had it */
    ck_assert_uint_eq(words[1], 5);
    ck_assert_uint_eq(words[2], 0);
    OK(vista_unmap(segment));
}
END_TEST

/* The record of one is built in memory of its own: there is none. */
START_TEST(no_memory_for_a_large_transaction)
{
    vista_segment *segment = map(test_path("segment"), 4 << 20, 0);
    unsigned char *bytes = vista_root(segment, 1 << 20);
    int outcome = 7;

    SOME(bytes);
    for (int refused = 1; refused >= 0; refused--) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        SOME(tx);
        OK(vista_on_end(tx, keep_outcome, &outcome));
        OK(vista_set_range(tx, bytes, 1 << 20));
        memset(bytes, 9, 1 << 20);
        if (refused != 0) { /* the log has no thread yet that the refusal could meet */
            fault_set(CALL_MMAP, 0, UINT_MAX, 0);
            FAILS(vista_end_transaction(tx, 0), EIO, "no memory");
            ck_assert_uint_ne(fault_hits(), 0);
            fault_clear();
        } else {
            OK(vista_end_transaction(tx, 0));
        }
        ck_assert_int_eq(outcome, !refused);
        ck_assert_uint_eq(bytes[0], refused ? 0 : 9);
        ck_assert_uint_eq(bytes[(1 << 20) - 1], bytes[0]);
        ck_assert_uint_eq(info_of(segment).failed, 0);
    }
    OK(vista_unmap(segment));
}
END_TEST

/* A commit that is refused has protected its pages already, and is rolled back. */
START_TEST(automatic_ranges_on_a_disk_that_fails)
{
    const char *path = test_path("segment");
    struct vi_io_ops ops = *vi_io();
    vista_segment *segment;
    uint64_t *words;
    vista_tx *tx;

    system_ops = vi_io();
    vi_io_test_ops = &ops;
    segment = map(path, 1 << 20, VISTA_NO_HEAP | VISTA_AUTO_RANGE);
    words = vista_base(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    words[0] = 1;
    words[100000] = 1;
    OK(vista_end_transaction(tx, 0));
    ops.write = fail_durable;
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    words[1] = 1;
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    FAILS(vista_flush(segment), EIO, "has failed");
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    words[0] = 2;
    words[100000] = 2;
    words[90000] = 2;
    FAILS(vista_end_transaction(tx, 0), EIO, "has failed");
    ck_assert_uint_eq(words[0] + words[100000], 2);
    ck_assert_uint_eq(words[90000], 0);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    words[0] = 3;
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(words[0], 1);
    ck_assert_int_eq(vista_unmap(segment), -1);
    vi_io_test_ops = NULL;
    segment = map(path, 0, 0);
    words = vista_base(segment);
    ck_assert_uint_eq(words[0] + words[100000], 2);
    OK(vista_unmap(segment));
}
END_TEST

/* From its measuring on more of each page differs from what it was. */
static int change_images(struct vi_redo *redo, struct vi_tx *tx, unsigned mode)
{
    const struct vi_item *item;
    struct vi_items items;

    (void)redo;
    (void)mode;
    vi_items_begin(&items, tx->segment, &tx->log);
    while ((item = vi_items_next(&items)) != NULL)
        for (uint32_t i = 0; i < item->length; i += 64)
            ((unsigned char *)item->payload)[i] ^= 1;
    return 0;
}

/* How many of the next 64 KiB from `at` on are not zero. */
static unsigned bytes_of_ring(const char *path, uint64_t at)
{
    static unsigned char bytes[64 << 10];
    const uint64_t ring = test_superblock(path, test_superblock_current(path)).chunks_offset +
                          VI_REDO_HEADERS * VI_REDO_BLOCK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned count = 0;

    ck_assert_int_eq(pread(fd, bytes, sizeof bytes, (off_t)(ring + at)), sizeof bytes);
    close(fd);
    for (size_t i = 0; i < sizeof bytes; i++)
        count += bytes[i] != 0;
    return count;
}

START_TEST(a_record_that_becomes_longer)
{
    static const struct vi_redo_ops ops = {.prepare = change_images};
    const char *path = test_path("segment");
    struct vi_redo follower = {.ops = &ops};
    vista_segment *segment = map(path, 1 << 20, VISTA_NO_HEAP | VISTA_AUTO_RANGE);
    unsigned char *bytes = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    bytes[0] = 1;
    OK(vista_end_transaction(tx, 0));
    vi_engine_follow(&((struct vi_segment *)segment)->own, &follower);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    for (int i = 0; i < 100; i++)
        bytes[i * 4096] = 2;
    FAILS(vista_end_transaction(tx, 0), EIO, "has failed");
    ck_assert_uint_eq(info_of(segment).failed, EOVERFLOW);
    ck_assert_int_eq(vista_unmap(segment), -1);
    /* In the ring there is nothing behind the second block, where the record was to be. */
    ck_assert_uint_eq(bytes_of_ring(path, 2 * VI_REDO_BLOCK), 0);
    ck_assert_uint_ne(bytes_of_ring(path, VI_REDO_BLOCK), 0);
    segment = map(path, 0, 0);
    bytes = vista_base(segment);
    ck_assert_uint_eq(bytes[0], 1);
    ck_assert_uint_eq(bytes[99 * 4096], 0);
    OK(vista_unmap(segment));
}
END_TEST

/* As many pages as options.auto_pages says fit in one transaction, however large the log was. */
START_TEST(automatic_ranges_have_room)
{
    const struct vista_map_options many = {.auto_pages = 2000};
    const char *path = test_path("segment");
    vista_segment *segment;
    uint64_t *words;
    vista_tx *tx;

    segment = map_automatic(path, 16 << 20, &many);
    words = vista_base(segment);
    ck_assert_uint_eq(info_of(segment).pages_left, 2000);
    ck_assert_uint_ge(info_of(segment).log_size, 2 * 2000 * 4096);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    for (size_t i = 0; i < 2000 * 512; i += i % 5 == 0 ? 7 : 4) /* much, here and there */
        words[i] = i;
    ck_assert_uint_eq(info_of(segment).pages_left, 0);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_unmap(segment));
    segment = map(path, 0, 0);
    for (size_t i = 0; i < 2000 * 512; i += i % 5 == 0 ? 7 : 4)
        ck_assert_uint_eq(((uint64_t *)vista_base(segment))[i], i);
    OK(vista_unmap(segment));
}
END_TEST

/* It changes all of its pages and declares a lot: there is room for both, or the declaration is
 * refused; the commit never is. */
START_TEST(automatic_ranges_beside_declared_ones)
{
    const struct vista_map_options many = {.auto_pages = 3000, .max_size = 24 << 20};
    vista_segment *segment;
    unsigned char *data;
    size_t declared = 0;
    vista_tx *tx;

    segment = map_automatic(test_path("segment"), 24 << 20, &many);
    data = vista_base(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    for (; vista_set_range(tx, data + declared, 1 << 19) == 0; declared += 1 << 19)
        ck_assert_uint_lt(declared, 24 << 20);
    ck_assert_int_eq(errno, ENOSPC);
    for (size_t page = 0; page < 3000; page++)
        memset(data + page * 4096, 1, 4096);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    ck_assert_int_eq(data[3000 * 4096 - 1], 1);
    OK(vista_unmap(segment));
}
END_TEST

/* Changes pages and allocates beside them: how large the redo log is then. */
static uint64_t store_and_allocate(const char *path, const struct vista_map_options *options)
{
    vista_segment *segment = vista_map(path, 4 << 20, VISTA_CREATE | VISTA_AUTO_RANGE, options);
    vista_tx *tx;
    uint64_t size;
    char *block;

    SOME(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    block = vista_malloc(tx, 300000);
    SOME(block);
    memset(block, 1, 300000);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    size = info_of(segment).log_size;
    OK(vista_unmap(segment));
    return size;
}

/* By default the pages leave room for blocks, also in a log that cannot grow; and one that has
 * grown does not grow again for more pages. */
START_TEST(automatic_ranges_beside_blocks)
{
    const struct vista_map_options all = {.log_size = UINT64_MAX / 2};
    const char *path = test_path("segment");
    uint64_t size;

    OK(vista_init(&disk_class));
    size = store_and_allocate(path, NULL);
    ck_assert_uint_eq(store_and_allocate(path, NULL), size);
    ck_assert_uint_eq(store_and_allocate(path, NULL), size);
    ck_assert_uint_gt(store_and_allocate(path, &all), size);
    test_sound(path);
}
END_TEST

/* What follows a first declaration that its chunk of the undo log is too short for is seen, too. */
START_TEST(automatic_ranges_and_a_long_declaration)
{
    const char *path = test_path("segment");
    vista_segment *segment = map(path, 8 << 20, VISTA_AUTO_RANGE);
    char *root = vista_root(segment, 300000), *block;
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(root);
    SOME(tx);
    OK(vista_set_range(tx, root, 300000));
    block = vista_malloc(tx, 100);
    SOME(block);
    memset(root, 5, 300000);
    memset(block, 6, 100);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_unmap(segment));
    segment = map(path, 0, 0);
    ck_assert_uint_eq(info_of(segment).heap_blocks, 2);
    ck_assert_int_eq(block[99], 6);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* By how much it may change, and not by how often it has grown. */
START_TEST(automatic_ranges_that_grow)
{
    const struct vista_map_options few = {.auto_pages = 150, .max_size = 4 << 20};
    vista_segment *segment;

    segment = map_automatic(test_path("segment"), 1 << 20, &few);
    for (int i = 0; i < 20; i++) {
        OK(vista_resize(segment, 4 << 20));
        OK(vista_resize(segment, 1 << 20));
    }
    ck_assert_uint_eq(info_of(segment).pages_left, 150);
    ck_assert_uint_eq(info_of(segment).log_size, 4 << 20);
    OK(vista_unmap(segment));
}
END_TEST

/* What there was room for beside fewer pages is asked for again. */
START_TEST(automatic_ranges_that_grow_beside_declared_ones)
{
    const struct vista_map_options all = {.auto_pages = 1 << 20, .max_size = 8 << 20};
    vista_segment *segment;
    unsigned char *data;
    vista_tx *tx;

    segment = map_automatic(test_path("segment"), 4 << 20, &all);
    data = vista_base(segment);
    for (size_t size = 4 << 20; size <= 13 << 19;
         size += 5 << 19) { /* to what the log just takes */
        OK(vista_resize(segment, size));
        tx = vista_begin_transaction(segment, 0);
        SOME(tx);
        OK(vista_set_range(tx, data, 2 << 20));
        memset(data, (int)(size >> 19), size);
        OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    }
    OK(vista_unmap(segment));
}
END_TEST

/* Pages that the log has no room for leave what it had to what else a transaction does. */
START_TEST(automatic_ranges_that_cannot_grow)
{
    const struct vista_map_options all = {.auto_pages = 1 << 20, .max_size = 24 << 20};
    vista_segment *segment;
    unsigned char *data;
    vista_tx *tx;

    segment = map_automatic(test_path("segment"), 1 << 20, &all);
    FAILS(vista_resize(segment, 24 << 20), ENOSPC, "redo log");
    ck_assert_uint_eq(info_of(segment).pages_left, 256);
    data = vista_base(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    OK(vista_set_range(tx, data, 1 << 19));
    memset(data, 1, 1 << 20);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_unmap(segment));
}
END_TEST

/* Checked ranges take as large a transaction as unchecked ones do. */
START_TEST(checked_ranges_have_room)
{
    const char *path = test_path("segment");
    vista_segment *segment = map(path, 16 << 20, VISTA_NO_HEAP | VISTA_CHECK_RANGES);
    unsigned char *data = vista_base(segment);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    OK(vista_set_range(tx, data + 5, 3 << 20));
    memset(data + 5, 6, 3 << 20);
    for (size_t i = 4 << 20; i < 12 << 20; i += 4096) {
        OK(vista_set_range(tx, data + i, 8));
        data[i] = 7;
    }
    OK(vista_open_pages(tx, data + (12 << 20), 1 << 20));
    memset(data + (12 << 20), 8, 1 << 20);
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_unmap(segment));
    segment = map(path, 0, 0);
    data = vista_base(segment);
    ck_assert_uint_eq(data[4] + data[5] + data[4 + (3 << 20)], 12);
    ck_assert_uint_eq(data[4 << 20] + data[(12 << 20) - 4096], 14);
    ck_assert_uint_eq(data[12 << 20] + data[(13 << 20) - 1], 16);
    OK(vista_unmap(segment));
}
END_TEST

/* A block that its transaction gives up again is nobody's to redo. */
START_TEST(a_block_given_up_is_not_logged)
{
    const char *path = test_path("segment");
    vista_segment *segment = map(path, 8 << 20, 0);
    uint64_t *root = vista_root(segment, 64), used;
    char *block;
    vista_tx *tx;

    SOME(root);
    OK(vista_end_transaction(vista_begin_transaction(segment, 0), 0));
    for (size_t size = 100; size <= 400000; size *= 4000) {
        used = info_of(segment).log_used;
        tx = vista_begin_transaction(segment, 0);
        for (int i = 0; i < 100; i += size == 100 ? 1 : 50) {
            block = vista_malloc(tx, size);
            SOME(block);
            memset(block, 3, size);
            OK(vista_free(tx, block));
        }
        block = vista_malloc(tx, 50);
        OK(vista_set_range(tx, root, 8));
        *root = (uintptr_t)block;
        OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
        ck_assert_uint_lt(info_of(segment).log_used, used + 8192);
    }
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* Once it is applied another transaction may free it, before this one's record is built of what was
 * measured. */
START_TEST(a_block_that_another_frees_is_logged)
{
    vista_segment *segment = map(test_path("segment"), 1 << 20, 0);
    vista_tx *tx = vista_begin_transaction(segment, 0);
    const struct vi_log *log = &((struct vi_tx *)tx)->log;
    const struct vi_record_kind *kind = log->logs->kinds[VI_KIND_ALLOC];
    char *block = vista_malloc(tx, 100);
    const struct vi_item item = log->effects[0];

    SOME(block);
    ck_assert_int_eq(item.kind, VI_KIND_ALLOC);
    ck_assert(!kind->given_up(&item));
    OK(vista_free(tx, block));
    ck_assert(kind->given_up(&item));
    OK(vista_abort_transaction(tx));
    tx = vista_begin_transaction(segment, 0);
    ck_assert_ptr_eq(vista_malloc(tx, 100), block);
    OK(vista_end_transaction(tx, 0));
    tx = vista_begin_transaction(segment, 0);
    OK(vista_free(tx, block));
    ck_assert(!kind->given_up(&item));
    OK(vista_abort_transaction(tx));
    OK(vista_unmap(segment));
}
END_TEST

/* Old bytes of a block that moves are no change: the new block is logged, and nothing else. */
START_TEST(a_block_that_moves_is_logged_once)
{
    const size_t size = 200000;
    vista_segment *segment = map(test_path("segment"), 8 << 20, 0);
    char **root = vista_root(segment, 64), *block;
    vista_tx *tx = vista_begin_transaction(segment, 0);
    uint64_t used;

    SOME(root);
    SOME(tx);
    OK(vista_set_range(tx, root, 8));
    root[0] = vista_malloc(tx, size);
    SOME(root[0]);
    memset(root[0], 3, size);
    SOME(vista_malloc(tx, size)); /* in the way */
    OK(vista_end_transaction(tx, 0));
    used = info_of(segment).log_used;
    tx = vista_begin_transaction(segment, 0);
    block = vista_realloc(tx, root[0], 2 * size);
    SOME(block);
    ck_assert_ptr_ne(block, root[0]);
    OK(vista_set_range(tx, root, 8));
    root[0] = block;
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_ge(info_of(segment).log_used - used, 2 * size);
    ck_assert_uint_lt(info_of(segment).log_used - used, 2 * size + size / 2);
    OK(vista_unmap(segment));
}
END_TEST

/* Of another class, with so many transactions open at once. */
static void use_slots(const char *path, int count)
{
    vista_tx *tx[1300];
    vista_segment *segment;

    OK(vista_init(NULL));
    segment = vista_map(path, 1 << 20, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    SOME(segment);
    for (int i = 0; i < count; i++)
        SOME(tx[i] = vista_begin_transaction(segment, 0));
    for (int i = 0; i < count; i++)
        OK(vista_abort_transaction(tx[i]));
    OK(vista_unmap(segment));
    OK(vista_init(&disk_class));
}

/* What other classes keep behind the redo log stays. */
START_TEST(slots_of_another_class_are_spared)
{
    const struct vista_map_options largest = {.log_size = UINT64_MAX / 2};
    const char *path = test_path("segment");
    vista_segment *segment;
    char *data;

    use_slots(path, 300);
    segment = vista_map(path, 0, 0, &largest);
    SOME(segment);
    data = vista_base(segment);
    for (uint64_t done = 0; done <= info_of(segment).log_size; done += 1 << 19) { /* all of it */
        vista_tx *one = vista_begin_transaction(segment, 0);

        OK(vista_set_range(one, data, 1 << 19));
        memset(data, (int)(done >> 19), 1 << 19);
        OK(vista_end_transaction(one, 0));
    }
    OK(vista_unmap(segment));
    OK(vista_init(NULL));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    ck_assert_uint_eq(info_of(segment).persistence, VISTA_CLASS_KILL);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* Where they leave too little for a log that recovery would take, none is begun. */
START_TEST(slots_of_another_class_leave_no_room)
{
    const uint64_t too_many = 1 << 20;
    struct run run = {.flags = VISTA_NO_HEAP};
    const char *path = run.path;
    vista_segment *segment;
    int fd;

    snprintf(run.path, sizeof run.path, "%s", test_path("segment"));
    use_slots(path, 1050); /* of 20.5 MiB they leave just enough for the least of logs */
    ck_assert_int_eq(test_in_child(run_and_die, &run), 128 + SIGKILL);
    segment = map(path, 0, 0);
    ck_assert_uint_eq(*(uint64_t *)vista_base(segment), 1000);
    OK(vista_unmap(segment));
    use_slots(path, 1100);
    NULLS(vista_map(path, 0, 0, NULL), ENOSPC, "1100 log slots");
    OK(vista_init(NULL)); /* the other class goes on */
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    add(segment, vista_base(segment), 0);
    OK(vista_unmap(segment));
    test_sound(path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, &too_many, sizeof too_many, VI_LOG_OFFSET), sizeof too_many);
    close(fd);
    OK(vista_init(&disk_class));
    NULLS(vista_map(path, 0, 0, NULL), EBADMSG, "damaged: 1048576 log slots");
}
END_TEST

/* ---- A redo log that cannot grow ------------------------------------------ */

static enum { REFUSE_NONE, REFUSE_ZEROS, REFUSE_HEADER } refuses;

/* No space, for zeros of a log that grows or for its header. */
static ssize_t refuse_growth(int fd, const struct iovec *from, int count, uint64_t offset,
                             bool durable)
{
    const struct vi_redo_header *header = from->iov_base;
    const bool is_header = from->iov_len == sizeof *header && header->magic == VI_REDO_MAGIC;

    if ((refuses == REFUSE_ZEROS && !durable && from->iov_len == 1 << 20) ||
        (refuses == REFUSE_HEADER && is_header && header->log_size > 4 << 20))
        return errno = ENOSPC, -1;
    return system_ops->write(fd, from, count, offset, durable);
}

START_TEST(a_log_that_cannot_grow)
{
    struct vi_io_ops ops = *vi_io();
    const char *path = test_path("segment");
    vista_segment *segment;
    char *data;
    vista_tx *tx;

    system_ops = vi_io();
    ops.write = refuse_growth;
    vi_io_test_ops = &ops;
    segment = map(path, 16 << 20, VISTA_NO_HEAP);
    data = vista_base(segment);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    refuses = REFUSE_ZEROS; /* it stays as it is */
    FAILS(vista_set_ranges(tx, (struct iovec[]){{data, 500000}, {data + 500000, 8 << 20}}, 2),
          ENOSPC, "redo log");
    OK(vista_set_range(tx, data, 500000)); /* once, and not beside that of both */
    FAILS(vista_set_range(tx, data, 8 << 20), ENOSPC, "redo log");
    ck_assert_uint_eq(info_of(segment).failed, 0);
    OK(vista_set_range(tx, data, 8));
    data[0] = 1;
    OK(vista_end_transaction(tx, 0));
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    refuses = REFUSE_HEADER; /* which of the two counts is not known */
    FAILS(vista_set_range(tx, data, 8 << 20), ENOSPC, "header");
    refuses = REFUSE_NONE;
    ck_assert_uint_eq(info_of(segment).failed, ENOSPC);
    OK(vista_abort_transaction(tx));
    ck_assert_int_eq(vista_unmap(segment), -1);
    vi_io_test_ops = NULL;
    segment = map(path, 0, 0);
    ck_assert_int_eq(*(char *)vista_base(segment), 1);
    OK(vista_unmap(segment));
}
END_TEST

/* It is resized in its place, as much as it is, and that is refused: nothing of it is lost, the
 * transaction goes on, and what it changes otherwise is committed. */
START_TEST(a_block_that_the_log_has_no_room_for)
{
    const struct vista_map_options small = {.log_size = 4 << 20};
    const size_t size = 2 << 20;
    struct vi_io_ops ops = *vi_io();
    const char *path = test_path("segment");
    vista_segment *segment = map(path, 16 << 20, 0);
    char **root = vista_root(segment, 64), *block;
    vista_tx *tx;

    SOME(root);
    tx = vista_begin_transaction(segment, 0);
    OK(vista_set_range(tx, root, 8));
    root[0] = block = vista_malloc(tx, size);
    SOME(block);
    memset(block, 3, size);
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    system_ops = vi_io();
    ops.write = refuse_growth;
    vi_io_test_ops = &ops;
    segment = vista_map(path, 0, 0, &small); /* it had grown */
    SOME(segment);
    root = vista_root(segment, 0);
    tx = vista_begin_transaction(segment, 0);
    SOME(tx);
    refuses = REFUSE_ZEROS;
    for (int i = 0; i < 2; i++) {
        NULLS(vista_realloc(tx, block, _i == 0 ? size - 100 : size + 100000), ENOSPC, "redo log");
        ck_assert_uint_ge(vista_usable_size(segment, block), size);
    }
    OK(vista_set_range(tx, root + 1, 8));
    root[1] = block;
    OK(vista_set_range(tx, block, 1));
    block[0] = 4;
    OK(vista_end_transaction(tx, 0));
    refuses = REFUSE_NONE;
    OK(vista_unmap(segment));
    vi_io_test_ops = NULL;
    segment = map(path, 0, 0);
    root = vista_root(segment, 0);
    ck_assert_ptr_eq(root[1], block);
    ck_assert_int_eq(block[0], 4);
    for (size_t i = 1; i < size; i++)
        if (block[i] != 3)
            ck_abort_msg("byte %zu is %d", i, block[i]);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("disk class");
    TCase *tcase = test_case(suite, "disk", 20);

    tcase_add_test(tcase, who_gets_it);
    tcase_add_test(tcase, flat_segment_survives_a_kill);
    tcase_add_test(tcase, heap_survives_a_kill);
    tcase_add_test(tcase, killed_at_random);
    tcase_add_test(tcase, power_fails);
    tcase_add_test(tcase, who_is_told_is_told_of_what_is_durable);
    tcase_add_test(tcase, a_block_that_grows_in_its_place);
    tcase_add_test(tcase, classes_by_turns);
    tcase_add_test(tcase, a_copy_made_while_open);
    tcase_add_test(tcase, large_transactions);
    tcase_add_test(tcase, room_is_made_before);
    tcase_add_test(tcase, resizes);
    tcase_add_test(tcase, a_disk_that_fails);
    tcase_add_test(tcase, no_memory_for_a_large_transaction);
    tcase_add_test(tcase, automatic_ranges_on_a_disk_that_fails);
    tcase_add_test(tcase, a_record_that_becomes_longer);
    tcase_add_test(tcase, automatic_ranges_have_room);
    tcase_add_test(tcase, automatic_ranges_beside_declared_ones);
    tcase_add_test(tcase, automatic_ranges_beside_blocks);
    tcase_add_test(tcase, automatic_ranges_and_a_long_declaration);
    tcase_add_test(tcase, automatic_ranges_that_grow);
    tcase_add_test(tcase, automatic_ranges_that_grow_beside_declared_ones);
    tcase_add_test(tcase, automatic_ranges_that_cannot_grow);
    tcase_add_test(tcase, checked_ranges_have_room);
    tcase_add_test(tcase, a_block_given_up_is_not_logged);
    tcase_add_test(tcase, a_block_that_another_frees_is_logged);
    tcase_add_test(tcase, a_block_that_moves_is_logged_once);
    tcase_add_test(tcase, slots_of_another_class_are_spared);
    tcase_add_test(tcase, slots_of_another_class_leave_no_room);
    tcase_add_test(tcase, a_log_that_cannot_grow);
    tcase_add_loop_test(tcase, a_block_that_the_log_has_no_room_for, 0, 2);
    return test_run(suite);
}
