/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The process: see guest_process.h.
 */
#include "checkpoint/kernel/guest_process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/trap/signals.h"

#define SET_FS 0x1002
#define GET_FS 0x1003

void vi_process_start(void)
{
    struct vi_control *c = vi_engine.control;
    struct sigaction inherited;

    for (int number = 1; number < SIGRTMAX; number++) /* ignored by nohup, or by a shell */
        if (sigaction(number, NULL, &inherited) == 0 && inherited.sa_handler == SIG_IGN)
            c->actions[number].handler = (uint64_t)SIG_IGN;
    c->ppid = (uint64_t)vi_report->parent;
    c->umask = umask(0);
    umask((mode_t)c->umask);
    if (getcwd(c->directory, sizeof c->directory) == NULL)
        c->directory[0] = '\0';
}

void vi_process_recover(void)
{
    const struct vi_control *c = vi_engine.control;

    umask((mode_t)c->umask);
    if (c->directory[0] == '/' && chdir(c->directory) != 0)
        vi_give_up("%s, where the program was: %s", c->directory, strerror(errno));
    if (c->name[0] != '\0')
        prctl(PR_SET_NAME, c->name);
    if (c->timer.it_value.tv_sec != 0 || c->timer.it_value.tv_usec != 0)
        setitimer(ITIMER_REAL, &c->timer, NULL);
}

void vi_process_replaced(const char *path)
{
    struct vi_control *c = vi_engine.control;
    const char *slash = strrchr(path, '/');

    if (realpath(path, c->image) == NULL)
        snprintf(c->image, sizeof c->image, "%s", path);
    memset(c->name, 0, sizeof c->name);
    strncpy(c->name, slash != NULL ? slash + 1 : path, sizeof c->name - 1);
    prctl(PR_SET_NAME, c->name);
    c->recovery_signal = c->interval = 0; /* it did not ask for them */
}

/* Signals that the kernel holds for the guest's handlers would be lost with the process. */
static void gather_signals(struct vi_control *c)
{
    const uint64_t set = vi_signals_handled;
    const struct timespec none = {0};
    siginfo_t info;

    while (set != 0 && vi_system(SYS_rt_sigtimedwait, (uint64_t)&set, (uint64_t)&info,
                                 (uint64_t)&none, sizeof set, 0, 0) > 0) {
        c->pending |= (uint64_t)1 << (info.si_signo - 1);
        c->info[info.si_signo] = info;
    }
}

void vi_process_gather(void)
{
    struct itimerval *timer = &vi_engine.control->timer;

    if ((timer->it_value.tv_sec | timer->it_value.tv_usec | timer->it_interval.tv_sec |
         timer->it_interval.tv_usec) != 0) {
        getitimer(ITIMER_REAL, timer);
        /* The kernel starts it again when it is rid of the signal. */
        if ((timer->it_interval.tv_sec | timer->it_interval.tv_usec) != 0 &&
            (timer->it_value.tv_sec | timer->it_value.tv_usec) == 0)
            timer->it_value.tv_usec = 1;
    }
    gather_signals(vi_engine.control); /* behind it: what the timer sent is among them */
}

/* The last commit is before the end, so that a kill in it finds the program about to end. */
long vi_call_exit(struct vi_call *call)
{
    long result;

    if (vi_protocol_visible(call, &result))
        vi_protocol_done(call, (long)call->arguments[0], NULL);
    vi_report->ended = 1 + (call->arguments[0] & 0xff);
    _exit((int)call->arguments[0]);
}

long vi_call_getpid(struct vi_call *call)
{
    (void)call;
    return (long)vi_engine.header->vpid;
}

long vi_call_getppid(struct vi_call *call)
{
    (void)call;
    return (long)vi_engine.control->ppid;
}

/* That of a parent may be of a supervisor that has died since. */
static uint64_t real_of(uint64_t pid)
{
    if (pid == vi_engine.header->parent && pid != 0)
        return (uint64_t)vi_report->parent;
    return pid == vi_engine.header->vpid ? (uint64_t)getpid() : pid;
}

/* What is asked of a process, by its number.  Of groups and sessions the guest's own number is one. */
long vi_call_of_process(struct vi_call *call)
{
    const int which = call->number == SYS_getpriority || call->number == SYS_ioprio_get;
    struct vi_call real = *call;
    long result;

    real.arguments[which] = real_of(call->arguments[which]);
    result = vi_pass(&real);
    if (call->number == SYS_getpgrp || call->number == SYS_getpgid || call->number == SYS_getsid)
        return result == getpid() ? (long)vi_engine.header->vpid : result;
    return result;
}

