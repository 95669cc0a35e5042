/* SPDX-License-Identifier: BSD-3-Clause
 *
 * examples/: each does what it says in its head, a kill in the middle included.
 */
#include "command.h"

/* Whole lines, in order. */
static void expect_output(const char *lines)
{
    ck_assert_str_eq(output, lines);
}

START_TEST(test_counter)
{
    const char *path = test_path("counter");

    EXPECT(2, "usage", "examples/example_01_counter");
    EXPECT(0, "1\n", "examples/example_01_counter %s", path);
    EXPECT(0, "2\n", "examples/example_01_counter %s", path);
    EXPECT(KILLED, "", "examples/example_01_counter %s kill", path);
    EXPECT(0, "3\n", "examples/example_01_counter %s", path);
    expect_output("recovered: rolled back what a killed run had not committed\n3\n");
    test_sound(path);
    EXPECT(1, "cannot open", "examples/example_01_counter /no/such/directory/file");
}
END_TEST

START_TEST(test_list)
{
    const char *path = test_path("list");

    EXPECT(2, "usage", "examples/example_02_list %s sing", path);
    EXPECT(0, "", "examples/example_02_list %s add one two", path);
    EXPECT(KILLED, "", "examples/example_02_list %s add three kill four", path);
    EXPECT(0, "", "examples/example_02_list %s show", path);
    expect_output("recovered: rolled back what a killed run had not committed\ntwo\none\n");
    EXPECT(0, "none is added", "examples/example_02_list %s add three '' four", path);
    EXPECT(0, "", "examples/example_02_list %s remove one", path);
    EXPECT(0, "not there", "examples/example_02_list %s remove one", path);
    EXPECT(0, "", "examples/example_02_list %s show", path);
    expect_output("two\n");
    test_sound(path);
    ck_assert_uint_eq(test_live_blocks(path), 2); /* the root and a word */
}
END_TEST

START_TEST(test_hashmap)
{
    const char *path = test_path("hashmap");

    EXPECT(2, "usage", "examples/example_03_hashmap %s put colour", path);
    EXPECT(1, "not there", "examples/example_03_hashmap %s get colour", path);
    EXPECT(0, "", "examples/example_03_hashmap %s put colour green", path);
    EXPECT(KILLED, "", "examples/example_03_hashmap %s kill put colour red", path);
    EXPECT(0, "1 transactions rolled back", "examples/example_03_hashmap %s get colour", path);
    ck_assert_ptr_ne(strstr(output, "green\n"), NULL);
    EXPECT(0, "", "examples/example_03_hashmap %s put colour blue", path);
    EXPECT(0, "", "examples/example_03_hashmap %s list", path);
    expect_output("colour\tblue\n");
    EXPECT(KILLED, "", "examples/example_03_hashmap %s kill del colour", path);
    EXPECT(0, "blue\n", "examples/example_03_hashmap %s get colour", path);
    EXPECT(0, "", "examples/example_03_hashmap %s fill 5000", path);
    EXPECT(0, "", "examples/example_03_hashmap %s count", path);
    expect_output("5001 pairs in 8192 buckets\n");
    EXPECT(0, "value 4999\n", "examples/example_03_hashmap %s get key4999", path);
    EXPECT(0, "", "examples/example_03_hashmap %s del key4999", path);
    EXPECT(1, "not there", "examples/example_03_hashmap %s get key4999", path);
    test_sound(path);
    ck_assert_uint_eq(test_live_blocks(path), 5000 + 2); /* the root, the table */
}
END_TEST

/* Killed at any moment: each pair is a block, and none is lost or there twice. */
START_TEST(test_killed_fill)
{
    const char *path = test_path("filled");
    struct test_random random = test_random_new(0);

    for (unsigned i = 0; i < test_times(10); i++) {
        uint64_t pairs;
        char *last;

        run_and_kill(test_below(&random, 150000), "examples/example_03_hashmap %s fill 1000000000",
                     path);
        EXPECT(0, " pairs in ", "examples/example_03_hashmap %s count", path);
        last = strrchr(output, '\n'); /* what was recovered is told in a line before */
        *last = '\0';
        last = strrchr(output, '\n');
        pairs = strtoull(last == NULL ? output : last + 1, NULL, 10);
        test_sound(path);
        ck_assert_uint_eq(test_live_blocks(path), pairs == 0 ? 1 : pairs + 2);
    }
}
END_TEST

