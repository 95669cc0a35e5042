/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What programs want to be told of a transaction's end (vista_on_end): a list with the
 * handle.  Whoever ends the transaction first detaches it, since the handle may be
 * another thread's as soon as it is closed, and runs it when no lock is held.
 */
#ifndef VI_CORE_HOOKS_H
#define VI_CORE_HOOKS_H

#include <stdint.h>

typedef void vi_hook_fn(void *arg, int outcome);

struct vi_hook {
    vi_hook_fn *fn;
    void *arg;
};

struct vi_hook_block;

/* So many need no memory: a program's own, that of a layer above the library, and two more. */
#define VI_HOOKS_INLINE 4

struct vi_hooks {
    uint32_t count;
    struct vi_hook first[VI_HOOKS_INLINE];
    struct vi_hook_block *more, *last; /* in order; NULL: none */
};

/* -1 with ENOMEM: nothing was added. */
int vi_hooks_add(struct vi_hooks *hooks, vi_hook_fn *fn, void *arg);

/* Calls each, in the order in which they were added; the list is empty then. */
void vi_hooks_run(struct vi_hooks *hooks, int outcome);

/* Moves the list to `to`, and leaves an empty one. */
static inline void vi_hooks_detach(struct vi_hooks *hooks, struct vi_hooks *to)
{
    *to = *hooks;
    *hooks = (struct vi_hooks){0};
}

#endif
