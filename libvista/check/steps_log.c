/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steps: the log's slots with their chains of chunks, and the records of those
 * slots that are not idle.  Records are read by the functions that recovery reads
 * them by, once the chains have been found good; so what is checked is what would
 * be rolled back.
 */
#include "check/steps_log.h"

#include "base/arena.h"
#include "base/crc32c.h"
#include "check/steps_group.h"
#include "check/steps_heap.h"
#include "core/walk.h"
#include "heap/heap.h"
#include "heap/heap_kinds.h"
#include "media/superblock.h"

static uint64_t slot_offset(const struct vi_check *check, uint64_t slot)
{
    const struct vi_superblock *const s = check->superblock;

    return vi_superblock_slot(s->chunks_offset + s->chunks_size, slot);
}

/* ---- Slots and chains -------------------------------------------------- */

/* Takes the chunk's units for this chain; false when another has one of them. */
static bool take_units(uint64_t *map, uint64_t unit, uint64_t count)
{
    for (uint64_t i = unit; i < unit + count; i++) {
        if (map[i / 64] >> i % 64 & 1)
            return false;
        map[i / 64] |= (uint64_t)1 << i % 64;
    }
    return true;
}

static const struct vi_chunk_header *chunk_at(const struct vi_check *check, uint64_t offset)
{
    return (const struct vi_chunk_header *)(check->meta + offset);
}

/* NULL, or why what is at `offset` cannot be chunk `index` of the slot's chain. */
static const char *why_not(const struct vi_check *check, uint64_t slot, uint64_t offset,
                           uint64_t index, uint64_t *map)
{
    const uint64_t at = offset - check->superblock->chunks_offset;
    const uint64_t slots = vi_check_word(check, VI_LOG_OFFSET);
    const uint64_t area = check->superblock->chunks_size - vi_superblock_far_slots(slots);
    const struct vi_chunk_header *chunk;

    if (offset < check->superblock->chunks_offset || at >= area || at % VI_CHUNK_UNIT != 0)
        return "is not where a chunk can begin";
    chunk = chunk_at(check, offset);
    if (chunk->owner != slot + 1)
        return "has another owner";
    if (chunk->index != index)
        return "has another place in the chain";
    if (chunk->size == 0 || chunk->size % VI_CHUNK_UNIT != 0 || chunk->size > VI_CHUNK_MAX ||
        chunk->size > area - at)
        return "has an impossible size";
    if (!take_units(map, at / VI_CHUNK_UNIT, chunk->size / VI_CHUNK_UNIT))
        return "overlaps another chunk";
    return NULL;
}

static void check_chain(struct vi_check *check, uint64_t slot, uint64_t link, uint64_t *map)
{
    for (uint64_t index = 1; link != 0; index++) {
        const char *why = why_not(check, slot, link, index, map);

        if (why != NULL) {
            vi_check_say(check, VI_CHECK_DAMAGE,
                         "slot %llu: chunk %llu of its chain, at file offset %llu, %s",
                         (unsigned long long)slot, (unsigned long long)index,
                         (unsigned long long)link, why);
            return;
        }
        check->totals->log_bytes += chunk_at(check, link)->size;
        link = chunk_at(check, link)->next;
    }
}

static void check_slot(struct vi_check *check, uint64_t slot, uint64_t *map)
{
    const uint64_t offset = slot_offset(check, slot);
    const struct vi_slot_header *header = (const void *)(check->meta + offset);

    if (header->word < VISTA_INLINE_STAMP_STEP ||
        (header->word >> VI_STAMP_SLOT_SHIFT) % VI_SLOTS != slot)
        vi_check_say(check, VI_CHECK_DAMAGE,
                     "slot %llu, at file offset %llu, has the word 0x%llx, which cannot be its own",
                     (unsigned long long)slot, (unsigned long long)offset,
                     (unsigned long long)header->word);
    check_chain(check, slot, header->next, map);
}

/* A slot is written before it is counted: the first uncounted one may have its
 * header, the other near ones must be as new; where far ones will be, chunks may have been. */
static void check_unused(struct vi_check *check, uint64_t used)
{
    struct vi_check_scan scan;
    uint64_t found;

    if (used + 1 >= VI_SLOTS_NEAR)
        return;
    scan = vi_check_scan(check, slot_offset(check, used + 1), VI_CHUNKS_OFFSET);
    found = vi_check_next(&scan);
    if (found != scan.end)
        vi_check_say(check, VI_CHECK_DAMAGE,
                     "slot %llu was never used, yet is not empty (file "
                     "offset %llu)",
                     (unsigned long long)((found - VI_SLOTS_OFFSET) / VI_SLOT_SIZE),
                     (unsigned long long)found);
}

