/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Signals of the guest: see signals.h.
 */
#include "checkpoint/trap/signals.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/kernel/terminal.h"
#include "checkpoint/protocol/event_log.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/protocol/trace.h"
#include "checkpoint/trap/fast.h"
#include "checkpoint/trap/guest_frame.h"
#include "checkpoint/trap/window.h"

#define TICK 64 /* the runtime's own signal, the last there is */
#define KERNEL_SET sizeof(uint64_t)
#define RESTORER 0x04000000u /* SA_RESTORER */

uint64_t vi_signals_handled;
static bool due; /* a checkpoint of the interval */
/* The present call waited with another mask than the one that is good behind it. */
static bool mask_is_other;
static uint64_t mask_behind;
static uint64_t
    committed; /* signals that were kept at the checkpoint from which this run goes on */
static unsigned every;

static uint64_t bit_of(int number)
{
    return (uint64_t)1 << (number - 1);
}

/* The guest can block neither these nor what the runtime lives on. */
uint64_t vi_signals_open(uint64_t mask)
{
    return mask & ~(bit_of(SIGKILL) | bit_of(SIGSTOP) | bit_of(SIGSYS) | bit_of(TICK));
}

/* ---- The kernel's handlers ------------------------------------------------- */

void vi_restore_signals(void);
__asm__(".text\n"
        ".globl vi_restore_signals\n"
        "vi_restore_signals:\n"
        "    mov $15, %eax\n"
        "    syscall\n");

static void install(int number, bool handled, uint64_t plain)
{
    struct vi_action action = {
        .handler = handled ? (uint64_t)vi_trap_entry : plain,
        .flags = SA_SIGINFO | SA_ONSTACK | RESTORER,
        .restorer = (uint64_t)vi_restore_signals,
        .mask = ~bit_of(SIGBUS), /* by which a full disk is told */
    };

    vi_system(SYS_rt_sigaction, (uint64_t)number, (uint64_t)&action, 0, KERNEL_SET, 0, 0);
}

static bool is_handled(int number)
{
    return vi_engine.control->actions[number].handler > 1;
}

static void install_for_guest(int number)
{
    if (number == SIGKILL || number == SIGSTOP || number == SIGSYS || number == TICK)
        return;
    vi_signals_handled &= ~bit_of(number);
    if (is_handled(number))
        vi_signals_handled |= bit_of(number);
    install(number,
            is_handled(number) || number == SIGSEGV || number == SIGBUS ||
                (number == SIGHUP && vi_engine.control->actions[number].handler == 0),
            vi_engine.control->actions[number].handler);
}

void vi_signals_start(void)
{
    install(SIGSYS, true, 0);
    install(TICK, true, 0);
    for (int number = 1; number < TICK; number++)
        install_for_guest(number);
}

void vi_signals_replaced(void)
{
    struct vi_control *c = vi_engine.control;

    c->alt_base = c->alt_size = 0;
    for (int number = 1; number < TICK; number++)
        if (is_handled(number)) {
            c->actions[number] = (struct vi_action){0};
            install_for_guest(number);
        }
}

void vi_signals_resumed(void)
{
    committed = vi_engine.control->pending;
}

void vi_signals_every(unsigned milliseconds)
{
    every = milliseconds;
}

static void start_ticking(void)
{
    static int timer = -1; /* the kernel's type */
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = TICK};
    const struct timespec pause = {every / 1000, every % 1000 * 1000000L};
    const struct itimerspec value = {pause, pause};

    if (every == 0)
        return;
    if (timer < 0 && vi_system(SYS_timer_create, CLOCK_MONOTONIC, (uint64_t)&event,
                               (uint64_t)&timer, 0, 0, 0) != 0)
        vi_give_up("no timer for checkpoints");
    vi_system(SYS_timer_settime, (uint64_t)timer, 0, (uint64_t)&value, 0, 0, 0);
}

void vi_signals_restart(uint64_t milliseconds)
{
    vi_engine.control->interval = milliseconds;
    every = (unsigned)milliseconds;
    start_ticking();
}

