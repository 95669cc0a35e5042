/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The trap: see trap.h.
 */
#include "checkpoint/trap/trap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/kernel/table.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/trap/fast.h"
#include "checkpoint/trap/frame.h"
#include "checkpoint/trap/kills.h"
#include "checkpoint/trap/signals.h"

#define USER_DISPATCH 2 /* si_code of a trapped call */
#define STACK_SIZE ((size_t)1 << 20)

/* In the frame's floating-point area, as the kernel lays it out (asm/sigcontext.h). */
#define FP_MXCSR 24
#define FP_SOFTWARE 464
#define FP_XSTATE 512

extern char __executable_start[], etext[];
uint64_t vi_trap(int number, siginfo_t *info, ucontext_t *context, uint64_t fs);
uint64_t vi_trap_framed(ucontext_t *context, uint64_t fs);

uint64_t vi_guest_fs;
uint64_t vi_runtime_fs;
static const struct vi_frame *entering;
static struct vi_frame frame;
static uint64_t stack_end;
static uint64_t
    resumed;       /* at this checkpoint; 0: the call there was made again, or there is none */
static bool first; /* it is being made */

/* The runtime's code may not touch thread-local storage, nor be checked for smashed stacks,
 * before FS is its own.  RBX is kept by the functions called. */
__asm__(".text\n"
        ".globl vi_trap_entry\n"
        ".type vi_trap_entry, @function\n"
        "vi_trap_entry:\n"
        "    push %rbx\n"
        "    rdfsbase %rcx\n"
        "    mov vi_runtime_fs(%rip), %rax\n"
        "    wrfsbase %rax\n"
        "    call vi_trap\n"
        "    wrfsbase %rax\n"
        "    pop %rbx\n"
        "    ret\n"
        ".size vi_trap_entry, . - vi_trap_entry\n");

long vi_system(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    return vi_fast_pass(number, (const uint64_t[]){a, b, c, d, e, f});
}

long vi_pass(struct vi_call *call)
{
    return vi_fast_pass(call->number, call->arguments);
}

bool vi_trap_in_runtime(const ucontext_t *context)
{
    const uint64_t at = (uint64_t)context->uc_mcontext.gregs[REG_RIP];

    return at >= (uint64_t)__executable_start && at < (uint64_t)etext;
}

bool vi_trap_is_first(void)
{
    return first;
}

/* ---- Frames ---------------------------------------------------------------- */

static void take_frame(const ucontext_t *context)
{
    const unsigned char *fp = (const unsigned char *)context->uc_mcontext.fpregs;

    memcpy(frame.registers, context->uc_mcontext.gregs, sizeof frame.registers);
    frame.fs = vi_guest_fs;
    memcpy(&frame.mask, &context->uc_sigmask, sizeof frame.mask);
    frame.xsave_size = vi_frame_state_size(fp);
    memcpy(frame.xsave, fp, frame.xsave_size);
}

static void put_frame(ucontext_t *context, const struct vi_frame *from)
{
    unsigned char *fp = (unsigned char *)context->uc_mcontext.fpregs;
    uint64_t selectors = (uint64_t)context->uc_mcontext.gregs[REG_CSGSFS];

    memcpy(context->uc_mcontext.gregs, from->registers, sizeof from->registers);
    context->uc_mcontext.gregs[REG_CSGSFS] = (greg_t)selectors;
    memcpy(&context->uc_sigmask, &from->mask, sizeof from->mask);
    vi_guest_fs = from->fs;
    if (from->xsave_size == 0) { /* a new program: all at rest */
        const uint32_t mxcsr = 0x1f80;

        memset(fp, 0, FP_SOFTWARE);
        fp[0] = 0x7f;
        fp[1] = 0x03;
        memcpy(fp + FP_MXCSR, &mxcsr, sizeof mxcsr);
        if (vi_frame_state_size(fp) > FP_XSTATE)
            memset(fp + FP_XSTATE, 0, sizeof(uint64_t));
    } else if (from->xsave_size == vi_frame_state_size(fp)) {
        memcpy(fp, from->xsave, from->xsave_size);
    } else {
        vi_give_up("the processor's state has %u bytes here, and %llu where the run was",
                   vi_frame_state_size(fp), (unsigned long long)from->xsave_size);
    }
}

void vi_trap_fresh(struct vi_frame *fresh, uint64_t entry, uint64_t stack)
{
    memset(fresh, 0, sizeof *fresh);
    fresh->registers[REG_RIP] = entry;
    fresh->registers[REG_RSP] = stack;
    fresh->registers[REG_EFL] = 0x202;
}

