/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Killed after any instruction, a segment holds what was committed: see step.h.  What it
 * holds means its size, the root, the blocks that it points to, their contents and the number of
 * blocks in the heap.
 *
 * Operations: commits of ranges in a used and in a new slot, aborts, allocations,
 * frees and reallocations of small and large blocks, a log that grows, the root
 * made and moved, two transactions open at once, mapping, unmapping, creation, and
 * recoveries of what a death in these leaves, each instruction of them, too.  In the disk
 * class: commits flushed and not, truncation by unmapping and by shrinking, growth of the segment
 * and of its log, creation, recovery.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "disk/disk.h"
#include "step.h"
#include "support.h"

#define KIB ((size_t)1024)
#define SIZE (192 * KIB)
#define ADDRESS ((void *)0x2a0000000000)

static vista_segment *segment;
static const char *path, *copy;
static struct step step; /* what is stepped through */

struct top {
    uint64_t values[64];
    struct {
        unsigned char *at;
        uint64_t size;
    } blocks[8];
};

static struct top *top;

/* ---- What a segment holds ---------------------------------------------- */

static struct vi_root stored_root(const char *of)
{
    const struct vi_superblock s = test_superblock(of, test_superblock_current(of));
    struct vi_root root;
    int fd = open(of, O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(pread(fd, &root, sizeof root, (off_t)s.heap_offset), sizeof root);
    close(fd);
    return root;
}

static uint64_t view(vista_segment *mapped, const char *of)
{
    const struct vi_root root = stored_root(of);
    const uint64_t numbers[] = {test_live_blocks(of), vista_size(mapped)};
    const struct top *at = vista_root(mapped, 0);
    uint64_t hash =
        step_mix(step_mix(0xcbf29ce484222325u, &root, sizeof root), numbers, sizeof numbers);

    if (root.size == 0) {
        ck_assert_ptr_null(at);
        return hash;
    }
    SOME(at);
    hash = step_mix(hash, at, root.size);
    if (root.size < sizeof *at)
        return hash;
    for (size_t i = 0; i < 8; i++)
        if (at->blocks[i].at != NULL) {
            ck_assert_uint_ge(vista_usable_size(mapped, at->blocks[i].at), at->blocks[i].size);
            hash = step_mix(hash, at->blocks[i].at, at->blocks[i].size);
        }
    return hash;
}

/* The segment goes on working. */
static void exercise(vista_segment *mapped)
{
    vista_tx *tx = vista_begin_transaction(mapped, 0);
    unsigned char *base = vista_base(mapped);
    void *small, *large;

    SOME(tx);
    OK(vista_set_range(tx, base + 100, 3000));
    memset(base + 100, 0x5a, 3000);
    OK(vista_abort_transaction(tx));
    tx = vista_begin_transaction(mapped, 0);
    small = vista_malloc(tx, 40);
    large = vista_malloc(tx, 9000);
    SOME(small);
    SOME(large);
    OK(vista_end_transaction(tx, 0));
    tx = vista_begin_transaction(mapped, 0);
    OK(vista_free(tx, small));
    OK(vista_free(tx, large));
    OK(vista_end_transaction(tx, 0));
}

/* What a kill now would leave, recovered. */
static uint64_t recovered_view(uint64_t number)
{
    vista_segment *mapped;
    uint64_t hash;

    test_sound(copy);
    mapped = vista_map(copy, 0, 0, NULL);
    SOME(mapped);
    hash = view(mapped, copy);
    if (number % 16 == 0) {
        exercise(mapped);
        ck_assert_uint_eq(view(mapped, copy), hash);
    }
    OK(vista_unmap(mapped));
    return hash;
}

static struct {
    bool wanted, taken;
    char path[512];
} finishing;

/* Keeps the first state in which a transaction is committed with frees to do. */
static void keep_finishing(void)
{
    for (size_t slot = 0; slot < STEP_SLOTS && finishing.wanted && !finishing.taken; slot++) {
        const struct vi_slot_header *header = step_bytes(0, VI_SLOTS_OFFSET + slot * VI_SLOT_SIZE);

        if (header->word & VI_STAMP_FINISHING) {
            test_copy(path, finishing.path);
            finishing.taken = true;
        }
    }
}

/* ---- The operations ---------------------------------------------------- */

static vista_tx *tx;

static void begin(void)
{
    tx = vista_begin_transaction(segment, 0);
    REQUIRE(tx != NULL);
}

static void end(void)
{
    REQUIRE(vista_end_transaction(tx, 0) == 0);
}

static void set(size_t first, size_t count)
{
    REQUIRE(vista_set_range(tx, &top->values[first], count * 8) == 0);
    for (size_t i = first; i < first + count; i++)
        top->values[i] += 0x0101010101010101u * (i + 1);
}

static void allocate(size_t which, size_t size)
{
    REQUIRE(vista_set_range(tx, &top->blocks[which], sizeof top->blocks[which]) == 0);
    top->blocks[which].at = vista_malloc(tx, size);
    REQUIRE(top->blocks[which].at != NULL);
    top->blocks[which].size = size;
    memset(top->blocks[which].at, (int)(which + 1), size < 64 ? size : 64);
    memset(top->blocks[which].at + size - 1, 0x77, 1);
}

static void release(size_t which)
{
    REQUIRE(vista_free(tx, top->blocks[which].at) == 0);
    REQUIRE(vista_set_range(tx, &top->blocks[which], sizeof top->blocks[which]) == 0);
    top->blocks[which].at = NULL;
    top->blocks[which].size = 0;
}

static void reallocate(size_t which, size_t size)
{
    unsigned char *block = vista_realloc(tx, top->blocks[which].at, size);

    REQUIRE(block != NULL);
    REQUIRE(vista_set_range(tx, &top->blocks[which], sizeof top->blocks[which]) == 0);
    top->blocks[which].at = block;
    top->blocks[which].size = size;
}

static void map_it(void)
{
    segment = vista_map(path, 0, 0, NULL);
    REQUIRE(segment != NULL);
}

/* A segment with a root and a few blocks, a slot that was used. */
static void used(void)
{
    map_it();
    top = vista_root(segment, sizeof *top);
    REQUIRE(top != NULL);
    begin();
    set(0, 64);
    allocate(0, 24);
    allocate(1, 24);
    allocate(2, 12000);
    allocate(3, 700);
    end();
    begin();
    set(5, 1);
    allocate(4, 24);
    end();
}

static void used_and_clean(void)
{
    used();
    REQUIRE(vista_unmap(segment) == 0);
}

static void used_and_mapped_anew(void)
{
    used_and_clean();
    map_it();
    top = vista_root(segment, 0);
}

static void act_ranges(void)
{
    begin();
    set(1, 1);
    set(10, 20);
    set(63, 1);
    end();
}

static void act_batch(void)
{
    struct iovec ranges[] = {{&top->values[3], 8}, {&top->values[20], 80}, {&top->values[50], 8}};

    begin();
    REQUIRE(vista_set_ranges(tx, ranges, 3) == 0);
    top->values[3]++;
    top->values[25]++;
    top->values[50]++;
    end();
}

static void act_overlapping(void)
{
    begin();
    set(1, 10);
    set(5, 10);
    set(1, 10);
    set(9, 1);
    end();
}

static void act_abort(void)
{
    begin();
    set(1, 10);
    set(5, 10);
    set(30, 33);
    REQUIRE(vista_abort_transaction(tx) == 0);
}

static void act_allocate(void)
{
    begin();
    allocate(5, 24);
    allocate(6, 100);
    end();
}

static void act_allocate_large(void)
{
    begin();
    allocate(5, 9000);
    end();
}

static void act_allocate_abort(void)
{
    begin();
    allocate(5, 24);
    allocate(6, 9000);
    release(1);
    release(2);
    set(4, 4);
    REQUIRE(vista_abort_transaction(tx) == 0);
}

static void act_free(void)
{
    begin();
    release(0);
    release(3);
    end();
}

static void act_free_large(void)
{
    begin();
    release(2);
    end();
}

static void act_free_all(void)
{
    begin();
    for (size_t i = 0; i < 5; i++)
        release(i);
    set(0, 2);
    end();
}

static void act_mixed(void)
{
    begin();
    release(0);
    allocate(0, 24);
    allocate(5, 24);
    release(5);
    allocate(5, 24);
    release(2);
    allocate(2, 5000);
    release(2);
    allocate(2, 5000);
    set(7, 7);
    end();
}

static void act_reallocate(void)
{
    begin();
    reallocate(0, 30);
    reallocate(1, 500);
    reallocate(2, 20000);
    reallocate(3, 10);
    end();
}

static void act_growth(void)
{
    begin();
    for (size_t i = 0; i < 45; i++) {
        REQUIRE(vista_set_range(tx, top->values + i % 2, 62 * 8) == 0);
        top->values[2 + i % 60] += 3;
    }
    end();
}

static void act_growth_abort(void)
{
    begin();
    for (size_t i = 0; i < 45; i++) {
        REQUIRE(vista_set_range(tx, top->values + i % 2, 62 * 8) == 0);
        top->values[2 + i % 60] += 3;
    }
    REQUIRE(vista_abort_transaction(tx) == 0);
}

static void act_root(void)
{
    REQUIRE(vista_root(segment, 200) != NULL);
}

static void act_larger_root(void)
{
    REQUIRE(vista_root(segment, 3000) != NULL);
}

static void act_two_open(void)
{
    vista_tx *one, *other;

    begin();
    other = tx;
    set(1, 10);
    begin();
    one = tx;
    set(40, 5);
    allocate(5, 24);
    tx = other;
    allocate(6, 24); /* rolled back at the end, with its ranges */
    tx = one;
    end();
    tx = other;
    set(11, 10);
}

static void act_unmap(void)
{
    REQUIRE(vista_unmap(segment) == 0);
}

static const struct operation {
    const char *name;
    void (*prepare)(void), (*act)(void);
    enum step_outcome outcome;
} operations[] = {
    {"ranges", used, act_ranges, STEP_CHANGES},
    {"ranges in a new slot", used_and_mapped_anew, act_ranges, STEP_CHANGES},
    {"a batch of ranges", used, act_batch, STEP_CHANGES},
    {"overlapping ranges", used, act_overlapping, STEP_CHANGES},
    {"abort", used, act_abort, STEP_KEEPS},
    {"allocation", used, act_allocate, STEP_CHANGES},
    {"allocation in a heap mapped anew", used_and_mapped_anew, act_allocate, STEP_CHANGES},
    {"large allocation", used, act_allocate_large, STEP_CHANGES},
    {"allocations and frees aborted", used, act_allocate_abort, STEP_KEEPS},
    {"free", used, act_free, STEP_CHANGES},
    {"free in a heap mapped anew", used_and_mapped_anew, act_free, STEP_CHANGES},
    {"large free", used, act_free_large, STEP_CHANGES},
    {"free of all", used, act_free_all, STEP_CHANGES},
    {"allocations and frees", used, act_mixed, STEP_CHANGES},
    {"reallocation", used, act_reallocate, STEP_CHANGES},
    {"growth of the log", used, act_growth, STEP_CHANGES},
    {"growth of the log and abort", used, act_growth_abort, STEP_KEEPS},
    {"the root", map_it, act_root, STEP_CHANGES},
    {"a larger root", used, act_larger_root, STEP_CHANGES},
    {"two transactions open", used, act_two_open, STEP_CHANGES},
    {"unmap", used, act_unmap, STEP_KEEPS},
    {"map", used_and_clean, map_it, STEP_KEEPS},
};

#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

static void act_unflushed(void)
{
    begin();
    set(1, 1);
    set(40, 3);
    REQUIRE(vista_end_transaction(tx, VISTA_NO_FLUSH) == 0);
}

static void used_and_unflushed(void)
{
    used();
    act_unflushed();
}

static void act_flush(void)
{
    REQUIRE(vista_flush(segment) == 0);
}

static void act_shrink(void)
{
    REQUIRE(vista_resize(segment, SIZE - 8 * KIB) == 0);
}

static void used_and_shrunk(void)
{
    used();
    act_shrink();
    act_unflushed();
}

static void act_grow(void)
{
    REQUIRE(vista_resize(segment, SIZE) == 0);
}

/* In the disk class.  Copies of blocks to the ring make many states that are much the same: of
 * them some are recovered. */
static const struct {
    struct operation is;
    unsigned every;
} disk_operations[] = {
    {{"ranges", used, act_ranges, STEP_CHANGES}, 1},
    {{"ranges without a flush", used, act_unflushed, STEP_CHANGES}, 1},
    {{"abort", used, act_abort, STEP_STAYS}, 1},
    {{"flush", used_and_unflushed, act_flush, STEP_KEEPS}, 1},
    {{"allocations and frees", used, act_mixed, STEP_CHANGES}, 4},
    {{"free of all", used, act_free_all, STEP_CHANGES}, 1},
    {{"reallocation", used, act_reallocate, STEP_CHANGES}, 4},
    {{"a larger root", used, act_larger_root, STEP_CHANGES}, 16},
    {{"two transactions open", used, act_two_open, STEP_CHANGES}, 1},
    {{"truncation by unmapping", used_and_unflushed, act_unmap, STEP_KEEPS}, 1},
    {{"truncation by shrinking", used_and_unflushed, act_shrink, STEP_CHANGES}, 1},
    {{"growth", used_and_shrunk, act_grow, STEP_CHANGES}, 1},
    {{"map", used_and_clean, map_it, STEP_KEEPS}, 1},
};

#define DISK_OPERATIONS ((int)(sizeof disk_operations / sizeof disk_operations[0]))

/* The loop index counts operations, then the same in the next class. */
static enum vista_class class_of(int index)
{
    return VISTA_CLASS_KILL + (unsigned)(index / OPERATIONS);
}

static void make_segment(void)
{
    const struct vista_map_options options = {.address = ADDRESS, .max_size = SIZE};

    path = test_path("stepped");
    copy = test_path("copy");
    step = (struct step){
        .file = {{.path = path, .copy = copy, .address = ADDRESS, .max_size = SIZE, .chunks = 3}},
        .files = 1,
        .view = recovered_view,
        .changed = keep_finishing};
    segment = vista_map(path, SIZE, VISTA_CREATE, &options);
    SOME(segment);
    OK(vista_unmap(segment));
}

/* A redo log was written with zeros; where it has holes it is quickly read. */
static void make_holes(void)
{
    const struct vi_superblock s = test_superblock(path, 0);
    const struct vi_disk_area area = vi_disk_area_of(&(struct vi_file){.path = path}, &s);
    const int fd = open(path, O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               (off_t)area.ring_offset, (off_t)(area.ring_size + area.log_size)),
                     0);
    close(fd);
    step.file[0].redo = true;
    step.file[0].chunks = 0;
}

