/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The guest's memory: see memory_calls.h.
 */
#include "checkpoint/kernel/memory_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/kernel/handlers.h"

#define PAGE ((uint64_t)VI_GUEST_PAGE)
#define MOST_WIPED ((uint64_t)1 << 20) /* bytes that are zeroed without a look at what is stored */
#define ALL_PROTECTIONS (PROT_READ | PROT_WRITE | PROT_EXEC)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- The table -------------------------------------------------------------- */

/* The first entry that ends behind `address`. */
static uint64_t find(uint64_t address)
{
    const struct vi_control *c = vi_engine.control;
    uint64_t low = 0, high = c->map_count;

    while (low < high) {
        const uint64_t middle = (low + high) / 2;

        if (c->maps[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool insert(uint64_t at, struct vi_map_entry entry)
{
    struct vi_control *c = vi_engine.control;

    if (c->map_count == VI_MAPS)
        return false;
    memmove(&c->maps[at + 1], &c->maps[at], (c->map_count - at) * sizeof entry);
    c->maps[at] = entry;
    c->map_count++;
    vi_engine.remapped = true;
    return true;
}

static void erase(uint64_t from, uint64_t to)
{
    struct vi_control *c = vi_engine.control;

    memmove(&c->maps[from], &c->maps[to], (c->map_count - to) * sizeof c->maps[0]);
    c->map_count -= to - from;
    vi_engine.remapped = true;
}

/* Makes an entry's border of `address`, if an entry spans it. */
static bool split(uint64_t address)
{
    struct vi_control *c = vi_engine.control;
    const uint64_t at = find(address);
    struct vi_map_entry left;

    if (at == c->map_count || c->maps[at].start >= address)
        return true;
    left = c->maps[at];
    left.end = address;
    if (!insert(at, left))
        return false;
    c->maps[at + 1].start = address;
    return true;
}

/* Entries that touch and are alike become one. */
static void merge(uint64_t start, uint64_t end)
{
    struct vi_control *c = vi_engine.control;
    uint64_t at = find(start > 0 ? start - 1 : 0);

    while (at + 1 < c->map_count && c->maps[at].start <= end) {
        struct vi_map_entry *a = &c->maps[at];
        const struct vi_map_entry *b = a + 1;

        if (a->end == b->start && a->protection == b->protection && a->unsaved == b->unsaved &&
            vi_area_of(a->start) == vi_area_of(b->start)) {
            a->end = b->end;
            erase(at + 1, at + 2);
        } else {
            at++;
        }
    }
}

static bool covers(uint64_t address, uint64_t length, uint32_t protection)
{
    const struct vi_control *c = vi_engine.control;
    const uint64_t end = address + length;

    if (end < address)
        return false;
    for (uint64_t at = find(address); address < end; at++) {
        if (at == c->map_count || c->maps[at].start > address ||
            (c->maps[at].protection & protection) != protection)
            return false;
        address = c->maps[at].end;
    }
    return true;
}

bool vi_memory_readable(uint64_t address, uint64_t length)
{
    return length == 0 || covers(address, length, PROT_READ);
}

bool vi_memory_writable(uint64_t address, uint64_t length)
{
    return length == 0 || covers(address, length, PROT_WRITE);
}

bool vi_memory_string(uint64_t address, uint64_t size)
{
    while (size != 0) {
        const uint64_t part = smaller(size, PAGE - address % PAGE);

        if (!vi_memory_readable(address, part))
            return false;
        if (memchr((const void *)address, '\0', part) != NULL)
            return true;
        address += part;
        size -= part;
    }
    return false;
}

/* ---- Contents ---------------------------------------------------------------- */

static bool inside_area(uint64_t start, uint64_t end)
{
    const enum vi_area area = vi_area_of(start);

    return area != VI_AREAS && end > start && end <= vi_area_end(area);
}

/* What was used before is zeroed: to drop it would show what was last committed. */
static void clear(uint64_t start, uint64_t end)
{
    const uint64_t high = vi_engine.control->high[vi_area_of(start)];

    if (high > start && smaller(end, high) - start > MOST_WIPED)
        vi_engine_wipe(start, smaller(end, high));
    else if (high > start)
        memset((void *)start, 0, smaller(end, high) - start);
}

static void mark_used(uint64_t end, enum vi_area area)
{
    if (vi_engine.control->high[area] < end)
        vi_engine.control->high[area] = end;
}

/* Without its pages: those that are there a checkpoint may read. */
static void drop(uint64_t start, uint64_t length)
{
    (void)madvise((void *)start, length, MADV_DONTNEED);
    (void)mprotect((void *)start, length, PROT_NONE);
    vi_engine_watch(start, start + length);
}

static long unmap(uint64_t start, uint64_t end)
{
    struct vi_control *c = vi_engine.control;
    uint64_t from, to;

    if (!split(start) || !split(end))
        return -ENOMEM;
    from = find(start);
    for (to = from; to < c->map_count && c->maps[to].start < end; to++)
        drop(c->maps[to].start, c->maps[to].end - c->maps[to].start);
    erase(from, to);
    return 0;
}

void vi_memory_clear(void)
{
    struct vi_control *c = vi_engine.control;

    for (uint64_t at = 0; at < c->map_count; at++)
        drop(c->maps[at].start, c->maps[at].end - c->maps[at].start);
    c->map_count = 0;
    vi_engine_unmapped();
}

/* Maps [start, end), of which nothing is mapped. */
static long place(uint64_t start, uint64_t end, int protection, int fd, uint64_t offset)
{
    const enum vi_area area = vi_area_of(start);
    const bool written = fd >= 0 ? !vi_engine_is_new(start) : start < vi_engine.control->high[area];
    struct vi_map_entry entry = {.start = start,
                                 .end = end,
                                 .protection = (uint32_t)protection,
                                 .unsaved = written && !(protection & PROT_WRITE)};
    long result = 0;

    if (written && mprotect((void *)start, end - start, PROT_READ | PROT_WRITE) != 0)
        return -errno;
    if (written)
        clear(start, end);
    if (fd >= 0)
        result = vi_engine_fill(start, end, fd, offset);
    if (result == 0 && mprotect((void *)start, end - start, protection | PROT_READ) != 0)
        result = -errno;
    if (fd >= 0 && protection & PROT_WRITE)
        vi_engine_watch(start, end);
    mark_used(end, area);
    if (result == 0 && !insert(find(start), entry))
        result = -ENOMEM;
    if (result != 0) {
        drop(start, end - start);
        return result;
    }
    merge(start, end);
    return (long)start;
}

static bool is_free(uint64_t start, uint64_t end)
{
    const uint64_t at = find(start);

    return at == vi_engine.control->map_count || vi_engine.control->maps[at].start >= end;
}

/* First fit in the area of mappings, with a page between for what runs over. */
static uint64_t choose(uint64_t length)
{
    const struct vi_control *c = vi_engine.control;
    const uint64_t limit = vi_area_end(VI_AREA_MMAP);
    uint64_t start = vi_area_start(VI_AREA_MMAP);

    for (uint64_t at = find(start); at < c->map_count && c->maps[at].start < limit; at++) {
        if (c->maps[at].start >= start && c->maps[at].start - start >= length)
            return start;
        start = c->maps[at].end;
    }
    return limit - start >= length ? start : 0;
}

static uint64_t choose_address(uint64_t hint, uint64_t length)
{
    if (hint != 0 && hint % PAGE == 0 && vi_area_of(hint) != VI_AREA_BREAK &&
        inside_area(hint, hint + length) && is_free(hint, hint + length))
        return hint;
    return choose(length);
}

static long refused_map(int protection, int flags, int fd)
{
    if (flags & MAP_ANONYMOUS)
        return flags & (MAP_HUGETLB | MAP_32BIT) ? -ENOMEM : 0;
    if (fcntl(fd, F_GETFL) < 0)
        return -EBADF;
    if ((flags & MAP_TYPE) != MAP_PRIVATE && protection & PROT_WRITE) {
        vi_refuse("a shared writable mapping of a file", "ENODEV, its writes could not be undone");
        return -ENODEV;
    }
    return 0;
}

long vi_memory_map(uint64_t address, uint64_t length, int protection, int flags, int fd,
                   uint64_t offset)
{
    const bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    const uint64_t size = VI_PAGE_UP(length);
    long result = refused_map(protection, flags, fd);

    if (result != 0)
        return result;
    if (length == 0 || offset % PAGE != 0 || (fixed && address % PAGE != 0))
        return -EINVAL;
    if (size < length || protection & ~ALL_PROTECTIONS)
        return -ENOMEM;
    if (fixed && !inside_area(address, address + size))
        return -ENOMEM;
    if (flags & MAP_FIXED_NOREPLACE && !is_free(address, address + size))
        return -EEXIST;
    if (fixed)
        result = unmap(address, address + size);
    else
        address = choose_address(address, size);
    if (result != 0 || address == 0)
        return -ENOMEM;
    return place(address, address + size, protection, flags & MAP_ANONYMOUS ? -1 : fd, offset);
}

/* ---- Calls ------------------------------------------------------------------- */

long vi_call_mmap(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const int type = (int)a[3] & MAP_TYPE;

    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (!((int)a[3] & MAP_ANONYMOUS) && (int)a[4] >= VI_DESCRIPTORS)
        return -EBADF;
    return vi_memory_map(a[0], a[1], (int)a[2], (int)a[3], (int)a[4], a[5]);
}

long vi_call_munmap(struct vi_call *call)
{
    const uint64_t start = call->arguments[0], end = start + VI_PAGE_UP(call->arguments[1]);

    if (start % PAGE != 0 || end <= start)
        return -EINVAL;
    vi_engine_unmapped();
    return unmap(start, end);
}

long vi_memory_protect(uint64_t address, uint64_t length, int protection)
{
    struct vi_control *c = vi_engine.control;
    const uint64_t end = address + VI_PAGE_UP(length);

    if (address % PAGE != 0 || protection & ~ALL_PROTECTIONS)
        return -EINVAL;
    if (length != 0 && (end < address || !covers(address, end - address, 0)))
        return -ENOMEM;
    if (!split(address) || !split(end))
        return -ENOMEM;
    for (uint64_t at = find(address); at < c->map_count && c->maps[at].start < end; at++) {
        struct vi_map_entry *map = &c->maps[at];

        if (mprotect((void *)map->start, map->end - map->start, protection | PROT_READ) != 0)
            return -errno;
        if (protection & PROT_WRITE)
            vi_engine_watch(map->start, map->end);
        if (map->protection & PROT_WRITE && !(protection & PROT_WRITE))
            map->unsaved = 1;
        else if (protection & PROT_WRITE)
            map->unsaved = 0; /* it is scanned again */
        map->protection = (uint32_t)protection;
        vi_engine.remapped = true;
    }
    merge(address, end);
    return 0;
}

long vi_call_mprotect(struct vi_call *call)
{
    return vi_memory_protect(call->arguments[0], call->arguments[1], (int)call->arguments[2]);
}

static long move(uint64_t old, uint64_t old_size, uint64_t to, uint64_t size)
{
    const struct vi_map_entry was = vi_engine.control->maps[find(old)];
    long result = place(to, to + size, PROT_READ | PROT_WRITE, -1, 0);

    if (result < 0)
        return result;
    memcpy((void *)to, (const void *)old, smaller(old_size, size));
    result = vi_memory_protect(to, size, (int)was.protection);
    if (result == 0)
        result = unmap(old, old + old_size);
    return result == 0 ? (long)to : result;
}

long vi_call_mremap(struct vi_call *call)
{
    const uint64_t old = call->arguments[0], old_size = VI_PAGE_UP(call->arguments[1]);
    const uint64_t size = VI_PAGE_UP(call->arguments[2]), flags = call->arguments[3];
    const uint64_t more = size - old_size;
    uint64_t to;

    if (old % PAGE != 0 || size == 0 || old_size == 0 || flags & ~(uint64_t)MREMAP_MAYMOVE)
        return -EINVAL;
    if (!covers(old, old_size, 0))
        return -EFAULT;
    if (size <= old_size) {
        const long result = size < old_size ? unmap(old + size, old + old_size) : 0;

        return result == 0 ? (long)old : result;
    }
    if (inside_area(old, old + size) && vi_area_of(old) != VI_AREA_BREAK &&
        is_free(old + old_size, old + size)) {
        const int protection = (int)vi_engine.control->maps[find(old)].protection;
        const long result = place(old + old_size, old + old_size + more, protection, -1, 0);

        return result < 0 ? result : (long)old;
    }
    to = flags & MREMAP_MAYMOVE ? choose(size) : 0;
    return to != 0 ? move(old, old_size, to, size) : -ENOMEM;
}

/* Of what is not writable nothing was zeroed yet by anyone who could. */
static long zero(uint64_t start, uint64_t end)
{
    const struct vi_control *c = vi_engine.control;

    for (uint64_t at = find(start); at < c->map_count && c->maps[at].start < end; at++) {
        const uint64_t from = c->maps[at].start > start ? c->maps[at].start : start;

        if (c->maps[at].protection & PROT_WRITE)
            memset((void *)from, 0, smaller(end, c->maps[at].end) - from);
    }
    return 0;
}

long vi_call_madvise(struct vi_call *call)
{
    const uint64_t start = call->arguments[0], end = start + VI_PAGE_UP(call->arguments[1]);

    if (start % PAGE != 0 || end < start)
        return -EINVAL;
    if (!covers(start, end - start, 0))
        return -ENOMEM;
    return call->arguments[2] == MADV_DONTNEED ? zero(start, end) : 0;
}

void vi_memory_start_break(void)
{
    struct vi_control *c = vi_engine.control;

    c->break_start = c->break_end = vi_area_start(VI_AREA_BREAK);
}

long vi_call_brk(struct vi_call *call)
{
    struct vi_control *c = vi_engine.control;
    const uint64_t wanted = call->arguments[0];
    const uint64_t old = VI_PAGE_UP(c->break_end), end = VI_PAGE_UP(wanted);
    long result = 0;

    if (wanted < c->break_start || end > vi_area_end(VI_AREA_BREAK))
        return (long)c->break_end;
    if (end > old)
        result = place(old, end, PROT_READ | PROT_WRITE, -1, 0);
    else if (end < old)
        result = unmap(end, old);
    if (result >= 0)
        c->break_end = wanted;
    return (long)c->break_end;
}
