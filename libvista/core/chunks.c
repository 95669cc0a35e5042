/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log area: slots, and who has which chunk.  See chunks.h.
 */
#include "core/chunks.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "media/superblock.h"

/* A slot keeps chunks for a transaction of a few megabytes, and of a small log area no more
 * than its KEPT_PART, so that idle slots do not have all of it, unless the options say more;
 * beyond that the memory is better shared.  A chunk from PUNCHED bytes on also gives its disk
 * blocks back. */
#define KEPT_PART 16
#ifndef VI_LOG_KEPT /* in small memory a test lets it keep less */
#define VI_LOG_KEPT ((uint64_t)4 << 20)
#endif
#define PUNCHED ((uint64_t)64 << 20)

/* Disk blocks, where the log is in the file. */
static int allocate(const struct vi_logs *logs, uint64_t offset, uint64_t length)
{
    return logs->in_memory ? 0 : vi_file_allocate(logs->file, offset, length);
}

static void punch(const struct vi_logs *logs, uint64_t offset, uint64_t length)
{
    if (logs->in_memory)
        (void)madvise(logs->meta + offset, length, MADV_DONTNEED);
    else
        vi_file_punch(logs->file, offset, length);
}

uintptr_t vi_logs_slot(const struct vi_logs *logs, uint32_t slot)
{
    return (uintptr_t)logs->meta +
           vi_superblock_slot(logs->chunks_offset + logs->units * VI_CHUNK_UNIT, slot);
}

/* Where slot and chunk headers both have their link. */
static uint64_t *link_of(uintptr_t chunk)
{
    return (uint64_t *)(chunk + offsetof(struct vi_chunk_header, next));
}

static uint64_t unit_of(const struct vi_logs *logs, const struct vi_chunk_header *chunk)
{
    return ((uintptr_t)chunk - (uintptr_t)logs->meta - logs->chunks_offset) / VI_CHUNK_UNIT;
}

struct vi_chunk_header *vi_chunk_next(const struct vi_logs *logs, uint32_t slot, uintptr_t chunk)
{
    const uint64_t offset = *link_of(chunk) - logs->chunks_offset;
    struct vi_chunk_header *next;

    if (*link_of(chunk) == 0 || offset % VI_CHUNK_UNIT != 0 ||
        offset / VI_CHUNK_UNIT >= logs->units)
        return NULL;
    next = (struct vi_chunk_header *)(logs->meta + logs->chunks_offset + offset);
    if (next->owner != (uint64_t)slot + 1 || next->size == 0 || next->size % VI_CHUNK_UNIT != 0 ||
        next->size > VI_CHUNK_MAX ||
        next->size / VI_CHUNK_UNIT > logs->units - offset / VI_CHUNK_UNIT)
        return NULL;
    return next;
}

_Static_assert(sizeof(struct vi_slot_header) == sizeof(struct vi_chunk_header),
               "slots and chunks begin alike");

struct vi_position vi_chunk_position(uintptr_t chunk, uint64_t index)
{
    const uint64_t size = index == 0 ? VI_SLOT_SIZE : ((const struct vi_chunk_header *)chunk)->size;

    return (struct vi_position){.chunk = chunk,
                                .at = chunk + sizeof(struct vi_chunk_header),
                                .end = chunk + size,
                                .index = index};
}

static bool is_used(const struct vi_logs *logs, uint64_t unit)
{
    return logs->used[unit / 64] >> unit % 64 & 1;
}

static void set_used(struct vi_logs *logs, uint64_t unit, uint64_t count, bool used)
{
    for (uint64_t i = unit; i < unit + count; i++) {
        assert(is_used(logs, i) != used);
        logs->used[i / 64] ^= (uint64_t)1 << i % 64;
    }
    logs->held += used ? count : -count;
}

