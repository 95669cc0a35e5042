/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scenarios of flat segments: ranges, the log and its chunks.  Each run draws places
 * and lengths from its seed.
 */
#include <string.h>

#include "base/crc32c.h"
#include "core/transaction.h"
#include "inlined.h"
#include "instrument.h"
#include "program.h"
#include "scenarios.h"

#define SMALL ((size_t)8 << 10)

static void end(int act)
{
    if (maybe(75))
        commit(act);
    else
        roll_back(act);
}

/* Mostly short, at any alignment. */
static void change_some(int act, size_t low, size_t high)
{
    static const size_t inlined[] = {1, 8, 24, 37, 256};
    const size_t length = maybe(50) ? inlined[pick(0, 4)] : maybe(70) ? pick(1, 40) : pick(41, 300);

    change(act, pick(low, high - length), length);
}

/* Where each state takes long. */
static void change_little(int act, size_t low, size_t high)
{
    change(act, pick(low, high - 24), pick(1, 24));
}

static void one_range(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 3; i++) {
        begin(0);
        change_some(0, 0, SMALL);
        commit(0);
    }
    leave_segment();
}

static void overlapping(void)
{
    const size_t at = pick(0, SMALL - 1024);

    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 2; i++) {
        begin(0);
        change(0, at + pick(0, 40), pick(1, 60));
        for (int j = 0; j < 3; j++)
            change(0, at + pick(0, 60), pick(0, 60));
        if (maybe(50)) { /* long enough to be remembered as declared */
            change(0, at + pick(0, 8), pick(256, 280));
            change(0, at + pick(0, 8), pick(256, 270));
        }
        end(0);
    }
    leave_segment();
}

static void several_ranges(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 3; i++) {
        static const int counts[] = {2, 3, 7};
        const bool inlined = maybe(60);
        const int count = inlined ? counts[pick(0, 2)] : (int)pick(2, 7);
        struct iovec ranges[7];

        begin(0);
        for (int j = 0; j < count; j++)
            ranges[j] = (struct iovec){run.base + (size_t)j * 1000 + pick(0, 700),
                                       inlined ? inlined_lengths[count][j] : pick(0, 90)};
        declare_all(0, ranges, count);
        for (int j = 0; j < count; j++)
            store((size_t)((unsigned char *)ranges[j].iov_base - run.base), ranges[j].iov_len);
        end(0);
    }
    leave_segment();
}

/* As many as a handle remembers for the commit's flush, and a few more. */
static void many_ranges(void)
{
    struct iovec ranges[30];
    const int count = (int)pick(20, 30);

    fresh_segment(FLAT, SMALL);
    explore();
    begin(0);
    for (int j = 0; j < count; j++)
        ranges[j] = (struct iovec){run.base + (size_t)j * 270 + pick(0, 200), pick(1, 8)};
    declare_all(0, ranges, count);
    for (int j = 0; j < count; j++)
        store((size_t)((unsigned char *)ranges[j].iov_base - run.base), ranges[j].iov_len);
    end(0);
    leave_segment();
}

static void abort_ranges(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 3; i++) {
        const int count = (int)pick(1, 3);

        begin(0);
        for (int j = 0; j < count; j++)
            change_some(0, 0, SMALL);
        roll_back(0);
        begin(0);
        change_some(0, 0, SMALL);
        end(0);
    }
    leave_segment();
}

/* The slot's 16 KiB do not suffice; later transactions find the chain there. */
static void log_growth(void)
{
    const size_t size = (size_t)32 << 10;

    fresh_segment(FLAT, size);
    explore();
    for (int i = 0; i < 3; i++) {
        begin(0);
        declare(0, pick(0, 4096), pick(12000, 16200));
        change_little(0, 0, size);
        declare(0, 17000, pick(3000, 5000));
        store(pick(17000, 19900), pick(1, 40));
        change_little(0, 0, size);
        end(0);
    }
    leave_segment();
}

