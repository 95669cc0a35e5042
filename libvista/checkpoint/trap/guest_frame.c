/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Frames of the guest's signal handlers: see guest_frame.h.
 */
#include "checkpoint/trap/guest_frame.h"

#include <stddef.h>
#include <string.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/trap/frame.h"
#include "checkpoint/trap/signals.h"

#define RED_ZONE 128

/* As the kernel lays it on a stack, up to the floating-point state. */
struct guest_frame {
    uint64_t restorer;
    unsigned char context[8 + 8 + 24 + 256 + 8]; /* of a ucontext, the mask last */
    siginfo_t info;
};

bool vi_frame_is_on_alternate(uint64_t sp)
{
    const struct vi_control *c = vi_engine.control;

    return c->alt_size != 0 && sp - c->alt_base < c->alt_size;
}

static uint64_t stack_for(const struct vi_action *action, uint64_t sp)
{
    const struct vi_control *c = vi_engine.control;

    if (action->flags & SA_ONSTACK && c->alt_size != 0 && !vi_frame_is_on_alternate(sp))
        return c->alt_base + c->alt_size;
    return sp - RED_ZONE;
}

void vi_frame_build(int number, const siginfo_t *info, ucontext_t *context)
{
    const struct vi_control *c = vi_engine.control;
    const struct vi_action action = c->actions[number];
    greg_t *r = context->uc_mcontext.gregs;
    const unsigned char *fp = (const unsigned char *)context->uc_mcontext.fpregs;
    uint64_t at =
        (stack_for(&action, (uint64_t)r[REG_RSP]) - vi_frame_state_size(fp)) & ~(uint64_t)63;
    const uint64_t stored_fp = at;
    struct guest_frame *frame;
    ucontext_t *stored;

    memcpy((void *)at, fp, vi_frame_state_size(fp));
    at = ((at - sizeof *frame) & ~(uint64_t)15) - 8;
    frame = (struct guest_frame *)at;
    frame->restorer = action.restorer;
    memcpy(frame->context, context, sizeof frame->context);
    stored = (ucontext_t *)frame->context;
    stored->uc_mcontext.fpregs = (fpregset_t)stored_fp;
    stored->uc_link = NULL;
    stored->uc_stack = (stack_t){.ss_sp = (void *)c->alt_base,
                                 .ss_size = c->alt_size,
                                 .ss_flags = c->alt_size == 0 ? SS_DISABLE : 0};
    frame->info = *info;
    r[REG_RSP] = (greg_t)at;
    r[REG_RIP] = (greg_t)action.handler;
    r[REG_RDI] = number;
    r[REG_RSI] = (greg_t)&frame->info;
    r[REG_RDX] = (greg_t)frame->context;
    r[REG_RAX] = 0;
    r[REG_EFL] &= ~(greg_t)0x500; /* direction and trap */
    *vi_trap_mask(context) |= vi_signals_open(
        action.mask | (action.flags & SA_NODEFER ? 0 : (uint64_t)1 << (number - 1)));
}

void vi_frame_set_mask(const ucontext_t *context, uint64_t mask)
{
    unsigned char *stored = (unsigned char *)context->uc_mcontext.gregs[REG_RDX];

    memcpy(stored + offsetof(ucontext_t, uc_sigmask), &mask, sizeof mask);
}

long vi_call_rt_sigreturn(struct vi_call *call)
{
    ucontext_t *context = call->context;
    const ucontext_t *stored = (const ucontext_t *)context->uc_mcontext.gregs[REG_RSP];
    const greg_t selectors = context->uc_mcontext.gregs[REG_CSGSFS];
    const unsigned char *fp = (const unsigned char *)stored->uc_mcontext.fpregs;
    unsigned char *own = (unsigned char *)context->uc_mcontext.fpregs;

    memcpy(context->uc_mcontext.gregs, stored->uc_mcontext.gregs,
           sizeof context->uc_mcontext.gregs);
    context->uc_mcontext.gregs[REG_CSGSFS] = selectors;
    *vi_trap_mask(context) = vi_signals_open(*(const uint64_t *)&stored->uc_sigmask);
    if (fp != NULL && vi_frame_state_size(fp) == vi_frame_state_size(own))
        memcpy(own, fp, vi_frame_state_size(own));
    return VI_NO_RESULT;
}