static void set_up(enum vista_class class)
{
    OK(vista_init(&(struct vista_options){.force_class = class}));
    make_segment();
    if (class == VISTA_CLASS_DISK)
        make_holes();
}

/* Steps through sanitized code are slow: a part of it, chosen by the seed. */
static bool is_left_out(int index, uint64_t of)
{
    return test_is_sanitized() && ((uint64_t)index + test_seed()) % of != 0;
}

START_TEST(every_instruction)
{
    const struct operation *operation = &operations[_i % OPERATIONS];
    char name[100];

    if (is_left_out(_i, 24))
        return;
    set_up(class_of(_i));
    snprintf(name, sizeof name, "%s, class %d", operation->name, (int)class_of(_i));
    step.prepare = operation->prepare;
    step.act = operation->act;
    step_through(&step, name, operation->outcome);
}
END_TEST

START_TEST(every_instruction_of_the_disk_class)
{
    const struct operation *operation = &disk_operations[_i].is;
    char name[100];

    if (is_left_out(_i, DISK_OPERATIONS))
        return;
    set_up(VISTA_CLASS_DISK);
    snprintf(name, sizeof name, "%s, class %d", operation->name, VISTA_CLASS_DISK);
    step.prepare = operation->prepare;
    step.act = operation->act;
    step.every = disk_operations[_i].every;
    step_through(&step, name, operation->outcome);
}
END_TEST

