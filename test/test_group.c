/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Several segments that share a log: transactions over them, unmapping and mapping in any
 * order, members that are missing, and a kill at any moment, at every instruction of a
 * commit and of an abort too.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "api/mapping.h"
#include "api/opening.h"
#include "base/crc32c.h"
#include "support.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define SEGMENTS 3 /* 0 is home */

static char path[SEGMENTS][200];
static vista_segment *segment[SEGMENTS];
static uint64_t *root[SEGMENTS]; /* what they hold always adds up to TOTAL */
#define TOTAL 3000u

static void names(void)
{
    for (int i = 0; i < SEGMENTS; i++)
        snprintf(path[i], sizeof path[i], "%s",
                 test_path(i == 0   ? "home"
                           : i == 1 ? "one"
                                    : "two"));
}

static vista_segment *map(int i, size_t size, unsigned flags)
{
    const struct vista_map_options options = {.log = i == 0 ? NULL : segment[0]};

    segment[i] = vista_map(path[i], size, flags, &options);
    return segment[i];
}

static void map_all(size_t size, unsigned flags)
{
    for (int i = 0; i < SEGMENTS; i++) {
        SOME(map(i, size, flags));
        root[i] = vista_root(segment[i], 4096);
        SOME(root[i]);
        if (size != 0) {
            vista_tx *tx = vista_begin_transaction(segment[i], 0);

            OK(vista_set_range(tx, root[i], 8));
            root[i][0] = TOTAL / SEGMENTS;
            OK(vista_end_transaction(tx, 0));
        }
    }
}

static void make_group(void)
{
    names();
    map_all(MIB, VISTA_CREATE);
}

static void unmap_all(void)
{
    for (int i = SEGMENTS - 1; i >= 0; i--)
        OK(vista_unmap(segment[i]));
}

static void all_sound(void)
{
    for (int i = 0; i < SEGMENTS; i++)
        test_sound(path[i]);
}

static uint64_t total(void)
{
    return root[0][0] + root[1][0] + root[2][0];
}

static vista_tx *begin(int on)
{
    vista_tx *tx = vista_begin_transaction(segment[on], 0);

    SOME(tx);
    return tx;
}

static void set_class(int class)
{
    static const char *const classes[] = {"kill", "line", "eadr", "disk"};

    setenv("VISTA_CLASS", classes[class], 1);
}

/* ---- One transaction over all ------------------------------------------ */

START_TEST(commit_and_abort)
{
    vista_tx *tx;

    set_class(_i);
    make_group();
    for (int on = 0; on < SEGMENTS; on++)
        for (int commit = 0; commit < 2; commit++) {
            const uint64_t before[] = {root[0][0], root[1][0], root[2][0]};

            tx = begin(on);
            for (int round = 0; round < 3; round++)
                for (int i = 0; i < SEGMENTS; i++) {
                    const struct iovec ranges[] = {{root[(i + 1) % SEGMENTS], 8}, {root[i] + 9, 8}};

                    OK(vista_set_range(tx, root[i], 8));
                    root[i][0] += (uint64_t)i - 1;
                    OK(vista_set_ranges(tx, ranges, 2));
                    root[i][9]++;
                }
            FAILS(vista_set_range(tx, (char *)vista_base(segment[1]) + MIB - 4, 8), EINVAL,
                  path[1]);
            OK(vista_set_range(tx, (char *)vista_base(segment[1]) + MIB, 0));
            FAILS(vista_set_range(tx, (char *)vista_base(segment[1]) + MIB + 1, 0), EINVAL,
                  path[0]);
            FAILS(vista_set_range(tx, &tx, 8), EINVAL, path[0]);
            if (commit)
                OK(vista_end_transaction(tx, 0));
            else
                OK(vista_abort_transaction(tx));
            for (int i = 0; i < SEGMENTS; i++)
                ck_assert_uint_eq(root[i][0], before[i] + (commit ? 3 * ((uint64_t)i - 1) : 0));
        }
    unmap_all();
    all_sound();
    for (int i = SEGMENTS - 1; i >= 0; i--) { /* each alone */
        segment[i] = vista_map(path[i], 0, 0, NULL);
        SOME(segment[i]);
        ck_assert_uint_eq(*(uint64_t *)vista_root(segment[i], 0),
                          TOTAL / SEGMENTS + 9 * ((uint64_t)i - 1));
        OK(vista_unmap(segment[i]));
    }
}
END_TEST

