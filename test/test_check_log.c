/* SPDX-License-Identifier: BSD-3-Clause
 *
 * check/: transactions in the log, made by hand and left by the library; anything wrong.
 */
#include <stdlib.h>

#include "check_image.h"

/* Appends to slot 2, which is then not idle. */
static void append(unsigned kind, uint64_t offset, uint32_t length, const void *payload,
                   size_t payload_size)
{
    uint64_t *record = (uint64_t *)(image.meta + image.next);

    record[0] = image.stamp;
    record[1] = (uint64_t)kind << VI_KIND_SHIFT | length;
    record[2] = image.superblock.mapped + offset;
    if (payload_size != 0)
        memcpy(record + 3, payload, payload_size);
    image.last = image.next;
    image.next += 3 * sizeof *record + (payload_size + 7) / 8 * 8;
}

static void finish_slot(void)
{
    *word_at(slot_at(2)) |= VI_STAMP_FINISHING;
}

/* ---- Tests: records ---------------------------------------------------- */

/* Of a block: its span's distance in units behind it, its number. */
static uint32_t named(uint32_t units, uint32_t block)
{
    return units << 16 | block;
}

static void append_heap_records(void)
{
    const struct vi_root roots[2] = {{ROOT_OFFSET, 16}, {ROOT_OFFSET, 16}};

    append(VI_KIND_ALLOC, 64, named(0, 4), NULL, 0);
    append(VI_KIND_CANCEL, 64, named(0, 4), NULL, 0);
    append(VI_KIND_FREE, 32, named(0, 2), NULL, 0);
    append(VI_KIND_ALLOC, 4 * VI_UNIT - 16, named(3, 1023), NULL, 0);
    append(VI_KIND_ALLOC, COARSE_UNIT * VI_UNIT, 0, NULL, 0);
    append(VI_KIND_FREE, COARSE_UNIT * VI_UNIT + 7 * 8192, named(14, 7), NULL, 0);
    append(VI_KIND_ALLOC, LARGE_UNIT * VI_UNIT, 0, NULL, 0);
    append(VI_KIND_CANCEL, LARGE_UNIT * VI_UNIT, 0, NULL, 0);
    append(VI_KIND_FREE, LARGE_UNIT * VI_UNIT, 0, NULL, 0);
    append(VI_KIND_ROOT, 0, 0, roots, sizeof roots);
}

START_TEST(test_good_records)
{
    append(VI_KIND_UNDO, 0, 13, "before-images", 13);
    append(VI_KIND_UNDO, UNITS * VI_UNIT - 8, 8, "the last", 8);
    append_heap_records();
    expect_damage("slot 2 holds a transaction, but the segment is marked clean");
    make_unclean();
    expect_sound("0 log records: transactions to roll back: 1, committed ones to finish: 0");
    finish_slot();
    expect_sound("0 log records: transactions to roll back: 0, committed ones to finish: 1");
}
END_TEST

/* What was to be freed may be free already, but only behind the commit point. */
START_TEST(test_finishing)
{
    append(VI_KIND_FREE, 32, named(0, 2), NULL, 0);
    append(VI_KIND_FREE, LARGE_UNIT * VI_UNIT, 0, NULL, 0);
    make_unclean();
    *word_at(marks_at(SMALL_UNIT)) = 0x01000101;
    *word_at(marks_at(LARGE_UNIT)) = 0;
    expect_damage("a record of kind 3 (free) for data offset 32");
    ck_assert_ptr_ne(strstr(said.text, "a record of kind 3 (free) for data offset 81920"), NULL);
    finish_slot();
    expect_sound("committed ones to finish: 1");
}
END_TEST

START_TEST(test_finishing_nothing)
{
    finish_slot();
    make_unclean();
    expect_damage("slot 2 is committed with work to finish, but has no record of it");
}
END_TEST

