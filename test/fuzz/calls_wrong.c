/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calls that make no sense: each fails with the errno that is documented and a message,
 * and changes nothing.  See calls.h.
 */
#include <sys/uio.h>

#include "calls.h"

#define FAILS(call, error) \
    do { \
        expect(); \
        HOLDS((call) && errno == (error) && *vista_errormsg() != '\0', "of a wrong call"); \
    } while (0)

#define LATER 0x7000u /* flags of a later release */

/* With a file that is mapped: so it is never taken. */
static void map_wrongly(struct input *input, const struct seg *s)
{
    const unsigned which = (unsigned)take(input, 1), flags = (unsigned)take(input, 2);
    const size_t number = take(input, 3);
    const struct vista_map_options options = {
        .address = (void *)(which & 1 ? number << 27 : 0),
        .max_size = which & 2 ? number : 0,
        .log = which & 4 ? s->handle : NULL,
        .mode = which & 8 ? (mode_t)number : 0,
        .auto_pages = which & 16 ? number : 0,
        .reserved = {0, which & 32 ? number : 0},
    };

    file_use(index_of(s));
    expect();
    HOLDS(vista_map(file_path, which & 64 ? number : 0, flags, &options) == NULL, "mapped twice");
    REFUSED("vista_map of what is mapped", EINVAL, EBUSY, EEXIST, ENOTSUP);
    HOLDS(errno != ENOTSUP || flags & (VISTA_POWER_SAFE | LATER),
          "nothing was asked for that is not");
    FAILS(vista_map(which & 1 ? "" : NULL, number, flags, &options) == NULL, EINVAL);
}

static void without_transaction(vista_segment *segment, void *at)
{
    struct iovec range = {at, 8};

    FAILS(vista_set_range(NULL, at, 8) == -1, EINVAL);
    FAILS(vista_set_ranges(NULL, &range, 1) == -1, EINVAL);
    FAILS(vista_open_pages(NULL, at, 8) == -1, EINVAL);
    FAILS(vista_malloc(NULL, 8) == NULL, EINVAL);
    FAILS(vista_malloc_in(NULL, segment, 8) == NULL, EINVAL);
    FAILS(vista_calloc(NULL, 8, 8) == NULL, EINVAL);
    FAILS(vista_realloc(NULL, at, 8) == NULL, EINVAL);
    FAILS(vista_free(NULL, at) == -1, EINVAL);
    FAILS(vista_end_transaction(NULL, 0) == -1, EINVAL);
    FAILS(vista_abort_transaction(NULL) == -1, EINVAL);
}

static void without_segment(void *at)
{
    struct vista_info info;

    FAILS(vista_begin_transaction(NULL, 0) == NULL, EINVAL);
    FAILS(vista_base(NULL) == NULL, EINVAL);
    FAILS(vista_size(NULL) == 0, EINVAL);
    FAILS(vista_info(NULL, &info) == -1, EINVAL);
    FAILS(vista_resize(NULL, 4096) == -1, EINVAL);
    FAILS(vista_flush(NULL) == -1, EINVAL);
    FAILS(vista_root(NULL, 8) == NULL, EINVAL);
    FAILS(vista_usable_size(NULL, at) == 0, EINVAL);
    FAILS(vista_unmap(NULL) == -1, EINVAL);
}

/* The transaction stays open. */
static void in_transaction(struct input *input, struct act *a, struct seg *s)
{
    const unsigned number = (unsigned)take(input, 2);
    const bool flat = a->log->flat;
    struct iovec range = {s->base, 8};

    FAILS(vista_set_ranges(a->tx, &range, -1 - (int)number) == -1, EINVAL);
    FAILS(vista_set_ranges(a->tx, NULL, 1 + (int)number) == -1, EINVAL);
    FAILS(vista_end_transaction(a->tx, 3 + number) == -1, EINVAL);
    FAILS(vista_malloc_in(a->tx, NULL, number) == NULL, EINVAL);
    expect();
    HOLDS(vista_malloc(a->tx, SIZE_MAX - number) == NULL, "a block of all there is");
    REFUSED("vista_malloc of all there is", ENOMEM, ENOSPC, ENOTSUP);
    FAILS(vista_calloc(a->tx, SIZE_MAX / (2 + number) + 1, 2 + number) == NULL,
          flat ? ENOTSUP : ENOMEM);
    FAILS(vista_open_pages(a->tx, s->base + s->size + number * 4096, 1) == -1, EINVAL);
}

static int stop(void *context, void *address, size_t size)
{
    (void)address;
    (void)size;
    return --*(int *)context == 0;
}

static void of_segment(struct input *input, struct seg *s)
{
    const uint64_t count = committed_blocks(s);
    const unsigned number = (unsigned)take(input, 2);
    int left = 1 + (int)(number % 8);

    FAILS(vista_begin_transaction(s->handle, 2 + number) == NULL, EINVAL);
    FAILS(vista_info(s->handle, NULL) == -1, EINVAL);
    FAILS(vista_heap_walk(s->handle, NULL, NULL) == -1, s->flat ? ENOTSUP : EINVAL);
    if (!s->flat && (uint64_t)left <= count)
        FAILS(vista_heap_walk(s->handle, stop, &left) == -1, ECANCELED);
    FAILS(vista_check(NULL, 0, NULL, NULL) == -1, EINVAL);
    FAILS(vista_check(file_path, 1 + number, NULL, NULL) == -1, EINVAL);
    FAILS(vista_init(&(struct vista_options){.force_class = VISTA_CLASS_DISK + 1 + number}) == -1,
          EINVAL);
    FAILS(vista_init(&(struct vista_options){.flags = 2 + number}) == -1, EINVAL);
    HOLDS(vista_fault(NULL, NULL) == 0, "no fault");
}

void call_wrongly(struct input *input, int act, struct seg *s)
{
    fault_clear();
    switch (take(input, 1) % 8) {
    case 0:
        without_transaction(s->handle, s->base);
        break;
    case 1:
        without_segment(s->base);
        break;
    case 2:
    case 3:
        of_segment(input, s);
        break;
    case 4:
    case 5:
        if (acts[act].tx != NULL)
            in_transaction(input, &acts[act], s);
        break;
    default:
        map_wrongly(input, s);
    }
    compare("after wrong calls");
}
