/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A simulated disk: see simdisk.h.
 */
#include "simdisk.h"

#include <stdlib.h>
#include <sys/mman.h>

struct sim sim_files[SIM_FILES];
struct sim_faults sim_faults;
void (*sim_point)(int fd, const char *what);

static unsigned char *memory(void)
{
    void *got = mmap(NULL, SIM_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return got == MAP_FAILED ? NULL : got;
}

void sim_new(int fd, uint64_t size)
{
    struct sim *sim = &sim_files[fd];

    if (sim->cache == NULL) {
        sim->cache = memory();
        sim->disk = memory();
        for (int i = 0; i < SIM_VERSIONS; i++)
            sim->older[i] = memory();
    }
    memset(sim->cache, 0, SIM_MAX);
    memset(sim->disk, 0, SIM_MAX);
    memset(sim->dirty, 0, sizeof sim->dirty);
    memset(sim->versions, 0, sizeof sim->versions);
    memset(sim->forgotten, 0, sizeof sim->forgotten);
    sim->size = size;
    sim->mapped_from = sim->mapped_to = 0;
}

static void point(int fd, const char *what)
{
    if (sim_point != NULL)
        sim_point(fd, what);
}

static unsigned char *at(unsigned char *content, unsigned sector)
{
    return content + (size_t)sector * SIM_SECTOR;
}

static uint64_t hash_sector(const struct sim *sim, unsigned sector)
{
    uint64_t hash = 1, word;

    for (unsigned i = 0; i < SIM_SECTOR; i += sizeof word) {
        memcpy(&word, at(sim->cache, sector) + i, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return hash;
}

/* Is it mapped, and stored to since it was synced, or since a sync failed? */
static bool is_stored_to(const struct sim *sim, unsigned sector)
{
    const uint64_t offset = (uint64_t)sector * SIM_SECTOR;

    return offset >= sim->mapped_from && offset < sim->mapped_to &&
           memcmp(at(sim->cache, sector), at(sim->disk, sector), SIM_SECTOR) != 0 &&
           (sim->forgotten[sector] == 0 || sim->forgotten[sector] != hash_sector(sim, sector));
}

unsigned sim_dirty(int fd, uint16_t list[SIM_SECTORS])
{
    const struct sim *sim = &sim_files[fd];
    unsigned count = 0;

    for (unsigned sector = 0; sector < sim->size / SIM_SECTOR; sector++)
        if (sim->dirty[sector] || is_stored_to(sim, sector))
            list[count++] = (uint16_t)sector;
    return count;
}

/* ---- Crashes ------------------------------------------------------------ */

void sim_kill(int from, int to)
{
    struct sim *a = &sim_files[from], *b = &sim_files[to];

    if (b->cache == NULL)
        sim_new(to, a->size);
    memcpy(b->cache, a->cache, a->size);
    memcpy(b->disk, a->disk, a->size);
    for (unsigned sector = 0; sector < a->size / SIM_SECTOR; sector++)
        for (int i = 0; i < a->versions[sector]; i++)
            memcpy(at(b->older[i], sector), at(a->older[i], sector), SIM_SECTOR);
    memcpy(b->dirty, a->dirty, sizeof a->dirty);
    memcpy(b->versions, a->versions, sizeof a->versions);
    memcpy(b->forgotten, a->forgotten, sizeof a->forgotten);
    for (unsigned sector = 0; sector < a->size / SIM_SECTOR; sector++)
        if (is_stored_to(a, sector))
            b->dirty[sector] = 2;
    b->size = a->size;
    b->mapped_from = b->mapped_to = 0;
    b->log_from = a->log_from;
    b->log_to = a->log_to;
}

/* One that was being written when the power failed: a mix of old and new, garbage in the log. */
static void tear(const struct sim *sim, unsigned sector, unsigned char *content,
                 struct test_random *random)
{
    const uint64_t offset = (uint64_t)sector * SIM_SECTOR;
    unsigned char *to = at(content, sector);
    const unsigned char *now = at(sim->cache, sector);

    if (offset >= sim->log_from && offset < sim->log_to) {
        for (unsigned i = 0; i < SIM_SECTOR; i += 8) {
            const uint64_t garbage = test_next(random);

            memcpy(to + i, &garbage, sizeof garbage);
        }
        if (test_below(random, 2) == 0) /* or the new one up to somewhere */
            memcpy(to, now, test_below(random, SIM_SECTOR / 8) * 8);
    } else if (offset >= sim->mapped_from && offset < sim->mapped_to) {
        for (unsigned i = 0; i < SIM_SECTOR; i += 8)
            if (test_below(random, 2) == 0)
                memcpy(to + i, now + i, 8);
    } else {
        memcpy(to, now, SIM_SECTOR);
    }
}

void sim_power(int from, int to, enum sim_choice choice, unsigned sector,
               struct test_random *random)
{
    struct sim *a = &sim_files[from], *b = &sim_files[to];
    uint16_t list[SIM_SECTORS];
    const unsigned count = sim_dirty(from, list);

    if (b->cache == NULL)
        sim_new(to, a->size);
    memcpy(b->cache, a->disk, a->size);
    for (unsigned i = 0; i < count; i++) {
        const unsigned s = list[i], versions = a->versions[s];
        const unsigned pick = choice == SIM_ALL || (choice == SIM_ALL_BUT && s != sector) ||
                                      (choice == SIM_ONLY && s == sector)
                                  ? 1
                              : choice == SIM_RANDOM ? (unsigned)test_below(random, 5)
                                                     : 0;

        if (pick == 1 || pick == 2)
            memcpy(at(b->cache, s), at(a->cache, s), SIM_SECTOR);
        else if (pick == 3 && versions != 0)
            memcpy(at(b->cache, s), at(a->older[test_below(random, versions)], s), SIM_SECTOR);
        else if (pick == 4)
            tear(a, s, b->cache, random);
    }
    memcpy(b->disk, b->cache, a->size);
    memset(b->dirty, 0, sizeof b->dirty);
    memset(b->versions, 0, sizeof b->versions);
    memset(b->forgotten, 0, sizeof b->forgotten);
    b->size = a->size;
    b->mapped_from = b->mapped_to = 0;
    b->log_from = a->log_from;
    b->log_to = a->log_to;
}

/* ---- Operations --------------------------------------------------------- */

static ssize_t sim_read(int fd, void *to, size_t length, uint64_t offset, bool direct)
{
    const struct sim *sim = &sim_files[fd];

    if (offset >= sim->size)
        return 0;
    if (length > sim->size - offset)
        length = sim->size - offset;
    memcpy(to, (direct ? sim->disk : sim->cache) + offset, length);
    return (ssize_t)length;
}

/* The content that a sector has is remembered, for the disk may have taken it. */
static void remember(struct sim *sim, unsigned sector)
{
    if (sim->dirty[sector] == 0 && !is_stored_to(sim, sector))
        return;
    if (sim->versions[sector] < SIM_VERSIONS)
        sim->versions[sector]++;
    for (int i = sim->versions[sector] - 1; i > 0; i--)
        memcpy(at(sim->older[i], sector), at(sim->older[i - 1], sector), SIM_SECTOR);
    memcpy(at(sim->older[0], sector), at(sim->cache, sector), SIM_SECTOR);
}

static void write_bytes(struct sim *sim, const unsigned char *from, size_t length, uint64_t offset)
{
    for (unsigned s = (unsigned)(offset / SIM_SECTOR); s * SIM_SECTOR < offset + length; s++) {
        remember(sim, s);
        sim->dirty[s] = 1;
    }
    memcpy(sim->cache + offset, from, length);
}

static bool is_due(unsigned *counter)
{
    return *counter != 0 && --*counter == 0;
}

/* Does the sync fail that is of this kind? */
static bool sync_is_due(int fd, int kind)
{
    return sim_faults.on == fd &&
           (sim_faults.kind == SIM_ANY_SYNC || (int)sim_faults.kind == kind) &&
           is_due(&sim_faults.fail_sync);
}

/* A range of sectors is on the disk; `forget`: the kernel only thinks so. */
static void settle(struct sim *sim, uint64_t from, uint64_t to, bool forget)
{
    for (unsigned s = (unsigned)(from / SIM_SECTOR); (uint64_t)s * SIM_SECTOR < to; s++) {
        if (!forget)
            memcpy(at(sim->disk, s), at(sim->cache, s), SIM_SECTOR);
        sim->forgotten[s] = forget ? hash_sector(sim, s) : 0;
        sim->dirty[s] = 0;
        sim->versions[s] = 0;
    }
}

static ssize_t sim_write(int fd, const struct iovec *from, int count, uint64_t offset, bool durable)
{
    struct sim *sim = &sim_files[fd];
    const bool ours = sim_faults.on == fd;
    size_t done = 0, limit = SIZE_MAX;

    if (ours && is_due(&sim_faults.fail_write))
        return errno = sim_faults.error, -1;
    if (ours && is_due(&sim_faults.short_write))
        limit = 100;
    for (int i = 0; i < count; i++)
        for (size_t at = 0, part; at < from[i].iov_len && done < limit; at += part, done += part) {
            part = VI_PAGE - (offset + done) % VI_PAGE;
            part = part < from[i].iov_len - at ? part : from[i].iov_len - at;
            part = part < limit - done ? part : limit - done;
            ck_assert(offset + done + part <= sim->size);
            write_bytes(sim, (const unsigned char *)from[i].iov_base + at, part, offset + done);
            point(fd, "write");
        }
    if (durable) {
        const bool header =
            offset >= sim->log_from && offset < sim->log_from + 2 * (uint64_t)VI_PAGE;
        const bool fails = sync_is_due(fd, header ? SIM_HEADER_SYNC : SIM_ANY_SYNC);

        settle(sim, offset, offset + done, fails);
        point(fd, "synced write");
        if (fails)
            return errno = EIO, -1;
    }
    return (ssize_t)done;
}

static int sim_sync(int fd)
{
    struct sim *sim = &sim_files[fd];
    const bool fails = sync_is_due(fd, SIM_FILE_SYNC);
    uint16_t list[SIM_SECTORS];
    unsigned count;

    point(fd, "before a sync");
    count = sim_dirty(fd, list);
    for (unsigned i = 0; i < count; i++)
        settle(sim, (uint64_t)list[i] * SIM_SECTOR, ((uint64_t)list[i] + 1) * SIM_SECTOR, fails);
    point(fd, "sync");
    return fails ? (errno = EIO, -1) : 0;
}

static void *sim_map(int fd, uint64_t offset, size_t length)
{
    struct sim *sim = &sim_files[fd];

    sim->mapped_from = offset;
    sim->mapped_to = offset + length;
    return sim->cache + offset;
}

static void sim_unmap(void *address, size_t length)
{
    (void)address;
    (void)length;
}

const struct vi_io_ops sim_ops = {sim_read, sim_write, sim_sync, sim_map, sim_unmap};
