/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scenarios in which recovery is all of vista_map, which looks at what a crash has left of
 * the superblock too; of creation and of copies each state goes through a real file.
 */
#include "program.h"
#include "scenarios.h"
#include "states.h"

#define SMALL ((size_t)4 << 10)

static void change_some(int act)
{
    change(act, pick(0, SMALL - 64), pick(1, 40));
}

/* Creation is explored from its first store on: until vista_map has returned there
 * may be no segment yet, but what is there never stands in the way of a new one. */
static void create(void)
{
    states.on = states.through_files = true;
    states.may_be_clean = 1;
    fresh_segment(HEAP, (size_t)64 << 10);
    begin(0);
    allocate(0, 40);
    commit(0);
    leave_segment();
}

/* Mapped, used, unmapped, again and again: each store to the superblock. */
static void superblock(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    states.whole = true;
    for (int i = 0; i < 3; i++) {
        begin(0);
        change_some(0);
        commit(0);
        unmap(0);
        map_again(0);
    }
    leave_segment();
}

/* Copied while open: refused, since on a real disk it may be torn. */
static void copied(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    states.through_files = states.copied = true;
    for (int i = 0; i < 2; i++) {
        begin(0);
        change_some(0);
        if (maybe(70))
            commit(0);
        else
            roll_back(0);
    }
    states.through_files = states.copied = states.on = false;
    leave_segment();
}

/* Killed in one class, with transactions open, and mapped in another. */
static void class_changed(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    states.whole = true;
    for (int i = 0; i < 4; i++) {
        begin(0);
        change_some(0);
        if (maybe(30))
            commit(0);
        die_and_map((enum vista_class)pick(VISTA_CLASS_KILL, VISTA_CLASS_EADR));
    }
    leave_segment();
}

/* Two logs, open when the process dies, and it dies again after recovering them. */
static void recovered_twice(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    states.whole = true;
    for (int i = 0; i < 2; i++) {
        begin(0);
        begin(1);
        change(0, pick(0, 1900), pick(1, 40));
        change(1, pick(2000, 4000), pick(1, 40));
        if (maybe(30))
            commit(1);
        die_and_map(run.class);
        die_and_map(run.class);
    }
    leave_segment();
}

const struct scenario file_scenarios[] = {
    {"create", create, "creation, from its first store on", false},
    {"superblock", superblock, "every update of the superblock", false},
    {"copied-open", copied, "a file copied while it is open", false},
    {"class-changed", class_changed, "killed in one class and mapped in another", false},
    {"recovered-twice", recovered_twice, "logs recovered twice", false},
    {NULL, NULL, NULL, false}};
