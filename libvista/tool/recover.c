/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista recover: maps a segment, which recovers it, and unmaps it.
 */
#include <errno.h>
#include <stdio.h>

#include "tool/grams_command.h"
#include "tool/main.h"
#include "vista.h"

/* Anywhere will do: recovery knows offsets, no addresses. */
static enum tool_status recover(const char *path, const char *folder, bool accept_torn)
{
    const unsigned flags = VISTA_ANY_ADDRESS | (accept_torn ? VISTA_ACCEPT_TORN : 0);
    const struct vista_map_options options = {.group_folder = folder};
    vista_segment *segment = vista_map(path, 0, flags, &options);
    struct vista_info info;

    if (segment == NULL || vista_info(segment, &info) != 0)
        return tool_failed(errno);
    if (info.flags & VISTA_ACCEPT_TORN && tool_grams_break(segment) != 0) {
        const int error = errno;

        vista_unmap(segment);
        return tool_failed(error);
    }
    if (vista_unmap(segment) != 0)
        return tool_failed(errno);
    printf("%s: recovered; transactions rolled back: %llu, committed ones finished: %llu\n", path,
           (unsigned long long)info.rolled_back, (unsigned long long)info.finished);
    return TOOL_DONE;
}

static enum tool_status run_recover(int argc, char **argv)
{
    bool accept_torn = false;
    const char *folder = NULL;
    const struct tool_option options[] = {{.name = "accept-torn", .given = &accept_torn},
                                          {.name = "group-folder", .value = &folder},
                                          {0}};
    struct vi_superblock superblock;
    enum tool_status status;
    struct vi_file file;
    const char *path;

    if (!tool_arguments(&tool_recover, argc, argv, options, &path, 1, &status))
        return status;
    status = tool_open(&file, path, &superblock);
    if (status != TOOL_DONE)
        return status;
    vi_file_close(&file);
    if (!superblock.clean)
        return recover(path, folder, accept_torn);
    printf("%s: clean, nothing to recover\n", path);
    return TOOL_DONE;
}

const struct tool_command tool_recover = {
    .name = "recover",
    .summary = "rolls back what a killed program left open",
    .run = run_recover,
    .help = "usage: vista recover [--accept-torn] [--group-folder=FOLDER] FILE\n"
            "\n"
            "Brings a segment that was not unmapped to the state after its last commit, as\n"
            "the next vista_map of a program would: transactions that had not committed are\n"
            "rolled back, the frees of those that had are finished.  A clean segment is left\n"
            "as it is.\n"
            "\n"
            "  --accept-torn  also a segment that was open when the machine restarted, or a\n"
            "                 copy made while it was open; its log and a full check must then\n"
            "                 hold up; sessions of endpoints in it are broken\n"
            "  --group-folder=FOLDER  segments of its group that were moved are in there,\n"
            "                 under any name\n"
            "\n"
            "Exit status: 0 recovered, or was clean; 1 damaged, or may be torn and was left\n"
            "as it is; 2 the command line makes no sense; 3 the file cannot be opened or\n"
            "written, is in use, or has another version.\n",
};