START_TEST(heaps)
{
    struct vista_info info;
    char *block[SEGMENTS], *other;
    vista_tx *tx;

    set_class(_i);
    make_group();
    tx = begin(1);
    for (int i = 0; i < SEGMENTS; i++) {
        block[i] = vista_malloc_in(tx, segment[i], 100 + 10000 * (size_t)i);
        SOME(block[i]);
        ck_assert_uint_lt((size_t)(block[i] - (char *)vista_base(segment[i])), MIB);
        memset(block[i], 'a' + i, 100);
    }
    other = vista_malloc(tx, 48);
    SOME(other);
    ck_assert_uint_lt((size_t)(other - (char *)vista_base(segment[0])), MIB);
    OK(vista_free(tx, other));
    OK(vista_end_transaction(tx, 0));
    tx = begin(2);
    for (int i = 0; i < SEGMENTS; i++) {
        other = vista_realloc(tx, block[i], 40000);
        SOME(other);
        ck_assert_uint_lt((size_t)(other - (char *)vista_base(segment[i])), MIB);
        ck_assert_int_eq(other[99], 'a' + i);
        if (other != block[i]) /* else it grew where it was */
            FAILS(vista_free(tx, block[i]), EINVAL, path[i]);
    }
    OK(vista_abort_transaction(tx));
    tx = begin(0);
    for (int i = 0; i < SEGMENTS; i++) {
        ck_assert_int_eq(block[i][99], 'a' + i);
        ck_assert_uint_ge(vista_usable_size(segment[i], block[i]), 100);
        OK(vista_free(tx, block[i]));
    }
    OK(vista_end_transaction(tx, 0));
    SOME(vista_root(segment[2], 200000)); /* moves */
    ck_assert_uint_eq(*(uint64_t *)vista_root(segment[2], 0), TOTAL / SEGMENTS);
    OK(vista_info(segment[2], &info));
    ck_assert_str_eq(info.log, path[0]);
    OK(vista_resize(segment[1], 2 * MIB));
    tx = begin(0);
    OK(vista_set_range(tx, (char *)vista_base(segment[1]) + 2 * MIB - 8, 8));
    FAILS(vista_resize(segment[1], MIB), EBUSY, "open");
    OK(vista_end_transaction(tx, 0));
    OK(vista_resize(segment[1], MIB));
    tx = begin(0);
    FAILS(vista_set_range(tx, (char *)vista_base(segment[1]) + MIB, 8), EINVAL, "range");
    OK(vista_end_transaction(tx, 0));
    unmap_all();
    all_sound();
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(test_live_blocks(path[i]), 1);
}
END_TEST

/* ---- Mapping and unmapping --------------------------------------------- */

START_TEST(unmap_in_any_order)
{
    static const int orders[][SEGMENTS] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {2, 0, 1}, {2, 1, 0}};
    vista_tx *tx;

    make_group();
    for (size_t order = 0; order < sizeof orders / sizeof orders[0]; order++) {
        tx = begin(order % SEGMENTS);
        for (int i = 0; i < SEGMENTS; i++)
            FAILS(vista_unmap(segment[i]), EBUSY, "open");
        OK(vista_end_transaction(tx, 0));
        for (int at = 0; at < SEGMENTS; at++) {
            tx = begin(orders[order][at]);
            OK(vista_set_range(tx, root[orders[order][at]], 8)); /* the handle remembers it */
            OK(vista_end_transaction(tx, 0));
            OK(vista_unmap(segment[orders[order][at]]));
            FAILS(vista_unmap(segment[orders[order][at]]), EINVAL, "not mapped");
            for (int left = at + 1; left < SEGMENTS; left++) {
                const int i = orders[order][left];

                tx = begin(i);
                if (orders[order][at] != 0)
                    FAILS(vista_set_range(tx, root[orders[order][at]], 8), EINVAL, "range");
                OK(vista_set_range(tx, root[i], 8));
                root[i][0]++;
                SOME(vista_malloc_in(tx, segment[i], 64));
                OK(vista_abort_transaction(tx));
            }
        }
        all_sound();
        map_all(0, 0);
        ck_assert_uint_eq(total(), TOTAL);
    }
    unmap_all();
}
END_TEST

/* Home's heap serves the members when home is unmapped, and grows no more. */
START_TEST(unmapped_home_is_full)
{
    struct vista_map_options options = {0};
    vista_tx *tx;

    names();
    SOME(map(0, 64 * KIB, VISTA_CREATE | VISTA_GROW));
    options.log = segment[0];
    segment[1] = vista_map(path[1], 64 * KIB, VISTA_CREATE | VISTA_GROW, &options);
    SOME(segment[1]);
    OK(vista_unmap(segment[0]));
    tx = begin(1);
    SOME(vista_malloc(tx, 40000));
    NULLS(vista_malloc(tx, 40000), ENOMEM, path[0]);
    SOME(vista_malloc_in(tx, segment[1], 40000));
    SOME(vista_malloc_in(tx, segment[1], 40000));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment[1]));
    ck_assert_uint_eq(test_live_blocks(path[0]), 1);
    ck_assert_uint_eq(test_live_blocks(path[1]), 2);
}
END_TEST

