/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sequences of calls against a model in plain memory, with system calls that are
 * refused in their midst.
 *
 * The model holds each byte that a program may rely on, whose it is (a block, a range
 * that an open transaction has declared) and what it was before; so it knows what an
 * abort, a commit and the death of the process must leave.  Every call either does what
 * it says, or fails with a documented errno and a message and leaves all as it was;
 * it may fail for want of space or memory only when a system call was refused or there
 * is in fact no room.
 *
 * Input: what segment, how mapped | operations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"

#define KIB ((size_t)1024)
#define SIZE_MAX_DATA (256 * KIB)
#define ACTS 5
#define BLOCKS 256
#define UNDOS 512
#define OPERATIONS_MAX 300u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { NO_ONE = 255 };

struct block {
    bool live; /* there, also when `freed_by` will free it */
    uint32_t at, size;
    uint8_t by, freed_by; /* acts, NO_ONE: none */
};

struct undo {
    uint32_t at, length;
    unsigned char *old, *old_known;
};

static bool talk; /* FUZZ_TALK is set: says what an input does */

static struct {
    vista_segment *segment;
    unsigned char *base, *home; /* where it is, and where it was made */
    size_t size;
    unsigned flags, class;
    bool flat, read_only, grows;
    vista_tx *tx[ACTS];
    bool keeps[ACTS]; /* begun VISTA_NO_RESTORE */
    struct undo undos[ACTS][UNDOS];
    unsigned undo_count[ACTS];
    struct block blocks[BLOCKS];
    uint32_t root, root_size;                       /* of the committed root; size 0: none */
    _Alignas(8) unsigned char now[SIZE_MAX_DATA];   /* what each byte is, */
    _Alignas(8) unsigned char known[SIZE_MAX_DATA]; /* 0xff if that is known, */
    uint8_t owner[SIZE_MAX_DATA]; /* and who alone may change it: an act, NO_ONE */
    uint64_t cancelled[ACTS];     /* bytes allocated and freed in its transaction, in whole pages */
    bool clean;                   /* the last mapping ended well */
    unsigned char next_byte;
} m;

/* ---- The model --------------------------------------------------------- */

__attribute__((no_sanitize("address", "undefined"))) static void compare(const char *when)
{
    const uint64_t *is = (const uint64_t *)m.base, *now = (const uint64_t *)m.now,
                   *known = (const uint64_t *)m.known;

    if (m.segment == NULL)
        return;
    for (size_t i = 0; i < m.size / sizeof *is; i++)
        HOLDS(((is[i] ^ now[i]) & known[i]) == 0,
              "%s: at %zu there is %016llx, it should be %016llx (of which %016llx is known)", when,
              i * sizeof *is, (unsigned long long)is[i], (unsigned long long)now[i],
              (unsigned long long)known[i]);
}

static void forget(struct undo *undo)
{
    free(undo->old);
    *undo = (struct undo){0};
}

static void remember(int act, size_t at, size_t length)
{
    struct undo *undo = &m.undos[act][m.undo_count[act]++];

    *undo = (struct undo){(uint32_t)at, (uint32_t)length, malloc(2 * length + 1), NULL};
    HOLDS(undo->old != NULL, "malloc");
    undo->old_known = undo->old + length;
    memcpy(undo->old, m.now + at, length);
    memcpy(undo->old_known, m.known + at, length);
}

/* Stores to the segment and to the model. */
static void store(size_t at, size_t length)
{
    memset(m.base + at, m.next_byte, length);
    memset(m.now + at, m.next_byte++, length);
    memset(m.known + at, 0xff, length);
}

static void unknown(size_t at, size_t length)
{
    memset(m.known + at, 0, length);
    memset(m.owner + at, NO_ONE, length);
}

/* What act's end does to the model. */
static void settle(int act, bool committed)
{
    for (unsigned i = m.undo_count[act]; i-- > 0;) {
        struct undo *undo = &m.undos[act][i];

        if (!committed) {
            memcpy(m.now + undo->at, undo->old, undo->length);
            memcpy(m.known + undo->at, undo->old_known, undo->length);
        }
        memset(m.owner + undo->at, NO_ONE, undo->length);
        forget(undo);
    }
    m.undo_count[act] = 0;
    m.cancelled[act] = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        struct block *b = &m.blocks[i];

        if (!b->live || (b->by != act && b->freed_by != act))
            continue;
        if (committed ? b->freed_by == act : b->by == act) {
            unknown(b->at, b->size);
            b->live = false;
        } else if (b->by == act) {
            memset(m.owner + b->at, NO_ONE, b->size);
        }
        if (b->by == act)
            b->by = NO_ONE;
        if (b->freed_by == act)
            b->freed_by = NO_ONE;
    }
    m.tx[act] = NULL;
}

