/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Small calls: which segment an address or a transaction is of, allocation in another segment of
 * a group, what is said after a vista_map that failed, counts of commits and aborts, the version.
 */
#include "support.h"

#include <pthread.h>

#define MIB ((size_t)1 << 20)

static vista_segment *home, *member, *alone;
static const char *alone_path;

static void set_up(void)
{
    struct vista_map_options options = {0};

    home = vista_map(test_path("home"), MIB, VISTA_CREATE, NULL);
    SOME(home);
    options.log = home;
    member = vista_map(test_path("member"), MIB, VISTA_CREATE, &options);
    SOME(member);
    alone_path = test_path("alone");
    alone = vista_map(alone_path, MIB, VISTA_CREATE, NULL);
    SOME(alone);
}

static void tear_down(void)
{
    OK(vista_unmap(alone));
    OK(vista_unmap(member));
    OK(vista_unmap(home));
}

START_TEST(segment_of_an_address)
{
    vista_segment *const segments[] = {home, member, alone};
    char *base = NULL;
    int local;

    for (size_t i = 0; i < 3; i++) {
        base = vista_base(segments[i]);
        ck_assert_ptr_eq(vista_segment_of(base), segments[i]);
        ck_assert_ptr_eq(vista_segment_of(base + MIB - 1), segments[i]);
        NULLS(vista_segment_of(base + MIB), EINVAL, "in no mapped segment");
    }
    NULLS(vista_segment_of(&local), EINVAL, "in no mapped segment");
    NULLS(vista_segment_of(NULL), EINVAL, "in no mapped segment");
    OK(vista_unmap(alone));
    NULLS(vista_segment_of(base), EINVAL, "in no mapped segment");
    alone = vista_map(test_path("alone-2"), MIB, VISTA_CREATE, NULL);
    SOME(alone);
}
END_TEST

START_TEST(segment_of_a_transaction)
{
    vista_tx *tx = vista_begin_transaction(member, 0);

    ck_assert_ptr_eq(vista_transaction_segment(tx), home);
    OK(vista_end_transaction(tx, 0));
    NULLS(vista_transaction_segment(tx), EINVAL, "");
    NULLS(vista_transaction_segment(NULL), EINVAL, "");
    tx = vista_begin_transaction(alone, 0);
    ck_assert_ptr_eq(vista_transaction_segment(tx), alone);
    OK(vista_abort_transaction(tx));
}
END_TEST

START_TEST(allocation_in_a_member)
{
    vista_tx *tx = vista_begin_transaction(home, 0);
    unsigned char *block = vista_calloc_in(tx, member, 30, 100), *moved;
    void *other = vista_malloc(tx, 100);

    SOME(block);
    SOME(other);
    ck_assert_ptr_eq(vista_segment_of(block), member);
    for (size_t i = 0; i < 3000; i++)
        ck_assert_uint_eq(block[i], 0);
    memset(block, 7, 3000);
    moved = vista_realloc_in(tx, member, block, 50000);
    SOME(moved);
    ck_assert_ptr_eq(vista_segment_of(moved), member);
    ck_assert_uint_eq(moved[2999], 7);
    moved = vista_realloc_in(tx, member, NULL, 200);
    SOME(moved);
    ck_assert_ptr_eq(vista_segment_of(moved), member);
    NULLS(vista_realloc_in(tx, member, other, 200), EINVAL, "is not in it");
    NULLS(vista_realloc_in(tx, alone, NULL, 200), EINVAL, "does not share the log");
    NULLS(vista_calloc_in(tx, alone, 1, 200), EINVAL, "does not share the log");
    NULLS(vista_calloc_in(tx, member, SIZE_MAX, 2), ENOMEM, "overflows");
    NULLS(vista_calloc_in(NULL, member, 1, 2), EINVAL, "");
    OK(vista_end_transaction(tx, 0));
}
END_TEST

/* Programs that check only what they use last see what went wrong first. */
START_TEST(what_a_failed_map_said_stays)
{
    vista_segment *none = vista_map("/nowhere/at/all", 0, 0, NULL);
    vista_tx *tx = vista_begin_transaction(none, 0);

    ck_assert_ptr_eq(none, NULL);
    ck_assert_ptr_eq(tx, NULL);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert(test_says("/nowhere/at/all"));
    ck_assert_ptr_eq(vista_root(none, 10), NULL);
    ck_assert(test_says("/nowhere/at/all"));
    ck_assert_int_eq(vista_set_range(tx, &tx, sizeof tx), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert(test_says("/nowhere/at/all"));
    ck_assert_int_eq(vista_unmap(none), -1);
    ck_assert(test_says("/nowhere/at/all"));
    NULLS(vista_segment_of(NULL), EINVAL, "in no mapped segment"); /* another failure */
    FAILS(vista_unmap(NULL), EINVAL, "the handle is NULL");
}
END_TEST

/* ---- Counts of commits and aborts ---------------------------------------- */

#define COUNTED 1000

/* Commits and aborts by turns, of one word of the root. */
static void *commit_and_abort(void *word)
{
    for (int i = 0; i < COUNTED; i++) {
        vista_tx *tx = vista_begin_transaction(alone, 0);

        if (tx == NULL || vista_set_range(tx, word, sizeof(uint64_t)) != 0)
            return NULL;
        *(uint64_t *)word = (uint64_t)i;
        if ((i % 4 == 0 ? vista_abort_transaction(tx) : vista_end_transaction(tx, 0)) != 0)
            return NULL;
    }
    return word;
}

static struct vista_info info_of(const vista_segment *segment)
{
    struct vista_info info;

    OK(vista_info(segment, &info));
    return info;
}

/* Exact when no one is at it, and never more than have begun. */
START_TEST(commits_and_aborts)
{
    uint64_t *words = vista_root(alone, 2 * 64);
    const uint64_t before = info_of(alone).commits;
    struct vista_info info;
    pthread_t threads[2];
    void *result;

    SOME(words);
    ck_assert_uint_eq(before, 1); /* the library's own, which has made the root */
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, commit_and_abort, words + 8 * i), 0);
    do {
        info = info_of(alone);
        ck_assert_uint_le(info.aborts, 2 * COUNTED / 4);
        ck_assert_uint_le(info.commits,
                          before + 2 * COUNTED); /* an abort's step before its count */
    } while (info.commits < COUNTED);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &result);
        SOME(result);
    }
    info = info_of(alone);
    ck_assert_uint_eq(info.commits, before + 2 * COUNTED * 3 / 4);
    ck_assert_uint_eq(info.aborts, 2 * COUNTED / 4);
    ck_assert_uint_eq(info_of(home).commits, info_of(member).commits); /* of one log */
    OK(vista_unmap(alone));
    alone = vista_map(alone_path, 0, 0, NULL);
    SOME(alone);
    ck_assert_uint_eq(info_of(alone).commits, 0);
    ck_assert_uint_eq(info_of(alone).aborts, 0);
}
END_TEST

START_TEST(version)
{
    ck_assert_uint_ge(vista_version(), VISTA_VERSION_NUMBER);
    ck_assert_uint_eq(vista_version() / 1000000, VISTA_VERSION_MAJOR);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("interface");
    TCase *tests = test_case(suite, "calls", 5);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, segment_of_an_address);
    tcase_add_test(tests, segment_of_a_transaction);
    tcase_add_test(tests, allocation_in_a_member);
    tcase_add_test(tests, what_a_failed_map_said_stays);
    tcase_add_test(tests, commits_and_aborts);
    tcase_add_test(tests, version);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
