/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What programs want to be told of a transaction's end (vista_on_end): a list with the
 * handle.  Whoever ends the transaction first detaches it, since the handle may be
 * another thread's as soon as it is closed, and runs it when no lock is held.
 */
#ifndef VI_CORE_HOOKS_H
#define VI_CORE_HOOKS_H

#include <stddef.h>

typedef void vi_hook_fn(void *arg, int outcome);

struct vi_hook {
    struct vi_hook *next;
    vi_hook_fn *fn; /* NULL: none */
    void *arg;
};

/* In the order of registration.  The first, mostly the only one, is copied with the list: it needs
 * neither memory nor the lock of the spare ones. */
struct vi_hooks {
    struct vi_hook first, *last; /* NULL: none behind the first */
};

/* -1 with ENOMEM: nothing was added. */
int vi_hooks_add(struct vi_hooks *hooks, vi_hook_fn *fn, void *arg);

/* Calls each of a list that was detached, which ends with that. */
void vi_hooks_run(struct vi_hooks hooks, int outcome);

static inline struct vi_hooks vi_hooks_detach(struct vi_hooks *hooks)
{
    const struct vi_hooks detached = *hooks;

    *hooks = (struct vi_hooks){0};
    return detached;
}

#endif