static unsigned open_count(void)
{
    unsigned count = 0;

    for (int i = 0; i < ACTS; i++)
        count += m.tx[i] != NULL;
    return count;
}

/* Allocated blocks as they will be when every open transaction is rolled back. */
static uint64_t committed_blocks(void)
{
    uint64_t count = m.root_size != 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        count += m.blocks[i].live && m.blocks[i].by == NO_ONE;
    return count;
}

/* ---- Mapping ----------------------------------------------------------- */

static const struct vista_map_options where = {.address = (void *)0x551234400000,
                                               .max_size = SIZE_MAX_DATA};

static void set_class(unsigned class)
{
    const struct vista_options options = {.force_class = class};

    HOLDS(vista_init(&options) == 0, "vista_init");
}

/* Maps, or is refused something and maps then without being refused it. */
static void map(unsigned flags)
{
    expect();
    m.segment = vista_map(file_path, 0, flags, NULL);
    if (m.segment == NULL && errno == ECANCELED && boot_id_refused) {
        expect();
        flags |= VISTA_ACCEPT_TORN;
        m.segment = vista_map(file_path, 0, flags, NULL);
    }
    if (m.segment == NULL) {
        HOLDS(fault_hits() != 0, "vista_map failed for no reason");
        if (boot_id_refused && !(flags & VISTA_READ_ONLY))
            flags |= VISTA_ACCEPT_TORN;
        REFUSED("vista_map", ENOMEM, ENOSPC, EIO, EFBIG, EMFILE, ENOLCK, EEXIST, EINVAL, EINTR,
                ECANCELED);
        fault_clear();
        expect();
        m.segment = vista_map(file_path, 0, flags, NULL);
        HOLDS(m.segment != NULL, "vista_map, now that nothing is refused");
    }
    HOLDS(vista_base(m.segment) == m.home || flags & VISTA_ANY_ADDRESS, "the same address");
    m.base = vista_base(m.segment);
    HOLDS(m.base != NULL && vista_size(m.segment) == m.size, "the same segment");
    m.read_only = flags & VISTA_READ_ONLY;
    m.grows = flags & VISTA_GROW;
    compare("mapped again");
}

static void check_file(void)
{
    uint64_t blocks = 0;

    fault_clear();
    expect();
    HOLDS(file_sound(&blocks), "vista_check");
    if (!m.flat)
        HOLDS(blocks == committed_blocks(), "%llu blocks are allocated, %llu should be",
              (unsigned long long)blocks, (unsigned long long)committed_blocks());
}

/* Ends this mapping: well, or as a kill would. */
static void leave(bool killed)
{
    int result;

    m.clean = false;
    if (killed) {
        fault_clear();
        die(m.segment);
        for (int i = 0; i < ACTS; i++)
            settle(i, false);
    } else {
        expect();
        result = vista_unmap(m.segment);
        if (result != 0 && open_count() != 0) {
            HOLDS(errno == EBUSY && *vista_errormsg() != '\0', "transactions are open");
            compare("unmapping was refused");
            return;
        }
        HOLDS(open_count() == 0, "unmapped with open transactions");
        if (result != 0) {
            HOLDS(fault_hits() != 0, "vista_unmap failed for no reason");
            REFUSED("vista_unmap", EIO, ENOSPC, ENOMEM);
        } else {
            m.clean = true;
            check_file();
        }
        expect();
        HOLDS(vista_size(m.segment) == 0 && errno == EINVAL, "the handle ends");
    }
    m.segment = NULL;
}

/* ---- Operations -------------------------------------------------------- */

