/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mapping: see map.h.
 */
#include "media/map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/locked.h"
#include "media/format.h"
#include "media/io.h"

#define GUARD 65536u
#define RESERVE (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* Of the windows probed, only the first is free under AddressSanitizer,
 * ThreadSanitizer, Valgrind and legacy layouts alike; it ends below the lowest
 * address of a position-independent program.  Reservations too large to find a
 * place there go to the second. */
#define SMALL_WINDOW 0x550000000000u
#define SMALL_WINDOW_END 0x555500000000u
#define LARGE_WINDOW 0x300000000000u
#define LARGE_WINDOW_END 0x4f0000000000u
#define SMALL_MAX ((uint64_t)4 << 30)

/* Names in `text` what /proc/self/maps shows within a range. */
static void describe(uint64_t from, uint64_t to, char *text, size_t length)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");

    snprintf(text, length, "something");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long long low, high;
        int name = 0;

        if (sscanf(line, "%llx-%llx %*s %*s %*s %*s %n", &low, &high, &name) < 2 || high <= from ||
            low >= to)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(text, length, "%s (%llx-%llx)",
                 name > 0 && line[name] != '\0' ? line + name : "unnamed memory", low, high);
        break;
    }
    if (maps != NULL)
        fclose(maps);
}

/* mmap, kept from children: they must not store beside us, and may map the segment
 * themselves when we have unmapped it.  NULL on failure: what was reserved still is. */
static void *map_own(void *at, size_t size, int protection, int flags, int fd, uint64_t offset)
{
    void *got = mmap(at, size, protection, flags, fd, (off_t)offset);

    if (got != MAP_FAILED && madvise(got, size, MADV_DONTFORK) == 0)
        return got;
    if (got != MAP_FAILED && !(flags & MAP_FIXED))
        munmap(got, size);
    else if (got != MAP_FAILED)
        (void)mmap(at, size, PROT_NONE, RESERVE | MAP_FIXED, -1, 0);
    return NULL;
}

static void *reserve_at(uint64_t address, size_t size)
{
    const int fixed = address != 0 ? MAP_FIXED_NOREPLACE : 0;
    void *got = map_own((void *)address, size, PROT_NONE, RESERVE | fixed, -1, 0);

    if (got == NULL || address == 0 || (uint64_t)got == address)
        return got;
    munmap(got, size); /* an old kernel, or Valgrind, took the address as a hint */
    errno = EEXIST;
    return NULL;
}

