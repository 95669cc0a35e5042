/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments come and go: made, mapped alone or with another's log, unmapped in any order,
 * killed, resized.  See calls.h.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/watch.h"
#include "calls.h"

/* ---- How --------------------------------------------------------------- */

struct how {
    unsigned flags, class;
    struct seg *log; /* NULL: its own */
    size_t auto_pages;
    bool host_faults, in_the_way;
    bool anywhere; /* made where the library likes, for as much as it likes */
};

static void *place_of(const struct seg *s)
{
    return s->made ? s->home : (unsigned char *)(PLACE + (uintptr_t)APART * index_of(s));
}

static void set_options(unsigned class, bool host_faults)
{
    const struct vista_options options = {.force_class = class,
                                          .flags = host_faults ? VISTA_HOST_FAULTS : 0};

    HOLDS(vista_init(&options) == 0, "vista_init");
}

/* The class that a mapping in memory gets. */
static unsigned class_of(const struct how *how)
{
    return how->flags & VISTA_KILL_SAFE || how->class == VISTA_CLASS_PROBE ? VISTA_CLASS_KILL
                                                                           : how->class;
}

/* 0, or the error with which it must be refused. */
static int not_to_be(const struct how *how)
{
    const struct seg *home = how->log != NULL ? how->log->log : NULL;
    const unsigned watch = how->flags & (VISTA_AUTO_RANGE | VISTA_CHECK_RANGES);

    if (home == NULL)
        return 0;
    if (how->flags & VISTA_READ_ONLY || how->log->read_only || home->read_only ||
        (watch != 0 && watch != home->watch))
        return EINVAL;
    if (home->class != class_of(how))
        return ENOTSUP;
    return watch != 0 && open_count(home) != 0 ? EBUSY : 0;
}

/* ---- Mapping ----------------------------------------------------------- */

static vista_segment *try(struct seg *s, const struct how *how, size_t size)
{
    struct vista_map_options options = {.log = how->log != NULL ? how->log->handle : NULL,
                                        .auto_pages = how->auto_pages};

    if (size != 0) {
        options.address = how->anywhere ? NULL : place_of(s);
        options.max_size = how->anywhere && 4 * size == SIZE_MAX_DATA ? 0 : SIZE_MAX_DATA;
    }
    file_use(index_of(s));
    expect();
    return vista_map(file_path, size, how->flags, &options);
}

/* It could not be told whether the machine has restarted since.  A member goes on without
 * its home when it is told to accept that: so home comes first. */
static void accept_torn(struct seg *s, unsigned deep)
{
    const struct how how = {.flags = VISTA_ACCEPT_TORN};

    if (s->clean || is_there(s) || deep > SEGMENTS)
        return;
    fault_clear();
    if (s->log != s)
        accept_torn(s->log, deep + 1);
    s->handle = try(s, &how, 0);
    HOLDS(s->handle != NULL, "vista_map of home, which may be torn");
    s->log = s;
    leave(s);
}

static void mapped(struct seg *s, const struct how *how)
{
    struct vista_info info;

    s->base = vista_base(s->handle);
    HOLDS(s->base != NULL && vista_info(s->handle, &info) == 0, "a mapped segment");
    s->log = how->log != NULL ? how->log->log : s;
    s->read_only = how->flags & VISTA_READ_ONLY;
    s->grows = how->flags & VISTA_GROW;
    s->cramped = fault_hits() != 0 || info.flags & VISTA_ANY_ADDRESS;
    s->watch = how->flags & (VISTA_AUTO_RANGE | VISTA_CHECK_RANGES);
    s->guarded = vi_watched && !(info.flags & VISTA_NO_HEAP) && s->watch == 0;
    s->class = info.persistence;
    HOLDS(s->class == class_of(how), "the class is %u", s->class);
}

/* Maps, or is refused something and maps then without being refused it.  false: it was not
 * to be. */
