/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The floor: the least that an undo log can do, written by hand into the workload.
 * One thread, one log at a fixed place, one transaction at a time, no checks; but it
 * rolls back, in abort and after a kill.
 *
 *     0    header page: what discards the log, the heap
 *     4096 log, to 2 MiB
 *     2 MiB data
 *
 * Kill class: header->last names the newest record, stored after it, and 0 commits.
 * Cache-line class: the records declared between two peer_ready calls are a batch
 * with a sum over it and the transaction's stamp, so that it needs one fence; the
 * stamp moves on to commit.  That makes three fences for a transaction.  The log is built
 * in ordinary memory, and it and the stamp are stored past the caches, which is quicker.  A long
 * range that begins a batch is all of it, and goes to the log from where it lies, by one pass
 * that sums it up, too.
 */
#include "flush.h"
#include "map_time.h"
#include "peer.h"
#include "peer_pointers.h"

#define PEER_NAME "floor"
#define PEER_SYMBOL(workload) workload##_floor
#define PEER_CLASSES CLASSES_MEMORY
#define PEER_ABORTS 1
#define PEER_PACE 0.8
#define PEER_ONE_THREAD 1

#define FLOOR_LOG 4096u
#define FLOOR_FRESH 0x80000000u /* an allocated block: to be flushed, not to be undone */
#define FLOOR_STREAMED 1024u    /* bytes of a range that is a batch of its own */
#define FLOOR_LATER 96          /* a delivery frees ten blocks, two words each */

struct floor_header {
    uint64_t last; /* kill class: offset of the newest record, 0: none */
    uint64_t class;
    uint64_t pad[6];
    uint64_t stamp; /* on a line of its own */
    uint64_t pad2[7];
    struct pool pool;
};
_Static_assert(sizeof(struct floor_header) <= FLOOR_LOG, "the header fits its page");

struct floor_batch {
    uint64_t stamp;
    uint32_t bytes; /* with this header */
    uint32_t sum;
};

struct floor_record {
    char *address;
    uint32_t length;
    uint32_t previous; /* bytes back to the record before, 0: the first */
};

struct peer {
    struct mapping mapping;
    struct floor_header *header;
    uint64_t stamp;   /* the header's */
    struct pool pool; /* as it will be after the open transaction */
};

/* Stores of the heap wait until what they overwrite is safe. */
struct floor_later {
    uint64_t *where;
    uint64_t value;
};

struct peer_tx {
    struct peer *peer;
    struct floor_header *header;
    char *log; /* the one in the file, or floor_log */
    char *next, *batch, *last;
    enum durability class;
    bool streamed; /* something is on its way past the caches that no fence is behind */
    unsigned laters;
};

static _Alignas(LINE) char floor_log[MAPPING_HEADER - FLOOR_LOG];

static struct floor_later floor_laters[FLOOR_LATER];

HOT void floor_flush(enum durability class, uintptr_t address, size_t length)
{
    if (class == CLASS_LINE)
        flush_range(address, length, 0);
}

HOT void floor_fence(enum durability class)
{
    if (class != CLASS_KILL)
        flush_fence();
}

HOT void peer_begin(struct peer *peer, struct peer_tx *tx, enum durability class)
{
    tx->peer = peer;
    tx->header = peer->header;
    tx->log = class == CLASS_KILL ? (char *)peer->header + FLOOR_LOG : floor_log;
    tx->next = tx->log;
    tx->last = tx->log;
    tx->batch = NULL;
    tx->class = class;
    tx->streamed = false;
    tx->laters = 0;
}

HOT struct floor_record *floor_record(struct peer_tx *tx, void *address, size_t length)
{
    struct floor_record *record;

    if (tx->class != CLASS_KILL && tx->batch == NULL) {
        tx->batch = (char *)(((uintptr_t)tx->next + LINE - 1) & ~(uintptr_t)(LINE - 1));
        tx->next = tx->batch + sizeof(struct floor_batch);
        if (tx->batch == tx->log)
            tx->last = tx->next; /* the first record has none before it */
    }
    record = (struct floor_record *)tx->next;
    record->address = address;
    record->length = (uint32_t)length;
    record->previous = (uint32_t)(tx->next - tx->last);
    tx->last = tx->next;
    tx->next += sizeof *record;
    return record;
}