static void commit_now(const struct vi_call *call, const ucontext_t *context)
{
    due = false;
    if (call != NULL)
        vi_trap_commit(call);
    else
        vi_trap_commit_here(context);
    if (vi_report->stopped)
        _exit(0);
}

void vi_signals_tick(struct vi_call *call)
{
    if (due && !vi_events_is_replaying())
        commit_now(call, NULL);
}

/* ---- Handlers of the guest -------------------------------------------------- */

static void enter(int number, const siginfo_t *info, ucontext_t *context)
{
    struct vi_action *action = &vi_engine.control->actions[number];

    vi_frame_build(number, info, context);
    if (action->flags & SA_RESETHAND) {
        action->handler = 0;
        install_for_guest(number);
    }
}

static void build(int number, const siginfo_t *info, ucontext_t *context, bool logged)
{
    vi_trace_signal(number, logged);
    if (!logged)
        vi_protocol_undetermined("a signal");
    enter(number, info, context);
}

/* ---- Coming ---------------------------------------------------------------- */

static bool is_fault(int number, const siginfo_t *info)
{
    return info->si_code > 0 && (number == SIGSEGV || number == SIGBUS || number == SIGFPE ||
                                 number == SIGILL || number == SIGTRAP);
}

static void die_of(int number, ucontext_t *context)
{
    install(number, false, 0);
    *vi_trap_mask(context) &= ~bit_of(number);
    vi_system(SYS_kill, (uint64_t)getpid(), (uint64_t)number, 0, 0, 0, 0);
}

static void keep(int number, const siginfo_t *info)
{
    committed &= ~bit_of(number);
    vi_engine.control->pending |= bit_of(number);
    vi_engine.control->info[number] = *info;
}

uint64_t vi_signals_arrive(int number, siginfo_t *info, ucontext_t *context, uint64_t fs)
{
    const bool inside = !vi_fast_step_out(context) && vi_trap_in_runtime(context);

    if (inside) {
        vi_fast_redirect(context);
        vi_window_leave(context);
    } else {
        vi_guest_fs = fs;
    }
    if (number == SIGHUP && vi_terminal_is_gone())
        vi_report->stopped = 1; /* there is no one to go on for */
    if (number == TICK || (number == SIGHUP && vi_report->stopped)) {
        due = true;
        if (!inside)
            vi_signals_back(context); /* a checkpoint takes what has come from the kernel */
        return fs;
    }
    if (number == SIGBUS && info->si_code == BUS_ADRERR) /* a page of the checkpoint file */
        vi_engine_stop("no room in the file's file system");
    if (is_fault(number, info) &&
        (inside || !is_handled(number) || *vi_trap_mask(context) & bit_of(number))) {
        if (inside)
            vi_say("a fault of the runtime's own at %p, for address %p",
                   (void *)context->uc_mcontext.gregs[REG_RIP], info->si_addr);
        die_of(number, context);
    } else if (inside || (vi_protocol_is_repeating() && !is_fault(number, info))) {
        keep(number, info);
    } else if (is_handled(number)) {
        build(number, info, context, false);
        vi_signals_back(context); /* with what was kept */
    } else {
        die_of(number, context);
    }
    return fs;
}

void vi_signals_raise(int number)
{
    siginfo_t info = {.si_signo = number, .si_code = SI_KERNEL};

    if (is_handled(number))
        keep(number, &info);
}

static uint64_t deliverable(const struct vi_call *call)
{
    /* What is done again came before any signal. */
    return vi_protocol_is_repeating() ? 0
                                      : vi_engine.control->pending & ~*vi_trap_mask(call->context);
}

static void make_again(struct vi_call *call)
{
    call->context->uc_mcontext.gregs[REG_RIP] -= 2; /* the instruction SYSCALL */
    call->context->uc_mcontext.gregs[REG_RAX] = call->number;
}

static bool is_restarting(int number, long result)
{
    return result == VI_INTERRUPTED && vi_engine.control->actions[number].flags & SA_RESTART;
}

