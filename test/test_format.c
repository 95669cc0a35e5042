/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The stored format: words that are reserved, the bytes that are locked, where slots and
 * chunks lie, how long a small segment's file is.
 */
#include "media/format.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "media/superblock.h"
#include "support.h"

#define MIB ((size_t)1 << 20)

static const char *path;

static vista_segment *map(void)
{
    vista_segment *segment = vista_map(path, 0, 0, NULL);

    SOME(segment);
    return segment;
}

static void make(size_t size, size_t max_size)
{
    const struct vista_map_options options = {.max_size = max_size};
    vista_segment *segment;

    path = test_path("format");
    segment = vista_map(path, size, VISTA_CREATE, &options);
    SOME(segment);
    SOME(vista_root(segment, 4096));
    OK(vista_unmap(segment));
}

static void commit(vista_segment *segment, unsigned char value)
{
    unsigned char *root = vista_root(segment, 0);
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    OK(vista_set_range(tx, root, 100));
    memset(root, value, 100);
    OK(vista_end_transaction(tx, 0));
}

/* ---- Reserved words ----------------------------------------------------- */

/* Where in the superblock words are that this library gives no meaning to. */
static const struct {
    size_t offset, length;
} kept[] =
    {
        {offsetof(struct vi_superblock, reserved0), 4},
        {offsetof(struct vi_superblock, features_may), 8},
        {offsetof(struct vi_superblock, reserved1), 4},
        {offsetof(struct vi_superblock, lsn), 8},
        {offsetof(struct vi_superblock, history), 128},
        {offsetof(struct vi_superblock, lasting), 56},
        {offsetof(struct vi_superblock, reserved2), 16},
        {offsetof(struct vi_superblock, reserved3), 4},
},
  opening[] = {
      {offsetof(struct vi_superblock, shares), 16},
      {offsetof(struct vi_superblock, opening) + 8, 40}, /* the first is a number of its own */
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void stamp(void)
{
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock s = test_superblock(path, copy);

        for (size_t i = 0; i < COUNT(kept); i++)
            memset((char *)&s + kept[i].offset, (int)(0x80 + i), kept[i].length);
        memset(&s.shares, 0xee, 64);
        test_superblock_put(path, copy, s, true);
    }
}

static void expect_all(const struct vi_superblock *s, size_t offset, size_t length, int value)
{
    for (size_t i = offset; i < offset + length; i++)
        ck_assert_msg(((const unsigned char *)s)[i] == value, "byte %zu is 0x%x, not 0x%x", i,
                      ((const unsigned char *)s)[i], value);
}

static void expect_stamp(int of_opening)
{
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        const struct vi_superblock s = test_superblock(path, copy);

        for (size_t i = 0; i < COUNT(kept); i++)
            expect_all(&s, kept[i].offset, kept[i].length, (int)(0x80 + i));
        for (size_t i = 0; i < COUNT(opening); i++)
            expect_all(&s, opening[i].offset, opening[i].length, of_opening);
        ck_assert_uint_ne(s.opening[0], 0);
    }
}

static void die_open(void *value)
{
    vista_segment *segment = vista_map(path, 0, 0, NULL);
    unsigned char *root;

    REQUIRE(segment != NULL);
    commit(segment, (unsigned char)(uintptr_t)value);
    root = vista_root(segment, 0);
    REQUIRE(vista_set_range(vista_begin_transaction(segment, 0), root, 100) == 0);
    memset(root, 0xff, 100);
    _exit(0);
}

/* Reading leaves them; writing, recovery and resizing keep those that last. */
START_TEST(reserved_words_are_kept)
{
    vista_segment *segment;

    make(MIB, 4 * MIB);
    stamp();
    test_sound(path);
    segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
    expect_stamp(0xee);
    segment = map();
    expect_stamp(0);
    OK(vista_resize(segment, 2 * MIB));
    commit(segment, 5);
    OK(vista_unmap(segment));
    expect_stamp(0);
    stamp();
    ck_assert_int_eq(test_in_child(die_open, (void *)7), 0);
    expect_stamp(0);
    segment = map();
    ck_assert_int_eq(*(unsigned char *)vista_root(segment, 0), 7);
    OK(vista_unmap(segment));
    expect_stamp(0);
    test_sound(path);
}
END_TEST