static bool map(struct seg *s, struct how *how, size_t size)
{
    const int wrong = not_to_be(how);
    void *in_the_way = MAP_FAILED;

    if (how->in_the_way)
        in_the_way = mmap(place_of(s), 4096, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    s->handle = try(s, how, size);
    if (s->handle == NULL && errno == ECANCELED && boot_id_refused) {
        if (s->log != s)
            accept_torn(s->log, 0);
        how->flags |= VISTA_ACCEPT_TORN;
        s->handle = try(s, how, size);
    }
    if (s->handle == NULL && (wrong == 0 || errno != wrong)) {
        HOLDS(fault_hits() != 0, "vista_map failed for no reason");
        REFUSED("vista_map", ENOMEM, ENOSPC, EIO, EFBIG, EMFILE, ENOLCK, EEXIST, EINVAL, EINTR,
                ECANCELED);
        fault_clear();
        if (boot_id_refused && !(how->flags & VISTA_READ_ONLY)) {
            /* and giving up what was made so far may have been refused too */
            if (s->made && s->log != s)
                accept_torn(s->log, 0);
            how->flags |= VISTA_ACCEPT_TORN;
        }
        s->handle = try(s, how, size);
        HOLDS(s->handle != NULL || wrong != 0, "vista_map, now that nothing is refused");
    }
    if (in_the_way != MAP_FAILED)
        munmap(in_the_way, 4096);
    if (s->handle == NULL) {
        HOLDS(errno == wrong, "vista_map refused what makes no sense");
        return false;
    }
    HOLDS(wrong == 0, "vista_map did what makes no sense");
    mapped(s, how);
    return true;
}

static void made(struct seg *s, const struct how *how)
{
    s->made = true;
    s->home = s->base;
    s->flat = how->flags & VISTA_NO_HEAP;
    s->sparse = how->flags & VISTA_SPARSE;
    s->root = s->root_size = 0;
    memset(s->owner, NO_ONE, sizeof s->owner);
    memset(s->now, 0, sizeof s->now);
    memset(s->known, s->flat ? 0xff : 0, sizeof s->known);
}

static void create(struct input *input, struct seg *s, struct how *how)
{
    static const size_t sizes[] = {64 * KIB, 128 * KIB, SIZE_MAX_DATA, 4 * KIB};
    const unsigned what = (unsigned)take(input, 1);
    const bool flat = what & 4;

    s->size = sizes[what & 3];
    if (!flat && s->size < 64 * KIB)
        s->size = 64 * KIB;
    how->class = what >> 4 & 3;
    if (what & 128 && !flat)
        how->flags |= VISTA_GROW;
    how->flags |= VISTA_CREATE | (flat ? VISTA_NO_HEAP : 0) | (what & 8 ? VISTA_SPARSE : 0);
    set_options(how->class, how->host_faults);
    if (what & 64)
        inject(input, 0);
    if (map(s, how, s->size))
        made(s, how);
}

void create_first(struct input *input)
{
    struct how how = {0};

    create(input, &segs[0], &how);
}

static void map_old(struct seg *s, struct how *how)
{
    if (!map(s, how, 0))
        return;
    HOLDS(s->base == s->home || how->flags & VISTA_ANY_ADDRESS, "the same address");
    HOLDS(vista_size(s->handle) == s->size, "the same segment");
    compare("mapped again");
}

void map_plainly(struct seg *s, unsigned flags)
{
    struct how how = {.flags = flags};

    set_options(VISTA_CLASS_PROBE, false);
    map_old(s, &how);
}

/* Of one byte, as old as the fuzzer. */
static struct how some_how(const struct seg *s, unsigned byte)
{
    struct how how = {.class = byte >> 1 & 3};

    if (byte & 8 && s->clean)
        how.flags |= VISTA_READ_ONLY;
    if (byte & 16)
        how.flags |= VISTA_ANY_ADDRESS;
    if (byte & 32 && !(how.flags & VISTA_READ_ONLY))
        how.flags |= VISTA_KILL_SAFE;
    if (byte & 64 && !(how.flags & VISTA_READ_ONLY))
        how.flags |= VISTA_ACCEPT_TORN;
    if (byte & 128 && !s->flat && !(how.flags & VISTA_READ_ONLY))
        how.flags |= VISTA_GROW;
    return how;
}

void map_again(struct input *input, struct seg *s, bool killed)
{
    const unsigned byte = (unsigned)take(input, 1);
    struct how how;

    if (killed) {
        leave_killed();
    } else {
        if (byte & 1) /* else see that it is refused */
            finish_all(s->log);
        leave(s);
        if (is_there(s))
            return;
    }
    how = some_how(s, byte);
    if (how.flags & VISTA_ACCEPT_TORN && s->log != s)
        how.flags &= ~VISTA_ACCEPT_TORN; /* it must not go on without home */
    set_options(how.class, false);
    map_old(s, &how);
}

void map_some(struct input *input, struct seg *s)
{
    const unsigned byte = (unsigned)take(input, 1), more = (unsigned)take(input, 1);
    struct seg *log = &segs[more & 3];
    struct how how;

    if (is_there(s))
        return;
    how = s->made ? some_how(s, byte) : (struct how){0};
    how.flags &= ~VISTA_ACCEPT_TORN;
    if ((more & 3) < SEGMENTS && log->handle != NULL)
        how.log = log;
    if (more & 8 && how.log != NULL && how.log->log->watch == VISTA_CHECK_RANGES &&
        open_count(how.log) != 0)
        return; /* it would wait */
    if (more & 8 && (how.log == NULL ? (more & 3) == 3 : how.log->log->watch != 0)) {
        how.flags =
            (how.flags & ~VISTA_READ_ONLY) | (more & 16 ? VISTA_CHECK_RANGES : VISTA_AUTO_RANGE);
        how.host_faults = more & 4;
        how.auto_pages = more & 64 && !(more & 16) ? 1 + (more >> 6) * 3 : 0;
    }
    how.anywhere = more & 32 && !s->made && !(byte & 16);
    if (more & 32 && !s->made && byte & 16)
        how.flags |= VISTA_ANY_ADDRESS;
    how.in_the_way = more & 32 && how.flags & VISTA_ANY_ADDRESS;
    if (how.log != NULL && more & 4) /* so that mostly it can be */
        how.class = how.log->log->class;
    if (!s->made) {
        create(input, s, &how);
        return;
    }
    set_options(how.class, how.host_faults);
    map_old(s, &how);
}

void map_twice(struct seg *s)
{
    const struct how how = {0};
    vista_segment *second;

    fault_clear();
    second = try(s, &how, 0);
    HOLDS(second == NULL, "mapped twice");
    REFUSED("vista_map of what is mapped", EBUSY);
    compare("mapped twice");
}

/* ---- Leaving ----------------------------------------------------------- */

static void check_file(const struct seg *s)
{
    uint64_t count = 0;

    fault_clear();
    expect();
    file_use(index_of(s));
    HOLDS(file_sound(&count), "vista_check");
    if (!s->flat)
        HOLDS(count == committed_blocks(s), "%llu blocks are allocated, %llu should be",
              (unsigned long long)count, (unsigned long long)committed_blocks(s));
}

static bool has_members(const struct seg *home)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        if (&segs[i] != home && is_there(&segs[i]) && segs[i].log == home)
            return true;
    return false;
}

