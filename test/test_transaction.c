/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions on flat memory: begin, ranges, commit, abort, recovery after the
 * process died, against a model that is nothing but a copy of the bytes.
 *
 * Scenarios: each length from 0 to past the inlined ones, declared with a length
 * that the compiler knows and one that it does not; ranges that overlap, repeat,
 * touch and lie at any alignment; batches refused half-way; logs that grow by one
 * chunk and by many; payloads that look like records; many transactions open at
 * once that end in any order; the process dying with any of them open.
 */
#include "support.h"

#include <stdlib.h>

#define SIZE (1u << 20)

static vista_segment *segment;
static unsigned char *base;
static const char *path;
static unsigned char model[SIZE];

static void open_class(unsigned class)
{
    const bool made = path == NULL;

    if (made)
        path = test_path("transaction");
    OK(vista_init(&(struct vista_options){.force_class = class}));
    segment = vista_map(path, made ? SIZE : 0, made ? VISTA_CREATE | VISTA_NO_HEAP : 0, NULL);
    SOME(segment);
    base = vista_base(segment);
}

static void set_up(void)
{
    path = NULL;
    memset(model, 0, sizeof model);
    open_class(VISTA_CLASS_KILL);
}

static void tear_down(void)
{
    OK(vista_unmap(segment));
    test_sound(path);
}

static void reopen(void)
{
    OK(vista_unmap(segment));
    open_class(VISTA_CLASS_KILL);
}

static void expect_model(void)
{
    if (memcmp(base, model, SIZE) == 0)
        return;
    for (size_t i = 0; i < SIZE; i++)
        ck_assert_msg(base[i] == model[i], "byte %zu is %02x, should be %02x", i, base[i],
                      model[i]);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    return tx;
}

static void fill(size_t from, size_t length, struct test_random *random)
{
    for (size_t i = 0; i < length; i++)
        base[from + i] = (unsigned char)test_next(random);
}

/* ---- One transaction --------------------------------------------------- */

/* Declares with a length known to the compiler: the inlined path. */
#define INLINED(n) \
    case n: \
        return vista_set_range(tx, address, n);

static int set_known(vista_tx *tx, void *address, size_t length)
{
    switch (length) {
        INLINED(1)
        INLINED(2)
        INLINED(3)
        INLINED(4)
        INLINED(7)
        INLINED(8)
        INLINED(9)
        INLINED(15)
        INLINED(16)
        INLINED(17)
        INLINED(31)
        INLINED(32)
        INLINED(33)
        INLINED(50)
        INLINED(64)
        INLINED(100)
        INLINED(127)
        INLINED(128)
        INLINED(200)
        INLINED(255)
        INLINED(256)
        INLINED(257)
        INLINED(300)
        INLINED(4096)
    default:
        return vista_set_range(tx, address, length);
    }
}

START_TEST(every_length)
{
    struct test_random random = test_random_new(1);

    for (size_t length = 0; length <= 300; length++)
        for (int commit = 0; commit < 2; commit++) {
            const size_t at = test_below(&random, SIZE - length + 1);
            vista_tx *tx = begin();

            OK(set_known(tx, base + at, length));
            fill(at, length, &random);
            if (commit) {
                memcpy(model + at, base + at, length);
                OK(vista_end_transaction(tx, 0));
            } else {
                OK(vista_abort_transaction(tx));
            }
            ck_assert_mem_eq(base + at, model + at, length);
        }
    expect_model();
    reopen();
    expect_model();
}
END_TEST

START_TEST(ends_of_the_data)
{
    vista_tx *tx = begin();

    OK(vista_set_range(tx, base, 8));
    OK(vista_set_range(tx, base + SIZE - 8, 8));
    OK(vista_set_range(tx, base + SIZE, 0));
    OK(vista_set_range(tx, base, 0));
    OK(vista_set_range(tx, base, SIZE));
    memset(base, 0xee, SIZE);
    OK(vista_abort_transaction(tx));
    expect_model();
}
END_TEST

