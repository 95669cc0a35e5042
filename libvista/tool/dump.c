/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista dump: the records of the logs that are not idle, and what the heap is divided
 * into.  It shows what the check passes by; of a damaged segment, what that could make
 * out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "check/check.h"
#include "tool/main.h"
#include "tool/output.h"
#include "vista.h"

#define PREVIEW 16 /* bytes of a before-image, in text */

/* The map of the heap is a picture of this many characters, or fewer. */
#define ROW 64u
#define CELLS (16u * ROW)

struct span {
    uint64_t offset, length, block_size;
    uint64_t allocated; /* blocks */
};

struct dump {
    bool log, heap, blocks, json; /* asked for */
    uint64_t address, size;       /* of the data */
    uint64_t max_size;            /* records beyond are about segments that share the log */
    uint64_t slot;                /* the last record's, + 1 */
    uint64_t data_offset;
    uint64_t lsn; /* the last redo record's */
    struct span *spans;
    uint64_t count, room;
    uint64_t last; /* the span that the last block lay in */
    bool no_memory;
    uint64_t cell;        /* bytes of data for each */
    uint64_t used[CELLS]; /* of them, allocated */
};

/* ---- The log ----------------------------------------------------------- */

static const char *kind_name(unsigned kind)
{
    static const char *const names[VI_KINDS] = {
        [VI_KIND_UNDO] = "undo", [VI_KIND_ALLOC] = "alloc", [VI_KIND_CANCEL] = "cancel",
        [VI_KIND_FREE] = "free", [VI_KIND_ROOT] = "root",   [VI_KIND_EXTEND] = "extend",
    };

    return kind < VI_KINDS && names[kind] != NULL ? names[kind] : "unknown";
}

static void record_json(uint64_t slot, bool finishing, const struct vi_item *item,
                        uint64_t file_offset, bool of_member)
{
    tool_json_open(NULL, '{');
    tool_json_number("slot", slot);
    tool_json_text("transaction", finishing ? "finishing" : "open");
    tool_json_text("kind", kind_name(item->kind));
    tool_json_number("offset", item->offset);
    tool_json_number("length", item->length);
    tool_json_number("file_offset", file_offset);
    tool_json_bool("of_member", of_member);
    tool_json_close('}');
}

static void print_bytes(const unsigned char *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length && i < PREVIEW; i++)
        printf(" %02x", bytes[i]);
    puts(length > PREVIEW ? " ..." : "");
}

static void record(void *arg, uint64_t slot, bool finishing, const struct vi_item *item,
                   uint64_t file_offset)
{
    struct dump *dump = arg;
    const bool of_member = item->offset >= dump->max_size;

    if (!dump->log)
        return;
    if (dump->json) {
        record_json(slot, finishing, item, file_offset, of_member);
        return;
    }
    if (dump->slot != slot + 1)
        printf("slot %llu: %s\n", (unsigned long long)slot,
               finishing ? "committed, with frees to finish" : "open, to be rolled back");
    dump->slot = slot + 1;
    printf("  %-10s offset %-10llu length %-8u file offset %llu", kind_name(item->kind),
           (unsigned long long)item->offset, item->length, (unsigned long long)file_offset);
    if (of_member)
        printf(" (of a member)");
    if (item->kind == VI_KIND_UNDO) {
        printf(" :");
        print_bytes(item->payload, item->length);
    } else {
        putchar('\n');
    }
}

/* What a redo item changes: bytes of the data, of the metadata, or of a member. */
static const char *redo_part(const struct dump *dump, const struct vi_redo_item *item)
{
    return item->kind != VI_REDO_BYTES         ? "unknown"
           : item->member != 0                 ? "member"
           : item->offset >= dump->data_offset ? "data"
                                               : "metadata";
}

static void redo_json(const struct dump *dump, const struct vi_redo_record *record,
                      const struct vi_redo_item *item)
{
    tool_json_open(NULL, '{');
    tool_json_number("lsn", record->lsn);
    tool_json_number("previous", record->previous);
    tool_json_number("synced", record->synced);
    tool_json_text("kind", redo_part(dump, item));
    tool_json_number("member", item->member);
    tool_json_number("length", item->length);
    tool_json_number("file_offset", item->offset);
    tool_json_close('}');
}

static void redo(void *arg, const struct vi_redo_record *record, const struct vi_redo_item *item)
{
    struct dump *dump = arg;
    const char *part = redo_part(dump, item);

    if (dump->json) {
        redo_json(dump, record, item);
        return;
    }
    if (dump->lsn != record->lsn)
        printf("redo record %llu: %u bytes, behind %llu, durable up to %llu when it was made\n",
               (unsigned long long)record->lsn, record->bytes, (unsigned long long)record->previous,
               (unsigned long long)record->synced);
    dump->lsn = record->lsn;
    printf("  %-10s offset %-10llu length %-8u member %u, file offset %llu :", part,
           (unsigned long long)(item->offset - (strcmp(part, "data") == 0 ? dump->data_offset : 0)),
           item->length, item->member, (unsigned long long)item->offset);
    print_bytes((const unsigned char *)(item + 1), item->length);
}

