/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista_resize and VISTA_GROW: what fits, who is in the way, what is kept, refused system
 * calls, and a kill at any moment.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "refuse_calls.h"
#include "support.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define SIZE MIB
#define MAX (16 * MIB)

static const struct vista_map_options options = {.max_size = MAX};
static const char *path;
static vista_segment *segment;

static void create(unsigned flags)
{
    path = test_path("resize");
    segment = vista_map(path, SIZE, VISTA_CREATE | flags, &options);
    SOME(segment);
}

static void map_again(unsigned flags)
{
    OK(vista_unmap(segment));
    test_sound(path);
    segment = vista_map(path, 0, flags, NULL);
    SOME(segment);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    return tx;
}

static struct stat file(void)
{
    struct stat st;

    OK(stat(path, &st));
    return st;
}

static uint64_t file_length(size_t size)
{
    return test_superblock(path, test_superblock_current(path)).data_offset + size;
}

/* ---- Sizes ------------------------------------------------------------- */

START_TEST(sizes)
{
    create(_i == 0 ? 0 : VISTA_NO_HEAP);
    FAILS(vista_resize(segment, 0), EINVAL, "up to");
    FAILS(vista_resize(segment, MAX + 1), EINVAL, "up to 16777216");
    FAILS(vista_resize(segment, SIZE_MAX), EINVAL, "up to");
    FAILS(vista_resize(NULL, MIB), EINVAL, "NULL");
    OK(vista_resize(segment, SIZE));
    ck_assert_uint_eq(vista_size(segment), SIZE);
    OK(vista_resize(segment, SIZE + 1));
    ck_assert_uint_eq(vista_size(segment), SIZE + 4096);
    ck_assert_uint_eq((uint64_t)file().st_size, file_length(SIZE + 4096));
    OK(vista_resize(segment, MAX));
    ck_assert_uint_eq(vista_size(segment), MAX);
    map_again(0);
    ck_assert_uint_eq(vista_size(segment), MAX);
    OK(vista_resize(segment, 1));
    ck_assert_uint_eq(vista_size(segment), _i == 0 ? 64 * KIB : 4 * KIB);
    ck_assert_uint_eq((uint64_t)file().st_size, file_length(vista_size(segment)));
    OK(vista_resize(segment, MAX));
    map_again(VISTA_READ_ONLY);
    FAILS(vista_resize(segment, MIB), EROFS, "read-only");
    OK(vista_unmap(segment));
    FAILS(vista_resize(segment, MIB), EINVAL, "not mapped");
}
END_TEST

/* ---- Growing ----------------------------------------------------------- */

/* Handles made before and after know of it; what was open goes on. */
START_TEST(grow_while_open)
{
    static const char *const classes[] = {"kill", "line", "eadr"};

    setenv("VISTA_CLASS", classes[_i], 1);
    create(VISTA_NO_HEAP);

    unsigned char *base = vista_base(segment);
    vista_tx *tx = begin(), *other;

    OK(vista_set_range(tx, base, 8));
    base[0] = 1;
    FAILS(vista_set_range(tx, base + SIZE, 8), EINVAL, "range");
    OK(vista_resize(segment, 4 * MIB));
    OK(vista_set_range(tx, base + SIZE - 4, 8));
    OK(vista_set_range(tx, base + 4 * MIB - 8, 8));
    FAILS(vista_set_range(tx, base + 4 * MIB - 7, 8), EINVAL, "range");
    memset(base + SIZE - 4, 2, 8);
    base[4 * MIB - 1] = 3;
    other = begin();
    OK(vista_set_range(other, base + 2 * MIB, 8));
    base[2 * MIB] = 4;
    OK(vista_end_transaction(other, 0));
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[0] + base[SIZE - 4] + base[SIZE + 3] + base[4 * MIB - 1], 0);
    ck_assert_uint_eq(base[2 * MIB], 4);
    map_again(0);
    ck_assert_uint_eq(((unsigned char *)vista_base(segment))[2 * MIB], 4);
    OK(vista_unmap(segment));
}
END_TEST