static int reserve_in_window(struct vi_map *map, const char *path, size_t size)
{
    const uint64_t low = size <= SMALL_MAX ? SMALL_WINDOW : LARGE_WINDOW;
    const uint64_t high = size <= SMALL_MAX ? SMALL_WINDOW_END : LARGE_WINDOW_END;
    uint64_t random;

    if (size >= high - low)
        return vi_fail(ENOMEM, "%s: %zu bytes are more than the address window holds", path, size);
    for (int tries = 0; tries < 64; tries++) {
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            random = (uint64_t)tries * 0x9e3779b97f4a7c15u;
        random = low + random % ((high - low - size) / VI_HUGE_PAGE) * VI_HUGE_PAGE;
        map->data = reserve_at(random, size);
        if (map->data != NULL)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return vi_fail_system(ENOMEM, "%s: cannot reserve %zu bytes of address space", path, size);
}

int vi_map_reserve(struct vi_map *map, const char *path, uint64_t address, size_t size)
{
    char what[300];

    map->reserved = size;
    if (address == 0)
        return reserve_in_window(map, path, size);
    map->data = reserve_at(address, size);
    if (map->data != NULL)
        return 0;
    if (errno != EEXIST)
        return vi_fail_system(errno == EPERM || errno == EINVAL ? EINVAL : ENOMEM,
                              "%s: cannot reserve %zu bytes at address 0x%llx", path, size,
                              (unsigned long long)address);
    describe(address, address + size, what, sizeof what);
    return vi_fail(EADDRINUSE, "%s: belongs at address 0x%llx, where %s is mapped", path,
                   (unsigned long long)address, what);
}

int vi_map_reserve_anywhere(struct vi_map *map, const char *path, uint64_t address, size_t size)
{
    unsigned char *got = reserve_at(0, size + VI_HUGE_PAGE);
    const size_t skipped = (address - (uint64_t)got) % VI_HUGE_PAGE;

    if (got == NULL)
        return vi_fail_system(ENOMEM, "%s: cannot reserve %zu bytes of address space", path, size);
    if (skipped != 0)
        munmap(got, skipped);
    map->data = got + skipped;
    map->reserved = size + VI_HUGE_PAGE - skipped;
    return 0;
}

bool vi_map_sync_granted(const struct vi_file *file)
{
    void *got = mmap(NULL, VI_PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, file->fd, 0);

    if (got != MAP_FAILED)
        munmap(got, VI_PAGE);
    return got != MAP_FAILED;
}

/* Larger images are read page by page, when they are first used: reading all of a file would
 * take memory twice, once in the page cache. */
#define READ_MAX ((size_t)64 << 20)

/* A private image: of the file, so that the kernel never writes it back. */
static int map_image(const struct vi_file *file, unsigned char *at, size_t size, uint64_t offset)
{
    if (map_own(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, file->fd,
                offset) != NULL)
        return 0;
    return vi_fail_system(errno, "%s: cannot map %zu bytes", file->path, size);
}

/* Data that is small enough is read at once, to huge pages where there are any. */
static int read_image(const struct vi_map *map, const struct vi_file *file, uint64_t offset)
{
    unsigned char *const at = map->data;
    const size_t size = map->data_size;

    if (size > READ_MAX || map->is_lazy)
        return map_image(file, at, size, offset);
    if (map_own(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        NULL)
        return vi_fail_system(errno, "%s: cannot map %zu bytes", file->path, size);
    (void)madvise(at, size, MADV_HUGEPAGE);
    if (vi_io_read(vi_io(), file->fd, at, size, offset, false) != 0)
        return vi_fail_system(errno, "%s: cannot read %zu bytes of data", file->path, size);
    return 0;
}

int vi_map_scratch(const struct vi_map *map, const struct vi_file *file, uint64_t from, uint64_t to)
{
    if (map_own(map->meta + from, to - from, PROT_READ | PROT_WRITE, RESERVE | MAP_FIXED, -1, 0) !=
        NULL)
        return 0;
    return vi_fail_system(errno, "%s: cannot map %zu bytes", file->path, (size_t)(to - from));
}

/* Maps over a reservation, with MAP_SYNC where the file system grants it. */
static int map_over(struct vi_map *map, const struct vi_file *file, void *at, size_t size,
                    uint64_t offset)
{
    const int protection = map->unprotected ? PROT_NONE
                           : map->writable  ? PROT_READ | PROT_WRITE
                                            : PROT_READ;

    if (map->map_sync)
        map->map_sync = map_own(at, size, protection, MAP_SHARED_VALIDATE | MAP_SYNC | MAP_FIXED,
                                file->fd, offset) != NULL;
    if (map->map_sync ||
        map_own(at, size, protection, MAP_SHARED | MAP_FIXED, file->fd, offset) != NULL)
        return 0;
    return vi_fail_system(errno, "%s: cannot map %zu bytes", file->path, size);
}

/* The metadata is laid out for max_size: to fill it all, which a locked mapping does, would take
 * disk and memory for what may never be. */
static int map_metadata(struct vi_map *map, const struct vi_file *file)
{
    const bool writable = map->writable, locked = vi_memory_is_locked();
    const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;

    map->unprotected = locked;
    if (map_over(map, file, map->meta, map->meta_size, 0) != 0)
        return -1;
    map->unprotected = false;
    if (locked && vi_memory_unlock(map->meta, map->meta_size, protection) != 0)
        return vi_fail_system(errno, "%s: cannot unlock its metadata", file->path);
    return 0;
}

int vi_map_file(struct vi_map *map, const struct vi_file *file, size_t meta_size,
                uint64_t data_offset, size_t data_size)
{
    unsigned char *space = reserve_at(0, meta_size + 2 * GUARD);

    if (space == NULL)
        return vi_fail_system(ENOMEM, "%s: cannot reserve %zu bytes of address space for metadata",
                              file->path, meta_size);
    map->meta = space + GUARD;
    map->meta_size = meta_size;
    map->data_size = data_size;
    if (map->is_private)
        return map_image(file, map->meta, meta_size, 0) != 0 ? -1
                                                             : read_image(map, file, data_offset);
    map->map_sync = true;
    if (map_metadata(map, file) != 0)
        return -1;
    return map_over(map, file, map->data, data_size, data_offset);
}

int vi_map_extend(struct vi_map *map, const struct vi_file *file, uint64_t data_offset, size_t old,
                  size_t size)
{
    const bool sync = map->map_sync;

    if (map->is_private)
        return map_image(file, map->data + old, size - old, data_offset + old);

    if (map_over(map, file, map->data + old, size - old, data_offset + old) != 0)
        return -1;
    if (map->map_sync == sync)
        return 0;
    map->map_sync = sync;
    vi_map_cut(map, old, size);
    return vi_fail(ENOTSUP, "%s: MAP_SYNC was refused for what it grows by", file->path);
}

void vi_map_cut(const struct vi_map *map, size_t size, size_t old)
{
    map_own(map->data + size, old - size, PROT_NONE, RESERVE | MAP_FIXED, -1, 0);
}

void vi_map_undo(struct vi_map *map)
{
    if (map->meta != NULL)
        munmap(map->meta - GUARD, map->meta_size + 2 * GUARD);
    if (map->data != NULL)
        munmap(map->data, map->reserved);
}
