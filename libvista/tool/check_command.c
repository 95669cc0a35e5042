/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista check: what vista_check says, and which blocks no pointer leads to.
 */
#include <errno.h>
#include <stdio.h>

#include "check/check.h"
#include "tool/grams_command.h"
#include "tool/leaks.h"
#include "tool/main.h"
#include "tool/output.h"
#include "vista.h"

struct request {
    bool quiet, json, roots;
    const char *others; /* NULL, or where blocks are that count as roots too */
};

static int print_finding(void *arg, int severity, const char *text)
{
    static const char *const words[] = {"ok", "note", "DAMAGE"};
    static const char *const names[] = {"ok", "note", "damage"};
    const struct request *request = arg;

    tool_progress("", 0, 0);
    if (request->json) {
        tool_json_open(NULL, '{');
        tool_json_text("severity", names[severity]);
        tool_json_text("text", text);
        tool_json_close('}');
    } else if (severity == 2 || !request->quiet) {
        printf("%-7s %s\n", words[severity], text);
    }
    return 0;
}

static void print_totals(const struct vi_check_totals *totals)
{
    tool_json_open("totals", '{');
    tool_json_bool("clean", totals->superblock.clean);
    tool_json_bool("may_be_torn", totals->may_be_torn);
    tool_json_number("log_slots", totals->slots);
    tool_json_number("log_bytes", totals->log_bytes);
    tool_json_number("to_roll_back", totals->open);
    tool_json_number("to_finish", totals->finishing);
    tool_json_number("small_spans", totals->small_spans);
    tool_json_number("large_spans", totals->large_spans);
    tool_json_number("blocks", totals->blocks);
    tool_json_number("block_bytes", totals->block_bytes);
    tool_json_number("free_bytes", totals->free_units * VI_UNIT);
    tool_json_number("largest_free_bytes", totals->largest_free * VI_UNIT);
    tool_json_close('}');
}

/* NULL, or why blocks are not looked for pointers. */
static const char *no_roots(const struct vi_check_totals *totals, bool damaged)
{
    if (damaged)
        return "leaks: not looked for: the segment is damaged";
    if (totals->superblock.heap_offset == 0)
        return "leaks: there is no heap to leak";
    if (!totals->superblock.clean)
        return "leaks: not looked for: the segment needs recovery, which gives blocks back";
    return NULL;
}

/* TOOL_BAD when there are leaks, or when there was nothing to find them in. */
static enum tool_status find_leaks(const struct vi_file *file, const struct request *request,
                                   const struct vi_check_totals *totals, bool damaged,
                                   struct tool_leaks *leaks)
{
    const char *why = no_roots(totals, damaged);
    enum tool_status status = TOOL_DONE;
    int64_t found;

    if (why != NULL) {
        if (request->json)
            tool_json_text("leaks_not_looked_for", why);
        else if (!request->quiet)
            printf("note    %s\n", why);
        else if (!damaged && totals->superblock.heap_offset != 0) /* exit status 1 needs a reason */
            fprintf(stderr, "vista: %s: %s\n", file->path, why);
        return totals->superblock.heap_offset == 0 && !damaged ? TOOL_DONE : TOOL_BAD;
    }
    found =
        tool_leaks_find(leaks, file, &totals->superblock, totals->root, request->others, &status);
    return found > 0 ? TOOL_BAD : status;
}

static enum tool_status check(const struct vi_file *file, struct request *request,
                              struct tool_leaks *leaks)
{
    const struct vi_check_visitor visitor = {.arg = leaks,
                                             .block = leaks != NULL ? tool_leaks_block : NULL,
                                             .progress = tool_step_progress};
    struct vi_check_totals totals;
    enum tool_status status = TOOL_DONE;
    int result, error;

    if (request->json) {
        tool_json_open(NULL, '{');
        tool_json_text("file", file->path);
        tool_json_open("findings", '[');
    }
    result = vi_check_visit(file, print_finding, request, &totals, &visitor);
    if (result == 0 && totals.superblock.clean && totals.superblock.heap_offset != 0)
        result = tool_grams_check(file->path, print_finding, request);
    error = errno;
    tool_progress("", 0, 0);
    if (request->json) {
        tool_json_close(']');
        tool_json_bool("sound", result == 0);
        print_totals(&totals);
    }
    if (result != 0)
        status = tool_failed(error);
    else if (!request->quiet && !request->json)
        printf("%s: sound\n", file->path);
    if (request->roots && (result == 0 || error == EBADMSG)) {
        const enum tool_status leaking = find_leaks(file, request, &totals, result != 0, leaks);

        status = status == TOOL_DONE ? leaking : status;
    }
    if (request->json)
        tool_json_close('}');
    return status;
}

static enum tool_status run_check(int argc, char **argv)
{
    struct request request = {0};
    const struct tool_option options[] = {
        {.name = "quiet", .letter = 'q', .given = &request.quiet},
        {.name = "json", .given = &request.json},
        {.name = "roots", .given = &request.roots, .value = &request.others, .may_be_bare = true},
        {0}};
    struct tool_leaks *leaks = NULL;
    enum tool_status status;
    struct vi_file file;
    const char *path;

    if (!tool_arguments(&tool_check, argc, argv, options, &path, 1, &status))
        return status;
    if (!tool_leaks_are_offsets(request.others))
        return TOOL_USAGE;
    if (vi_file_open(&file, path, VISTA_READ_ONLY, 0, 0) != 0)
        return tool_failed(errno);
    if (request.roots)
        leaks = tool_leaks_new(request.quiet, request.json);
    status = check(&file, &request, leaks);
    tool_leaks_free(leaks);
    vi_file_close(&file);
    return status;
}

const struct tool_command tool_check = {
    .name = "check",
    .summary = "verifies superblock, logs and heap; finds leaks; changes nothing",
    .run = run_check,
    .help = "usage: vista check [-q] [--json] [--roots[=OFFSET,...]] FILE\n"
            "\n"
            "Reads all of a segment's metadata and compares it with what it can be: both\n"
            "copies of the superblock, the log's slots, chunks and records, the heap's spans\n"
            "and the maps of their blocks, the root, the file's size and blocks.  Each line\n"
            "begins with ok (a step passed), note (worth knowing, no damage), DAMAGE or leak.\n"
            "Nothing is written; the file must not be mapped for writing meanwhile.\n"
            "\n"
            "  -q, --quiet    damage and leaks only\n"
            "      --json     all that is found, as one JSON object\n"
            "      --roots[=OFFSET,...]\n"
            "                 report the blocks that no pointer leads to from the root, or from\n"
            "                 the blocks at these offsets (or addresses).  Every aligned word of\n"
            "                 a block that leads to counts as a pointer if it lies in the\n"
            "                 segment, to the beginning of a block or into it\n"
            "\n"
            "Exit status: 0 sound, also when it needs recovery, which a note says; 1 damaged,\n"
            "not a segment, or leaking; 2 the command line makes no sense; 3 the file cannot be\n"
            "opened, is in use, or has another version.\n",
};
