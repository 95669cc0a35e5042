/* SPDX-License-Identifier: BSD-3-Clause
 *
 * To be preloaded: whatever the program writes to is a terminal, and each look at the clock
 * is a second later, so that all work is long.  At the second look the file that TRUNCATED names
 * is cut short, as if by someone else.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int isatty(int fd)
{
    (void)fd;
    return 1;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static time_t seconds;

    const char *path = seconds == 1 ? getenv("TRUNCATED") : NULL;

    (void)clock;
    if (path != NULL && truncate(path, 8192) != 0)
        abort();
    time->tv_sec = ++seconds;
    time->tv_nsec = 0;
    return 0;
}