void vi_check_slots(struct vi_check *check)
{
    const uint64_t used = vi_check_word(check, VI_LOG_OFFSET);
    const uint64_t units = check->superblock->chunks_size / VI_CHUNK_UNIT;
    const uint64_t slots = vi_superblock_slots(check->superblock);
    const size_t map_size = (units + 63) / 64 * sizeof(uint64_t);
    uint64_t *map;

    if (used > slots) {
        vi_check_say(check, VI_CHECK_DAMAGE, "said to be in use: %llu, there are %llu",
                     (unsigned long long)used, (unsigned long long)slots);
        return;
    }
    map = vi_reserve(map_size);
    if (map == NULL) {
        vi_check_say(check, VI_CHECK_NOTE, "not looked at, for want of memory");
        return;
    }
    check->totals->slots = used;
    check->totals->log_bytes = used * VI_SLOT_SIZE;
    for (uint64_t slot = 0; slot < used && !check->stopped; slot++)
        check_slot(check, slot, map);
    check_unused(check, used);
    vi_release(map, map_size);
    check->chains_good = check->damage == 0;
    if (check->damage == 0)
        vi_check_say(check, VI_CHECK_PASSED, "in use: %llu, with their chunks %llu bytes",
                     (unsigned long long)used, (unsigned long long)check->totals->log_bytes);
}

/* ---- Records ----------------------------------------------------------- */

static const char *const kind_names[VI_KINDS] = {
    [VI_KIND_UNDO] = "undo", [VI_KIND_ALLOC] = "alloc", [VI_KIND_CANCEL] = "cancel",
    [VI_KIND_FREE] = "free", [VI_KIND_ROOT] = "root",   [VI_KIND_EXTEND] = "extend",
};

/* The record names a block in both ways alike: by its place in the
 * data and, in `length`, by its distance in units from the span's first and its
 * number.  One that is to be freed at commit is allocated until then. */
static bool block_record_good(const struct vi_check *check, const struct vi_item *item,
                              bool finishing)
{
    const uint64_t unit = item->offset / VI_UNIT, block = item->length & 0xffffu;
    struct vi_check_span span;

    if (!vi_check_span_of(check, unit, &span) || unit - span.unit != item->length >> 16 ||
        block >= span.blocks || item->offset != span.unit * VI_UNIT + block * span.block_size)
        return false;
    return item->kind != VI_KIND_FREE || finishing || vi_check_mark(check, &span, block);
}

/* It names a large block, which had fewer units. */
static bool extend_record_good(const struct vi_check *check, const struct vi_item *item)
{
    struct vi_check_span span;

    return item->offset % VI_UNIT == 0 && vi_check_span_of(check, item->offset / VI_UNIT, &span) &&
           span.unit == item->offset / VI_UNIT && span.block_size == span.units * VI_UNIT &&
           item->length <= span.units;
}

/* Both roots, of before and after, lie inside the data; whether the one that will count is
 * a block is looked at by a step of its own. */
static bool root_record_good(const struct vi_item *item, uint64_t size)
{
    struct vi_root both[2];

    memcpy(both, item->payload, sizeof both);
    return both[0].offset <= size && both[0].size <= size - both[0].offset &&
           both[1].offset <= size && both[1].size <= size - both[1].offset;
}

/* Of the segment that `check` looks at. */
static bool item_good(const struct vi_check *check, const struct vi_item *item, bool finishing)
{
    const uint64_t size = check->superblock->size;

    if (item->offset >= size)
        return false;
    if (item->kind == VI_KIND_UNDO)
        return item->length <= VI_RECORD_MAX && item->length <= size - item->offset;
    if (check->superblock->heap_offset == 0)
        return false;
    if (item->kind == VI_KIND_ROOT)
        return root_record_good(item, size);
    if (!check->descriptors_good)
        return true;
    return item->kind == VI_KIND_EXTEND ? extend_record_good(check, item)
                                        : block_record_good(check, item, finishing);
}

