/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The words of scenarios: see program.h.
 */
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/segment.h"
#include "heap/heap.h"
#include "hooks.h"
#include "image.h"
#include "inlined.h"
#include "memory.h"
#include "model.h"
#include "ranges/ranges.h"
#include "states.h"

#define ROOT_ACT 5
#define STACK_SIZE ((size_t)1 << 20)

struct run run;
static uint64_t random_state;
static unsigned root_calls;
static char path[128], copy_path[128];
static unsigned auto_range; /* VISTA_AUTO_RANGE, or 0 */

static void remove_files(void)
{
    unlink(path);
    unlink(copy_path);
}

static void stop(int number)
{
    remove_files();
    _exit(128 + number);
}

static void fail(const char *what)
{
    printf("BAD: %s: %s\n  see it again: %s\n", what, vista_errormsg(), states.rerun);
    exit(1);
}

static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t pick(uint64_t low, uint64_t high)
{
    return low + next_random() % (high - low + 1);
}

void seed_random(void)
{
    random_state = run.seed * 0x2545f4914f6cdd1du + 1;
}

bool maybe(unsigned percent)
{
    return next_random() % 100 < percent;
}

/* ---- Threads ----------------------------------------------------------- */

static struct {
    ucontext_t context;
    unsigned char *stack;
    void (*body)(void);
    struct vista_thread_cache cache; /* what the thread has in its own storage */
    bool alive;
} threads[THREADS];
static ucontext_t everyone;
static int thread_count; /* of those that take turns; 0: one runs alone */

void on_thread(unsigned thread)
{
    memory_complete();
    threads[memory.thread].cache = vista_thread_cache;
    memory.thread = thread;
    vista_thread_cache = threads[thread].cache;
}

static void switch_to(unsigned thread)
{
    const unsigned from = memory.thread;

    if (thread == from)
        return;
    on_thread(thread);
    swapcontext(&threads[from].context, &threads[thread].context);
}

static void let_another_run(void)
{
    unsigned next = memory.thread;

    do
        next = (next + 1 + (unsigned)pick(0, 1)) % (unsigned)thread_count;
    while (!threads[next].alive);
    switch_to(next);
}

static void pause_here(bool at_fence)
{
    if (thread_count > 1 && pick(0, at_fence ? 1 : 23) == 0)
        let_another_run();
}

static void blocked(void)
{
    if (thread_count < 2) {
        printf("BAD: a lock is held by no one\n");
        exit(1);
    }
    let_another_run();
}

static void run_thread(void)
{
    threads[memory.thread].body();
    threads[memory.thread].alive = false;
    for (int i = 0; i < thread_count; i++)
        if (threads[i].alive) {
            on_thread((unsigned)i);
            setcontext(&threads[i].context);
        }
    on_thread(0);
    setcontext(&everyone);
}

void together(void (*const *bodies)(void), int count)
{
    threads[memory.thread].cache = vista_thread_cache;
    for (int i = 0; i < count; i++) {
        getcontext(&threads[i].context);
        if (threads[i].stack == NULL)
            threads[i].stack = malloc(STACK_SIZE);
        threads[i].context.uc_stack.ss_sp = threads[i].stack;
        threads[i].context.uc_stack.ss_size = STACK_SIZE;
        threads[i].body = bodies[i];
        threads[i].alive = true;
        makecontext(&threads[i].context, run_thread, 0);
    }
    thread_count = count;
    on_thread(0);
    swapcontext(&everyone, &threads[0].context);
    thread_count = 0;
}

/* ---- Segments ---------------------------------------------------------- */

static void after_call(void)
{
    states_after_call();
    pause_here(true);
}

static void map_in_class(size_t size, unsigned flags, const struct vista_map_options *options)
{
    const struct vista_options force = {.force_class = run.class, .flags = VISTA_HOST_FAULTS};

    worlds[LIVE].exact = run.class != VISTA_CLASS_LINE;
    vista_init(&force);
    memory.registering = true;
    memory.current = LIVE;
    run.segment = vista_map(path, size, flags | auto_range, options);
    memory.registering = false;
    memory_complete();
    if (run.segment == NULL)
        fail("vista_map");
    run.base = vista_base(run.segment);
}

