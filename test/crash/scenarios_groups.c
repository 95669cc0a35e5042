/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scenarios of segments that share a log.  Each state is recovered by mapping all of them,
 * in any order.
 */
#include "inlined.h"
#include "program.h"
#include "scenarios.h"
#include "states.h"

#define SIZE ((size_t)4 << 10)
#define HEAP_SIZE ((size_t)64 << 10)

static void end(int act)
{
    if (maybe(75))
        commit(act);
    else
        roll_back(act);
}

/* File 0 is home; its members come after it. */
static size_t places[FILES];
static int files;

static int any_file(void)
{
    return (int)pick(0, (uint64_t)files - 1);
}

static void fresh_group(enum media media, size_t size, int members) /* one or two */
{
    fresh_segment(media, size);
    for (files = 1; files <= members; files++)
        places[files] = fresh_member(media, size, size);
    states.whole = true;
}

static void change_in(int act, int file)
{
    static const size_t inlined[] = {1, 8, 24, 37};
    const size_t length = maybe(50) ? inlined[pick(0, 3)] : pick(1, 60);

    change(act, places[file] + pick(0, SIZE - length), length);
}

/* In two segments, declared by one call that is inlined. */
static void change_two(int act)
{
    struct iovec ranges[2];
    size_t place;

    for (int i = 0; i < 2; i++) {
        place = places[any_file()] + pick(0, SIZE - inlined_lengths[2][i]);
        ranges[i] = (struct iovec){address_of(place), inlined_lengths[2][i]};
    }
    declare_all(act, ranges, 2);
    for (int i = 0; i < 2; i++)
        store(place_of(ranges[i].iov_base), ranges[i].iov_len);
}

/* A transaction over home and one or two members, begun on any of them. */
static void group(void)
{
    fresh_group(FLAT, SIZE, (int)pick(1, 2));
    explore();
    for (int i = 0; i < 3; i++) {
        begin_on(0, any_file());
        for (int j = (int)pick(1, 2); j > 0; j--)
            change_in(0, any_file());
        if (maybe(50))
            change_two(0);
        change_in(0, files - 1);
        end(0);
    }
    leave_segment();
}

/* The same of ranges that have several lines, none of which begins or ends one. */
static void group_long(void)
{
    fresh_group(FLAT, SIZE, 1);
    explore();
    for (int i = 0; i < 4; i++) {
        begin_on(0, any_file());
        for (int file = 0; file < 2; file++) {
            const size_t length = pick(260, 700);

            change(0, places[file] + pick(1, SIZE - 701), length);
        }
        if (i % 2 == 0)
            roll_back(0);
        else
            commit(0);
    }
    leave_segment();
}

/* Two at once, one of them over two segments. */
static void group_two_open(void)
{
    fresh_group(FLAT, SIZE, 1);
    explore();
    for (int i = 0; i < 2; i++) {
        begin_on(0, any_file());
        begin_on(1, any_file());
        change(1, places[1] + pick(0, 1000), pick(1, 40));
        change(0, pick(0, SIZE - 40), pick(1, 40));
        change(0, places[1] + pick(2000, 3000), pick(1, 40));
        end(1);
        end(0);
    }
    leave_segment();
}

/* Blocks allocated and freed in home, unless it is flat, and in a member by one
 * transaction. */
static void group_heaps(void)
{
    const int first = maybe(50) ? 0 : 1;
    size_t kept[FILES];

    fresh_segment(first == 0 ? HEAP : FLAT, HEAP_SIZE);
    places[1] = fresh_member(HEAP, HEAP_SIZE, HEAP_SIZE);
    states.whole = true;
    begin(0);
    for (int file = first; file < 2; file++)
        kept[file] = allocate_in(0, file, pick(8, 200));
    commit(0);
    explore();
    begin_on(0, (int)pick(0, 1));
    for (int file = first; file < 2; file++) {
        allocate_in(0, file, maybe(80) ? pick(1, 200) : pick(4097, 9000));
        if (maybe(70))
            release(0, kept[file]);
        else
            change(0, kept[file], 8);
    }
    if (maybe(90))
        commit(0);
    else
        roll_back(0);
    leave_segment();
}

/* Members come and go, home before them or not. */
static void group_join(void)
{
    const int members = (int)pick(1, 2);

    fresh_segment(FLAT, SIZE);
    for (files = 1; files <= members; files++)
        places[files] = fresh_stranger(FLAT, SIZE);
    states.whole = true;
    explore();
    for (int i = 0; i < 2; i++) {
        const int first = any_file();

        for (int file = 1; file < files; file++) {
            map_again(file);
            begin_on(0, pick(0, 1) == 0 ? 0 : file);
            change_in(0, file);
            change_in(0, 0);
            end(0);
        }
        unmap(first);
        for (int file = files - 1; file >= 0; file--) {
            if (file == first)
                continue;
            begin_on(0, file);
            change_in(0, file);
            end(0);
            unmap(file);
        }
        map_again(0);
    }
    leave_segment();
}

/* The process dies with transactions open, and recovers them itself; then again. */
static void group_died(void)
{
    fresh_group(maybe(50) ? FLAT : HEAP, HEAP_SIZE, (int)pick(1, 2));
    explore();
    for (int i = 0; i < 2; i++) {
        begin_on(0, any_file());
        if (model.file[0].heap) {
            for (int file = 0; file < files; file++)
                allocate_in(0, file, pick(1, 200));
        } else {
            change_in(0, 0);
            change_in(0, files - 1);
        }
        if (maybe(30))
            commit(0);
        die_and_map(run.class);
    }
    leave_segment();
}

/* A member that was left open becomes home of its home, and so on. */
static void group_swapped(void)
{
    fresh_group(FLAT, SIZE, (int)pick(1, 2));
    explore();
    for (int i = 0; i < 3; i++) {
        if (maybe(60)) { /* else the log names no member, which stays open */
            begin_on(0, any_file());
            change_in(0, 0);
            change_in(0, files - 1);
            if (maybe(30))
                commit(0);
        }
        run.home = any_file();
        die_and_map(run.class);
    }
    leave_segment();
}

/* Stores that nobody declared, in home or in both, beside declared ranges. */
static void group_automatic(void)
{
    const bool automatic[2] = {true, maybe(60)};

    fresh_segment(AUTO, SIZE);
    places[1] = fresh_member(automatic[1] ? AUTO : FLAT, SIZE, SIZE);
    states.whole = true;
    explore();
    for (int i = 0; i < 2; i++) {
        begin_on(0, (int)pick(0, 1));
        for (int file = 0; file < 2; file++) {
            const size_t place = places[file] + pick(0, SIZE - 40);

            if (maybe(50)) /* and stored to or not */
                declare(0, places[file] + pick(0, SIZE - 40), pick(1, 40));
            if (automatic[file])
                change_undeclared(0, place, pick(1, 40));
            else
                change(0, place, pick(1, 40));
        }
        end(0);
    }
    leave_segment();
}

const struct scenario group_scenarios[] = {
    {"group", group, "a transaction over segments that share a log", false},
    {"group-long", group_long, "ranges of several lines in both", false},
    {"group-two-open", group_two_open, "two of them at once", false},
    {"group-heaps", group_heaps, "blocks of several segments in one transaction", false},
    {"group-join", group_join, "segments join and leave a group", false},
    {"group-died", group_died, "the process that recovers a group dies, too", false},
    {"group-swapped", group_swapped, "after each death another is home", false},
    {"group-automatic", group_automatic, "automatic ranges in a group", false},
    {NULL, NULL, NULL, false}};
