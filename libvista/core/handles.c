/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Handles: see handles.h.
 */
#include "core/handles.h"

#include "base/arena.h"

/* Where a thread has none: it is never idle. */
static struct vista_tx no_handle = {.limit1 = VISTA_INLINE_CLOSED};

#define EMPTY \
    { \
        { \
            &no_handle, &no_handle, &no_handle, &no_handle \
        } \
    }
const struct vi_thread_cache vi_thread_cache_empty = EMPTY;
__thread struct vi_thread_cache vi_thread_cache __attribute__((tls_model("initial-exec"))) = EMPTY;
_Static_assert(VI_THREAD_HANDLES == 4, "as many as EMPTY has");

static struct vi_tx *of_handle(vista_tx *handle)
{
    return (struct vi_tx *)handle;
}

static uintptr_t entry_offset(uint64_t number)
{
    uintptr_t thread_pointer;

    __asm__("movq %%fs:0, %0" : "=r"(thread_pointer));
    return (uintptr_t)&vi_thread_cache.handle[number % VI_THREAD_HANDLES] - thread_pointer;
}

static vista_tx **entry_of(const struct vi_segment *home)
{
    return &vi_thread_cache.handle[home->own.number % VI_THREAD_HANDLES];
}

/* ---- What the inlined path may do --------------------------------------- */

bool vi_handle_is_gated(const struct vi_segment *segment)
{
    return segment->group->engine->gate == VI_GATED ||
           (segment->flags & (VISTA_NO_HEAP | VISTA_SPARSE)) == (VISTA_NO_HEAP | VISTA_SPARSE);
}

void vi_tx_set_bounds(struct vi_tx *tx, const struct vi_segment *segment)
{
    const uintptr_t low = (uintptr_t)segment->map.data;

    tx->log.cursor.low2 = UINTPTR_MAX; /* no address is there */
    __atomic_store_n(&tx->log.cursor.high2, 0, __ATOMIC_RELAXED);
    tx->log.cursor.low = low;
    __atomic_store_n(&tx->log.cursor.high, low + vi_segment_size(segment) - VISTA_INLINE_LENGTH,
                     __ATOMIC_RELAXED);
}

void vi_tx_set_bounds_all(struct vi_segment *home)
{
    pthread_mutex_lock(&home->own.lock);
    for (struct vi_tx *tx = home->own.all; tx != NULL; tx = tx->next_all)
        vi_tx_set_bounds(tx, home);
    pthread_mutex_unlock(&home->own.lock);
}

/* ---- Making and finding them -------------------------------------------- */

static void make_spare(struct vi_process *process, struct vi_tx *tx)
{
    tx->next_idle = process->spare;
    process->spare = tx;
}

/* One of no segment: this thread's, parked in the place where it will be wanted, first. */
static struct vi_tx *take_spare(vista_tx **entry)
{
    struct vi_process *process = vi_process();
    struct vi_tx *tx = NULL;

    pthread_mutex_lock(&process->lock);
    if (*entry != &no_handle && of_handle(*entry)->segment == NULL) {
        tx = of_handle(*entry);
        *entry = &no_handle;
        tx->cached = false;
    } else if (process->spare != NULL) {
        tx = process->spare;
        process->spare = tx->next_idle;
    }
    pthread_mutex_unlock(&process->lock);
    return tx != NULL ? tx : vi_arena_alloc(sizeof *tx);
}

/* A handle for a slot not yet used in this mapping. */
static struct vi_tx *make_handle(struct vi_segment *home)
{
    struct vi_process *process = vi_process();
    struct vi_tx *tx = take_spare(entry_of(home));