void fresh_segment(enum media media, size_t size)
{
    const struct vista_map_options options = {.address = (void *)PART(DATA), .max_size = size};
    const bool flat = media != HEAP && media != SPARSE_HEAP;
    const unsigned flags = VISTA_CREATE | (flat ? VISTA_NO_HEAP : 0) |
                           (media == SPARSE_FLAT || media == SPARSE_HEAP ? VISTA_SPARSE : 0);
    static bool registered;

    for (int i = 0; i < THREADS; i++)
        threads[i].cache = (struct vista_thread_cache){0};
    snprintf(path, sizeof path, "/dev/shm/vista-crash-%d", (int)getpid());
    snprintf(copy_path, sizeof copy_path, "/dev/shm/vista-crash-%d-copy", (int)getpid());
    remove_files();
    if (!registered) {
        registered = true;
        atexit(remove_files);
        signal(SIGTERM, stop);
        signal(SIGINT, stop);
    }
    memory_reset();
    image_file_reset(copy_path);
    model_reset(size, !flat);
    root_calls = 0;
    memory.seed = run.seed;
    memory.point = states_point;
    memory.pause = pause_here;
    hooks.blocked = blocked;
    hooks.no_space = false;
    auto_range = media == AUTO ? VISTA_AUTO_RANGE : 0;
    map_in_class(size, flags, &options);
    states.created = true;
    states.may_be_clean = false;
    if (flat)
        for (size_t i = 0; i < size; i += 64)
            store(i, 64);
    memcpy(model.base, run.base, size);
    image_open(run.segment, run.recovery);
}

void explore(void)
{
    memory_all_durable();
    memcpy(model.base, run.base, model.size);
    model.epoch++;
    states.on = !run.rehearsal;
}

void leave_segment(void)
{
    states.on = false;
    unmap();
    memory.current = NO_WORLD;
    remove_files();
}

void die_and_map(enum vista_class class)
{
    struct vi_segment *segment = (struct vi_segment *)run.segment;

    memory_complete();
    image_close();
    memory.current = NO_WORLD;
    vi_ranges_close(segment);
    if (segment->heap != NULL)
        vi_heap_close(segment->heap);
    vi_segment_close(segment, false);
    memory_all_durable(); /* the machine has not died */
    run.class = class;
    model.epoch++;
    map_in_class(0, 0, NULL);
    for (int act = 0; act < ACTS; act++)
        if (model.act[act].open)
            model_abort(act);
    after_call();
}

void unmap(void)
{
    image_close();
    states.may_be_clean = true;
    if (vista_unmap(run.segment) != 0)
        fail("vista_unmap");
}

void map_again(void)
{
    map_in_class(0, 0, NULL);
    states.may_be_clean = false;
    after_call();
}

/* ---- Transactions ------------------------------------------------------ */

void begin(int act)
{
    run.tx[act] = inlined_begin(run.segment);
    if (run.tx[act] == NULL)
        fail("vista_begin_transaction");
    memset(&model.act[act], 0, sizeof model.act[act]);
    model.act[act].open = true;
    model.epoch++;
    after_call();
}

void declare(int act, size_t offset, size_t length)
{
    if (inlined_set_range(run.tx[act], run.base + offset, length) != 0)
        fail("vista_set_range");
    model_range(act, offset, length);
    after_call();
}

bool declare_all(int act, const struct iovec *ranges, int count)
{
    const bool good = inlined_set_ranges(run.tx[act], ranges, count) == 0;

    for (int i = 0; i < count && good; i++)
        model_range(act, (size_t)((unsigned char *)ranges[i].iov_base - run.base),
                    ranges[i].iov_len);
    after_call();
    return good;
}

void store_bytes(size_t offset, const void *bytes, size_t length)
{
    memory_store(run.base + offset, length);
    memcpy(run.base + offset, bytes, length);
    memory_complete();
}

void store(size_t offset, size_t length)
{
    unsigned char bytes[256];

    while (length > 0) {
        const size_t piece = length < sizeof bytes ? length : sizeof bytes;

        for (size_t i = 0; i < piece; i++)
            bytes[i] = (unsigned char)next_random();
        store_bytes(offset, bytes, piece);
        offset += piece;
        length -= piece;
    }
}

