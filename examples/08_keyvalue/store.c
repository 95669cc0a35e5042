/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A hash table with chains, whose buckets are in the order of the hashes: with 2^b of
 * them, the bucket of a hash is its first b bits, and so holds one interval of hashes.
 *
 * It is resized a little with each change.  The new table takes over the old one's
 * entries from the lowest hashes on; `boundary` says how far that has come:
 *
 *     hash      0 ............ boundary ............ 2^64
 *               in `next`      in `table`
 *
 * So an entry is in one place at any time, and a kill between two steps leaves a table
 * that is half moved and in order.  A scan's cursor is a hash as well: below it all has
 * been visited, whichever table that was in.
 *
 * The new table's memory is not zeroed, since what lies beyond the boundary is never
 * read.  Its buckets are declared all the same when they are first stored to: a declared
 * range is also what a commit makes durable where that takes more than plain stores.
 *
 * A key with a deadline is not there from that time on, whether it has been removed or
 * not; and a store that is flushed is new at once, while what it held, the trash, is freed
 * a little at a time: store_tidy does both.
 */
#include "store.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MAGIC 0x32726f747376656bu /* "kevstor2" */
#define FIRST_SHIFT 56u           /* 256 buckets */
/* Cursors leave out as many bits of a hash, and no table has more than the other 48:
 * every client's language can hold that number. */
#define CURSOR_SHIFT 16u
/* Buckets moved by each insertion or removal.  A table of n that grows is full again n
 * insertions later, and to be shrunk it has to lose n / 8 more: 2 are enough. */
#define STEPS 2
/* Values up to this are replaced in place, and the old one logged; longer ones get a
 * new block, of which nothing needs to be logged. */
#define IN_PLACE 1024u
/* What store_tidy does at a time, some 20 microseconds of it: buckets looked at for keys whose
 * time is over, and buckets of trash freed, which takes longer. */
#define SWEEP_STEPS 512
#define TRASH_STEPS 64

struct entry {
    struct entry *next;
    uint64_t hash;
    uint32_t key_length;
    uint32_t value_room; /* bytes for the value, before the key */
    uint64_t deadline;   /* changes together with what follows: one range */
    uint32_t value_length;
    char bytes[];
};

struct table {
    struct entry **buckets;
    uint64_t shift; /* bucket = hash >> shift */
};

struct tables {
    struct table table;
    struct table next; /* no buckets: it is not being resized, and boundary is 0 */
    uint64_t boundary;
};

/* A store that was flushed: all below `position` is freed. */
struct trash {
    struct trash *following;
    struct tables tables;
    uint64_t position;
};

/* What each insertion and removal changes. */
struct changing {
    uint64_t count;
    uint64_t mortal; /* of them, those with a deadline */
    struct tables all;
    struct trash *trash;
};

/* The segment's root. */
struct store {
    uint64_t magic;
    uint64_t seed[2]; /* of the hash, secret: no one can choose keys that collide */
    struct changing now;
};

/* ---- The hash: SipHash-1-3 (Aumasson and Bernstein, 2012) ------------------ */

static uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash_of(const struct store *store, struct slice key)
{
    uint64_t v[4] = {store->seed[0] ^ 0x736f6d6570736575u, store->seed[1] ^ 0x646f72616e646f6du,
                     store->seed[0] ^ 0x6c7967656e657261u, store->seed[1] ^ 0x7465646279746573u};
    const size_t whole = key.length & ~(size_t)7;
    uint64_t last = (uint64_t)key.length << 56;

    for (size_t at = 0; at < whole; at += 8) {
        uint64_t word;

        memcpy(&word, key.bytes + at, sizeof word);
        v[3] ^= word;
        mix(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < key.length % 8; i++)
        last |= (uint64_t)(unsigned char)key.bytes[whole + i] << 8 * i;
    v[3] ^= last;
    mix(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- Opening --------------------------------------------------------------- */

static bool make_store(vista_segment *segment, struct store *store)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);
    struct entry **buckets;

    if (tx == NULL)
        return false;
    buckets = vista_calloc(tx, (size_t)1 << (64 - FIRST_SHIFT), sizeof *buckets);
    if (buckets == NULL || vista_set_range(tx, store, sizeof *store) != 0) {
        vista_abort_transaction(tx);
        return false;
    }
    store->magic = MAGIC;
    if (getrandom(store->seed, sizeof store->seed, 0) != sizeof store->seed)
        store->seed[0] = (uintptr_t)store; /* less of a secret, and no reason to give up */
    store->now.all.table = (struct table){buckets, FIRST_SHIFT};
    return vista_end_transaction(tx, 0) == 0;
}

/* Another program's root is left as it is: vista_root(segment, size) could enlarge it. */
struct store *store_open(vista_segment *segment)
{
    struct store *store = vista_root(segment, 0);

    if (store == NULL && errno == ENOENT)
        store = vista_root(segment, sizeof *store);
    if (store == NULL)
        return NULL;
    if (vista_usable_size(segment, store) < sizeof *store ||
        (store->magic != MAGIC && store->magic != 0)) {
        errno = EBADMSG;
        return NULL;
    }
    /* Zero: new, or killed before the transaction that fills it. */
    return store->magic == 0 && !make_store(segment, store) ? NULL : store;
}

uint64_t store_count(const struct store *store)
{
    return store->now.count;
}

uint64_t store_mortal(const struct store *store)
{
    return store->now.mortal;
}

uint64_t store_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now); /* the one that goes on when the machine is off */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Looking --------------------------------------------------------------- */