/* Killed among open transactions of five threads: what it adds up, it checks itself. */
START_TEST(test_bank_threads)
{
    const char *path = test_path("bank");
    struct test_random random = test_random_new(1);
    bool rolled_back = false;

    EXPECT(2, "usage", "examples/example_06_threads %s some", path);
    EXPECT(0, "64000 in 64 accounts, 2000 transfers", "examples/example_06_threads %s 500", path);
    EXPECT(KILLED, "", "examples/example_06_threads %s kill", path);
    for (unsigned i = 0; i < test_times(10) || !rolled_back; i++) { /* later on a busy machine */
        EXPECT(0, "64000 in 64 accounts", "examples/example_06_threads %s 10", path);
        rolled_back |= strstr(output, "rolled back") != NULL;
        test_sound(path);
        run_and_kill(test_below(&random, 30000 * (1 + i / 10)),
                     "examples/example_06_threads %s 1000000000", path);
    }
    EXPECT(0, "64000 in 64 accounts", "examples/example_06_threads %s 0", path);
}
END_TEST

START_TEST(test_tasks)
{
    const char *path = test_path("tasks");
    char program[PATH_MAX];

    snprintf(program, sizeof program, "%s/examples/example_09_tasks", build_directory());
    if (access(program, X_OK) != 0) {
        test_skip("the example in C++", "it was not built");
        return;
    }
    EXPECT(2, "usage", "examples/example_09_tasks %s add 1", path);
    EXPECT(0, "", "examples/example_09_tasks %s add 2 mow 1 write", path);
    EXPECT(1, "soon: not a number", "examples/example_09_tasks %s add 1 rest soon sing", path);
    EXPECT(0, "clean", "vista info %s", path); /* aborted, not left open */
    EXPECT(KILLED, "", "examples/example_09_tasks %s kill add 1 rest", path);
    EXPECT(0, "", "examples/example_09_tasks %s list", path);
    expect_output("1\twrite\n2\tmow\n");
    EXPECT(0, "", "examples/example_09_tasks %s done write", path);
    EXPECT(1, "not there", "examples/example_09_tasks %s done write", path);
    EXPECT(0, "", "examples/example_09_tasks %s list", path);
    expect_output("2\tmow\n");
    test_sound(path);
    ck_assert_uint_eq(test_live_blocks(path), 2); /* the root and a task */
    EXPECT(1, "cannot open", "examples/example_09_tasks /no/such/directory/file list");
}
END_TEST

/* On a disk and in memory, where pages are protected in different ways. */
START_TEST(test_containers)
{
    const char *paths[] = {test_path("book"), test_disk_path("book")};
    const char *number = "a number that is longer than what a string has room for in itself";
    char program[PATH_MAX];

    snprintf(program, sizeof program, "%s/examples/example_10_containers", build_directory());
    if (access(program, X_OK) != 0) {
        test_skip("std::map in a segment", "it was not built");
        return;
    }
    for (int i = 0; i < 2; i++) {
        const char *path = paths[i];

        EXPECT(2, "usage", "examples/example_10_containers %s", path);
        EXPECT(0, "", "examples/example_10_containers %s put bob 56 ann 12 cy '%s'", path, number);
        EXPECT(1, "nobody: not there", "examples/example_10_containers %s put dot 1 del bob nobody",
               path);
        EXPECT(KILLED, "", "examples/example_10_containers %s kill put ann 0 dot '%s' del cy", path,
               number);
        EXPECT(0, "12\n", "examples/example_10_containers %s get ann", path);
        EXPECT(0, "", "examples/example_10_containers %s list", path);
        ck_assert_ptr_eq(strstr(output, "ann\t12\nbob\t56\ncy\ta number that"), output);
        ck_assert_ptr_eq(strstr(output, "dot"), NULL);
        test_sound(path);
        ck_assert_uint_eq(test_live_blocks(path), 5); /* the root, three nodes, one long string */
        EXPECT(0, "", "examples/example_10_containers %s del cy put ann '%s'", path, number);
        EXPECT(0, "", "examples/example_10_containers %s del ann bob", path);
        EXPECT(0, "", "examples/example_10_containers %s list", path);
        expect_output("");
        ck_assert_uint_eq(test_live_blocks(path), 1);
        for (unsigned long n = 0; n < 20; n++) {
            EXPECT(0, "", "examples/example_10_containers %s put k%lu v", path, n);
            EXPECT(KILLED, "", "examples/example_10_containers %s kill put x%lu v del k%lu", path,
                   n, n / 2);
        }
        EXPECT(0, "", "examples/example_10_containers %s list", path);
        ck_assert_ptr_eq(strstr(output, "k0\tv\nk1\tv\nk10\tv\n"), output);
        test_sound(path);
        ck_assert_uint_eq(test_live_blocks(path), 21);
    }
    EXPECT(1, "cannot open", "examples/example_10_containers /no/such/directory/file list");
}
END_TEST

