/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Locks of fcntl(2): see locks.h.
 */
#include "checkpoint/files/locks.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"

static uint64_t changes; /* since they were noted: each adds two at most */

bool vi_locks_touch(unsigned most)
{
    if (vi_engine.control->lock_count + 2 * ++changes <= VI_LOCKS)
        return true;
    vi_locks_gather();
    changes = 1;
    return vi_engine.control->lock_count + most <= VI_LOCKS;
}

/* A line of /proc/self/fdinfo: lock: 1: POSIX  ADVISORY  WRITE 17 08:01:5 0 EOF */
static void note(int fd, const char *line)
{
    struct vi_control *c = vi_engine.control;
    char type[8], end[24];
    unsigned long long start;

    if (sscanf(line, "lock: %*d: POSIX %*s %7s %*d %*s %llu %23s", type, &start, end) != 3)
        return;
    if (c->lock_count == VI_LOCKS)
        vi_give_up("the program has more than %u locks", VI_LOCKS);
    c->locks[c->lock_count++] = (struct vi_lock){
        .descriptor = (uint32_t)fd,
        .type = strcmp(type, "WRITE") == 0 ? F_WRLCK : F_RDLCK,
        .start = start,
        .length = strcmp(end, "EOF") == 0 ? 0 : strtoull(end, NULL, 10) - start + 1};
}

void vi_locks_gather(void)
{
    static bool noted[VI_DESCRIPTORS]; /* by group: each descriptor tells the locks of all */
    char name[64], line[256];
    FILE *file;

    if (changes == 0 && !(vi_files_closed && vi_engine.control->lock_count != 0))
        return;
    vi_engine.control->lock_count = 0;
    memset(noted, 0, sizeof noted);
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        const uint32_t group = vi_files_group((uint64_t)fd);

        if (group == 0 || noted[group - 1] || vi_files_of((uint64_t)fd)->mode != S_IFREG)
            continue;
        noted[group - 1] = true;
        snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
        file = fopen(name, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            note(fd, line);
        if (file != NULL)
            fclose(file);
    }
    changes = 0;
    vi_files_closed = false;
}

void vi_locks_take(void)
{
    const struct vi_control *c = vi_engine.control;

    for (uint64_t i = 0; i < c->lock_count; i++) {
        const struct vi_lock *l = &c->locks[i];
        const struct flock lock = {(short)l->type, SEEK_SET, (off_t)l->start, (off_t)l->length, 0};

        if (fcntl((int)l->descriptor, F_SETLK, &lock) != 0)
            vi_give_up("%s: the lock that the program had is another's",
                       vi_files_of(l->descriptor)->path);
    }
}

void vi_locks_close(int fd)
{
    vi_locks_gather();
    close(fd);
    vi_locks_take();
}