static void deliver_one(struct vi_call *call, long result)
{
    struct vi_control *c = vi_engine.control;
    const int number = __builtin_ctzll(deliverable(call)) + 1;
    const struct vi_ended ended = {c->info[number], *vi_trap_mask(call->context), mask_is_other};

    c->pending &= ~bit_of(number);
    if (!is_handled(number)) { /* it was by the program that is replaced */
        vi_system(SYS_rt_sigqueueinfo, (uint64_t)getpid(), (uint64_t)number, (uint64_t)&ended.info,
                  0, 0, 0);
        if (mask_is_other) { /* the kernel does with it what is to be done, while the call waits again */
            *vi_trap_mask(call->context) = mask_behind;
            make_again(call);
        }
        return;
    }
    if (is_restarting(number, result))
        make_again(call);
    build(number, &ended.info, call->context, vi_protocol_log_signal(call, result, &ended));
    /* The handler runs under the mask of the call; behind it the old one is good again. */
    if (mask_is_other)
        vi_frame_set_mask(call->context, mask_behind);
}

/* The tick that the timer of the checkpoint is about to send is given: the next is due an interval later. */
static void start_timer(void)
{
    const struct timeval interval = vi_engine.control->timer.it_interval;

    setitimer(ITIMER_REAL, &(struct itimerval){interval, interval}, NULL);
}

/* As the log has it; it may have been kept since before the checkpoint. */
static void deliver_again(struct vi_call *call, long result, const struct vi_ended *ended)
{
    const int number = ended->info.si_signo;
    const uint64_t mask = *vi_trap_mask(call->context), early = committed & bit_of(number);

    vi_engine.control->pending &= ~early;
    committed &= ~early;
    if (number == SIGALRM && ended->info.si_code == SI_KERNEL && early == 0)
        start_timer();
    if (is_restarting(number, result))
        make_again(call);
    if (ended->has_mask)
        *vi_trap_mask(call->context) = ended->mask;
    enter(number, &ended->info, call->context);
    if (ended->has_mask)
        vi_frame_set_mask(call->context, mask);
}

void vi_signals_deliver(struct vi_call *call, long result)
{
    struct vi_ended ended;
    const bool again = vi_protocol_ended_again(&ended);

    if (result == VI_INTERRUPTED && !again)
        vi_protocol_interrupted();
    if (result != VI_NO_RESULT)
        call->context->uc_mcontext.gregs[REG_RAX] = result == VI_INTERRUPTED ? -EINTR : result;
    if (again)
        deliver_again(call, result, &ended);
    else if (deliverable(call) != 0)
        deliver_one(call, result);
    else if (result == VI_INTERRUPTED) /* nothing that the guest sees */
        make_again(call);
    mask_is_other = false;
    vi_protocol_not_logged(call, result);
}

void vi_signals_back(ucontext_t *context)
{
    struct vi_call call = {.context = context};

    if (due && !vi_events_is_replaying())
        commit_now(NULL, context);
    if (deliverable(&call) != 0)
        deliver_one(&call, 0);
    vi_protocol_settle(context);
}

void vi_signals_entered(ucontext_t *context)
{
    if (vi_engine.control->interval != 0)
        every = (unsigned)vi_engine.control->interval;
    start_ticking();
    vi_signals_back(context);
}

/* ---- Waiting --------------------------------------------------------------- */

bool vi_signals_kept(uint64_t mask)
{
    return vi_engine.control->pending & ~mask;
}

long vi_signals_interrupt(struct vi_call *call, const uint64_t *mask)
{
    if (mask == NULL)
        return deliverable(call) != 0 ? -EINTR : VI_INTERRUPTED;
    mask_behind = *vi_trap_mask(call->context);
    *vi_trap_mask(call->context) = vi_signals_open(*mask); /* which of them is to be delivered */
    mask_is_other = deliverable(call) != 0;
    if (!mask_is_other)
        *vi_trap_mask(call->context) = mask_behind;
    return mask_is_other ? -EINTR : VI_INTERRUPTED;
}