/* First fit; false when no run of `count` is free. */
static bool take_run(struct vi_logs *logs, uint64_t count, uint64_t *unit)
{
    uint64_t run = 0;

    if (count > logs->units)
        return false;
    pthread_mutex_lock(&logs->lock);
    for (uint64_t i = 0; i < logs->units && run < count; i++) {
        if (i % 64 == 0 && logs->used[i / 64] == ~(uint64_t)0) {
            run = 0;
            i += 63;
        } else {
            run = is_used(logs, i) ? 0 : run + 1;
            *unit = i + 1 - run;
        }
    }
    if (run == count)
        set_used(logs, *unit, count, true);
    pthread_mutex_unlock(&logs->lock);
    return run == count;
}

static void give_run(struct vi_logs *logs, uint64_t unit, uint64_t count)
{
    if (count * VI_CHUNK_UNIT >= PUNCHED)
        punch(logs, logs->chunks_offset + unit * VI_CHUNK_UNIT, count * VI_CHUNK_UNIT);
    pthread_mutex_lock(&logs->lock);
    set_used(logs, unit, count, false);
    pthread_mutex_unlock(&logs->lock);
}

/* Ends the chain behind `chunk`: durably unlinked first, free for others then. */
static void unlink_tail(struct vi_logs *logs, uint32_t slot, uintptr_t chunk)
{
    struct vi_chunk_header *next = vi_chunk_next(logs, slot, chunk);

    if (*link_of(chunk) == 0)
        return;
    *link_of(chunk) = 0;
    vi_flush_fence(logs->persist, link_of(chunk), sizeof(uint64_t));
    while (next != NULL) {
        const uint64_t unit = unit_of(logs, next), count = next->size / VI_CHUNK_UNIT;

        next = vi_chunk_next(logs, slot, (uintptr_t)next);
        give_run(logs, unit, count);
    }
}

/* A run with disk blocks. */
static bool take_backed(struct vi_logs *logs, uint64_t count, uint64_t *unit)
{
    if (!take_run(logs, count, unit))
        return vi_fail(ENOSPC, "%s: no room for %llu bytes in the log area of %llu",
                       logs->file->path, (unsigned long long)(count * VI_CHUNK_UNIT),
                       (unsigned long long)(logs->units * VI_CHUNK_UNIT)),
               false;
    if (allocate(logs, logs->chunks_offset + *unit * VI_CHUNK_UNIT, count * VI_CHUNK_UNIT) == 0)
        return true;
    give_run(logs, *unit, count);
    return false;
}

/* Doubles the chain, so that it has few chunks; less where that is not to be had. */
static bool take_space(struct vi_logs *logs, uint64_t chain, uint64_t *count, uint64_t *unit)
{
    const uint64_t most = VI_CHUNK_MAX / VI_CHUNK_UNIT, more = chain < most ? chain : most;

    if (more <= *count || !take_backed(logs, more, unit))
        return take_backed(logs, *count, unit);
    *count = more;
    return true;
}

static uint64_t chain_units(const struct vi_logs *logs, uint32_t slot)
{
    uint64_t total = 0;

    for (struct vi_chunk_header *chunk = vi_chunk_next(logs, slot, vi_logs_slot(logs, slot));
         chunk != NULL; chunk = vi_chunk_next(logs, slot, (uintptr_t)chunk))
        total += chunk->size / VI_CHUNK_UNIT;
    return total;
}

struct vi_chunk_header *vi_chunk_link(struct vi_logs *logs, uint32_t slot, uintptr_t chunk,
                                      uint64_t index, size_t size, bool exact)
{
    uint64_t unit = 0, count = (size + VI_CHUNK_UNIT - 1) / VI_CHUNK_UNIT;
    struct vi_chunk_header *linked;

    unlink_tail(logs, slot, chunk);
    if (!take_space(logs, exact ? 0 : chain_units(logs, slot), &count, &unit))
        return NULL;
    linked = (struct vi_chunk_header *)(logs->meta + logs->chunks_offset + unit * VI_CHUNK_UNIT);
    *linked = (struct vi_chunk_header){
        .owner = (uint64_t)slot + 1, .index = index, .size = count * VI_CHUNK_UNIT};
    *(uint64_t *)(linked + 1) = 0; /* no old record at its head */
    vi_flush_fence(logs->persist, linked, sizeof *linked + sizeof(uint64_t));
    VISTA_INLINE_COMPILER_BARRIER();
    *link_of(chunk) = (uint64_t)((uintptr_t)linked - (uintptr_t)logs->meta);
    vi_flush_fence(logs->persist, link_of(chunk), sizeof(uint64_t));
    return linked;
}

