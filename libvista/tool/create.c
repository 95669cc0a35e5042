/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista create: makes a segment, as vista_map with VISTA_CREATE and VISTA_EXCLUSIVE.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tool/main.h"
#include "vista.h"

#define DEFAULT_SIZE "64M"

struct texts {
    const char *size, *max_size, *mode, *address;
};

static bool octal(const char *text, mode_t *mode)
{
    char *end;
    unsigned long value;

    if (text == NULL)
        return true;
    value = strtoul(text, &end, 8);
    *mode = (mode_t)value;
    return end != text && *end == '\0' && value != 0 && value <= 0777;
}

/* False, all said, when one of them is no number. */
static bool read_numbers(const struct texts *texts, uint64_t *size,
                         struct vista_map_options *options)
{
    uint64_t max_size = 0, address = 0;
    const char *wrong = NULL;

    if (!tool_bytes(texts->size, size) || *size == 0)
        wrong = texts->size;
    else if (!tool_bytes(texts->max_size, &max_size))
        wrong = texts->max_size;
    else if (!tool_bytes(texts->address, &address))
        wrong = texts->address;
    if (wrong != NULL) {
        tool_usage(&tool_create, "not a number of bytes: ", wrong);
        return false;
    }
    if (!octal(texts->mode, &options->mode)) {
        tool_usage(&tool_create, "not permission bits in octal: ", texts->mode);
        return false;
    }
    options->max_size = max_size;
    options->address = (void *)(uintptr_t)address;
    return true;
}

static enum tool_status create(const char *path, uint64_t size, unsigned flags,
                               const struct vista_map_options *options)
{
    vista_segment *segment = vista_map(path, size, flags, options);
    enum tool_status status;
    struct vista_info info;

    /* What makes no sense to vista_map was said so on the command line. */
    if (segment == NULL)
        return errno == EINVAL ? tool_usage(&tool_create, vista_errormsg(), "")
                               : tool_failed(errno);
    if (vista_info(segment, &info) != 0)
        return tool_failed(errno);
    printf("%s: %zu bytes at %p, may grow to %zu, %s\n", path, info.size, info.base, info.max_size,
           info.durability == VISTA_POWER_SAFE ? "power-safe" : "kill-safe");
    if (vista_unmap(segment) == 0)
        return TOOL_DONE;
    status = tool_failed(errno);
    unlink(path); /* it did not get to the disk */
    return status;
}

static enum tool_status run_create(int argc, char **argv)
{
    struct texts texts = {.size = DEFAULT_SIZE};
    struct vista_map_options map_options = {0};
    bool no_heap = false, sparse = false, power_safe = false, kill_safe = false;
    const struct tool_option options[] = {
        {.name = "size", .letter = 's', .value = &texts.size},
        {.name = "max-size", .letter = 'm', .value = &texts.max_size},
        {.name = "mode", .value = &texts.mode},
        {.name = "address", .value = &texts.address},
        {.name = "no-heap", .given = &no_heap},
        {.name = "sparse", .given = &sparse},
        {.name = "power-safe", .given = &power_safe},
        {.name = "kill-safe", .given = &kill_safe},
        {0}};
    enum tool_status status;
    const char *path;
    uint64_t size = 0;

    if (!tool_arguments(&tool_create, argc, argv, options, &path, 1, &status))
        return status;
    if (!read_numbers(&texts, &size, &map_options))
        return TOOL_USAGE;
    return create(path, size,
                  VISTA_CREATE | VISTA_EXCLUSIVE | (no_heap ? VISTA_NO_HEAP : 0) |
                      (sparse ? VISTA_SPARSE : 0) | (power_safe ? VISTA_POWER_SAFE : 0) |
                      (kill_safe ? VISTA_KILL_SAFE : 0),
                  &map_options);
}

const struct tool_command tool_create = {
    .name = "create",
    .summary = "makes a segment",
    .run = run_create,
    .help = "usage: vista create [OPTIONS] FILE\n"
            "\n"
            "Makes a segment in a file that must not be there, empty, for programs to map; what\n"
            "vista_map does with VISTA_CREATE.  If it fails it leaves no file.\n"
            "\n"
            "  -s, --size BYTES      size of the data, " DEFAULT_SIZE
            " if not given; K, M, G, T count\n"
            "                        by 1024\n"
            "  -m, --max-size BYTES  what it may ever grow to; four times the size\n"
            "      --mode OCTAL      permission bits, less the umask; 600\n"
            "      --address BYTES   where it will be mapped for ever; else chosen at random\n"
            "      --no-heap         flat memory instead of a heap\n"
            "      --sparse          disk blocks are allocated with use\n"
            "      --power-safe      only where commits can survive loss of power\n"
            "      --kill-safe       take no more than: commits survive the process\n"
            "\n"
            "Exit status: 0 made; 2 the command line makes no sense; 3 the file is there, or\n"
            "cannot be made: no room on the disk, no permission, no such class there.\n",
};