long vi_call_rt_sigsuspend(struct vi_call *call)
{
    const uint64_t *given = (const uint64_t *)call->arguments[0];
    uint64_t mask;

    if (!vi_memory_readable(call->arguments[0], sizeof mask))
        return -EFAULT;
    mask = *given;
    (void)vi_window_wait(call, -1, 0, -1, &mask);
    return vi_signals_interrupt(call, &mask);
}

/* ---- Calls ----------------------------------------------------------------- */

long vi_call_rt_sigaction(struct vi_call *call)
{
    const uint64_t number = call->arguments[0];
    const struct vi_action *set = (const void *)call->arguments[1];
    struct vi_action *old = (void *)call->arguments[2], before;
    struct vi_control *c = vi_engine.control;

    if (number == 0 || number > 64 || call->arguments[3] != KERNEL_SET ||
        (set != NULL && (number == SIGKILL || number == SIGSTOP)))
        return -EINVAL;
    if ((set != NULL && !vi_memory_readable((uint64_t)set, sizeof *set)) ||
        (old != NULL && !vi_memory_writable((uint64_t)old, sizeof *old)))
        return -EFAULT;
    before = c->actions[number];
    if (set != NULL) {
        c->actions[number] = *set;
        if (set->handler <= 1 && c->pending & bit_of((int)number))
            c->pending &= ~bit_of((int)number);
        install_for_guest((int)number);
    }
    if (old != NULL)
        *old = before;
    return 0;
}

long vi_call_rt_sigprocmask(struct vi_call *call)
{
    uint64_t *mask = vi_trap_mask(call->context);
    const uint64_t *set = (const void *)call->arguments[1], before = *mask;
    uint64_t *old = (void *)call->arguments[2];

    if (call->arguments[3] != KERNEL_SET)
        return -EINVAL;
    if ((set != NULL && !vi_memory_readable((uint64_t)set, KERNEL_SET)) ||
        (old != NULL && !vi_memory_writable((uint64_t)old, KERNEL_SET)))
        return -EFAULT;
    if (set != NULL) {
        if (call->arguments[0] == SIG_BLOCK)
            *mask |= *set;
        else if (call->arguments[0] == SIG_UNBLOCK)
            *mask &= ~*set;
        else if (call->arguments[0] == SIG_SETMASK)
            *mask = *set;
        else
            return -EINVAL;
        *mask = vi_signals_open(*mask);
    }
    if (old != NULL)
        *old = before;
    return 0;
}

long vi_call_rt_sigpending(struct vi_call *call)
{
    uint64_t *set = (void *)call->arguments[0];
    const long result = vi_pass(call);

    if (result == 0) /* the runtime blocks what the guest does not */
        *set = (*set & *vi_trap_mask(call->context)) | vi_engine.control->pending;
    return result;
}

long vi_call_sigaltstack(struct vi_call *call)
{
    const stack_t *set = (const void *)call->arguments[0];
    stack_t *old = (void *)call->arguments[1];
    struct vi_control *c = vi_engine.control;
    const bool on = vi_frame_is_on_alternate((uint64_t)call->context->uc_mcontext.gregs[REG_RSP]);
    stack_t before = {.ss_sp = (void *)c->alt_base,
                      .ss_size = c->alt_size,
                      .ss_flags = c->alt_size == 0 ? SS_DISABLE
                                  : on             ? SS_ONSTACK
                                                   : 0};

    if ((set != NULL && !vi_memory_readable((uint64_t)set, sizeof *set)) ||
        (old != NULL && !vi_memory_writable((uint64_t)old, sizeof *old)))
        return -EFAULT;
    if (set != NULL && on)
        return -EPERM;
    if (set != NULL) {
        const bool disable = set->ss_flags & SS_DISABLE;

        if (!disable && set->ss_size < 2048)
            return -ENOMEM;
        c->alt_base = disable ? 0 : (uint64_t)set->ss_sp;
        c->alt_size = disable ? 0 : set->ss_size;
    }
    if (old != NULL)
        *old = before;
    return 0;
}
