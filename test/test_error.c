/* SPDX-License-Identifier: BSD-3-Clause
 *
 * base/error: errno and the message of each thread.
 */
#include "base/error.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(starts_empty)
{
    ck_assert_str_eq(vi_error_message(), "");
}
END_TEST

START_TEST(sets_errno_and_message)
{
    errno = 0;
    ck_assert_int_eq(vi_fail(EBADMSG, "%s: slot %d", "bank.vista", 7), -1);
    ck_assert_int_eq(errno, EBADMSG);
    ck_assert_str_eq(vi_error_message(), "bank.vista: slot 7");
}
END_TEST

START_TEST(adds_what_the_system_says)
{
    ck_assert_int_eq(vi_fail_system(ENOENT, "%s", "bank.vista"), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(vi_error_message(), "bank.vista: No such file or directory");
    vi_fail_system(99999, "odd");
    ck_assert_int_eq(errno, 99999);
    ck_assert_str_eq(vi_error_message(), "odd: Unknown error 99999");
}
END_TEST

START_TEST(takes_the_old_message_as_an_argument)
{
    vi_fail(EINVAL, "inner");
    vi_fail(EBADMSG, "outer: %s", vi_error_message());
    ck_assert_str_eq(vi_error_message(), "outer: inner");
}
END_TEST

/* Of every length around the buffer's, the beginning is kept and ended. */
START_TEST(cuts_long_messages)
{
    char text[700];

    for (size_t length = 480; length < sizeof text; length++) {
        size_t kept;

        memset(text, 'x', length);
        text[length] = '\0';
        vi_fail_system(ENOSPC, "%s", text);
        kept = strlen(vi_error_message());
        ck_assert_uint_lt(kept, 512);
        ck_assert_uint_ge(kept, length < 511 ? length : 511);
        ck_assert_int_eq(memcmp(vi_error_message(), text, length < 511 ? length : 511), 0);
    }
}
END_TEST

static void *fail_elsewhere(void *message)
{
    vi_fail(EIO, "another thread");
    *(char **)message = strdup(vi_error_message());
    return NULL;
}

START_TEST(belongs_to_the_thread)
{
    char *other = NULL;
    pthread_t thread;

    vi_fail(EINVAL, "this thread");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, &other), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(other, "another thread");
    ck_assert_str_eq(vi_error_message(), "this thread");
    ck_assert_int_eq(errno, EINVAL);
    free(other);
}
END_TEST

/* More threads at once than there are buffers before memory is asked for; and again, with those
 * that they have given back. */
#define THREADS 40
static pthread_barrier_t barrier;

static void *fail_together(void *number)
{
    char expected[32];

    snprintf(expected, sizeof expected, "thread %d", *(int *)number);
    if (*vi_error_message() != '\0')
        return number;
    vi_fail(EIO, "%s", expected);
    pthread_barrier_wait(&barrier);
    return strcmp(vi_error_message(), expected) == 0 ? NULL : number;
}

START_TEST(belongs_to_each_of_many_threads)
{
    pthread_t thread[THREADS];
    int number[THREADS];

    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, THREADS), 0);
        for (int i = 0; i < THREADS; i++) {
            number[i] = i;
            ck_assert_int_eq(pthread_create(&thread[i], NULL, fail_together, &number[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            void *wrong = NULL;

            ck_assert_int_eq(pthread_join(thread[i], &wrong), 0);
            ck_assert_ptr_eq(wrong, NULL);
        }
        pthread_barrier_destroy(&barrier);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tcase = tcase_create("error");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, starts_empty);
    tcase_add_test(tcase, sets_errno_and_message);
    tcase_add_test(tcase, adds_what_the_system_says);
    tcase_add_test(tcase, takes_the_old_message_as_an_argument);
    tcase_add_test(tcase, cuts_long_messages);
    tcase_add_test(tcase, belongs_to_the_thread);
    tcase_add_test(tcase, belongs_to_each_of_many_threads);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
