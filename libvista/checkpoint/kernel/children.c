/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Child processes of the guest: see children.h.
 */
#include "checkpoint/kernel/children.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/kernel/terminal.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/protocol/trace.h"
#include "checkpoint/trap/kills.h"
#include "checkpoint/trap/window.h"

/* Of clone(2): a child of its own memory, or one that the parent waits for until it has another program or
 * has ended; for which a copy of the memory does as well. */
#define CLONE_NUMBERS ((uint64_t)(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID))
#define CLONE_WAITED ((uint64_t)(CLONE_VM | CLONE_VFORK))

/* ---- Births ------------------------------------------------------------------- */

/* The child goes on behind the call that its parent is about to make. */
static void become(struct vi_header *header)
{
    uint64_t *r = header->frame.registers;
    const bool cloned = r[REG_RAX] == SYS_clone;

    header->born_tid = cloned && r[REG_RDI] & CLONE_CHILD_SETTID ? r[REG_R10] : 0;
    if (cloned && r[REG_RSI] != 0)
        r[REG_RSP] = r[REG_RSI];
    r[REG_RAX] = 0;
    r[REG_RIP] += 2; /* the instruction SYSCALL */
    header->vpid = (uint64_t)vi_report->pid;
    header->born_at = header->commits;
    header->sent_place = 0;
    for (int i = 0; i < VI_ZONES; i++) /* what has landed is its parent's */
        header->zones[i].group = 0;
}

/* The control state is the parent's until the child commits its own. */
static void be_born(void)
{
    struct vi_control *c = vi_engine.control;
    const uint64_t at = vi_engine.header->born_tid;

    c->ppid = vi_engine.header->parent;
    c->births = c->child_count = c->pending = c->lock_count = 0;
    memset(&c->timer, 0, sizeof c->timer);
    for (int i = 0; i < VI_DESCRIPTORS; i++)
        c->files[i].locks = 0;
    if (at != 0 && vi_memory_writable(at, sizeof(int32_t)))
        *(int32_t *)at = vi_report->pid;
}

/* What its supervisor knows of a child, or NULL. */
static struct vi_child *find(int32_t pid)
{
    for (int i = 0; i < VI_CHILDREN; i++)
        if (vi_report->children[i].birth != 0 && vi_report->children[i].pid == pid)
            return &vi_report->children[i];
    return NULL;
}

bool vi_children_any(void)
{
    for (int i = 0; i < VI_CHILDREN; i++)
        if (vi_report->children[i].birth != 0 && !vi_report->children[i].reaped)
            return true;
    return false;
}

/* A run does not go on without the children that it has. */
static void need(int32_t pid)
{
    if (find(pid) == NULL)
        vi_give_up("child process %d ended with its supervisor; --fresh begins anew", (int)pid);
}

bool vi_children_resumed(void)
{
    const struct vi_control *c = vi_engine.control;
    struct vi_header *header = vi_engine.header;

    if (header->vpid == 0)
        vi_engine_change(become, offsetof(struct vi_header, log));
    if (header->born_at == header->commits)
        be_born();
    for (uint64_t i = 0; i < c->child_count; i++)
        need(c->children[i]);
    return header->born_at == header->commits;
}

/* Has a child it from the supervisor: to share it, or, what is only read, to open it anew? */
static bool is_given(uint64_t fd)
{
    const struct vi_open_file *file = vi_files_of(fd);

    return file != NULL && file->kind != VI_FILE_INHERITED && file->kind != VI_FILE_DEVICE;
}

static bool can_have(uint64_t fd)
{
    const struct vi_open_file *file = vi_files_of(fd);

    return !is_given(fd) || file->mode == S_IFIFO || vi_files_is_input(file) ||
           (file->mode == S_IFREG && (file->flags & O_ACCMODE) == O_WRONLY);
}