/* Growth of the redo log, which has to have room for all that a transaction's undo log has: with so
 * many of these ranges the latter comes to more than half of it. */
static size_t enough;

static uint64_t log_size(void)
{
    struct vista_info info;

    REQUIRE(vista_info(segment, &info) == 0);
    return info.log_size;
}

static void declare(size_t count)
{
    while (count-- > 0)
        REQUIRE(vista_set_range(tx, top->values, 248) == 0);
}

static void count_enough(void)
{
    uint64_t before;

    used();
    before = log_size();
    begin();
    for (enough = 0; log_size() == before; enough++)
        declare(1);
    REQUIRE(vista_abort_transaction(tx) == 0);
    REQUIRE(vista_unmap(segment) == 0);
}

static void leave_little_room(void)
{
    used_and_unflushed();
    begin();
    declare(enough - 1);
}

static void act_grow_log(void)
{
    const uint64_t before = log_size();

    declare(1);
    REQUIRE(log_size() > before);
    act_unflushed(); /* another transaction */
}

START_TEST(every_instruction_of_the_growth_of_a_log)
{
    if (test_is_sanitized())
        return;
    set_up(VISTA_CLASS_DISK);
    used_and_clean(); /* so that it shows when what was committed since is lost */
    test_copy(path, copy);
    count_enough();
    test_copy(copy, path);
    test_adopt(path);
    step.prepare = leave_little_room;
    step.act = act_grow_log;
    step_through(&step, "growth of a redo log", STEP_CHANGES);
}
END_TEST