/* The sum of words that are copied past the caches on the way, if `to` is not NULL: by four
 * independent chains, so that it waits for none. */
HOT uint32_t floor_stream(char *to, const char *from, size_t length)
{
    uint32_t lane[4] = {0};
    uint64_t last[8] = {0};

    for (size_t at = 0; at < length; at += LINE) {
        const char *line = from + at;
        uint64_t word[8];

        if (length - at < LINE)
            line = memcpy(last, line, length - at);
        memcpy(word, line, sizeof word);
        for (unsigned i = 0; i < 8; i++)
            lane[i % 4] = flush_sum(lane[i % 4], word[i]);
        if (to != NULL)
            flush_line_of(to + at, line);
    }
    return flush_sum(flush_sum(flush_sum(lane[0], lane[1]), lane[2]), lane[3]);
}

/* The sum of a batch that is one streamed record, whose data is at `data`. */
HOT uint32_t floor_streamed_sum(const struct floor_batch *batch, uint32_t data)
{
    const struct floor_record *record = (const struct floor_record *)(batch + 1);
    const uint64_t lengths = (uint64_t)record->previous << 32 | record->length;

    return flush_sum(flush_sum(flush_sum(flush_sum(data, batch->bytes), batch->stamp),
                               (uintptr_t)record->address),
                     lengths);
}

/* The lines of the data begin behind the one of the batch's header and of the record's. */
HOT void floor_declare_long(struct peer_tx *tx, void *address, size_t length)
{
    const struct floor_record *record = floor_record(tx, address, length);
    struct floor_batch *batch = (struct floor_batch *)tx->batch;
    char *const stored = (char *)tx->header + FLOOR_LOG + (tx->batch - tx->log);

    tx->next = tx->batch + LINE + ((length + LINE - 1) & ~(size_t)(LINE - 1));
    *batch = (struct floor_batch){tx->peer->stamp, (uint32_t)(tx->next - tx->batch), 0};
    batch->sum = floor_streamed_sum(batch, floor_stream(stored + LINE, address, length));
    flush_copy(stored, batch, sizeof *batch + sizeof *record);
    tx->batch = NULL;
    tx->streamed = true;
}

HOT void peer_declare(struct peer_tx *tx, void *address, size_t length)
{
    struct floor_record *record;

    if (tx->class == CLASS_LINE && tx->batch == NULL && length >= FLOOR_STREAMED) {
        floor_declare_long(tx, address, length);
        return;
    }
    record = floor_record(tx, address, length);
    if (tx->class != CLASS_KILL && length % 8 != 0)
        memset((char *)(record + 1) + length / 8 * 8, 0, 8); /* the sum covers whole words */
    BARRIER();
    memcpy(record + 1, address, length);
    tx->next += (length + 7) & ~(size_t)7;
    BARRIER();
    if (tx->class == CLASS_KILL) {
        tx->header->last = (uint64_t)(tx->last - (char *)tx->header);
        BARRIER();
    }
}

#include "peer_each.h"

/* Is the batch one record that was streamed? */
static inline bool floor_is_streamed(enum durability class, const struct floor_batch *batch)
{
    const struct floor_record *record = (const struct floor_record *)(batch + 1);

    return class == CLASS_LINE && record->length >= FLOOR_STREAMED &&
           (record->length & FLOOR_FRESH) == 0;
}

static inline uint32_t floor_sum(const struct floor_batch *batch)
{
    const uint64_t *word = (const uint64_t *)(batch + 1);
    const uint64_t *end = (const uint64_t *)((const char *)batch + batch->bytes);
    uint32_t sum = flush_sum(batch->bytes, batch->stamp);

    while (word < end)
        sum = flush_sum(sum, *word++);
    return sum;
}