void change(int act, size_t offset, size_t length)
{
    declare(act, offset, length);
    store(offset, length);
    after_call();
}

void change_undeclared(int act, size_t offset, size_t length)
{
    struct vi_ranges *ranges = ((struct vi_segment *)run.segment)->ranges;

    for (size_t at = offset; at < offset + length; at = (at / VI_PAGE + 1) * VI_PAGE)
        if (!vi_ranges_fault(ranges, (struct vi_note){.address = (uintptr_t)run.base + at}))
            fail("a store");
    memory_complete();
    model_range(act, offset, length);
    after_call();
    store(offset, length);
    after_call();
}

void commit(int act)
{
    model.act[act].ending = true;
    model.epoch++;
    memory_complete();
    if (inlined_end(run.tx[act]) != 0)
        fail("vista_end_transaction");
    memory_complete();
    model_commit(act);
    memset(&model.act[act], 0, sizeof model.act[act]);
    after_call();
}

void roll_back(int act)
{
    if (vista_abort_transaction(run.tx[act]) != 0)
        fail("vista_abort_transaction");
    memory_complete();
    model_abort(act);
    after_call();
}

/* ---- Heap -------------------------------------------------------------- */

static size_t room_of(size_t offset)
{
    const size_t room = vista_usable_size(run.segment, run.base + offset);

    if (room == 0)
        fail("vista_usable_size");
    return room;
}

size_t allocate_plain(int act, size_t size)
{
    unsigned char *block = vista_malloc(run.tx[act], size);
    size_t offset;

    if (block == NULL && errno != ENOMEM)
        fail("vista_malloc");
    if (block == NULL)
        return NOWHERE;
    offset = (size_t)(block - run.base);
    model_allocated(act, offset, room_of(offset));
    after_call();
    return offset;
}

size_t allocate(int act, size_t size)
{
    const size_t offset = allocate_plain(act, size);

    if (offset != NOWHERE) {
        store(offset, size);
        after_call();
    }
    return offset;
}

void release(int act, size_t offset)
{
    const size_t room = room_of(offset);

    if (vista_free(run.tx[act], run.base + offset) != 0)
        fail("vista_free");
    model_freed(act, offset, room);
    after_call();
}

size_t reallocate(int act, size_t offset, size_t size)
{
    const size_t old = room_of(offset);
    unsigned char *block = vista_realloc(run.tx[act], run.base + offset, size);
    size_t moved;

    if (block == NULL)
        fail("vista_realloc");
    moved = (size_t)(block - run.base);
    if (moved != offset) {
        model_freed(act, offset, old);
        model_allocated(act, moved, room_of(moved));
    }
    after_call();
    return moved;
}

/* What the call will do is learnt in a rehearsal of the whole run. */
void grow_root(size_t size)
{
    static struct {
        size_t offset, room;
    } learnt[16];
    const unsigned call = root_calls++ % 16;
    struct act *act = &model.act[ROOT_ACT];
    const size_t old = model.root[0], old_size = model.root[1];
    const size_t old_room = old_size != 0 ? room_of(old) : 0;
    unsigned char *root;

    if (run.rehearsal) {
        root = vista_root(run.segment, size);
        if (root == NULL)
            fail("vista_root");
        learnt[call].offset = (size_t)(root - run.base);
        learnt[call].room = vista_usable_size(run.segment, root);
    }
    memset(act, 0, sizeof *act);
    act->open = act->ending = act->moves_root = true;
    act->root[0] = learnt[call].offset;
    act->root[1] = size;
    if (old_size == 0 || act->root[0] != old) {
        model_allocated(ROOT_ACT, act->root[0], learnt[call].room);
        if (old_size != 0)
            model_freed(ROOT_ACT, old, old_room);
    } else {
        model_range(ROOT_ACT, old + old_size, size - old_size);
    }
    if (!run.rehearsal && vista_root(run.segment, size) == NULL)
        fail("vista_root");
    memory_complete();
    model_commit(ROOT_ACT);
    memset(act, 0, sizeof *act);
    after_call();
}