/* ---- Recovery ---------------------------------------------------------- */

static void nothing(void)
{
}

static void leave_open(void)
{
    vista_tx *other;

    used();
    begin();
    other = tx;
    set(1, 3);
    set(2, 3);
    allocate(5, 24);
    begin();
    set(10, 3);
    release(0);
    tx = other;
    set(20, 1);
    allocate(6, 9000);
}

static void leave_grown(void)
{
    used();
    begin();
    for (size_t i = 0; i < 45; i++) {
        REQUIRE(vista_set_range(tx, top->values + i % 2, 62 * 8) == 0);
        top->values[2 + i % 60] += 3;
    }
}

static void run_and_die(void *argument)
{
    void (*leave)(void) = *(void (**)(void))argument;

    leave();
}

static void recover_step_by_step(const char *name, void (*leave)(void), enum vista_class class)
{
    char text[100];

    set_up(class);
    ck_assert_int_eq(test_in_child(run_and_die, &leave), 0);
    step.prepare = nothing;
    step.act = map_it;
    snprintf(text, sizeof text, "%s, class %d", name, (int)class);
    step_through(&step, text, STEP_KEEPS);
}

START_TEST(every_instruction_of_a_rollback)
{
    if (is_left_out(_i, 2))
        return;
    recover_step_by_step("rollback of two", leave_open, VISTA_CLASS_KILL + (unsigned)_i);
}
END_TEST

