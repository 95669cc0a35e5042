/* SPDX-License-Identifier: BSD-3-Clause
 *
 * See hooks.h.
 */
#include "core/hooks.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

#define BLOCK_HOOKS 31 /* with the link and the count, eight lines */

struct vi_hook_block {
    struct vi_hook_block *next;
    uint64_t count;
    struct vi_hook hooks[BLOCK_HOOKS];
};

/* Blocks of lists that were run.  The lock is the last of all: nothing is called with it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vi_hook_block *spare;

static struct vi_hook_block *new_block(void)
{
    struct vi_hook_block *block;

    pthread_mutex_lock(&lock);
    block = spare;
    if (block != NULL)
        spare = block->next;
    pthread_mutex_unlock(&lock);
    if (block == NULL)
        block = vi_arena_alloc(sizeof *block);
    if (block != NULL) {
        block->next = NULL;
        block->count = 0;
    }
    return block;
}

static void give_back(struct vi_hook_block *first, struct vi_hook_block *last)
{
    pthread_mutex_lock(&lock);
    last->next = spare;
    spare = first;
    pthread_mutex_unlock(&lock);
}

static struct vi_hook *new_hook(struct vi_hooks *hooks)
{
    struct vi_hook_block *block = hooks->last;

    if (hooks->count < VI_HOOKS_INLINE)
        return &hooks->first[hooks->count];
    if (block == NULL || block->count == BLOCK_HOOKS) {
        block = new_block();
        if (block == NULL)
            return NULL;
        if (hooks->more == NULL)
            hooks->more = block;
        else
            hooks->last->next = block;
        hooks->last = block;
    }
    return &block->hooks[block->count++];
}

int vi_hooks_add(struct vi_hooks *hooks, vi_hook_fn *fn, void *arg)
{
    struct vi_hook *hook = new_hook(hooks);

    if (hook == NULL)
        return vi_fail(ENOMEM, "vista_on_end: no memory for one more function");
    *hook = (struct vi_hook){fn, arg};
    hooks->count++;
    return 0;
}

void vi_hooks_run(struct vi_hooks *hooks, int outcome)
{
    for (uint32_t i = 0; i < hooks->count && i < VI_HOOKS_INLINE; i++)
        hooks->first[i].fn(hooks->first[i].arg, outcome);
    for (struct vi_hook_block *block = hooks->more; block != NULL; block = block->next)
        for (uint64_t i = 0; i < block->count; i++)
            block->hooks[i].fn(block->hooks[i].arg, outcome);
    if (hooks->more != NULL)
        give_back(hooks->more, hooks->last);
    *hooks = (struct vi_hooks){0};
}