/* Ranges of one call that the stage takes in parts, or not at all. */
static void full_stage(void)
{
    struct iovec ranges[10];
    const int count = (int)pick(4, 10), large = (int)pick(0, 20);

    fresh_segment(FLAT, (size_t)16 << 10);
    explore();
    begin(0);
    for (int j = 0; j < count; j++)
        ranges[j] = (struct iovec){run.base + (size_t)j * 900, j == large  ? 5000
                                                               : maybe(30) ? pick(1, 30)
                                                                           : pick(400, 900)};
    declare_all(0, ranges, count);
    for (int j = 0; j < count; j++)
        store((size_t)j * 900, ranges[j].iov_len < 8 ? ranges[j].iov_len : 8);
    change_little(0, 0, (size_t)16 << 10);
    end(0);
    leave_segment();
}

/* A chain is replaced by a longer chunk; another slot takes the unit it had. */
static void moved_chunk(void)
{
    const size_t size = (size_t)384 << 10;

    fresh_segment(FLAT, size);
    explore();
    for (int i = 0; i < 2; i++) {
        begin(0);
        declare(0, 0, 15000);
        change_little(0, 0, 2000);
        declare(0, 16384, 4000); /* 64 KiB chunk */
        change_little(0, 16384, 20000);
        end(0);
        begin(1);
        declare(1, 65536, pick(66000, 68000)); /* does not fit it: a longer one instead */
        change_little(1, 65536, 65536 + 2000);
        if (maybe(50)) {
            begin(0);
            declare(0, 0, 15500);
            declare(0, 20000, 3000);
            change_little(0, 20000, 22000);
            end(0);
        }
        end(1);
    }
    leave_segment();
}

/*
 * A chain of two chunks is replaced by one chunk that lies over both, the second of
 * which is the lower: seen through the old link, the new header is at the wrong place.
 */
static void replaced_chain(void)
{
    const size_t size = (size_t)160 << 10;

    fresh_segment(FLAT, size);
    begin(1);
    declare(1, 0, 15000);
    declare(1, 16384, 4000); /* takes unit 0 */
    commit(1);
    begin(0);
    begin(1);
    declare(0, 0, 15000);
    declare(0, 16384, 4000); /* unit 1 */
    declare(1, 20480, 15000);
    declare(1, 65536, 70000); /* units 2 and 3, and unit 0 is free */
    commit(1);
    declare(0, 65536, 60000);
    declare(0, 130000, 9000); /* unit 0, the end of the chain */
    commit(0);
    explore();
    begin(0);
    declare(0, 0, 15000);
    declare(0, 65536, pick(66000, 80000)); /* units 0 and 1 */
    change_little(0, 0, 15000);
    end(0);
    leave_segment();
}

/* A chain that is too long to be kept: its chunks go when the transaction has ended, and
 * another slot takes one at once. */
static void trimmed_chain(void)
{
    const size_t size = (size_t)400 << 10;

    fresh_segment(FLAT, size);
    explore();
    for (int i = 0; i < 2; i++) {
        begin(0);
        declare(0, 0, 15000);
        declare(0, 20000, pick(270000, 280000)); /* 5 units */
        change_little(0, 0, 2000);
        end(0);
        begin(1);
        declare(1, 310000, 15000);
        declare(1, 330000, pick(2000, 4000)); /* unit 0 */
        change_little(1, 330000, 332000);
        begin(0);
        change_little(0, 0, 2000);
        end(0);
        end(1);
    }
    leave_segment();
}

/* The same where the link that is cut is in a chunk, and not in the line of the slot's word. */
static void trimmed_later(void)
{
    fresh_segment(FLAT, (size_t)400 << 10);
    explore();
    begin(0);
    declare(0, 0, 15000);
    change_little(0, 20000, 26000);
    declare(0, 26000, pick(9000, 12000));    /* a chunk of one unit */
    declare(0, 40000, pick(210000, 220000)); /* and one of four */
    change_little(0, 300000, 302000);
    end(0);
    begin(1);
    change_little(1, 330000, 332000);
    end(1);
    leave_segment();
}

