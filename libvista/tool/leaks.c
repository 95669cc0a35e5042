/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Leaks: a conservative scan for pointers, as a garbage collector marks.  A word that
 * happens to look like a pointer hides a leak, and a reference that is no native
 * pointer (an offset, a compressed one) is not seen; the manual says so.
 */
#include "tool/leaks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "tool/main.h"
#include "tool/output.h"

#define LISTED 20u /* leaks, in text: a screenful */

struct block {
    uint64_t offset;
    uint64_t size;
};

struct tool_leaks {
    struct block *blocks; /* when sorted: in the order of addresses */
    uint64_t count, room;
    bool no_memory;
    bool quiet, json; /* how to tell */
    const struct vi_file *file;
    uint64_t address;     /* where pointers think that the data is */
    uint64_t file_offset; /* of the data */
    const unsigned char *data;
    bool *reached;    /* of each block */
    uint64_t *to_do;  /* blocks reached but not yet looked through */
    uint64_t waiting; /* of them */
    uint64_t done;    /* bytes looked through */
    uint64_t total;   /* bytes of all blocks */
};

/* ---- Gathering --------------------------------------------------------- */

struct tool_leaks *tool_leaks_new(bool quiet, bool json)
{
    struct tool_leaks *leaks = calloc(1, sizeof *leaks);

    if (leaks != NULL) {
        leaks->quiet = quiet;
        leaks->json = json;
    }
    return leaks;
}

void tool_leaks_block(void *arg, uint64_t offset, uint64_t size)
{
    struct tool_leaks *leaks = arg;

    if (leaks->no_memory)
        return;
    if (leaks->count == leaks->room) {
        const uint64_t room = leaks->room != 0 ? 2 * leaks->room : 1024;
        struct block *more = realloc(leaks->blocks, room * sizeof *more);

        leaks->no_memory = more == NULL;
        if (leaks->no_memory)
            return;
        leaks->blocks = more;
        leaks->room = room;
    }
    leaks->blocks[leaks->count++] = (struct block){offset, size};
    leaks->total += size;
}

void tool_leaks_free(struct tool_leaks *leaks)
{
    if (leaks == NULL)
        return;
    free(leaks->blocks);
    free(leaks->reached);
    free(leaks->to_do);
    free(leaks);
}

static int by_offset(const void *a, const void *b)
{
    const struct block *left = a, *right = b;

    return (left->offset > right->offset) - (left->offset < right->offset);
}

/* ---- Marking ----------------------------------------------------------- */

