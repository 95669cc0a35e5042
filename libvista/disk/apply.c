/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Applying redo records.  Their items are cut at the file's blocks and sorted by member, block
 * and age, so that each block is read, patched and written once, neighbours together.  A block
 * torn by a crash is mended by doing so again: what the items do not cover is the same in its
 * old and its new form.
 */
#include "disk/apply.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"

#define RUN (256u << 10) /* bytes written at once, at most */

/* What an item says of one block. */
struct piece {
    uint64_t where; /* member << 48 | block */
    const unsigned char *from;
    uint16_t offset; /* in the block */
    uint16_t length; /* up to a block's */
};

/* Where the part of a target ends that has the `length` bytes from `offset` on; 0: none has. */
static uint64_t end_of(const struct vi_disk_target *target, uint64_t offset, uint32_t length)
{
    for (size_t i = 0; i < sizeof target->part / sizeof *target->part; i++)
        if (target->part[i].to != 0 && offset >= target->part[i].from &&
            offset <= target->part[i].to && length <= target->part[i].to - offset)
            return target->part[i].to;
    return 0;
}

static int damaged(const struct vi_disk_area *area, uint64_t lsn, const char *why)
{
    return vi_fail(EBADMSG, "%s: damaged: the redo record at %llu %s", area->path,
                   (unsigned long long)lsn, why);
}

static int validate_item(const struct vi_disk_area *area, const struct vi_redo_record *record,
                         const struct vi_redo_item *item, const struct vi_disk_target *target)
{
    if (item->kind != VI_REDO_BYTES)
        return item->kind < VI_REDO_KINDS || item->kind >= VI_REDO_SKIPPED
                   ? 0
                   : damaged(area, record->lsn, "has an item of an unknown kind");
    if (item->member >= VI_DISK_MEMBERS || !target[item->member].exists)
        return damaged(area, record->lsn, "names a member that is not there");
    if (!target[item->member].abandoned &&
        end_of(&target[item->member], item->offset, item->length) == 0)
        return damaged(area, record->lsn, "has an item outside of what it may change");
    return 0;
}

/* Adds the pieces of its items to `pieces`. */
static int validate_record(const struct vi_disk_area *area, const struct vi_redo_record *record,
                           const struct vi_disk_target *target, int64_t *pieces)
{
    const struct vi_redo_item *item = NULL;
    uint64_t size = sizeof *record;

    for (uint32_t i = 0; i < record->items; i++) {
        item = vi_disk_item(record, item);
        if (item == NULL)
            return damaged(area, record->lsn, "has an item that does not fit");
        if (validate_item(area, record, item, target) != 0)
            return -1;
        size += vi_disk_item_size(item->length);
        *pieces += (int64_t)vi_disk_up(item->offset % VI_REDO_BLOCK + item->length, VI_REDO_BLOCK) /
                   VI_REDO_BLOCK;
    }
    return size == record->bytes ? 0 : damaged(area, record->lsn, "is longer than its items");
}

int64_t vi_disk_validate(struct vi_disk_walk walk, uint64_t newest,
                         const struct vi_disk_target *target)
{
    int64_t pieces = 0;

    while (vi_disk_walk_record(&walk) != NULL)
        if (validate_record(walk.area, walk.record, target, &pieces) != 0)
            return -1;
    return walk.at.previous == newest ? pieces : damaged(walk.area, newest, "is not found again");
}

/* Behind `count` pieces; returns how many there are then. */
static uint64_t add_item(struct piece *piece, uint64_t count, const struct vi_redo_item *item)
{
    const unsigned char *from = (const unsigned char *)(item + 1);
    uint64_t at = item->offset, left = item->length, length;

    for (; left != 0; at += length, from += length, left -= length, count++) {
        length = VI_REDO_BLOCK - at % VI_REDO_BLOCK;
        length = length < left ? length : left;
        piece[count] = (struct piece){
            .where = (uint64_t)item->member << 48 | at / VI_REDO_BLOCK,
            .from = from,
            .offset = (uint16_t)(at % VI_REDO_BLOCK),
            .length = (uint16_t)length,
        };
    }
    return count;
}