/* Home need have no heap for its members to. */
START_TEST(home_without_heap)
{
    struct vista_map_options options = {0};
    vista_tx *tx;
    void *block;

    names();
    SOME(map(0, 64 * KIB, VISTA_CREATE | VISTA_NO_HEAP));
    options.log = segment[0];
    segment[1] = vista_map(path[1], MIB, VISTA_CREATE | VISTA_SPARSE, &options);
    SOME(segment[1]);
    tx = begin(1);
    NULLS(vista_malloc(tx, 8), ENOTSUP, "no heap");
    block = vista_malloc_in(tx, segment[1], 8);
    SOME(block);
    OK(vista_set_range(tx, vista_base(segment[0]), 8));
    *(uint64_t *)vista_base(segment[0]) = 9;
    OK(vista_end_transaction(tx, 0));
    tx = begin(0);
    OK(vista_free(tx, block));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment[1]));
    ck_assert_uint_eq(test_live_blocks(path[1]), 0);
    OK(vista_unmap(segment[0]));
    segment[0] = vista_map(path[0], 0, 0, NULL);
    SOME(segment[0]);
    ck_assert_uint_eq(*(uint64_t *)vista_base(segment[0]), 9);
    OK(vista_unmap(segment[0]));
}
END_TEST

/* Where the data of home ends that of a member begins. */
START_TEST(adjacent)
{
    struct vista_map_options options = {.max_size = MIB};
    char *base;
    vista_tx *tx;

    set_class(_i);
    names();
    SOME(map(2, 4 * MIB, VISTA_CREATE)); /* somewhere that is free */
    base = vista_base(segment[2]);
    OK(vista_unmap(segment[2]));
    options.address = base;
    segment[0] = vista_map(path[0], MIB, VISTA_CREATE | VISTA_NO_HEAP, &options);
    SOME(segment[0]);
    options = (struct vista_map_options){.address = base + MIB, .log = segment[0]};
    segment[1] = vista_map(path[1], MIB, VISTA_CREATE | VISTA_NO_HEAP, &options);
    SOME(segment[1]);
    tx = begin(0);
    OK(vista_set_range(tx, base + MIB, 8));
    base[MIB] = 1;
    FAILS(vista_set_range(tx, base + MIB - 4, 8), EINVAL, path[0]);
    OK(vista_set_range(tx, base + MIB, 0));
    OK(vista_abort_transaction(tx));
    ck_assert_int_eq(base[MIB], 0);
    OK(vista_unmap(segment[1]));
    OK(vista_unmap(segment[0]));
}
END_TEST

START_TEST(refusals)
{
    struct vista_map_options options = {0};
    vista_segment *alone;
    vista_tx *tx;

    make_group();
    options.log = segment[1]; /* a member: its home is meant */
    alone = vista_map(test_path("three"), MIB, VISTA_CREATE, &options);
    SOME(alone);
    tx = begin(0);
    SOME(vista_malloc_in(tx, alone, 8));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(alone));
    alone = vista_map(test_path("alone"), MIB, VISTA_CREATE, NULL);
    SOME(alone);
    tx = begin(0);
    NULLS(vista_malloc_in(tx, alone, 8), EINVAL, "does not share the log");
    NULLS(vista_malloc_in(tx, NULL, 8), EINVAL, "NULL");
    NULLS(vista_malloc_in(NULL, segment[0], 8), EINVAL, "NULL");
    FAILS(vista_set_range(tx, vista_base(alone), 8), EINVAL, "range");
    OK(vista_end_transaction(tx, 0));
    options.log = segment[0];
    NULLS(vista_map(path[1], 0, VISTA_READ_ONLY, &options), EINVAL, "VISTA_READ_ONLY");
    NULLS(vista_map(test_path("auto"), MIB, VISTA_CREATE | VISTA_AUTO_RANGE, &options), EINVAL,
          "VISTA_AUTO_RANGE");
    NULLS(vista_map(path[1], 0, 0, &options), EBUSY, path[1]);
    NULLS(vista_map(path[0], 0, 0, &options), EBUSY, path[0]);
    setenv("VISTA_CLASS", "line", 1);
    NULLS(vista_map(test_path("lines"), MIB, VISTA_CREATE, &options), ENOTSUP, "class");
    unsetenv("VISTA_CLASS");
    OK(vista_unmap(alone));
    options.log = alone;
    NULLS(vista_map(test_path("four"), MIB, VISTA_CREATE, &options), EINVAL, "not mapped");
    unmap_all();
    test_copy(path[1], path[2]);
    SOME(map(0, 0, 0));
    SOME(map(1, 0, 0));
    NULLS(map(2, 0, VISTA_ANY_ADDRESS), EINVAL, "is a copy");
    OK(vista_unmap(segment[1]));
    SOME(map(2, 0, 0));
    OK(vista_unmap(segment[2]));
    OK(vista_unmap(segment[0]));
}
END_TEST

/* ---- Crashes ----------------------------------------------------------- */

static void *const place = (void *)0x551234400000;

/* Two members one after the other at the same address, or half a segment above it; the
 * first commits what the second does not. */