/* By kill(2) a user stops a run: what the program sends to its processes is another thing. */
static long send_signal(struct vi_call *real)
{
    siginfo_t info = {.si_signo = SIGHUP, .si_code = SI_QUEUE};

    if (real->number == SYS_kill && (int)real->arguments[0] <= 0) {
        vi_report->first->sends_to_group = getpid();
    } else if (real->number == SYS_kill && real->arguments[1] == SIGHUP) {
        info.si_pid = (pid_t)vi_engine.header->vpid;
        info.si_uid = getuid();
        return vi_system(SYS_rt_sigqueueinfo, real->arguments[0], SIGHUP, (uint64_t)&info, 0, 0, 0);
    }
    return vi_pass(real);
}

/* kill, tkill, tgkill; and setpgid, which others see even of itself. */
long vi_call_kill(struct vi_call *call)
{
    const bool to_itself =
        call->number != SYS_setpgid && call->arguments[0] == vi_engine.header->vpid;
    struct vi_call real = *call;
    long result;

    real.arguments[0] = real_of(call->arguments[0]);
    if (call->number == SYS_tgkill || call->number == SYS_setpgid)
        real.arguments[1] = real_of(call->arguments[1]);
    if (to_itself)
        return vi_pass(&real);
    if (!vi_protocol_visible(call, &result))
        return result;
    result = send_signal(&real);
    vi_protocol_done(call, result, NULL);
    return result;
}

long vi_call_arch_prctl(struct vi_call *call)
{
    const uint64_t *a = call->arguments;

    if (a[0] == SET_FS) {
        vi_guest_fs = a[1];
        return 0;
    }
    if (a[0] != GET_FS)
        return -EINVAL;
    if (!vi_memory_writable(a[1], sizeof vi_guest_fs))
        return -EFAULT;
    *(uint64_t *)a[1] = vi_guest_fs;
    return 0;
}

long vi_call_prctl(struct vi_call *call)
{
    const uint64_t *a = call->arguments;

    switch (a[0]) {
    case PR_SET_NAME:
        if (!vi_memory_string(a[1], 4096))
            return -EFAULT;
        strncpy(vi_engine.control->name, (const char *)a[1], sizeof vi_engine.control->name - 1);
        return vi_pass(call);
    case PR_GET_NAME:
    case PR_GET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_CAPBSET_READ:
        return vi_pass(call);
    default:
        vi_refuse("prctl of this kind", "EINVAL");
        return -EINVAL;
    }
}

/* A program that begins another by posix_spawn(3) may make sure of what it is. */
long vi_call_set_user(struct vi_call *call)
{
    uid_t now[3];

    if (call->number == SYS_setresuid)
        (void)getresuid(&now[0], &now[1], &now[2]);
    else
        (void)getresgid(&now[0], &now[1], &now[2]);
    for (int i = 0; i < 3; i++)
        if ((uid_t)call->arguments[i] != (uid_t)-1 && (uid_t)call->arguments[i] != now[i]) {
            vi_refuse("a change of the user", "EPERM");
            return -EPERM;
        }
    return 0;
}

long vi_call_umask(struct vi_call *call)
{
    vi_engine.control->umask = call->arguments[0] & 0777;
    return vi_pass(call);
}

/* Of descriptors the guest has those below the runtime's; a stack's size is given. */
static void show_limit(uint64_t resource, struct rlimit *limit)
{
    if (resource == RLIMIT_NOFILE && limit != NULL)
        *limit = (struct rlimit){VI_DESCRIPTORS, VI_DESCRIPTORS};
}

long vi_call_limit(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const bool both = call->number == SYS_prlimit64;
    const uint64_t resource = both ? a[1] : a[0];
    const uint64_t get = both ? a[3] : call->number == SYS_getrlimit ? a[1] : 0;
    const uint64_t set = both ? a[2] : call->number == SYS_setrlimit ? a[1] : 0;
    long result;

    if (both && a[0] != 0 && a[0] != vi_engine.header->vpid)
        return -EPERM;
    if (set != 0) /* the runtime lives under the same limits */
        return resource == RLIMIT_CORE || resource == RLIMIT_NOFILE ? 0 : -EPERM;
    if (!vi_memory_writable(get, sizeof(struct rlimit)))
        return -EFAULT;
    result = vi_system(SYS_getrlimit, resource, get, 0, 0, 0, 0);
    if (result == 0)
        show_limit(resource, (struct rlimit *)get);
    return result;
}

/* setitimer, alarm. */
long vi_call_timer(struct vi_call *call)
{
    const long result = vi_pass(call);

    if (call->number == SYS_setitimer && call->arguments[0] != ITIMER_REAL)
        vi_refuse("a timer of processor time", "it starts anew after a kill");
    else if (result >= 0)
        getitimer(ITIMER_REAL, &vi_engine.control->timer);
    return result;
}