START_TEST(overlapping_ranges)
{
    vista_tx *tx = begin();

    for (int i = 0; i < 50; i++) {
        OK(vista_set_range(tx, base + 1000 + 3 * (size_t)i, 100));
        memset(base + 1000 + 3 * (size_t)i, i + 1, 100);
        OK(vista_set_range(tx, base + 1000, 300));
        base[1000 + (size_t)i] = 0xff;
    }
    OK(vista_abort_transaction(tx));
    expect_model();
    tx = begin();
    OK(vista_set_range(tx, base + 10, 20));
    memset(base + 10, 1, 20);
    OK(vista_set_range(tx, base, 64));
    memset(base, 2, 64);
    OK(vista_set_range(tx, base + 10, 20));
    memset(base + 15, 3, 5);
    OK(vista_end_transaction(tx, 0));
    memset(model, 2, 64);
    memset(model + 15, 3, 5);
    expect_model();
}
END_TEST

/* A large range again and again needs no more log. */
START_TEST(repeated_ranges)
{
    struct vista_info before, after;
    vista_tx *tx = begin();

    OK(vista_set_range(tx, base + 4096, 256 * 1024));
    OK(vista_info(segment, &before));
    for (int i = 0; i < 1000; i++)
        OK(vista_set_range(tx, base + 4096 + 64 * (size_t)i, 256 + 16 * (size_t)i));
    OK(vista_info(segment, &after));
    ck_assert_uint_eq(after.log_bytes, before.log_bytes);
    memset(base + 4096, 1, 256 * 1024);
    OK(vista_abort_transaction(tx));
    expect_model();
}
END_TEST

START_TEST(modes)
{
    vista_tx *tx = vista_begin_transaction(segment, VISTA_NO_RESTORE);

    SOME(tx);
    OK(vista_set_range(tx, base, 8));
    base[0] = model[0] = 5;
    FAILS(vista_abort_transaction(tx), EINVAL, "RESTORE");
    OK(vista_set_range(tx, base + 8, 8)); /* it is still open */
    base[8] = model[8] = 6;
    OK(vista_end_transaction(tx, VISTA_NO_FLUSH));
    OK(vista_flush(segment));
    expect_model();
    NULLS(vista_begin_transaction(segment, VISTA_NO_FLUSH), EINVAL, "mode");
    NULLS(vista_begin_transaction(segment, 0x80000000u), EINVAL, "mode");
    tx = begin();
    FAILS(vista_end_transaction(tx, VISTA_NO_RESTORE), EINVAL, "mode");
    OK(vista_set_range(tx, base, 8));
    base[0] = 9;
    OK(vista_abort_transaction(tx));
    expect_model();
}
END_TEST

START_TEST(empty_transactions)
{
    struct vista_info info;

    for (int i = 0; i < 1000; i++) {
        vista_tx *tx = begin();

        OK(i % 2 ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx));
    }
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.open_transactions, 0);
    expect_model();
}
END_TEST

/* ---- Several ranges at once -------------------------------------------- */

START_TEST(batches)
{
    struct test_random random = test_random_new(2);
    struct iovec ranges[64];

    for (int round = 0; round < 200; round++) {
        const int count = (int)test_below(&random, 65);
        vista_tx *tx = begin();

        for (int i = 0; i < count; i++) {
            ranges[i].iov_len = test_below(&random, round % 10 == 0 ? 5000 : 200);
            ranges[i].iov_base = base + test_below(&random, SIZE - ranges[i].iov_len + 1);
        }
        OK(vista_set_ranges(tx, ranges, count));
        for (int i = 0; i < count; i++)
            fill((size_t)((unsigned char *)ranges[i].iov_base - base), ranges[i].iov_len, &random);
        if (round % 2 == 0) {
            OK(vista_end_transaction(tx, 0));
            for (int i = 0; i < count; i++)
                memcpy(model + ((unsigned char *)ranges[i].iov_base - base), ranges[i].iov_base,
                       ranges[i].iov_len);
        } else {
            OK(vista_abort_transaction(tx));
        }
        ck_assert_int_eq(memcmp(base, model, SIZE), 0);
    }
}
END_TEST

