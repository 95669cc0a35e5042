/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls that messages stand on, over plain memory: nothing is logged, nothing lasts.
 */
#define VISTA_INLINE
#include "vista.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/error.h"

#define HOOKS 128

/* The inlined beginning finds a closed handle, and so comes here. */
static struct vista_tx closed = {.limit1 = VISTA_INLINE_CLOSED};
static __thread vista_tx *entry = &closed;
static struct vista_segment the_segment = {.idle = 5};
static struct vista_tx the_tx = {.limit1 = 7, .idle = 5};
static struct {
    void (*fn)(void *arg, int outcome);
    void *arg;
} hooks[HOOKS];
static int count;

vista_tx *vista_begin_out_of_line(vista_segment *segment, unsigned mode)
{
    (void)segment, (void)mode;
    return &the_tx;
}

int vista_set_range_out_of_line(vista_tx *tx, void *address, size_t length)
{
    (void)tx, (void)address, (void)length;
    return 0;
}

void vista_inline_find_segment(vista_tx *tx, const void *address)
{
    (void)tx, (void)address;
}

int vista_set_ranges_out_of_line(vista_tx *tx, const struct iovec *ranges, int all)
{
    (void)tx, (void)ranges, (void)all;
    return 0;
}

int vista_end_out_of_line(vista_tx *tx, unsigned mode)
{
    const int all = count;

    (void)mode;
    tx->stamp++;
    count = 0;
    for (int i = 0; i < all; i++)
        hooks[i].fn(hooks[i].arg, 1);
    return 0;
}

int vista_abort_transaction(vista_tx *tx)
{
    (void)tx;
    abort();
}

int vista_on_end(vista_tx *tx, void (*fn)(void *arg, int outcome), void *arg)
{
    (void)tx;
    hooks[count].fn = fn;
    hooks[count++].arg = arg;
    return 0;
}

vista_segment *vista_map(const char *path, size_t size, unsigned flags,
                         const struct vista_map_options *options)
{
    (void)path, (void)size, (void)flags, (void)options;
    the_segment.entry = (uintptr_t)&entry - (uintptr_t)__builtin_thread_pointer();
    return &the_segment;
}

void *vista_root(vista_segment *segment, size_t size)
{
    (void)segment;
    return calloc(1, size);
}

void *vista_malloc(vista_tx *tx, size_t size)
{
    (void)tx;
    return malloc(size);
}

void *vista_calloc(vista_tx *tx, size_t members, size_t size)
{
    (void)tx;
    return calloc(members, size);
}

int vista_free(vista_tx *tx, void *address)
{
    (void)tx;
    free(address);
    return 0;
}

size_t vista_usable_size(vista_segment *segment, const void *address)
{
    (void)segment;
    return malloc_usable_size((void *)(uintptr_t)address);
}

size_t vista_size(const vista_segment *segment)
{
    (void)segment;
    return SIZE_MAX;
}

int vista_info(const vista_segment *segment, struct vista_info *out)
{
    (void)segment;
    memset(out, 0, sizeof *out);
    out->path = "plain memory";
    out->durability = VISTA_KILL_SAFE;
    return 0;
}

int vista_hold(vista_segment *segment)
{
    (void)segment;
    return 0;
}

int vista_drop(vista_segment *segment)
{
    (void)segment;
    return 0;
}

const char *vista_errormsg(void)
{
    return vi_error_message();
}