HOT void floor_copy(enum durability class, char *to, const struct floor_batch *batch)
{
    if (class == CLASS_LINE)
        flush_copy(to, batch, batch->bytes);
    else
        memcpy(to, batch, batch->bytes);
}

HOT void peer_ready(struct peer_tx *tx)
{
    if (tx->class != CLASS_KILL && tx->batch != NULL) {
        struct floor_batch *batch = (struct floor_batch *)tx->batch;

        batch->stamp = tx->peer->stamp;
        batch->bytes = (uint32_t)(tx->next - tx->batch);
        batch->sum = floor_sum(batch);
        floor_copy(tx->class, (char *)tx->header + FLOOR_LOG + (tx->batch - tx->log), batch);
        floor_fence(tx->class);
        tx->batch = NULL;
        tx->streamed = false;
    }
    if (tx->streamed)
        floor_fence(tx->class);
    tx->streamed = false;
    for (unsigned i = 0; i < tx->laters; i++)
        *floor_laters[i].where = floor_laters[i].value;
    tx->laters = 0;
}

/* The newest record first; NULL after the first. */
static inline struct floor_record *floor_before(struct floor_record *record)
{
    return record->previous == 0 ? NULL
                                 : (struct floor_record *)((char *)record - record->previous);
}

HOT void peer_end(struct peer_tx *tx)
{
    struct floor_header *header = tx->header;

    BARRIER();
    if (tx->class == CLASS_KILL) {
        header->last = 0;
        BARRIER();
        return;
    }
    if (tx->next == tx->log)
        return;
    if (tx->class == CLASS_LINE) {
        uintptr_t line = 0;

        for (struct floor_record *r = (struct floor_record *)tx->last; r != NULL;
             r = floor_before(r))
            line = flush_range((uintptr_t)r->address, r->length & ~FLOOR_FRESH, line);
    }
    floor_fence(tx->class);
    if (tx->class == CLASS_LINE)
        flush_word(&header->stamp, ++tx->peer->stamp);
    else
        header->stamp = ++tx->peer->stamp;
    floor_fence(tx->class);
}

static inline uint32_t floor_stored_sum(const struct floor_batch *batch)
{
    const struct floor_record *record = (const struct floor_record *)(batch + 1);

    return floor_streamed_sum(batch,
                              floor_stream(NULL, (const char *)batch + LINE, record->length));
}

/* The bytes that a record has, in the log. */
static inline const char *floor_data(enum durability class, const struct floor_record *record)
{
    const struct floor_batch *batch = (const struct floor_batch *)record - 1;

    return floor_is_streamed(class, batch) && (uintptr_t)batch % LINE == 0
               ? (const char *)batch + LINE
               : (const char *)(record + 1);
}

/* After a kill: the newest record that counts. */
static struct floor_record *floor_newest(struct peer *peer)
{
    struct floor_header *header = peer->header;
    char *at = (char *)header + FLOOR_LOG;
    char *const end = (char *)header + MAPPING_HEADER;
    struct floor_record *newest = NULL;

    if (header->class == CLASS_KILL)
        return header->last == 0 ? NULL : (struct floor_record *)((char *)header + header->last);
    for (;;) {
        struct floor_batch *batch = (struct floor_batch *)at;
        const bool streamed = floor_is_streamed((enum durability)header->class, batch);

        if (batch->stamp != header->stamp || batch->bytes <= sizeof *batch ||
            batch->bytes > (size_t)(end - at) ||
            batch->sum != (streamed ? floor_stored_sum(batch) : floor_sum(batch)))
            return newest;
        at += sizeof *batch;
        if (streamed) {
            newest = (struct floor_record *)at;
            at = (char *)batch + batch->bytes;
            continue;
        }
        while (at < (char *)batch + batch->bytes) {
            newest = (struct floor_record *)at;
            at += sizeof *newest;
            if ((newest->length & FLOOR_FRESH) == 0)
                at += (newest->length + 7) & ~7u;
        }
        at = (char *)(((uintptr_t)at + LINE - 1) & ~(uintptr_t)(LINE - 1));
    }
}

