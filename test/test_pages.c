/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of what a transaction has declared: entries of other generations are none, also when
 * the number of a generation comes again.
 */
#include "support.h"

#include "core/pages.h"

#define GENERATIONS ((uint64_t)1 << 28) /* that an entry can tell apart */

static unsigned char data[64 << 10] __attribute__((aligned(4096)));

START_TEST(declared_until_forgotten)
{
    struct vi_pages pages = {0};

    ck_assert(!vi_pages_declared(&pages, data, 5000));
    vi_pages_declare(&pages, data + 100, 9000);
    ck_assert(vi_pages_declared(&pages, data + 100, 9000));
    ck_assert(vi_pages_declared(&pages, data + 4000, 300));
    ck_assert(!vi_pages_declared(&pages, data + 99, 300));
    ck_assert(!vi_pages_declared(&pages, data + 9000, 101));
    vi_pages_clear(&pages);
    ck_assert(!vi_pages_declared(&pages, data + 4000, 300));
    vi_pages_release(&pages);
}
END_TEST

/* As many transactions later as a generation has numbers. */
START_TEST(generations_come_again)
{
    struct vi_pages pages = {0};

    vi_pages_declare(&pages, data, 4096);
    ck_assert(vi_pages_declared(&pages, data, 4096));
    for (uint64_t turn = 0; turn < 3; turn++) {
        const uint64_t first = pages.generation;

        vi_pages_clear(&pages);
        pages.generation = first + (turn + 1) * GENERATIONS - 1;
        vi_pages_declare(&pages, data + 32768, 4096);
        vi_pages_clear(&pages); /* the number that the first range has, if it were cut */
        ck_assert(!vi_pages_declared(&pages, data, 4096));
        vi_pages_declare(&pages, data, 4096);
        ck_assert(vi_pages_declared(&pages, data, 4096)); /* and that it has now is found */
    }
    vi_pages_release(&pages);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("pages");
    TCase *tests = test_case(suite, "pages", 10);

    tcase_add_test(tests, declared_until_forgotten);
    tcase_add_test(tests, generations_come_again);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
