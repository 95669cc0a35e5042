/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Refused system calls, where several segments, automatic ranges and sizes that change
 * are at stake: each is a clear error, loses nothing that was committed and leaves the
 * library usable.
 *
 * Scenarios: two segments with one log are made, changed, made larger and smaller,
 * unmapped, in either order, and mapped again, and the K-th system call of each kind is
 * refused, alone or with all that follow, for every K; with ranges that are declared,
 * that are automatic, and that are checked; with pages protected by userfaultfd and by
 * mprotect.  A store may be what fails: its signal then comes to the program.
 */
#include "refusal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE ((size_t)4096)
#define SIZE (40 * PAGE) /* half of which is touched: what did not open is logged again */
#define MAX (8 * SIZE)
#define SEGMENTS 2 /* home, which is flat, and a member with a heap */

static const struct way {
    unsigned class, flags, host; /* which has the handlers: then mprotect serves on tmpfs, too */
} ways[] = {{VISTA_CLASS_KILL, 0, 0},
            {VISTA_CLASS_KILL, VISTA_AUTO_RANGE, 0},
            {VISTA_CLASS_LINE, VISTA_AUTO_RANGE, VISTA_HOST_FAULTS},
            {VISTA_CLASS_LINE, VISTA_CHECK_RANGES, 0}};
#define WAYS ((int)(sizeof ways / sizeof ways[0]))

static const struct way *way;
static char path[SEGMENTS][200], what[128];
static vista_segment *segment[SEGMENTS];
static unsigned char *data[SEGMENTS], expected[SEGMENTS][SIZE];
static unsigned failures;

/* ---- What may be refused ------------------------------------------------ */

static void expect_contents(void)
{
    for (int i = 0; i < SEGMENTS; i++)
        if (segment[i] != NULL && data[i] != NULL)
            ck_assert_msg(memcmp(data[i], expected[i], SIZE) == 0, "%s: contents of %s differ",
                          what, path[i]);
}

/* A call, or a store, has failed: because it was refused something, which it says. */
static void expect_refusal(const char *call, int error)
{
    expect_message(what, call, error, false);
    failures++;
    fault_clear();
}

static sigjmp_buf back;

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    if (way->host == 0 || vista_fault(info, context) == 0)
        siglongjmp(back, 1);
}

/* Before the library's handlers, which pass on to it. */
static void catch_faults(void)
{
    static bool caught; /* by a process for all tests */
    struct sigaction own = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (caught)
        return;
    caught = true;
    sigemptyset(&own.sa_mask);
    OK(sigaction(SIGSEGV, &own, NULL));
    OK(sigaction(SIGBUS, &own, NULL));
}

/* To every page of a part, and to its last byte.  What did not open once does the next time. */
static void store(int i, size_t at, size_t length, int byte)
{
    if (sigsetjmp(back, 1) != 0) {
        ck_assert_msg(test_says("cannot be stored to") && test_says(path[i]), "%s: \"%s\"", what,
                      vista_errormsg());
        expect_refusal("a store", ENOMEM);
    }
    for (size_t n = 0; n < length; n += PAGE)
        ((volatile unsigned char *)data[i])[at + n] = (unsigned char)byte;
    ((volatile unsigned char *)data[i])[at + length - 1] = (unsigned char)byte;
    for (size_t n = 0; n < length; n += PAGE)
        expected[i][at + n] = (unsigned char)byte;
    expected[i][at + length - 1] = (unsigned char)byte;
}

/* ---- A life ------------------------------------------------------------- */

static vista_segment *try_map(int i, bool create)
{
    const struct vista_map_options options = {.max_size = create ? MAX : 0,
                                              .log = i == 0 ? NULL : segment[0]};
    unsigned flags = way->flags | (create ? VISTA_CREATE : 0);

    if (create && i == 0)
        flags |= VISTA_NO_HEAP;
    return vista_map(path[i], create ? (i == 0 ? 1 : 3) * SIZE : 0, flags, &options);
}

