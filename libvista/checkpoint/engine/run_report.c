/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The run's report: see run_report.h.
 */
#include "checkpoint/engine/run_report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_REFUSALS 64

struct vi_report *vi_report;
static int stderr_copy = 2;

int vi_report_raise(int fd)
{
    const int raised = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, VI_DESCRIPTORS) : -1;

    if (fd >= 0)
        close(fd);
    return raised;
}

void vi_report_keep_stderr(void)
{
    const int copy = fcntl(2, F_DUPFD_CLOEXEC, VI_DESCRIPTORS);

    if (copy >= 0)
        stderr_copy = copy;
}

static void say(const char *format, va_list arguments)
{
    char line[1024];
    int length = snprintf(line, sizeof line, "vista-run: ");

    length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length] = '\n';
    (void)!write(stderr_copy, line, (size_t)length + 1);
}

void vi_say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void vi_refuse(const char *subject, const char *why)
{
    static const char *told[MOST_REFUSALS];

    for (int i = 0; i < MOST_REFUSALS; i++) {
        if (told[i] == NULL) {
            told[i] = subject;
            vi_say("%s is refused: %s", subject, why);
            return;
        }
        if (strcmp(told[i], subject) == 0)
            return;
    }
}

void vi_give_up(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    vi_report->refused = 1;
    _exit(1);
}