/* Disk blocks come with the first range in them. */
static void sparse(void)
{
    fresh_segment(SPARSE_FLAT, SMALL);
    explore();
    for (int i = 0; i < 3; i++) {
        begin(0);
        change_some(0, 0, SMALL);
        if (maybe(50))
            change_some(0, 0, SMALL);
        end(0);
        if (maybe(30))
            die_and_map(run.class);
    }
    leave_segment();
}

/* ---- Bytes that look like records -------------------------------------- */

/* Before the bytes of a record's first item. */
static size_t size_of_header(void)
{
    return (run.class == VISTA_CLASS_KILL ? 3 : 4) * sizeof(uint64_t);
}

/* A record of the 8 bytes at `place` as the library would write it at `at` of a slot's log. */
#define FORGED 40

static void forge(unsigned char *forged, const struct vi_log *log, uint64_t stamp, uintptr_t at,
                  size_t place)
{
    const uint64_t item[3] = {VISTA_INLINE_SHORT | 8, log->logs->mapped + place,
                              0xeeeeeeeeeeeeeeee};
    const uint64_t where[4] = {log->slot, at - (uintptr_t)log->logs->meta, stamp, sizeof item};
    const uint64_t check =
        (uint64_t)sizeof item << 32 |
        vi_crc32c(vi_crc32c(log->logs->seed, where, sizeof where), item, sizeof item);

    memset(forged, 0, FORGED);
    memcpy(forged, &stamp, sizeof stamp);
    if (log->logs->checked)
        memcpy(forged + sizeof stamp, &check, sizeof check);
    memcpy(forged + size_of_header() - 2 * sizeof item[0], item, sizeof item);
}

/*
 * The payload of one transaction, `LIKE` bytes at `place`, holds what would be sound records of
 * the next, or of the `later`th after it, at each place where recovery may look for one after a
 * record with `length` of payload.
 */
#define LIKE ((size_t)1768)

static void forge_next(size_t place, size_t length, unsigned later)
{
    const bool on_line = run.class != VISTA_CLASS_KILL && maybe(60);
    unsigned char bytes[768] = {0}, zeros[LIKE - sizeof bytes] = {0};
    const struct vi_log *log;
    uintptr_t record;

    begin(0);
    log = &((const struct vi_tx *)run.tx[0])->log;
    record = log->cursor.next;
    for (size_t behind = on_line ? 64 : size_of_header() + length; behind + FORGED <= sizeof bytes;
         behind += 64)
        forge(bytes + behind - size_of_header(), log,
              *log->cursor.word + (2 + later) * (uint64_t)VISTA_INLINE_STAMP_STEP, record + behind,
              place);
    declare(0, place, LIKE);
    store_bytes(place, zeros, sizeof zeros); /* so that what is logged leaves lines alike */
    store_bytes(place + sizeof zeros, bytes, sizeof bytes);
    commit(0);
    begin(0);
    declare(0, place + sizeof zeros, sizeof bytes); /* now they are payload */
    store(place + sizeof zeros, 8);
    commit(0);
}

static void payload_like_record(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 3; i++) {
        const size_t length = 8 * pick(1, 8);
        const bool again = run.class != VISTA_CLASS_KILL && maybe(30);

        forge_next(4096, length, again); /* mapping takes a stamp, too */
        if (again) {
            unmap(0);
            map_again(0);
        }
        begin(0); /* and its stamp is what they have */
        change(0, 100 * pick(0, 9), length);
        if (maybe(50))
            change(0, pick(2000, 2500), pick(1, 30));
        end(0);
    }
    leave_segment();
}

