/* SPDX-License-Identifier: BSD-3-Clause
 *
 * check/: segments made by hand, sound ones and ones with one thing wrong each.
 */
#include "check/check.h"

#include "check_image.h"

/* ---- Tests: the whole -------------------------------------------------- */

START_TEST(test_sound_image)
{
    struct vi_check_totals totals;
    struct vi_file file;

    make_image();
    expect_sound("0 superblock: both copies are sound");
    ck_assert_uint_eq(said.severities[1], 0);
    OK(vista_check(image.path, 0, NULL, NULL));

    OK(vi_file_open(&file, image.path, VISTA_READ_ONLY, 0, 0));
    OK(vi_check_file(&file, NULL, NULL, &totals));
    OK(vi_check_mapped(&file, &image.superblock, image.meta, NULL, NULL));
    vi_file_close(&file);
    ck_assert_uint_eq(totals.slots, 3);
    ck_assert_uint_eq(totals.log_bytes, 3 * VI_SLOT_SIZE + 3 * VI_CHUNK_UNIT);
    ck_assert_uint_eq(totals.open + totals.finishing, 0);
    ck_assert_uint_eq(totals.small_spans, 2);
    ck_assert_uint_eq(totals.large_spans, 1);
    ck_assert_uint_eq(totals.blocks, 4 + 1 + 1);
    ck_assert_uint_eq(totals.block_bytes, 4 * 16 + 8192 + LARGE_UNITS * VI_UNIT);
    ck_assert_uint_eq(totals.free_units, UNITS - FREE_UNIT);
    ck_assert_uint_eq(totals.largest_free, UNITS - FREE_UNIT);
    ck_assert_uint_eq(totals.root.offset, ROOT_OFFSET);
}
END_TEST

START_TEST(test_arguments)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd;

    FAILS(vista_check(NULL, 0, NULL, NULL), EINVAL, "path");
    FAILS(vista_check("", 0, NULL, NULL), EINVAL, "path");
    FAILS(vista_check("/nowhere/at/all", 0, NULL, NULL), ENOENT, "/nowhere/at/all");
    FAILS(vista_check("/tmp", 0, NULL, NULL), EISDIR, "/tmp");
    FAILS(vista_check("/dev/null", 0, NULL, NULL), ENODEV, "/dev/null");
    make_image();
    FAILS(vista_check(image.path, 1, NULL, NULL), EINVAL, "flags");

    fd = open(image.path, O_RDWR);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &whole), 0);
    FAILS(vista_check(image.path, 0, NULL, NULL), EBUSY, image.path);
    close(fd);
    OK(vista_check(image.path, 0, NULL, NULL));
}
END_TEST

START_TEST(test_stopped)
{
    int calls;

    make_image();
    OK(check_image());
    calls = said.calls;
    ck_assert_int_gt(calls, 5);
    for (said.stop_at = 1; said.stop_at <= calls; said.stop_at++) {
        FAILS(check_image(), ECANCELED, "stopped");
        ck_assert_int_eq(said.calls, said.stop_at);
    }
}
END_TEST

START_TEST(test_nothing_there)
{
    static const unsigned char zeros[2 * VI_PAGE];

    make_image();
    test_poke(image.path, 0, zeros, sizeof zeros);
    expect_damage("2 superblock:");
    ck_assert_int_eq(truncate(image.path, 0), 0);
    expect_damage("creation was killed");
    test_poke(image.path, 0, "#!/bin/sh", 9);
    expect_damage("not a vista segment");
}
END_TEST

START_TEST(test_truncated)
{
    const uint64_t whole = image.superblock.data_offset + image.superblock.size;
    const uint64_t lengths[] = {1,
                                255,
                                256,
                                4095,
                                4096,
                                4352,
                                8192,
                                VI_SLOTS_OFFSET + 5,
                                VI_CHUNKS_OFFSET,
                                image.superblock.heap_offset,
                                image.superblock.data_offset,
                                whole - 1};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        ck_assert_int_eq(truncate(image.path, (off_t)lengths[i]), 0);
        expect_damage("2 superblock:");
        ck_assert_int_eq(truncate(image.path, (off_t)whole), 0);
        put_superblocks();
    }
    ck_assert_int_eq(truncate(image.path, (off_t)whole + 1), 0);
    expect_sound("1 file: ");
}
END_TEST

