/* SPDX-License-Identifier: BSD-3-Clause
 *
 * base/arena: memory zeroed, on lines of its own, never handed out twice.
 */
#include "base/arena.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/error.h"

#define THREADS 8
#define PER_THREAD 4000 /* pieces of two lines: some twenty blocks in all */

struct piece {
    unsigned char *address;
    size_t size;
};

static bool is_zero(const unsigned char *address, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (address[i] != 0)
            return false;
    return true;
}

START_TEST(sizes)
{
    static const size_t sizes[] = {0,     1,      63,     64,     65,      4096,
                                   65472, 65535,  65536,  65537,  262080,  262144,
                                   1,     262208, 300000, 130000, 3000000, 60000};

    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            unsigned char *address = vi_arena_alloc(sizes[i]);

            ck_assert_ptr_nonnull(address);
            ck_assert_uint_eq((uintptr_t)address % 64, 0);
            ck_assert(is_zero(address, sizes[i]));
            memset(address, 0xa5, sizes[i]);
        }
}
END_TEST

static void *take_pieces(void *arg)
{
    struct piece *pieces = arg;

    for (size_t i = 0; i < PER_THREAD; i++) {
        pieces[i].size = 1 + i * 37 % 143;
        pieces[i].address = vi_arena_alloc(pieces[i].size);
        if (pieces[i].address == NULL || !is_zero(pieces[i].address, pieces[i].size))
            return "bad piece";
        memset(pieces[i].address, 0xa5, pieces[i].size);
    }
    return NULL;
}

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *left = a;
    const struct piece *right = b;

    return (left->address > right->address) - (left->address < right->address);
}

START_TEST(threads_get_distinct_lines)
{
    static struct piece pieces[THREADS * PER_THREAD];
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_pieces, pieces + i * PER_THREAD),
                         0);
    for (size_t i = 0; i < THREADS; i++) {
        void *complaint;

        ck_assert_int_eq(pthread_join(threads[i], &complaint), 0);
        ck_assert_ptr_null(complaint);
    }
    qsort(pieces, THREADS * PER_THREAD, sizeof *pieces, compare_pieces);
    for (size_t i = 1; i < THREADS * PER_THREAD; i++)
        ck_assert_uint_ge((uintptr_t)pieces[i].address / 64,
                          (uintptr_t)(pieces[i - 1].address + pieces[i - 1].size - 1) / 64 + 1);
}
END_TEST

START_TEST(reserves_more_than_there_is)
{
    const size_t size = (size_t)1 << 40;
    unsigned char *address = vi_reserve(size);

    ck_assert_ptr_nonnull(address);
    ck_assert_uint_eq(address[0] + address[size / 2] + address[size - 1], 0);
    address[size - 1] = 1;
    vi_release(address, size);
    vi_release(NULL, 0);
}
END_TEST

START_TEST(too_much_is_refused)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        errno = 0;
        ck_assert_ptr_null(vi_arena_alloc(sizes[i]));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_ptr_null(vi_reserve(sizes[i]));
        ck_assert_ptr_nonnull(strstr(vi_error_message(), "bytes"));
    }
    ck_assert_ptr_nonnull(vi_arena_alloc(64));
}
END_TEST

/* Address sanitizers need the address space that this test takes away. */
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
START_TEST(survives_a_full_address_space)
{
    const struct rlimit none = {0, RLIM_INFINITY};
    const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    int refused = 0;

    ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
    for (int i = 0; i < 100; i++)
        refused += vi_arena_alloc(32768) == NULL;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &all), 0);
    ck_assert_int_ge(refused, 90);
    ck_assert_ptr_nonnull(vi_arena_alloc(32768));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, sizes);
    tcase_add_test(tcase, threads_get_distinct_lines);
    tcase_add_test(tcase, reserves_more_than_there_is);
    tcase_add_test(tcase, too_much_is_refused);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    tcase_add_test(tcase, survives_a_full_address_space);
#endif
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