/* Through the shared library, as any language can. */
START_TEST(test_ctypes)
{
    const char *path = test_path("visits");
    char command[4 * PATH_MAX];

    if (access("/usr/bin/python3", X_OK) != 0 || test_is_sanitized() || test_is_valgrind()) {
        test_skip("the example in Python", "there is no Python, or it is not built for this");
        return;
    }
#define PYTHON(words, status, says) \
    snprintf(command, sizeof command, \
             "exec 2>&1; LD_LIBRARY_PATH=%s exec /usr/bin/python3 %s/11_ctypes.py %s %s", \
             build_directory(), VISTA_EXAMPLES, path, words); \
    ck_assert_int_eq(run_shell(command), status); \
    ck_assert_msg(strstr(output, says) != NULL, "%s", output);

    PYTHON("ann", 0, "1\n")
    PYTHON("ann", 0, "2\n")
    PYTHON("ann kill", KILLED, "")
    PYTHON("bob kill", KILLED, "")
    EXPECT(1, "needs recovery: 1 to roll back", "vista info %s", path);
    PYTHON("ann", 0, "3\n")
    PYTHON("bob", 0, "1\n")
    test_sound(path);
    path = "/no/such/directory/file";
    PYTHON("ann", 1, "cannot open")
#undef PYTHON
}
END_TEST

/* Input comes from a file: the programs here have none else. */
START_TEST(test_auto_ranges)
{
    const char *path = test_path("lines"), *input = test_path("input");
    const char *both[] = {path, test_disk_path("lines")};
    FILE *file = fopen(input, "we");

    ck_assert_ptr_ne(file, NULL);
    fputs("plum\nfig\npear\nno newline", file);
    fclose(file);
    EXPECT(2, "usage", "examples/example_04_auto_ranges %s kill", path);
    for (int i = 0; i < 2; i++) { /* pages are protected in different ways */
        EXPECT(0, "", "examples/example_04_auto_ranges %s read <%s", both[i], input);
        EXPECT(KILLED, "", "examples/example_04_auto_ranges %s kill sort", both[i]);
        EXPECT(0, "", "examples/example_04_auto_ranges %s show", both[i]);
        expect_output("recovered: rolled back what a killed run had not committed\n"
                      "plum\nfig\npear\n");
        EXPECT(0, "", "examples/example_04_auto_ranges %s sort", both[i]);
        EXPECT(KILLED, "", "examples/example_04_auto_ranges %s kill read <%s", both[i], input);
        EXPECT(0, "", "examples/example_04_auto_ranges %s sort", both[i]);
        EXPECT(0, "", "examples/example_04_auto_ranges %s show", both[i]);
        expect_output("fig\npear\nplum\n");
        test_sound(both[i]);
    }
    EXPECT(1, "cannot open", "examples/example_04_auto_ranges /no/such/directory/file show");
}
END_TEST

START_TEST(test_two_banks)
{
    const char *north = test_path("north"), *south = test_path("south");

    EXPECT(2, "usage", "examples/example_05_two_banks %s", north);
    EXPECT(0, "", "examples/example_05_two_banks %s %s 70", north, south);
    expect_output("north 930, south 1070, together 2000\n");
    EXPECT(KILLED, "", "examples/example_05_two_banks %s %s 5 kill", north, south);
    EXPECT(0, "rolled back: 1", "vista recover %s", south); /* from either */
    EXPECT(0, "", "examples/example_05_two_banks %s %s", north, south);
    expect_output("north 930, south 1070, together 2000\n");
    EXPECT(KILLED, "", "examples/example_05_two_banks %s %s -5 kill", north, south);
    EXPECT(0, "", "examples/example_05_two_banks %s %s 2000", north, south);
    expect_output("recovered: a transfer that was killed half-way has not been\n"
                  "refused: there is not so much\n"
                  "north 930, south 1070, together 2000\n");
    test_sound(north);
    test_sound(south);
}
END_TEST

/* ---- The disk class -------------------------------------------------------- */