/* So do those of the log header, home's page, shares, slots and chunks. */
START_TEST(reserved_words_are_not_judged)
{
    const uint64_t places[] = {
        VI_LOG_OFFSET + sizeof(struct vi_log_header),
        VI_SHARES_OFFSET,
        VI_SHARES_OFFSET + (VI_SHARES - 1) * VI_LINE,
        VI_SLOTS_OFFSET + offsetof(struct vi_slot_header, reserved),
        VI_SLOTS_OFFSET + offsetof(struct vi_slot_header, reserved[5]),
    };
    const uint64_t word = 0x1122334455667788;
    vista_segment *segment;
    uint64_t found;
    int fd;

    make(MIB, 0);
    for (size_t i = 0; i < COUNT(places); i++)
        test_poke(path, places[i], &word, sizeof word);
    test_sound(path);
    segment = map();
    commit(segment, 9);
    OK(vista_unmap(segment));
    ck_assert_int_eq(test_in_child(die_open, (void *)11), 0);
    test_sound(path);
    segment = map();
    ck_assert_int_eq(*(unsigned char *)vista_root(segment, 0), 11);
    OK(vista_unmap(segment));
    fd = open(path, O_RDONLY);
    for (size_t i = 0; i < COUNT(places); i++) {
        ck_assert_int_eq(pread(fd, &found, sizeof found, (off_t)places[i]), sizeof found);
        ck_assert_msg(found == word, "the word at %llu was changed", (unsigned long long)places[i]);
    }
    close(fd);
}
END_TEST

/* ---- Layouts ------------------------------------------------------------ */

static void map_another_layout(const char *name, int error)
{
    const struct vista_map_options options = {.layout = name};
    const uint64_t digest = test_digest(path);
    vista_segment *segment;

    NULLS(vista_map(path, 0, 0, &options), error, path);
    NULLS(vista_map(path, MIB, VISTA_CREATE, &options), error, path);
    NULLS(vista_map(path, 0, VISTA_READ_ONLY, &options), error, path);
    segment = vista_map(path, 0, VISTA_ACCEPT_TORN, &options);
    ck_assert(segment == NULL && errno == error);
    ck_assert_uint_eq(test_digest(path), digest);
}

static void expect_layout(const char *asked, const char *expected)
{
    const struct vista_map_options options = {.layout = asked};
    vista_segment *segment = vista_map(path, 0, 0, &options);
    struct vista_info info;

    SOME(segment);
    OK(vista_info(segment, &info));
    ck_assert_str_eq(info.layout, expected);
    OK(vista_unmap(segment));
}

/* Another one is refused before anything is recovered. */
START_TEST(layouts)
{
    static const char most[] = "12345678901234567890123456789012345678901234567";
    const struct vista_map_options options = {.layout = "bank 1"}, longest = {.layout = most};
    const struct vista_map_options longer = {
        .layout = "123456789012345678901234567890123456789012345678"};
    vista_segment *segment;

    path = test_path("layout");
    NULLS(vista_map(path, MIB, VISTA_CREATE, &longer), EINVAL, "48");
    segment = vista_map(path, MIB, VISTA_CREATE, &options);
    SOME(segment);
    SOME(vista_root(segment, 4096));
    OK(vista_unmap(segment));
    expect_layout(NULL, "bank 1");
    expect_layout("bank 1", "bank 1");
    map_another_layout("bank 2", EMEDIUMTYPE);
    map_another_layout("", EMEDIUMTYPE);
    ck_assert_int_eq(test_in_child(die_open, (void *)3), 0);
    map_another_layout("bank 11", EMEDIUMTYPE);
    expect_layout("bank 1", "bank 1");
    unlink(path);
    segment = vista_map(path, MIB, VISTA_CREATE, &longest);
    SOME(segment);
    OK(vista_unmap(segment));
    expect_layout(most, most);
    make(MIB, 0);
    expect_layout("", "");
    map_another_layout("bank 1", EMEDIUMTYPE);
}
END_TEST