/* What it grows by has no disk blocks yet, though others of its group have. */
START_TEST(grown_sparse_is_backed)
{
    const size_t flat = 64 * KIB; /* the group of a segment without a heap */
    uint64_t before;
    vista_tx *tx;

    create(_i == 0 ? VISTA_NO_HEAP | VISTA_SPARSE : VISTA_SPARSE);
    tx = begin();
    OK(vista_set_range(tx, vista_base(segment), 8));
    for (size_t size = SIZE; size <= 4 * MIB; size += MIB / 2) {
        before = (uint64_t)file().st_blocks;
        OK(vista_resize(segment, size));
        OK(vista_set_range(tx, (char *)vista_base(segment) + size - 8, 8));
        if (size != SIZE)
            ck_assert_uint_ge((uint64_t)file().st_blocks * 512,
                              before * 512 + (_i == 0 ? flat : MIB / 2));
    }
    OK(vista_end_transaction(tx, 0));
    OK(vista_resize(segment, SIZE));
    OK(vista_resize(segment, 2 * MIB));
    before = (uint64_t)file().st_blocks;
    tx = begin();
    OK(vista_set_range(tx, (char *)vista_base(segment) + 2 * MIB - 8, 8));
    ck_assert_uint_ge((uint64_t)file().st_blocks * 512, before * 512 + (_i == 0 ? flat : MIB));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
}
END_TEST

static atomic_bool stop;

/* Commits and aborts near the end as it is, until told to stop. */
static void *work(void *argument)
{
    const size_t id = (size_t)(uintptr_t)argument;
    unsigned char *base = vista_base(segment);
    uint64_t count = 0;

    while (!atomic_load(&stop)) {
        const size_t at = vista_size(segment) - 4096 + 64 * id;
        vista_tx *tx = vista_begin_transaction(segment, 0);
        void *block = vista_malloc(tx, 40);

        if (tx == NULL || block == NULL || vista_set_range(tx, base + 512 * id, 8) != 0 ||
            vista_free(tx, block) != 0)
            return "a call failed";
        memcpy(base + 512 * id, &at, sizeof at);
        if ((count++ % 3 == 0 ? vista_abort_transaction(tx) : vista_end_transaction(tx, 0)) != 0)
            return "the end failed";
    }
    return NULL;
}

