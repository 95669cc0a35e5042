/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Simulated memory: see memory.h.
 */
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct world worlds[WORLDS];
struct memory memory = {.current = NO_WORLD};

/* The one store that was announced and not yet looked at. */
static struct {
    struct world *world;
    unsigned char *at;
    size_t size;
} pending;

static uint64_t hash_line(uint64_t offset, const unsigned char *bytes)
{
    uint64_t words[LINE / 8], any = 0, hash = offset * 0x9e3779b97f4a7c15u + 1;

    memcpy(words, bytes, sizeof words);
    for (unsigned i = 0; i < LINE / 8; i++) {
        const unsigned __int128 product =
            (unsigned __int128)(hash ^ words[i]) * (0xd6e8feb86659fd93u + 2 * i);

        any |= words[i];
        hash = (uint64_t)product ^ (uint64_t)(product >> 64) ^ words[i] << 7;
    }
    hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u;
    return any != 0 ? hash ^ hash >> 29 : 0;
}

static struct region *find(const void *address, struct world **world)
{
    const uintptr_t at = (uintptr_t)address;
    const unsigned part = PART_OF(at);
    struct region *region;

    if (at >> 40 != WINDOW >> 40 || part >= WORLDS * REGIONS)
        return NULL;
    *world = &worlds[part / REGIONS];
    region = &(*world)->region[part % REGIONS];
    return region->base != NULL && at >= (uintptr_t)region->base &&
                   at < (uintptr_t)region->base + region->size
               ? region
               : NULL;
}

unsigned char *memory_mirror(const struct world *from, const unsigned char *at,
                             const struct world *to)
{
    const unsigned region = REGION_OF(at);

    return to->region[region].base + (at - from->region[region].base);
}

static void *need(void *got)
{
    if (got == NULL || got == MAP_FAILED) {
        perror("explore: memory");
        exit(2);
    }
    return got;
}

/* The record of a line, made at its first store. */
static struct line *touch(struct world *world, struct region *region, unsigned char *at)
{
    uint32_t *number = &region->number[(at - region->base) / LINE];
    struct line *line;

    if (*number != 0)
        return world->lines[*number - 1];
    if (world->used == world->capacity) {
        const size_t more = world->capacity + 256;

        world->lines = need(realloc(world->lines, more * sizeof *world->lines));
        memset(world->lines + world->capacity, 0, 256 * sizeof *world->lines);
        world->capacity = more;
    }
    line = world->lines[world->used];
    if (line == NULL)
        line = world->lines[world->used] = need(calloc(1, sizeof *line));
    if (line->capacity == 0) {
        line->capacity = 4;
        line->versions = need(malloc(line->capacity * sizeof *line->versions));
    }
    *number = (uint32_t)++world->used;
    line->at = at;
    line->offset = region->offset + (uint64_t)(at - region->base);
    line->first = 0;
    line->count = 1;
    memcpy(line->versions[0].bytes, at, LINE);
    memcpy(line->original, at, LINE);
    memcpy(line->synced, at, LINE);
    if (!world->touch_only)
        line->versions[0].hash = hash_line(line->offset, at);
    return line;
}

static unsigned char *line_of(const void *address)
{
    return (unsigned char *)((uintptr_t)address & ~(uintptr_t)(LINE - 1));
}

/* Version `index` and all before it are durable. */
static void advance(struct world *world, struct line *line, uint32_t index)
{
    if (index == 0)
        return;
    world->hash ^= line->versions[0].hash ^ line->versions[index].hash;
    memmove(line->versions, line->versions + index, (line->count - index) * sizeof *line->versions);
    line->first += index;
    line->count -= index;
    for (struct world *deeper = world + 1; deeper < worlds + WORLDS; deeper++)
        memcpy(memory_mirror(world, line->at, deeper), line->versions[0].bytes, LINE);
}

static void push(struct world *world, struct line *line, const unsigned char *bytes)
{
    struct version *version;

    if (line->count == line->capacity) {
        line->capacity *= 2;
        line->versions = need(realloc(line->versions, line->capacity * sizeof *line->versions));
    }
    version = &line->versions[line->count++];
    memcpy(version->bytes, bytes, LINE);
    version->hash = hash_line(line->offset, bytes);
    if (world->exact) {
        advance(world, line, line->count - 1);
        memory.point(world);
    }
}