void vi_chunk_trim(struct vi_logs *logs, uint32_t slot, uintptr_t chunk)
{
    uint64_t total = 0;

    for (struct vi_chunk_header *next; (next = vi_chunk_next(logs, slot, chunk)) != NULL;
         chunk = (uintptr_t)next) {
        total += next->size;
        if (total > logs->kept) {
            unlink_tail(logs, slot, chunk);
            return;
        }
    }
}

/* ---- Slots ------------------------------------------------------------- */

/* The first of the units that slots are in, of those that were ever used. */
static uint64_t far_unit(const struct vi_logs *logs, uint64_t slots_used)
{
    return logs->units - vi_superblock_far_slots(slots_used) / VI_CHUNK_UNIT;
}

static struct vi_log_header *log_header(const struct vi_logs *logs)
{
    return (struct vi_log_header *)(logs->meta + VI_LOG_OFFSET);
}

/* Marks a stored chain's chunks as used; false: it cannot be one. */
static bool adopt_chain(struct vi_logs *logs, uint32_t slot)
{
    const struct vi_slot_header *header = (const void *)vi_logs_slot(logs, slot);
    uintptr_t at = (uintptr_t)header;
    uint64_t index = 0;

    if (header->word < VISTA_INLINE_STAMP_STEP ||
        (header->word >> VI_STAMP_SLOT_SHIFT) % VI_SLOTS != slot)
        return false;
    for (struct vi_chunk_header *chunk; (chunk = vi_chunk_next(logs, slot, at)) != NULL;
         at = (uintptr_t)chunk) {
        const uint64_t unit = unit_of(logs, chunk), count = chunk->size / VI_CHUNK_UNIT;

        if (chunk->index != ++index)
            return false;
        for (uint64_t i = unit; i < unit + count; i++)
            if (is_used(logs, i))
                return false;
        set_used(logs, unit, count, true);
    }
    return true;
}

int vi_logs_open(struct vi_logs *logs, unsigned char *meta, const struct vi_superblock *superblock,
                 const struct vi_file *file, const struct vi_persist *persist)
{
    uint64_t slots;

    *logs = (struct vi_logs){
        .meta = meta,
        .file = file,
        .persist = persist,
        .seed = vi_crc32c(0, superblock->uuid, sizeof superblock->uuid),
        .mapped = superblock->mapped,
        .checked = vi_class_flushes(superblock->log_class),
        .careful = vi_class_flushes(superblock->log_class),
        .chunks_offset = superblock->chunks_offset,
        .units = superblock->chunks_size / VI_CHUNK_UNIT,
        .max_slots = (uint32_t)vi_superblock_slots(superblock),
        .kept = superblock->chunks_size / KEPT_PART,
        .in_memory = persist->class == VISTA_CLASS_DISK,
    };
    if (logs->kept > VI_LOG_KEPT)
        logs->kept = VI_LOG_KEPT;
    pthread_mutex_init(&logs->lock, NULL);
    logs->used = vi_reserve((logs->units + 63) / 64 * sizeof(uint64_t));
    if (logs->used == NULL)
        return vi_fail(ENOMEM, "%s: no memory for the log's map of chunks", file->path);
    slots = log_header(logs)->slots_used;
    if (slots > logs->max_slots)
        return vi_fail(EBADMSG, "%s: damaged: %llu log slots in use, there are %u", file->path,
                       (unsigned long long)slots, logs->max_slots);
    for (uint64_t unit = far_unit(logs, slots); unit < logs->units; unit++)
        logs->used[unit / 64] |= (uint64_t)1 << unit % 64;
    for (uint32_t slot = 0; slot < slots; slot++)
        if (!adopt_chain(logs, slot))
            return vi_fail(EBADMSG, "%s: damaged: log slot %u is not sound", file->path, slot);
    return 0;
}

