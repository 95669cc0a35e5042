/* SPDX-License-Identifier: BSD-3-Clause
 *
 * VISTA_CHECK_RANGES: what was stored to without being declared is found, and
 * nothing else.
 *
 * Scenarios: the first store to a page and a later one; before its declaration,
 * beside it, over its end, to a block of another transaction; what may be stored to:
 * fresh blocks, declared bytes, opened pages, the kernel's stores; threads whose
 * transactions wait for each other; each example with each of its declarations taken out
 * in turn; and where a store is said to be made, beside what addr2line makes of it.
 */
#include "command.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#define PAGE ((size_t)4096)
#define SIZE ((size_t)1 << 20)

typedef uint64_t unaligned __attribute__((aligned(1), may_alias));

static vista_segment *segment;
static volatile unsigned char *base;
static const char *path;

static void open_as(int disk, unsigned flags)
{
    path = disk ? test_disk_path("undeclared") : test_path("undeclared");
    segment = vista_map(path, SIZE, VISTA_CREATE | VISTA_CHECK_RANGES | flags, NULL);
    SOME(segment);
    base = vista_base(segment);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    return tx;
}

static void declare(vista_tx *tx, size_t offset, size_t length)
{
    OK(vista_set_range(tx, (void *)(base + offset), length));
}

/* The end is refused, with this offset and so many stores in its message. */
static void found(vista_tx *tx, size_t offset, unsigned count)
{
    char number[100];

    snprintf(number, sizeof number, "0x%zx, offset %zu, by ", (size_t)(base + offset), offset);
    FAILS(vista_end_transaction(tx, 0), EFAULT, number);
    snprintf(number, sizeof number, "; %u such stores in all", count);
    FAILS(vista_end_transaction(tx, 0), EFAULT, number);
    FAILS(vista_unmap(segment), EBUSY, number);
    NULLS(vista_begin_transaction(segment, 0), EBUSY, number);
    OK(vista_abort_transaction(tx));
}

/* Not inlined, and seen by dladdr: test programs are linked with their symbols. */
__attribute__((noinline)) static void forgetful(size_t offset)
{
    base[offset] = 9;
}

START_TEST(stores_that_are_found)
{
    vista_tx *tx;

    open_as(_i, VISTA_NO_HEAP);
    tx = begin(); /* the first to its page: the place is known */
    forgetful(5000);
    ck_assert(vista_end_transaction(tx, 0) == -1 && test_says("test_undeclared+0x"));
    found(tx, 5000, 1);
    ck_assert_uint_eq(base[5000], 0); /* taken back, though not declared */

    tx = vista_begin_transaction(segment, VISTA_NO_RESTORE); /* it cannot keep its promise */
    SOME(tx);
    FAILS(vista_abort_transaction(tx), EINVAL, "VISTA_NO_RESTORE");
    forgetful(5000);
    found(tx, 5000, 1);
    ck_assert_uint_eq(base[5000], 0);

    tx = begin(); /* beside what is declared */
    declare(tx, 100, 8);
    base[100] = 1;
    base[108] = 1;
    ck_assert(vista_end_transaction(tx, 0) == -1 && test_says("watchpoint"));
    found(tx, 108, 1);
    ck_assert_uint_eq(base[100] + base[108], 0);

    tx = begin(); /* over its end */
    declare(tx, 100, 7);
    *(volatile unaligned *)(base + 100) = UINT64_MAX;
    found(tx, 107, 1);

    tx = begin(); /* before it is declared */
    base[9000] = 3;
    declare(tx, 9000, 1);
    found(tx, 9000, 1);

    tx = begin(); /* many, on many pages */
    declare(tx, 20 * PAGE, 1);
    for (size_t i = 0; i < 20; i++) {
        base[20 * PAGE + 100 + 50 * i] = 1;
        base[(30 + i) * PAGE] = 1;
    }
    found(tx, 30 * PAGE, 40);
    for (size_t i = 0; i < SIZE; i++)
        ck_assert_uint_eq(base[i], 0);

    tx = begin(); /* nothing is left of all that */
    declare(tx, 5000, 1);
    base[5000] = 1;
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

START_TEST(stores_that_may_be)
{
    int ends[2];
    unsigned char *block, *kept;
    struct iovec some[2];
    vista_tx *tx;

    open_as(_i, 0);
    kept = vista_root(segment, 100);
    SOME(kept);
    tx = begin();
    block = vista_malloc(tx, 100);
    SOME(block);
    memset(block, 1, vista_usable_size(segment, kept)); /* of its class */
    block = vista_realloc(tx, block, 30000);
    SOME(block);
    memset(block + 100, 1, 29900);
    memset(vista_calloc(tx, 3, PAGE), 7, 3 * PAGE);
    OK(vista_free(tx, block));
    some[0] = (struct iovec){kept, 1};
    some[1] = (struct iovec){kept + 50, 50};
    OK(vista_set_ranges(tx, some, 2));
    kept[0] = 1;
    memset(kept + 50, 1, 50);
    OK(vista_set_range(tx, kept + 10, 12));
    OK(pipe(ends));
    ck_assert_int_eq(write(ends[1], "twelve bytes", 12), 12);
    ck_assert_int_eq(read(ends[0], kept + 10, 12), 12);
    OK(vista_end_transaction(tx, 0));

    tx = begin(); /* a block of an earlier transaction */
    block = vista_malloc(tx, 100);
    SOME(block);
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    SOME(vista_malloc(tx, 100));
    block[3]++;
    found(tx, (size_t)(block + 3 - base), 1);

    tx = begin();
    OK(vista_open_pages(tx, block, 1));
    block[50]++;
    OK(vista_end_transaction(tx, 0));
    SOME(vista_root(segment, 50000)); /* moves */
    OK(vista_unmap(segment));
    test_sound(path);
}
END_TEST

/* ---- Threads ----------------------------------------------------------- */

static void *count_up(void *offset)
{
    for (int i = 0; i < 100; i++) {
        vista_tx *tx = begin();

        declare(tx, (uintptr_t)offset, 1);
        base[(uintptr_t)offset]++;
        OK(vista_end_transaction(tx, 0));
    }
    return NULL;
}

START_TEST(threads_wait)
{
    pthread_t threads[4];

    open_as(_i, VISTA_NO_HEAP);
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_up, (void *)i), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(base[i], 100);
    begin();
    NULLS(vista_begin_transaction(segment, 0), EBUSY, "only one");
}
END_TEST

