/* SPDX-License-Identifier: BSD-3-Clause
 *
 * base/crc32c: the vectors of RFC 3720 B.4, and both ways of computing it against
 * the definition, bit by bit.  The source is included to reach both.
 */
#include "../libvista/base/crc32c.c"

#include <check.h>

/* Long enough for every mixture of whole words and odd bytes at either end. */
#define LONGEST 96
#define ALIGNMENTS 16

typedef uint32_t (*crc_fn)(uint32_t crc, const unsigned char *data, size_t length);

static uint32_t by_definition(uint32_t crc, const unsigned char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return crc;
}

static void check_vectors(crc_fn crc)
{
    unsigned char data[32];

    memset(data, 0, sizeof data);
    ck_assert_uint_eq(~crc(~0u, data, sizeof data), 0x8a9136aa);
    memset(data, 0xff, sizeof data);
    ck_assert_uint_eq(~crc(~0u, data, sizeof data), 0x62a8ab43);
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)i;
    ck_assert_uint_eq(~crc(~0u, data, sizeof data), 0x46dd794e);
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(31 - i);
    ck_assert_uint_eq(~crc(~0u, data, sizeof data), 0x113fdb5c);
}

static void fill(unsigned char *data, size_t length)
{
    uint32_t number = 1;

    for (size_t i = 0; i < length; i++) {
        number = number * 1664525 + 1013904223;
        data[i] = (unsigned char)(number >> 24);
    }
}

static void check_lengths(crc_fn crc)
{
    _Alignas(64) unsigned char data[ALIGNMENTS + LONGEST];

    fill(data, sizeof data);
    for (size_t at = 0; at < ALIGNMENTS; at++)
        for (size_t length = 0; length <= LONGEST; length++)
            ck_assert_uint_eq(crc(~0u, data + at, length), by_definition(~0u, data + at, length));
}

START_TEST(table)
{
    check_vectors(by_table);
    check_lengths(by_table);
}
END_TEST

START_TEST(instruction)
{
    if (!__builtin_cpu_supports("sse4.2"))
        return;
    check_vectors(by_instruction);
    check_lengths(by_instruction);
}
END_TEST

/* So long that runs are computed side by side. */
START_TEST(runs)
{
    static unsigned char data[4 * 3 * RUN];

    if (!__builtin_cpu_supports("sse4.2"))
        return;
    fill(data, sizeof data);
    for (size_t length = 3 * RUN - 9; length <= sizeof data; length += 7)
        ck_assert_uint_eq(by_instruction(~5u, data + length % 8, length - length % 8),
                          by_table(~5u, data + length % 8, length - length % 8));
}
END_TEST

START_TEST(continues)
{
    unsigned char data[LONGEST];
    uint32_t whole;

    ck_assert_uint_eq(vi_crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(vi_crc32c(0, NULL, 0), 0);
    fill(data, sizeof data);
    whole = vi_crc32c(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++)
        ck_assert_uint_eq(vi_crc32c(vi_crc32c(0, data, cut), data + cut, sizeof data - cut), whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crc32c");
    TCase *tcase = tcase_create("crc32c");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, table);
    tcase_add_test(tcase, instruction);
    tcase_add_test(tcase, runs);
    tcase_add_test(tcase, continues);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