static void print_redo_total(const struct vi_disk_left *redo)
{
    printf("redo log: %llu records to apply, from LSN %llu up to %llu\n",
           (unsigned long long)redo->records, (unsigned long long)redo->head.lsn,
           (unsigned long long)redo->end.lsn);
}

/* ---- The heap ---------------------------------------------------------- */

static void span(void *arg, uint64_t offset, uint64_t length, uint64_t block_size)
{
    struct dump *dump = arg;

    if (dump->count == dump->room && !dump->no_memory) {
        const uint64_t room = dump->room != 0 ? 2 * dump->room : 1024;
        struct span *more = realloc(dump->spans, room * sizeof *more);

        dump->no_memory = more == NULL;
        dump->spans = more != NULL ? more : dump->spans;
        dump->room = more != NULL ? room : dump->room;
    }
    if (!dump->no_memory)
        dump->spans[dump->count++] =
            (struct span){.offset = offset, .length = length, .block_size = block_size};
}

static void count_in_span(struct dump *dump, uint64_t offset)
{
    struct span *at = dump->spans + dump->last;

    if (dump->count == 0)
        return;
    if (offset < at->offset) /* from the large blocks to the small ones */
        dump->last = 0;
    while (dump->last + 1 < dump->count && dump->spans[dump->last + 1].offset <= offset)
        dump->last++;
    dump->spans[dump->last].allocated++;
}

static void block(void *arg, uint64_t offset, uint64_t size)
{
    struct dump *dump = arg;

    count_in_span(dump, offset);
    for (uint64_t at = offset; at < offset + size && at < dump->size;) {
        const uint64_t cell = at / dump->cell, end = (cell + 1) * dump->cell;
        const uint64_t to = offset + size < end ? offset + size : end;

        dump->used[cell] += to - at;
        at = to;
    }
    if (!dump->blocks)
        return;
    if (dump->json) {
        tool_json_open(NULL, '{');
        tool_json_number("offset", offset);
        tool_json_number("size", size);
        tool_json_close('}');
    } else {
        printf("block   offset %-12llu size %llu\n", (unsigned long long)offset,
               (unsigned long long)size);
    }
}

static void print_map(const struct dump *dump)
{
    const uint64_t cells = (dump->size + dump->cell - 1) / dump->cell;

    printf("map of the data, %llu bytes a character: . free, 1 to 9 tenths allocated, # all\n",
           (unsigned long long)dump->cell);
    for (uint64_t i = 0; i < cells; i++) {
        const uint64_t used = dump->used[i], tenths = used * 10 / dump->cell;

        putchar(used == 0 ? '.' : used >= dump->cell ? '#' : tenths == 0 ? '1' : '0' + (int)tenths);
        if (i % ROW == ROW - 1 || i == cells - 1)
            putchar('\n');
    }
}

static void region_json(const char *kind, uint64_t offset, uint64_t length, const struct span *of)
{
    tool_json_open(NULL, '{');
    tool_json_text("kind", kind);
    tool_json_number("offset", offset);
    tool_json_number("length", length);
    if (of != NULL) {
        tool_json_number("block_size", of->block_size);
        tool_json_number("blocks", of->length / of->block_size);
        tool_json_number("allocated", of->allocated);
    }
    tool_json_close('}');
}

static void print_free(const struct dump *dump, uint64_t from, uint64_t to)
{
    if (from >= to)
        return;
    if (dump->json)
        region_json("free", from, to - from, NULL);
    else
        printf("free    offset %-12llu %llu bytes\n", (unsigned long long)from,
               (unsigned long long)(to - from));
}

static void print_span(const struct dump *dump, const struct span *span)
{
    const bool large = span->block_size == span->length;

    if (dump->json)
        region_json(large ? "large" : "small", span->offset, span->length, span);
    else if (large)
        printf("large   offset %-12llu %llu bytes\n", (unsigned long long)span->offset,
               (unsigned long long)span->length);
    else
        printf("small   offset %-12llu %llu of %llu blocks of %llu bytes\n",
               (unsigned long long)span->offset, (unsigned long long)span->allocated,
               (unsigned long long)(span->length / span->block_size),
               (unsigned long long)span->block_size);
}

static void print_heap(const struct dump *dump)
{
    uint64_t end = 0;

    if (dump->json)
        tool_json_open("heap", '[');
    else
        print_map(dump);
    for (uint64_t i = 0; i < dump->count; i++) {
        print_free(dump, end, dump->spans[i].offset);
        print_span(dump, &dump->spans[i]);
        end = dump->spans[i].offset + dump->spans[i].length;
    }
    print_free(dump, end, dump->size);
    if (dump->json)
        tool_json_close(']');
}

