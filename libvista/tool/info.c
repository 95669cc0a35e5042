/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista info: what there is to know of a segment, without mapping it or recovering
 * it.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "check/check.h"
#include "disk/disk.h"
#include "tool/main.h"
#include "tool/output.h"

/* What the slots of the log tell of its transactions, in the file's life and now; the segment
 * may be in use. */
struct counts {
    bool known; /* the log is in the file */
    uint64_t slots, ended, open;
};

static void line(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *name, const char *format, ...)
{
    char text[PATH_MAX], escaped[2 * PATH_MAX]; /* the longest thing told */
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vi_escape(escaped, sizeof escaped, text);
    printf("%-14s%s\n", name, escaped);
}

/* The number, and in words what it is about: "67108864 bytes (64.0 MiB)". */
static void bytes(const char *name, uint64_t value)
{
    static const char units[] = "KMGTPE";
    double scaled = (double)value / 1024;
    size_t unit = 0;

    if (value < 1024) {
        line(name, "%llu bytes", (unsigned long long)value);
        return;
    }
    for (; scaled >= 1024; unit++)
        scaled /= 1024;
    line(name, "%llu bytes (%.1f %ciB)", (unsigned long long)value, scaled, units[unit]);
}

static const char *durability(const struct vi_superblock *superblock)
{
    if (superblock->real_class == VISTA_CLASS_KILL)
        return "kill-safe: commits survive the death of the process";
    if (superblock->log_class == VISTA_CLASS_KILL)
        return "kill-safe by choice, on persistent memory";
    return "power-safe: commits survive power loss";
}

/* A slot's word is the stamp of its next transaction, or of the open one, which has a record. */
static struct counts count_transactions(const struct vi_file *file, const struct vi_superblock *s)
{
    const uint64_t end = s->chunks_offset + s->chunks_size;
    struct counts counts = {.known = s->log_class != VISTA_CLASS_DISK};
    struct vi_log_header log = {0};
    struct {
        struct vi_slot_header header;
        uint64_t stamp; /* of the first record */
    } slot;

    if (!counts.known || pread(file->fd, &log, sizeof log, VI_LOG_OFFSET) != (ssize_t)sizeof log ||
        log.slots_used > vi_superblock_slots(s))
        return (struct counts){0};
    for (; counts.slots < log.slots_used; counts.slots++) {
        const off_t at = (off_t)vi_superblock_slot(end, counts.slots);

        if (pread(file->fd, &slot, sizeof slot, at) != (ssize_t)sizeof slot)
            break;
        if (slot.header.word >= VISTA_INLINE_STAMP_STEP)
            counts.ended += slot.header.word / VISTA_INLINE_STAMP_STEP - 1;
        counts.open += slot.header.word % 2 != 0 || slot.stamp == slot.header.word;
    }
    return counts;
}

static void print_state(const struct vi_check_totals *totals, bool damaged)
{
    const char *torn = totals->may_be_torn ? "may be torn; " : "";

    if (damaged)
        line("state", "damaged: `vista check` tells where");
    else if (totals->superblock.clean)
        line("state", "clean");
    else
        line("state", "%sneeds recovery: %llu to roll back, %llu to finish", torn,
             (unsigned long long)totals->open, (unsigned long long)totals->finishing);
}

/* The redo log of a segment of the disk class; `live`: its records cannot be read. */
static void print_redo(const struct vi_disk_left *redo, bool live)
{
    if (redo->area.log_size == 0)
        return;
    bytes("redo log", redo->area.log_size);
    line("redo epoch", "%u, in generation %llu of its header", redo->area.epoch,
         (unsigned long long)redo->area.generation);
    if (!live)
        line("redo records", "%llu to apply, from LSN %llu up to %llu",
             (unsigned long long)redo->records, (unsigned long long)redo->head.lsn,
             (unsigned long long)redo->end.lsn);
    if (redo->ring_from != UINT64_MAX)
        line("in the ring", "from LSN %llu on they are nowhere else",
             (unsigned long long)redo->ring_from);
}

static void json_redo(const struct vi_disk_left *redo, bool live)
{
    if (redo->area.log_size == 0)
        return;
    tool_json_number("redo_log_size", redo->area.log_size);
    tool_json_number("redo_epoch", redo->area.epoch);
    tool_json_number("redo_generation", redo->area.generation);
    tool_json_number("redo_head", redo->head.lsn);
    if (!live) {
        tool_json_number("redo_tail", redo->end.lsn);
        tool_json_number("redo_records", redo->records);
    }
    if (redo->ring_from != UINT64_MAX)
        tool_json_number("redo_ring_from", redo->ring_from);
}