static bool begin(int act, unsigned mode)
{
    expect();
    m.tx[act] = vista_begin_transaction(m.segment, mode);
    if (m.tx[act] == NULL) {
        REFUSED("vista_begin_transaction", EAGAIN, EROFS, ENOSPC, ENOMEM, EIO);
        HOLDS(m.read_only == (errno == EROFS) && (m.read_only || fault_hits() != 0),
              "vista_begin_transaction failed for no reason");
        return false;
    }
    HOLDS(!m.read_only, "a transaction on a segment mapped read-only");
    m.keeps[act] = mode & VISTA_NO_RESTORE;
    return true;
}

/* Bytes that `act` may declare and store to: of no other transaction and, in a heap,
 * inside one block or the root. */
static bool may_change(int act, size_t at, size_t length)
{
    for (size_t i = at; i < at + length; i++)
        if (m.owner[i] != NO_ONE && m.owner[i] != act)
            return false;
    if (m.flat)
        return true;
    if (m.root_size != 0 && at >= m.root && at + length <= m.root + m.root_size)
        return true;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (m.blocks[i].live && m.blocks[i].freed_by == NO_ONE && at >= m.blocks[i].at &&
            at + length <= m.blocks[i].at + m.blocks[i].size)
            return true;
    return false;
}

static size_t some_length(struct input *input)
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