/* ---- The whole --------------------------------------------------------- */

/* Walks the segment for one thing that is printed on the way; in JSON, an array. */
static int walk(const struct vi_file *file, struct dump *dump, const char *what,
                const struct vi_check_visitor *visitor, struct vi_check_totals *totals)
{
    int result;

    if (dump->json && what != NULL)
        tool_json_open(what, '[');
    result = vi_check_visit(file, NULL, NULL, totals, visitor);
    tool_progress("", 0, 0);
    if (dump->json && what != NULL)
        tool_json_close(']');
    return result;
}

static enum tool_status dump_all(const struct vi_file *file, struct dump *dump)
{
    /* On a terminal, what is printed on the way shows it, and is not to be torn by a line. */
    const bool torn = dump->blocks && isatty(STDOUT_FILENO);
    const struct vi_check_visitor logs = {
        .arg = dump, .record = record, .redo = dump->json ? NULL : redo};
    const struct vi_check_visitor redo_log = {.arg = dump, .redo = redo};
    const struct vi_check_visitor heap = {
        .arg = dump, .span = span, .block = block, .progress = torn ? NULL : tool_step_progress};
    struct vi_check_totals totals;
    int result = 0, error = 0;

    if (dump->json) {
        tool_json_open(NULL, '{');
        tool_json_text("file", file->path);
        tool_json_number("address", dump->address);
        tool_json_number("size", dump->size);
    }
    if (dump->log) {
        result = walk(file, dump, "log", &logs, &totals);
        error = errno;
        if (dump->json && totals.redo.area.log_size != 0)
            walk(file, dump, "redo_log", &redo_log, &totals);
        else if (totals.redo.area.log_size != 0)
            print_redo_total(&totals.redo);
        else if (!dump->json)
            printf("slots: %llu used; to roll back %llu, to finish %llu, the others idle\n",
                   (unsigned long long)totals.slots, (unsigned long long)totals.open,
                   (unsigned long long)totals.finishing);
    }
    if (dump->heap) {
        result = walk(file, dump, dump->blocks ? "blocks" : NULL, &heap, &totals);
        error = errno;
        print_heap(dump);
    }
    if (dump->json)
        tool_json_close('}');
    if (dump->no_memory)
        result = vi_fail(error = ENOMEM, "%s: no memory for a list of its spans", file->path);
    return result == 0 ? TOOL_DONE : tool_failed(error);
}

static enum tool_status run_dump(int argc, char **argv)
{
    struct dump dump = {0};
    const struct tool_option options[] = {{.name = "log", .given = &dump.log},
                                          {.name = "heap", .given = &dump.heap},
                                          {.name = "blocks", .given = &dump.blocks},
                                          {.name = "json", .given = &dump.json},
                                          {0}};
    struct vi_superblock superblock;
    enum tool_status status;
    struct vi_file file;
    const char *path;

    if (!tool_arguments(&tool_dump, argc, argv, options, &path, 1, &status))
        return status;
    status = tool_open(&file, path, &superblock);
    if (status != TOOL_DONE)
        return status;
    if (!dump.log && !dump.heap && !dump.blocks)
        dump.log = dump.heap = true;
    dump.heap = (dump.heap || dump.blocks) && superblock.heap_offset != 0;
    dump.address = superblock.address;
    dump.size = superblock.size;
    dump.max_size = superblock.max_size;
    dump.data_offset = superblock.data_offset;
    dump.cell = (superblock.size / VI_UNIT + CELLS - 1) / CELLS * VI_UNIT;
    status = dump_all(&file, &dump);
    free(dump.spans);
    vi_file_close(&file);
    return status;
}

const struct tool_command tool_dump = {
    .name = "dump",
    .summary = "shows the log's records and what the heap is divided into",
    .run = run_dump,
    .help = "usage: vista dump [--log] [--heap] [--blocks] [--json] FILE\n"
            "\n"
            "Shows what is stored, as it is stored: nothing is recovered or written.  Offsets\n"
            "are of data unless said otherwise.  Without options: the log and the heap.\n"
            "\n"
            "  --log     the records of transactions that recovery would roll back or finish,\n"
            "            in the order written; of undo records the first bytes of the\n"
            "            before-image; those of segments that share the log are marked; of\n"
            "            the disk class the redo records that recovery would apply\n"
            "  --heap    a map of the data, then spans of small blocks, large blocks, free runs\n"
            "  --blocks  the heap, and each allocated block\n"
            "  --json    the same as one JSON object\n"
            "\n"
            "Exit status: 0 shown; 1 damaged (what could be made out is shown), or not a\n"
            "segment; 2 the command line makes no sense; 3 the file cannot be opened, is in\n"
            "use, or has another version.\n",
};