/* What a killed run had not committed was in its memory alone, so that nobody has to say so. */
START_TEST(test_disk_class)
{
    const char *counter = test_path("counter"), *list = test_path("list"), *map = test_path("map");
    const char *bank = test_path("bank"), *tasks = test_path("tasks"), *tree = test_path("tree");
    const char *lines = test_path("lines"), *input = test_path("input");
    FILE *file = fopen(input, "we");

    ck_assert_ptr_ne(file, NULL);
    fputs("plum\nfig\npear\n", file);
    fclose(file);
    ck_assert_int_eq(setenv("VISTA_CLASS", "disk", 1), 0);
    EXPECT(0, "1\n", "examples/example_01_counter %s", counter);
    EXPECT(KILLED, "", "examples/example_01_counter %s kill", counter);
    EXPECT(0, "2\n", "examples/example_01_counter %s", counter);
    EXPECT(0, "", "examples/example_02_list %s add one two", list);
    EXPECT(KILLED, "", "examples/example_02_list %s add three kill four", list);
    EXPECT(0, "two\none\n", "examples/example_02_list %s show", list);
    EXPECT(0, "", "examples/example_03_hashmap %s put colour green", map);
    EXPECT(KILLED, "", "examples/example_03_hashmap %s kill put colour red", map);
    EXPECT(0, "", "examples/example_03_hashmap %s fill 2000", map);
    EXPECT(0, "green\n", "examples/example_03_hashmap %s get colour", map);
    ck_assert_uint_eq(test_live_blocks(map), 2001 + 2); /* the root, the table */
    EXPECT(0, "", "examples/example_04_auto_ranges %s read <%s", lines, input);
    EXPECT(KILLED, "", "examples/example_04_auto_ranges %s kill sort", lines);
    EXPECT(0, "plum\nfig\npear\n", "examples/example_04_auto_ranges %s show", lines);
    EXPECT(0, "", "examples/example_04_auto_ranges %s sort", lines);
    EXPECT(0, "fig\npear\nplum\n", "examples/example_04_auto_ranges %s show", lines);
    EXPECT(0, "64000 in 64 accounts", "examples/example_06_threads %s 50", bank);
    EXPECT(KILLED, "", "examples/example_06_threads %s kill", bank);
    EXPECT(0, "64000 in 64 accounts", "examples/example_06_threads %s 0", bank);
    EXPECT(0, "", "examples/example_07_btree %s fill 300", tree);
    EXPECT(KILLED, "", "examples/example_07_btree %s kill put apple red", tree);
    EXPECT(0, "300 keys in ", "examples/example_07_btree %s check", tree);
    EXPECT(0, "", "examples/example_09_tasks %s add 2 mow 1 write", tasks);
    EXPECT(KILLED, "", "examples/example_09_tasks %s kill add 1 rest", tasks);
    EXPECT(0, "1\twrite\n2\tmow\n", "examples/example_09_tasks %s list", tasks);
    EXPECT(0, "\"log_class\": \"disk\"", "vista info --json %s", tasks);
    test_sound(map);
    test_sound(tree);
}
END_TEST

START_TEST(test_disk_class_of_two)
{
    const char *north = test_path("north"), *south = test_path("south"), *book = test_path("book");

    ck_assert_int_eq(setenv("VISTA_CLASS", "disk", 1), 0);
    EXPECT(0, "north 930, south 1070", "examples/example_05_two_banks %s %s 70", north, south);
    EXPECT(KILLED, "", "examples/example_05_two_banks %s %s 5 kill", north, south);
    EXPECT(0, "", "vista recover %s", south); /* from either */
    EXPECT(0, "north 930, south 1070", "examples/example_05_two_banks %s %s", north, south);
    EXPECT(0, "\"log_class\": \"disk\"", "vista info --json %s", south);
    test_sound(north);
    test_sound(south);
    EXPECT(0, "", "examples/example_10_containers %s put bob 56 ann 12", book);
    EXPECT(KILLED, "", "examples/example_10_containers %s kill put ann 0 del bob", book);
    EXPECT(0, "ann\t12\nbob\t56\n", "examples/example_10_containers %s list", book);
    test_sound(book);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("examples");
    TCase *examples = test_case(suite, "examples", 60);

    tcase_add_test(examples, test_counter);
    tcase_add_test(examples, test_list);
    tcase_add_test(examples, test_hashmap);
    tcase_add_test(examples, test_killed_fill);
    tcase_add_test(examples, test_auto_ranges);
    tcase_add_test(examples, test_two_banks);
    tcase_add_test(examples, test_bank_threads);
    tcase_add_test(examples, test_tasks);
    tcase_add_test(examples, test_containers);
    tcase_add_test(examples, test_ctypes);
    tcase_add_test(examples, test_disk_class);
    tcase_add_test(examples, test_disk_class_of_two);
    return test_run(suite);
}