/* The block that has the byte at `offset` has been reached. */
static bool reach(struct tool_leaks *leaks, uint64_t offset)
{
    uint64_t low = 0, high = leaks->count; /* the block is in [low, high) if it is */

    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;

        if (leaks->blocks[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    if (low == high || offset - leaks->blocks[low].offset >= leaks->blocks[low].size)
        return false;
    if (!leaks->reached[low])
        leaks->to_do[leaks->waiting++] = low;
    leaks->reached[low] = true;
    return true;
}

/* Where the hole at `offset` of the data ends, if there is one; holes hold no pointers,
 * and reading them could fill them. */
static uint64_t over_hole(const struct tool_leaks *leaks, uint64_t offset, uint64_t end)
{
    const off_t data = lseek(leaks->file->fd, (off_t)(leaks->file_offset + offset), SEEK_DATA);

    if (data < 0)
        return errno == ENXIO ? end : offset;
    return (uint64_t)data - leaks->file_offset < end ? (uint64_t)data - leaks->file_offset : end;
}

#define SCAN_STEP (1u << 20) /* between looks for a hole */

static void look_through(struct tool_leaks *leaks, const struct block *block, uint64_t data_size)
{
    const uint64_t end = block->offset + block->size;
    uint64_t next_look = block->size < SCAN_STEP ? end : block->offset;

    for (uint64_t at = block->offset; at < end; at += sizeof(uint64_t)) {
        uint64_t word;

        if (at == next_look) {
            at = over_hole(leaks, at, end) & ~(uint64_t)(sizeof word - 1);
            next_look = at + SCAN_STEP;
            tool_progress("pointers", leaks->done + (at - block->offset), leaks->total);
            if (at >= end)
                break;
        }
        memcpy(&word, leaks->data + at, sizeof word);
        if (word - leaks->address < data_size)
            reach(leaks, word - leaks->address);
    }
    leaks->done += block->size;
    tool_progress("pointers", leaks->done, leaks->total);
}

/* Reads the number that a list of offsets begins with, and passes over the comma behind
 * it; NULL: there is none. */
static const char *next_offset(const char *list, uint64_t *offset)
{
    char *end;

    errno = 0;
    *offset = strtoull(list, &end, 0);
    if (*list < '0' || *list > '9' || errno != 0 || (*end != ',' && *end != '\0'))
        return NULL;
    return *end == ',' ? end + 1 : end;
}

bool tool_leaks_are_offsets(const char *list)
{
    uint64_t offset;

    while (list != NULL && *list != '\0') {
        const char *next = next_offset(list, &offset);

        if (next == NULL) {
            tool_usage(&tool_check, "not offsets with commas between: ", list);
            return false;
        }
        list = next;
    }
    return true;
}

/* False, all said, when one is no block. */
static bool reach_others(struct tool_leaks *leaks, const char *others)
{
    while (others != NULL && *others != '\0') {
        uint64_t offset;
        const char *next = next_offset(others, &offset);

        if (offset >= leaks->address)
            offset -= leaks->address;
        if (next == NULL || !reach(leaks, offset)) {
            tool_usage(&tool_check, "no block is at ", others);
            return false;
        }
        others = next;
    }
    return true;
}

/* ---- Telling ----------------------------------------------------------- */

static void print_leak(const struct tool_leaks *leaks, const struct block *block)
{
    if (!leaks->json) {
        printf("leak    %llu bytes at data offset %llu (address 0x%llx)\n",
               (unsigned long long)block->size, (unsigned long long)block->offset,
               (unsigned long long)(leaks->address + block->offset));
        return;
    }
    tool_json_open(NULL, '{');
    tool_json_number("offset", block->offset);
    tool_json_number("address", leaks->address + block->offset);
    tool_json_number("size", block->size);
    tool_json_close('}');
}

static int64_t tell(const struct tool_leaks *leaks)
{
    uint64_t found = 0, bytes = 0;

    tool_progress("", 0, 0);
    if (leaks->json)
        tool_json_open("leaks", '[');
    for (uint64_t i = 0; i < leaks->count; i++) {
        if (leaks->reached[i])
            continue;
        if (++found <= LISTED || leaks->json)
            print_leak(leaks, &leaks->blocks[i]);
        bytes += leaks->blocks[i].size;
    }
    if (leaks->json) {
        tool_json_close(']');
        tool_json_number("leaked_blocks", found);
        tool_json_number("leaked_bytes", bytes);
        return (int64_t)found;
    }
    if (found > LISTED)
        printf("leak    and %llu more blocks, not listed\n", (unsigned long long)(found - LISTED));
    if (found != 0 || !leaks->quiet)
        printf("%-7s blocks that no pointer leads to: %llu of %llu, %llu bytes\n",
               found != 0 ? "leak" : "ok", (unsigned long long)found,
               (unsigned long long)leaks->count, (unsigned long long)bytes);
    return (int64_t)found;
}

int64_t tool_leaks_find(struct tool_leaks *leaks, const struct vi_file *file,
                        const struct vi_superblock *superblock, struct vi_root root,
                        const char *others, enum tool_status *status)
{
    void *data;

    if (leaks != NULL && !leaks->no_memory) {
        leaks->reached = calloc(leaks->count + 1, sizeof *leaks->reached);
        leaks->to_do = calloc(leaks->count + 1, sizeof *leaks->to_do);
    }
    if (leaks == NULL || leaks->reached == NULL || leaks->to_do == NULL) {
        vi_fail(ENOMEM, "%s: no memory to look for leaks", file->path);
        *status = tool_failed(errno);
        return -1;
    }
    data = mmap(NULL, superblock->size, PROT_READ, MAP_SHARED, file->fd,
                (off_t)superblock->data_offset);
    if (data == MAP_FAILED) {
        vi_fail_system(errno, "%s: cannot map its data", file->path);
        *status = tool_failed(errno);
        return -1;
    }
    leaks->file = file;
    leaks->address = superblock->address;
    leaks->file_offset = superblock->data_offset;
    leaks->data = data;
    qsort(leaks->blocks, leaks->count, sizeof *leaks->blocks, by_offset);
    if (root.size != 0)
        reach(leaks, root.offset);
    *status = TOOL_USAGE;
    if (reach_others(leaks, others)) {
        *status = TOOL_DONE;
        while (leaks->waiting != 0)
            look_through(leaks, &leaks->blocks[leaks->to_do[--leaks->waiting]], superblock->size);
    }
    munmap(data, superblock->size);
    return *status == TOOL_DONE ? tell(leaks) : -1;
}
