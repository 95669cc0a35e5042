/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Each row of vista-run's table of system calls: a program that makes the call does under vista-run
 * what it does bare, and the same when it is killed before and after calls that are drawn; without
 * the row's handler it does not.  What is refused is refused by name, once, and the program told.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "checkpoint/kernel/table_rows.h"
/* Of the shell: vista-run that can be killed, the guest. */
#define SHELL_VARIABLES "V='" VISTA_RUN_KILLED " -f ../run.dc --retries 100000'; G=" VISTA_ROWS "; "
#include "run_fixture.h"

#define TEXT 16384
static char work[32];

#define LAST_CALLS 60 /* of a program's calls those that are its own */

enum kind { HANDLED, ABSENT_ROW, REFUSED_ROW };

struct table_row {
    const char *name;
    long number;
    enum kind kind;
    int error;
};

#define CALL_FD(class, name, handler) \
    { \
#name, SYS_##name, HANDLED, 0 \
    }
#define CALL(class, name, handler) \
    { \
#name, SYS_##name, HANDLED, 0 \
    }
#define PASS_FD(class, name) \
    { \
#name, SYS_##name, HANDLED, 0 \
    }
#define PASS(class, name) \
    { \
#name, SYS_##name, HANDLED, 0 \
    }
#define EMPTY(name) \
    { \
#name, SYS_##name, HANDLED, 0 \
    }
#define ABSENT(name) \
    { \
#name, SYS_##name, ABSENT_ROW, ENOSYS \
    }
#define REFUSED_WITH(error, name) \
    { \
#name, SYS_##name, REFUSED_ROW, error \
    }
#define REFUSED(name) REFUSED_WITH(ENOSYS, name)
#define FORBIDDEN(name) REFUSED_WITH(EPERM, name)

static const struct table_row table[] = {VISIBLE_ROWS, FILE_ROWS,   UNDETERMINED_ROWS,
                                         STATE_ROWS,   ABSENT_ROWS, REFUSED_ROWS};
#define ROWS ((int)(sizeof table / sizeof table[0]))