static bool give(uint64_t fd)
{
    return !is_given(fd) || vi_files_of(fd)->kind == VI_FILE_KEPT ||
           vi_keeper_give(vi_files_group(fd), (int)fd);
}

static bool share(uint64_t fd)
{
    struct vi_open_file *file = vi_files_of(fd);

    if (is_given(fd) && !vi_files_is_input(file)) {
        file->kind = VI_FILE_KEPT;
        file->shared = 1;
    }
    return true;
}

static bool each(bool (*act)(uint64_t fd))
{
    uint64_t fd = 0;

    while (fd < VI_DESCRIPTORS && act(fd))
        fd++;
    return fd == VI_DESCRIPTORS;
}

void vi_children_opened(uint64_t fd)
{
    const uint32_t how = O_ACCMODE | O_APPEND, wanted = O_WRONLY | O_APPEND;
    const struct vi_open_file *file = vi_files_of(fd);

    if ((vi_engine.control->births | vi_engine.header->parent) != 0 && file->mode == S_IFREG &&
        file->kind == VI_FILE_REGULAR && (file->flags & how) == wanted && give(fd))
        (void)share(fd);
}

static void forget(uint64_t at)
{
    struct vi_control *c = vi_engine.control;

    memmove(&c->children[at], &c->children[at + 1], (--c->child_count - at) * sizeof *c->children);
}

/* Of a parent that does not want to be told of them those that have ended are none's. */
static void forget_ended(void)
{
    const struct vi_control *c = vi_engine.control;
    const struct vi_action *action = &c->actions[SIGCHLD];

    if (action->handler != (uint64_t)SIG_IGN && !(action->flags & SA_NOCLDWAIT))
        return;
    for (uint64_t i = c->child_count; i-- != 0;) {
        const struct vi_child *child = find(c->children[i]);

        if (child == NULL || child->ended)
            forget(i);
    }
}

/* Why there can be no such child, or NULL. */
static const char *refusal(const struct vi_call *call)
{
    const uint64_t flags = call->number == SYS_clone ? call->arguments[0] : SIGCHLD;

    if ((flags & ~CLONE_NUMBERS) != SIGCHLD && (flags & ~CLONE_NUMBERS) != (SIGCHLD | CLONE_WAITED))
        return flags & CLONE_THREAD ? "a thread" : "a child process of this kind";
    if (!each(can_have))
        return "a child process that shares a socket or a file to read and write";
    forget_ended();
    if (vi_engine.control->child_count == VI_CHILDREN || !each(give))
        return "one more child process";
    vi_trace_forks();
    (void)each(share); /* there is a checkpoint behind it: writes are not undone any more */
    return NULL;
}

/* 0 or less: no child. */
static long ask_for_child(void)
{
    const uint64_t birth = vi_engine.control->births + 1;
    const long result = vi_keeper_bear(birth);

    for (int i = 0; result == 0 && i < VI_CHILDREN; i++)
        if (vi_report->children[i].birth == birth)
            return vi_report->children[i].pid;
    return result != 0 ? result : -EAGAIN;
}

static void enter(const struct vi_call *call, int32_t pid)
{
    struct vi_control *c = vi_engine.control;
    const uint64_t *a = call->arguments;

    need(pid);
    c->births++;
    c->children[c->child_count++] = pid;
    if (call->number == SYS_clone && a[0] & CLONE_PARENT_SETTID &&
        vi_memory_writable(a[2], sizeof pid))
        *(int32_t *)a[2] = pid;
}

long vi_call_fork(struct vi_call *call)
{
    const char *refused = refusal(call);
    /* Its arguments are of no descriptor. */
    struct vi_call birth = {.number = call->number,
                            .arguments = {UINT64_MAX, 0, call->arguments[2]},
                            .context = call->context};
    long result;

    if (refused != NULL) {
        vi_refuse(refused, "EAGAIN");
        return -EAGAIN;
    }
    if (vi_protocol_visible(&birth, &result)) {
        result = ask_for_child();
        vi_kill_made();
        vi_protocol_done(&birth, result, NULL);
    }
    if (result > 0)
        enter(call, (int32_t)result);
    return result;
}

