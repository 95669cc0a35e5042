/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The disk blocks of a sparse heap: free groups give theirs back, some at a time and all when
 * the segment is unmapped, and what a refused call took goes back, too.
 */
#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define MIB ((size_t)1 << 20)
#define BLOCKS 40

static const char *path;
static vista_segment *segment;

static size_t on_disk(void)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return (size_t)st.st_blocks * 512;
}

static void open_it(unsigned flags, size_t size)
{
    segment = vista_map(path, size, flags, NULL);
    SOME(segment);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    return tx;
}

/* Blocks of 1 MiB, whose addresses are in the root, and a small one behind them. */
static unsigned char **fill(size_t blocks)
{
    unsigned char **root = vista_root(segment, (BLOCKS + 1) * sizeof *root);
    vista_tx *tx = begin();

    SOME(root);
    OK(vista_set_range(tx, root, (BLOCKS + 1) * sizeof *root));
    for (size_t i = 0; i < blocks; i++) {
        root[i] = vista_malloc(tx, MIB);
        SOME(root[i]);
        memset(root[i], (int)i + 1, MIB);
    }
    if (root[BLOCKS] == NULL)
        root[BLOCKS] = vista_malloc(tx, 64);
    SOME(root[BLOCKS]);
    memset(root[BLOCKS], BLOCKS + 1, 64);
    OK(vista_end_transaction(tx, 0));
    return root;
}

static void free_some(unsigned char **root, size_t from, size_t to)
{
    vista_tx *tx = begin();

    OK(vista_set_range(tx, root, (BLOCKS + 1) * sizeof *root));
    for (size_t i = from; i < to; i++) {
        OK(vista_free(tx, root[i]));
        root[i] = NULL;
    }
    OK(vista_end_transaction(tx, 0));
}

static void hold(unsigned char **root)
{
    for (size_t i = 0; i <= BLOCKS; i++)
        for (size_t j = 0; root[i] != NULL && j < (i < BLOCKS ? MIB : 64); j += 61)
            ck_assert_uint_eq(root[i][j], i + 1);
}