/* A hole is passed over: a segment of 16 GiB that uses both its ends. */
START_TEST(test_large_and_sparse)
{
    const uint64_t last = ((uint64_t)16 << 30) / VI_UNIT - 1;

    make_file((uint64_t)16 << 30, (uint64_t)16 << 30);
    *word_at(image.superblock.heap_offset + offsetof(struct vi_heap_header, end)) = last + 1;
    *word_at(descriptor_at(0)) = VI_SPAN(VI_SPAN_SMALL, 4, 7);
    *word_at(marks_at(3)) = 0;
    *word_at(descriptor_at(last)) = VI_SPAN(VI_SPAN_LARGE, 1, 0);
    expect_sound("spans of small blocks: 1, large blocks: 1, free pages: 4194299 of 4194304");
    *word_at(marks_at(last)) = 1;
    expect_sound("allocated blocks, large ones too: 1,");
    *word_at(marks_at(last - 1)) = 1;
    expect_damage("are in no span");
}
END_TEST

/* ---- Tests: the superblock and the state ------------------------------- */

START_TEST(test_one_copy)
{
    struct vi_superblock damaged;

    for (int copy = 0; copy < 2; copy++) {
        make_image();
        damaged = test_superblock(image.path, copy);
        damaged.size ^= 1;
        test_superblock_put(image.path, copy, damaged, false);
        expect_sound(copy == 0 ? "1 superblock: copy 0, at file offset 0, is not used"
                               : "1 superblock: copy 1, at file offset 4096, is not used");
        ck_assert_ptr_ne(strstr(said.text, "one copy is sound"), NULL);
        test_superblock_put(image.path, 1 - copy, damaged, false);
        expect_damage("its checksum is wrong");
    }
}
END_TEST

START_TEST(test_two_segments)
{
    struct vi_superblock other;

    make_image();
    other = test_superblock(image.path, 0);
    other.uuid[5] ^= 1;
    test_superblock_put(image.path, 0, other, true);
    expect_damage("of different segments");
}
END_TEST

START_TEST(test_other_version)
{
    make_image();
    image.superblock.version = 2;
    put_superblocks();
    FAILS(check_image(), ENOTSUP, "version 2");
    image.superblock.version = VI_VERSION;
    image.superblock.features_must |= 1u << 20;
    put_superblocks();
    FAILS(check_image(), ENOTSUP, "features");
    image.superblock.magic = VI_MAGIC_SWAPPED;
    put_superblocks();
    FAILS(check_image(), ENOTSUP, "byte order");
}
END_TEST

START_TEST(test_unclean)
{
    make_image();
    make_unclean();
    expect_sound("1 state: not unmapped by its last user");
    ck_assert_ptr_eq(strstr(said.text, "torn"), NULL);
    image.superblock.boot_id[0] ^= 1;
    put_superblocks();
    expect_sound("it may be torn");
    image.superblock.real_class = VISTA_CLASS_LINE;
    put_superblocks();
    test_adopt(image.path);
    expect_sound("not unmapped");
    ck_assert_ptr_eq(strstr(said.text, "torn"), NULL);
}
END_TEST

START_TEST(test_flat)
{
    make_image();
    image.superblock.features_must &= ~(uint64_t)VI_MUST_HEAP;
    OK(vi_superblock_layout(&image.superblock));
    put_superblocks();
    expect_sound("0 log records: transactions to roll back: 0");
    ck_assert_ptr_eq(strstr(said.text, "heap"), NULL);
}
END_TEST

START_TEST(test_holes)
{
    make_image();
    image.superblock.features_must &= ~(uint64_t)VI_MUST_SPARSE;
    put_superblocks();
    expect_sound("1 file: ");
    ck_assert_ptr_ne(strstr(said.text, "has holes"), NULL);
}
END_TEST

/* ---- Tests: one word wrong --------------------------------------------- */

struct wrong {
    uint64_t offset; /* in the file */
    uint64_t value;
    const char *part; /* of what is said */
};

static void try_each(const struct wrong *wrong, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t right = *word_at(wrong[i].offset);

        *word_at(wrong[i].offset) = wrong[i].value;
        expect_damage(wrong[i].part);
        *word_at(wrong[i].offset) = right;
    }
    expect_sound("0 log slots: in use: 3");
}

#define TRY_EACH(wrong) try_each(wrong, sizeof(wrong) / sizeof *(wrong))