/* Bytes that end nowhere are read no further. */
START_TEST(a_layout_without_an_end)
{
    make(MIB, 0);
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        struct vi_superblock s = test_superblock(path, copy);

        memset(s.layout, 'x', sizeof s.layout);
        test_superblock_put(path, copy, s, true);
    }
    expect_layout(NULL, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    ck_assert_int_eq(test_superblock(path, 0).layout[VI_LAYOUT_MAX], 'x');
}
END_TEST

START_TEST(flags_of_a_later_release)
{
    const unsigned flags[] = {VISTA_SHARE, VISTA_VIEW, VISTA_STANDBY};

    path = test_path("later");
    for (size_t i = 0; i < COUNT(flags); i++)
        NULLS(vista_map(path, MIB, VISTA_CREATE | flags[i], NULL), ENOTSUP, path);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ---- Locks -------------------------------------------------------------- */

static int lock_byte(int fd, short type, uint64_t at)
{
    struct flock one = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &one);
}

/* Those behind 2^62 are free for shares, and do not keep a segment from being mapped. */
START_TEST(locks_by_bytes)
{
    vista_segment *segment;
    int fd;

    make(MIB, 0);
    fd = open(path, O_RDWR);
    OK(lock_byte(fd, F_WRLCK, VI_LOCK_LENGTH + 3));
    segment = map();
    OK(lock_byte(fd, F_WRLCK, VI_LOCK_LENGTH));
    ck_assert_int_eq(lock_byte(fd, F_RDLCK, 0), -1);
    ck_assert_int_eq(lock_byte(fd, F_RDLCK, VI_LOCK_LENGTH - 1), -1);
    OK(vista_unmap(segment));
    OK(lock_byte(fd, F_RDLCK, VI_LOCK_LENGTH - 1));
    NULLS(vista_map(path, 0, 0, NULL), EBUSY, path);
    segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(segment);
    ck_assert_int_eq(lock_byte(fd, F_WRLCK, 0), -1);
    OK(lock_byte(fd, F_WRLCK, VI_LOCK_LENGTH + 1));
    OK(vista_unmap(segment));
    close(fd);
}
END_TEST

/* ---- Where things lie --------------------------------------------------- */

START_TEST(a_small_segment_is_short)
{
    struct stat st;

    make(MIB, 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_le(st.st_size, (off_t)(27 * MIB));
    ck_assert_uint_le((uint64_t)st.st_blocks * 512, MIB + MIB / 2);
}
END_TEST

/* No two of the things laid out share a byte, and a redo log of 4 MiB finds room. */
START_TEST(areas_do_not_meet)
{
    const uint64_t sizes[] = {65536, MIB, 42 * MIB, (uint64_t)3 << 30, (uint64_t)1 << 43};

    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct vi_superblock s = {
            .features_must = VI_MUST_HEAP, .address = 0x550000201000, .max_size = sizes[i]};
        uint64_t end, slots;

        OK(vi_superblock_layout(&s));
        slots = vi_superblock_slots(&s);
        end = s.chunks_offset + s.chunks_size;
        ck_assert_uint_eq(vi_superblock_slot(end, VI_SLOTS_NEAR - 1) + VI_SLOT_SIZE,
                          s.chunks_offset);
        ck_assert_uint_eq(vi_superblock_slot(end, VI_SLOTS_NEAR) + VI_SLOT_SIZE, end);
        ck_assert_uint_ge(vi_superblock_slot(end, slots - 1), s.chunks_offset);
        ck_assert_uint_eq(slots == VI_SLOTS, sizes[i] >= 42 * MIB);
        ck_assert_uint_ge(slots, 1088);
        ck_assert_uint_ge(s.chunks_size, 2 * VI_PAGE + 5 * MIB);
        ck_assert_uint_eq(s.chunks_offset % VI_PAGE, 0);
        ck_assert_uint_eq(s.heap_offset, end);
        ck_assert_uint_ge(vi_superblock_marks(&s), vi_superblock_descriptors(&s) + sizes[i] / 512);
        ck_assert_uint_ge(s.data_offset, vi_superblock_meta_size(&s));
        ck_assert_uint_eq(s.data_offset % VI_HUGE_PAGE, 0x1000);
    }
}
END_TEST

