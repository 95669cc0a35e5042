/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Kills at given system calls: VISTA_KILLS is a list "12b 57a ..." in ascending order, of the
 * program's system call 12, before it is made, and 57, after; "12m": behind it, before the runtime notes
 * it, if it is visible and neither writes nor ends; "12s3456": at the 3,456th instruction that the runtime
 * executes for it, if there are so many.  VISTA_CALLS names a file of two numbers of 8 bytes:
 * how many there were, and of the kills those at calls that went without the trap, which VISTA_QUICK
 * lets them in a run that is killed or traced.  VISTA_WITHOUT names a row of the table that is taken out:
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

#define MOST_KILLS 2048
/* What runs without the trap may not use the guest's vector registers. */
#define QUICK __attribute__((target("general-regs-only")))

struct kill {
    uint64_t call, instruction;
    char side;
};

static struct kill kills[MOST_KILLS];
static uint64_t kill_count;
static uint64_t nowhere[2], *counts; /* NULL: nothing has been read */

static uint64_t *open_counts(void)
{
    const char *name = getenv("VISTA_CALLS");
    const int fd = name != NULL ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    void *map = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof nowhere) == 0)
        map = mmap(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return map != MAP_FAILED ? map : nowhere;
}

static void read_list(void)
{
    const char *list = getenv("VISTA_KILLS");
    char *end = (char *)list;

    for (; list != NULL && kill_count < MOST_KILLS; kill_count++) {
        struct kill *k = &kills[kill_count];

        k->call = strtoull(end, &end, 10);
        if (k->call == 0)
            break;
        k->side = *end++;
        k->instruction = k->side == 's' ? strtoull(end, &end, 10) : 0;
    }
    counts = open_counts();
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

/* The kill that is to be made now, or NULL; one that was passed in the dark is not made. */
QUICK static const struct kill *find_kill(bool after)
{
    while (vi_report->kills < kill_count) {
        const struct kill *k = &kills[vi_report->kills];

        if (k->call > vi_report->calls ||
            (k->call == vi_report->calls && !after && (k->side == 'a' || k->side == 'm')))
            return NULL;
        vi_report->kills++;
        if (k->call == vi_report->calls && (k->side == 'a') == after)
            return k;
    }
    return NULL;
}

void vi_kill_point(bool after)
{
    const struct kill *k;

    if (after && steps_left != 0)
        step_no_more();
    if (counts == NULL)
        read_list();
    counts[0] = vi_report->calls;
    k = find_kill(after);
    if (k != NULL && k->side == 's')
        step(k->instruction);
    else if (k != NULL)
        die();
}

void vi_kill_made(void)
{
    const struct kill *k = &kills[vi_report->kills];

    if (vi_report->kills == kill_count || k->side != 'm' || k->call != vi_report->calls)
        return;
    vi_report->kills++;
    die();
}

QUICK void vi_kill_quickly(bool after)
{
    const struct kill *k = counts != NULL ? find_kill(after) : NULL;

    if (counts != NULL)
        counts[0] = vi_report->calls;
    if (k == NULL || k->side == 's')
        return;
    counts[1]++;
    die();
}

bool vi_kill_lets_be_quick(bool traced)
{
    return getenv("VISTA_QUICK") != NULL ||
           (!traced && getenv("VISTA_KILLS") == NULL && getenv("VISTA_CALLS") == NULL &&
            getenv("VISTA_WITHOUT") == NULL);
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
