/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the commands of `vista` share.
 */
#ifndef VI_TOOL_TOOL_H
#define VI_TOOL_TOOL_H

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

/* ---- Output ------------------------------------------------------------ */

/* A UUID as it is written, in a buffer that the next call reuses. */
const char *tool_uuid(const uint8_t uuid[16]);

/* "kill", "line" or "eadr", as in VISTA_CLASS. */
const char *tool_class(uint32_t class);

/* How far a long work has come, on stderr if that is a terminal.  `total` 0: it is
 * over, and the line goes. */
void tool_progress(const char *what, uint64_t done, uint64_t total);

/* The same as struct vi_check_visitor has it. */
void tool_step_progress(void *arg, const char *step, uint64_t done, uint64_t all);

/* JSON on stdout.  `key` is NULL in an array, and at the top.  Brackets are "{" and
 * "[" to open; to close, the same bracket's other half. */
void tool_json_open(const char *key, char bracket);
void tool_json_close(char bracket);
void tool_json_number(const char *key, uint64_t value);
void tool_json_text(const char *key, const char *text);
void tool_json_bool(const char *key, bool value);

/* ---- Leaks ------------------------------------------------------------- */

struct tool_leaks;

/* Gathers a sound heap's blocks: to be called as vi_check_visitor's `block`. */
struct tool_leaks *tool_leaks_new(bool quiet, bool json);
void tool_leaks_block(void *leaks, uint64_t offset, uint64_t size);

/* Whether `list` (NULL: there is none) is offsets or addresses with commas between; false,
 * all said, if it is not. */
bool tool_leaks_are_offsets(const char *list);

/*
 * Scans for pointers from the root and from blocks at `others` (such a list) and says which blocks none was found to.  How many
 * those are; or -1, all said, with *status.
 */
int64_t tool_leaks_find(struct tool_leaks *leaks, const struct vi_file *file,
                        const struct vi_superblock *superblock, struct vi_root root,
                        const char *others, enum tool_status *status);
void tool_leaks_free(struct tool_leaks *leaks);

#endif