START_TEST(every_instruction_of_a_long_rollback)
{
    if (is_left_out(_i, 2))
        return;
    recover_step_by_step("rollback of a long log", leave_grown, VISTA_CLASS_KILL + (unsigned)_i);
}
END_TEST

static void leave_committed(void)
{
    used_and_unflushed();
    begin();
    set(20, 5);
    release(3);
    end();
    act_unflushed();
    begin();
    set(2, 30); /* of which nothing is in the log */
}

START_TEST(every_instruction_of_a_replay)
{
    if (test_is_sanitized())
        return;
    recover_step_by_step("replay", leave_committed, VISTA_CLASS_DISK);
}
END_TEST

/* What a commit with frees leaves between its commit point and its end. */
START_TEST(every_instruction_of_a_finish)
{
    if (is_left_out(_i, 2))
        return;
    set_up(VISTA_CLASS_KILL + (unsigned)_i);
    snprintf(finishing.path, sizeof finishing.path, "%s", test_path("finishing"));
    finishing.wanted = true;
    step.prepare = used;
    step.act = act_free_all;
    step_through(&step, "free of all", STEP_CHANGES);
    ck_assert(finishing.taken);
    test_copy(finishing.path, path);
    test_adopt(path);
    step.prepare = nothing;
    step.act = map_it;
    step_through(&step, "finish", STEP_KEEPS);
}
END_TEST

