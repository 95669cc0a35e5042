/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a command of `vista` is, and what all of them share.
 */
#ifndef VI_TOOL_MAIN_H
#define VI_TOOL_MAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "media/superblock.h"

/* ---- Commands ---------------------------------------------------------- */

/* Exit statuses, for scripts; they mean the same in every command. */
enum tool_status {
    TOOL_DONE = 0,    /* sound, or done */
    TOOL_BAD = 1,     /* damaged, in need of recovery, or leaking */
    TOOL_USAGE = 2,   /* the command line makes no sense */
    TOOL_NO_FILE = 3, /* cannot be opened, is in use, or cannot be read or written */
};

struct tool_option {
    const char *name; /* without its two dashes */
    bool *given;
    const char **value; /* NULL: it takes none */
    bool may_be_bare;   /* the value may be missing, and follows = if it is not */
    char letter;        /* 0: none */
};

struct tool_command {
    const char *name;
    const char *summary; /* one line */
    const char *help;    /* the whole text of --help */
    enum tool_status (*run)(int argc, char **argv);
};

extern const struct tool_command tool_check, tool_copy, tool_create, tool_dump, tool_grams,
    tool_info, tool_recover, tool_resize;

/*
 * Reads a command's arguments, options and `count` files, argv[0] being its name.
 * True when it is to run; false when all is said already, with *status to exit with.
 */
bool tool_arguments(const struct tool_command *command, int argc, char **argv,
                    const struct tool_option *options, const char **paths, int count,
                    enum tool_status *status);

/* Says what is wrong with the command line; TOOL_USAGE. */
enum tool_status tool_usage(const struct tool_command *command, const char *what, const char *name);

/* A number of bytes with K, M, G or T behind it or not, decimal, 0x or 0; NULL: leaves
 * *bytes.  False when it is none. */
bool tool_bytes(const char *text, uint64_t *bytes);

/* Says the library's message on stderr, and what to exit with after `error`. */
enum tool_status tool_failed(int error);

/* ---- Files ------------------------------------------------------------- */

/* Opens a segment's file to read, locked against writers, and reads its superblock.
 * TOOL_DONE; else all is said and nothing open. */
enum tool_status tool_open(struct vi_file *file, const char *path,
                           struct vi_superblock *superblock);

#endif
