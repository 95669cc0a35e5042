/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Killed after any instruction of what is about whole segments: transactions over two that
 * share a log, joining a group, leaving it, recovering it from either side, and resizing.
 * See step.h; what segments hold means their sizes, roots, the blocks that these point to,
 * and the numbers of blocks in the heaps.
 */
#include <signal.h>

#include "step.h"
#include "support.h"

#define KIB ((size_t)1024)
#define SIZE (64 * KIB)
#define LARGE (160 * KIB)
#define FILLED 64  /* bytes of a block that have contents */
#define SEGMENTS 2 /* 0 is home */

static char path[SEGMENTS][200], copy[SEGMENTS][200];
static vista_segment *segment[SEGMENTS];
static struct step step;
static vista_tx *tx;

struct top {
    uint64_t values[8];
    unsigned char *block;
    uint64_t size; /* of the block; 0: none */
};
static struct top *top[SEGMENTS];

/* ---- What segments hold ------------------------------------------------ */

static uint64_t view(vista_segment *mapped, const char *of, uint64_t hash)
{
    const size_t size = vista_size(mapped);
    const uint64_t blocks = test_live_blocks(of);
    const struct top *at = vista_root(mapped, 0);

    SOME(at);
    hash = step_mix(hash, &size, sizeof size);
    hash = step_mix(hash, &blocks, sizeof blocks);
    hash = step_mix(hash, at, sizeof *at);
    if (at->size != 0) {
        ck_assert_uint_ge(vista_usable_size(mapped, at->block), at->size);
        hash = step_mix(hash, at->block, at->size < FILLED ? at->size : FILLED);
    }
    return hash;
}

static void exercise(vista_segment *mapped)
{
    vista_tx *other = vista_begin_transaction(mapped, 0);
    void *block;

    SOME(other);
    block = vista_malloc(other, 5000);
    SOME(block);
    OK(vista_end_transaction(other, 0));
    other = vista_begin_transaction(mapped, 0);
    OK(vista_free(other, block));
    OK(vista_end_transaction(other, 0));
}

/* Whichever is mapped first. */
static uint64_t recovered_view(uint64_t number)
{
    vista_segment *mapped[SEGMENTS];
    uint64_t hash = 1;

    for (int i = 0; i < step.files; i++)
        test_sound(copy[i]);
    for (int i = 0; i < step.files; i++) {
        const int first = number % 2 == 0 ? i : step.files - 1 - i;

        mapped[first] = vista_map(copy[first], 0, 0, NULL);
        SOME(mapped[first]);
    }
    for (int i = 0; i < step.files; i++) {
        hash = view(mapped[i], copy[i], hash);
        if (number % 16 < 2)
            exercise(mapped[i]);
        OK(vista_unmap(mapped[i]));
        test_sound(copy[i]);
    }
    return hash;
}

/* ---- Making them ------------------------------------------------------- */

static void make(int i, enum vista_class class)
{
    static void *const addresses[SEGMENTS] = {(void *)0x2a0000000000, (void *)0x2b0000000000};
    const struct vista_map_options options = {.address = addresses[i], .max_size = LARGE};

    snprintf(path[i], sizeof path[i], "%s", test_path(i == 0 ? "home" : "member"));
    snprintf(copy[i], sizeof copy[i], "%s", test_path(i == 0 ? "home-copy" : "member-copy"));
    OK(vista_init(&(struct vista_options){.force_class = class}));
    segment[i] = vista_map(path[i], SIZE, VISTA_CREATE, &options);
    SOME(segment[i]);
    top[i] = vista_root(segment[i], sizeof *top[i]);
    SOME(top[i]);
    OK(vista_unmap(segment[i]));
    step.file[i] = (struct step_file){.path = path[i],
                                      .copy = copy[i],
                                      .address = addresses[i],
                                      .max_size = LARGE,
                                      .members = i == 0};
}

static void set_up(int files, int class)
{
    step = (struct step){.files = files, .view = recovered_view};
    for (int i = 0; i < files; i++)
        make(i, VISTA_CLASS_KILL + (unsigned)class);
}

/* ---- Operations, in the child ------------------------------------------ */

static void map_it(int i)
{
    const struct vista_map_options options = {.log = i == 0 ? NULL : segment[0]};

    segment[i] = vista_map(path[i], 0, 0, &options);
    REQUIRE(segment[i] != NULL);
    top[i] = vista_root(segment[i], 0);
    REQUIRE(top[i] != NULL);
}

static void begin(int i)
{
    tx = vista_begin_transaction(segment[i], 0);
    REQUIRE(tx != NULL);
}

