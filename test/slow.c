/* SPDX-License-Identifier: BSD-3-Clause
 *
 * To be preloaded: whatever the program writes to is a terminal, and each look at the clock
 * is a second later, so that all work is long.
 */
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

    (void)clock;
    time->tv_sec = ++seconds;
    time->tv_nsec = 0;
    return 0;
}
