/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Automatic ranges: see ranges.h.
 */
#include "ranges/ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "base/arena.h"
#include "base/error.h"
#include "ranges/faults.h"

/* Touched pages within so few are protected again by one call, which costs less than
 * a call for each. */
#define ONE_CALL 512u

#define CHECK_WAIT_MS 2000u /* VISTA_CHECK_RANGES: for another transaction to end */

static uint64_t pages_of(const struct vi_segment *segment)
{
    return segment->map.data_size / VI_PAGE;
}

static size_t bitmap_size(const struct vi_segment *segment)
{
    return (segment->superblock.max_size / VI_PAGE / 64 + 1) * sizeof(uint64_t);
}

static size_t list_size(const struct vi_segment *segment)
{
    return segment->superblock.max_size / VI_PAGE * sizeof(uint32_t);
}

static void lock(struct vi_ranges *r, sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    pthread_mutex_lock(&r->lock);
}

static void unlock(struct vi_ranges *r, const sigset_t *before)
{
    pthread_mutex_unlock(&r->lock);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* ---- Pages ------------------------------------------------------------- */

static bool is_open(const struct vi_ranges *r, uint64_t page)
{
    return r->open[page / 64] >> page % 64 & 1;
}

static void mark(struct vi_ranges *r, uint64_t page, uint64_t end)
{
    for (; page < end; page++) {
        r->open[page / 64] |= (uint64_t)1 << page % 64;
        r->touched[r->count++] = (uint32_t)page;
    }
}

/* Flat and sparse: disk blocks are allocated at the first touch of 2 MiB.  Not by
 * vi_segment_back, which has a lock of its own. */
static int back(struct vi_segment *segment, uint64_t page, uint64_t end)
{
    const uint64_t pages = VI_HUGE_PAGE / VI_PAGE;
    int error = 0;

    if (segment->backed == NULL || segment->heap != NULL)
        return 0;
    for (uint64_t group = page / pages; group * pages < end && error == 0; group++) {
        const uint64_t at = group * VI_HUGE_PAGE, left = segment->map.data_size - at;
        const uint64_t bit = (uint64_t)1 << group % 64;

        if (__atomic_load_n(&segment->backed[group / 64], __ATOMIC_ACQUIRE) & bit)
            continue;
        error = posix_fallocate(segment->file.fd, (off_t)(segment->superblock.data_offset + at),
                                (off_t)(left < VI_HUGE_PAGE ? left : VI_HUGE_PAGE));
        if (error == 0)
            __atomic_fetch_or(&segment->backed[group / 64], bit, __ATOMIC_RELEASE);
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

/* Logs closed pages, durably; ENOSPC when there is no room for all of them. */
static int log_pages(struct vi_ranges *r, uint64_t page, uint64_t end)
{
    if (end - page > r->left) {
        errno = ENOSPC;
        return -1;
    }
    r->left -= end - page;
    for (; page < end; page++)
        vi_aside_append(&r->aside, r->protect.base + page * VI_PAGE);
    vi_log_flush(&r->aside.log);
    return 0;
}

/* The kernel refuses more mappings: a run of closed pages that needs none, with
 * `*page` to `*end` in it.  It reaches to an open page, or is all. */
static void widen(const struct vi_ranges *r, uint64_t pages, uint64_t *page, uint64_t *end)
{
    uint64_t low = *page, high = *end;

    while (low > 0 && !is_open(r, low - 1))
        low--;
    while (high < pages && !is_open(r, high))
        high++;
    if (low > 0 && (high == pages || *page - low <= high - *end)) {
        *page = low;
    } else if (high < pages) {
        *end = high;
    } else {
        *page = low;
        *end = high;
    }
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
        widen(r, pages_of(r->segment), &low, &high);
        if (log_pages(r, low, page) != 0 || log_pages(r, end, high) != 0 ||
            vi_protect_set(&r->protect, low, high - low, true) != 0)
            return -1;
    }
    mark(r, low, high);
    return 0;
}

static void protect(struct vi_ranges *r, uint64_t page, uint64_t end)
{
    if (!r->stuck)
        r->stuck = vi_protect_set(&r->protect, page, end - page, false) != 0;
}

/* Protects again what was opened: pages close to each other by one call, others run
 * by run. */
static void protect_again(struct vi_ranges *r)
{
    uint64_t low = UINT64_MAX, high = 0;
    bool at_once;

    for (uint64_t i = 0; i < r->count; i++) {
        low = r->touched[i] < low ? r->touched[i] : low;
        high = r->touched[i] >= high ? r->touched[i] + (uint64_t)1 : high;
    }
    at_once = r->count != 0 && high - low <= ONE_CALL;
    if (at_once)
        protect(r, low, high);
    for (uint64_t i = 0; i < r->count; i++) {
        if (!is_open(r, r->touched[i]))
            continue;
        for (low = r->touched[i]; low > 0 && is_open(r, low - 1);)
            low--;
        for (high = low; is_open(r, high); high++)
            r->open[high / 64] &= ~((uint64_t)1 << high % 64);
        if (!at_once)
            protect(r, low, high);
    }
    r->count = 0;
    r->left = r->aside.count;
    vi_undeclared_forget(&r->check, r->segment->superblock.max_size);
    if (r->stuck)
        r->stuck = vi_protect_set(&r->protect, 0, pages_of(r->segment), false) != 0;
}

bool vi_ranges_fault(struct vi_ranges *r, struct vi_note store)
{
    const uint64_t page = (store.address - r->base) / VI_PAGE;
    const char *why = NULL;
    struct stat st;

    pthread_mutex_lock(&r->lock);
    if (r->state != VI_RANGES_OPEN) {
        why = "was stored to outside any transaction";
    } else if (is_open(r, page)) { /* by another thread, just now */
        if (r->protect.fd >= 0 && fstat(r->segment->file.fd, &st) == 0 &&
            (uint64_t)st.st_size <= r->segment->superblock.data_offset + page * VI_PAGE)
            why = "is behind the end of the file";
    } else if (open_pages(r, page, page + 1) != 0) {
        why = errno == ENOSPC ? "cannot be stored to: no room for one more of auto_pages, or on "
                                "the disk"
                              : "cannot be stored to: the kernel does not open the page";
    }
    if (why == NULL)
        vi_undeclared_store(&r->check, store.address - r->base, store);
    pthread_mutex_unlock(&r->lock);
    if (why != NULL)
        vi_error_fault(r->segment->path, store.address, why);
    return why == NULL;
}

void vi_ranges_count(struct vi_ranges *r, uint64_t *touched, uint64_t *left)
{
    sigset_t before;

    lock(r, &before);
    *touched = r->count;
    *left = r->left;
    unlock(r, &before);
}

int vi_ranges_prepare(struct vi_tx *tx, const void *address, size_t length)
{
    struct vi_ranges *r = tx->segment->ranges;
    uint64_t page, end, closed = 0;
    sigset_t before;
    int result = 0;

    if (r == NULL || length == 0)
        return 0;
    page = ((uintptr_t)address - r->base) / VI_PAGE;
    end = ((uintptr_t)address - r->base + length + VI_PAGE - 1) / VI_PAGE;
    lock(r, &before);
    for (uint64_t at = page; at < end; at++)
        closed += !is_open(r, at);
    if (closed > r->left) {
        result = -1;
        errno = ENOSPC;
    }
    while (result == 0 && page < end) {
        uint64_t run = page;

        while (run < end && !is_open(r, run))
            run++;
        if (run > page)
            result = open_pages(r, page, run);
        page = run + 1;
    }
    unlock(r, &before);
    if (result != 0)
        vi_fail_system(errno, "%s: %llu pages are to be opened, %llu are left of auto_pages",
                       tx->segment->path, (unsigned long long)closed, (unsigned long long)r->left);
    return result;
}

int vi_ranges_allow(struct vi_tx *tx, const void *address, size_t length)
{
    struct vi_ranges *r = tx->segment->ranges;

    if (r == NULL || r->check.allowed == NULL)
        return 0;
    vi_undeclared_allow(&r->check, (uintptr_t)address - r->base, length);
    return vi_ranges_prepare(tx, address, length);
}

/* ---- Transactions ------------------------------------------------------ */

bool vi_ranges_found(struct vi_segment *segment)
{
    struct vi_ranges *r = segment->ranges;

    if (r == NULL || r->check.count == 0)
        return false;
    vi_undeclared_report(&r->check, EBUSY, r->protect.base, segment->path);
    return true;
}

/* A program that is but checked may have many transactions: one waits for the other,
 * unless that is only to end after it. */
static bool take(struct vi_ranges *r)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int state = VI_RANGES_IDLE;

    for (unsigned ms = 0; !atomic_compare_exchange_strong(&r->state, &state, VI_RANGES_BUSY);
         ms++) {
        if (state != VI_RANGES_IDLE &&
            (r->check.allowed == NULL || r->check.count != 0 || ms > CHECK_WAIT_MS))
            return false;
        if (state != VI_RANGES_IDLE)
            nanosleep(&pause, NULL);
        state = VI_RANGES_IDLE;
    }
    return true;
}

struct vi_tx *vi_ranges_begin(struct vi_segment *segment, unsigned mode)
{
    struct vi_ranges *r = segment->ranges;
    struct vi_tx *tx;

    if (r == NULL)
        return vi_tx_begin(segment, mode);
    if (!take(r)) {
        if (!vi_ranges_found(segment))
            vi_fail(EBUSY, "%s: a transaction is open, and with automatic ranges only one can be",
                    segment->path);
        return NULL;
    }
    tx = vi_tx_begin(segment, mode);
    if (r->stuck)
        protect_again(r);
    if (tx != NULL && r->stuck) {
        vi_tx_abort(tx);
        vi_fail_system(errno, "%s: its pages cannot be protected", segment->path);
        tx = NULL;
    }
    if (tx != NULL) {
        vi_aside_begin(&r->aside, &tx->log);
        tx->range_count = VI_RANGES_KEPT + 1; /* what to flush is read from the log */
        r->left = r->aside.count;
    }
    r->state = tx != NULL ? VI_RANGES_OPEN : VI_RANGES_IDLE;
    return tx;
}

/* From here on stores are outside the transaction. */
static void stop(struct vi_ranges *r)
{
    sigset_t before;

    lock(r, &before); /* whoever has a page at hand is done */
    r->state = VI_RANGES_BUSY;
    unlock(r, &before);
}

int vi_ranges_commit(struct vi_tx *tx)
{
    struct vi_ranges *r = tx->segment->ranges;

    if (r == NULL) {
        vi_tx_commit(tx);
        return 0;
    }
    stop(r);
    if (r->check.allowed != NULL &&
        !vi_undeclared_none(&r->check, &tx->log, r->protect.base, tx->segment->path)) {
        r->state = VI_RANGES_OPEN;
        return -1;
    }
    protect_again(r);
    vi_tx_commit(tx);
    r->state = VI_RANGES_IDLE;
    return 0;
}

/* Opens the pages that explicit ranges are to be copied back to. */
static void open_declared(struct vi_ranges *r, struct vi_log *log)
{
    const struct vi_record *record;
    struct vi_walk walk;

    vi_walk_begin(&walk, log, log->cursor.stamp, false);
    while ((record = vi_walk_next(&walk)) != NULL) {
        const uint64_t end = (record->offset + record->length + VI_PAGE - 1) / VI_PAGE;

        if (record->kind != VI_KIND_UNDO)
            continue;
        for (uint64_t page = record->offset / VI_PAGE; page < end; page++)
            if (!is_open(r, page)) {
                if (vi_protect_set(&r->protect, page, 1, true) == 0)
                    mark(r, page, page + 1);
                else
                    r->stuck = vi_protect_set(&r->protect, 0, pages_of(r->segment), true) == 0;
            }
    }
}

void vi_ranges_abort(struct vi_tx *tx)
{
    struct vi_ranges *r = tx->segment->ranges;

    if (r != NULL) {
        stop(r);
        open_declared(r, &tx->log);
    }
    vi_tx_abort(tx);
    if (r != NULL) {
        protect_again(r);
        r->state = VI_RANGES_IDLE;
    }
}

/* ---- Opening and closing ----------------------------------------------- */

/* Sets log space aside, in the handle that will be the only one. */
static int reserve(struct vi_segment *segment, uint64_t pages)
{
    struct vi_tx *tx;
    int result;

    vi_logs_trim(&segment->logs); /* what a killed program's transactions had */
    tx = vi_tx_begin(segment, 0);
    if (tx == NULL)
        return -1;
    result = vi_aside_reserve(&segment->ranges->aside, &tx->log, VI_PAGE, pages);
    vi_tx_abort(tx);
    return result;
}

int vi_ranges_open(struct vi_segment *segment, uint64_t auto_pages, bool check)
{
    const uint64_t pages = pages_of(segment);
    const bool host_faults = vi_process()->host_faults;
    struct vi_ranges *r = vi_faults_take(segment);

    if (r == NULL)
        return -1;
    segment->ranges = r;
    r->open = vi_reserve(bitmap_size(segment));
    r->touched = vi_reserve(list_size(segment));
    if (r->open == NULL || r->touched == NULL ||
        (check && vi_undeclared_open(&r->check, segment->superblock.max_size) != 0) ||
        reserve(segment, auto_pages != 0 && auto_pages < pages ? auto_pages : pages) != 0)
        return -1;
    r->left = r->aside.count;
    if (!host_faults && vi_faults_install() != 0)
        return -1;
    vi_protect_open(&r->protect, segment->map.data, segment->map.data_size, host_faults);
    r->base = (uintptr_t)segment->map.data;
    r->size = segment->map.data_size;
    if (vi_protect_set(&r->protect, 0, pages, false) == 0)
        return 0;
    return vi_fail_system(errno, "%s: cannot protect its pages", segment->path);
}

void vi_ranges_close(struct vi_segment *segment)
{
    struct vi_ranges *r = segment->ranges;

    if (r == NULL)
        return;
    stop(r);
    r->size = 0;
    r->state = VI_RANGES_IDLE;
    r->count = 0;
    r->stuck = false;
    vi_protect_close(&r->protect);
    vi_release(r->open, bitmap_size(segment));
    vi_release(r->touched, list_size(segment));
    vi_undeclared_close(&r->check, segment->superblock.max_size);
    r->open = NULL;
    r->touched = NULL;
    segment->ranges = NULL;
    vi_faults_give(r);
}