/* Nothing of a refused batch is declared: what it named may belong to another. */
START_TEST(batch_refused_half_way)
{
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++) {
        OK(vista_unmap(segment));
        open_class(class);
        vista_tx *tx = begin();
        struct iovec ranges[3] = {{base, 16}, {base + 4096, 3000}, {base + SIZE - 8, 9}};

        OK(vista_set_range(tx, base + 100, 8));
        base[100] = 1;
        FAILS(vista_set_ranges(tx, ranges, 3), EINVAL, "range");
        FAILS(vista_set_ranges(tx, ranges, -1), EINVAL, "-1");
        FAILS(vista_set_ranges(tx, NULL, 1), EINVAL, "");
        OK(vista_set_ranges(tx, NULL, 0));
        OK(vista_set_ranges(tx, ranges, 0));

        /* Another transaction takes the first range, commits, and this one aborts. */
        vista_tx *other = begin();

        OK(vista_set_range(other, base, 16));
        memset(base, (int)class, 16);
        memset(model, (int)class, 16);
        OK(vista_end_transaction(other, 0));
        OK(vista_abort_transaction(tx));
        expect_model();
    }
}
END_TEST

static int declare_seven(vista_tx *tx, char *const at[7])
{
    const struct iovec ranges[] = {{at[0], 8}, {at[1], 8},   {at[2], 1}, {at[3], 255},
                                   {at[4], 7}, {at[5], 256}, {at[6], 16}};

    return vista_set_ranges(tx, ranges, 7);
}

/* The inlined batch: bounds of each range, the end of the log, handles that ended. */
START_TEST(inlined_batch)
{
    static const size_t lengths[] = {8, 8, 1, 255, 7, 256, 16};
    char *const data = (char *)base;
    char *at[7];
    vista_tx *tx = begin();

    for (int i = 0; i < 7; i++)
        at[i] = data + SIZE - lengths[i];
    OK(declare_seven(tx, at));
    for (int i = 0; i < 7; i++)
        at[i] = data + 1000 * i;
    for (int i = 0; i < 7; i++) {
        char *const outside[] = {data - 1, data + SIZE - lengths[i] + 1, data + SIZE, NULL,
                                 (char *)UINTPTR_MAX - lengths[i] / 2};
        char *const good = at[i];

        for (size_t j = 0; j < sizeof outside / sizeof outside[0]; j++) {
            at[i] = outside[j];
            FAILS(declare_seven(tx, at), EINVAL, "range");
        }
        at[i] = good;
    }
    for (int round = 0; round < 200; round++) { /* 120 KB of log */
        OK(declare_seven(tx, at));
        for (int i = 0; i < 7; i++)
            memset(at[i], round, lengths[i]);
    }
    OK(vista_abort_transaction(tx));
    expect_model();
    FAILS(declare_seven(tx, at), EINVAL, "ended");
    FAILS(declare_seven(NULL, at), EINVAL, "NULL");
}
END_TEST

/* ---- Logs that grow ---------------------------------------------------- */

START_TEST(logs_grow)
{
    struct test_random random = test_random_new(3);
    struct vista_info info;

    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_EADR; class ++) {
        OK(vista_unmap(segment));
        open_class(class);
        for (size_t length = 1000; length < SIZE; length = length * 5 / 2)
            for (int commit = 0; commit < 2; commit++) {
                vista_tx *tx = begin();

                OK(vista_set_range(tx, base, length));
                fill(0, length, &random);
                for (int i = 0; i < 100; i++) { /* small ones behind the large one */
                    const size_t at = test_below(&random, SIZE - 100);

                    OK(vista_set_range(tx, base + at, 100));
                    fill(at, 100, &random);
                }
                OK(vista_info(segment, &info));
                ck_assert_uint_ge(info.log_bytes, length);
                if (commit) {
                    memcpy(model, base, SIZE);
                    OK(vista_end_transaction(tx, 0));
                } else {
                    OK(vista_abort_transaction(tx));
                }
                expect_model();
            }
    }
}
END_TEST