/* ---- Ends ---------------------------------------------------------------------- */

void vi_children_settle(void)
{
    const struct vi_control *c = vi_engine.control;

    for (int i = 0; c->births != 0 && i < VI_CHILDREN; i++) {
        struct vi_child *child = &vi_report->children[i];
        bool waits = child->birth == 0 || child->birth > c->births;

        for (uint64_t j = 0; !waits && j < c->child_count; j++)
            waits = c->children[j] == child->pid;
        if (waits || child->reaped)
            continue;
        child->reaped = 1;
        /* Nothing; but the supervisor wakes, and the number is no one's any more. */
        vi_keeper_drop(0);
    }
}

static bool is_asked_for(const struct vi_call *call, int32_t pid)
{
    const uint64_t *a = call->arguments;

    if (call->number == SYS_wait4)
        return (int32_t)a[0] <= 0 || (int32_t)a[0] == pid;
    return a[0] != P_PID || (int32_t)a[1] == pid;
}

static void tell(const struct vi_call *call, const struct vi_child *child)
{
    const uint64_t *a = call->arguments;
    const int status = child->status;
    siginfo_t info = {.si_signo = SIGCHLD};

    if (call->number == SYS_wait4) {
        if (a[1] != 0)
            *(int *)a[1] = status;
    } else if (a[2] != 0) {
        info.si_code = WIFEXITED(status) ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
        info.si_status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
        info.si_pid = child->pid;
        info.si_uid = getuid();
        memcpy((void *)a[2], &info, sizeof info);
    }
    if (a[call->number == SYS_wait4 ? 3 : 4] != 0)
        memset((void *)a[call->number == SYS_wait4 ? 3 : 4], 0, sizeof(struct rusage));
}

/* The first child that has ended, of those asked for, which is told; 0: none has; -ECHILD: there is none. */
static long take_ended(const struct vi_call *call, bool stays)
{
    const struct vi_control *c = vi_engine.control;
    long result = -ECHILD;

    forget_ended();
    for (uint64_t i = 0; i < c->child_count; i++) {
        const struct vi_child *child = find(c->children[i]);

        if (!is_asked_for(call, c->children[i]))
            continue;
        result = 0;
        if (child == NULL || !__atomic_load_n(&child->ended, __ATOMIC_ACQUIRE))
            continue;
        tell(call, child);
        if (!stays) {
            forget(i);
            vi_terminal_start(); /* it is as the child has left it */
        }
        return child->pid;
    }
    return result;
}

static bool good_results(const struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const bool id = call->number == SYS_waitid;

    return (a[1 + id] == 0 ||
            vi_memory_writable(a[1 + id], id ? sizeof(siginfo_t) : sizeof(int))) &&
           (a[3 + id] == 0 || vi_memory_writable(a[3 + id], sizeof(struct rusage)));
}

long vi_call_wait(struct vi_call *call)
{
    const bool id = call->number == SYS_waitid;
    const uint64_t options = call->arguments[2 + id];
    uint64_t ends;
    long result;

    if (!good_results(call))
        return -EFAULT;
    if (id && call->arguments[0] == P_PIDFD)
        return -EINVAL;
    do {
        (void)!read(vi_report->ends, &ends, sizeof ends);
        result = take_ended(call, id && options & WNOWAIT);
        if (result == 0 && options & WNOHANG && id && call->arguments[2] != 0)
            memset((void *)call->arguments[2], 0, sizeof(siginfo_t));
        if (result != 0 || options & WNOHANG)
            return result > 0 && id ? 0 : result;
        result = vi_window_wait(call, vi_report->ends, POLLIN, -1, NULL);
    } while (result >= 0);
    return result;
}
