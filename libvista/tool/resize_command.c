/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista resize: maps a segment, makes its data larger or smaller, and unmaps it.
 */
#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "tool/main.h"
#include "vista.h"

/* Anywhere will do: a size knows no addresses. */
static enum tool_status resize(const char *path, uint64_t size)
{
    vista_segment *segment = vista_map(path, 0, VISTA_ANY_ADDRESS, NULL);
    enum tool_status status = TOOL_DONE;
    size_t before;

    if (segment == NULL)
        return tool_failed(errno);
    before = vista_size(segment);
    if (vista_resize(segment, size) != 0)
        status =
            errno == EINVAL ? tool_usage(&tool_resize, vista_errormsg(), "") : tool_failed(errno);
    else
        printf("%s: %zu bytes, was %zu\n", path, vista_size(segment), before);
    return vista_unmap(segment) == 0 ? status : tool_failed(errno);
}

static enum tool_status run_resize(int argc, char **argv)
{
    const char *text = NULL;
    const struct tool_option options[] = {{.name = "size", .letter = 's', .value = &text}, {0}};
    struct vi_superblock superblock;
    enum tool_status status;
    struct vi_file file;
    const char *path;
    uint64_t size = 0;

    if (!tool_arguments(&tool_resize, argc, argv, options, &path, 1, &status))
        return status;
    if (text == NULL)
        return tool_usage(&tool_resize, "no size given", "");
    if (!tool_bytes(text, &size) || size == 0)
        return tool_usage(&tool_resize, "not a number of bytes: ", text);
    status = tool_open(&file, path, &superblock);
    if (status != TOOL_DONE)
        return status;
    vi_file_close(&file);
    if (superblock.clean && size > superblock.max_size) {
        fprintf(stderr, "vista: %s: it was made to grow up to %llu bytes\n", path,
                (unsigned long long)superblock.max_size);
        return TOOL_USAGE;
    }
    if (superblock.clean)
        return resize(path, size);
    vi_fail(EUCLEAN, "%s: needs recovery; `vista recover` it first", path);
    return tool_failed(errno);
}

const struct tool_command tool_resize = {
    .name = "resize",
    .summary = "makes a segment larger or smaller",
    .run = run_resize,
    .help = "usage: vista resize --size BYTES FILE\n"
            "\n"
            "Makes a segment's data larger, up to what it was made to grow to, or smaller, if\n"
            "no block of its heap lies in what goes; the disk space of that is given back.  A\n"
            "kill in between leaves the old size or the new one.\n"
            "\n"
            "  -s, --size BYTES  the size to come, rounded up to whole pages; K, M, G, T count\n"
            "                    by 1024\n"
            "\n"
            "Exit status: 0 done; 1 damaged, not a segment, or it needs recovery first; 2 the\n"
            "command line makes no sense, or the segment cannot have that size; 3 the file\n"
            "cannot be opened or written, is in use, a block is in the way, or there is no room.\n",
};