/* ---- Far slots ---------------------------------------------------------- */

#define OPEN 200u /* beyond the near ones */

static void leave_many_open(void *argument)
{
    vista_segment *segment = vista_map(path, 0, 0, NULL);
    unsigned char *root = vista_root(segment, 0);

    (void)argument;
    REQUIRE(root != NULL);
    for (unsigned i = 0; i < OPEN; i++) {
        vista_tx *tx = vista_begin_transaction(segment, 0);

        REQUIRE(tx != NULL && vista_set_range(tx, root + 8 * i, 8) == 0);
        memset(root + 8 * i, (int)i, 8);
        if (i % 3 == 0)
            REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
    _exit(0);
}

START_TEST(far_slots_are_recovered)
{
    const struct vista_options class = {.force_class = (unsigned)_i};
    vista_segment *segment;
    struct vista_info info;
    unsigned char *root;
    unsigned open = 0;

    OK(vista_init(&class));
    make(MIB, 0);
    ck_assert_int_eq(test_in_child(leave_many_open, NULL), 0);
    test_sound(path);
    segment = map();
    root = vista_root(segment, 0);
    for (unsigned i = 0; i < OPEN; i++) {
        open += i % 3 != 0;
        ck_assert_uint_eq(root[8 * i], i % 3 == 0 ? i : 0);
    }
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.rolled_back, open);
    OK(vista_unmap(segment));
    ck_assert_int_eq(test_in_child(leave_many_open, NULL), 0); /* stamps went on */
    segment = map();
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* A chunk that reaches to where the next slot would be keeps it from being made, and a slot
 * is never in a chunk's way: whatever is declared after it lies elsewhere. */
START_TEST(slots_and_chunks_share)
{
    const size_t sizes[] = {16 * MIB, 16 * MIB, 5 * MIB};
    vista_segment *segment;
    unsigned char *root;
    vista_tx *tx, *large[3];
    unsigned count = COUNT(large);

    make(20 * MIB, 20 * MIB); /* a log area of 38.5 MiB */
    segment = map();
    root = vista_root(segment, 16 * MIB);
    SOME(root);
    for (size_t i = 0; i < COUNT(large); i++) { /* nobody stores there but the last */
        large[i] = vista_begin_transaction(segment, 0);
        SOME(large[i]);
        OK(vista_set_range(large[i], root, sizes[i]));
    }
    memset(root, 0x5a, sizes[2]);
    for (; (tx = vista_begin_transaction(segment, 0)) != NULL; count++)
        OK(vista_set_range(tx, root + 16 * MIB - 8, 8));
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert(test_says("no room for one more slot"));
    ck_assert_uint_ge(count, VI_SLOTS_NEAR);
    ck_assert_uint_lt(count, VI_SLOTS_NEAR + 100);
    OK(vista_abort_transaction(large[2]));
    ck_assert_int_eq(memcmp(root, root + 8, 16 * MIB - 8), 0);
    ck_assert_int_eq(root[0], 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("format");
    TCase *reserved = test_case(suite, "reserved", 5);
    TCase *layout = test_case(suite, "layout", 5);
    TCase *slots = test_case(suite, "slots", 10);

    tcase_add_test(reserved, reserved_words_are_kept);
    tcase_add_test(reserved, reserved_words_are_not_judged);
    tcase_add_test(reserved, layouts);
    tcase_add_test(reserved, a_layout_without_an_end);
    tcase_add_test(reserved, flags_of_a_later_release);
    tcase_add_test(reserved, locks_by_bytes);
    tcase_add_test(layout, a_small_segment_is_short);
    tcase_add_test(layout, areas_do_not_meet);
    tcase_add_loop_test(slots, far_slots_are_recovered, VISTA_CLASS_KILL, VISTA_CLASS_EADR + 1);
    tcase_add_test(slots, slots_and_chunks_share);
    return suite;
}

int main(void)
{
    return test_run(suite());
}