/* The same behind the record of two ranges, which are declared by one call. */
static void payload_like_batch(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 3; i++) {
        const size_t first = 8 * pick(1, 8), second = 8 * pick(1, 8);
        const struct iovec ranges[] = {{run.base + 100, first}, {run.base + 900, second}};

        forge_next(4096, first + sizeof(uint64_t) + second, 0);
        begin(0);
        declare_all(0, ranges, 2);
        store(100, first);
        store(900, second);
        end(0);
    }
    leave_segment();
}

static void payload_like_block(void)
{
    size_t block;

    fresh_segment(HEAP, (size_t)64 << 10);
    begin(0);
    block = allocate(0, LIKE);
    commit(0);
    explore();
    for (int i = 0; i < 3; i++) {
        forge_next(block, 0, 0);
        begin(0);
        allocate_plain(0, pick(1, 64));
        if (maybe(50))
            allocate_plain(0, pick(1, 64));
        end(0);
    }
    leave_segment();
}

/* ---- Several at once --------------------------------------------------- */

static void own_part(int act, size_t parts)
{
    const size_t part = SMALL / parts;

    for (int i = 0; i < 2; i++) {
        const int count = (int)pick(1, 2);

        begin(act);
        for (int j = 0; j < count; j++)
            change(act, (size_t)act * part + pick(0, part - 100), pick(1, 60));
        end(act);
    }
}

static void of_three_0(void)
{
    own_part(0, 3);
}

static void of_three_1(void)
{
    own_part(1, 3);
}

static void of_three_2(void)
{
    own_part(2, 3);
}

static void two_open(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    together((void (*const[])(void)){of_three_0, of_three_1}, 2);
    leave_segment();
}

static void three_open(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    together((void (*const[])(void)){of_three_0, of_three_1, of_three_2}, 3);
    leave_segment();
}

/* Open on one thread, interleaved by hand. */
static void two_handles(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 2; i++) {
        begin(0);
        begin(1);
        change_some(1, 4096, SMALL);
        change_some(0, 0, 4096);
        change_some(1, 4096, SMALL);
        end((int)pick(0, 1) == 0 ? 0 : 0);
        begin(0);
        change_some(0, 0, 4096);
        end(1);
        end(0);
    }
    leave_segment();
}

/* A handle begun on one thread and ended on another, which has its own flushes. */
static void moved_handle(void)
{
    fresh_segment(FLAT, SMALL);
    explore();
    for (int i = 0; i < 3; i++) {
        begin(0);
        change_some(0, 0, 4096);
        on_thread(1);
        change_some(0, 0, 4096);
        on_thread((unsigned)pick(0, 2));
        end(0);
        begin(0);
        change_some(0, 0, 4096);
        on_thread(0);
        end(0);
    }
    leave_segment();
}

/* ---- Refused ----------------------------------------------------------- */

/* A batch for which the log has no room is refused as a whole. */
static void refused_batch(void)
{
    const size_t size = (size_t)32 << 10;

    fresh_segment(FLAT, size);
    explore();
    for (int i = 0; i < 2; i++) {
        struct iovec ranges[4];

        begin(0);
        change_little(0, 0, 4000);
        for (int j = 0; j < 4; j++)
            ranges[j] = (struct iovec){run.base + 4096 + j * 6000, pick(4500, 5900)};
        hooks.no_space = true;
        if (declare_all(0, ranges, 4))
            store(4096, 100); /* the chain was there already */
        hooks.no_space = false;
        change_little(0, 0, 4000);
        if (maybe(50)) {
            declare_all(0, ranges, 4);
            store(4096, 60);
        }
        end(0);
    }
    leave_segment();
}

/* The same when part of it went to a chunk that was there; another transaction then has
 * the ranges. */
static void refused_in_chain(void)
{
    struct iovec ranges[8];

    fresh_segment(FLAT, (size_t)32 << 10);
    begin(0);
    declare(0, 0, 30000); /* makes the chunk */
    commit(0);
    explore();
    begin(0);
    change_little(0, 0, 4000);
    for (size_t j = 0; j < 8; j++)
        ranges[j] = (struct iovec){run.base + 4096 + j * 1000, pick(11000, 13000)};
    hooks.no_space = true;
    declare_all(0, ranges, 8);
    hooks.no_space = false;
    begin(1);
    change(1, 4096 + pick(0, 8000), pick(1, 200));
    commit(1);
    if (maybe(30))
        change_little(0, 0, 4000);
    end(0);
    leave_segment();
}

