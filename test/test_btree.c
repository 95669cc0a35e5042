/* SPDX-License-Identifier: BSD-3-Clause
 *
 * examples/07_btree.c against a sorted model, through its command line: the tree grows
 * until it has several levels, and shrinks until nothing is left.  Then it is killed.
 */
#include "command.h"

#define KEYS 4000u
#define PROGRAM "examples/example_07_btree"

/* ---- A script and what it has to print ---------------------------------- */

static unsigned model[KEYS]; /* the value of each key, 0: not there */
static FILE *script, *expected;

static unsigned count_model(void)
{
    unsigned count = 0;

    for (unsigned key = 0; key < KEYS; key++)
        count += model[key] != 0;
    return count;
}

static void do_put(unsigned key, unsigned value)
{
    fprintf(script, "put k%05u %u\n", key, value);
    model[key] = value;
}

static void do_del(unsigned key)
{
    fprintf(script, "del k%05u\n", key);
    if (model[key] == 0)
        fprintf(expected, "not there\n");
    model[key] = 0;
}

static void do_get(unsigned key)
{
    fprintf(script, "get k%05u\n", key);
    if (model[key] == 0)
        fprintf(expected, "not there\n");
    else
        fprintf(expected, "%u\n", model[key]);
}

static void do_scan(unsigned from, unsigned to)
{
    fprintf(script, "scan k%05u k%05u\n", from, to);
    for (unsigned key = from; key <= to && key < KEYS; key++)
        if (model[key] != 0)
            fprintf(expected, "k%05u\t%u\n", key, model[key]);
}

static void do_check(void)
{
    fprintf(script, "check\n");
    fprintf(expected, "%u keys in \n", count_model());
}

/* Of a hundred changes, `puts` are puts. */
static void write_phase(struct test_random *random, unsigned steps, unsigned puts)
{
    for (unsigned i = 0; i < steps; i++) {
        const unsigned key = (unsigned)test_below(random, KEYS);

        switch (test_below(random, 16)) {
        case 0:
            do_get(key);
            break;
        case 1:
            do_scan(key, key + (unsigned)test_below(random, 200));
            break;
        default:
            if (test_below(random, 100) < puts)
                do_put(key, 1 + (unsigned)test_below(random, 1000000));
            else
                do_del(key);
        }
        if (i % 256 == 0)
            do_check();
    }
    do_check();
    do_scan(0, KEYS);
}

/* Whole lines, but of what has a number that the model does not know the beginning. */
static void compare(const char *path, const char *script_path, const char *expected_path)
{
    char command[2 * PATH_MAX], wanted[128], got[128];
    unsigned line = 0;
    FILE *lines, *result;

    snprintf(command, sizeof command, "%s/" PROGRAM " %s run <%s", build_directory(), path,
             script_path);
    result = popen(command, "r");
    lines = fopen(expected_path, "r");
    ck_assert(result != NULL && lines != NULL);
    for (; fgets(wanted, sizeof wanted, lines) != NULL; line++) {
        const char *open = strstr(wanted, " \n");
        const size_t length = open == NULL ? strlen(wanted) : (size_t)(open - wanted);

        ck_assert_msg(fgets(got, sizeof got, result) != NULL && strncmp(got, wanted, length) == 0,
                      "line %u: \"%s\", expected \"%s\"", line, got, wanted);
    }
    ck_assert_ptr_eq(fgets(got, sizeof got, result), NULL);
    ck_assert_int_eq(pclose(result), 0);
    fclose(lines);
}

/* Each node and each value is a block, and none is lost. */
static void expect_blocks(const char *path)
{
    unsigned long keys, nodes;
    const char *line;

    EXPECT(0, " keys in ", PROGRAM " %s check", path);
    line = strstr(output, "finished\n"); /* what was recovered is told in a line before */
    line = line == NULL ? output : line + strlen("finished\n");
    ck_assert_int_eq(sscanf(line, "%lu keys in %lu nodes", &keys, &nodes), 2);
    test_sound(path);
    ck_assert_uint_eq(test_live_blocks(path), 1 + keys + nodes);
}