static const struct {
    uint64_t offset;
    uint32_t length;
    uint8_t kind;
} bad_records[] = {
    {.kind = VI_KIND_UNDO, .offset = UNITS * VI_UNIT}, /* an empty range is not logged */
    {.kind = VI_KIND_UNDO, .offset = UNITS * VI_UNIT + 1},
    {.kind = VI_KIND_UNDO, .offset = UNITS * VI_UNIT - 7, .length = 8},
    {.kind = VI_KIND_UNDO, .offset = ~(uint64_t)0 - 3, .length = 8},
    {.kind = VI_KIND_UNDO, .offset = 0, .length = VI_SLOT_SIZE}, /* past the slot's end */
    {.kind = VI_KINDS},
    {.kind = 0x7f},
    {.kind = VI_KIND_ALLOC, .offset = 8},
    {.kind = VI_KIND_ALLOC, .offset = COARSE_UNIT * VI_UNIT + VI_UNIT},
    {.kind = VI_KIND_ALLOC, .offset = FREE_UNIT * VI_UNIT},
    {.kind = VI_KIND_ALLOC, .offset = UNITS * VI_UNIT},
    {.kind = VI_KIND_ALLOC, .offset = ~(uint64_t)0},
    {.kind = VI_KIND_CANCEL, .offset = 1},
    {.kind = VI_KIND_ALLOC, .offset = 64, .length = 5},
    {.kind = VI_KIND_ALLOC, .offset = VI_UNIT, .length = 256},
    {.kind = VI_KIND_ALLOC, .offset = 4 * VI_UNIT, .length = 4 << 16 | 1024},
    {.kind = VI_KIND_FREE, .offset = 64, .length = 4},
    {.kind = VI_KIND_ALLOC, .offset = FREE_UNIT * VI_UNIT, .length = 10 << 16},
    {.kind = VI_KIND_ALLOC, .offset = LARGE_UNIT * VI_UNIT + 16},
    {.kind = VI_KIND_FREE, .offset = LARGE_UNIT * VI_UNIT, .length = 1},
    {.kind = VI_KIND_FREE, .offset = (LARGE_UNIT + 1) * VI_UNIT, .length = 1 << 16},
    {.kind = VI_KIND_FREE, .offset = ~(uint64_t)0 / VI_UNIT * VI_UNIT, .length = 0xffffffff},
};

START_TEST(test_bad_record)
{
    const bool too_long = bad_records[_i].length == VI_SLOT_SIZE;
    char part[64];

    append(VI_KIND_UNDO, 100, 4, "good", 4);
    append(bad_records[_i].kind, bad_records[_i].offset, bad_records[_i].length, NULL, 0);
    make_unclean();
    snprintf(part, sizeof part, "a record of kind %u (",
             too_long ? VI_KINDS : bad_records[_i].kind);
    expect_damage(part);
}
END_TEST

/* The chain goes on in chunks, and past the record with another's stamp nothing counts. */
START_TEST(test_records_in_chunks)
{
    static const unsigned char payload[VI_SLOT_SIZE];

    image.next = slot_at(1) + sizeof(struct vi_slot_header);
    image.stamp = *word_at(slot_at(1));
    append(VI_KIND_UNDO, 0, 16000, payload, 16000);
    image.next = chunk_at(0) + sizeof(struct vi_chunk_header);
    append(VI_KIND_UNDO, 0, 16000, payload, 16000);
    append(99, 0, 0, NULL, 0);
    make_unclean();
    expect_damage("slot 1, file offset 21");
    *word_at(image.last) += VISTA_INLINE_STAMP_STEP;
    expect_sound("transactions to roll back: 1");
}
END_TEST

/* While a change of the root is undone or finished, the record says what it is. */
START_TEST(test_pending_root)
{
    const struct vi_root roots[2] = {{ROOT_OFFSET, 16}, {FREE_UNIT * VI_UNIT, 5000}};

    append(VI_KIND_ALLOC, FREE_UNIT * VI_UNIT, 0, NULL, 0);
    *word_at(descriptor_at(FREE_UNIT)) = VI_SPAN(VI_SPAN_LARGE, 2, 0);
    append(VI_KIND_ROOT, 0, 0, roots, sizeof roots);
    append(VI_KIND_FREE, ROOT_OFFSET, named(0, 3), NULL, 0);
    make_unclean();
    *(struct vi_root *)(image.meta + image.superblock.heap_offset) = roots[1];
    expect_sound("0 root: 16 bytes at data offset 48");
    *word_at(marks_at(FREE_UNIT)) = 1;
    expect_sound("0 root: 16 bytes at data offset 48");
    finish_slot();
    *word_at(marks_at(SMALL_UNIT)) = 0x00010101;
    expect_sound("0 root: 5000 bytes at data offset");
    *word_at(marks_at(FREE_UNIT)) = 0;
    expect_damage("2 root: ");
}
END_TEST

/* Also one that no transaction's end will look at: recovery refuses it. */
START_TEST(test_root_outside)
{
    const struct vi_root outside[] = {{UNITS * VI_UNIT + 1, 0},
                                      {UNITS * VI_UNIT, 1},
                                      {16, UNITS * VI_UNIT - 15},
                                      {1, ~(uint64_t)0}};
    struct vi_root roots[2] = {{ROOT_OFFSET, 16}, {ROOT_OFFSET, 16}};

    roots[_i % 2] = outside[_i / 2];
    append(VI_KIND_UNDO, 100, 4, "good", 4);
    append(VI_KIND_ROOT, 0, 0, roots, sizeof roots);
    make_unclean();
    expect_damage("a record of kind 4 (root)");
}
END_TEST

/* Where flushes can be lost, a record with a wrong checksum was never completed. */
START_TEST(test_checksums)
{
    append(VI_KIND_UNDO, 0, 4, "torn", 4);
    image.superblock.log_class = VISTA_CLASS_LINE;
    make_unclean();
    expect_sound("transactions to roll back: 0");
}
END_TEST

/* ---- Tests: anything wrong --------------------------------------------- */