START_TEST(test_slots)
{
    const uint64_t slots = vi_superblock_slots(&image.superblock);
    const uint64_t first = chunk_at(0), second = chunk_at(2), link = slot_at(1) + 8;
    const struct wrong wrong[] = {
        {VI_LOG_OFFSET, slots + 1, "said to be in use: 1161, there are 1160"},
        {VI_LOG_OFFSET, VI_SLOTS_NEAR + 1, "slot 3, at file offset"},
        {VI_LOG_OFFSET, ~(uint64_t)0, "said to be in use: 18446744073709551615"},
        {VI_LOG_OFFSET, 1, "slot 2 was never used, yet is not empty"},
        {VI_LOG_OFFSET, 4, "slot 3, at file offset"},
        {slot_at(0), 0, "slot 0, at file offset 1077248, has the word 0x0"},
        {slot_at(0), 1, "cannot be its own"},
        {slot_at(2), VISTA_INLINE_STAMP_STEP | 1 << 1, "cannot be its own"},
        {slot_at(9), 1, "slot 9 was never used"},
        {slot_at(VI_SLOTS_NEAR - 1) + VI_SLOT_SIZE - 8, 1, "slot 63 was never used"},
        {link, 1, "is not where a chunk can begin"},
        {link, ~(uint64_t)0, "is not where a chunk can begin"},
        {link, VI_CHUNKS_OFFSET + image.superblock.chunks_size, "is not where a chunk can begin"},
        {link, first + 8, "is not where a chunk can begin"},
        {link, chunk_at(1), "has another owner"},
        {slot_at(0) + 8, first, "slot 0: chunk 1 of its chain"},
        {link, second, "has another place in the chain"},
        {first, 0, "has another owner"},
        {first + 8, first, "has another place in the chain"},
        {second + 16, 3, "has another place in the chain"},
        {first + 24, 0, "has an impossible size"},
        {first + 24, 1, "has an impossible size"},
        {first + 24, (uint64_t)1 << 63, "has an impossible size"},
        {first + 24, 3 * VI_CHUNK_UNIT, "overlaps another chunk"},
        {second + 24, image.superblock.chunks_size, "has an impossible size"},
    };

    TRY_EACH(wrong);
}
END_TEST

START_TEST(test_descriptors)
{
    const uint64_t spare = descriptor_at(FREE_UNIT);
    const struct wrong wrong[] = {
        {spare, 3, "is of no known kind"},
        {spare, VI_SPAN(VI_SPAN_LARGE, 0, 0), "has an impossible length"},
        {spare, VI_SPAN(VI_SPAN_LARGE, UNITS - FREE_UNIT + 1, 0), "has an impossible length"},
        {spare, VI_SPAN(VI_SPAN_LARGE, 0xffffffff, 0), "has an impossible length"},
        {spare, VI_SPAN(VI_SPAN_LARGE, 1, 1), "has a size class"},
        {spare, VI_SPAN(VI_SPAN_SMALL, 16, 56), "has an impossible size class"},
        {spare, VI_SPAN(VI_SPAN_SMALL, 5, 0), "has a length that its size class cannot have"},
        {spare, VI_SPAN(VI_SPAN_SMALL, 1, 55), "has a length that its size class cannot have"},
        {spare, VI_SPAN(VI_SPAN_SMALL, 17, 55), "has a length that its size class cannot have"},
        {spare, VI_SPAN(VI_SPAN_LARGE, 1, 0) | (uint64_t)1 << 48, "has bits set"},
        {spare, VI_SPAN_LARGE, "unit 30: the descriptor 0x2"},
        {descriptor_at(1), VI_SPAN(VI_SPAN_LARGE, 1, 0), "lies inside another span"},
        {descriptor_at(LARGE_UNIT + LARGE_UNITS - 1), 1, "lies inside another span"},
        {descriptor_at(UNITS), VI_SPAN(VI_SPAN_LARGE, 1, 0), "lies past the end of the data"},
        {image.superblock.heap_offset + offsetof(struct vi_heap_header, end), LARGE_UNIT,
         "lies past what was ever used"},
        {image.superblock.heap_offset + offsetof(struct vi_heap_header, end), UNITS + 1,
         "129 units are said to be used, there are 128"},
        {descriptor_at(2 * UNITS + 7), 1, "lies past the end of the data"},
        {descriptor_at(vi_superblock_units(&image.superblock) - 1), 1, "past the end of the data"},
    };

    TRY_EACH(wrong);
}
END_TEST