/* By place, of one place in their order: a radix sort, by those bytes of the places that differ.
 * There are millions of them where ranges are short.  Returns the array that has them then. */
static struct piece *sort(struct piece *piece, struct piece *other, uint64_t count)
{
    for (unsigned shift = 0; shift < 64; shift += 8) {
        uint64_t end[256] = {0}, at = 0;
        struct piece *const from = piece;

        for (uint64_t i = 0; i < count; i++)
            end[from[i].where >> shift & 255]++;
        if (count == 0 || end[from->where >> shift & 255] == count)
            continue;
        for (unsigned digit = 0; digit < 256; digit++)
            end[digit] = at += end[digit];
        for (uint64_t i = count; i-- > 0;)
            other[--end[from[i].where >> shift & 255]] = from[i];
        piece = other;
        other = from;
    }
    return piece;
}

/* How many pieces from the first on are of blocks that can be written with it. */
static uint64_t run_of(const struct piece *piece, uint64_t count)
{
    uint64_t n = 1;

    while (n < count && piece[n].where - piece[n - 1].where <= 1 &&
           piece[n].where >> 48 == piece->where >> 48 &&
           piece[n].where - piece->where < RUN / VI_REDO_BLOCK)
        n++;
    return n;
}

/* Reads, patches and writes the blocks of a run. */
static int write_run(const struct vi_disk_area *area, struct vi_disk_target *target,
                     const struct piece *piece, uint64_t count, unsigned char *buffer)
{
    const struct piece *const last = piece + count - 1;
    const uint64_t mask = ((uint64_t)1 << 48) - 1, from = (piece->where & mask) * VI_REDO_BLOCK;
    const uint64_t end =
        end_of(target, (last->where & mask) * VI_REDO_BLOCK + last->offset, last->length);
    const uint64_t blocks = (last->where - piece->where + 1) * VI_REDO_BLOCK;
    const uint64_t length = blocks < end - from ? blocks : end - from;
    const struct iovec whole = {buffer, length};

    if (vi_io_read(area->io, target->fd, buffer, length, from, false) != 0)
        return -1;
    for (uint64_t i = 0; i < count; i++)
        memcpy(buffer + (piece[i].where - piece->where) * VI_REDO_BLOCK + piece[i].offset,
               piece[i].from, piece[i].length);
    target->touched = true;
    return vi_io_write(area->io, target->fd, &whole, 1, from, false);
}

int vi_disk_apply(struct vi_disk_walk walk, int64_t pieces, struct vi_disk_target *target)
{
    const size_t most = (size_t)pieces + 1, size = RUN + 2 * most * sizeof(struct piece);
    unsigned char *const buffer = vi_reserve(size);
    const struct vi_redo_item *item;
    struct piece *piece;
    uint64_t count = 0;
    int result = 0;

    if (buffer == NULL)
        return -1;
    piece = (struct piece *)(buffer + RUN);
    while ((item = vi_disk_walk(&walk)) != NULL)
        if (item->kind == VI_REDO_BYTES)
            count = add_item(piece, count, item);
    piece = sort(piece, piece + most, count);
    for (uint64_t run; result == 0 && count != 0; piece += run, count -= run) {
        struct vi_disk_target *of = &target[piece->where >> 48];

        run = run_of(piece, count);
        if (!of->abandoned)
            result = write_run(walk.area, of, piece, run, buffer);
    }
    vi_release(buffer, size);
    return result;
}

int vi_disk_sync(const struct vi_disk_area *area, struct vi_disk_target *target)
{
    for (unsigned member = 0; member < VI_DISK_MEMBERS; member++) {
        if (!target[member].touched)
            continue;
        if (area->io->sync(target[member].fd) != 0)
            return -1;
        target[member].touched = false;
    }
    return 0;
}
