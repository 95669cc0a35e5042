/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista recover: maps a segment, which recovers it, and unmaps it.
 */
#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "media/superblock.h"
#include "tool/tool.h"
#include "vista.h"

/* 1 when the file was unmapped in order, 0 when not; -1 with errno. */
static int is_clean(const char *path)
{
    struct vi_superblock superblock;
    struct vi_file file;
    int found, error;

    if (vi_file_open(&file, path, VISTA_READ_ONLY, 0, 0) != 0)
        return -1;
    found = vi_superblock_read(&file, true, &superblock);
    error = errno;
    vi_file_close(&file);
    if (found == 1)
        return vi_fail(EBADMSG, "%s: not a vista segment: empty, or its creation was killed", path);
    errno = error;
    return found == 0 ? superblock.clean == 1 : -1;
}

/* Anywhere will do: recovery knows offsets, no addresses. */
static enum tool_status recover(const char *path, bool accept_torn)
{
    const unsigned flags = VISTA_ANY_ADDRESS | (accept_torn ? VISTA_ACCEPT_TORN : 0);
    vista_segment *segment = vista_map(path, 0, flags, NULL);
    struct vista_info info;

    if (segment == NULL || vista_info(segment, &info) != 0)
        return tool_failed(errno);
    if (vista_unmap(segment) != 0)
        return tool_failed(errno);
    printf("%s: recovered; transactions rolled back: %llu, committed ones finished: %llu\n", path,
           (unsigned long long)info.rolled_back, (unsigned long long)info.finished);
    return TOOL_DONE;
}

static enum tool_status run_recover(int argc, char **argv)
{
    bool accept_torn = false;
    const struct tool_option options[] = {{"accept-torn", 0, &accept_torn}, {0}};
    enum tool_status status;
    const char *path;
    int clean;

    if (!tool_arguments(&tool_recover, argc, argv, options, &path, &status))
        return status;
    clean = is_clean(path);
    if (clean < 0)
        return tool_failed(errno);
    if (clean == 0)
        return recover(path, accept_torn);
    printf("%s: clean, nothing to recover\n", path);
    return TOOL_DONE;
}

const struct tool_command tool_recover = {
    .name = "recover",
    .summary = "rolls back what a killed program left open",
    .run = run_recover,
    .help = "usage: vista recover [--accept-torn] FILE\n"
            "\n"
            "Brings a segment that was not unmapped to the state after its last commit, as\n"
            "the next vista_map of a program would: transactions that had not committed are\n"
            "rolled back, the frees of those that had are finished.  A clean segment is left\n"
            "as it is.\n"
            "\n"
            "  --accept-torn  also a segment that was open when the machine restarted, or a\n"
            "                 copy made while it was open; its log and a full check must then\n"
            "                 hold up\n"
            "\n"
            "Exit status: 0 recovered, or was clean; 1 damaged, or may be torn and was left\n"
            "as it is; 2 the command line makes no sense; 3 the file cannot be opened or\n"
            "written, is in use, or has another version.\n",
};