static const struct table *table_of(const struct tables *all, uint64_t hash)
{
    return hash < all->boundary ? &all->next : &all->table;
}

static const char *key_of(const struct entry *entry)
{
    return entry->bytes + entry->value_room;
}

static bool is_over(const struct entry *entry)
{
    return entry->deadline != 0 && entry->deadline <= store_time();
}

/* The pointer that leads to the key's entry, or to NULL at its chain's end. */
static struct entry **find(const struct store *store, uint64_t hash, struct slice key)
{
    const struct table *table = table_of(&store->now.all, hash);
    struct entry **link = &table->buckets[hash >> table->shift];

    while (*link != NULL && ((*link)->hash != hash || (*link)->key_length != key.length ||
                             memcmp(key_of(*link), key.bytes, key.length) != 0))
        link = &(*link)->next;
    return link;
}

bool store_get(const struct store *store, struct slice key, struct found *found)
{
    const struct entry *entry = *find(store, hash_of(store, key), key);

    if (entry == NULL || is_over(entry))
        return false;
    *found = (struct found){{entry->bytes, entry->value_length}, entry->deadline};
    return true;
}

uint64_t store_scan(const struct store *store, uint64_t cursor, store_visit visit, void *context)
{
    const uint64_t from = cursor << CURSOR_SHIFT;
    const struct table *table = table_of(&store->now.all, from);
    const uint64_t bucket = from >> table->shift;

    for (const struct entry *entry = table->buckets[bucket]; entry != NULL; entry = entry->next)
        if (entry->hash >= from && !is_over(entry))
            visit(context, (struct slice){key_of(entry), entry->key_length});
    return (bucket + 1) << table->shift >> CURSOR_SHIFT; /* 0 behind the last bucket */
}

/* ---- Resizing -------------------------------------------------------------- */

static bool declare(vista_tx *tx, struct store *store)
{
    return vista_set_range(tx, &store->now, sizeof store->now) == 0;
}

/* In all of these, the tables are declared. */

static bool begin_resize(vista_tx *tx, struct tables *now, uint64_t shift)
{
    struct entry **buckets = vista_malloc(tx, sizeof *buckets << (64 - shift));

    if (buckets == NULL)
        return false;
    now->next = (struct table){buckets, shift};
    return true;
}

static bool end_resize(vista_tx *tx, struct tables *now)
{
    if (vista_free(tx, now->table.buckets) != 0)
        return false;
    now->table = now->next;
    now->next = (struct table){NULL, 0};
    return true;
}

/* Moves a bucket's chain from the old table to the new one. */
static bool move_chain(vista_tx *tx, const struct tables *now, uint64_t bucket)
{
    struct entry *following;

    for (struct entry *entry = now->table.buckets[bucket]; entry != NULL; entry = following) {
        struct entry **head = &now->next.buckets[entry->hash >> now->next.shift];

        following = entry->next;
        if (vista_set_range(tx, &entry->next, sizeof entry->next) != 0)
            return false;
        entry->next = *head;
        *head = entry;
    }
    return true;
}

