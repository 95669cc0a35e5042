/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista: looks at segments, checks and recovers them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool/tool.h"
#include "vista.h"

#ifndef VISTA_VERSION
#define VISTA_VERSION "unknown"
#endif

static const struct tool_command *const commands[] = {&tool_info, &tool_check, &tool_recover};
#define COMMANDS (sizeof commands / sizeof *commands)

static void print_help(void)
{
    printf("usage: vista COMMAND [OPTIONS] FILE\n"
           "\n"
           "Looks at the segments of programs that use libvista, checks and recovers them.\n"
           "Nothing is written to a file except by `recover`.\n"
           "\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n"
           "  --help     this, or after a command its own help\n"
           "  --version  the version\n"
           "\n"
           "Exit status: 0 sound, or done; 1 damaged, or in need of recovery; 2 the command\n"
           "line makes no sense; 3 the file cannot be opened, is in use, or cannot be read\n"
           "or written.\n");
}

static enum tool_status usage(const char *what, const char *name, const char *command)
{
    fprintf(stderr, "vista: %s%s\nTry `vista %s--help`.\n", what, name, command);
    return TOOL_USAGE;
}

/* The option that `argument` names, or NULL. */
static const struct tool_option *find_option(const struct tool_option *options,
                                             const char *argument)
{
    for (; options->name != NULL; options++)
        if (strncmp(argument, "--", 2) == 0
                ? strcmp(argument + 2, options->name) == 0
                : options->letter != 0 && argument[1] == options->letter && argument[2] == '\0')
            return options;
    return NULL;
}

bool tool_arguments(const struct tool_command *command, int argc, char **argv,
                    const struct tool_option *options, const char **path, enum tool_status *status)
{
    char name[32];
    bool only_files = false;

    snprintf(name, sizeof name, "%s ", command->name);
    *path = NULL;
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
        else if (option != NULL)
            *option->given = true;
        else if (is_option)
            return usage("unknown option ", argv[i], name), false;
        else if (*path != NULL)
            return usage("one file at a time; there is also ", argv[i], name), false;
        else
            *path = argv[i];
    }
    if (*path == NULL)
        usage("no file given", "", name);
    return *path != NULL;
}

enum tool_status tool_failed(int error)
{
    fprintf(stderr, "vista: %s\n", vista_errormsg());
    return error == EBADMSG || error == ECANCELED || error == EUCLEAN ? TOOL_BAD : TOOL_NO_FILE;
}

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

int main(int argc, char **argv)
{
    const enum tool_status status = run(argc, argv);

    if (fflush(stdout) == 0 && !ferror(stdout))
        return (int)status;
    fprintf(stderr, "vista: cannot write the output: %s\n", strerror(errno));
    return TOOL_NO_FILE;
}
