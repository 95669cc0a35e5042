/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The words of scenarios: see program.h.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/mapping.h"
#include "api/opening.h"
#include "files.h"
#include "image.h"
#include "inlined.h"
#include "instrument.h"
#include "memory.h"
#include "model.h"
#include "program.h"
#include "ranges/ranges.h"
#include "states.h"
#include "threads.h"

#define ROOT_ACT 5

struct run run;
static uint64_t random_state;
static unsigned calls_learnt;
static unsigned more_flags[FILES]; /* whenever it is mapped */

static void remove_files(void)
{
    for (int file = 0; file < FILES; file++)
        unlink(files_real_path(file));
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

/* ---- Segments ---------------------------------------------------------- */

static void after_call(void)
{
    states_after_call();
    threads_pause(true);
}

#define ALONE 0x80000000u /* beside flags of vista_map: with its own log */

static void map_file(int file, size_t size, unsigned flags, struct vista_map_options options)
{
    const struct vista_options force = {.force_class = run.class, .flags = VISTA_HOST_FAULTS};

    worlds[LIVE].exact = run.class != VISTA_CLASS_LINE;
    vista_init(&force);
    memory.current = LIVE;
    options.log = file != run.home && !(flags & ALONE) ? run.segments[run.home] : NULL;
    run.segments[file] =
        vista_map(files_path(file), size, (flags & ~ALONE) | more_flags[file], &options);
    memory_complete();
    if (run.segments[file] == NULL)
        fail("vista_map");
}

static void create_file(enum media media, size_t size, size_t room, unsigned more)
{
    const int file = model.files;
    const bool flat = media == FLAT || media == SPARSE_FLAT || media == AUTO;
    const unsigned flags = VISTA_CREATE | (flat ? VISTA_NO_HEAP : 0) |
                           (media == SPARSE_FLAT || media == SPARSE_HEAP ? VISTA_SPARSE : 0);

    more_flags[file] = media == AUTO ? VISTA_AUTO_RANGE : media == GROWING_HEAP ? VISTA_GROW : 0;
    model_add(size, room, !flat);
    map_file(file, size, flags | more,
             (struct vista_map_options){.address = files_address(file), .max_size = room});
    if (flat)
        for (size_t i = 0; i < size; i += 64)
            store(model.file[file].first + i, 64);
}

static void begin_run(void)
{
    static bool registered;

    remove_files();
    if (!registered) {
        registered = true;
        atexit(remove_files);
        signal(SIGTERM, stop);
        signal(SIGINT, stop);
    }
    image_close();
    files_reset();
    image_reset();
    model_reset();
    calls_learnt = 0;
    run.home = 0;
    memory.seed = run.seed;
    memory.point = states_point;
    threads_reset();
    hooks.no_space = false;
    image_open(run.recovery);
}

static void model_read(void)
{
    for (int file = 0; file < model.files; file++)
        memcpy(model.base + model.file[file].first, files_address(file), model.file[file].size);
    model.epoch++;
}

void fresh_with_room(enum media media, size_t size, size_t room)
{
    begin_run();
    create_file(media, size, room, 0);
    run.base = files_address(0);
    states.created = true;
    states.may_be_clean = 0;
    model_read();
}

void fresh_segment(enum media media, size_t size)
{
    fresh_with_room(media, size, size);
}

size_t fresh_member(enum media media, size_t size, size_t room)
{
    const int file = model.files;

    create_file(media, size, room, 0);
    model_read();
    return model.file[file].first;
}

size_t fresh_stranger(enum media media, size_t size)
{
    const int file = model.files;

    create_file(media, size, size, ALONE);
    unmap(file);
    model_read();
    return model.file[file].first;
}

void explore(void)
{
    memory_all_durable();
    model_read();
    states.on = !run.rehearsal;
}

void leave_segment(void)
{
    states.on = false;
    image_close();
    for (int file = 0; file < model.files; file++)
        if (run.segments[file] != NULL)
            unmap(file);
    memory.current = NO_WORLD;
    remove_files();
}

void die_and_map(enum vista_class class)
{
    const bool doubt = run.class == VISTA_CLASS_KILL && class == VISTA_CLASS_LINE;
    bool mapped[FILES];

    memory_complete();
    image_close();
    for (int file = FILES - 1; file >= 0; file--) {
        mapped[file] = run.segments[file] != NULL;
        if (mapped[file])
            vi_close_segment((struct vi_segment *)run.segments[file], false);
    }
    files_die(LIVE);
    memory_all_durable(); /* the machine has not died */
    if (doubt)
        memory_doubt();
    states.class_changes = doubt;
    run.class = class;
    model.epoch++;
    states.may_be_clean = ~0u; /* what was recovered, until it is mapped */
    map_file(run.home, 0, 0, (struct vista_map_options){0});
    for (int file = 0; file < FILES; file++)
        if (mapped[file] && file != run.home)
            map_file(file, 0, 0, (struct vista_map_options){0});
    states.may_be_clean = 0;
    states.class_changes = false;
    for (int act = 0; act < ACTS; act++)
        if (model.act[act].open)
            model_abort(act);
    after_call();
}

void unmap(int file)
{
    vista_segment *segment = run.segments[file];

    image_close();
    states.may_be_clean |= 1u << file;
    run.segments[file] = NULL;
    if (vista_unmap(segment) != 0)
        fail("vista_unmap");
    memory_complete();
}

void map_again(int file)
{
    map_file(file, 0, 0, (struct vista_map_options){0});
    states.may_be_clean &= ~(1u << file);
    after_call();
}

bool resize(int file, size_t size)
{
    const size_t before = model.file[file].size;
    bool good;

    model_resize(file, size);
    good = vista_resize(run.segments[file], size) == 0;
    memory_complete();
    if (!good)
        model_resize(file, before);
    model_resized(file);
    after_call();
    return good;
}

/* ---- Places ------------------------------------------------------------ */

unsigned char *address_of(size_t place)
{
    const int file = model_file_at(place);

    return (unsigned char *)files_address(file) + (place - model.file[file].first);
}

size_t place_of(const void *address)
{
    const int file = (int)REGION_OF(address) / AREAS;

    return model.file[file].first +
           (size_t)((const unsigned char *)address - (const unsigned char *)files_address(file));
}

/* ---- Transactions ------------------------------------------------------ */

void begin(int act)
{
    begin_on(act, 0);
}

void begin_on(int act, int file)
{
    run.tx[act] = inlined_begin(run.segments[file]);
    if (run.tx[act] == NULL)
        fail("vista_begin_transaction");
    memset(&model.act[act], 0, sizeof model.act[act]);
    model.act[act].open = true;
    model.epoch++;
    after_call();
}

void declare(int act, size_t place, size_t length)
{
    if (inlined_set_range(run.tx[act], address_of(place), length) != 0)
        fail("vista_set_range");
    model_range(act, place, length);
    after_call();
}

bool declare_all(int act, const struct iovec *ranges, int count)
{
    const bool good = inlined_set_ranges(run.tx[act], ranges, count) == 0;

    for (int i = 0; i < count && good; i++)
        model_range(act, place_of(ranges[i].iov_base), ranges[i].iov_len);
    after_call();
    return good;
}

void store_bytes(size_t place, const void *bytes, size_t length)
{
    unsigned char *address = address_of(place);

    memory_store(address, length);
    memcpy(address, bytes, length);
    memory_complete();
}

void store(size_t place, size_t length)
{
    unsigned char bytes[256];

    while (length > 0) {
        const size_t piece = length < sizeof bytes ? length : sizeof bytes;

        for (size_t i = 0; i < piece; i++)
            bytes[i] = (unsigned char)next_random();
        store_bytes(place, bytes, piece);
        place += piece;
        length -= piece;
    }
}

void change(int act, size_t place, size_t length)
{
    declare(act, place, length);
    store(place, length);
    after_call();
}

void change_undeclared(int act, size_t place, size_t length)
{
    struct vi_ranges *ranges = ((struct vi_segment *)run.segments[model_file_at(place)])->ranges;

    for (size_t at = place; at < place + length; at = (at / VI_PAGE + 1) * VI_PAGE)
        if (!vi_ranges_fault(ranges, (struct vi_note){.address = (uintptr_t)address_of(at)}))
            fail("a store");
    memory_complete();
    model_range(act, place, length);
    after_call();
    store(place, length);
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
    model.act[act].aborting = true;
    if (vista_abort_transaction(run.tx[act]) != 0)
        fail("vista_abort_transaction");
    memory_complete();
    model_abort(act);
    after_call();
}

/* ---- Heap -------------------------------------------------------------- */

static size_t room_of(size_t place)
{
    const size_t room = vista_usable_size(run.segments[model_file_at(place)], address_of(place));

    if (room == 0)
        fail("vista_usable_size");
    return room;
}

/* A block that was had, or NULL. */
static size_t allocated(int act, const void *block)
{
    const size_t place = block != NULL ? place_of(block) : NOWHERE;

    if (block == NULL && errno != ENOMEM)
        fail("vista_malloc");
    if (block == NULL)
        return NOWHERE;
    model_allocated(act, place, room_of(place));
    after_call();
    return place;
}

static size_t filled(size_t place, size_t size)
{
    if (place != NOWHERE) {
        store(place, size);
        after_call();
    }
    return place;
}

size_t allocate_plain(int act, size_t size)
{
    return allocated(act, vista_malloc(run.tx[act], size));
}

size_t allocate(int act, size_t size)
{
    return filled(allocate_plain(act, size), size);
}

size_t allocate_in(int act, int file, size_t size)
{
    return filled(allocated(act, vista_malloc_in(run.tx[act], run.segments[file], size)), size);
}

void release(int act, size_t place)
{
    const size_t room = room_of(place);

    if (vista_free(run.tx[act], address_of(place)) != 0)
        fail("vista_free");
    model_freed(act, place, room);
    after_call();
}

size_t reallocate(int act, size_t place, size_t size)
{
    const size_t old = room_of(place);
    const unsigned char *block = vista_realloc(run.tx[act], address_of(place), size);
    size_t moved;

    if (block == NULL)
        fail("vista_realloc");
    moved = place_of(block);
    if (moved != place) {
        model_freed(act, place, old);
        model_allocated(act, moved, room_of(moved));
    } else if (room_of(place) > old) {
        model_extended(act, place + old, room_of(place) - old);
    }
    after_call();
    return moved;
}

/* What these calls will do is learnt in a rehearsal of the whole run. */
static struct learnt {
    size_t offset, room;
} * learn(void)
{
    static struct learnt learnt[16];

    return &learnt[calls_learnt++ % 16];
}

size_t allocate_growing(int act, size_t size)
{
    struct learnt *learnt = learn();
    const void *block;

    if (!run.rehearsal && learnt->room != model.file[0].size)
        model_resize(0, learnt->room);
    block = vista_malloc(run.tx[act], size);
    learnt->room = vista_size(run.segments[0]);
    model_resize(0, learnt->room);
    model_resized(0);
    return filled(allocated(act, block), size < 40 ? size : 40);
}

void grow_root(size_t size)
{
    struct learnt *learnt = learn();
    struct act *act = &model.act[ROOT_ACT];
    const size_t old = model.root[0], old_size = model.root[1];
    const size_t old_room = old_size != 0 ? room_of(old) : 0;
    unsigned char *root;

    if (run.rehearsal) {
        root = vista_root(run.segments[0], size);
        if (root == NULL)
            fail("vista_root");
        learnt->offset = (size_t)(root - run.base);
        learnt->room = vista_usable_size(run.segments[0], root);
    }
    memset(act, 0, sizeof *act);
    act->open = act->ending = act->moves_root = true;
    act->root[0] = learnt->offset;
    act->root[1] = size;
    if (old_size == 0 || act->root[0] != old) {
        model_allocated(ROOT_ACT, act->root[0], learnt->room);
        if (old_size != 0)
            model_freed(ROOT_ACT, old, old_room);
    } else {
        model_range(ROOT_ACT, old + old_size, size - old_size);
    }
    if (!run.rehearsal && vista_root(run.segments[0], size) == NULL)
        fail("vista_root");
    memory_complete();
    model_commit(ROOT_ACT);
    memset(act, 0, sizeof *act);
    after_call();
}
