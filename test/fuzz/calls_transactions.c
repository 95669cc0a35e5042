/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions begin, declare, store and end: see calls.h.  Every call either does what it
 * says, or fails with a documented errno and a message and leaves all as it was; it may
 * fail for want of space or memory only when a system call was refused or there is in fact
 * no room.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"

/* ---- Beginning and ending ---------------------------------------------- */

bool begin(int act, struct seg *s, unsigned mode)
{
    struct act *a = &acts[act];
    const bool busy = s->log->watch != 0 && open_count(s) != 0;

    if (busy && s->log->watch == VISTA_CHECK_RANGES)
        return false; /* it would wait for the other, two seconds */
    expect();
    a->tx = vista_begin_transaction(s->handle, mode);
    if (a->tx == NULL) {
        REFUSED("vista_begin_transaction", EAGAIN, EROFS, ENOSPC, ENOMEM, EIO, EBUSY);
        HOLDS((errno == EBUSY) == busy, "with automatic ranges, one at a time");
        HOLDS(s->read_only == (errno == EROFS) && (s->read_only || busy || fault_hits() != 0),
              "vista_begin_transaction failed for no reason");
        return false;
    }
    HOLDS(!s->read_only && !busy, "a transaction on a segment mapped read-only, or one more");
    a->log = s->log;
    a->keeps = mode & VISTA_NO_RESTORE;
    a->stores = DECLARED;
    a->opened = false;
    return true;
}

/* Whether it has ended; not if it has stored to what was not declared. */
static bool commit_it(struct act *a, unsigned mode)
{
    expect();
    if (vista_end_transaction(a->tx, mode) == 0) {
        HOLDS(a->stores != UNDECLARED, "a store that was not declared was overlooked");
        return true;
    }
    HOLDS(errno == EFAULT && a->stores != DECLARED, "a commit cannot fail");
    HOLDS(*vista_errormsg() != '\0', "it fails without a message");
    return false;
}

void finish(int act, bool commit, unsigned mode)
{
    struct act *a = &acts[act];
    vista_tx *tx = a->tx;

    if (commit && !commit_it(a, mode)) {
        compare("a commit was refused");
        commit = false;
    } else if (!commit && a->keeps && a->stores == DECLARED) {
        expect();
        HOLDS(vista_abort_transaction(tx) == -1 && errno == EINVAL, "promised not to abort");
        return;
    }
    if (!commit)
        HOLDS(vista_abort_transaction(tx) == 0, "an abort cannot fail");
    expect();
    HOLDS(vista_set_range(tx, a->log->base, 8) == -1 && errno == EINVAL, "the handle has ended");
    settle(act, commit);
    compare(commit ? "committed" : "aborted");
    for (unsigned i = 0; i < SEGMENTS; i++)
        if (segs[i].handle != NULL && segs[i].guarded && open_count(&segs[i]) == 0)
            look_at_rest(&segs[i]);
}

void finish_all(const struct seg *log)
{
    for (int i = 0; i < ACTS; i++)
        if (acts[i].tx != NULL && (log == NULL || acts[i].log == log))
            finish(i, i % 2 == 0 || acts[i].keeps, 0);
}

/* ---- Ranges ------------------------------------------------------------ */

size_t some_length(struct input *input)
{
    const size_t length = take(input, 2);

    switch (length % 4) {
    case 0:
        return length / 4 % 20;
    case 1:
        return length / 4 % 300;
    case 2:
        return length / 4 % 4200;
    default:
        return length * 4;
    }
}

static size_t some_place(struct input *input, const struct seg *s, size_t *length)
{
    size_t at = take(input, 3) % (s->size + 8);

    if (!s->flat && at % 8 != 0) { /* in a block or the root */
        const struct block *b = &blocks[at / 8 % BLOCKS];
        const bool live = b->live && b->in == s;
        const size_t in = live ? b->size : s->root_size, from = live ? b->at : s->root;

        if (in != 0) {
            at = from + at / 8 % in;
            if (*length > from + in - at)
                *length = from + in - at;
        }
    }
    return at;
}

/* By the inlined path where the length is one of these. */
static int declare(vista_tx *tx, void *at, size_t length)
{
    switch (length) {
    case 1:
        return vista_set_range(tx, at, 1);
    case 4:
        return vista_set_range(tx, at, 4);
    case 8:
        return vista_set_range(tx, at, 8);
    case 13:
        return vista_set_range(tx, at, 13);
    case 16:
        return vista_set_range(tx, at, 16);
    case 256:
        return vista_set_range(tx, at, 256);
    default:
        return vista_set_range(tx, at, length);
    }
}

/* In a segment that the transaction covers. */
static bool is_inside(int act, const struct seg *s, size_t at, size_t length)
{
    return s->log == acts[act].log && at <= s->size && length <= s->size - at;
}

/* Declared, and so to be stored to.  What was stored there before may be overlooked. */
static void declared(int act, struct seg *s, size_t at, size_t length)
{
    for (size_t i = at; i < at + length && acts[act].stores == UNDECLARED; i++)
        if (s->owner[i] == act)
            acts[act].stores = MAYBE;
    own(act, s, at, length);
}

