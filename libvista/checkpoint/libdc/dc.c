/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libdc: see dc.h.  What it does the runtime does; this is the way there.
 */
#include "dc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/libdc/dc_protocol.h"

#define COMMAND_SIZE 65536
#define MOST_ARGUMENTS 4096
#define RECOVERED (SIGRTMAX - 2)

static struct dc_options chosen;

static long call(enum vi_dc_operation operation, long a, long b)
{
    return syscall(VI_DC_CALL, (long)operation, a, b);
}

static void recovered(int number)
{
    struct dc_info info = {0};
    const int error = errno;

    (void)number;
    (void)dc_get_info(&info);
    chosen.after_recovery(chosen.argument, &info);
    errno = error;
}

/* The program's own arguments, from the kernel, since main has not handed them on. */
static int read_arguments(char *text, char **arguments, int room)
{
    const int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, COMMAND_SIZE - 1) : -1;
    int count = 0;

    if (fd >= 0)
        close(fd);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    for (ssize_t at = 0; at < size && count < room; at += (ssize_t)strlen(text + at) + 1)
        arguments[count++] = text + at;
    return count;
}

static int execute(const char *path, const struct dc_options *options)
{
    static char text[COMMAND_SIZE], program[4096], interval[16];
    static char *arguments[MOST_ARGUMENTS];
    const char *runner = getenv("VISTA_RUN");
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    int count = 0;

    if (runner == NULL || *runner == '\0')
        runner = "vista-run";
    snprintf(interval, sizeof interval, "%u", options->interval_ms);
    arguments[count++] = (char *)runner;
    arguments[count++] = "-f";
    arguments[count++] = (char *)path;
    arguments[count++] = "--every";
    arguments[count++] = interval;
    if (length <= 0 || read_arguments(text, arguments + count, MOST_ARGUMENTS - count - 1) == 0) {
        errno = ENOENT;
        return -1;
    }
    program[length] = '\0';
    arguments[count] = program; /* its name as it was called may be in PATH or not */
    execvp(runner, arguments);
    return -1;
}

static int is_good(const char *path, const struct dc_options *options)
{
    static const struct dc_options zero;

    return path != NULL && (options->protocol == NULL || strcmp(options->protocol, "cpvs") == 0) &&
           options->reserved0 == 0 &&
           memcmp(options->reserved, zero.reserved, sizeof zero.reserved) == 0;
}

int dc_init(const char *path, const struct dc_options *options)
{
    static const struct dc_options defaults;
    const struct sigaction action = {.sa_handler = recovered, .sa_flags = SA_RESTART};
    struct dc_info info;

    if (options == NULL)
        options = &defaults;
    if (!is_good(path, options)) {
        errno = EINVAL;
        return -1;
    }
    if (dc_get_info(&info) != 0)
        return execute(path, options);
    chosen = *options;
    if (chosen.after_recovery != NULL && sigaction(RECOVERED, &action, NULL) != 0)
        return -1;
    return (int)call(VI_DC_INIT, options->interval_ms,
                     chosen.after_recovery != NULL ? RECOVERED : 0);
}

int dc_checkpoint(void)
{
    if (chosen.before_checkpoint != NULL)
        chosen.before_checkpoint(chosen.argument);
    return (int)call(VI_DC_CHECKPOINT, 0, 0);
}

int dc_get_info(struct dc_info *info)
{
    return (int)call(VI_DC_INFO, (long)info, 0);
}
