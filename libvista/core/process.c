/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The process's segments: see process.h.
 */
#include "core/process.h"

#include <errno.h>

#include "base/arena.h"
#include "base/error.h"
#include "core/segment.h"

/* So many closed segments are kept before the oldest is used again: until then a
 * handle used after vista_unmap is told so. */
#define CLOSED_KEPT 64

static struct vi_process *the_process;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER; /* of it: the first of all locks */

static void before_fork(void)
{
    pthread_mutex_lock(&the_process->lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&the_process->lock);
}

static void after_fork_in_child(void)
{
    for (struct vi_segment *segment = the_process->mapped; segment != NULL;
         segment = segment->next) {
        segment->state = VI_SEGMENT_FORKED;
        segment->handle.idle = 0;
        vi_file_forget(&segment->file);
    }
    if (the_process->after_fork != NULL)
        the_process->after_fork(the_process->mapped);
    the_process->mapped = NULL;
    pthread_mutex_unlock(&the_process->lock);
}

static void at_thread_exit(void *value)
{
    the_process->at_thread_exit(value);
}

static struct vi_process *make_process(void)
{
    struct vi_process *process = vi_arena_alloc(sizeof *process);

    if (process == NULL || pthread_key_create(&process->exit_key, at_thread_exit) != 0)
        return NULL;
    if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) {
        pthread_key_delete(process->exit_key);
        return NULL;
    }
    pthread_mutex_init(&process->lock, NULL);
    process->closed_end = &process->closed;
    return process;
}

/* A plugin that holds the static library is closed, or the process ends: no thread's end is to
 * call what is not there. */
static __attribute__((destructor)) void at_unload(void)
{
    struct vi_process *process = __atomic_load_n(&the_process, __ATOMIC_ACQUIRE);

    if (process != NULL)
        pthread_key_delete(process->exit_key);
}

struct vi_process *vi_process(void)
{
    struct vi_process *process = __atomic_load_n(&the_process, __ATOMIC_ACQUIRE);

    if (process != NULL)
        return process;
    pthread_mutex_lock(&making);
    process = the_process;
    if (process == NULL)
        process = make_process(); /* if it fails, the next call tries again */
    __atomic_store_n(&the_process, process, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&making);
    if (process == NULL)
        vi_fail(ENOMEM, "no memory for the library's state");
    return process;
}

struct vi_segment *vi_process_new_segment(void)
{
    struct vi_process *process = vi_process();
    struct vi_segment *segment = NULL;

    if (process == NULL)
        return NULL;
    pthread_mutex_lock(&process->lock);
    if (process->closed_count > CLOSED_KEPT) {
        segment = process->closed;
        process->closed = segment->next;
        process->closed_count--;
    }
    pthread_mutex_unlock(&process->lock);
    if (segment == NULL)
        segment = vi_arena_alloc(sizeof *segment);
    if (segment == NULL)
        return NULL;
    memset(segment, 0, sizeof *segment);
    segment->file.fd = -1;
    segment->handle.idle = 0;
    segment->group = &segment->own;
    segment->own.home = segment;
    pthread_mutex_init(&segment->own.lock, NULL);
    pthread_mutex_init(&segment->backing, NULL);
    pthread_mutex_init(&segment->root_lock, NULL);
    pthread_mutex_init(&segment->size_lock, NULL);
    return segment;
}

/* For one more log: of an entry in threads' caches that as few as possible have. */
static uint64_t next_number(const struct vi_process *process)
{
    unsigned used[VI_THREAD_HANDLES] = {0};
    uint64_t best = process->last_number + 1;

    for (const struct vi_segment *at = process->mapped; at != NULL; at = at->next)
        used[at->group->number % VI_THREAD_HANDLES] += at->group == &at->own;
    for (uint64_t i = 2; i <= VI_THREAD_HANDLES; i++)
        if (used[(process->last_number + i) % VI_THREAD_HANDLES] < used[best % VI_THREAD_HANDLES])
            best = process->last_number + i;
    return best;
}

void vi_process_add(struct vi_segment *segment)
{
    struct vi_process *process = vi_process();

    pthread_mutex_lock(&process->lock);
    if (segment->group == &segment->own)
        segment->own.number = process->last_number = next_number(process);
    segment->state = VI_SEGMENT_MAPPED;
    segment->next = process->mapped;
    process->mapped = segment;
    pthread_mutex_unlock(&process->lock);
}

void vi_process_detach(struct vi_segment *segment)
{
    pthread_mutex_lock(&vi_process()->lock);
    segment->state = VI_SEGMENT_DETACHED;
    segment->handle.idle = 0;
    pthread_mutex_unlock(&vi_process()->lock);
}

void vi_process_remove(struct vi_segment *segment)
{
    struct vi_process *process = vi_process();

    pthread_mutex_lock(&process->lock);
    for (struct vi_segment **at = &process->mapped; *at != NULL; at = &(*at)->next)
        if (*at == segment) {
            *at = segment->next;
            break;
        }
    segment->state = VI_SEGMENT_CLOSED;
    segment->handle.idle = 0;
    segment->next = NULL;
    *process->closed_end = segment;
    process->closed_end = &segment->next;
    process->closed_count++;
    pthread_mutex_unlock(&process->lock);
}

struct vi_segment *vi_process_find(const void *address)
{
    struct vi_process *process = vi_process();
    struct vi_segment *at;

    if (process == NULL)
        return NULL;
    pthread_mutex_lock(&process->lock);
    at = process->mapped;
    while (at != NULL && (at->state != VI_SEGMENT_MAPPED ||
                          (uintptr_t)address - (uintptr_t)at->map.data >= vi_segment_size(at)))
        at = at->next;
    pthread_mutex_unlock(&process->lock);
    if (at == NULL)
        vi_fail(EINVAL, "%p is in no mapped segment", address);
    return at;
}

struct vi_segment *vi_segment_check(const vista_segment *handle)
{
    struct vi_segment *segment = (struct vi_segment *)(uintptr_t)handle;

    if (segment == NULL)
        return vi_fail_null("no segment: the handle is NULL"), NULL;
    if (segment->state == VI_SEGMENT_MAPPED)
        return segment;
    if (segment->state == VI_SEGMENT_FORKED)
        return vi_fail(EPERM, "%s: mapped by the parent process", segment->path), NULL;
    return vi_fail(EINVAL, "the segment is not mapped any more"), NULL;
}
