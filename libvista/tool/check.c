/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista check: what vista_check says.
 */
#include <errno.h>
#include <stdio.h>

#include "tool/tool.h"
#include "vista.h"

static int print_finding(void *arg, int severity, const char *text)
{
    static const char *const words[] = {"ok", "note", "DAMAGE"};
    const bool *quiet = arg;

    if (severity == 2 || !*quiet)
        printf("%-7s %s\n", words[severity], text);
    return 0;
}

static enum tool_status run_check(int argc, char **argv)
{
    bool quiet = false;
    const struct tool_option options[] = {{"quiet", 'q', &quiet}, {0}};
    enum tool_status status;
    const char *path;

    if (!tool_arguments(&tool_check, argc, argv, options, &path, &status))
        return status;
    if (vista_check(path, 0, print_finding, &quiet) == 0) {
        if (!quiet)
            printf("%s: sound\n", path);
        return TOOL_DONE;
    }
    return tool_failed(errno);
}

const struct tool_command tool_check = {
    .name = "check",
    .summary = "verifies superblock, logs and heap; changes nothing",
    .run = run_check,
    .help = "usage: vista check [-q] FILE\n"
            "\n"
            "Reads all of a segment's metadata and compares it with what it can be: both\n"
            "copies of the superblock, the log's slots, chunks and records, the heap's\n"
            "descriptors and bitmaps, the root, the file's size and blocks.  Each line begins\n"
            "with ok (a step passed), note (worth knowing, no damage) or DAMAGE.  Nothing is\n"
            "written; the file must not be mapped for writing meanwhile.\n"
            "\n"
            "  -q, --quiet  damage only\n"
            "\n"
            "Exit status: 0 sound, also when it needs recovery, which a note says; 1 damaged,\n"
            "or not a segment; 2 the command line makes no sense; 3 the file cannot be\n"
            "opened, is in use, or has another version.\n",
};