START_TEST(freed_blocks_leave_the_disk)
{
    unsigned char **root;
    size_t full, less;

    path = test_path("idle");
    open_it(VISTA_CREATE | VISTA_SPARSE, 64 * MIB);
    root = fill(BLOCKS);
    full = on_disk();
    ck_assert_uint_gt(full, BLOCKS * MIB);
    free_some(root, 3, BLOCKS); /* and some stay for who allocates next */
    less = on_disk();
    ck_assert_uint_lt(less, full - 16 * MIB);
    hold(root);
    OK(vista_unmap(segment));
    ck_assert_uint_lt(on_disk(), 12 * MIB);
    ck_assert_uint_le(on_disk(), less);
    test_sound(path);
    open_it(0, 0); /* what was given back can be had again */
    root = vista_root(segment, 0);
    hold(root);
    free_some(root, 0, 3);
    free_some(root, BLOCKS, BLOCKS + 1);
    root = fill(BLOCKS);
    hold(root);
    ck_assert_uint_gt(on_disk(), BLOCKS * MIB);
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

static void die_freeing(void *unused)
{
    unsigned char **root;
    vista_tx *tx;

    (void)unused;
    segment = vista_map(path, 64 * MIB, VISTA_CREATE | VISTA_SPARSE, NULL);
    REQUIRE(segment != NULL);
    root = fill(BLOCKS);
    free_some(root, 0, BLOCKS / 2);
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(tx != NULL && vista_set_range(tx, root, (BLOCKS + 1) * sizeof *root) == 0);
    for (size_t i = BLOCKS / 2; i < BLOCKS; i++) {
        REQUIRE(vista_free(tx, root[i]) == 0);
        root[i] = NULL;
    }
    raise(SIGKILL);
}

/* Of two transactions that free, the second is open at the death: its blocks are all there. */
START_TEST(killed_while_freeing)
{
    unsigned char **root;

    path = test_path("killed");
    ck_assert_int_eq(test_in_child(die_freeing, NULL), 128 + SIGKILL);
    open_it(0, 0);
    root = vista_root(segment, 0);
    SOME(root);
    for (size_t i = 0; i < BLOCKS; i++)
        ck_assert((root[i] == NULL) == (i < BLOCKS / 2));
    hold(root);
    free_some(root, BLOCKS / 2, BLOCKS);
    OK(vista_unmap(segment));
    ck_assert_uint_lt(on_disk(), 8 * MIB);
    test_sound(path);
}
END_TEST

/* What is watched for stores keeps its blocks until it is unmapped. */
START_TEST(watched_until_unmapped)
{
    unsigned char **root;

    path = test_path("watched");
    open_it(VISTA_CREATE | VISTA_SPARSE | VISTA_AUTO_RANGE, 64 * MIB);
    root = fill(BLOCKS);
    free_some(root, 1, BLOCKS);
    ck_assert_uint_gt(on_disk(), BLOCKS * MIB);
    hold(root);
    root = fill(BLOCKS / 4);
    hold(root);
    OK(vista_unmap(segment));
    ck_assert_uint_lt(on_disk(), BLOCKS / 2 * MIB);
    test_sound(path);
}
END_TEST

/* ---- A full disk ------------------------------------------------------- */

static const char *small_disk(void)
{
    static char there[4096];

    snprintf(there, sizeof there, "%s", test_path("small"));
    if (mkdir(there, 0700) != 0 || mount("none", there, "tmpfs", 0, "size=16m") != 0) {
        test_skip("a disk that is full", "no file system can be mounted here");
        rmdir(there);
        return NULL;
    }
    return there;
}

static void refused_keep_nothing(unsigned flags)
{
    const bool flat = flags & VISTA_NO_HEAP;
    size_t before;
    vista_tx *tx;

    open_it(VISTA_CREATE | VISTA_SPARSE | flags, 128 * MIB);
    if (!flat)
        SOME(vista_root(segment, 64));
    before = on_disk();
    tx = begin();
    if (flat)
        FAILS(vista_set_range(tx, vista_base(segment), 60 * MIB), ENOSPC, path);
    else
        NULLS(vista_malloc(tx, 60 * MIB), ENOSPC, path);
    ck_assert_uint_lt(on_disk(), before + MIB);
    OK(vista_abort_transaction(tx));
    OK(vista_unmap(segment));
    ck_assert_uint_lt(on_disk(), before + MIB);
    test_sound(path);
    unlink(path);
}

START_TEST(refused_calls_keep_no_disk)
{
    const char *disk = small_disk();
    char there[4200];

    if (disk == NULL)
        return;
    snprintf(there, sizeof there, "%s/sparse", disk);
    path = there;
    refused_keep_nothing(0);
    refused_keep_nothing(VISTA_NO_HEAP);
    umount(disk);
    rmdir(disk);
}
END_TEST

/* Only holes are given back after a refusal: data of an earlier mapping stays. */
START_TEST(refused_calls_keep_data)
{
    const char *disk = small_disk();
    unsigned char *base;
    char there[4200];
    vista_tx *tx;

    if (disk == NULL)
        return;
    snprintf(there, sizeof there, "%s/data", disk);
    path = there;
    open_it(VISTA_CREATE | VISTA_SPARSE | VISTA_NO_HEAP, 32 * MIB);
    base = vista_base(segment);
    tx = begin();
    OK(vista_set_range(tx, base + 3 * MIB, 4096));
    memset(base + 3 * MIB, 7, 4096);
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    open_it(0, 0);
    base = vista_base(segment);
    tx = begin();
    for (size_t at = 0; at < 32 * MIB; at += 5 * MIB) /* each crosses groups, until it is full */
        if (vista_set_range(tx, base + at, 4 * MIB) != 0)
            break;
    ck_assert_int_eq(errno, ENOSPC);
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(base[3 * MIB], 7);
    ck_assert_uint_eq(base[3 * MIB + 4095], 7);
    OK(vista_unmap(segment));
    test_sound(path);
    unlink(path);
    umount(disk);
    rmdir(disk);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("idle");
    TCase *tests = test_case(suite, "given back", 30);

    tcase_add_test(tests, freed_blocks_leave_the_disk);
    tcase_add_test(tests, killed_while_freeing);
    tcase_add_test(tests, watched_until_unmapped);
    tests = test_case(suite, "full disk", 30);
    tcase_add_test(tests, refused_calls_keep_no_disk);
    tcase_add_test(tests, refused_calls_keep_data);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
