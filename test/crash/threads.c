/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Simulated threads: coroutines that take turns.
 */
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include "core/handles.h"
#include "instrument.h"
#include "memory.h"
#include "program.h"

#define STACK_SIZE ((size_t)1 << 20)

static struct {
    ucontext_t context;
    unsigned char *stack;
    void (*body)(void);
    struct vi_thread_cache cache; /* what the thread has in its own storage */
    bool alive;
} threads[THREADS];
static ucontext_t everyone;
static int thread_count; /* of those that take turns; 0: one runs alone */

void on_thread(unsigned thread)
{
    memory_complete();
    threads[memory.thread].cache = vi_thread_cache;
    memory.thread = thread;
    vi_thread_cache = threads[thread].cache;
}

static void switch_to(unsigned thread)
{
    const unsigned from = memory.thread;

    if (thread == from)
        return;
    on_thread(thread);
    swapcontext(&threads[from].context, &threads[thread].context);
}

static void let_another_run(void)
{
    unsigned next = memory.thread;

    do
        next = (next + 1 + (unsigned)pick(0, 1)) % (unsigned)thread_count;
    while (!threads[next].alive);
    switch_to(next);
}

void threads_pause(bool at_fence)
{
    if (thread_count > 1 && pick(0, at_fence ? 1 : 23) == 0)
        let_another_run();
}

static void blocked(void)
{
    if (thread_count < 2) {
        printf("BAD: a lock is held by no one\n");
        exit(1);
    }
    let_another_run();
}

static void run_thread(void)
{
    threads[memory.thread].body();
    threads[memory.thread].alive = false;
    for (int i = 0; i < thread_count; i++)
        if (threads[i].alive) {
            on_thread((unsigned)i);
            setcontext(&threads[i].context);
        }
    on_thread(0);
    setcontext(&everyone);
}

void together(void (*const *bodies)(void), int count)
{
    threads[memory.thread].cache = vi_thread_cache;
    for (int i = 0; i < count; i++) {
        getcontext(&threads[i].context);
        if (threads[i].stack == NULL)
            threads[i].stack = malloc(STACK_SIZE);
        threads[i].context.uc_stack.ss_sp = threads[i].stack;
        threads[i].context.uc_stack.ss_size = STACK_SIZE;
        threads[i].body = bodies[i];
        threads[i].alive = true;
        makecontext(&threads[i].context, run_thread, 0);
    }
    thread_count = count;
    on_thread(0);
    swapcontext(&everyone, &threads[0].context);
    thread_count = 0;
}

void threads_reset(void)
{
    for (int i = 0; i < THREADS; i++)
        threads[i].cache = vi_thread_cache_empty;
    memory.pause = threads_pause;
    hooks.blocked = blocked;
}