/* ---- Creation ---------------------------------------------------------- */

static void create_it(void)
{
    const struct vista_map_options options = {.address = ADDRESS, .max_size = SIZE};

    segment = vista_map(path, SIZE, VISTA_CREATE, &options);
    REQUIRE(segment != NULL);
}

/* Killed, it is taken as new, or it is there. */
static void expect_creatable(void)
{
    vista_segment *mapped;

    step_copy(&step);
    mapped = vista_map(copy, SIZE, VISTA_CREATE, NULL);
    SOME(mapped);
    ck_assert_uint_eq(vista_size(mapped), SIZE);
    SOME(vista_root(mapped, 100));
    exercise(mapped);
    OK(vista_unmap(mapped));
    test_sound(copy);
}

START_TEST(every_instruction_of_creation)
{
    static const enum vista_class classes[] = {VISTA_CLASS_KILL, VISTA_CLASS_LINE,
                                               VISTA_CLASS_DISK};
    pid_t child;

    if (is_left_out(_i, 3))
        return;
    set_up(classes[_i]);
    ck_assert_int_eq(truncate(path, 0), 0);
    step.prepare = nothing;
    step.act = create_it;
    child = step_begin(&step, "creation");
    if (child < 0)
        return;
    step_watch(&step);
    while (test_step(child))
        if (step_has_changed())
            expect_creatable();
    step_watch_end();
    test_trace_end(child);
    printf("creation, class %d: %llu states\n", (int)classes[_i],
           (unsigned long long)step_states());
    ck_assert_uint_gt(step_states(), 2);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("step");
    TCase *tests = test_case(suite, "operations", 60);

    tcase_add_loop_test(tests, every_instruction, 0, 2 * OPERATIONS);
    tests = test_case(suite, "disk class", 60);
    tcase_add_loop_test(tests, every_instruction_of_the_disk_class, 0, DISK_OPERATIONS);
    tcase_add_test(tests, every_instruction_of_the_growth_of_a_log);
    tests = test_case(suite, "recovery", 60);
    tcase_add_test(tests, every_instruction_of_a_replay);
    tcase_add_loop_test(tests, every_instruction_of_a_rollback, 0, 2);
    tcase_add_loop_test(tests, every_instruction_of_a_long_rollback, 0, 2);
    tcase_add_loop_test(tests, every_instruction_of_a_finish, 0, 2);
    tests = test_case(suite, "creation", 60);
    tcase_add_loop_test(tests, every_instruction_of_creation, 0, 3);
    return suite;
}

int main(void)
{
    if (test_is_valgrind()) {
        test_skip("single steps", "Valgrind cannot be stepped through");
        return 77;
    }
    if (test_is_thread_sanitized()) {
        test_skip("single steps", "too slow under ThreadSanitizer, and of one thread");
        return 77;
    }
    if (test_is_sanitized())
        test_skip("most single steps", "slow with a sanitizer; which are done is by the seed");
    return test_run(suite());
}
