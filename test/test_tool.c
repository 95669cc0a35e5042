/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tool/: the `vista` command as a script uses it: exit statuses and output.
 */
#include "command.h"

#include <fcntl.h>
#include <sys/stat.h>

static const char *path;

static void make_clean(void)
{
    vista_segment *segment;

    path = test_path("segment");
    segment = vista_map(path, 1 << 20, VISTA_CREATE, NULL);
    SOME(segment);
    SOME(vista_root(segment, 100));
    OK(vista_unmap(segment));
}

/* Dies with one transaction open, that has changed the root to 7. */
static void die(void *unused)
{
    vista_segment *segment = vista_map(path, 0, 0, NULL);
    vista_tx *tx;
    int *root;

    (void)unused;
    REQUIRE(segment != NULL);
    root = vista_root(segment, 0);
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(root != NULL && tx != NULL);
    REQUIRE(vista_set_range(tx, root, sizeof *root) == 0);
    *root = 7;
    REQUIRE(vista_malloc(tx, 5000) != NULL);
    _exit(0);
}

static void make_unclean(void)
{
    make_clean();
    ck_assert_int_eq(test_in_child(die, NULL), 0);
}

static int root_value(void)
{
    vista_segment *segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    int value;

    SOME(segment);
    value = *(int *)vista_root(segment, 0);
    OK(vista_unmap(segment));
    return value;
}

START_TEST(test_usage)
{
    EXPECT(0, "usage: vista COMMAND", "vista --help");
    EXPECT(0, "vista ", "vista --version");
    EXPECT(2, "no command given", "vista");
    EXPECT(2, "unknown command frobnicate", "vista frobnicate");
    EXPECT(2, "unknown command -x", "vista -x");
    EXPECT(0, "usage: vista info", "vista info --help");
    EXPECT(0, "usage: vista check", "vista check --help");
    EXPECT(0, "usage: vista recover", "vista recover --help");
    EXPECT(2, "no file given", "vista info");
    EXPECT(2, "no file given", "vista check -q");
    EXPECT(2, "one file at a time; there is also b", "vista check a b");
    EXPECT(2, "unknown option -z", "vista check -z a");
    EXPECT(2, "unknown option --quiet", "vista info --quiet a");
    EXPECT(2, "Try `vista recover --help`", "vista recover --yes a");
    EXPECT(3, "cannot write the output", "vista --help >/dev/full");
}
END_TEST

START_TEST(test_no_file)
{
    static const char *const commands[] = {"info", "check", "recover"};

    for (size_t i = 0; i < 3; i++) {
        EXPECT(3, "/no/such/file: cannot open", "vista %s /no/such/file", commands[i]);
        EXPECT(3, "-odd: cannot open", "vista %s -- -odd", commands[i]);
        EXPECT(3, "is a directory", "vista %s /tmp", commands[i]);
    }
}
END_TEST