/* Chunks move from one transaction to another when the segment is mapped anew. */
START_TEST(chunks_are_shared_out)
{
    struct test_random random = test_random_new(4);
    vista_tx *open[8];

    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < 8; i++) {
            open[i] = begin();
            OK(vista_set_range(open[i], base + i * (SIZE / 8), SIZE / 8));
            fill(i * (SIZE / 8), SIZE / 8, &random);
        }
        for (size_t i = 0; i < 8; i++)
            if (test_below(&random, 2)) {
                memcpy(model + i * (SIZE / 8), base + i * (SIZE / 8), SIZE / 8);
                OK(vista_end_transaction(open[i], 0));
            } else {
                OK(vista_abort_transaction(open[i]));
            }
        expect_model();
        reopen();
        expect_model();
    }
}
END_TEST

/* ---- Death with transactions open -------------------------------------- */

static void (*die_doing)(void);

static void die(void *argument)
{
    (void)argument;
    segment = vista_map(path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    base = vista_base(segment);
    die_doing();
    _exit(0);
}

/* Runs `doing` in a child that leaves the segment as it is, and maps it anew. */
static void recover_from(void (*doing)(void), unsigned class, uint64_t rolled_back)
{
    struct vista_info info;

    OK(vista_unmap(segment));
    die_doing = doing;
    OK(vista_init(&(struct vista_options){.force_class = class}));
    ck_assert_int_eq(test_in_child(die, NULL), 0);
    test_sound(path);
    open_class(VISTA_CLASS_KILL);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.rolled_back, rolled_back);
    ck_assert_uint_eq(info.open_transactions, 0);
    expect_model();
}

static void leave_seven(void)
{
    for (size_t i = 0; i < 7; i++) {
        vista_tx *tx = vista_begin_transaction(segment, i == 3 ? VISTA_NO_RESTORE : 0);

        REQUIRE(tx != NULL);
        REQUIRE(vista_set_range(tx, base + i * 1000, 900) == 0);
        memset(base + i * 1000, 0xdd, 900);
        REQUIRE(vista_set_range(tx, base + i * 1000 + 899, 101) == 0);
        memset(base + i * 1000 + 850, 0xcc, 150);
    }
}

static void leave_large(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    for (size_t i = 0; i < SIZE; i += SIZE / 16) {
        REQUIRE(vista_set_range(tx, base + i, SIZE / 16) == 0);
        memset(base + i, 0xbb, SIZE / 16);
    }
}

static void leave_nothing(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    REQUIRE(vista_begin_transaction(segment, 0) != NULL);
    REQUIRE(vista_set_range(tx, base, 0) == 0);
}

static void leave_after_ended(void)
{
    for (size_t i = 0; i < 20; i++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        REQUIRE(vista_set_range(tx, base + 3000, 300 + 200 * i) == 0);
        if (i % 3 == 0) {
            memset(base + 3000, 0xaa, 300 + 200 * i);
            REQUIRE(vista_abort_transaction(tx) == 0);
        } else {
            memset(base + 3000, 0, 300 + 200 * i);
            REQUIRE(vista_end_transaction(tx, 0) == 0);
        }
    }
    vista_tx *tx = vista_begin_transaction(segment, 0);
    REQUIRE(vista_set_range(tx, base + 3000, 8) == 0);
    memset(base + 3000, 0x99, 8);
}

/* A log of more than the 4 MiB that a slot keeps. */
static void fill_log(vista_tx *tx, size_t area)
{
    for (size_t i = 0; i < 20000; i++)
        REQUIRE(vista_set_range(tx, base + area + i % 1000, 255) == 0);
    memset(base + area, 0x88, 1200);
}

/* Chunks go from the first slot to the second, old records in them; then the first
 * grows anew. */
