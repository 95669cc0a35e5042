/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Stores, of which some are refused: outside a transaction, past auto_pages, on a full disk.
 * The fault then comes to the program's handler, and vista_errormsg() says why.  See calls.h.
 */
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "calls.h"
#include "core/segment.h"
#include "ranges/ranges.h"

#define PAGE ((size_t)4096)

static struct sigaction before[2]; /* who had SIGSEGV and SIGBUS */
static sigjmp_buf back;
static volatile bool storing;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    if (vista_fault(info, context) == 1)
        return;
    if (storing)
        siglongjmp(back, 1);
    before[signal == SIGBUS].sa_sigaction(signal, info, context);
}

void take_signals(void)
{
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction now;

    for (int i = 0; i < 2; i++) {
        HOLDS(sigaction(i == 0 ? SIGSEGV : SIGBUS, &action, &now) == 0, "sigaction");
        if (before[i].sa_sigaction == NULL)
            before[i] = now;
    }
}

/* Page by page, as far as none is refused: so many bytes. */
static size_t store_while_possible(unsigned char *to, size_t length)
{
    volatile size_t done = 0;

    storing = true;
    if (sigsetjmp(back, 1) == 0)
        while (done < length) {
            const size_t left = PAGE - (uintptr_t)(to + done) % PAGE;

            ((volatile unsigned char *)to)[done] = next_byte; /* here, or not in this page */
            memset(to + done, next_byte, left < length - done ? left : length - done);
            done += left < length - done ? left : length - done;
        }
    storing = false;
    return done;
}

/* Pages of automatic ranges that are left. */
static size_t pages_left(const struct seg *s)
{
    struct vista_info info;

    if (s->watch != VISTA_AUTO_RANGE)
        return SIZE_MAX;
    HOLDS(s->handle == NULL || vista_info(s->handle, &info) == 0, "vista_info");
    return s->handle != NULL ? info.pages_left : 0; /* not to be known */
}

bool has_room(const struct seg *s, size_t at, size_t length)
{
    return pages_left(s) >= (at + length - 1) / PAGE - at / PAGE + 1;
}

size_t try_store(const struct seg *s, size_t at, size_t length)
{
    size_t stored;

    if (length == 0)
        return 0;
    expect();
    stored = store_while_possible(s->base + at, length);
    if (stored == length)
        return stored;
    HOLDS(s->watch != 0 || s->read_only, "a store is refused where nothing is watched");
    HOLDS(s->read_only || strstr(vista_errormsg(), "stored to") != NULL,
          "it is refused without a message");
    HOLDS(s->read_only || open_count(s) == 0 || !has_room(s, at + stored, 1) ||
              (fault_hits() != 0 && ((s->flat && s->sparse) || !has_room(s, 0, s->size))),
          "a store is refused for no reason");
    return stored;
}

void stored(struct seg *s, size_t at, size_t length)
{
    memset(s->now + at, next_byte, length);
    memset(s->known + at, 0xff, length);
    next_byte++;
}

void store(struct seg *s, size_t at, size_t length)
{
    stored(s, at, try_store(s, at, length));
}

/* Hot pages stay open between transactions, and so do all where one could not be protected
 * again. */
static bool stay_open(const struct seg *s, size_t at, size_t length)
{
    const struct vi_segment *segment = (const struct vi_segment *)s->handle;
    const struct vi_ranges *ranges = segment != NULL ? segment->ranges : NULL;

    if (ranges == NULL || ranges->home->stuck)
        return true;
    for (uint32_t i = 0; i < ranges->hot.count; i++)
        if (ranges->hot.page[i].page >= at / PAGE &&
            ranges->hot.page[i].page <= (at + length - 1) / PAGE)
            return true;
    return false;
}

void store_outside(struct input *input, struct seg *s)
{
    const size_t length = some_length(input), at = take(input, 3) % s->size;

    if (length > s->size - at || open_count(s) != 0 || s->guarded ||
        (s->watch == VISTA_AUTO_RANGE && length != 0 && stay_open(s, at, length)) ||
        (s->watch == 0 && !s->read_only))
        return;
    HOLDS(try_store(s, at, length) == 0, "a store outside any transaction");
    compare("it stored outside any transaction");
}