/* What was stored to bytes [from, to) of a line, word by word. */
static void complete_line(struct world *world, struct line *line, unsigned from, unsigned to,
                          bool downward)
{
    unsigned char bytes[LINE];

    memcpy(bytes, line->versions[line->count - 1].bytes, LINE);
    for (unsigned i = 0; i < LINE / 8; i++) {
        const unsigned word = downward ? LINE / 8 - 1 - i : i;
        const unsigned low = from > word * 8 ? from : word * 8;
        const unsigned high = to < word * 8 + 8 ? to : word * 8 + 8;

        if (low >= high || memcmp(bytes + low, line->at + low, high - low) == 0)
            continue;
        memcpy(bytes + low, line->at + low, high - low);
        push(world, line, bytes);
    }
}

void memory_complete(void)
{
    struct world *const world = pending.world;
    unsigned char *const from = pending.at, *const to = from + pending.size;
    struct region *region = world != NULL ? find(from, &pending.world) : NULL;
    bool downward;

    pending.world = NULL;
    if (region == NULL || world->touch_only)
        return;
    /* The order in which a memcpy stores its words is its own business. */
    downward = to - from > 16 && (((uintptr_t)from / 16 ^ memory.seed) * 0x9e3779b97f4a7c15u) >> 63;
    for (unsigned char *at = line_of(from); at < to; at += LINE)
        complete_line(world, touch(world, region, at), at < from ? (unsigned)(from - at) : 0,
                      to - at < LINE ? (unsigned)(to - at) : LINE, downward);
}

void memory_store_tracked(const void *address, size_t size)
{
    struct world *world;
    struct region *region = find(address, &world);
    unsigned char *const end = (unsigned char *)(uintptr_t)address + size;

    if (region == NULL || size == 0)
        return;
    memory_complete();
    if (world == &worlds[LIVE]) {
        memory.stores++;
        if (memory.current == LIVE && memory.pause != NULL)
            memory.pause(false);
    }
    if (end > region->base + region->size) {
        fprintf(stderr, "explore: a store runs off the mapping: %p + %zu\n", address, size);
        exit(1);
    }
    for (unsigned char *at = line_of(address); at < end; at += LINE)
        touch(world, region, at);
    pending.world = world;
    pending.at = (unsigned char *)(uintptr_t)address;
    pending.size = size;
}

void memory_flush(const void *address, size_t length)
{
    const unsigned thread = memory.thread;
    struct world *world;
    struct region *region = find(address, &world);

    memory_complete();
    if (region == NULL || world->touch_only || length == 0)
        return;
    for (unsigned char *at = line_of(address); at < (const unsigned char *)address + length;
         at += LINE) {
        const uint32_t number = region->number[(at - region->base) / LINE];
        struct line *line = number != 0 ? world->lines[number - 1] : NULL;

        if (line == NULL || line->count == 1)
            continue;
        if (world->flush_count[thread] == world->flush_capacity[thread]) {
            world->flush_capacity[thread] += 256;
            world->flushes[thread] =
                need(realloc(world->flushes[thread],
                             world->flush_capacity[thread] * sizeof *world->flushes[thread]));
        }
        world->flushes[thread][world->flush_count[thread]++] =
            (struct flush){line, line->first + line->count - 1};
    }
}

void memory_fence(void)
{
    const unsigned thread = memory.thread;
    struct world *world = &worlds[memory.current];

    memory_complete();
    if (memory.current == NO_WORLD || world->touch_only || world->exact)
        return;
    memory.point(world);
    for (size_t i = 0; i < world->flush_count[thread]; i++) {
        const struct flush *flush = &world->flushes[thread][i];

        if (flush->version > flush->line->first)
            advance(world, flush->line, flush->version - flush->line->first);
    }
    world->flush_count[thread] = 0;
    if (memory.current == LIVE && memory.pause != NULL)
        memory.pause(true);
}

/* The order of `count` words: upward or, where stores may change places, any. */
static void draw_order(unsigned *order, unsigned count, uint64_t random)
{
    const bool exact = memory.current == NO_WORLD || worlds[memory.current].exact;

    for (unsigned i = 0; i < count; i++) {
        unsigned other = i;

        random = (random ^ i) * 0xd6e8feb86659fd93u + 1;
        if (!exact && random >> 63)
            other = (unsigned)((random >> 32) % (i + 1));
        order[i] = order[other];
        order[other] = i;
    }
}