static void leave_moved_chunks(void)
{
    vista_tx *one = vista_begin_transaction(segment, 0);
    vista_tx *two = vista_begin_transaction(segment, 0);

    fill_log(one, 100000);
    REQUIRE(vista_abort_transaction(one) == 0);
    fill_log(two, 200000);
    one = vista_begin_transaction(segment, 0);
    REQUIRE(vista_set_range(one, base + 300000, 8) == 0);
    base[300000] ^= 1;
    fill_log(one, 400000);
    REQUIRE(vista_abort_transaction(two) == 0);
    two = vista_begin_transaction(segment, 0);
    REQUIRE(vista_set_range(two, base + 200000, 1200) == 0);
    memset(base + 200000, 0x66, 1200);
}

START_TEST(recovery)
{
    struct test_random random = test_random_new(5);

    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_EADR; class ++) {
        vista_tx *tx = begin();

        OK(vista_set_range(tx, base, SIZE));
        fill(0, SIZE, &random);
        memset(base + 3000, 0, 6000);
        memcpy(model, base, SIZE);
        OK(vista_end_transaction(tx, 0));
        recover_from(leave_seven, class, 7);
        recover_from(leave_large, class, 1);
        recover_from(leave_nothing, class, 0);
        recover_from(leave_after_ended, class, 1);
        recover_from(leave_moved_chunks, class, 2);
    }
}
END_TEST

#define FALSE_RECORD 40 /* the head of one, whatever the class, and some of its payload */

/* Fills memory with copies of a record of the transaction `of`, which has just begun
 * and declared one range far away, as if they were of the one with `stamp`. */
static void write_false_records(unsigned char *at, size_t length, const vista_tx *of,
                                uint64_t stamp)
{
    uint64_t record[FALSE_RECORD / 8];

    memcpy(record, (const void *)of->first, sizeof record);
    REQUIRE((record[0] ^ *of->word) < VISTA_INLINE_STAMP_STEP); /* but for the record's form */
    record[0] += stamp - *of->word;
    for (size_t i = 0; i + 8 <= length; i += 8)
        memcpy(at + i, &record[0], 8);
    for (size_t i = 0; i + sizeof record <= length; i += sizeof record)
        memcpy(at + i, record, sizeof record);
}

static size_t false_length, false_ranges;
static unsigned char *shared_model; /* in memory that a child shares with its parent */

/* The log's bytes past the open transaction's records are old payload, made of
 * records that would count if they were looked at. */
static void leave_false_records(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    /* Its own stamp in its own payload, and the next one's. */
    REQUIRE(vista_set_range(tx, base + 512 * 1024, 64) == 0);
    REQUIRE(vista_set_range(tx, base, 8192) == 0);
    write_false_records(base, 4096, tx, *tx->word + VISTA_INLINE_STAMP_STEP);
    write_false_records(base + 4096, 4096, tx, *tx->word);
    for (size_t i = 0; i < 32; i++)
        REQUIRE(set_known(tx, base + 255 * i, 255) == 0);
    memset(base, 0, 8192);
    REQUIRE(vista_end_transaction(tx, 0) == 0);
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(vista_set_range(tx, base + 512 * 1024, 64) == 0);
    write_false_records(base + 16384, 2048, tx, *tx->word); /* undeclared so far */
    memcpy(shared_model, base + 16384, 2048);
    for (size_t i = 0; i < false_ranges; i++) {
        REQUIRE(set_known(tx, base + 16384 + 8 * i, false_length) == 0);
        base[16384 + 8 * i] ^= 0x5a;
    }
}

START_TEST(payload_that_looks_like_records)
{
    static const size_t lengths[] = {1, 8, 16, 32, 33, 64, 100, 200, 256, 300};

    shared_model = test_share(SIZE);
    for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_LINE; class ++)
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            for (false_ranges = 0; false_ranges < 9; false_ranges++) {
                struct vista_info info;

                false_length = lengths[i];
                OK(vista_unmap(segment));
                die_doing = leave_false_records;
                OK(vista_init(&(struct vista_options){.force_class = class}));
                ck_assert_int_eq(test_in_child(die, NULL), 0);
                open_class(VISTA_CLASS_KILL);
                OK(vista_info(segment, &info));
                ck_assert_uint_eq(info.rolled_back, 1);
                memcpy(model + 16384, shared_model, 2048);
                expect_model();
            }
}
END_TEST