void vi_trap_commit(const struct vi_call *call)
{
    take_frame(call->context);
    frame.registers[REG_RIP] -= 2; /* the instruction SYSCALL */
    vi_protocol_commit(&frame);
    vi_report->committed_calls = vi_report->calls - 1;
}

void vi_trap_commit_here(const ucontext_t *context)
{
    take_frame(context);
    vi_protocol_commit(&frame);
    vi_report->committed_calls = vi_report->calls;
}

void vi_trap_commit_behind(const struct vi_call *call, long result)
{
    call->context->uc_mcontext.gregs[REG_RAX] = result;
    vi_trap_commit_here(call->context);
}

void vi_trap_replace(ucontext_t *context, const struct vi_frame *with)
{
    put_frame(context, with);
    vi_trap_commit_here(context);
}

/* ---- Calls ----------------------------------------------------------------- */

/* A handler of the guest may run before the call that it was resumed at. */
static bool is_resumed_at(const greg_t *now)
{
    const uint64_t *r = vi_engine.header->frame.registers;

    return (uint64_t)now[REG_RIP] - 2 == r[REG_RIP] && (uint64_t)now[REG_RSP] == r[REG_RSP];
}

static void handle_call(ucontext_t *context, bool trapped)
{
    const greg_t *r = context->uc_mcontext.gregs;
    struct vi_call call = {
        .number = r[REG_RAX],
        .arguments = {(uint64_t)r[REG_RDI], (uint64_t)r[REG_RSI], (uint64_t)r[REG_RDX],
                      (uint64_t)r[REG_R10], (uint64_t)r[REG_R8], (uint64_t)r[REG_R9]},
        .context = context,
    };
    long result;

    vi_report->calls++;
    vi_protocol_enter(call.number);
    first = resumed != 0 && resumed == vi_engine.header->commits && is_resumed_at(r);
    if (first)
        resumed = 0;
    vi_kill_point(false);
    vi_signals_tick(&call);
    if (trapped)
        vi_fast_learn(context, call.number);
    result = vi_table_call(&call);
    if (first && result == VI_NO_RESULT) /* a signal came first: it is yet to be made */
        resumed = vi_engine.header->commits;
    vi_kill_point(true);
    vi_signals_deliver(&call, result);
    vi_protocol_settle(context);
}

uint64_t vi_trap_framed(ucontext_t *context, uint64_t fs)
{
    vi_guest_fs = fs;
    handle_call(context, false);
    return vi_guest_fs;
}

uint64_t vi_trap(int number, siginfo_t *info, ucontext_t *context, uint64_t fs)
{
    if (number != SIGSYS)
        return vi_signals_arrive(number, info, context, fs);
    if (info->si_code == USER_DISPATCH) {
        vi_guest_fs = fs;
        if (vi_fast_is_back(context))
            vi_signals_back(context);
        else
            handle_call(context, true);
    } else if (entering != NULL) {
        vi_frame_start(context, stack_end);
        put_frame(context, entering);
        entering = NULL;
        if (!vi_engine.header->started) /* a kill from here on finds the start as it was */
            vi_trap_commit_here(context);
        vi_signals_entered(context);
    }
    return vi_guest_fs;
}

/* The kernel would write to the C library's area at each trap, and nothing here reads it. */
static void leave_restartable_sequences(void)
{
    (void)syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, sizeof(struct rseq),
                  RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

static void take_over(void)
{
    const stack_t stack = {.ss_sp = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                           .ss_size = STACK_SIZE};

    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) != 0)
        vi_give_up("no memory for a stack");
    stack_end = (uint64_t)stack.ss_sp + STACK_SIZE;
    leave_restartable_sequences();
    __asm__ volatile("rdfsbase %0" : "=r"(vi_runtime_fs));
    vi_signals_start();
    vi_fast_start();
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, __executable_start, etext - __executable_start,
              NULL) != 0)
        vi_give_up("this kernel has no system call user dispatch: %s", strerror(errno));
}

_Noreturn void vi_trap_enter(const struct vi_frame *from)
{
    sigset_t none;

    take_over();
    resumed = vi_engine.header->started ? vi_engine.header->commits : 0;
    entering = from;
    sigfillset(&none); /* but these: no signal may come before the guest is there to have it */
    sigdelset(&none, SIGSYS);
    sigdelset(&none, SIGBUS);
    sigprocmask(SIG_SETMASK, &none, NULL);
    vi_system(SYS_tgkill, (uint64_t)getpid(), (uint64_t)vi_system(SYS_gettid, 0, 0, 0, 0, 0, 0),
              SIGSYS, 0, 0, 0);
    vi_give_up("the program could not be entered");
}