/* What can be told beside its user: what the header says. */
static struct vi_disk_left redo_of(const struct vi_file *file, const struct vi_superblock *s)
{
    struct vi_disk_left left = {.area = vi_disk_area_of(file, s), .ring_from = UINT64_MAX};

    if (s->log_class != VISTA_CLASS_DISK || s->features_must & VI_MUST_MEMBER ||
        vi_disk_header_read(&left.area, s->chunks_offset + s->chunks_size, &left.head) != 0)
        left.area.log_size = 0;
    return left;
}

/* What a segment that is in use with another's log says of that one; or NULL. */
static const char *home_of(const struct vi_file *file, const struct vi_superblock *superblock)
{
    static struct vi_member home;
    uint32_t check = vi_crc32c(0, superblock->uuid, sizeof superblock->uuid);

    if (!(superblock->features_must & VI_MUST_MEMBER) ||
        pread(file->fd, &home, sizeof home, VI_HOME_OFFSET) != (ssize_t)sizeof home)
        return NULL;
    check = vi_crc32c(check, &home, offsetof(struct vi_member, check));
    check = vi_crc32c(check, home.path, sizeof home.path);
    return check == home.check && home.path[sizeof home.path - 1] == '\0' ? home.path : NULL;
}

static void print_heap(const struct vi_check_totals *totals)
{
    if (totals->superblock.heap_offset == 0) {
        line("heap", "none, the data is flat");
        return;
    }
    line("heap blocks", "%llu", (unsigned long long)totals->blocks);
    bytes("heap used", totals->block_bytes);
    bytes("heap free", totals->free_units * VI_UNIT);
    bytes("largest free", totals->largest_free * VI_UNIT);
    if (totals->root.size == 0)
        line("root", "none");
    else
        line("root", "%llu bytes at 0x%llx", (unsigned long long)totals->root.size,
             (unsigned long long)(totals->superblock.address + totals->root.offset));
}

static void print_identity(const struct vi_file *file, const struct vi_superblock *superblock)
{
    line("file", "%s", file->path);
    line("uuid", "%s", tool_uuid(superblock->uuid));
    line("format", "version %u%s", superblock->version,
         superblock->features_must & VI_MUST_SPARSE ? ", sparse" : "");
}

static void print_layout(const struct vi_file *file, const struct vi_superblock *superblock)
{
    const char *home = home_of(file, superblock);

    if (home != NULL)
        line("log", "that of %s", home);
    line("last used as", "%s", durability(superblock));
    line("address", "0x%llx", (unsigned long long)superblock->address);
    bytes("size", superblock->size);
    bytes("may grow to", superblock->max_size);
    bytes("on the disk", file->blocks);
    line("data offset", "%llu", (unsigned long long)superblock->data_offset);
}

static void print_info(const struct vi_file *file, const struct vi_check_totals *totals,
                       bool damaged)
{
    print_identity(file, &totals->superblock);
    print_state(totals, damaged);
    print_layout(file, &totals->superblock);
    line("log slots", "%llu", (unsigned long long)totals->slots);
    bytes("log", totals->log_bytes);
    print_redo(&totals->redo, false);
    print_heap(totals);
}

/* The file as it is while someone else may write it: nothing that is behind an offset in it. */
static void print_live(const struct vi_file *file, const struct vi_superblock *superblock,
                       const struct counts *counts)
{
    const struct vi_disk_left redo = redo_of(file, superblock);

    print_identity(file, superblock);
    line("state", "in use");
    print_layout(file, superblock);
    print_redo(&redo, true);
    if (!counts->known)
        return;
    line("log slots", "%llu", (unsigned long long)counts->slots);
    line("transactions", "%llu have ended in the file's life, %llu are open",
         (unsigned long long)counts->ended, (unsigned long long)counts->open);
}

static void json_identity(const struct vi_file *file, const struct vi_superblock *superblock,
                          const char *state)
{
    tool_json_open(NULL, '{');
    tool_json_text("file", file->path);
    tool_json_text("uuid", tool_uuid(superblock->uuid));
    tool_json_number("format_version", superblock->version);
    tool_json_text("state", state);
}

static void json_layout(const struct vi_file *file, const struct vi_superblock *superblock)
{
    const char *home = home_of(file, superblock);

    if (home != NULL)
        tool_json_text("log_of", home);
    tool_json_text("log_class", tool_class(superblock->log_class));
    tool_json_text("real_class", tool_class(superblock->real_class));
    tool_json_number("address", superblock->address);
    tool_json_number("size", superblock->size);
    tool_json_number("max_size", superblock->max_size);
    tool_json_number("disk_bytes", file->blocks);
    tool_json_bool("sparse", superblock->features_must & VI_MUST_SPARSE);
    tool_json_number("data_offset", superblock->data_offset);
    tool_json_bool("heap", superblock->heap_offset != 0);
}