/* Half a segment may not be there: it is the whole, or an empty file at most. */
static void map_both(bool create)
{
    struct stat st;

    for (int i = 0; i < SEGMENTS; i++) {
        data[i] = NULL;
        segment[i] = try_map(i, create);
        if (segment[i] == NULL) {
            expect_refusal("vista_map", errno);
            expect_contents();
            if (create)
                ck_assert_msg(stat(path[i], &st) != 0 || st.st_size == 0, "%s: a file is left",
                              what);
            SOME(segment[i] = try_map(i, create));
        }
        if (i == 0)
            data[i] = vista_base(segment[i]);
        else
            TRY_FOR(data[i], vista_root(segment[i], SIZE));
    }
    expect_contents();
}

static void declare(vista_tx *tx, int i, size_t at, size_t length)
{
    if (way->flags != VISTA_AUTO_RANGE)
        TRY(vista_set_range(tx, data[i] + at, length));
}

/* In both, in several chunks of the log; the heap; a range that is not stored to. */
static void change(int byte, bool commit)
{
    static unsigned char before[SEGMENTS][SIZE];
    void *block, *other;
    vista_tx *tx;

    memcpy(before, expected, sizeof before);
    TRY_FOR(tx, vista_begin_transaction(segment[byte % SEGMENTS], 0));
    for (int i = 0; i < SEGMENTS; i++) {
        TRY(vista_set_range(tx, data[i] + 12 * PAGE + 100, 300));
        TRY(vista_set_range(tx, data[i] + 15 * PAGE, 5 * PAGE));
        declare(tx, i, 17, 9 * PAGE);
        store(i, 17, 9 * PAGE, byte);
        declare(tx, i, SIZE - 1, 1);
        store(i, SIZE - 1, 1, byte + 1);
    }
    TRY_FOR(block, vista_malloc_in(tx, segment[1], 100));
    TRY_FOR(other, vista_malloc_in(tx, segment[1], 3 * PAGE));
    TRY(vista_open_pages(tx, data[0] + 21 * PAGE, 2 * PAGE));
    store(0, 21 * PAGE, 2 * PAGE, byte + 2);
    TRY(vista_free(tx, other));
    if (commit) {
        OK(vista_end_transaction(tx, 0));
    } else {
        TRY(vista_abort_transaction(tx));
        memcpy(expected, before, sizeof before);
    }
    expect_contents();
}

/* What a segment may grow to is its own whatever happens: nobody else is mapped there. */
static void expect_reserved(int i)
{
    unsigned char *end = (unsigned char *)vista_base(segment[i]) + vista_size(segment[i]);
    unsigned char resident[MAX / PAGE];
    const size_t left = MAX - vista_size(segment[i]);

    ck_assert_msg(mincore(end, left, resident) == 0, "%s: behind the end of %s there is a hole",
                  what, path[i]);
}

static void resize(int i, size_t size)
{
    const size_t old = vista_size(segment[i]);

    if (vista_resize(segment[i], size) != 0) {
        expect_refusal("vista_resize", errno);
        ck_assert_uint_eq(vista_size(segment[i]), old);
        expect_contents();
        expect_reserved(i);
        OK(vista_resize(segment[i], size));
    }
    ck_assert_uint_eq(vista_size(segment[i]), size);
    expect_reserved(i);
    expect_contents();
}

/* The handle ends in any case. */
static void unmap_both(int first)
{
    for (int n = 0; n < SEGMENTS; n++) {
        const int i = (first + n) % SEGMENTS;

        if (vista_unmap(segment[i]) != 0)
            expect_refusal("vista_unmap", errno);
        segment[i] = NULL;
    }
}