static void read_text(const char *name, char *text)
{
    FILE *file = fopen(name, "re");
    size_t size = 0;

    if (file != NULL) {
        size = fread(text, 1, TEXT - 1, file);
        fclose(file);
    }
    text[size] = '\0';
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(name, "we");

    ck_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* What the program makes its calls on, as it is each time, in a folder of its own. */
static void prepare(void)
{
    static unsigned folders;

    snprintf(work, sizeof work, "w%u", folders++);
    OK(mkdir(work, 0700));
    OK(chdir(work));
    write_text("data", "0123456789");
    write_text("other", "abcdef");
    OK(mkdir("dir", 0700));
    OK(symlink("data", "link"));
    OK(chdir(".."));
}

/* Its output, which is visible where it goes; its status. */
static int run_row(const char *before, const char *name, char *text)
{
    int status;

    prepare();
    status = shell("cd %s; %s $G %s 2>../err >../out </dev/null", work, before, name);
    read_text("out", text);
    return status;
}

static size_t line_length(const char *line)
{
    return strcspn(line, "\n") + (strchr(line, '\n') != NULL);
}

/* The lines of `expected`; behind a resumption the last one may come again. */
static bool is_same_but_repeats(const char *got, const char *expected)
{
    const char *last = expected;

    for (; *got != '\0'; got += line_length(got)) {
        const size_t length = line_length(got);

        if (strncmp(got, expected, length) == 0) {
            last = expected;
            expected += length;
        } else if (strncmp(got, last, length) != 0) {
            return false;
        }
    }
    return *expected == '\0';
}

static uint64_t calls_made(void)
{
    uint64_t calls = 0;
    FILE *file = fopen("calls", "re");

    ck_assert(file != NULL && fread(&calls, sizeof calls, 1, file) == 1);
    fclose(file);
    return calls;
}

/* Some of the last calls, before or after. */
static void draw_kills(struct test_random *random, uint64_t calls, char *list, size_t size)
{
    size_t at = 0;

    *list = '\0';
    for (uint64_t call = calls > LAST_CALLS ? calls - LAST_CALLS : 1;
         call < calls && at + 40 < size; call++) {
        if (test_below(random, 20) == 0)
            at += (size_t)snprintf(list + at, size - at, "%llub ", (unsigned long long)call);
        if (test_below(random, 20) == 0)
            at += (size_t)snprintf(list + at, size - at, "%llua ", (unsigned long long)call);
    }
}

static void handled(const struct table_row *row)
{
    struct test_random random = test_random_new((uint64_t)row->number);
    static char bare[TEXT], got[TEXT], kills[2048], before[2200];
    const int status = run_row("", row->name, bare);

    ck_assert_msg(run_row("VISTA_CALLS=../calls $V", row->name, got) == status &&
                      strcmp(got, bare) == 0,
                  "%s does otherwise than bare:\n%s\nnot\n%s", row->name, got, bare);
    for (unsigned i = 0; i < test_times(1); i++) {
        draw_kills(&random, calls_made(), kills, sizeof kills);
        snprintf(before, sizeof before, "VISTA_KILLS='%s' $V", kills);
        ck_assert_msg(run_row(before, row->name, got) == status && is_same_but_repeats(got, bare),
                      "%s, killed at %s:\n%s\nnot\n%s", row->name, kills, got, bare);
    }
    snprintf(before, sizeof before, "VISTA_WITHOUT=%s timeout -s KILL 0.7 $V --retries 3",
             row->name);
    ck_assert_msg(run_row(before, row->name, got) != status || strcmp(got, bare) != 0,
                  "%s does the same without its row", row->name);
}

static void refused(const struct table_row *row)
{
    char expected[128], said[64], text[TEXT];
    const char *first;

    snprintf(expected, sizeof expected, "1 begin 0\n2 first %d\n3 second %d\n", -row->error,
             -row->error);
    prepare();
    ck_assert_int_eq(shell("cd %s; $V $G - %ld >../out 2>../err </dev/null", work, row->number), 3);
    read_text("out", text);
    ck_assert_str_eq(text, expected);
    read_text("err", text);
    snprintf(said, sizeof said, "%s is refused: ", row->name);
    first = strstr(text, said);
    ck_assert_msg((first != NULL) == (row->kind == REFUSED_ROW), "%s: \"%s\"", row->name, text);
    ck_assert_msg(first == NULL || strstr(first + 1, said) == NULL, "told twice: %s", text);
    ck_assert_int_eq(shell("cd %s; VISTA_WITHOUT=%s $V $G - %ld >../out 2>../err </dev/null", work,
                           row->name, row->number),
                     3);
    read_text("out", text);
    ck_assert_msg(strcmp(text, expected) != 0, "%s is refused without its row", row->name);
}

START_TEST(row_is_as_bare_and_missed)
{
    if (table[_i].kind == HANDLED)
        handled(&table[_i]);
    else
        refused(&table[_i]);
}
END_TEST

/* Numbers that have no row, those of other tables too. */
START_TEST(unknown_is_refused)
{
    char text[TEXT];

    prepare();
    for (int number = 335; number < 520; number += 7) {
        bool known = false;

        for (int i = 0; i < ROWS; i++)
            known = known || table[i].number == number;
        if (known)
            continue;
        ck_assert_int_eq(shell("cd %s; $V $G - %d >../out 2>../err </dev/null", work, number), 3);
        read_text("out", text);
        ck_assert_str_eq(text, "1 begin 0\n2 first -38\n3 second -38\n");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint rows");
    TCase *tests = test_case(suite, "rows", 10);

    if (!vista_run_works(VISTA_RUN_KILLED))
        return 77;
    tcase_add_checked_fixture(tests, enter_case, leave_case);
    tcase_add_loop_test(tests, row_is_as_bare_and_missed, 0, ROWS);
    tcase_add_test(tests, unknown_is_refused);
    return test_run(suite);
}