#define PAGES ((size_t)3 * VI_PAGE)

static void undeclared(void)
{
    const size_t length = maybe(80) ? pick(1, 40) : pick(41, 5000);

    change_undeclared(0, pick(0, PAGES - length), length);
}

static void automatic_ranges(void)
{
    fresh_segment(AUTO, PAGES);
    explore();
    for (int i = 0; i < 2; i++) {
        begin(0);
        if (maybe(50)) /* declared, then stored to or not */
            declare(0, pick(0, PAGES - 300), pick(1, 300));
        undeclared();
        if (maybe(50))
            declare(0, pick(0, PAGES - 300), pick(1, 300));
        if (maybe(50))
            undeclared();
        end(0);
    }
    leave_segment();
}

/* Pages are logged by a thread that is not the transaction's. */
static void automatic_threads(void)
{
    fresh_segment(AUTO, PAGES);
    explore();
    for (int i = 0; i < 2; i++) {
        on_thread(0);
        begin(0);
        if (maybe(50))
            declare(0, pick(0, PAGES - 300), pick(1, 300));
        on_thread(1);
        undeclared();
        if (maybe(50))
            on_thread(0);
        undeclared();
        on_thread(maybe(80) ? 0 : 1);
        end(0);
    }
    on_thread(0);
    leave_segment();
}

/* Log space is set aside where another chain was. */
static void automatic_again(void)
{
    fresh_segment(AUTO, PAGES);
    begin(0);
    undeclared();
    commit(0);
    explore();
    begin(0);
    undeclared();
    die_and_map(run.class);
    begin(0);
    undeclared();
    end(0);
    leave_segment();
}

const struct scenario range_scenarios[] = {
    {"one-range", one_range, "one range at a time", false},
    {"overlapping", overlapping, "ranges that overlap, repeat, are empty or long", false},
    {"several-ranges", several_ranges, "vista_set_ranges", false},
    {"many-ranges", many_ranges, "more ranges than a handle remembers", false},
    {"abort", abort_ranges, "aborted transactions, and those after them", false},
    {"log-growth", log_growth, "a log that grows past its slot", false},
    {"full-stage", full_stage, "more at once than is built in memory", false},
    {"moved-chunk", moved_chunk, "a chunk that moves between slots", false},
    {"replaced-chain", replaced_chain, "a longer chunk in place of a chain of two", false},
    {"trimmed-chain", trimmed_chain, "a chain too long to be kept", false},
    {"trimmed-later", trimmed_later, "a long chain cut at a chunk's link", false},
    {"sparse", sparse, "a flat segment whose disk blocks come with use", false},
    {"payload-like-record", payload_like_record, "old payload that looks like the next record",
     false},
    {"payload-like-batch", payload_like_batch, "the same behind a record of two ranges", false},
    {"payload-like-block", payload_like_block, "the same behind the record of a block", false},
    {"two-open", two_open, "two transactions open on two threads", false},
    {"three-open", three_open, "three transactions open on three threads", false},
    {"two-handles", two_handles, "two transactions open on one thread", false},
    {"moved-handle", moved_handle, "a handle begun on one thread, ended on another", false},
    {"refused-batch", refused_batch, "a batch of ranges refused half-way", false},
    {"refused-in-chain", refused_in_chain, "the same with part of it in a chunk", false},
    {"automatic-ranges", automatic_ranges, "stores that fault, and declared ranges", false},
    {"automatic-threads", automatic_threads, "stores that fault on two threads", false},
    {"automatic-again", automatic_again, "automatic ranges after a death", false},
    {NULL, NULL, NULL, false}};