/* Moves the hashes that share one bucket in the smaller of the two tables. */
static bool move(vista_tx *tx, struct tables *now)
{
    const uint64_t shift = now->table.shift > now->next.shift ? now->table.shift : now->next.shift;
    const uint64_t first = now->boundary >> now->table.shift;
    const uint64_t count = (uint64_t)1 << (shift - now->table.shift);
    struct entry **heads = &now->next.buckets[now->boundary >> now->next.shift];
    const size_t size = sizeof *heads << (shift - now->next.shift);

    if (vista_set_range(tx, heads, size) != 0)
        return false;
    memset(heads, 0, size);
    for (uint64_t bucket = first; bucket < first + count; bucket++)
        if (!move_chain(tx, now, bucket))
            return false;
    now->boundary += (uint64_t)1 << shift;
    return now->boundary != 0 || end_resize(tx, now);
}

/* Follows a change of `count`. */
static bool resize(vista_tx *tx, struct changing *changing)
{
    struct tables *now = &changing->all;
    const uint64_t buckets = (uint64_t)1 << (64 - now->table.shift);

    if (now->next.buckets == NULL) {
        if (changing->count > buckets && now->table.shift > CURSOR_SHIFT)
            return begin_resize(tx, now, now->table.shift - 1);
        if (changing->count < buckets / 8 && now->table.shift < FIRST_SHIFT)
            return begin_resize(tx, now, now->table.shift + 1);
        return true;
    }
    for (int i = 0; i < STEPS && now->next.buckets != NULL; i++)
        if (!move(tx, now))
            return false;
    return true;
}

/* ---- Changing -------------------------------------------------------------- */

struct pair {
    uint64_t hash;
    struct slice key, value;
    uint64_t deadline;
};

/* New memory needs no declaration in the transaction that allocates it. */
static struct entry *make_entry(vista_tx *tx, const struct pair *pair)
{
    const struct slice key = pair->key, value = pair->value;
    struct entry *entry = vista_malloc(tx, sizeof *entry + key.length + value.length);

    if (entry == NULL)
        return NULL;
    entry->next = NULL;
    entry->hash = pair->hash;
    entry->key_length = (uint32_t)key.length;
    entry->value_room = (uint32_t)value.length;
    entry->deadline = pair->deadline;
    entry->value_length = (uint32_t)value.length;
    memcpy(entry->bytes, value.bytes, value.length);
    memcpy(entry->bytes + value.length, key.bytes, key.length);
    return entry;
}

/* An entry whose deadline is `before` is to have another. */
static bool count_mortal(vista_tx *tx, struct store *store, uint64_t before, uint64_t deadline)
{
    if ((before != 0) == (deadline != 0))
        return true;
    if (!declare(tx, store))
        return false;
    store->now.mortal += deadline != 0 ? 1 : UINT64_MAX;
    return true;
}

static bool replace(vista_tx *tx, struct entry **link, const struct pair *pair)
{
    const struct slice value = pair->value;
    struct entry *old = *link, *entry;

    if (value.length <= old->value_room && value.length <= IN_PLACE) {
        const size_t changed = offsetof(struct entry, bytes) - offsetof(struct entry, deadline);

        if (vista_set_range(tx, &old->deadline, changed + value.length) != 0)
            return false;
        old->deadline = pair->deadline;
        old->value_length = (uint32_t)value.length;
        memcpy(old->bytes, value.bytes, value.length);
        return true;
    }
    entry = make_entry(tx, pair);
    if (entry == NULL || vista_set_range(tx, link, sizeof *link) != 0)
        return false;
    entry->next = old->next;
    *link = entry;
    return vista_free(tx, old) == 0;
}

bool store_set(vista_tx *tx, struct store *store, struct slice key, struct slice value,
               uint64_t deadline)
{
    const struct pair pair = {hash_of(store, key), key, value, deadline};
    struct entry **link = find(store, pair.hash, key), *entry = *link;

    if (!count_mortal(tx, store, entry != NULL ? entry->deadline : 0, deadline))
        return false;
    if (entry != NULL)
        return replace(tx, link, &pair);
    entry = make_entry(tx, &pair);
    if (entry == NULL || vista_set_range(tx, link, sizeof *link) != 0 || !declare(tx, store))
        return false;
    *link = entry;
    store->now.count++;
    return resize(tx, &store->now);
}