static void die_where_another_was(void *argument)
{
    struct vista_map_options options = {0};
    vista_tx *tx;

    segment[0] = vista_map(path[0], MIB, VISTA_CREATE | VISTA_NO_HEAP, NULL);
    REQUIRE(segment[0] != NULL);
    options.log = segment[0];
    for (int i = 1; i < SEGMENTS; i++) {
        options.address = (char *)place + (*(int *)argument == i ? 2 * MIB : 0);
        segment[1] = vista_map(path[i], 4 * MIB, VISTA_CREATE | VISTA_NO_HEAP, &options);
        REQUIRE(segment[1] != NULL);
        memset(vista_base(segment[1]), 1, 4 * MIB);
        tx = vista_begin_transaction(segment[1], 0);
        REQUIRE(tx != NULL && vista_set_range(tx, vista_base(segment[1]), 4 * MIB) == 0);
        memset(vista_base(segment[1]), 2, 4 * MIB);
        if (i == 1)
            REQUIRE(vista_end_transaction(tx, 0) == 0 && vista_unmap(segment[1]) == 0);
    }
    raise(SIGKILL);
}

/* What is in the log is of the member that is mapped, not of one that was there before. */
START_TEST(place_of_another)
{
    const unsigned char *data;

    names();
    ck_assert_int_eq(test_in_child(die_where_another_was, &_i), 128 + SIGKILL);
    OK(vista_check(path[0], 0, NULL, NULL));
    for (int i = SEGMENTS - 1; i > 0; i--) {
        segment[i] = vista_map(path[i], 0, 0, NULL);
        SOME(segment[i]);
        data = vista_base(segment[i]);
        for (size_t at = 0; at < 4 * MIB; at += KIB) /* the first one's were committed */
            ck_assert_uint_eq(data[at], i == 1 ? 2 : 1);
        OK(vista_unmap(segment[i]));
    }
}
END_TEST

static bool *near;

