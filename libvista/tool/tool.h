/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the commands of `vista` share.
 */
#ifndef VI_TOOL_TOOL_H
#define VI_TOOL_TOOL_H

#include <stdbool.h>

/* Exit statuses, for scripts; they mean the same in every command. */
enum tool_status {
    TOOL_DONE = 0,    /* sound, or done */
    TOOL_BAD = 1,     /* damaged, or in need of recovery */
    TOOL_USAGE = 2,   /* the command line makes no sense */
    TOOL_NO_FILE = 3, /* cannot be opened, is in use, or cannot be read or written */
};

struct tool_option {
    const char *name; /* without its two dashes */
    char letter;      /* 0: none */
    bool *given;
};

struct tool_command {
    const char *name;
    const char *summary; /* one line */
    const char *help;    /* the whole text of --help */
    enum tool_status (*run)(int argc, char **argv);
};

extern const struct tool_command tool_info;
extern const struct tool_command tool_check;
extern const struct tool_command tool_recover;

/*
 * Reads a command's arguments, options and one file, argv[0] being its name.  True
 * when it is to run; false when all is said already, with *status to exit with.
 */
bool tool_arguments(const struct tool_command *command, int argc, char **argv,
                    const struct tool_option *options, const char **path, enum tool_status *status);

/* Says the library's message on stderr, and what to exit with after `error`. */
enum tool_status tool_failed(int error);

#endif