/* ---- Many at once, against the model ----------------------------------- */

#define OPEN 16

/* Transaction i has the bytes from i * (SIZE / OPEN) on to itself. */
static void step_one(vista_tx **tx, size_t i, struct test_random *random)
{
    const size_t area = i * (SIZE / OPEN);
    const uint64_t choice = test_below(random, 16);

    if (*tx == NULL) {
        *tx = begin();
    } else if (choice == 0) {
        memcpy(model + area, base + area, SIZE / OPEN);
        OK(vista_end_transaction(*tx, test_below(random, 2) ? VISTA_NO_FLUSH : 0));
        *tx = NULL;
    } else if (choice == 1) {
        OK(vista_abort_transaction(*tx));
        ck_assert_int_eq(memcmp(model + area, base + area, SIZE / OPEN), 0);
        *tx = NULL;
    } else {
        const size_t length = test_below(random, choice == 2 ? SIZE / OPEN : 300);
        const size_t at = area + test_below(random, SIZE / OPEN - length + 1);

        OK(set_known(*tx, base + at, length));
        fill(at, length, random);
    }
}

static struct test_random die_random;

static void die_in_the_middle(void)
{
    vista_tx *open[OPEN] = {NULL};

    memcpy(model, base, SIZE);
    for (int i = 0; i < 300; i++) {
        const size_t which = test_below(&die_random, OPEN);

        step_one(&open[which], which, &die_random);
    }
}

START_TEST(random_transactions)
{
    struct test_random random = test_random_new(100 + (uint64_t)_i);
    vista_tx *open[OPEN] = {NULL};
    const unsigned class = VISTA_CLASS_KILL + (unsigned)_i % 3;

    OK(vista_unmap(segment));
    open_class(class);
    for (unsigned round = 0; round < test_times(20); round++) {
        for (int i = 0; i < 2000; i++) {
            const size_t which = test_below(&random, OPEN);

            step_one(&open[which], which, &random);
        }
        for (size_t i = 0; i < OPEN; i++)
            if (open[i] != NULL)
                OK(vista_abort_transaction(open[i]));
        memset(open, 0, sizeof open);
        expect_model();
        OK(vista_unmap(segment));
        open_class(class);
        expect_model();
    }
}
END_TEST

static void die_with_model(void)
{
    die_in_the_middle();
    memcpy(shared_model, model, SIZE);
}

START_TEST(random_deaths)
{
    shared_model = test_share(SIZE);
    for (unsigned round = 0; round < test_times(60); round++) {
        OK(vista_unmap(segment));
        die_random = test_random_new(1000 + round);
        die_doing = die_with_model;
        OK(vista_init(&(struct vista_options){.force_class = VISTA_CLASS_KILL + round % 3}));
        ck_assert_int_eq(test_in_child(die, NULL), 0);
        test_sound(path);
        memcpy(model, shared_model, SIZE);
        open_class(VISTA_CLASS_KILL);
        expect_model();
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("transaction");
    TCase *tests = test_case(suite, "one", 20);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_length);
    tcase_add_test(tests, ends_of_the_data);
    tcase_add_test(tests, overlapping_ranges);
    tcase_add_test(tests, repeated_ranges);
    tcase_add_test(tests, modes);
    tcase_add_test(tests, empty_transactions);
    tests = test_case(suite, "batches", 20);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, batches);
    tcase_add_test(tests, batch_refused_half_way);
    tcase_add_test(tests, inlined_batch);
    tests = test_case(suite, "growth", 20);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, logs_grow);
    tcase_add_test(tests, chunks_are_shared_out);
    tests = test_case(suite, "recovery", 30);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, recovery);
    tcase_add_test(tests, payload_that_looks_like_records);
    tests = test_case(suite, "random", 30);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, random_transactions, 0, 3);
    tcase_add_test(tests, random_deaths);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