    if (tx == NULL)
        return NULL;
    if (vi_log_take(&home->logs, &tx->log) != 0) {
        pthread_mutex_lock(&process->lock);
        make_spare(process, tx);
        pthread_mutex_unlock(&process->lock);
        return NULL;
    }
    tx->segment = home;
    tx->first_stamp = tx->log.cursor.stamp;
    tx->aborts = 0;
    tx->long_ranges.count = 0;
    if (home->persist.flushes && tx->shadow == NULL)
        tx->shadow = vi_arena_alloc(sizeof *tx->shadow);
    if (home->persist.flushes && tx->shadow != NULL)
        vi_log_use_shadow(&tx->log, tx->shadow);
    tx->log.cursor.step = VISTA_INLINE_STAMP_STEP;
    tx->log.cursor.room = vi_handle_is_gated(home)
                              ? VI_GATED
                              : vi_log_limit(tx->log.position.end) | home->own.engine->gate;
    __atomic_store_n(&tx->log.cursor.idle, vi_handle_idle(home->own.number), __ATOMIC_RELAXED);
    __atomic_store_n(&tx->log.cursor.limit1, vi_handle_idle(home->own.number), __ATOMIC_RELAXED);
    pthread_mutex_lock(&home->own.lock);
    vi_tx_set_bounds(tx, home);
    tx->next_all = home->own.all;
    home->own.all = tx;
    pthread_mutex_unlock(&home->own.lock);
    return tx;
}

/* Called with the group's lock. */
static void make_idle(struct vi_tx *tx)
{
    tx->next_idle = tx->segment->own.idle;
    tx->segment->own.idle = tx;
}

/* With the group's lock: a stray that has ended since. */
static struct vi_tx *take_stray(struct vi_segment *home)
{
    struct vi_tx *tx = home->own.strays != 0 ? home->own.all : NULL;

    while (tx != NULL && (!tx->stray || vi_tx_is_open(tx)))
        tx = tx->next_all;
    if (tx != NULL) {
        tx->stray = false;
        home->own.strays--;
    }
    return tx;
}

static struct vi_tx *take_idle(struct vi_segment *home)
{
    struct vi_tx *tx;

    pthread_mutex_lock(&home->own.lock);
    tx = home->own.idle;
    if (tx != NULL)
        home->own.idle = tx->next_idle;
    else
        tx = take_stray(home);
    pthread_mutex_unlock(&home->own.lock);
    return tx;
}

/* ---- Threads' caches ----------------------------------------------------- */

/* With the process's lock, which keeps segments from being unmapped: what a cache had
 * there is anyone's. */
static void give_back(struct vi_process *process, struct vi_tx *tx)
{
    struct vi_segment *home = tx->segment;

    __atomic_store_n(&tx->cached, false, __ATOMIC_RELAXED);
    if (home == NULL) {
        make_spare(process, tx);
        return;
    }
    pthread_mutex_lock(&home->own.lock);
    tx->stray = vi_tx_is_open(tx);
    if (tx->stray) /* and who ends it need not see that */
        home->own.strays++;
    else
        make_idle(tx);
    pthread_mutex_unlock(&home->own.lock);
}

/* Puts it into the thread's cache, unless an open one is in its place there. */
static void keep_handle(vista_tx **entry, struct vi_tx *tx)
{
    struct vi_process *process = vi_process();

    if (pthread_setspecific(process->exit_key, &vi_thread_cache) != 0)
        return;
    if (*entry != &no_handle) {
        pthread_mutex_lock(&process->lock);
        if (of_handle(*entry)->segment == NULL || !vi_tx_is_open(of_handle(*entry))) {
            give_back(process, of_handle(*entry));
            *entry = &no_handle;
        }
        pthread_mutex_unlock(&process->lock);
    }
    if (*entry != &no_handle)
        return;
    *entry = &tx->log.cursor;
    __atomic_store_n(&tx->cached, true, __ATOMIC_RELAXED);
}

struct vi_tx *vi_handle_take(struct vi_segment *home, bool cache)
{
    vista_tx **const entry = entry_of(home);
    struct vi_tx *tx;

    if (__atomic_load_n(&(*entry)->limit1, __ATOMIC_ACQUIRE) == vi_handle_idle(home->own.number))
        return of_handle(*entry);
    tx = take_idle(home);
    if (tx == NULL)
        tx = make_handle(home);
    /* Threads may have a quarter of the slots in their caches, though these are idle: the rest is
     * for whoever begins, however many threads there are. */
    if (tx != NULL && cache && tx->log.slot < home->logs.max_slots / 4)
        keep_handle(entry, tx);
    return tx;
}

static void forget_all(struct vi_segment *segment)
{
    for (struct vi_tx *tx = segment->own.all; tx != NULL; tx = tx->next_all) {
        __atomic_store_n(&tx->log.cursor.idle, (uintptr_t)VISTA_INLINE_CLOSED, __ATOMIC_RELAXED);
        __atomic_store_n(&tx->log.cursor.limit1, (uintptr_t)VISTA_INLINE_CLOSED, __ATOMIC_RELAXED);
    }
}