static void range_refused(bool inside, const char *call)
{
    REFUSED(call, EINVAL, ENOSPC, ENOMEM, EIO);
    if (inside)
        HOLDS(errno != EINVAL && fault_hits() != 0, "%s failed for no reason", call);
    compare(call);
}

void set_range(struct input *input, int act, struct seg *s)
{
    size_t length = some_length(input);
    const size_t at = some_place(input, s, &length);
    const bool inside = is_inside(act, s, at, length);

    if (inside && (!may_change(act, s, at, length) || acts[act].undo_count == UNDOS))
        return;
    expect();
    if (declare(acts[act].tx, s->base + at, length) != 0) {
        range_refused(inside, "vista_set_range");
        return;
    }
    HOLDS(inside || (length == 0 && s->log != acts[act].log), "a range outside the data");
    if (!inside)
        return;
    declared(act, s, at, length);
    if (length > 0 && take(input, 1) % 8 != 0)
        store(s, at + length / 3, length - length / 3);
}

void set_ranges(struct input *input, int act, unsigned which, bool across)
{
    const int count = (int)(take(input, 1) % 9);
    struct iovec ranges[8];
    struct seg *in[8];
    size_t ats[8];
    bool inside = true;

    for (int i = 0; i < count; i++) {
        size_t length = some_length(input);

        in[i] = &segs[(which + (across ? (unsigned)i : 0)) % SEGMENTS];
        if (!is_there(in[i]))
            in[i] = acts[act].log;
        ats[i] = some_place(input, in[i], &length);
        ranges[i] = (struct iovec){in[i]->base + ats[i], length};
        if (!is_inside(act, in[i], ats[i], length))
            inside = false;
        else if (!may_change(act, in[i], ats[i], length))
            return;
    }
    if (acts[act].undo_count + (unsigned)count > UNDOS)
        return;
    expect();
    if (vista_set_ranges(acts[act].tx, ranges, count) != 0) {
        range_refused(inside, "vista_set_ranges");
        return;
    }
    HOLDS(inside, "a range outside the data");
    for (int i = 0; i < count; i++)
        declared(act, in[i], ats[i], ranges[i].iov_len);
    for (int i = 0; i < count; i++)
        store(in[i], ats[i], ranges[i].iov_len);
}

/* Where a byte becomes another, which the transaction has not declared, nor allocated. */
static size_t first_news(int act, const struct seg *s, size_t at, size_t length)
{
    size_t i = 0;

    while (i < length && (s->owner[at + i] == act || s->base[at + i] == next_byte))
        i++;
    return i;
}

static size_t first_not_owned(int act, const struct seg *s, size_t at, size_t length)
{
    size_t i = 0;

    while (i < length && s->owner[at + i] == act)
        i++;
    return i;
}

void store_undeclared(struct input *input, int act, struct seg *s)
{
    struct act *a = &acts[act];
    size_t length = some_length(input), news, not_owned;
    const size_t at = some_place(input, s, &length);

    if (s->watch == 0 || !is_inside(act, s, at, length) || length == 0 ||
        !may_change(act, s, at, length) || a->undo_count == UNDOS)
        return;
    news = first_news(act, s, at, length);
    not_owned = first_not_owned(act, s, at, length);
    length = try_store(s, at, length);
    if (s->watch == VISTA_CHECK_RANGES && length > not_owned && a->stores != UNDECLARED)
        a->stores = !a->opened && length > news ? UNDECLARED : MAYBE;
    own(act, s, at, length);
    stored(s, at, length);
}

/* Where a page is not open there is no signal, but EFAULT. */
static void store_by_kernel(int act, struct seg *s, size_t at, size_t length)
{
    static int zeros = -1;

    while (zeros < 0) /* not if it is refused */
        zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    own(act, s, at, length);
    HOLDS(read(zeros, s->base + at, length) == (ssize_t)length, "the kernel stores, too");
    memset(s->now + at, 0, length);
    memset(s->known + at, 0xff, length);
}

void open_pages(struct input *input, int act, struct seg *s)
{
    size_t length = some_length(input);
    const size_t at = some_place(input, s, &length);
    const bool inside = is_inside(act, s, at, length);
    const size_t first = at / 4096 * 4096, end = (at + length + 4095) / 4096 * 4096;

    /* Without automatic ranges it declares whole pages, where others may have theirs. */
    if (inside && s->watch == 0 &&
        (!s->flat || !may_change(act, s, first, end - first) || acts[act].undo_count == UNDOS))
        return;
    expect();
    if (vista_open_pages(acts[act].tx, s->base + at, length) != 0) {
        REFUSED("vista_open_pages", EINVAL, ENOSPC, ENOMEM, EIO);
        HOLDS((errno == EINVAL) == !inside, "whether the pages are of its data");
        HOLDS(errno == EINVAL || fault_hits() != 0 || !has_room(s, at, length),
              "vista_open_pages failed for no reason");
        compare("vista_open_pages failed");
        return;
    }
    HOLDS(inside || length == 0, "pages outside the data");
    acts[act].opened = true;
    if (acts[act].stores == UNDECLARED)
        acts[act].stores = MAYBE;
    if (inside && s->watch == 0)
        own(act, s, first, end - first);
    if (inside && may_change(act, s, at, length) && acts[act].undo_count < UNDOS)
        store_by_kernel(act, s, at, length);
}