START_TEST(test_model)
{
    const char *path = test_path("tree"), *script_path = test_path("script");
    const char *expected_path = test_path("expected");
    struct test_random random = test_random_new(0);

    script = fopen(script_path, "w");
    expected = fopen(expected_path, "w");
    ck_assert(script != NULL && expected != NULL);
    do_check();
    write_phase(&random, test_times(20000), 80);
    write_phase(&random, test_times(20000), 20);
    write_phase(&random, test_times(20000), 50);
    for (unsigned key = 0; key < KEYS; key++) /* from the left: borrows from the right, */
        if (model[key] != 0)
            do_del(key);
    write_phase(&random, test_times(5000), 60);
    for (unsigned key = KEYS; key-- > 0;) /* and the other way */
        do_del(key);
    do_check();
    fclose(script);
    fclose(expected);
    compare(path, script_path, expected_path);
    EXPECT(0, "0 keys in 1 nodes, height 1\n", PROGRAM " %s check", path);
    expect_blocks(path);
}
END_TEST

START_TEST(test_commands)
{
    const char *path = test_path("tree");

    EXPECT(2, "usage", PROGRAM " %s put plum", path);
    EXPECT(0, "0 keys in 0 nodes, height 0\n", PROGRAM " %s check", path);
    EXPECT(0, "", PROGRAM " %s scan", path);
    EXPECT(1, "not there", PROGRAM " %s get plum", path);
    EXPECT(0, "", PROGRAM " %s put plum 3", path);
    EXPECT(0, "", PROGRAM " %s put apple ''", path);
    EXPECT(0, "3\n", PROGRAM " %s get plum", path);
    EXPECT(0, "apple\t\nplum\t3\n", PROGRAM " %s scan", path);
    EXPECT(1, "at most 31 bytes", PROGRAM " %s put 12345678901234567890123456789012 1", path);
    EXPECT(0, "", PROGRAM " %s put 1234567890123456789012345678901 1", path);
    EXPECT(1, "not there", PROGRAM " %s del pear", path);
    expect_blocks(path);
}
END_TEST

/* Killed before the commit of each of many puts and dels, some of which split or merge. */
START_TEST(test_killed_before_commit)
{
    const char *path = test_path("tree");
    unsigned long nodes, least = -1ul, most = 0;

    EXPECT(0, "", PROGRAM " %s fill 300", path);
    for (unsigned i = 0; i < test_times(60); i++) {
        EXPECT(0, "", PROGRAM " %s put %05u x", path, i);
        EXPECT(KILLED, "", PROGRAM " %s kill put %05u y", path, i + 1);
        EXPECT(1, "not there", PROGRAM " %s get %05u", path, i + 1);
        EXPECT(KILLED, "", PROGRAM " %s kill del %05u", path, i);
        EXPECT(0, "x\n", PROGRAM " %s get %05u", path, i);
        EXPECT(0, " nodes", PROGRAM " %s check", path);
        ck_assert_int_eq(sscanf(output, "%*u keys in %lu", &nodes), 1);
        least = nodes < least ? nodes : least;
        most = nodes > most ? nodes : most;
    }
    ck_assert(most > least || test_scale() < 1);
    expect_blocks(path);
}
END_TEST

START_TEST(test_killed_at_random)
{
    const char *path = test_path("tree");
    struct test_random random = test_random_new(2);

    for (unsigned i = 0; i < test_times(10); i++) {
        run_and_kill(test_below(&random, 150000), PROGRAM " %s fill 1000000000", path);
        expect_blocks(path);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("btree");
    TCase *tests = test_case(suite, "btree", 60);

    tcase_add_test(tests, test_model);
    tcase_add_test(tests, test_commands);
    tcase_add_test(tests, test_killed_before_commit);
    tcase_add_test(tests, test_killed_at_random);
    return test_run(suite);
}
