/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The window before a call that waits: see window.h.
 */
#include "checkpoint/trap/window.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "checkpoint/engine/run_report.h"
#include "checkpoint/protocol/event_log.h"
#include "checkpoint/trap/signals.h"

#define NOT_MADE (-4096L) /* no result of the kernel's */

/* One has come since signals were opened. */
volatile bool vi_window_came;
extern const char vi_window_begin[], vi_window_end[], vi_window_out[];
long vi_window_call(const uint64_t words[7]);

/* The number of the call and its arguments are in `words`. */
__asm__(".text\n"
        ".globl vi_window_call, vi_window_begin, vi_window_end, vi_window_out\n"
        "vi_window_call:\n"
        "    mov (%rdi), %rax; mov 16(%rdi), %rsi; mov 24(%rdi), %rdx; mov 32(%rdi), %r10\n"
        "    mov 40(%rdi), %r8; mov 48(%rdi), %r9; mov 8(%rdi), %rdi\n"
        "vi_window_begin:\n"
        "    cmpb $0, vi_window_came(%rip)\n"
        "    jne vi_window_out\n"
        "    syscall\n"
        "vi_window_end:\n"
        "    ret\n"
        "vi_window_out:\n"
        "    mov $-4096, %rax\n"
        "    ret\n");

void vi_window_leave(ucontext_t *context)
{
    greg_t *at = &context->uc_mcontext.gregs[REG_RIP];

    vi_window_came = true;
    if ((uint64_t)*at >= (uint64_t)vi_window_begin && (uint64_t)*at < (uint64_t)vi_window_end)
        *at = (greg_t)vi_window_out;
}

static long make(const struct vi_call *call, uint64_t open)
{
    uint64_t words[7] = {(uint64_t)call->number}, blocked;
    long result;

    memcpy(words + 1, call->arguments, sizeof call->arguments);
    vi_window_came = false;
    vi_system(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&open, (uint64_t)&blocked, sizeof open, 0,
              0);
    result = vi_window_call(words);
    vi_system(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&blocked, 0, sizeof blocked, 0, 0);
    return result;
}

long vi_window_wait(struct vi_call *call, int fd, short events, int64_t nanoseconds,
                    const uint64_t *mask)
{
    const uint64_t open = mask != NULL ? vi_signals_open(*mask) : *vi_trap_mask(call->context);
    struct pollfd pollfd = {.fd = fd, .events = events};
    struct timespec left = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    long result;

    do {
        if (vi_signals_kept(open))
            return VI_INTERRUPTED;
        result = vi_system(SYS_ppoll, (uint64_t)&pollfd, fd >= 0,
                           nanoseconds < 0 ? 0 : (uint64_t)&left, (uint64_t)&open, sizeof open, 0);
        /* In the middle of a visible event a checkpoint would repeat it. */
        if (result == -EINTR && (events != POLLOUT || vi_report->stopped))
            vi_signals_tick(call);
    } while (result == -EINTR && !vi_signals_kept(open));
    return result == -EINTR ? VI_INTERRUPTED : result;
}

long vi_window_pass(struct vi_call *call)
{
    /* What is done again came before any signal. */
    const bool again = vi_events_is_replaying();
    const uint64_t open = *vi_trap_mask(call->context);
    greg_t *r = call->context->uc_mcontext.gregs;
    long result = NOT_MADE;

    while (again || !vi_signals_kept(open)) {
        result = make(call, open);
        if (result != -EINTR && result != NOT_MADE)
            return result;
        vi_signals_tick(call);
    }
    if (result == -EINTR)
        return VI_INTERRUPTED;
    r[REG_RIP] -= 2; /* the instruction SYSCALL */
    r[REG_RAX] = call->number;
    return VI_NO_RESULT;
}