static void floor_rollback(struct peer *peer)
{
    struct floor_header *header = peer->header;
    const enum durability class = (enum durability)header->class;

    for (struct floor_record *r = floor_newest(peer); r != NULL; r = floor_before(r)) {
        if ((r->length & FLOOR_FRESH) == 0) {
            memcpy(r->address, floor_data(class, r), r->length);
            floor_flush(class, (uintptr_t)r->address, r->length);
        }
    }
    floor_fence(class);
    BARRIER();
    header->last = 0;
    header->stamp++;
    floor_flush(class, (uintptr_t)&header->stamp, sizeof header->stamp);
    floor_fence(class);
    peer->stamp = header->stamp;
    peer->pool = header->pool;
}

HOT void peer_abort(struct peer_tx *tx)
{
    floor_rollback(tx->peer);
}

/* ---- The heap: its words are ranges like any other --------------------- */

HOT void floor_store_later(struct peer_tx *tx, uint64_t *where, uint64_t value)
{
    for (unsigned i = 0; i < tx->laters; i++) {
        if (floor_laters[i].where == where) {
            floor_laters[i].value = value;
            return;
        }
    }
    if (tx->laters == FLOOR_LATER)
        bench_fail("floor: too many allocations and frees in one transaction");
    peer_declare(tx, where, sizeof *where);
    floor_laters[tx->laters++] = (struct floor_later){where, value};
}

HOT void *peer_malloc(struct peer_tx *tx, size_t size)
{
    struct pool *pool = &tx->peer->pool;
    struct pool *stored = &tx->header->pool;
    char *base = (char *)tx->header;
    const size_t rounded = pool_round(size);
    uint64_t *list = rounded / 16 < POOL_LISTS ? &pool->lists[rounded / 16] : NULL;
    uint64_t found;

    if (list != NULL && *list != 0) {
        found = *list;
        memcpy(list, base + found, sizeof *list);
        floor_store_later(tx, &stored->lists[rounded / 16], *list);
    } else {
        if (pool->end - pool->next < rounded)
            bench_fail("floor: the file is full");
        found = pool->next;
        pool->next += rounded;
        floor_store_later(tx, &stored->next, pool->next);
    }
    if (tx->class != CLASS_KILL)
        floor_record(tx, base + found, size)->length |= FLOOR_FRESH;
    return base + found;
}

HOT void peer_free(struct peer_tx *tx, void *address, size_t size)
{
    const size_t list = pool_round(size) / 16;
    const uint64_t offset = (uint64_t)((char *)address - (char *)tx->header);

    if (list >= POOL_LISTS)
        return;
    floor_store_later(tx, address, tx->peer->pool.lists[list]);
    tx->peer->pool.lists[list] = offset;
    floor_store_later(tx, &tx->header->pool.lists[list], offset);
}

UNUSED static void peer_open(struct peer *peer, const struct session *session, size_t size)
{
    flush_choose();
    peer->mapping = mapping_open(session, size + MAPPING_HEADER);
    peer->header = peer->mapping.base;
    if (peer->header->pool.magic == POOL_MAGIC) {
        floor_rollback(peer);
        return;
    }
    mapping_check(&peer->header->pool);
    peer->header->class = session->class;
    peer->header->stamp = peer->stamp = 1;
    mapping_start(&peer->mapping, &peer->header->pool);
    peer->pool = peer->header->pool;
}

UNUSED static void peer_close(struct peer *peer)
{
    mapping_close(&peer->mapping);
}

UNUSED static void *peer_root(struct peer *peer, size_t size)
{
    struct peer_tx tx;

    if (peer->pool.root == 0) {
        peer_begin(peer, &tx, (enum durability)peer->header->class);
        peer->pool.root = (uint64_t)((char *)peer_malloc(&tx, size) - (char *)peer->header);
        floor_store_later(&tx, &peer->header->pool.root, peer->pool.root);
        peer_ready(&tx);
        peer_end(&tx);
    }
    return (char *)peer->header + peer->pool.root;
}