START_TEST(test_marks)
{
    const struct wrong wrong[] = {
        {marks_at(FREE_UNIT), 1, "unit 30: the marks 0x1 at file offset"},
        {marks_at(FREE_UNIT - 1) + 248, 1, "is past the last block of its span"},
        {marks_at(LARGE_UNIT), 0x101, "is past the last block of its span"},
        {marks_at(UNITS), 1, "are in no span"},
        {image.size - 8, 1, "are in no span"},
        {marks_at(SMALL_UNIT) + 8, 0x020001, "unit 0: the mark 2 at file offset"},
        {marks_at(SMALL_UNIT) + 8, 0xff00, "is neither 0 nor 1"},
        {marks_at(COARSE_UNIT) + 8, 1, "is past the last block of its span"},
        {marks_at(COARSE_UNIT + 15) + 248, 1, "is past the last block of its span"},
    };

    TRY_EACH(wrong);
    *word_at(descriptor_at(FREE_UNIT)) = VI_SPAN(VI_SPAN_SMALL, 1, SMALL_CLASS); /* a short one */
    *word_at(marks_at(FREE_UNIT) + 248) = 1;
    expect_sound("0 heap marks: allocated blocks, large ones too: 7,");
    *word_at(marks_at(FREE_UNIT + 1)) = 1;
    expect_damage("unit 31: the marks 0x1 at file offset");
    *word_at(marks_at(FREE_UNIT + 1)) = 0;
    *word_at(marks_at(FREE_UNIT) + 248) = 0;
    for (unsigned i = 0; i < 64; i += 8) /* the last 64 of 1024 */
        *word_at(marks_at(SMALL_UNIT + 3) + 192 + i) = 0x0101010101010101;
    expect_sound("0 heap marks: allocated blocks, large ones too: 70,");
}
END_TEST

START_TEST(test_root)
{
    const uint64_t root = image.superblock.heap_offset;
    const struct wrong wrong[] = {
        {root, ROOT_OFFSET + 1, "is not an allocated block"},
        {root, ROOT_OFFSET + 16, "is not an allocated block"},
        {root, LARGE_UNIT * VI_UNIT + 16, "is not an allocated block"},
        {root, FREE_UNIT * VI_UNIT, "is not an allocated block"},
        {root, UNITS * VI_UNIT, "is not an allocated block"},
        {root, ~(uint64_t)0, "is not an allocated block"},
        {root + 8, 17, "17 bytes at data offset 48, but the block there has 16"},
        {root + 8, ~(uint64_t)0, "but the block there has 16"},
        {marks_at(SMALL_UNIT), 0x00010101, "is not an allocated block"},
    };

    TRY_EACH(wrong);
    *word_at(root + 8) = 0;
    expect_sound("0 root: there is none");
    *word_at(root) = LARGE_UNIT * VI_UNIT;
    *word_at(root + 8) = LARGE_UNITS * VI_UNIT;
    expect_sound("0 root: 40960 bytes");
}
END_TEST

/* Damage everywhere is reported, but not at length. */
START_TEST(test_flood)
{
    for (uint64_t unit = FREE_UNIT; unit < UNITS; unit++)
        *word_at(descriptor_at(unit)) = 0x77;
    expect_damage("2 heap descriptors: and 78 more findings, not listed");
    ck_assert_ptr_ne(strstr(said.text, "1 heap marks: not looked at"), NULL);
    ck_assert(test_says("findings: 98"));
}
END_TEST

/* ------------------------------------------------------------------------ */

int main(void)
{
    Suite *suite = suite_create("check");
    TCase *whole = test_case(suite, "whole", 20), *parts = test_case(suite, "parts", 20);

    tcase_add_test(whole, test_sound_image);
    tcase_add_test(whole, test_arguments);
    tcase_add_test(whole, test_stopped);
    tcase_add_test(whole, test_nothing_there);
    tcase_add_test(whole, test_large_and_sparse);
    tcase_add_test(whole, test_one_copy);
    tcase_add_test(whole, test_two_segments);
    tcase_add_test(whole, test_other_version);
    tcase_add_test(whole, test_unclean);
    tcase_add_test(whole, test_flat);
    tcase_add_test(whole, test_holes);

    tcase_add_checked_fixture(parts, make_image, NULL);
    tcase_add_test(parts, test_truncated);
    tcase_add_test(parts, test_slots);
    tcase_add_test(parts, test_descriptors);
    tcase_add_test(parts, test_marks);
    tcase_add_test(parts, test_root);
    tcase_add_test(parts, test_flood);
    return test_run(suite);
}
