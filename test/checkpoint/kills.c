/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Kills at given system calls: VISTA_KILLS is a list "12b 57a ..." in ascending order, of the
 * program's system call 12, before it is made, and 57, after; "12s3456": at the 3,456th instruction that
 * the runtime executes for it, if there are so many.  VISTA_CALLS names a file of 8
 * bytes that tells how many there were.  VISTA_WITHOUT names a row of the table that is taken out:
 * a call that has a handler is not there, and one that is refused does nothing and says so to nobody.
 */
#include "checkpoint/trap/kills.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkpoint/engine/run_report.h"
#include "checkpoint/kernel/table.h"

static uint64_t *open_count(void)
{
    const char *name = getenv("VISTA_CALLS");
    const int fd = name != NULL ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    void *map = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(uint64_t)) == 0)
        map = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return map != MAP_FAILED ? map : NULL;
}

/* Entry `index` of the list: the call's number, 0 if there is none, its side and its instruction. */
static uint64_t entry(const char *list, uint64_t index, char *side, uint64_t *instruction)
{
    char *end = (char *)list;
    uint64_t number = 0;

    for (uint64_t i = 0; i <= index; i++) {
        number = strtoull(end, &end, 10);
        if (number == 0)
            return 0;
        *side = *end++;
        *instruction = *side == 's' ? strtoull(end, &end, 10) : 0;
    }
    return number;
}

static uint64_t steps_left;

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void stepped(int number)
{
    (void)number;
    if (--steps_left == 0)
        die();
}

/* Single steps of this process, told by SIGTRAP, which the runtime's handlers block. */
static void step(uint64_t count)
{
    struct sigaction action = {.sa_handler = stepped, .sa_flags = SA_ONSTACK};
    sigset_t set;

    steps_left = count;
    sigaction(SIGTRAP, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
}

static void step_no_more(void)
{
    __asm__ volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
    steps_left = 0;
    signal(SIGTRAP, SIG_DFL);
}

void vi_kill_point(bool after)
{
    static uint64_t *count;
    static bool opened;
    const char *list = getenv("VISTA_KILLS");
    uint64_t number, instruction = 0;
    char side = 0;

    if (after && steps_left != 0)
        step_no_more();
    if (!opened)
        count = open_count();
    opened = true;
    if (count != NULL)
        *count = vi_report->calls;
    if (list == NULL)
        return;
    while ((number = entry(list, vi_report->kills, &side, &instruction)) != 0) {
        if (number > vi_report->calls || (number == vi_report->calls && side == 'a' && !after))
            return;
        vi_report->kills++; /* one that was passed in the dark is not made */
        if (number == vi_report->calls && (side == 'a') == after && side != 's')
            die();
        if (number == vi_report->calls && side == 's' && !after) {
            step(instruction);
            return;
        }
    }
}

bool vi_kill_is_by_call(void)
{
    return getenv("VISTA_KILLS") != NULL || getenv("VISTA_CALLS") != NULL ||
           getenv("VISTA_WITHOUT") != NULL;
}

static long does_nothing(struct vi_call *call)
{
    (void)call;
    return 0;
}

const struct vi_row *vi_kill_row(const struct vi_row *row)
{
    static const struct vi_row missing = {
        .name = "missing", .class = VI_CLASS_ABSENT, .error = ENOSYS};
    static const struct vi_row nothing = {
        .name = "nothing", .class = VI_CLASS_STATE, .handler = does_nothing};
    static const char *without;
    static bool asked;

    if (!asked)
        without = getenv("VISTA_WITHOUT");
    asked = true;
    if (without == NULL || row == NULL || strcmp(row->name, without) != 0)
        return row;
    return row->handler != NULL ? &missing : &nothing;
}