/* A place in the metadata where something stands or might. */
static uint64_t random_place(struct test_random *random)
{
    switch (test_below(random, 6)) {
    case 0:
        return VI_LOG_OFFSET;
    case 1:
        return slot_at((unsigned)test_below(random, 4)) + 8 * test_below(random, 24);
    case 2:
        return chunk_at((unsigned)test_below(random, 4)) + 8 * test_below(random, 12);
    case 3:
        return descriptor_at(test_below(random, 2 * UNITS));
    case 4:
        return marks_at(test_below(random, 2 * UNITS)) + 8 * test_below(random, 32);
    default:
        return image.superblock.heap_offset + 8 * test_below(random, 2);
    }
}

static uint64_t random_value(struct test_random *random)
{
    switch (test_below(random, 6)) {
    case 0:
        return test_next(random);
    case 1:
        return (uint64_t)1 << test_below(random, 64);
    case 2:
        return chunk_at((unsigned)test_below(random, 5));
    case 3:
        return VI_SPAN(test_below(random, 4), test_below(random, 40), test_below(random, 60));
    case 4:
        return image.stamp + VISTA_INLINE_STAMP_STEP * (test_below(random, 3) - 1);
    default:
        return test_below(random, 8);
    }
}

START_TEST(test_random_damage)
{
    struct test_random random = test_random_new(0);
    const unsigned times = test_times(3000);
    unsigned sound = 0;

    append(VI_KIND_UNDO, 0, 13, "before-images", 13);
    append_heap_records();
    make_unclean();
    for (unsigned i = 0; i < times; i++) {
        struct {
            uint64_t at, was;
        } changes[4];
        const unsigned count = 1 + (unsigned)test_below(&random, 4);
        int result;

        for (unsigned j = 0; j < count; j++) {
            changes[j].at = random_place(&random);
            changes[j].was = *word_at(changes[j].at);
            *word_at(changes[j].at) =
                changes[j].at == VI_LOG_OFFSET ? test_below(&random, 6) : random_value(&random);
        }
        result = check_image();
        ck_assert_msg(result == 0 || errno == EBADMSG, "errno %d: %s", errno, said.text);
        ck_assert_int_eq(result == 0, said.severities[2] == 0);
        sound += result == 0;
        for (unsigned j = count; j-- > 0;)
            *word_at(changes[j].at) = changes[j].was;
    }
    ck_assert_uint_gt(sound, 0);
    ck_assert_uint_lt(sound, times);
    expect_sound("transactions to roll back: 1");
}
END_TEST

/* ---- Tests: what the library leaves ------------------------------------ */

static void leave_open(void *path)
{
    vista_segment *segment = vista_map(path, 4 << 20, VISTA_CREATE, NULL);
    vista_tx *tx;
    uint64_t *root;

    REQUIRE(segment != NULL);
    root = vista_root(segment, 4096);
    REQUIRE(root != NULL);
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(tx != NULL);
    for (size_t i = 0; i < 100; i++) {
        REQUIRE(vista_malloc(tx, 40 * i) != NULL);
        REQUIRE(vista_set_range(tx, root, 8 * i) == 0);
    }
    *root = 77;
    _exit(0);
}

START_TEST(test_left_open)
{
    static const char *const classes[] = {"kill", "line", "eadr"};
    vista_segment *segment;

    image.path = test_path("left");
    setenv("VISTA_CLASS", classes[_i], 1);
    ck_assert_int_eq(test_in_child(leave_open, (void *)(uintptr_t)image.path), 0);
    expect_sound("0 log records: transactions to roll back: 1");
    segment = vista_map(image.path, 0, 0, NULL);
    SOME(segment);
    ck_assert_uint_eq(*(uint64_t *)vista_root(segment, 0), 0);
    FAILS(vista_check(image.path, 0, NULL, NULL), EBUSY, image.path);
    OK(vista_unmap(segment));
    expect_sound("0 state: clean");
    ck_assert_ptr_ne(strstr(said.text, "allocated blocks, large ones too: 1,"), NULL);
}
END_TEST

/* ------------------------------------------------------------------------ */

int main(void)
{
    Suite *suite = suite_create("check_log");
    TCase *records = test_case(suite, "records", 20), *damage = test_case(suite, "damage", 60);
    TCase *library = test_case(suite, "library", 20);

    tcase_add_checked_fixture(records, make_image, NULL);
    tcase_add_test(records, test_good_records);
    tcase_add_test(records, test_finishing);
    tcase_add_test(records, test_finishing_nothing);
    tcase_add_loop_test(records, test_bad_record, 0, sizeof bad_records / sizeof *bad_records);
    tcase_add_test(records, test_records_in_chunks);
    tcase_add_test(records, test_pending_root);
    tcase_add_loop_test(records, test_root_outside, 0, 8);
    tcase_add_test(records, test_checksums);

    tcase_add_checked_fixture(damage, make_image, NULL);
    tcase_add_test(damage, test_random_damage);

    tcase_add_loop_test(library, test_left_open, 0, 3);
    return test_run(suite);
}
