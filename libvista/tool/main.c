/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista: makes segments, looks at them, checks, recovers, resizes and copies them.
 */
#include "tool/main.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tool/output.h"
#include "vista.h"

#ifndef VISTA_VERSION
#define VISTA_VERSION "unknown"
#endif

static const struct tool_command *const commands[] = {
    &tool_create, &tool_info,  &tool_check,  &tool_recover,
    &tool_dump,   &tool_grams, &tool_resize, &tool_copy,
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void print_help(void)
{
    printf("usage: vista COMMAND [OPTIONS] FILE\n"
           "\n"
           "Makes the segments of programs that use libvista, looks at them, checks,\n"
           "recovers, resizes and copies them.  No command writes to a file that is there, but\n"
           "`recover` and `resize`.\n"
           "\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n"
           "  --help     this, or after a command its own help\n"
           "  --version  the version\n"
           "\n"
           "Exit status: 0 sound, or done; 1 damaged, in need of recovery, or leaking; 2 the\n"
           "command line makes no sense; 3 the file cannot be opened, is in use, or cannot be\n"
           "read or written.\n");
}

static enum tool_status usage(const char *what, const char *name, const char *command)
{
    fprintf(stderr, "vista: %s%s\nTry `vista %s--help`.\n", what, name, command);
    return TOOL_USAGE;
}

enum tool_status tool_usage(const struct tool_command *command, const char *what, const char *name)
{
    char with_space[32];

    snprintf(with_space, sizeof with_space, "%s ", command->name);
    return usage(what, name, with_space);
}

/* ---- Arguments --------------------------------------------------------- */

/* The option that `argument` names, alone or before a =; or NULL. */
static const struct tool_option *find_option(const struct tool_option *options,
                                             const char *argument)
{
    for (; options->name != NULL; options++) {
        const size_t length = strlen(options->name);

        if (strncmp(argument, "--", 2) != 0) {
            if (options->letter != 0 && argument[1] == options->letter && argument[2] == '\0')
                return options;
        } else if (strncmp(argument + 2, options->name, length) == 0 &&
                   (argument[2 + length] == '\0' ||
                    (argument[2 + length] == '=' && options->value != NULL))) {
            return options;
        }
    }
    return NULL;
}

/* Notes an option and its value, which is behind a = or is the next argument.  False:
 * it has none. */
static bool take_option(const struct tool_option *option, char **argv, int *at)
{
    const char *equals = strchr(argv[*at], '=');

    if (option->given != NULL)
        *option->given = true;
    if (option->value == NULL || (equals == NULL && option->may_be_bare))
        return true;
    *option->value = equals != NULL ? equals + 1 : argv[++*at];
    return *option->value != NULL;
}

bool tool_arguments(const struct tool_command *command, int argc, char **argv,
                    const struct tool_option *options, const char **paths, int count,
                    enum tool_status *status)
{
    bool only_files = false;
    int files = 0;

    *status = TOOL_USAGE;
    for (int i = 1; i < argc; i++) {
        const bool is_option = !only_files && argv[i][0] == '-' && argv[i][1] != '\0';
        const struct tool_option *option = is_option ? find_option(options, argv[i]) : NULL;

        if (is_option && strcmp(argv[i], "--help") == 0) {
            fputs(command->help, stdout);
            *status = TOOL_DONE;
            return false;
        }
        if (is_option && strcmp(argv[i], "--") == 0)
            only_files = true;
        else if (option != NULL && !take_option(option, argv, &i))
            return tool_usage(command, "no value given to --", option->name), false;
        else if (is_option && option == NULL)
            return tool_usage(command, "unknown option ", argv[i]), false;
        else if (!is_option && files == count)
            return tool_usage(command,
                              count == 1 ? "one file at a time; there is also "
                                         : "too many files; there is also ",
                              argv[i]),
                   false;
        else if (argv[i][0] == '\0')
            return tool_usage(command, "a file has no name", ""), false;
        else if (!is_option)
            paths[files++] = argv[i];
    }
    if (files < count)
        tool_usage(command, files == 0 ? "no file given" : "no file given to write", "");
    return files == count;
}

bool tool_bytes(const char *text, uint64_t *bytes)
{
    static const char suffixes[] = "KMGT";
    const char *suffix;
    char *end;

    if (text == NULL)
        return true;
    errno = 0;
    *bytes = strtoull(text, &end, 0);
    if (errno != 0 || end == text || strchr(text, '-') != NULL)
        return false;
    suffix = *end != '\0' ? strchr(suffixes, *end) : NULL;
    if (suffix == NULL)
        return *end == '\0';
    for (const char *s = suffixes; s <= suffix; s++)
        if (__builtin_mul_overflow(*bytes, 1024u, bytes))
            return false;
    return end[1] == '\0';
}

/* ---- Files ------------------------------------------------------------- */

enum tool_status tool_failed(int error)
{
    tool_progress("", 0, 0);
    fprintf(stderr, "vista: %s\n", vista_errormsg());
    return error == EBADMSG || error == ECANCELED || error == EUCLEAN ? TOOL_BAD : TOOL_NO_FILE;
}

enum tool_status tool_open(struct vi_file *file, const char *path, struct vi_superblock *superblock)
{
    enum tool_status status;
    int found;

    if (vi_file_open(file, path, VISTA_READ_ONLY, 0, 0) != 0)
        return tool_failed(errno);
    found = vi_superblock_read(file, true, superblock);
    if (found == 0)
        return TOOL_DONE;
    if (found == 1)
        vi_fail(EBADMSG, "%s: not a vista segment: empty, or its creation was killed", path);
    status = tool_failed(errno);
    vi_file_close(file);
    return status;
}

/* ------------------------------------------------------------------------ */

static enum tool_status run(int argc, char **argv)
{
    if (argc < 2)
        return usage("no command given", "", "");
    if (strcmp(argv[1], "--help") == 0) {
        print_help();
        return TOOL_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("vista %s\n", VISTA_VERSION);
        return TOOL_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    return usage("unknown command ", argv[1], "");
}

/* A file is mapped while it is looked at; whoever may write it may make it shorter. */
static void truncated(int signal)
{
    static const char text[] =
        "vista: the file was made shorter by someone, or its disk failed, while it was in use\n";

    (void)signal;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(TOOL_NO_FILE);
}

int main(int argc, char **argv)
{
    enum tool_status status;

    signal(SIGBUS, truncated);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, EFBIG */
    status = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return (int)status;
    fprintf(stderr, "vista: cannot write the output: %s\n", strerror(errno));
    return TOOL_NO_FILE;
}