/* Whether there were so many calls that one was refused. */
static bool live(unsigned kinds, unsigned after, unsigned count)
{
    for (int i = 0; i < SEGMENTS; i++)
        unlink(path[i]);
    memset(expected, 0, sizeof expected);
    failures = 0;
    fault_set(kinds, after, count, 0);
    map_both(true);
    change(10, true);
    resize(0, 4 * SIZE);
    resize(1, 5 * SIZE);
    change(21, false);
    change(31, true);
    resize(0, SIZE);
    resize(1, 4 * SIZE);
    unmap_both((int)(after % SEGMENTS));
    map_both(false);
    change(40, false);
    change(50, true);
    unmap_both((int)(after / SEGMENTS % SEGMENTS));
    fault_clear();
    map_both(false);
    change(61, true);
    unmap_both(0);
    for (int i = 0; i < SEGMENTS; i++)
        test_sound(path[i]);
    ck_assert_uint_eq(test_live_blocks(path[1]), 1 + 4); /* the root, and each commit's block */
    return fault_hits() != 0;
}

/* Some are refused alone, and each of them fails something.  Where the library may have another
 * way, or try again, it is with all that follow, too. */
static const struct {
    const char *name;
    unsigned kind;
    bool alone, each_fails;
} refusals[] = {
    {"mmap", CALL_MMAP, false, false},
    {"madvise", CALL_MADVISE, false, false},
    {"fallocate", CALL_FALLOCATE, false, false},
    {"ftruncate", CALL_TRUNCATE, true, false},
    {"fsync", CALL_SYNC, true, true},
    {"open", CALL_OPEN, true, true},
    {"fcntl", CALL_LOCK, true, true},
    {"fstat", CALL_STAT, true, false},
    {"pread", CALL_READ, true, true},
    {"mprotect", CALL_PROTECT, false, false},
    {"userfaultfd", CALL_USERFAULT, false, false},
    {"both", CALL_PROTECT | CALL_USERFAULT, false, false},
};

/* Each call of a kind in turn, and so many from it on: how many made something fail. */
static unsigned refuse_each(size_t r, unsigned count)
{
    const unsigned step = test_scale() < 1 ? 3 : 1;
    unsigned failed = 0, k = (unsigned)(test_seed() % step);
    bool more;

    do {
        snprintf(what, sizeof what, "way %zu, %u of %s from call %u on", (size_t)(way - ways),
                 count, refusals[r].name, k);
        more = live(refusals[r].kind, k, count);
        ck_assert_msg(!more || failures != 0 || !refusals[r].each_fails, "%s: nobody was told",
                      what);
        failed += failures;
        ck_assert_uint_lt(k, 2000);
        k += step;
    } while (more);
    return failed;
}

START_TEST(every_system_call)
{
    unsigned failed = 0, one_kind;

    way = &ways[_i];
    for (int i = 0; i < SEGMENTS; i++)
        snprintf(path[i], sizeof path[i], "%s", test_path(i == 0 ? "home" : "member"));
    OK(vista_init(&(struct vista_options){.force_class = way->class, .flags = way->host}));
    boot_id_known = true;
    catch_faults();
    for (size_t r = 0; r < sizeof refusals / sizeof refusals[0]; r++) {
        if (way->flags == VISTA_CHECK_RANGES && refusals[r].alone)
            continue; /* nothing else than with automatic ranges */
        one_kind = refuse_each(r, 1) + (refusals[r].alone ? 0 : refuse_each(r, 1000000));
        ck_assert_msg(one_kind != 0 || refusals[r].kind >= CALL_PROTECT,
                      "%s: never failed anything", what);
        failed += one_kind;
    }
    ck_assert_msg(one_kind != 0 || way->flags == 0, "no store and no protection ever failed");
    printf("way %d: %u calls and stores failed, and went through when tried again\n", _i, failed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refused");
    TCase *tests = test_case(suite, "refused", 60);

    tcase_add_loop_test(tests, every_system_call, 0, WAYS);
    return test_run(suite);
}