static void print_json(const struct vi_file *file, const struct vi_check_totals *totals,
                       bool damaged)
{
    const struct vi_superblock *superblock = &totals->superblock;
    const char *state = superblock->clean ? "clean" : "needs recovery";

    json_identity(file, superblock, damaged ? "damaged" : state);
    tool_json_bool("may_be_torn", totals->may_be_torn);
    tool_json_number("to_roll_back", totals->open);
    tool_json_number("to_finish", totals->finishing);
    json_layout(file, superblock);
    tool_json_number("log_slots", totals->slots);
    tool_json_number("log_bytes", totals->log_bytes);
    json_redo(&totals->redo, false);
    if (superblock->heap_offset != 0) {
        tool_json_number("blocks", totals->blocks);
        tool_json_number("block_bytes", totals->block_bytes);
        tool_json_number("free_bytes", totals->free_units * VI_UNIT);
        tool_json_number("largest_free_bytes", totals->largest_free * VI_UNIT);
        tool_json_number("root_offset", totals->root.offset);
        tool_json_number("root_size", totals->root.size);
    }
    tool_json_close('}');
}

static void print_json_live(const struct vi_file *file, const struct vi_superblock *superblock,
                            const struct counts *counts)
{
    const struct vi_disk_left redo = redo_of(file, superblock);

    json_identity(file, superblock, "in use");
    json_layout(file, superblock);
    json_redo(&redo, true);
    if (counts->known) {
        tool_json_number("log_slots", counts->slots);
        tool_json_number("transactions_ended", counts->ended);
        tool_json_number("transactions_open", counts->open);
    }
    tool_json_close('}');
}

#define TRIES 100 /* its user may be resizing it, or writing its superblock */

/* Of a segment that someone has mapped for writing. */
static enum tool_status inspect_live(const char *path, bool json)
{
    struct vi_superblock superblock;
    struct counts counts;
    struct vi_file file;
    int found = -1;

    for (int tries = 0; tries < TRIES && found != 0; tries++) {
        if (tries != 0)
            vi_file_forget(&file);
        if (vi_file_open_unlocked(&file, path) != 0)
            return tool_failed(errno);
        found = vi_superblock_read(&file, true, &superblock);
    }
    if (found == 0) {
        counts = count_transactions(&file, &superblock);
        (json ? print_json_live : print_live)(&file, &superblock, &counts);
    } else if (found == 1) {
        vi_fail(EBADMSG, "%s: is in use, and has no superblock yet", path);
    }
    vi_file_forget(&file);
    return found == 0 ? TOOL_DONE : tool_failed(errno);
}

static enum tool_status inspect(const char *path, bool json)
{
    const struct vi_check_visitor visitor = {.progress = tool_step_progress};
    struct vi_check_totals totals;
    struct vi_file file;
    int result, error;

    if (vi_file_open(&file, path, VISTA_READ_ONLY, 0, 0) != 0)
        return errno == EBUSY ? inspect_live(path, json) : tool_failed(errno);
    result = vi_check_visit(&file, NULL, NULL, &totals, &visitor);
    error = errno;
    tool_progress("", 0, 0);
    if (totals.superblock.magic != 0)
        (json ? print_json : print_info)(&file, &totals, result != 0);
    vi_file_close(&file);
    if (result != 0)
        return tool_failed(error);
    return totals.superblock.clean ? TOOL_DONE : TOOL_BAD;
}

static enum tool_status run_info(int argc, char **argv)
{
    bool json = false;
    const struct tool_option options[] = {{.name = "json", .given = &json}, {0}};
    enum tool_status status;
    const char *path;

    if (!tool_arguments(&tool_info, argc, argv, options, &path, 1, &status))
        return status;
    return inspect(path, json);
}

const struct tool_command tool_info = {
    .name = "info",
    .summary = "tells what a segment is and in what state",
    .run = run_info,
    .help = "usage: vista info [--json] FILE\n"
            "\n"
            "Tells a segment's identity, size, address, state, log and heap.  It is neither\n"
            "mapped nor recovered; the numbers are those that are stored.  Of a segment that is\n"
            "mapped for writing it tells what can be read beside its user, and how many\n"
            "transactions have ended in its life and are open.\n"
            "\n"
            "  --json  the same as one JSON object; sizes and offsets are in bytes\n"
            "\n"
            "Exit status: 0 clean, or in use; 1 it needs recovery, or is damaged or not a\n"
            "segment; 2 the command line makes no sense; 3 the file cannot be opened or has\n"
            "another version.\n",
};
