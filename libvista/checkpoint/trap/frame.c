/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames without a signal: see frame.h.
 */
#include "checkpoint/trap/frame.h"

#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "checkpoint/engine/layout.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/trap/fast.h"
#include "checkpoint/trap/trap.h"

/* What the kernel leaves in the state's area (asm/sigcontext.h): magic, size of all, features. */
#define SOFTWARE 464
#define FEATURES (SOFTWARE + 8)
#define FP_MAGIC 0x46505853u
#define FP_SIZE 512u /* without it */

/* The one frame: the guest goes on, and with it all that may make a frame, only when it is done with. */
ucontext_t vi_frame_context;
uint64_t vi_frame_stack;
static unsigned char state[VI_XSAVE_MAX] __attribute__((aligned(64)));
static uint64_t features;
static const uint64_t handled_mask =
    ~((uint64_t)1 << (SIGBUS - 1)); /* as a trap's handler has it */

void vi_frame_make(const uint64_t *saved);

/* Behind it the guest's registers are in the frame, signals are blocked, and anything may be done. */
__asm__(".text\n"
        ".globl vi_frame_enter\n"
        "vi_frame_enter:\n"
        "    cld\n"
        "    push %r15; push %r14; push %r13; push %r12; push %rbp; push %rbx\n"
        "    mov %rsp, %rdi\n"
        "    call vi_frame_make\n"
        "    mov vi_frame_stack(%rip), %rsp\n"
        "    rdfsbase %rsi\n"
        "    mov vi_runtime_fs(%rip), %rax\n"
        "    wrfsbase %rax\n"
        "    lea vi_frame_context(%rip), %rdi\n"
        "    call vi_trap_framed\n"
        "    wrfsbase %rax\n"
        "    lea vi_frame_context(%rip), %rsp\n"
        "    mov $15, %eax\n" /* rt_sigreturn */
        "    syscall\n");

uint32_t vi_frame_state_size(const unsigned char *fp)
{
    uint32_t words[2];

    memcpy(words, fp + SOFTWARE, sizeof words);
    return words[0] == FP_MAGIC ? words[1] : FP_SIZE;
}

void vi_frame_start(const ucontext_t *context, uint64_t stack)
{
    const unsigned char *fp = (const unsigned char *)context->uc_mcontext.fpregs;

    if (vi_frame_state_size(fp) > sizeof state)
        vi_give_up("the processor's state has %u bytes, more than %zu", vi_frame_state_size(fp),
                   sizeof state);
    memcpy(&vi_frame_context, context, offsetof(ucontext_t, __fpregs_mem));
    memcpy(state, fp, vi_frame_state_size(fp));
    memcpy(&features, fp + FEATURES, sizeof features);
    vi_frame_context.uc_mcontext.fpregs = (fpregset_t)state;
    vi_frame_stack = stack;
}

/* `saved`: what vi_fast_entry and vi_frame_enter have pushed. */
VI_QUICK void vi_frame_make(const uint64_t *saved)
{
    greg_t *r = vi_frame_context.uc_mcontext.gregs;
    const uint64_t block[6] = {SIG_SETMASK, (uint64_t)&handled_mask,
                               (uint64_t)&vi_frame_context.uc_sigmask, sizeof handled_mask};
    static const uint32_t at_rest = 0x1f80;
    static const unsigned char order[] = {REG_RBX, REG_RBP, REG_R12, REG_R13, REG_R14,
                                          REG_R15, REG_RDI, REG_RSI, REG_RDX, REG_R10,
                                          REG_R8,  REG_R9,  REG_RAX};

    (void)vi_fast_pass(SYS_rt_sigprocmask, block);
    __asm__ volatile("xsave64 %0"
                     : "+m"(state)
                     : "a"((uint32_t)features), "d"((uint32_t)(features >> 32)));
    /* The guest may round otherwise, and have traps: the runtime gets what a handler would. */
    __asm__ volatile("fninit\n ldmxcsr %0" ::"m"(at_rest));
    for (unsigned i = 0; i < sizeof order; i++)
        r[order[i]] = (greg_t)saved[i];
    r[REG_RSP] = (greg_t)vi_fast_sp;
    r[REG_RIP] = r[REG_RCX] = (greg_t)vi_fast_site;
    r[REG_R11] = r[REG_EFL] = 0x202;
}