bool store_set_deadline(vista_tx *tx, struct store *store, struct slice key, uint64_t deadline)
{
    struct entry *entry = *find(store, hash_of(store, key), key);

    if (entry == NULL || is_over(entry))
        return true;
    if (!count_mortal(tx, store, entry->deadline, deadline) ||
        vista_set_range(tx, &entry->deadline, sizeof entry->deadline) != 0)
        return false;
    entry->deadline = deadline;
    return true;
}

static bool remove_at(vista_tx *tx, struct store *store, struct entry **link)
{
    struct entry *entry = *link;

    if (vista_set_range(tx, link, sizeof *link) != 0 || !declare(tx, store) ||
        vista_free(tx, entry) != 0)
        return false;
    *link = entry->next;
    store->now.count--;
    store->now.mortal -= entry->deadline != 0;
    return resize(tx, &store->now);
}

int store_delete(vista_tx *tx, struct store *store, struct slice key)
{
    struct entry **link = find(store, hash_of(store, key), key);
    const bool there = *link != NULL && !is_over(*link);

    if (*link != NULL && !remove_at(tx, store, link))
        return -1;
    return there;
}

bool store_flush(vista_tx *tx, struct store *store)
{
    struct trash *trash = vista_malloc(tx, sizeof *trash);
    struct entry **buckets = vista_calloc(tx, (size_t)1 << (64 - FIRST_SHIFT), sizeof *buckets);

    if (trash == NULL || buckets == NULL || !declare(tx, store))
        return false;
    *trash = (struct trash){store->now.trash, store->now.all, 0};
    store->now = (struct changing){.all.table = {buckets, FIRST_SHIFT}, .trash = trash};
    return true;
}

/* ---- Tidying up ------------------------------------------------------------ */

/* Frees a bucket of trash; with the last one the tables and the trash itself. */
static bool free_bucket(vista_tx *tx, struct store *store, struct trash *trash)
{
    const struct table *table = table_of(&trash->tables, trash->position);
    const uint64_t bucket = trash->position >> table->shift;

    for (struct entry *entry = table->buckets[bucket]; entry != NULL; entry = entry->next)
        if (vista_free(tx, entry) != 0) /* when it commits: until then it can be read */
            return false;
    trash->position = (bucket + 1) << table->shift;
    if (trash->position != 0)
        return true;
    store->now.trash = trash->following;
    return vista_free(tx, trash->tables.table.buckets) == 0 &&
           (trash->tables.next.buckets == NULL ||
            vista_free(tx, trash->tables.next.buckets) == 0) &&
           vista_free(tx, trash) == 0;
}

/* The first entry of a bucket whose time is over, or the chain's end. */
static struct entry **find_over(const struct table *table, uint64_t bucket)
{
    struct entry **link = &table->buckets[bucket];

    while (*link != NULL && !is_over(*link))
        link = &(*link)->next;
    return link;
}

static bool empty_trash(vista_tx *tx, struct store *store)
{
    struct trash *trash = store->now.trash;

    if (!declare(tx, store) || vista_set_range(tx, &trash->position, sizeof trash->position) != 0)
        return false;
    for (int i = 0; i < TRASH_STEPS && store->now.trash == trash; i++)
        if (!free_bucket(tx, store, trash))
            return false;
    return true;
}

static bool sweep(vista_tx *tx, struct store *store, uint64_t *position)
{
    for (int i = 0; i < SWEEP_STEPS; i++) {
        /* A removal may move the bucket: it is looked for by its hash each time. */
        const struct table *table = table_of(&store->now.all, *position);
        const uint64_t bucket = *position >> table->shift;
        struct entry **link = find_over(table, bucket);

        if (*link == NULL)
            *position = (bucket + 1) << table->shift;
        else if (!remove_at(tx, store, link))
            return false;
    }
    return true;
}

int store_tidy(vista_segment *segment, struct store *store, uint64_t *position)
{
    vista_tx *tx;

    if (store->now.trash == NULL && store->now.mortal == 0)
        return 0;
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL)
        return -1;
    if ((store->now.trash != NULL && !empty_trash(tx, store)) ||
        (store->now.mortal != 0 && !sweep(tx, store, position)) ||
        vista_end_transaction(tx, VISTA_NO_FLUSH) != 0) {
        vista_abort_transaction(tx);
        return -1;
    }
    return store->now.trash != NULL;
}