/* Their data lies side by side, in a hole that their metadata does not fit into. */
static void die_moved(void *argument)
{
    struct vista_map_options options = {0};
    const size_t above = *(int *)argument == 2 ? 24 * MIB : 4096; /* for members */
    unsigned char *base[SEGMENTS], *hole, *filler;
    vista_tx *tx;

    hole = mmap(NULL, 128 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(hole != MAP_FAILED && munmap(hole + 64 * MIB, 64 * MIB) == 0);
    REQUIRE(mmap(place, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                 0) == place);
    filler = mmap(NULL, above, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(filler != MAP_FAILED);
    for (int i = 0; i < SEGMENTS; i++) {
        segment[i] = vista_map(path[i], 0, VISTA_ANY_ADDRESS, &options);
        REQUIRE(segment[i] != NULL);
        REQUIRE(i > 0 || munmap(filler, above) == 0);
        options.log = segment[0];
        base[i] = vista_base(segment[i]);
        *near |= i > 0 && llabs(base[i] - base[i - 1]) < (ptrdiff_t)(64 * MIB);
    }
    if (*(int *)argument == 1) { /* the first member comes below the second */
        REQUIRE(vista_unmap(segment[1]) == 0);
        REQUIRE(mmap(NULL, 12 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
        segment[1] = vista_map(path[1], 0, VISTA_ANY_ADDRESS, &options);
        REQUIRE(segment[1] != NULL);
        base[1] = vista_base(segment[1]);
    }
    for (int round = 0; round < 3; round++) {
        tx = vista_begin_transaction(segment[0], 0);
        for (int i = 0; i < SEGMENTS; i++) {
            char *block = vista_malloc_in(tx, segment[i], 2 * MIB);

            REQUIRE(block != NULL && vista_set_range(tx, block, 8) == 0);
            REQUIRE((unsigned char *)block > base[i] &&
                    (unsigned char *)block < base[i] + vista_size(segment[i]));
            REQUIRE(vista_set_range(tx, vista_root(segment[i], 0), 8) == 0);
            *(uint64_t *)vista_root(segment[i], 0) = 1 + (uint64_t)round;
        }
        if (round < 2)
            REQUIRE((round == 0 ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx)) == 0);
    }
    raise(SIGKILL);
}

/* Segments that are not where they belong have address space for what they hold, not for
 * what they may grow to: so what one may grow to is where another lies. */
START_TEST(moved_side_by_side)
{
    const struct vista_map_options options = {.address = place, .max_size = 64 * MIB};

    names();
    for (int i = 0; i < SEGMENTS; i++) {
        segment[i] = vista_map(path[i], 8 * MIB, VISTA_CREATE, &options);
        SOME(segment[i]);
        SOME(vista_root(segment[i], 8));
        OK(vista_unmap(segment[i]));
    }
    near = test_share(sizeof *near);
    ck_assert_int_eq(test_in_child(die_moved, &_i), 128 + SIGKILL);
    if (!*near)
        test_skip("segments side by side", "the kernel has put them elsewhere");
    for (int i = 0; i < SEGMENTS; i++) {
        const int which = (i + _i) % SEGMENTS;

        segment[0] = vista_map(path[which], 0, 0, NULL);
        SOME(segment[0]);
        ck_assert_uint_eq(*(uint64_t *)vista_root(segment[0], 0), 1);
        OK(vista_unmap(segment[0]));
        test_sound(path[which]);
        ck_assert_uint_eq(test_live_blocks(path[which]), 2);
    }
}
END_TEST

/* Moves money about, with blocks in each heap, for ever. */
static void transfer_on(void *argument)
{
    struct test_random random = test_random_new(*(uint64_t *)argument);

    for (int i = 0; i < SEGMENTS; i++) {
        REQUIRE(map(i, 0, 0) != NULL);
        root[i] = vista_root(segment[i], 0);
        REQUIRE(root[i] != NULL);
    }
    for (;;) {
        const int from = (int)test_below(&random, SEGMENTS), to = (from + 1) % SEGMENTS;
        vista_tx *tx = vista_begin_transaction(segment[test_below(&random, SEGMENTS)], 0);
        char *block;

        REQUIRE(tx != NULL && vista_set_range(tx, &root[from][0], 16) == 0);
        root[from][0] -= 5;
        block = vista_malloc_in(tx, segment[to], 16 + test_below(&random, 20000));
        REQUIRE(block != NULL && vista_set_range(tx, &root[to][0], 16) == 0);
        root[to][0] += 5;
        if (root[to][1] != 0)
            REQUIRE(vista_free(tx, (char *)vista_base(segment[to]) + root[to][1]) == 0);
        root[to][1] = (uint64_t)(block - (char *)vista_base(segment[to]));
        if (test_below(&random, 4) == 0)
            REQUIRE(vista_abort_transaction(tx) == 0);
        else
            REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
}

/* Whichever is mapped first, and alone, all are as they were before or after. */
static void recovered_from(int first)
{
    segment[first] = vista_map(path[first], 0, 0, NULL);
    SOME(segment[first]);
    OK(vista_unmap(segment[first]));
    map_all(0, 0);
    ck_assert_uint_eq(total(), TOTAL);
    for (int i = 0; i < SEGMENTS; i++)
        if (root[i][1] != 0)
            ck_assert_uint_gt(
                vista_usable_size(segment[i], (char *)vista_base(segment[i]) + root[i][1]), 0);
    unmap_all();
    all_sound();
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_le(test_live_blocks(path[i]), 2);
}

START_TEST(killed)
{
    const unsigned times = test_times(40);
    struct test_random random = test_random_new(7 + (uint64_t)_i);

    set_class(_i);
    make_group();
    unmap_all();
    for (unsigned i = 0; i < times; i++) {
        uint64_t stream = test_next(&random);
        const pid_t child = test_fork(transfer_on, &stream);

        test_sleep_us(1500 + test_below(&random, 8000));
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
        recovered_from((int)test_below(&random, SEGMENTS));
    }
}
END_TEST

static bool aborts;

static void transfer_once(void *argument)
{
    vista_tx *tx;
    char *block;

    (void)argument;
    for (int i = 0; i < SEGMENTS; i++) {
        REQUIRE(map(i, 0, 0) != NULL);
        root[i] = vista_root(segment[i], 0);
    }
    for (int warm = 0; warm < 2; warm++) {
        if (warm == 1)
            test_stop();
        tx = vista_begin_transaction(segment[1], 0);
        REQUIRE(tx != NULL && vista_set_range(tx, root[1], 16) == 0);
        root[1][0] -= 5;
        block = vista_malloc_in(tx, segment[2], 64);
        REQUIRE(block != NULL && vista_set_range(tx, root[2], 16) == 0);
        root[2][0] += 5;
        if (root[2][1] != 0)
            REQUIRE(vista_free(tx, (char *)vista_base(segment[2]) + root[2][1]) == 0);
        root[2][1] = (uint64_t)(block - (char *)vista_base(segment[2]));
        REQUIRE((aborts ? vista_abort_transaction(tx) : vista_end_transaction(tx, 0)) == 0);
    }
    test_stop();
}

/* The child dies after each instruction in turn. */
START_TEST(killed_at_instructions)
{
    const unsigned stride = test_is_sanitized() ? 757 : 151; /* of sanitized code there is more */
    unsigned deaths = 0;

    if (test_is_thread_sanitized()) {
        test_skip("deaths at instructions", "slow with the thread sanitizer");
        return;
    }
    set_class(_i / 2);
    aborts = _i % 2;
    make_group();
    unmap_all();
    for (unsigned steps = 1;; steps += stride) {
        const pid_t child = test_trace(transfer_once, NULL);
        unsigned done = 0;

        if (child < 0) {
            test_skip("instructions", "tracing is not allowed here");
            return;
        }
        while (done < steps && test_step(child) == 1)
            done++;
        test_trace_end(child);
        recovered_from((int)(steps % SEGMENTS));
        deaths++;
        if (done < steps)
            break;
    }
    printf("%s in class %d: %u deaths\n", aborts ? "abort" : "commit", 1 + _i / 2, deaths);
    ck_assert_uint_gt(deaths, 5);
}
END_TEST

/* ---- Members that are not there ---------------------------------------- */

/* Leaves a transaction open that has changed all three. */
static void leave_open(void *argument)
{
    vista_tx *tx;

    (void)argument;
    for (int i = 0; i < SEGMENTS; i++) {
        REQUIRE(map(i, 0, 0) != NULL);
        root[i] = vista_root(segment[i], 0);
    }
    tx = vista_begin_transaction(segment[0], 0);
    for (int i = 0; i < SEGMENTS; i++) {
        REQUIRE(vista_set_range(tx, root[i], 8) == 0);
        root[i][0] = 77;
    }
    raise(SIGKILL);
}

static void left_open(void)
{
    make_group();
    unmap_all();
    ck_assert_int_eq(test_in_child(leave_open, NULL), 128 + SIGKILL);
}

static uint64_t value_of(int i)
{
    uint64_t value;

    segment[i] = vista_map(path[i], 0, 0, NULL);
    SOME(segment[i]);
    value = *(uint64_t *)vista_root(segment[i], 0);
    OK(vista_unmap(segment[i]));
    return value;
}

START_TEST(missing_member)
{
    const char *elsewhere;

    left_open();
    elsewhere = test_path("elsewhere");
    OK(rename(path[1], elsewhere));
    for (int i = 0; i < SEGMENTS; i += 2)
        NULLS(vista_map(path[i], 0, 0, NULL), ENOENT, path[1]);
    NULLS(vista_map(elsewhere, 0, 0, NULL), ENOENT, path[1]);
    if (_i == 0) {
        OK(rename(elsewhere, path[1]));
        for (int i = 0; i < SEGMENTS; i++)
            ck_assert_uint_eq(value_of(i), TOTAL / SEGMENTS);
        return;
    }
    segment[0] = vista_map(path[0], 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment[0]);
    OK(vista_unmap(segment[0]));
    ck_assert_uint_eq(value_of(0), TOTAL / SEGMENTS);
    ck_assert_uint_eq(value_of(2), TOTAL / SEGMENTS);
    snprintf(path[1], sizeof path[1], "%s", elsewhere);
    ck_assert_uint_eq(value_of(1), 77);
}
END_TEST

START_TEST(missing_home)
{
    const char *elsewhere;

    left_open();
    elsewhere = test_path("elsewhere");
    OK(rename(path[0], elsewhere));
    NULLS(vista_map(path[1], 0, 0, NULL), ENOENT, path[0]);
    /* Another segment at that path is not taken for it. */
    segment[0] = vista_map(path[0], MIB, VISTA_CREATE, NULL);
    SOME(segment[0]);
    NULLS(vista_map(path[1], 0, 0, NULL), ENOENT, "another segment");
    OK(vista_unmap(segment[0]));
    NULLS(vista_map(path[1], 0, 0, NULL), ENOENT, "another segment");
    if (_i == 0) {
        OK(rename(elsewhere, path[0]));
        for (int i = SEGMENTS - 1; i >= 0; i--)
            ck_assert_uint_eq(value_of(i), TOTAL / SEGMENTS);
        return;
    }
    segment[1] = vista_map(path[1], 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment[1]);
    OK(vista_unmap(segment[1]));
    ck_assert_uint_eq(value_of(1), 77);
}
END_TEST

/* What is only to be recovered need not lie where it belongs. */
START_TEST(occupied_address)
{
    void *place;

    left_open();
    place = (void *)test_superblock(path[_i], test_superblock_current(path[_i])).address;
    ck_assert_ptr_eq(
        mmap(place, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
        place);
    ck_assert_uint_eq(value_of(1 - _i), TOTAL / SEGMENTS);
    NULLS(vista_map(path[_i], 0, 0, NULL), EADDRINUSE, path[_i]);
    OK(munmap(place, 4096));
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(value_of(i), TOTAL / SEGMENTS);
}
END_TEST

/* Two files that name each other as home are refused, as one that names none. */
START_TEST(homes_in_a_circle)
{
    struct vi_member entry[2];
    struct vi_superblock superblock[2];
    int fd[2];

    left_open();
    for (int i = 0; i < 2; i++) {
        superblock[i] = test_superblock(path[i], test_superblock_current(path[i]));
        fd[i] = open(path[i], O_RDWR | O_CLOEXEC);
        ck_assert_int_ge(fd[i], 0);
    }
    ck_assert_int_eq(pread(fd[1], &entry[1], VI_PAGE, VI_HOME_OFFSET), VI_PAGE);
    entry[0] = entry[1];
    memcpy(entry[0].uuid, superblock[1].uuid, sizeof entry[0].uuid);
    memset(entry[0].path, 0, sizeof entry[0].path);
    memcpy(entry[0].path, path[1], strlen(path[1]));
    entry[0].check = vi_crc32c(vi_crc32c(vi_crc32c(0, superblock[0].uuid, 16), &entry[0],
                                         offsetof(struct vi_member, check)),
                               entry[0].path, sizeof entry[0].path);
    ck_assert_int_eq(pwrite(fd[0], &entry[0], VI_PAGE, VI_HOME_OFFSET), VI_PAGE);
    superblock[0].features_must |= VI_MUST_MEMBER;
    for (int copy = 0; copy < 2; copy++)
        test_superblock_put(path[0], copy, superblock[0], true);
    /* Home's table names the other, too. */
    memset(entry[0].path, 0, sizeof entry[0].path);
    memcpy(entry[0].path, path[0], strlen(path[0]));
    memcpy(entry[0].uuid, superblock[0].uuid, sizeof entry[0].uuid);
    entry[0].check = vi_crc32c(vi_crc32c(vi_crc32c(0, superblock[1].uuid, 16), &entry[0],
                                         offsetof(struct vi_member, check)),
                               entry[0].path, sizeof entry[0].path);
    ck_assert_int_eq(pwrite(fd[1], &entry[0], VI_PAGE, VI_MEMBERS_OFFSET), VI_PAGE);
    NULLS(vista_map(path[1], 0, 0, NULL), EBADMSG, "with the log of");
    entry[1].check ^= 1;
    ck_assert_int_eq(pwrite(fd[1], &entry[1], VI_PAGE, VI_HOME_OFFSET), VI_PAGE);
    NULLS(vista_map(path[1], 0, 0, NULL), EBADMSG, "whose log");
    segment[1] = vista_map(path[1], 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment[1]);
    OK(vista_unmap(segment[1]));
    for (int i = 0; i < 2; i++)
        close(fd[i]);
}
END_TEST

static struct vi_member member_entry(int fd, unsigned i)
{
    struct vi_member entry;

    ck_assert_int_eq(pread(fd, &entry, VI_PAGE, VI_MEMBERS_OFFSET + (off_t)i * VI_PAGE), VI_PAGE);
    return entry;
}

static void put_entry(int fd, unsigned i, struct vi_member entry)
{
    const struct vi_superblock s = test_superblock(path[0], test_superblock_current(path[0]));

    entry.check =
        vi_crc32c(vi_crc32c(vi_crc32c(0, s.uuid, 16), &entry, offsetof(struct vi_member, check)),
                  entry.path, sizeof entry.path);
    ck_assert_int_eq(pwrite(fd, &entry, VI_PAGE, VI_MEMBERS_OFFSET + (off_t)i * VI_PAGE), VI_PAGE);
}

/* An address in a record belongs to one member: were it looked at as one's and undone as
 * another's, bytes outside either would be stored to. */
START_TEST(members_overlap)
{
    struct vi_member entry[2], wrong;
    unsigned low;
    int fd;

    left_open();
    fd = open(path[0], O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    for (unsigned i = 0; i < 2; i++)
        entry[i] = member_entry(fd, i);
    low = entry[1].mapped < entry[0].mapped;
    wrong = entry[low];
    wrong.max_size = entry[!low].mapped + VI_PAGE - entry[low].mapped;
    put_entry(fd, low, wrong);
    for (int i = 0; i < SEGMENTS; i++)
        NULLS(vista_map(path[i], 0, 0, NULL), EBADMSG, "same addresses");
    NULLS(vista_map(path[0], 0, VISTA_ACCEPT_TORN, NULL), EBADMSG, "same addresses");
    wrong = entry[low];
    wrong.mapped += 16 * MIB; /* then an address is nobody's */
    put_entry(fd, low, wrong);
    NULLS(vista_map(path[0], 0, 0, NULL), EBADMSG, "cannot be");
    wrong = entry[low];
    wrong.max_size = MIB - VI_PAGE; /* and the member is larger */
    put_entry(fd, low, wrong);
    NULLS(vista_map(path[0], 0, 0, NULL), EBADMSG, "larger than");
    put_entry(fd, low, entry[low]);
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(value_of(i), TOTAL / SEGMENTS);
    close(fd);
}
END_TEST

static void hold(void *argument)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    const int fd = open(path[2], O_RDWR | O_CLOEXEC);
    int *ready = argument;

    REQUIRE(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
    *ready = 1;
    pause();
}

/* An older copy of home, whose log names members that have gone on: they do not name it back. */
START_TEST(stale_home)
{
    const char *stale = test_path("stale");
    char command[9000];
    uint64_t before[SEGMENTS];

    left_open();
    test_copy(path[0], stale);
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(value_of(i), TOTAL / SEGMENTS);
    for (int i = 1; i < SEGMENTS; i++)
        before[i] = test_digest(path[i]);
    snprintf(command, sizeof command, "cp --sparse=always %s %s", stale, path[0]);
    ck_assert_int_eq(system(command), 0); /* into the same file: it is no copy */
    NULLS(vista_map(path[0], 0, 0, NULL), ECANCELED, "was not left open with the log of");
    for (int i = 1; i < SEGMENTS; i++) {
        ck_assert_uint_eq(test_digest(path[i]), before[i]);
        ck_assert_uint_eq(value_of(i), TOTAL / SEGMENTS); /* nor locked */
    }
}
END_TEST

/* A copy of home from before the members were left open: that it was closed in order says nothing of
 * them. */
START_TEST(old_clean_home)
{
    const char *old = test_path("old");
    char command[9000];

    left_open();
    for (int i = 0; i < SEGMENTS; i++)
        ck_assert_uint_eq(value_of(i), TOTAL / SEGMENTS);
    test_copy(path[0], old);
    ck_assert_int_eq(test_in_child(leave_open, NULL), 128 + SIGKILL);
    snprintf(command, sizeof command, "cp --sparse=always %s %s", old, path[0]);
    ck_assert_int_eq(system(command), 0);
    for (int i = 1; i < SEGMENTS; i++)
        NULLS(vista_map(path[i], 0, 0, NULL), ECANCELED, "an old copy now");
}
END_TEST

/* After home's first record was found sound, and before it is used, someone stores to it. */
static int change_log(struct vi_segment *home, const struct vi_member *entry)
{
    uint64_t *const record =
        (uint64_t *)(home->map.meta + VI_SLOTS_OFFSET + sizeof(struct vi_slot_header));

    (void)entry;
    record[2] = home->logs.mapped + vi_segment_size(home) - 4; /* 8 bytes from there */
    return 0;
}

START_TEST(log_changed_meanwhile)
{
    struct vi_segment *home;

    left_open();
    home = vi_open_segment(path[0], 0, 0, &vi_default_options);
    SOME(home);
    FAILS(home->own.engine->recover(home, change_log), EBADMSG, "was changed");
    vi_close_segment(home, false);
    NULLS(vista_map(path[0], 0, 0, NULL), EBADMSG, "cannot be"); /* it was not discarded */
}
END_TEST

START_TEST(locked_member)
{
    int *ready = test_share(sizeof *ready);
    pid_t child;

    left_open();
    child = test_fork(hold, ready);
    while (*(volatile int *)ready == 0)
        test_sleep_us(1000);
    NULLS(vista_map(path[1], 0, 0, NULL), EBUSY, path[2]);
    NULLS(vista_map(path[0], 0, 0, NULL), EBUSY, path[2]);
    kill(child, SIGKILL);
    test_wait(child);
    ck_assert_uint_eq(value_of(1), TOTAL / SEGMENTS);
}
END_TEST

/* It was taken without its home, and is what it is: nothing is undone in it any more. */
START_TEST(abandoned_member)
{
    const char *elsewhere;

    left_open();
    elsewhere = test_path("elsewhere");
    OK(rename(path[0], elsewhere));
    segment[2] = vista_map(path[2], 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment[2]);
    OK(vista_unmap(segment[2]));
    OK(rename(elsewhere, path[0]));
    NULLS(vista_map(path[0], 0, 0, NULL), ECANCELED, "was not left open");
    NULLS(vista_map(path[1], 0, 0, NULL), ECANCELED, "was not left open");
    segment[0] = vista_map(path[0], 0, VISTA_ACCEPT_TORN, NULL);
    SOME(segment[0]);
    OK(vista_unmap(segment[0]));
    ck_assert_uint_eq(value_of(0), TOTAL / SEGMENTS);
    ck_assert_uint_eq(value_of(1), TOTAL / SEGMENTS);
    ck_assert_uint_eq(value_of(2), 77);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group");
    TCase *tests = test_case(suite, "group", 60), *kills = test_case(suite, "kills", 120);

    tcase_add_loop_test(tests, commit_and_abort, 0, 4);
    tcase_add_loop_test(tests, heaps, 0, 4);
    tcase_add_test(tests, unmap_in_any_order);
    tcase_add_test(tests, unmapped_home_is_full);
    tcase_add_test(tests, home_without_heap);
    tcase_add_loop_test(tests, adjacent, 0, 2);
    tcase_add_test(tests, refusals);
    tcase_add_loop_test(tests, missing_member, 0, 2);
    tcase_add_loop_test(tests, missing_home, 0, 2);
    tcase_add_loop_test(tests, occupied_address, 0, 2);
    tcase_add_test(tests, homes_in_a_circle);
    tcase_add_test(tests, members_overlap);
    tcase_add_test(tests, abandoned_member);
    tcase_add_test(tests, stale_home);
    tcase_add_test(tests, old_clean_home);
    tcase_add_test(tests, log_changed_meanwhile);
    tcase_add_test(tests, locked_member);
    tcase_add_loop_test(kills, place_of_another, 0, SEGMENTS);
    tcase_add_loop_test(kills, moved_side_by_side, 0, SEGMENTS);
    tcase_add_loop_test(kills, killed, 0, 4);
    tcase_add_loop_test(kills, killed_at_instructions, 0, 4);
    return test_run(suite);
}