START_TEST(flags_and_environment)
{
    struct vista_info info;

    path = test_path("environment");
    NULLS(vista_map(path, SIZE, VISTA_CREATE | VISTA_CHECK_RANGES | VISTA_AUTO_RANGE, NULL), EINVAL,
          "VISTA_AUTO_RANGE");
    NULLS(vista_map(path, 0, VISTA_CHECK_RANGES | VISTA_READ_ONLY, NULL), EINVAL,
          "VISTA_READ_ONLY");
    setenv("VISTA_CHECK", "everything", 1);
    NULLS(vista_map(path, SIZE, VISTA_CREATE, NULL), EINVAL, "VISTA_CHECK");
    setenv("VISTA_CHECK", "ranges", 1);
    segment = vista_map(path, SIZE, VISTA_CREATE, NULL);
    SOME(segment);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.flags, VISTA_CHECK_RANGES);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, VISTA_AUTO_RANGE, NULL);
    SOME(segment);
    OK(vista_info(segment, &info));
    ck_assert_uint_eq(info.flags, VISTA_AUTO_RANGE);
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(segment);
    OK(vista_unmap(segment));
}
END_TEST

/* ---- The examples ------------------------------------------------------ */

/* Shell commands for each; $P is the program and its segment's path. */
static const struct {
    const char *name;
    unsigned calls; /* of vista_set_range and vista_set_ranges in it */
    const char *commands[5];
} examples[] = {
    {"01_counter.c", 1, {"$P"}},
    {"02_list.c", 2, {"$P add one two three", "$P remove two"}},
    {"03_hashmap.c", 5, {"$P fill 50", "$P put key7 more", "$P del key8", "$P count"}},
    {"05_two_banks.c", 3, {"rm -f ${P#* }2; $P ${P#* }2 70"}},
    /* Of 1200 transfers, one in sixteen goes to the clerk: none at all, once in 10^33. */
    {"06_threads.c", 5, {"$P 300"}},
    {"07_btree.c",
     5,
     {"$P fill 40", "$P put x y", "$P del x",
      "for i in $(seq 0 39); do printf 'del %010d\\n' $((i * 2654435761 % 4294967296)); done | $P "
      "run"}},
    {"09_tasks.cpp", 1, {"$P add 1 write 2 mow", "$P done write"}},
};

/* A copy of the example whose call number `out` (from 1 on; 0: none) does nothing,
 * compiled as `program`. */
static void compile(const char *name, unsigned out, const char *program, const char *options)
{
    char command[4 * PATH_MAX];

    snprintf(
        command, sizeof command,
        "awk -v out=%u '/include <vista.h>/ {"
        " print \"#include <vista.h>\";"
        " print \"#define vista_no_range(...) 0\";"
        " print \"#define vista_no_ranges(...) 0\"; next }"
        " !/^ *(\\/\\*| \\*|\\/\\/)/ { line = $0; $0 = \"\";"
        "   while (match(line, /vista_set_ranges?\\(/)) {"
        "     call = substr(line, RSTART, RLENGTH);"
        "     if (++n == out) sub(/set/, \"no\", call);"
        "     $0 = $0 substr(line, 1, RSTART - 1) call; line = substr(line, RSTART + RLENGTH) }"
        "   $0 = $0 line }"
        " { print }' %s/%s > %s.source",
        out, VISTA_EXAMPLES, name, program);
    ck_assert_int_eq(system(command), 0);
    snprintf(command, sizeof command,
             "%s -w %s -x %s %s.source -x none -o %s -L%s -Wl,-rpath,%s -lvista -pthread %s",
             VISTA_COMPILE, options, strstr(name, ".cpp") != NULL ? "c++ -std=c++17" : "c -std=c17",
             program, program, build_directory(), build_directory(),
             strstr(name, ".cpp") != NULL ? "-lstdc++" : "");
    ck_assert_int_eq(system(command), 0);
}

