/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See hooks.h.
 */
#include "core/hooks.h"

#include <errno.h>

#include "base/arena.h"
#include "base/error.h"
#include "core/process.h"

/* Those of lists that were run, guarded by the process's lock, which a fork does not leave
 * held in the child. */
static struct vi_hook *spare;

static struct vi_hook *new_hook(void)
{
    struct vi_hook *hook;

    pthread_mutex_lock(&vi_process()->lock);
    hook = spare;
    if (hook != NULL)
        spare = hook->next;
    pthread_mutex_unlock(&vi_process()->lock);
    return hook != NULL ? hook : vi_arena_alloc(sizeof *hook);
}

int vi_hooks_add(struct vi_hooks *hooks, vi_hook_fn *fn, void *arg)
{
    struct vi_hook *hook = &hooks->first;

    if (hook->fn != NULL) {
        hook = new_hook();
        if (hook == NULL)
            return vi_fail(ENOMEM, "vista_on_end: no memory for one more function");
        *(hooks->last != NULL ? &hooks->last->next : &hooks->first.next) = hook;
        hooks->last = hook;
    }
    *hook = (struct vi_hook){NULL, fn, arg};
    return 0;
}

void vi_hooks_run(struct vi_hooks hooks, int outcome)
{
    for (const struct vi_hook *hook = &hooks.first; hook != NULL && hook->fn != NULL;
         hook = hook->next)
        hook->fn(hook->arg, outcome);
    if (hooks.last == NULL)
        return;
    pthread_mutex_lock(&vi_process()->lock);
    hooks.last->next = spare;
    spare = hooks.first.next;
    pthread_mutex_unlock(&vi_process()->lock);
}