/* Of this one, or of a member.  A member has none of its own. */
static bool record_good(struct vi_check *check, const struct vi_logs *logs,
                        const struct vi_item *item, bool finishing)
{
    const struct vi_superblock *s = check->superblock;
    const uint64_t address = logs->mapped + item->offset;
    const struct vi_member *entry;
    const struct vi_check *member;
    struct vi_item its = *item;
    bool left;

    if (item->kind >= VI_KINDS)
        return false;
    if (item->offset < s->size)
        return item_good(check, item, finishing);
    entry = vi_member_at(logs, address);
    if (entry == NULL || (!s->clean && s->features_must & VI_MUST_MEMBER))
        return false;
    its.offset = address - entry->mapped;
    member = vi_check_member(check, entry, &left);
    return member != NULL ? item_good(member, &its, finishing) : left;
}

/* A record of the root holds the old one and the new one; the oldest record of an
 * open transaction says what it will be after the rollback. */
static void note_root(struct vi_check *check, const struct vi_item *item, bool finishing)
{
    if (check->root_pending && !finishing)
        return;
    memcpy(&check->totals->root,
           (const unsigned char *)item->payload + (finishing ? sizeof(struct vi_root) : 0),
           sizeof check->totals->root);
    check->root_pending = true;
}

static void check_item(struct vi_check *check, const struct vi_logs *logs, uint32_t slot,
                       bool finishing, const struct vi_item *item)
{
    const unsigned kind = item->kind;
    const uint64_t at =
        (uintptr_t)item->payload - sizeof(uint64_t) - (uintptr_t)check->meta; /* in the file */

    if (check->visitor->record != NULL)
        check->visitor->record(check->visitor->arg, slot, finishing, item, at);
    if (!record_good(check, logs, item, finishing))
        vi_check_say(check, VI_CHECK_DAMAGE,
                     "slot %u, file offset %llu: a record of kind %u (%s) for data offset %llu, "
                     "length %u, makes no sense",
                     slot, (unsigned long long)at, kind,
                     kind < VI_KINDS ? kind_names[kind] : "unknown",
                     (unsigned long long)item->offset, item->length);
    else if (kind == VI_KIND_ROOT && item->offset < check->superblock->size)
        note_root(check, item, finishing);
}

static void check_log(struct vi_check *check, struct vi_logs *logs, uint32_t slot)
{
    const uint64_t word = vi_check_word(check, slot_offset(check, slot));
    const bool finishing = word & VI_STAMP_FINISHING;
    const struct vi_record *record;
    struct vi_log log = {0};
    struct vi_walk walk;
    uint64_t count = 0;

    vi_log_attach(logs, &log, slot);
    vi_walk_begin(&walk, &log);
    for (; (record = vi_walk_next(&walk)) != NULL && !check->stopped; count++) {
        const struct vi_item item = {
            .offset = record->kind == VI_KINDS ? 0 : record->address - logs->mapped,
            .length = record->length,
            .kind = record->kind,
            .payload = record->payload};

        check_item(check, logs, slot, finishing, &item);
    }
    check->totals->finishing += finishing;
    check->totals->open += !finishing && count != 0;
    if (finishing && count == 0)
        vi_check_say(check, VI_CHECK_DAMAGE,
                     "slot %u is committed with work to finish, but has no "
                     "record of it",
                     slot);
    if (check->superblock->clean && (finishing || count != 0))
        vi_check_say(check, VI_CHECK_DAMAGE,
                     "slot %u holds a transaction, but the segment is marked clean", slot);
}

void vi_check_records(struct vi_check *check)
{
    /* Only for reading: recovery's functions take memory that can be written. */
    struct vi_logs logs = {
        .meta = (unsigned char *)(uintptr_t)check->meta,
        .file = check->file,
        .seed = vi_crc32c(0, check->superblock->uuid, sizeof check->superblock->uuid),
        .checked = vi_class_flushes(check->superblock->log_class),
        .mapped = check->superblock->mapped,
        .chunks_offset = check->superblock->chunks_offset,
        .units = check->superblock->chunks_size / VI_CHUNK_UNIT,
    };

    vi_logs_use(&logs, vi_heap_kinds);
    if (!check->chains_good) {
        vi_check_say(check, VI_CHECK_NOTE, "not looked at: the slots are damaged");
        return;
    }
    for (uint32_t slot = 0; slot < check->totals->slots && !check->stopped; slot++)
        check_log(check, &logs, slot);
    if (check->damage == 0)
        vi_check_say(check, VI_CHECK_PASSED,
                     "transactions to roll back: %llu, committed ones to finish: %llu",
                     (unsigned long long)check->totals->open,
                     (unsigned long long)check->totals->finishing);
}