static void end(void)
{
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void set(int i, size_t value)
{
    REQUIRE(vista_set_range(tx, &top[i]->values[value], 8) == 0);
    top[i]->values[value] += 0x0101010101010101u * (value + 1);
}

/* Another block instead of the one that there was. */
static void replace(int i, size_t size)
{
    unsigned char *block = size != 0 ? vista_malloc_in(tx, segment[i], size) : NULL;

    REQUIRE(block != NULL || size == 0);
    REQUIRE(vista_set_range(tx, &top[i]->block, 16) == 0);
    if (top[i]->size != 0)
        REQUIRE(vista_free(tx, top[i]->block) == 0);
    top[i]->block = block;
    top[i]->size = size;
    if (size != 0)
        memset(block, (int)(size % 251), size < FILLED ? size : FILLED);
}

static void map_home(void)
{
    map_it(0);
}

static void map_member(void)
{
    map_it(1);
}

static void map_member_alone(void)
{
    segment[0] = NULL;
    map_it(1);
}

static void map_both(void)
{
    map_it(0);
    map_it(1);
    begin(0);
    for (int i = 0; i < 2; i++) {
        set(i, 0);
        replace(i, 40);
    }
    end();
}

static void change_both(void)
{
    begin(1);
    set(0, 1);
    set(1, 2);
    replace(1, 300);
    set(0, 3);
    replace(0, 50);
}

static void commit_both(void)
{
    change_both();
    end();
}

static void abort_both(void)
{
    change_both();
    REQUIRE(vista_abort_transaction(tx) == 0);
}

static void leave_both_open(void)
{
    map_both();
    change_both();
}

static void unmap_home(void)
{
    REQUIRE(vista_unmap(segment[0]) == 0);
}

static void unmap_member(void)
{
    REQUIRE(vista_unmap(segment[1]) == 0);
}

static void home_unmapped(void)
{
    map_both();
    unmap_home();
}

static void nothing(void)
{
}

static void resize(size_t size)
{
    REQUIRE(vista_resize(segment[0], size) == 0);
}

static void map_with_block(void)
{
    map_it(0);
    begin(0);
    replace(0, 500);
    end();
}

static void grow(void)
{
    resize(LARGE);
}

static void map_large(void)
{
    map_with_block();
    grow();
}

static void shrink(void)
{
    resize(SIZE);
}

/* The span of a block that is gone reaches over the new end. */
static void map_freed(void)
{
    map_large();
    begin(0);
    replace(0, 66 * KIB);
    end();
    begin(0);
    replace(0, 0);
    end();
}

/* What it changes besides is undone at the end. */
static void grow_in_transaction(void)
{
    begin(0);
    set(0, 1);
    grow();
    replace(0, 66 * KIB);
}

static void map_growing(void)
{
    map_with_block();
    REQUIRE(vista_unmap(segment[0]) == 0);
    segment[0] = vista_map(path[0], 0, VISTA_GROW, NULL);
    REQUIRE(segment[0] != NULL);
    top[0] = vista_root(segment[0], 0);
    begin(0);
}

static void allocate_growing(void)
{
    REQUIRE(vista_malloc(tx, 66 * KIB) != NULL);
}

static const struct operation {
    const char *name;
    int files;
    void (*before)(void); /* in a child that dies then; NULL: none */
    void (*prepare)(void), (*act)(void);
    enum step_outcome outcome;
} operations[] = {
    {"commit over two", 2, NULL, map_both, commit_both, STEP_CHANGES},
    {"abort over two", 2, NULL, map_both, abort_both, STEP_KEEPS},
    {"join", 2, NULL, map_home, map_member, STEP_KEEPS},
    {"the member leaves", 2, NULL, map_both, unmap_member, STEP_KEEPS},
    {"the last leaves", 2, NULL, home_unmapped, unmap_member, STEP_KEEPS},
    {"recovery from home", 2, leave_both_open, nothing, map_home, STEP_KEEPS},
    {"recovery from the member", 2, leave_both_open, nothing, map_member_alone, STEP_KEEPS},
    {"growth", 1, NULL, map_with_block, grow, STEP_CHANGES},
    {"growth in a transaction", 1, NULL, map_with_block, grow_in_transaction, STEP_CHANGES},
    {"growth of the heap", 1, NULL, map_growing, allocate_growing, STEP_CHANGES},
    {"shrinking", 1, NULL, map_large, shrink, STEP_CHANGES},
    {"shrinking a heap that was used", 1, NULL, map_freed, shrink, STEP_CHANGES},
};

#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

static void run_and_die(void *argument)
{
    const struct operation *operation = argument;

    operation->before();
    raise(SIGKILL);
}

/* The loop index counts operations, then the same in the next class. */
START_TEST(every_instruction)
{
    const struct operation *operation = &operations[_i % OPERATIONS];
    char name[100];

    if (test_is_sanitized() && ((uint64_t)_i + test_seed()) % 24 != 0)
        return;
    set_up(operation->files, _i / OPERATIONS);
    if (operation->before != NULL)
        ck_assert_int_eq(test_in_child(run_and_die, (void *)operation), 128 + SIGKILL);
    step.prepare = operation->prepare;
    step.act = operation->act;
    snprintf(name, sizeof name, "%s, class %d", operation->name, 1 + _i / OPERATIONS);
    step_through(&step, name, operation->outcome);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step-segments");
    TCase *tests = test_case(suite, "operations", 60);

    if (test_is_valgrind()) {
        test_skip("single steps", "Valgrind cannot be stepped through");
        return 77;
    }
    if (test_is_thread_sanitized()) {
        test_skip("single steps", "too slow under ThreadSanitizer, and of one thread");
        return 77;
    }
    tcase_add_loop_test(tests, every_instruction, 0, 2 * OPERATIONS);
    return test_run(suite);
}