/* Runs the commands up to the first that finds something: does one? */
static bool finds(const char *program, const char *const *commands)
{
    const char *file = test_path("example");
    char line[2 * PATH_MAX];

    unlink(file);
    for (; *commands != NULL; commands++) {
        FILE *pipe;
        size_t got;

        snprintf(line, sizeof line, "exec 2>&1; export VISTA_CHECK=ranges; P='%s %s'; %s", program,
                 file, *commands);
        pipe = popen(line, "r");
        ck_assert_ptr_ne(pipe, NULL);
        got = fread(output, 1, sizeof output - 1, pipe);
        output[got] = '\0';
        if (pclose(pipe) != 0)
            return strstr(output, "stored to without vista_set_range: 0x") != NULL;
    }
    return false;
}

START_TEST(forgotten_ranges)
{
    char program[PATH_MAX];

    if (test_is_sanitized()) {
        test_skip("examples with a range taken out", "compiled without sanitizers only");
        return;
    }
    for (unsigned out = 0; out <= examples[_i].calls; out++) {
        snprintf(program, sizeof program, "%s", test_disk_path(examples[_i].name));
        compile(examples[_i].name, out, program, "");
        ck_assert_msg(finds(program, examples[_i].commands) == (out != 0),
                      "%s without its call number %u: %s", examples[_i].name, out, output);
    }
}
END_TEST

/* The store is in this line of the program's source. */
static void is_the_line(const char *program, const char *said)
{
    const char *line = strstr(said, ".source:");
    char command[2 * PATH_MAX];

    ck_assert_msg(line != NULL, "no line: %s", said);
    snprintf(command, sizeof command, "sed -n %dp %s.source", atoi(line + strlen(".source:")),
             program);
    ck_assert_int_eq(run_shell(command), 0);
    ck_assert_str_eq(output, "    counter->runs++;\n");
}

#ifdef __clang__
#define LINES "-g -gdwarf-aranges" /* else libdw of Debian 12 finds nothing */
#else
#define LINES "-g"
#endif

/* Both what is said of the line and the offset, which is for addr2line. */
START_TEST(source_lines)
{
    const char *const kinds[] = {LINES " -pie -fPIE", LINES " -no-pie -fno-pie",
                                 "-g0 -s -Wl,--build-id"};
    const char *const commands[] = {"$P", NULL};
    char program[PATH_MAX], command[2 * PATH_MAX], *offset;

    if (test_is_sanitized()) {
        test_skip("the source lines of stores", "compiled without sanitizers only");
        return;
    }
    setenv("DEBUGINFOD_URLS", "http://127.0.0.1:1/", 1); /* nobody is to be asked */
    setenv("DEBUGINFOD_CACHE_PATH", test_path("asked"), 1);
    snprintf(program, sizeof program, "%s", test_disk_path("lines"));
    compile("01_counter.c", 1, program, kinds[_i]);
    ck_assert(finds(program, commands));
    offset = strstr(output, "+0x");
    ck_assert_ptr_ne(offset, NULL);
    snprintf(command, sizeof command, "addr2line -e %s %.*s", program,
             (int)strcspn(offset + 1, ",; )"), offset + 1);
    if (_i == 2) { /* not known */
        ck_assert_msg(strstr(output, ".source:") == NULL, "%s", output);
        ck_assert_int_ne(access(test_path("asked"), F_OK), 0);
        return;
    }
    if (dlopen("libdw.so.1", RTLD_NOW) == NULL)
        test_skip("the source lines of stores", "libdw is not installed");
    else
        is_the_line(program, output);
    ck_assert_int_eq(run_shell(command), 0);
    is_the_line(program, output);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("undeclared");
    TCase *tests = test_case(suite, "stores", 60);

    tcase_add_loop_test(tests, stores_that_are_found, 0, 2);
    tcase_add_loop_test(tests, stores_that_may_be, 0, 2);
    tcase_add_loop_test(tests, threads_wait, 0, 2);
    tcase_add_test(tests, flags_and_environment);
    tests = test_case(suite, "examples", 120);
    tcase_add_loop_test(tests, forgotten_ranges, 0, (int)(sizeof examples / sizeof examples[0]));
    tcase_add_loop_test(tests, source_lines, 0, 3);
    return test_run(suite);
}