void vi_logs_use(struct vi_logs *logs, vi_kinds kinds)
{
    logs->kinds = kinds;
    logs->deferred = 0;
    for (unsigned kind = 0; kind < VI_KINDS; kind++)
        if (kinds[kind] != NULL && kinds[kind]->steps != NULL) {
            assert(logs->steps == NULL || logs->steps == kinds[kind]->steps);
            logs->steps = kinds[kind]->steps;
            logs->deferred |= (uint32_t)kinds[kind]->deferred << kind;
        }
}

void vi_logs_close(struct vi_logs *logs)
{
    if (logs->used != NULL)
        vi_release(logs->used, (logs->units + 63) / 64 * sizeof(uint64_t));
    logs->used = NULL;
}

uint64_t vi_logs_bytes(struct vi_logs *logs)
{
    uint64_t bytes;

    if (logs->used == NULL) /* mapped read-only */
        return 0;
    pthread_mutex_lock(&logs->lock);
    bytes = log_header(logs)->slots_used * VI_SLOT_SIZE + logs->held * VI_CHUNK_UNIT;
    pthread_mutex_unlock(&logs->lock);
    return bytes;
}

void vi_logs_trim(struct vi_logs *logs)
{
    const uint64_t slots = log_header(logs)->slots_used;

    for (uint32_t slot = 0; slot < slots; slot++)
        unlink_tail(logs, slot, vi_logs_slot(logs, slot));
    punch(logs, logs->chunks_offset, far_unit(logs, slots) * VI_CHUNK_UNIT);
}

/* Makes slot `slot`, the first that was never used. */
static int make_slot(struct vi_logs *logs, uint32_t slot)
{
    struct vi_slot_header *header = (struct vi_slot_header *)vi_logs_slot(logs, slot);
    const uint64_t unit = far_unit(logs, (uint64_t)slot + 1);
    const bool takes_unit = unit != far_unit(logs, slot);

    if (takes_unit && is_used(logs, unit))
        return vi_fail(ENOSPC, "%s: the log area of %llu bytes has no room for one more slot",
                       logs->file->path, (unsigned long long)(logs->units * VI_CHUNK_UNIT));
    if (allocate(logs, (uintptr_t)header - (uintptr_t)logs->meta, VI_SLOT_SIZE) != 0)
        return -1;
    if (takes_unit)
        logs->used[unit / 64] |= (uint64_t)1 << unit % 64;
    *header = (struct vi_slot_header){.word = VISTA_INLINE_STAMP_STEP | (uint64_t)slot
                                                                            << VI_STAMP_SLOT_SHIFT};
    *(uint64_t *)(header + 1) = 0;
    vi_flush_fence(logs->persist, header, sizeof *header + sizeof(uint64_t));
    VISTA_INLINE_COMPILER_BARRIER();
    log_header(logs)->slots_used = (uint64_t)slot + 1;
    vi_flush_fence(logs->persist, log_header(logs), sizeof *log_header(logs));
    return 0;
}

int vi_logs_take(struct vi_logs *logs, uint32_t *slot)
{
    int result = 0;

    pthread_mutex_lock(&logs->lock);
    if (logs->slots == logs->max_slots)
        result = vi_fail(EAGAIN, "%s: %u transactions are open, and no more can be",
                         logs->file->path, logs->max_slots);
    else if (logs->slots >= log_header(logs)->slots_used)
        result = make_slot(logs, logs->slots);
    *slot = logs->slots;
    logs->slots += result == 0;
    pthread_mutex_unlock(&logs->lock);
    return result;
}