START_TEST(test_not_a_segment)
{
    static const char *const commands[] = {"info", "check", "recover"};

    path = test_path("other");
    for (size_t i = 0; i < 3; i++) {
        close(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
        EXPECT(1, "not a vista segment", "vista %s %s", commands[i], path);
        test_poke(path, 0, "something else", 14);
        EXPECT(1, "not a vista segment", "vista %s %s", commands[i], path);
    }
}
END_TEST

START_TEST(test_clean)
{
    uint64_t before;

    make_clean();
    before = test_digest(path);
    EXPECT(0, "state         clean\n", "vista info %s", path);
    ck_assert_ptr_ne(strstr(output, "size          1048576 bytes (1.0 MiB)\n"), NULL);
    ck_assert_ptr_ne(strstr(output, "heap blocks   1\n"), NULL);
    ck_assert_ptr_ne(strstr(output, "root          100 bytes at 0x"), NULL);
    EXPECT(0, ": sound\n", "vista check %s", path);
    ck_assert_ptr_ne(strstr(output, "ok      superblock: "), NULL);
    EXPECT(0, "", "vista check --quiet %s", path);
    ck_assert_str_eq(output, "");
    EXPECT(0, "clean, nothing to recover", "vista recover %s", path);
    ck_assert_uint_eq(test_digest(path), before);
}
END_TEST

START_TEST(test_needs_recovery)
{
    uint64_t before;

    make_unclean();
    before = test_digest(path);
    EXPECT(1, "state         needs recovery: 1 to roll back, 0 to finish\n", "vista info %s", path);
    EXPECT(0, "transactions to roll back: 1", "vista check %s", path);
    ck_assert_ptr_ne(strstr(output, "note    state: "), NULL);
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "recovered; transactions rolled back: 1, committed ones finished: 0\n",
           "vista recover %s", path);
    EXPECT(0, "state         clean\n", "vista info %s", path);
    EXPECT(0, "allocated blocks, large ones too: 1,", "vista check %s", path);
    ck_assert_int_eq(root_value(), 0);
}
END_TEST

START_TEST(test_torn)
{
    const char *copy;
    uint64_t before;

    make_unclean();
    copy = test_path("copy");
    test_copy(path, copy);
    path = copy;
    before = test_digest(path);
    EXPECT(1, "state         may be torn; needs recovery", "vista info %s", path);
    EXPECT(0, "it may be torn", "vista check %s", path);
    EXPECT(1, "may be torn", "vista recover %s", path);
    ck_assert_uint_eq(test_digest(path), before);
    EXPECT(0, "rolled back: 1", "vista recover --accept-torn %s", path);
    ck_assert_int_eq(root_value(), 0);
}
END_TEST

START_TEST(test_damaged)
{
    static const uint64_t bad = 0x77;
    struct vi_superblock superblock;
    uint64_t before;

    make_clean();
    superblock = test_superblock(path, 0);
    test_poke(path, superblock.heap_offset + VI_PAGE + 8 * 20, &bad, sizeof bad);
    before = test_digest(path);
    EXPECT(1, "DAMAGE  heap descriptors: unit 20: the descriptor 0x77", "vista check %s", path);
    EXPECT(1, "DAMAGE  heap descriptors", "vista check -q %s", path);
    ck_assert_ptr_eq(strstr(output, "ok  "), NULL);
    EXPECT(1, "state         damaged", "vista info %s", path);
    ck_assert_uint_eq(test_digest(path), before);
}
END_TEST

START_TEST(test_in_use)
{
    vista_segment *segment;

    make_clean();
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    EXPECT(3, "mapped already", "vista info %s", path);
    EXPECT(3, "mapped already", "vista check %s", path);
    EXPECT(3, "mapped already", "vista recover %s", path);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(segment);
    EXPECT(0, ": sound", "vista check %s", path);
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(test_other_version)
{
    struct vi_superblock superblock;

    make_clean();
    for (int copy = 0; copy < 2; copy++) {
        superblock = test_superblock(path, copy);
        superblock.version = 9;
        test_superblock_put(path, copy, superblock, true);
    }
    EXPECT(3, "format version 9", "vista info %s", path);
    EXPECT(3, "format version 9", "vista check %s", path);
    EXPECT(3, "format version 9", "vista recover %s", path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tool");
    TCase *command_line = test_case(suite, "command line", 30);
    TCase *segments = test_case(suite, "segments", 30);

    tcase_add_test(command_line, test_usage);
    tcase_add_test(command_line, test_no_file);
    tcase_add_test(segments, test_not_a_segment);
    tcase_add_test(segments, test_clean);
    tcase_add_test(segments, test_needs_recovery);
    tcase_add_test(segments, test_torn);
    tcase_add_test(segments, test_damaged);
    tcase_add_test(segments, test_in_use);
    tcase_add_test(segments, test_other_version);
    return test_run(suite);
}
