/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Running the programs of this build from a test.
 */
#ifndef VISTA_TEST_COMMAND_H
#define VISTA_TEST_COMMAND_H

#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "support.h"

#define KILLED 137 /* as the shell tells SIGKILL */

static char output[65536]; /* what the last command wrote, to stdout and to stderr */

/* The build's directory; tests are in test/ of it. */
static inline const char *build_directory(void)
{
    static char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    ck_assert_int_gt(length, 0);
    path[length] = '\0';
    return dirname(dirname(path));
}

/* Runs a command through the shell. */
static inline int run_shell(const char *command)
{
    FILE *pipe = popen(command, "r");
    size_t got;
    int status;

    ck_assert_ptr_ne(pipe, NULL);
    got = fread(output, 1, sizeof output - 1, pipe);
    output[got] = '\0';
    status = pclose(pipe);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Runs a program of the build, given from there, and its arguments. */
static inline int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline int run(const char *format, ...)
{
    const size_t room = 4096;
    char command[2 * PATH_MAX + 4096];
    int length = snprintf(command, sizeof command, "exec 2>&1; %s/", build_directory());
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command + length, room, format, arguments);
    va_end(arguments);
    return run_shell(command);
}

/* Runs one so for a while, and kills it. */
static inline void run_and_kill(uint64_t microseconds, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void run_and_kill(uint64_t microseconds, const char *format, ...)
{
    char command[2 * PATH_MAX + 4096];
    int length = snprintf(command, sizeof command, "exec %s/", build_directory());
    va_list arguments;
    int status;
    pid_t child;

    va_start(arguments, format);
    vsnprintf(command + length, 4096, format, arguments);
    va_end(arguments);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(99);
    }
    test_sleep_us(microseconds);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Expects an exit status, and `part` in the output. */
#define EXPECT(status, part, ...) \
    do { \
        const int got_ = run(__VA_ARGS__); \
        ck_assert_msg(got_ == (status) && strstr(output, part) != NULL, \
                      "exit status %d, expected %d and \"%s\" in:\n%s", got_, status, part, \
                      output); \
    } while (0)

#endif