/* Its file is closed. */
static void gone(struct seg *s, bool well)
{
    s->handle = NULL;
    s->detached = false;
    s->clean = well;
    protection_of(index_of(s), 0);
}

void leave(struct seg *s)
{
    struct seg *home = s->log;
    vista_segment *handle = s->handle;
    int result;

    expect();
    result = vista_unmap(handle);
    if (result != 0 && open_count(s) != 0) {
        HOLDS(errno == EBUSY && *vista_errormsg() != '\0', "transactions are open");
        compare("unmapping was refused");
        return;
    }
    HOLDS(open_count(s) == 0, "unmapped with open transactions");
    if (result != 0) {
        HOLDS(fault_hits() != 0, "vista_unmap failed for no reason");
        REFUSED("vista_unmap", EIO, ENOSPC, ENOMEM);
    }
    s->handle = NULL;
    if (has_members(s)) {
        HOLDS(result == 0, "there was nothing to write");
        s->detached = true;
        s->grows = false;
    } else {
        gone(s, result == 0);
        if (home->detached && !has_members(home)) {
            gone(home, result == 0);
            if (result == 0)
                check_file(home);
        }
        if (result == 0)
            check_file(s);
    }
    expect();
    HOLDS(vista_size(handle) == 0 && errno == EINVAL, "the handle ends");
    compare("another segment was unmapped");
}