/* Gives the exiting thread's cached handles back. */
static void at_thread_exit(void *cache_of_thread)
{
    struct vi_thread_cache *cache = cache_of_thread;
    struct vi_process *process = vi_process();

    pthread_mutex_lock(&process->lock);
    for (int i = 0; i < VI_THREAD_HANDLES; i++)
        if (cache->handle[i] != &no_handle)
            give_back(process, of_handle(cache->handle[i]));
    *cache = vi_thread_cache_empty;
    pthread_mutex_unlock(&process->lock);
}

/* Touches nothing that another thread may have held. */
static void after_fork(struct vi_segment *mapped)
{
    for (; mapped != NULL; mapped = mapped->next)
        forget_all(mapped);
    vi_thread_cache = vi_thread_cache_empty;
}

void vi_handle_serve(struct vi_segment *segment)
{
    struct vi_process *process = vi_process();

    pthread_mutex_lock(&process->lock);
    process->at_thread_exit = at_thread_exit;
    process->after_fork = after_fork;
    segment->handle.entry = entry_offset(segment->group->number);
    segment->handle.idle = vi_handle_idle(segment->group->number);
    pthread_mutex_unlock(&process->lock);
}

/* ---- Ends ---------------------------------------------------------------- */

static __attribute__((noinline)) void close_uncached(struct vi_tx *tx)
{
    struct vi_group *group = &tx->segment->own;

    pthread_mutex_lock(&group->lock);
    group->strays -= tx->stray;
    tx->stray = false;
    make_idle(tx);
    __atomic_store_n(&tx->log.cursor.limit1, tx->log.cursor.idle, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&group->lock);
}

void vi_handle_close(struct vi_tx *tx)
{
    if (VISTA_INLINE_LIKELY(__atomic_load_n(&tx->cached, __ATOMIC_RELAXED)))
        __atomic_store_n(&tx->log.cursor.limit1, tx->log.cursor.idle, __ATOMIC_RELEASE);
    else
        close_uncached(tx);
}

uint64_t vi_tx_count_open(struct vi_segment *segment)
{
    uint64_t count = 0;

    pthread_mutex_lock(&segment->own.lock);
    for (struct vi_tx *tx = segment->own.all; tx != NULL; tx = tx->next_all)
        count += vi_tx_is_open(tx);
    pthread_mutex_unlock(&segment->own.lock);
    return count;
}

void vi_tx_count_ended(struct vi_segment *home, uint64_t *commits, uint64_t *aborts)
{
    uint64_t steps = 0, stamp;

    *aborts = 0;
    pthread_mutex_lock(&home->own.lock);
    for (const struct vi_tx *tx = home->own.all; tx != NULL; tx = tx->next_all) {
        *aborts += __atomic_load_n(&tx->aborts, __ATOMIC_ACQUIRE);
        stamp = __atomic_load_n(&tx->log.cursor.stamp, __ATOMIC_ACQUIRE);
        steps += (stamp - tx->first_stamp) / VISTA_INLINE_STAMP_STEP;
    }
    pthread_mutex_unlock(&home->own.lock);
    *commits = steps - *aborts;
}

void vi_tx_retire_all(struct vi_segment *segment)
{
    struct vi_process *process = vi_process();
    struct vi_tx *next;

    pthread_mutex_lock(&process->lock);
    forget_all(segment);
    for (struct vi_tx *tx = segment->own.all; tx != NULL; tx = next) {
        next = tx->next_all;
        vi_pages_release(&tx->pages);
        tx->segment = NULL;
        tx->stray = false;
        if (!tx->cached) /* else it is parked */
            make_spare(process, tx);
    }
    pthread_mutex_unlock(&process->lock);
    segment->own.all = NULL;
    segment->own.idle = NULL;
    segment->own.strays = 0;
}

void vi_tx_each_idle(struct vi_segment *segment, void (*visit)(void *arg, uint32_t slot), void *arg)
{
    struct vi_segment *home = vi_home(segment);

    pthread_mutex_lock(&home->own.lock);
    for (struct vi_tx *tx = home->own.idle; tx != NULL; tx = tx->next_idle)
        visit(arg, tx->log.slot);
    pthread_mutex_unlock(&home->own.lock);
}