START_TEST(grow_beside_threads)
{
    pthread_t threads[2];
    void *failure;

    create(0);
    SOME(vista_root(segment, 8192));
    atomic_store(&stop, false);
    for (size_t i = 0; i < 2; i++)
        OK(pthread_create(&threads[i], NULL, work, (void *)i));
    for (size_t size = SIZE; size <= MAX; size += 64 * KIB) {
        OK(vista_resize(segment, size));
        test_sleep_us(200);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        OK(pthread_join(threads[i], &failure));
        ck_assert_msg(failure == NULL, "%s: %s", (const char *)failure, vista_errormsg());
    }
    map_again(0);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Shrinking --------------------------------------------------------- */

static atomic_bool grown;

/* Uses the end of the data, as large as the library says that it is. */
static void *use_end(void *segment)
{
    uint64_t sum = 0;

    while (!grown) {
        unsigned char *data = vista_base(segment);
        const size_t size = vista_size(segment);

        sum += data[size - 1];
        __atomic_fetch_or(&data[size - 1], 0, __ATOMIC_RELAXED);
    }
    return sum == 0 ? NULL : segment;
}

/* A size is told when what it covers can be used, not before. */
START_TEST(size_is_told_last)
{
    const struct vista_map_options options = {.max_size = (size_t)4000 << 12};
    vista_segment *segment =
        vista_map(test_path("told"), 1 << 12, VISTA_CREATE | VISTA_NO_HEAP, &options);
    pthread_t thread;
    void *wrong;

    SOME(segment);
    OK(pthread_create(&thread, NULL, use_end, segment));
    for (unsigned pages = 2; pages <= test_times(1000); pages++)
        OK(vista_resize(segment, (size_t)pages << 12));
    grown = true;
    OK(pthread_join(thread, &wrong));
    ck_assert_ptr_null(wrong);
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(shrink_keeps_blocks)
{
    char *blocks[200];
    vista_tx *tx;
    uint64_t blocks_before;

    create(_i == 0 ? 0 : VISTA_SPARSE);
    OK(vista_resize(segment, MAX));
    tx = begin();
    for (size_t i = 0; i < 200; i++) {
        const size_t size = i % 4 == 3 ? 60 * KIB : 100 * (i + 1);

        blocks[i] = vista_malloc(tx, size);
        SOME(blocks[i]);
        memset(blocks[i], (int)i, size);
    }
    FAILS(vista_resize(segment, MIB), EBUSY, "transactions are open: 1");
    OK(vista_end_transaction(tx, 0));
    FAILS(vista_resize(segment, MIB), EBUSY, "there is a block at");
    ck_assert_uint_eq(vista_size(segment), MAX);
    blocks_before = (uint64_t)file().st_blocks;

    /* All but the first few go. */
    tx = begin();
    for (size_t i = 3; i < 200; i++)
        OK(vista_free(tx, blocks[i]));
    OK(vista_end_transaction(tx, 0));
    OK(vista_resize(segment, MIB));
    ck_assert_uint_lt((uint64_t)file().st_blocks, blocks_before);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(blocks[i][100 * i + 99], (int)i);
    tx = begin();
    NULLS(vista_malloc(tx, 2 * MIB), ENOMEM, "no room");
    OK(vista_end_transaction(tx, 0));
    map_again(0);
    OK(vista_resize(segment, MAX));
    tx = begin();
    SOME(vista_malloc(tx, 14 * MIB));
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(blocks[i][100 * i + 99], (int)i);
        OK(vista_free(tx, blocks[i]));
    }
    OK(vista_end_transaction(tx, 0));
    map_again(0);
    OK(vista_unmap(segment));
}
END_TEST

/* What was cut off is gone, not hidden. */
START_TEST(shrunk_and_grown_is_zero)
{
    unsigned char *base;
    vista_tx *tx;

    create(VISTA_NO_HEAP);
    base = vista_base(segment);
    memset(base, 7, SIZE);
    OK(vista_end_transaction(begin(), 0)); /* this thread has a handle */
    OK(vista_resize(segment, 8 * KIB));
    tx = begin();
    FAILS(vista_set_range(tx, base + 8 * KIB - 4, 8), EINVAL, "range");
    OK(vista_end_transaction(tx, 0));
    OK(vista_resize(segment, SIZE));
    ck_assert_uint_eq(base[8 * KIB - 1], 7);
    for (size_t i = 8 * KIB; i < SIZE; i++)
        ck_assert_uint_eq(base[i], 0);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- A heap that grows ------------------------------------------------- */

START_TEST(heap_grows)
{
    size_t count = 0, sizes = 0, last = SIZE;
    vista_tx *tx;

    create(VISTA_GROW | (_i == 0 ? 0 : VISTA_SPARSE));
    tx = begin();
    SOME(vista_malloc(tx, 5 * MIB));
    ck_assert_uint_ge(vista_size(segment), 6 * MIB);
    while (vista_malloc(tx, 1000) != NULL) {
        count++;
        sizes += vista_size(segment) != last;
        last = vista_size(segment);
    }
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_uint_eq(last, MAX);
    ck_assert_uint_gt(count, 9 * KIB);
    ck_assert_uint_gt(sizes, 3);
    OK(vista_abort_transaction(tx));
    map_again(0);
    ck_assert_uint_eq(vista_size(segment), MAX);
    OK(vista_resize(segment, SIZE));
    tx = begin(); /* not without the flag */
    NULLS(vista_malloc(tx, 2 * MIB), ENOMEM, "no room");
    OK(vista_end_transaction(tx, 0));
    map_again(VISTA_GROW);
    SOME(vista_root(segment, 3 * MIB));
    OK(vista_unmap(segment));
    NULLS(vista_map(path, 0, VISTA_GROW | VISTA_READ_ONLY, NULL), EINVAL, "cannot grow");
}
END_TEST

/* By the last pages, too, which are fewer than a new heap has. */
START_TEST(heap_grows_to_its_end)
{
    const struct vista_map_options options = {.max_size = 68 * KIB};
    vista_tx *tx;

    segment = vista_map(test_path("end"), 64 * KIB, VISTA_CREATE | VISTA_GROW, &options);
    SOME(segment);
    tx = begin();
    for (int i = 0; i < 17; i++)
        SOME(vista_malloc(tx, 4096));
    NULLS(vista_malloc(tx, 0), ENOMEM, "no room");
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(vista_size(segment), 68 * KIB);
    OK(vista_unmap(segment));
}
END_TEST

/* The disk space of the heap's metadata, too, when it shrinks or could not grow. */
START_TEST(disk_space_is_given_back)
{
    const struct vista_map_options options = {.max_size = 512 * MIB};
    const int64_t some = 64 * KIB / 512; /* for the file system's own lists */
    int64_t before;

    path = _i == 0 ? test_path("space") : test_disk_path("space");
    segment = vista_map(path, SIZE, VISTA_CREATE, &options);
    SOME(segment);
    before = file().st_blocks;
    disk_room = 64 * MIB;
    FAILS(vista_resize(segment, 200 * MIB), ENOSPC, "cannot allocate 20");
    disk_room = INT64_MAX;
    ck_assert_int_le(file().st_blocks, before + some);
    OK(vista_resize(segment, 32 * MIB));
    ck_assert_int_gt(file().st_blocks, before + 31 * (int64_t)(MIB / 512));
    OK(vista_resize(segment, SIZE));
    ck_assert_int_le(file().st_blocks, before + some);
    OK(vista_resize(segment, 32 * MIB)); /* and it is there again */
    ck_assert_int_gt(file().st_blocks, before + 33 * (int64_t)(MIB / 512) - (int64_t)SIZE / 512);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* ---- Faults ------------------------------------------------------------ */

/* Each call of the system refused in turn: as it was, and then it works. */
START_TEST(refused_calls)
{
    unsigned refused = 0;

    create(_i == 0 ? 0 : VISTA_NO_HEAP | VISTA_SPARSE);
    memset(vista_base(segment), 5, 4096);
    for (unsigned after = 0;; after++) {
        const struct stat before = file();
        const size_t size = vista_size(segment);

        fault_reset();
        fault_set(CALL_ALL & ~CALL_THREAD, after, 1, 0);
        errno = 0;
        if (vista_resize(segment, after % 2 == 0 ? 3 * MIB + after * 4096 : SIZE) == 0 &&
            fault_hits() == 0)
            break;
        if (vista_size(segment) == size) {
            ck_assert_int_ne(errno, 0);
            ck_assert_str_ne(vista_errormsg(), "");
            ck_assert_uint_ge((uint64_t)file().st_size, (uint64_t)before.st_size);
            ck_assert_uint_eq(test_superblock(path, test_superblock_current(path)).size, size);
            refused++;
        }
        fault_clear();
        ck_assert_uint_eq(*(unsigned char *)vista_base(segment), 5);
        OK(vista_resize(segment, 2 * MIB));
    }
    fault_clear();
    ck_assert_uint_gt(refused, 3);
    map_again(0);
    OK(vista_unmap(segment));
}
END_TEST

/* Sizes back and forth, blocks above and below, for ever. */
static void resize_on(void *argument)
{
    uint64_t *root;

    (void)argument;
    segment = vista_map(path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    root = vista_root(segment, 4096);
    REQUIRE(root != NULL);
    for (;;) {
        vista_tx *tx;
        void *block;

        REQUIRE(vista_resize(segment, 8 * MIB) == 0);
        tx = vista_begin_transaction(segment, 0);
        block = vista_malloc(tx, 5 * MIB);
        REQUIRE(block != NULL && vista_set_range(tx, root, 16) == 0);
        root[0]++;
        root[1] = ~root[0];
        REQUIRE(vista_free(tx, block) == 0);
        REQUIRE(vista_end_transaction(tx, 0) == 0);
        REQUIRE(vista_resize(segment, SIZE) == 0);
    }
}

START_TEST(killed)
{
    static const char *const classes[] = {"kill", "line"};
    struct test_random random = test_random_new((uint64_t)_i);
    unsigned large = 0;
    const unsigned times = test_times(100);
    uint64_t last = 0, most = 12000;

    setenv("VISTA_CLASS", classes[_i], 1);
    create(0);
    SOME(vista_root(segment, 4096));
    OK(vista_unmap(segment));
    /* Later where the machine is too busy for a child to get anywhere. */
    for (unsigned i = 0; i < times || last == 0; i++) {
        const pid_t child = test_fork(resize_on, NULL);
        const uint64_t *root;

        test_sleep_us(2000 + test_below(&random, most));
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
        test_sound(path);
        segment = vista_map(path, 0, 0, NULL);
        SOME(segment);
        ck_assert(vista_size(segment) == SIZE || vista_size(segment) == 8 * MIB);
        large += vista_size(segment) != SIZE;
        root = vista_root(segment, 0);
        SOME(root);
        ck_assert_uint_ge(root[0], last);
        most = root[0] != last ? 12000 : most * 5 / 4;
        ck_assert(root[1] == ~root[0] || root[0] == 0);
        last = root[0];
        OK(vista_resize(segment, SIZE));
        OK(vista_unmap(segment));
        ck_assert_uint_eq((uint64_t)file().st_size, file_length(SIZE));
    }
    printf("%u kills left the larger size, after %llu rounds\n", large, (unsigned long long)last);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("resize");
    TCase *tests = test_case(suite, "resize", 60);

    tcase_add_loop_test(tests, sizes, 0, 2);
    tcase_add_loop_test(tests, grow_while_open, 0, 3);
    tcase_add_loop_test(tests, grown_sparse_is_backed, 0, 2);
    tcase_add_test(tests, grow_beside_threads);
    tcase_add_test(tests, size_is_told_last);
    tcase_add_loop_test(tests, shrink_keeps_blocks, 0, 2);
    tcase_add_test(tests, shrunk_and_grown_is_zero);
    tcase_add_loop_test(tests, disk_space_is_given_back, 0, 2);
    tcase_add_test(tests, heap_grows_to_its_end);
    tcase_add_loop_test(tests, heap_grows, 0, 2);
    tcase_add_loop_test(tests, refused_calls, 0, 2);
    tcase_add_loop_test(tests, killed, 0, 2);
    return test_run(suite);
}