void leave_killed(void)
{
    fault_clear();
    die_all();
    for (int i = 0; i < ACTS; i++)
        settle(i, false);
    for (unsigned i = 0; i < SEGMENTS; i++)
        if (is_there(&segs[i]))
            gone(&segs[i], false);
}

/* ---- While it is mapped ------------------------------------------------ */

void resize(struct input *input, struct seg *s)
{
    const size_t size = take(input, 2) * 16, least = s->flat ? 4 * KIB : 64 * KIB;
    const size_t pages = size < least ? least : (size + 4095) / 4096 * 4096;
    int result;

    expect();
    result = vista_resize(s->handle, size);
    if (result != 0) {
        REFUSED("vista_resize", EINVAL, EBUSY, ENOSPC, ENOMEM, EROFS, EIO, EFBIG);
        HOLDS((errno == EINVAL) == (size == 0 || pages > SIZE_MAX_DATA) || s->read_only,
              "%zu bytes", size);
        HOLDS(errno != EBUSY || (pages < s->size && (open_count(s) != 0 || !s->flat)) ||
                  (pages > s->size && open_count(s) != 0 && s->flat && s->watch != 0),
              "nothing is busy");
        HOLDS(errno == EINVAL || errno == EBUSY || errno == EROFS ||
                  (errno == ENOMEM && s->cramped) || fault_hits() != 0,
              "vista_resize failed for no reason");
        HOLDS(vista_size(s->handle) == s->size, "it failed, and the size changed");
        compare("vista_resize failed");
        return;
    }
    HOLDS(size != 0 && vista_size(s->handle) == pages && !s->read_only, "resized to %zu", size);
    HOLDS(pages == s->size || open_count(s) == 0 ||
              (pages > s->size && !(s->flat && s->watch != 0)),
          "its size changed under open transactions");
    for (unsigned i = 0; i < BLOCKS; i++)
        HOLDS(!blocks[i].live || blocks[i].in != s || blocks[i].at + blocks[i].size <= pages,
              "a block is cut off");
    HOLDS(s->root_size == 0 || s->root + s->root_size <= pages, "the root is cut off");
    if (pages < s->size) { /* what comes later is new */
        memset(s->now + pages, 0, s->size - pages);
        memset(s->known + pages, s->flat ? 0xff : 0, s->size - pages);
    }
    sized(s);
    protection_of(index_of(s), pages);
    s->size = pages;
    compare("resized");
}

void inquire(struct seg *s)
{
    struct vista_info info;

    HOLDS(vista_info(s->handle, &info) == 0 && info.base == s->base && info.size == s->size &&
              info.open_transactions == open_count(s),
          "vista_info");
    file_use(index_of(s->log));
    HOLDS(strcmp(info.log, file_path) == 0, "it uses another's log: %s", info.log);
    HOLDS((info.flags & (VISTA_AUTO_RANGE | VISTA_CHECK_RANGES)) == s->watch, "flags %x",
          info.flags);
    expect();
    HOLDS(vista_flush(s->handle) == 0 || (errno == EIO && fault_hits() != 0), "vista_flush");
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].live && blocks[i].in == s)
            HOLDS(vista_usable_size(s->handle, s->base + blocks[i].at) >= blocks[i].size ||
                      blocks[i].freed_by != NO_ONE,
                  "the size of a block");
}
