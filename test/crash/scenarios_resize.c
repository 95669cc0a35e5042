/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scenarios of segments that become larger or smaller.  A crash leaves the old size or the
 * new one, and in it all that was committed.
 */
#include "instrument.h"
#include "program.h"
#include "scenarios.h"
#include "states.h"

#define UNIT ((size_t)4 << 10)
#define FLAT_ROOM (8 * UNIT)
#define HEAP_LEAST (16 * UNIT)
#define HEAP_ROOM (28 * UNIT)

static void end(int act)
{
    if (maybe(75))
        commit(act);
    else
        roll_back(act);
}

static void change_some(int act)
{
    const size_t length = pick(1, 40);

    change(act, pick(0, model.file[0].size - length), length);
}

/* Up and down, between transactions and, up, within them. */
static void resize_flat(void)
{
    fresh_with_room(FLAT, pick(1, 4) * UNIT, FLAT_ROOM);
    states.whole = true;
    explore();
    for (int i = 0; i < 3; i++) {
        const size_t size = pick(1, FLAT_ROOM / UNIT) * UNIT;

        begin(0);
        change_some(0);
        if (size > model.file[0].size) {
            resize(0, size);
            change_some(0);
            change(0, size - pick(1, 40), 1);
        }
        end(0);
        resize(0, size);
        begin(0);
        change_some(0);
        end(0);
    }
    leave_segment();
}

/* What is cut off is gone, though it grows again at once. */
static void resize_back(void)
{
    const size_t size = pick(2, FLAT_ROOM / UNIT) * UNIT;

    fresh_with_room(FLAT, size, FLAT_ROOM);
    states.whole = true;
    explore();
    resize(0, pick(1, size / UNIT - 1) * UNIT);
    resize(0, size);
    begin(0);
    change_some(0);
    end(0);
    leave_segment();
}

static void grow_alone(void)
{
    for (int i = 0; i < 2; i++)
        resize(0, model.file[0].size + pick(1, 3) * UNIT);
}

/* Near the end, wherever that is. */
static void change_end(void)
{
    for (int i = 0; i < 6; i++) {
        begin(1);
        change(1, vista_size(run.segments[0]) - pick(8, 40), pick(1, 8));
        if (maybe(80))
            commit(1);
        else
            roll_back(1);
    }
}

/* Who sees that there is more may use it, though vista_resize has not returned. */
static void grow_beside(void)
{
    fresh_with_room(FLAT, UNIT, FLAT_ROOM);
    states.whole = true;
    explore();
    together((void (*const[])(void)){grow_alone, change_end}, 2);
    leave_segment();
}

/* Blocks stay, and make shrinking wait. */
static void resize_heap(void)
{
    size_t low, high;

    fresh_with_room(HEAP, HEAP_LEAST, HEAP_ROOM);
    states.whole = true;
    begin(0);
    low = allocate(0, pick(1, 200));
    commit(0);
    explore();
    for (int i = 0; i < 2; i++) {
        begin(0);
        change(0, low, 1);
        resize(0, HEAP_ROOM - pick(0, 2) * UNIT);
        high = allocate_plain(0, HEAP_LEAST); /* reaches into what is new */
        if (maybe(40))
            die_and_map(run.class); /* its span stays, empty */
        else
            end(0);
        resize(0, HEAP_LEAST); /* refused if there is a block */
        if (model.file[0].size == HEAP_LEAST || high == NOWHERE)
            continue;
        begin(0);
        release(0, high);
        commit(0);
        resize(0, HEAP_LEAST);
    }
    leave_segment();
}

/* The heap grows in the middle of a transaction. */
static void grow_heap(void)
{
    fresh_with_room(GROWING_HEAP, HEAP_LEAST, HEAP_ROOM);
    states.whole = true;
    explore();
    begin(0);
    for (int i = 0; i < 3; i++)
        allocate_growing(0, pick(5, 8) * UNIT);
    allocate_growing(0, pick(1, 40));
    end(0);
    begin(0);
    allocate_growing(0, pick(1, 2000));
    end(0);
    leave_segment();
}

/* The disk is full: the old size, always. */
static void grow_refused(void)
{
    fresh_with_room(maybe(50) ? FLAT : HEAP, HEAP_LEAST, HEAP_ROOM);
    states.whole = true;
    explore();
    for (int i = 0; i < 2; i++) {
        begin(0);
        hooks.no_space = true;
        resize(0, HEAP_ROOM - pick(0, 4) * UNIT);
        hooks.no_space = false;
        if (model.file[0].heap)
            allocate(0, pick(1, 60));
        else
            change_some(0);
        end(0);
    }
    leave_segment();
}

/* Of a group, home or a member. */
static void resize_member(void)
{
    size_t places[2] = {0};

    fresh_with_room(FLAT, 2 * UNIT, FLAT_ROOM);
    places[1] = fresh_member(FLAT, 2 * UNIT, FLAT_ROOM);
    states.whole = true;
    explore();
    for (int i = 0; i < 2; i++) {
        const int file = (int)pick(0, 1);

        begin_on(0, (int)pick(0, 1));
        change(0, places[0] + pick(0, UNIT - 40), pick(1, 40));
        resize(file, model.file[file].size + UNIT);
        change(0, places[file] + model.file[file].size - 40, pick(1, 40));
        end(0);
        resize(file, pick(1, 2) * UNIT);
    }
    leave_segment();
}

/* With automatic ranges, between transactions. */
static void resize_automatic(void)
{
    fresh_with_room(AUTO, 2 * UNIT, 4 * UNIT);
    states.whole = true;
    explore();
    for (int i = 0; i < 2; i++) {
        resize(0, pick(1, 4) * UNIT);
        begin(0);
        change_undeclared(0, pick(0, model.file[0].size - 40), pick(1, 40));
        change_undeclared(0, model.file[0].size - pick(30, 40), pick(1, 30));
        end(0);
    }
    leave_segment();
}

const struct scenario resize_scenarios[] = {
    {"resize", resize_flat, "a flat segment grows and shrinks", false},
    {"resize-back", resize_back, "it shrinks and grows again at once", false},
    {"grow-beside", grow_beside, "one thread uses what another's resize adds", false},
    {"resize-heap", resize_heap, "a heap grows, and shrinks when it can", false},
    {"grow-heap", grow_heap, "a heap grows in the middle of a transaction", true},
    {"grow-refused", grow_refused, "growth for which the disk has no room", false},
    {"resize-member", resize_member, "home or a member grows and shrinks", false},
    {"resize-automatic", resize_automatic, "the same with automatic ranges", false},
    {NULL, NULL, NULL, false}};