static size_t some_place(struct input *input, size_t *length)
{
    size_t at = take(input, 3) % (m.size + 8);

    if (!m.flat && at % 8 != 0) { /* in a block or the root */
        const struct block *b = &m.blocks[at / 8 % BLOCKS];
        const size_t in = b->live ? b->size : m.root_size, from = b->live ? b->at : m.root;

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

static void own(int act, size_t at, size_t length)
{
    remember(act, at, length);
    memset(m.owner + at, act, length);
}

static void range_refused(bool inside, const char *call)
{
    REFUSED(call, EINVAL, ENOSPC, ENOMEM, EIO);
    if (inside)
        HOLDS(errno != EINVAL && fault_hits() != 0, "%s failed for no reason", call);
    compare(call);
}

static void set_range(struct input *input, int act)
{
    size_t length = some_length(input);
    const size_t at = some_place(input, &length);
    const bool inside = at <= m.size && length <= m.size - at;

    if (inside && (!may_change(act, at, length) || m.undo_count[act] == UNDOS))
        return;
    expect();
    if (declare(m.tx[act], m.base + at, length) != 0) {
        range_refused(inside, "vista_set_range");
        return;
    }
    HOLDS(inside, "a range outside the data");
    own(act, at, length);
    if (length > 0 && take(input, 1) % 8 != 0)
        store(at + length / 3, length - length / 3);
}

static void set_ranges(struct input *input, int act)
{
    struct iovec ranges[8];
    const int count = (int)(take(input, 1) % 9);
    bool inside = true;

    for (int i = 0; i < count; i++) {
        size_t length = some_length(input);
        const size_t at = some_place(input, &length);

        ranges[i] = (struct iovec){m.base + at, length};
        if (at > m.size || length > m.size - at)
            inside = false;
        else if (!may_change(act, at, length))
            return;
    }
    if (m.undo_count[act] + (unsigned)count > UNDOS)
        return;
    expect();
    if (vista_set_ranges(m.tx[act], ranges, count) != 0) {
        range_refused(inside, "vista_set_ranges");
        return;
    }
    HOLDS(inside, "a range outside the data");
    for (int i = 0; i < count; i++)
        own(act, (size_t)((unsigned char *)ranges[i].iov_base - m.base), ranges[i].iov_len);
    for (int i = 0; i < count; i++)
        if (ranges[i].iov_len > 0)
            store((size_t)((unsigned char *)ranges[i].iov_base - m.base), ranges[i].iov_len);
}

/* A heap that is full may grow the segment, up to its maximum. */
static void look_at_size(void)
{
    const size_t size = vista_size(m.segment);

    HOLDS(size >= m.size && size <= SIZE_MAX_DATA && size % 4096 == 0 &&
              (size == m.size || m.grows),
          "the size is %zu and was %zu", size, m.size);
    m.size = size;
}

/* A block that was given out: apart from all that is allocated or may be again. */
static void given(int act, unsigned which, void *address, size_t size)
{
    struct block *b = &m.blocks[which];
    const size_t at = (size_t)((unsigned char *)address - m.base);

    size += size == 0;
    look_at_size();
    HOLDS(at <= m.size && size <= m.size - at && at % 16 == 0, "block at %p of %zu", address, size);
    HOLDS(m.root_size == 0 || at + size <= m.root || m.root + m.root_size <= at,
          "a block over the root");
    for (unsigned i = 0; i < BLOCKS; i++)
        HOLDS(!m.blocks[i].live || at + size <= m.blocks[i].at ||
                  m.blocks[i].at + m.blocks[i].size <= at,
              "a block over another, at %zu of %zu", at, size);
    *b = (struct block){true, (uint32_t)at, (uint32_t)size, (uint8_t)act, NO_ONE};
    memset(m.owner + at, act, size);
    memset(m.known + at, 0, size);
}

/* At most: a block may have a span of its own. */
static uint64_t pages_of(size_t size)
{
    return (size + 4095) / 4096 + 1;
}

/* The heap may be full: it is not while a page is free, if a page will do. */
static void no_block(size_t size)
{
    uint64_t pages = pages_of(size) + pages_of(m.root_size);

    look_at_size();
    REFUSED("an allocation", ENOMEM, ENOSPC, ENOTSUP, EIO, EFBIG);
    if (m.flat) {
        HOLDS(errno == ENOTSUP, "an allocation in a flat segment");
        return;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        pages += m.blocks[i].live ? pages_of(m.blocks[i].size) : 0;
    for (int i = 0; i < ACTS; i++)
        pages += m.cancelled[i];
    HOLDS(fault_hits() != 0 || size > 2000 || pages > (m.grows ? SIZE_MAX_DATA : m.size) / 4096,
          "no room for %zu bytes beside %llu pages in %zu", size, (unsigned long long)pages,
          m.size);
    compare("an allocation failed");
}

static void allocate(struct input *input, int act, bool zeroed)
{
    const unsigned which = (unsigned)take(input, 1) % BLOCKS;
    const size_t length = some_length(input), size = zeroed ? length / 3 * 3 : length;
    unsigned char *block;

    if (m.blocks[which].live)
        return;
    expect();
    block = zeroed ? vista_calloc(m.tx[act], size / 3, 3) : vista_malloc(m.tx[act], size);
    if (block == NULL) {
        no_block(size);
        return;
    }
    given(act, which, block, size);
    if (zeroed) {
        for (size_t i = 0; i < size; i++)
            HOLDS(block[i] == 0, "calloc zeroes");
        memset(m.now + (block - m.base), 0, size);
        memset(m.known + (block - m.base), 0xff, size);
    }
    if (size > 0)
        store((size_t)(block - m.base) + size / 2, size - size / 2);
}

static void reallocate(struct input *input, int act)
{
    const unsigned which = (unsigned)take(input, 1) % BLOCKS,
                   fresh = (unsigned)take(input, 1) % BLOCKS;
    const size_t size = some_length(input) + 1;
    struct block *b = &m.blocks[which];
    unsigned char *block;
    size_t kept, at = b->at;

    if (!b->live || b->freed_by != NO_ONE || m.blocks[fresh].live)
        return;
    for (size_t i = at; i < at + b->size; i++) /* another's: its contents are not ours to copy */
        if (m.owner[i] != NO_ONE && m.owner[i] != act)
            return;
    expect();
    block = vista_realloc(m.tx[act], m.base + at, size);
    if (block == NULL) {
        no_block(size);
        return;
    }
    if (block == m.base + at) { /* the old bytes are as before; new ones are not ours yet */
        const size_t before = b->size;

        if (b->by == act) {
            if (size > before) {
                memset(m.owner + at + before, act, size - before);
                memset(m.known + at + before, 0, size - before);
            }
            b->size = (uint32_t)(size > before ? size : before);
        }
        return;
    }
    kept = size < b->size ? size : b->size;
    given(act, fresh, block, size);
    memcpy(m.now + (block - m.base), m.now + at, kept);
    memcpy(m.known + (block - m.base), m.known + at, kept);
    if (b->by == act) {
        m.cancelled[act] += pages_of(b->size);
        unknown(b->at, b->size);
        b->live = false;
    } else {
        b->freed_by = (uint8_t)act;
    }
}

static void release(struct input *input, int act)
{
    struct block *b = &m.blocks[take(input, 1) % BLOCKS];
    const bool ours = b->live && b->freed_by == NO_ONE && (b->by == NO_ONE || b->by == act);

    if (m.flat || (!b->live && b->size == 0))
        return;
    if (ours) /* a declared range in it of another transaction: the program's error */
        for (size_t i = b->at; i < (size_t)b->at + b->size; i++)
            if (m.owner[i] != NO_ONE && m.owner[i] != act)
                return;
    if (!b->live) /* it may have become part of another one */
        for (unsigned i = 0; i < BLOCKS; i++)
            if (m.blocks[i].live && m.blocks[i].at == b->at)
                return;
    if (!b->live && m.root_size != 0 && b->at == m.root)
        return;
    expect();
    if (vista_free(m.tx[act], m.base + b->at) != 0) {
        REFUSED("vista_free", EINVAL, ENOSPC, ENOMEM, EIO);
        HOLDS(!ours || (errno != EINVAL && fault_hits() != 0), "vista_free failed for no reason");
        compare("vista_free failed");
        return;
    }
    HOLDS(ours, "a block that is not there, or not ours to free, was freed");
    if (b->by == act) {
        /* Its declared ranges may be undone over whatever is there by then: the
         * library must see to it that this does no harm. */
        m.cancelled[act] += pages_of(b->size);
        unknown(b->at, b->size);
        b->live = false;
    } else {
        b->freed_by = (uint8_t)act;
    }
}

static void release_wrong(struct input *input, int act)
{
    unsigned char *at = m.base + take(input, 3) - 64;

    for (unsigned i = 0; i < BLOCKS; i++)
        if (m.blocks[i].live && m.base + m.blocks[i].at == at)
            return;
    expect();
    HOLDS(vista_free(m.tx[act], at) == -1, "%p is no block, and was freed", (void *)at);
    HOLDS(errno == (m.flat ? ENOTSUP : EINVAL), "vista_free of no block");
    HOLDS(vista_usable_size(m.segment, at) == 0 || (m.root_size != 0 && at == m.base + m.root),
          "the size of no block");
}

static void finish(int act, bool commit, unsigned mode)
{
    expect();
    if (commit) {
        HOLDS(vista_end_transaction(m.tx[act], mode) == 0, "a commit cannot fail");
    } else if (m.keeps[act]) {
        HOLDS(vista_abort_transaction(m.tx[act]) == -1 && errno == EINVAL, "promised not to abort");
        return;
    } else {
        HOLDS(vista_abort_transaction(m.tx[act]) == 0, "an abort cannot fail");
    }
    expect();
    HOLDS(vista_set_range(m.tx[act], m.base, 8) == -1 && errno == EINVAL, "the handle has ended");
    settle(act, commit);
    compare(commit ? "committed" : "aborted");
}

static void root(struct input *input)
{
    const size_t size = some_length(input) % (40 * KIB), old = m.root_size;
    unsigned char *at;

    if (size > old) /* it must not meet ranges that others have declared there */
        for (size_t i = m.root; i < m.root + old; i++)
            if (m.owner[i] != NO_ONE)
                return;
    expect();
    at = vista_root(m.segment, size);
    look_at_size();
    if (at == NULL) {
        REFUSED("vista_root", ENOENT, EBUSY, EROFS, ENOMEM, ENOSPC, ENOTSUP, EAGAIN, EIO, EFBIG);
        HOLDS((errno == ENOTSUP) == m.flat, "the root of a flat segment");
        HOLDS(errno != ENOENT || (old == 0 && size == 0), "there is a root");
        HOLDS(errno != EBUSY || (open_count() != 0 && old != 0), "it would not have to move");
        HOLDS(errno != EROFS || m.read_only, "mapped for writing");
        HOLDS(m.flat || size > old || size + old == 0, "vista_root failed for no reason");
        return;
    }
    HOLDS(old != 0 || size != 0, "a root of no size");
    if (size > old) {
        const size_t was = m.root;

        m.root = (uint32_t)(at - m.base);
        if (old == 0 || m.root != was) {
            for (unsigned i = 0; i < BLOCKS; i++)
                HOLDS(!m.blocks[i].live || m.root + size <= m.blocks[i].at ||
                          m.blocks[i].at + m.blocks[i].size <= m.root,
                      "the root over a block");
            HOLDS(old == 0 || m.root + size <= was || was + old <= m.root, "the root over the old");
            memcpy(m.now + m.root, m.now + was, old);
            memcpy(m.known + m.root, m.known + was, old);
            if (old != 0)
                unknown(was, old);
        }
        memset(m.now + m.root + old, 0, size - old);
        memset(m.known + m.root + old, 0xff, size - old);
        m.root_size = (uint32_t)size;
    }
    HOLDS(at == m.base + m.root, "the root has moved");
    compare("the root");
}

static void resize(struct input *input)
{
    const size_t size = take(input, 2) * 16, least = m.flat ? 4 * KIB : 64 * KIB;
    const size_t pages = size < least ? least : (size + 4095) / 4096 * 4096;
    int result;

    expect();
    result = vista_resize(m.segment, size);
    if (result != 0) {
        REFUSED("vista_resize", EINVAL, EBUSY, ENOSPC, ENOMEM, EROFS, EIO, EFBIG);
        HOLDS((errno == EINVAL) == (size == 0 || pages > SIZE_MAX_DATA) || m.read_only, "%zu bytes",
              size);
        HOLDS(errno != EBUSY || (pages < m.size && (open_count() != 0 || !m.flat)),
              "nothing is busy");
        HOLDS(errno == EINVAL || errno == EBUSY || errno == EROFS || fault_hits() != 0,
              "vista_resize failed for no reason");
        HOLDS(vista_size(m.segment) == m.size, "it failed, and the size changed");
        compare("vista_resize failed");
        return;
    }
    HOLDS(size != 0 && vista_size(m.segment) == pages && !m.read_only, "resized to %zu", size);
    HOLDS(pages >= m.size || open_count() == 0, "it shrank under open transactions");
    for (unsigned i = 0; i < BLOCKS; i++)
        HOLDS(!m.blocks[i].live || m.blocks[i].at + m.blocks[i].size <= pages,
              "a block is cut off");
    HOLDS(m.root_size == 0 || m.root + m.root_size <= pages, "the root is cut off");
    if (pages < m.size) { /* what comes later is new */
        memset(m.now + pages, 0, m.size - pages);
        memset(m.known + pages, m.flat ? 0xff : 0, m.size - pages);
    }
    m.size = pages;
    compare("resized");
}

static void inquire(void)
{
    struct vista_info info;

    HOLDS(vista_info(m.segment, &info) == 0 && info.base == m.base && info.size == m.size &&
              info.open_transactions == open_count(),
          "vista_info");
    expect();
    HOLDS(vista_flush(m.segment) == 0 || (errno == EIO && fault_hits() != 0), "vista_flush");
    for (unsigned i = 0; i < BLOCKS; i++)
        if (m.blocks[i].live)
            HOLDS(vista_usable_size(m.segment, m.base + m.blocks[i].at) >= m.blocks[i].size ||
                      m.blocks[i].freed_by != NO_ONE,
                  "the size of a block");
}

static void inject(struct input *input)
{
    const unsigned kinds = (unsigned)take(input, 2) & CALL_ALL,
                   after = (unsigned)take(input, 1) % 24;
    const unsigned count = (unsigned)take(input, 1);

    fault_set(kinds, after, count < 128 ? 1 : count < 192 ? 3 : 1000, count % 8 == 0 ? EINTR : 0);
}

static void map_again(struct input *input, bool killed)
{
    const unsigned how = (unsigned)take(input, 1);
    unsigned flags = 0;

    if (!killed && open_count() != 0 && how & 1) /* else see that it is refused */
        for (int i = 0; i < ACTS; i++)
            if (m.tx[i] != NULL)
                finish(i, i % 2 == 0 || m.keeps[i], 0);
    leave(killed);
    if (m.segment != NULL)
        return;
    set_class(how >> 1 & 3);
    if (how & 8 && m.clean)
        flags |= VISTA_READ_ONLY;
    if (how & 16)
        flags |= VISTA_ANY_ADDRESS;
    if (how & 32 && !(flags & VISTA_READ_ONLY))
        flags |= VISTA_KILL_SAFE;
    if (how & 64 && !(flags & VISTA_READ_ONLY))
        flags |= VISTA_ACCEPT_TORN;
    if (how & 128 && !m.flat && !(flags & VISTA_READ_ONLY))
        flags |= VISTA_GROW;
    map(flags);
}

static void operation(struct input *input)
{
    const unsigned what = (unsigned)take(input, 1) % 32;
    const int act = (int)(take(input, 1) % ACTS);

    if (talk)
        printf("operation %u of act %d\n", what, act);
    switch (what) {
    case 0:
        map_again(input, false);
        return;
    case 1:
        map_again(input, true);
        return;
    case 2:
    case 3:
        root(input);
        return;
    case 4:
        if (act >= 3)
            resize(input);
        else
            inquire();
        return;
    case 5:
        compare("at rest");
        return;
    case 6:
    case 7:
        inject(input);
        return;
    case 8:
        fault_clear();
        return;
    default:
        break;
    }
    if (m.tx[act] == NULL && !begin(act, what == 31 ? VISTA_NO_RESTORE : 0))
        return;
    switch (what) {
    case 9:
    case 10:
    case 11:
        finish(act, true, what == 9 ? VISTA_NO_FLUSH : 0);
        break;
    case 12:
    case 13:
        finish(act, false, 0);
        break;
    case 14:
    case 15:
    case 16:
    case 17:
        allocate(input, act, false);
        break;
    case 18:
        allocate(input, act, true);
        break;
    case 19:
        reallocate(input, act);
        break;
    case 20:
    case 21:
    case 22:
        release(input, act);
        break;
    case 23:
        release_wrong(input, act);
        break;
    case 24:
    case 25:
        set_ranges(input, act);
        break;
    default:
        set_range(input, act);
    }
}

/* ---- One input --------------------------------------------------------- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    file_open();
    talk = getenv("FUZZ_TALK") != NULL;
    return 0;
}

static bool create(struct input *input)
{
    static const struct image empty;
    static const size_t sizes[] = {64 * KIB, 128 * KIB, SIZE_MAX_DATA, 4 * KIB};
    const unsigned how = (unsigned)take(input, 1);

    m.size = sizes[how & 3];
    m.flat = how & 4;
    if (!m.flat && m.size < 64 * KIB)
        m.size = 64 * KIB;
    m.flags = (m.flat ? VISTA_NO_HEAP : 0) | (how & 8 ? VISTA_SPARSE : 0);
    m.grows = how & 128 && !m.flat;
    m.flags |= m.grows ? VISTA_GROW : 0;
    image_put(&empty);
    random_restart();
    boot_id_refused = false;
    set_class(how >> 4 & 3);
    if (how & 64)
        inject(input);
    expect();
    m.segment = vista_map(file_path, m.size, VISTA_CREATE | m.flags, &where);
    if (m.segment == NULL) {
        HOLDS(fault_hits() != 0, "vista_map failed for no reason");
        REFUSED("vista_map", ENOMEM, ENOSPC, EIO, EFBIG, EMFILE, ENOLCK, EEXIST, EINVAL, EINTR);
        fault_clear();
        if (boot_id_refused) /* and giving up what was made so far may have been refused too */
            m.flags |= VISTA_ACCEPT_TORN;
        m.segment = vista_map(file_path, m.size, VISTA_CREATE | m.flags, &where);
        HOLDS(m.segment != NULL, "vista_map, now that nothing is refused");
    }
    m.base = m.home = vista_base(m.segment);
    memset(m.owner, NO_ONE, sizeof m.owner);
    if (m.flat) {
        memset(m.known, 0xff, sizeof m.known);
        memset(m.now, 0, sizeof m.now);
    } else {
        memset(m.known, 0, sizeof m.known);
    }
    memset(m.blocks, 0, sizeof m.blocks);
    m.root_size = m.root = 0;
    m.read_only = false;
    m.next_byte = 1;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct input input = {bytes, length};

    fault_clear();
    if (!create(&input))
        return 0;
    for (unsigned i = 0; i < OPERATIONS_MAX && input.left > 0; i++)
        operation(&input);
    fault_clear();
    if (length % 2 == 0) { /* killed */
        leave(true);
        map(0);
    }
    for (int i = 0; i < ACTS; i++)
        if (m.tx[i] != NULL)
            finish(i, i % 2 == 0 || m.keeps[i], 0);
    leave(false);
    return 0;
}