void memory_write(uint64_t *to, const uint64_t *from, size_t length)
{
    unsigned order[LINE / sizeof *to], count;

    for (size_t left = length / sizeof *to; left != 0; left -= count, to += count, from += count) {
        count = (unsigned)((LINE - (uintptr_t)to % LINE) / sizeof *to);
        if (count > left)
            count = (unsigned)left;
        draw_order(order, count, (uintptr_t)to ^ memory.seed ^ memory.stores << 32);
        for (unsigned i = 0; i < count; i++) {
            memory_store(&to[order[i]], sizeof *to);
            to[order[i]] = from[order[i]];
        }
        memory_flush(to, count * sizeof *to);
    }
}

void memory_all_durable(void)
{
    struct world *live = &worlds[LIVE];

    memory_complete();
    for (size_t i = 0; i < live->used; i++)
        advance(live, live->lines[i], live->lines[i]->count - 1);
    memset(live->flush_count, 0, sizeof live->flush_count);
}

void memory_sync(int file)
{
    struct world *world = &worlds[memory.current];

    memory_complete();
    if (memory.current == NO_WORLD || world->touch_only)
        return;
    if (!world->exact)
        memory.point(world);
    for (size_t i = 0; i < world->used; i++) {
        struct line *line = world->lines[i];

        if (REGION_OF(line->at) / AREAS != (unsigned)file)
            continue;
        advance(world, line, line->count - 1);
        memcpy(line->synced, line->versions[0].bytes, LINE);
    }
}

void memory_doubt(void)
{
    struct world *live = &worlds[LIVE];

    live->exact = false;
    for (size_t i = 0; i < live->used; i++) {
        struct line *line = live->lines[i];
        unsigned char now[LINE];

        memcpy(now, line->versions[0].bytes, LINE);
        if (memcmp(now, line->synced, LINE) == 0)
            continue;
        push(live, line, line->synced);
        advance(live, line, line->count - 1);
        push(live, line, now);
    }
}

void memory_forget(struct world *world, bool restore)
{
    for (size_t i = 0; i < world->used; i++) {
        struct line *line = world->lines[i];
        struct region *region = &world->region[REGION_OF(line->at)];

        for (struct world *w = world; restore && w < worlds + WORLDS; w++)
            memcpy(memory_mirror(world, line->at, w), line->original, LINE);
        region->number[(line->at - region->base) / LINE] = 0;
    }
    world->used = 0;
    memset(world->flush_count, 0, sizeof world->flush_count);
}

/* ---- Layout ------------------------------------------------------------ */

static void *map_at(uintptr_t address, size_t size)
{
    return need(
        mmap((void *)address, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (address != 0 ? MAP_FIXED_NOREPLACE : 0),
             -1, 0));
}

static void drop_region(struct region *region)
{
    if (region->base == NULL)
        return;
    munmap(region->number, region->size / LINE * sizeof *region->number);
    munmap(region->base, region->size);
    *region = (struct region){0};
}

void memory_reset(void)
{
    pending.world = NULL;
    for (int w = 0; w < WORLDS; w++) {
        memory_forget(&worlds[w], false);
        for (int r = 0; r < REGIONS; r++)
            drop_region(&worlds[w].region[r]);
        worlds[w].hash = 0;
        worlds[w].exact = worlds[w].touch_only = false;
    }
    memory.current = NO_WORLD;
    memory.thread = 0;
}

void memory_region(unsigned number, size_t size, uint64_t offset)
{
    for (unsigned w = 0; w < WORLDS && worlds[w].region[number].base == NULL; w++)
        worlds[w].region[number] =
            (struct region){.base = map_at(PART(w * REGIONS + number), size),
                            .size = size,
                            .offset = offset,
                            .number = map_at(0, size / LINE * sizeof(uint32_t))};
}

void memory_clear(uint64_t offset, uint64_t length)
{
    struct world *live = &worlds[LIVE];

    memory_complete();
    for (size_t i = 0; i < live->used; i++) {
        struct line *line = live->lines[i];

        if (line->offset - offset < length) {
            memset(line->at, 0, LINE);
            complete_line(live, line, 0, LINE, false);
        }
    }
}
