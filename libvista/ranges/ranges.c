/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Automatic ranges: see ranges.h.
 */
#include "ranges/ranges.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "base/arena.h"
#include "base/error.h"
#include "ranges/faults.h"

#define CHECK_WAIT_MS 2000u /* VISTA_CHECK_RANGES: for another transaction to end */

static uint64_t pages_of(const struct vi_ranges *r)
{
    return r->size / VI_PAGE;
}

/* Of `open` and `touched`, which is behind it, and more. */
static size_t lists_size(const struct vi_segment *segment)
{
    return segment->superblock.max_size / VI_PAGE * 16;
}

static void lock(struct vi_ranges *r, sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    pthread_mutex_lock(&r->home->lock);
}

static void unlock(struct vi_ranges *r, const sigset_t *before)
{
    pthread_mutex_unlock(&r->home->lock);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* With the lock: the next of a group, whose first is home. */
static struct vi_ranges *next_of(const struct vi_ranges *r)
{
    struct vi_segment *const *link =
        r->home == r ? &r->segment->own.members : &r->segment->next_member;
    const struct vi_segment *at;

    while ((at = __atomic_load_n(link, __ATOMIC_ACQUIRE)) != NULL && at->ranges == NULL)
        link = &at->next_member;
    return at != NULL ? at->ranges : NULL;
}

/* ---- Pages ------------------------------------------------------------- */

/* Flat and sparse: disk blocks are allocated at the first touch of a group.  Not by
 * vi_segment_back, which has a lock of its own. */
static int back(struct vi_segment *segment, uint64_t page, uint64_t end)
{
    const uint64_t size = segment->group_size, pages = size / VI_PAGE;
    int error = 0;

    if (segment->backed == NULL || segment->heap != NULL)
        return 0;
    for (uint64_t group = page / pages; group * pages < end && error == 0; group++) {
        const uint64_t at = group * size, left = segment->map.data_size - at;
        const uint64_t bit = (uint64_t)1 << group % 64;

        if (__atomic_load_n(&segment->backed[group / 64], __ATOMIC_ACQUIRE) & bit)
            continue;
        error = vi_file_back(&segment->file, segment->superblock.data_offset + at,
                             left < size ? left : size);
        if (error == 0)
            __atomic_fetch_or(&segment->backed[group / 64], bit, __ATOMIC_RELEASE);
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

/* Those of a part that are closed, and have to be logged before they are opened. */
static uint64_t count_closed(const struct vi_ranges *r, uint64_t page, uint64_t end)
{
    uint64_t closed = 0;

    for (; page < end && page < r->unlogged_from; page++)
        closed += !vi_is_open(&r->protect, page);
    return closed;
}

/* Logs closed pages, durably; ENOSPC when there is no room for all of them. */
static int log_pages(struct vi_ranges *r, uint64_t page, uint64_t end)
{
    struct vi_ranges *home = r->home;
    const uint64_t count = count_closed(r, page, end);

    if (count > home->left)
        return errno = ENOSPC, -1;
    home->left -= count;
    for (end = page + count; page < end; page++)
        vi_page_log_append(&home->page_log, r->protect.base + page * VI_PAGE);
    vi_log_flush(&home->page_log.log);
    return 0;
}

/* Logs and opens closed pages, and neighbours where the kernel wants that. */
static int open_pages(struct vi_ranges *r, uint64_t page, uint64_t end)
{
    uint64_t low = page, high = end;

    if (back(r->segment, page, end) != 0 || log_pages(r, page, end) != 0)
        return -1;
    if (vi_protect_set(&r->protect, page, end - page, true) != 0) {
        if (errno != ENOMEM)
            return -1;
        vi_protect_widen(&r->protect, pages_of(r), &low, &high);
        if (back(r->segment, low, high) != 0 || log_pages(r, low, page) != 0 ||
            log_pages(r, end, high) != 0 || vi_protect_set(&r->protect, low, high - low, true) != 0)
            return -1;
    }
    vi_protect_set_open(&r->protect, low, high);
    return 0;
}

static void protect(struct vi_ranges *r, uint64_t page, uint64_t end)
{
    if (vi_protect_set(&r->protect, page, end - page, false) != 0)
        r->home->stuck = true;
}

/* Ends stores, and protects what was opened: all, where that has failed before (and see hot.h). */
static void protect_group(struct vi_ranges *home)
{
    sigset_t before;
    bool stuck;

    lock(home, &before); /* whoever has a page at hand is done */
    home->state = VI_RANGES_BUSY;
    for (struct vi_ranges *r = home; r != NULL; r = next_of(r)) {
        if (r->check.allowed == NULL && r->segment->group->redo == NULL)
            vi_hot_choose(&r->hot, &r->protect);
        home->stuck |= vi_protect_again(&r->protect, r->hot.count != 0) != 0;
        vi_hot_end(&r->hot, &r->protect);
        vi_undeclared_forget(&r->check, r->segment->superblock.max_size);
        r->unlogged_from = pages_of(r);
    }
    stuck = home->stuck;
    home->stuck = false;
    for (struct vi_ranges *r = stuck ? home : NULL; r != NULL; r = next_of(r))
        protect(r, 0, pages_of(r));
    unlock(home, &before);
}

bool vi_ranges_fault(struct vi_ranges *r, struct vi_note store)
{
    const uint64_t page = (store.address - r->base) / VI_PAGE;
    const char *why = NULL;
    struct stat st;

    pthread_mutex_lock(&r->home->lock);
    if (r->home->state != VI_RANGES_OPEN) {
        why = "was stored to outside any transaction";
    } else if (vi_is_open(&r->protect, page)) { /* by another thread, just now */
        if (r->protect.fd >= 0 && fstat(r->segment->file.fd, &st) == 0 &&
            (uint64_t)st.st_size <= r->segment->superblock.data_offset + page * VI_PAGE)
            why = "is behind the end of the file";
    } else if (open_pages(r, page, page + 1) != 0) {
        why = errno == ENOSPC || errno == EDQUOT
                  ? "cannot be stored to: no room for one more of auto_pages, or on the disk"
              : errno == EBADMSG ? "cannot be stored to: someone has truncated the file"
                                 : "cannot be stored to: the kernel does not open the page";
    }
    if (why == NULL)
        vi_undeclared_store(&r->check, store.address - r->base, store);
    pthread_mutex_unlock(&r->home->lock);
    if (why != NULL)
        vi_error_fault(r->segment->path, store.address, why);
    return why == NULL;
}

void vi_ranges_count(struct vi_ranges *r, uint64_t *touched, uint64_t *left)
{
    uint32_t changed = 0;
    sigset_t before;

    lock(r, &before);
    *touched = r->protect.count;
    *left = r->home->state == VI_RANGES_OPEN ? r->home->left : r->home->budget;
    if (r->home->state == VI_RANGES_OPEN)
        changed = vi_hot_count_changed(&r->hot, &r->protect);
    *touched += changed;
    *left -= changed < *left ? changed : *left;
    unlock(r, &before);
}

int vi_ranges_allow(struct vi_tx *tx, const void *address, size_t length, size_t stored)
{
    struct vi_ranges *home = tx->segment->ranges, *r;
    uint64_t page, end, run, closed;
    sigset_t before;
    int result;

    r = home != NULL && length != 0 ? vi_group_find(tx->segment, (uintptr_t)address)->ranges : NULL;
    if (r == NULL)
        return 0;
    if (r->check.allowed != NULL)
        stored = length;
    page = ((uintptr_t)address - r->base) / VI_PAGE;
    end = stored != 0 ? ((uintptr_t)address - r->base + stored - 1) / VI_PAGE + 1 : page;
    lock(r, &before);
    closed = count_closed(r, page, end);
    result = closed > home->left ? -1 : 0;
    errno = ENOSPC;
    for (; result == 0 && page < end; page = run + 1) {
        for (run = page; run < end && !vi_is_open(&r->protect, run);)
            run++;
        if (run > page)
            result = open_pages(r, page, run);
    }
    unlock(r, &before);
    if (result == 0 && r->check.allowed != NULL)
        vi_undeclared_allow(&r->check, (uintptr_t)address - r->base, length);
    if (result != 0)
        vi_fail_system(errno, "%s: %llu pages are to be opened, %llu are left of auto_pages",
                       r->segment->path, (unsigned long long)closed,
                       (unsigned long long)home->left);
    return result;
}

/* ---- Transactions ------------------------------------------------------ */

/* Nobody else begins.  Waits for whoever begins, ends, or maps a segment of the group, and in a program that is
 * but checked, which may have many transactions, also for one that is open, for a while. */
static bool hold(struct vi_ranges *home)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    unsigned ms = home->check.allowed != NULL ? CHECK_WAIT_MS : 0;

    for (int state = VI_RANGES_IDLE;
         !atomic_compare_exchange_strong(&home->state, &state, VI_RANGES_BUSY);
         state = VI_RANGES_IDLE) {
        if (vi_undeclared_found(&home->check, EBUSY, home->segment))
            return false;
        if (ms == 0 && state == VI_RANGES_OPEN)
            return vi_fail(EBUSY, "%s: a transaction is open, with automatic ranges the only one",
                           home->segment->path) == 0;
        nanosleep(&pause, NULL);
        ms -= ms != 0;
    }
    return true;
}

/* Pages that may be logged: the hot ones, too, which cost the transaction nothing of its budget. */
static uint64_t count_records(const struct vi_ranges *home)
{
    uint64_t pages = 0, extra = 0;

    for (const struct vi_ranges *r = home; r != NULL; r = next_of(r)) {
        pages += pages_of(r);
        extra += VI_HOT_PAGES;
    }
    return home->budget + extra < pages ? home->budget + extra : pages;
}

/* In the handle that is the only one, with log space for all that may be touched. */
static struct vi_tx *begin(struct vi_ranges *home, unsigned mode)
{
    struct vi_tx *tx = vi_tx_begin_uncached(home->segment, mode);
    int result;

    if (tx == NULL)
        return NULL;
    if (home->stuck)
        protect_group(home);
    home->left = home->budget;
    tx->log.granted = 0; /* beside fewer pages, maybe */
    result = home->stuck
                 ? vi_fail_system(errno, "%s: its pages cannot be protected", home->segment->path)
             : count_records(home) > home->page_log.count
                 ? vi_page_log_reserve(&home->page_log, &tx->log, VI_PAGE, count_records(home))
                 : 0;
    if (result != 0)
        vi_tx_abort(tx);
    return result == 0 ? tx : NULL;
}

static struct vi_tx *begin_engine(struct vi_segment *segment, unsigned mode)
{
    struct vi_ranges *home = segment->ranges;
    struct vi_tx *tx;

    if (!hold(home))
        return NULL;
    tx = begin(home, mode);
    if (tx != NULL) {
        struct vi_ranges *r = home;

        vi_page_log_begin(&home->page_log, &tx->log);
        do
            vi_hot_begin(&r->hot, &r->protect, &home->page_log);
        while ((r = next_of(r)) != NULL);
        vi_log_flush(&home->page_log.log);
        tx->pages.lost = true;
    }
    home->state = tx != NULL ? VI_RANGES_OPEN : VI_RANGES_IDLE;
    return tx;
}

static int declare(struct vi_tx *tx, const struct iovec *ranges, int count)
{
    if (tx->segment->own.base->declare(tx, ranges, count) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (vi_ranges_allow(tx, ranges[i].iov_base, ranges[i].iov_len, 0) != 0)
            return -1;
    return 0;
}

/* From here on stores are outside the transaction. */
static void stop(struct vi_ranges *home)
{
    sigset_t before;

    lock(home, &before); /* whoever has a page at hand is done */
    home->state = VI_RANGES_BUSY;
    unlock(home, &before);
}

/* Ends stores, and compares the pages that the log has with what they are now. */
static void compare_pages(struct vi_tx *tx)
{
    const struct vi_item *item;
    struct vi_items items;

    stop(tx->segment->ranges);
    tx->log.stamp = tx->log.cursor.stamp;
    vi_items_begin(&items, tx->segment, &tx->log);
    while ((item = vi_items_next(&items)) != NULL)
        if (item->kind == VI_KIND_UNDO && item->length == VI_PAGE && item->offset % VI_PAGE == 0) {
            const struct vi_segment *owner = item->context;

            if (owner->ranges != NULL)
                vi_undeclared_compare(&owner->ranges->check, item, owner->map.data);
        }
}

/* -1 with EFAULT: it is still open, for it has stored to what was not declared. */
static int commit(struct vi_tx *tx, unsigned mode)
{
    struct vi_ranges *home = tx->segment->ranges;
    int result;

    if (home->check.allowed != NULL)
        compare_pages(tx);
    if (vi_undeclared_found(&home->check, EFAULT, tx->segment)) {
        tx->no_restore = false; /* to abort is all that is left */
        home->state = VI_RANGES_OPEN;
        return -1;
    }
    protect_group(home);
    result = tx->segment->own.base->commit(tx, mode);
    home->state = VI_RANGES_IDLE;
    return result;
}

static void abort_engine(struct vi_tx *tx)
{
    struct vi_ranges *home = tx->segment->ranges;
    const bool refused = home->state == VI_RANGES_BUSY; /* by commit(), which has protected all */

    stop(home);
    home->stuck |= refused;
    for (struct vi_ranges *r = home->stuck ? home : NULL; r != NULL; r = next_of(r))
        vi_protect_set(&r->protect, 0, pages_of(r), true);
    tx->segment->own.base->abort(tx);
    protect_group(home);
    home->state = refused ? VI_RANGES_BUSY : VI_RANGES_IDLE; /* commit() ends the first itself */
}

/* From now on home's group has ranges of this kind around what it has, or no longer. */
static void set_engine(struct vi_ranges *home, bool on)
{
    struct vi_group *group = &home->segment->own;

    if (on) {
        home->engine = *group->base;
        home->engine.gate = VI_GATED;
        home->engine.begin = begin_engine;
        home->engine.declare = declare;
        home->engine.commit = commit;
        home->engine.abort = abort_engine;
    }
    group->engine = on ? &home->engine : group->base;
}

/* ---- Opening, resizing, closing ----------------------------------------- */

/* Before the data shrinks; no transaction is open. */
static void forget_hot(struct vi_ranges *r)
{
    vi_hot_forget(&r->hot, &r->protect);
    if (vi_protect_again(&r->protect, false) != 0)
        r->home->stuck = true;
}

/* So many bytes of data are watched from now on; while there are any, it is one of its group. */
static void set_size(struct vi_ranges *r, size_t size)
{
    const uint64_t old = pages_of(r), pages = size / VI_PAGE;
    sigset_t before;

    lock(r, &before);
    if (pages > old)
        protect(r, old, pages);
    if (pages < old)
        forget_hot(r);
    r->home->budget += vi_ranges_part(r->quota, size) - vi_ranges_part(r->quota, r->size);
    r->size = size;
    if ((old == 0) != (pages == 0)) { /* else others may be looking through the group */
        r->segment->ranges = pages != 0 ? r : NULL;
        if (r->home == r)
            set_engine(r, pages != 0);
    }
    if (r->home->state != VI_RANGES_OPEN)
        r->unlogged_from = pages;
    unlock(r, &before);
}

void vi_ranges_resize(struct vi_segment *segment)
{
    if (segment->ranges != NULL)
        set_size(segment->ranges, segment->map.data_size);
}

static int set_up(struct vi_ranges *r, uint64_t auto_pages, bool check)
{
    const struct vi_segment *segment = r->segment;
    const bool host_faults = vi_process()->host_faults;

    r->quota = auto_pages;
    r->check.home = &r->home->check;
    r->protect.open = vi_reserve(lists_size(segment));
    if (r->protect.open == NULL ||
        (check && (r->check.allowed = vi_reserve(segment->superblock.max_size / 8)) == NULL) ||
        (!host_faults && vi_faults_install() != 0))
        return -1;
    r->protect.touched =
        (uint32_t *)(r->protect.open + segment->superblock.max_size / VI_PAGE / 64 + 1);
    r->base = (uintptr_t)segment->map.data;
    vi_protect_open(&r->protect, segment->map.data, segment->map.data_size,
                    host_faults || segment->map.is_private);
    return 0;
}

static void let_go(struct vi_ranges *r)
{
    set_size(r, 0); /* and whoever has a page at hand is done */
    vi_protect_close(&r->protect);
    vi_release(r->protect.open, lists_size(r->segment));
    vi_release(r->check.allowed, r->segment->superblock.max_size / 8);
    r->check = (struct vi_undeclared){0};
    r->protect.open = NULL;
    r->protect.count = 0;
    r->hot.count = 0;
    r->stuck = false;
    r->state = VI_RANGES_IDLE;
    r->page_log.count = 0;
    vi_faults_give(r);
}

int vi_ranges_open(struct vi_segment *segment, uint64_t auto_pages, bool check)
{
    struct vi_ranges *r = vi_faults_take(segment, vi_ranges_fault), *home;
    struct vi_tx *tx = NULL;

    if (r == NULL)
        return -1;
    r->home = home = vi_is_member(segment) ? vi_home(segment)->ranges : r;
    if (home == r)
        vi_logs_trim(&segment->logs); /* what a killed program's transactions had */
    if (set_up(r, auto_pages, check) == 0 && hold(home)) {
        set_size(r, segment->map.data_size);
        tx = begin(home, 0);
        if (tx != NULL)
            vi_tx_abort(tx);
        else
            set_size(r, 0);
        home->state = VI_RANGES_IDLE;
    }
    if (tx == NULL)
        let_go(r);
    return tx != NULL ? 0 : -1;
}

void vi_ranges_close(struct vi_segment *segment)
{
    if (segment->ranges != NULL)
        let_go(segment->ranges);
}
