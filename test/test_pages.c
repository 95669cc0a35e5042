/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The dirty set of a transaction.
 *
 * Scenarios: what is declared is known until it is forgotten; random ranges, noted and flushed,
 * of few pages and of more than the table has room for at first, against a map of all lines: each
 * is flushed once; the same table again and again.
 */
#include "support.h"

#include "core/pages.h"

#define PAGES 2000u
#define LINES (PAGES * VI_PAGE / VI_LINE)

static unsigned char data[PAGES * VI_PAGE] __attribute__((aligned(4096)));
static unsigned char flushed[LINES], expected[LINES];

static void count_flushes(const void *address, size_t length)
{
    const uintptr_t first = ((uintptr_t)address - (uintptr_t)data) / VI_LINE;

    ck_assert_uint_ne(length, 0);
    ck_assert_uint_eq((uintptr_t)address % VI_LINE + length % VI_LINE, 0);
    for (size_t i = 0; i < length / VI_LINE; i++)
        flushed[first + i]++;
}

static const struct vi_persist persist = {.ops.flush = count_flushes, .flushes = true};

START_TEST(declared_until_forgotten)
{
    struct vi_pages pages = {0};

    for (int turn = 0; turn < 3; turn++) {
        ck_assert(!vi_pages_declared(&pages, data, 5000));
        vi_pages_declare(&pages, data + 100, 9000);
        ck_assert(vi_pages_declared(&pages, data + 100, 9000));
        ck_assert(vi_pages_declared(&pages, data + 4000, 300));
        ck_assert(!vi_pages_declared(&pages, data + 99, 300));
        ck_assert(!vi_pages_declared(&pages, data + 9000, 101));
        vi_pages_declare(&pages, data + 40000, 96); /* shorter: what the page has stays */
        vi_pages_declare(&pages, data + 36864, 500);
        ck_assert(vi_pages_declared(&pages, data + 36864, 500));
        vi_pages_clear(&pages);
        ck_assert(!vi_pages_declared(&pages, data + 4000, 300));
    }
    vi_pages_release(&pages);
}
END_TEST

/* A range in the first `limit` pages; its lines are expected. */
static struct iovec any_range(struct test_random *random, unsigned limit)
{
    const size_t length =
        test_below(random, 4) == 0 ? test_below(random, 3 * VI_PAGE) : test_below(random, 300);
    const size_t at = test_below(random, limit * VI_PAGE - length);

    for (size_t i = at / VI_LINE; length != 0 && i <= (at + length - 1) / VI_LINE; i++)
        expected[i] = 1;
    return (struct iovec){data + at, length};
}

static void transaction(struct vi_pages *pages, struct test_random *random, unsigned limit)
{
    struct iovec ranges[8];

    memset(flushed, 0, sizeof flushed);
    memset(expected, 0, sizeof expected);
    for (uint64_t calls = test_below(random, limit); calls > 0; calls--) {
        const int count = (int)test_below(random, 9);

        for (int i = 0; i < count; i++)
            ranges[i] = any_range(random, limit);
        vi_pages_note(pages, ranges, count);
    }
    ck_assert(vi_pages_flush_noted(pages, &persist));
    for (uint64_t more = test_below(random, limit); more > 0; more--) {
        ranges[0] = any_range(random, limit);
        vi_pages_flush(pages, &persist, ranges[0].iov_base, ranges[0].iov_len);
    }
    ck_assert_mem_eq(flushed, expected, sizeof flushed);
    vi_pages_clear(pages);
}

START_TEST(each_line_once)
{
    static const unsigned limits[] = {3, 30, PAGES};
    struct test_random random = test_random_new((uint64_t)_i);
    struct vi_pages pages = {0};

    for (unsigned i = test_times(_i == 2 ? 20 : 200); i > 0; i--)
        transaction(&pages, &random, limits[_i]);
    vi_pages_release(&pages);
}
END_TEST

START_TEST(lost_until_forgotten)
{
    struct vi_pages pages = {0};

    pages.lost = true;
    ck_assert(!vi_pages_flush_noted(&pages, &persist));
    vi_pages_clear(&pages);
    ck_assert(vi_pages_flush_noted(&pages, &persist));
    vi_pages_release(&pages);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("pages");
    TCase *tests = test_case(suite, "pages", 10);

    tcase_add_test(tests, declared_until_forgotten);
    tcase_add_loop_test(tests, each_line_once, 0, 3);
    tcase_add_test(tests, lost_until_forgotten);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
