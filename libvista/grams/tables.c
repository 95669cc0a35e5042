/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "grams/hash.h"
#include "grams/transport.h"

#define DEFAULT_SLOTS 16u
#define DEFAULT_PEERS 1024u
#define DEFAULT_MESSAGE ((size_t)1 << 20)

size_t vi_table_size(uint32_t peers)
{
    return sizeof(struct vi_gram_table) + (size_t)peers * sizeof(struct vi_gram_entry);
}

size_t vi_row_size(uint32_t slots)
{
    return sizeof(struct vi_gram_row) + (size_t)slots * sizeof(struct vi_gram_slot);
}

/* ---- Checksums --------------------------------------------------------- */

/* Of `length` bytes, with the checksum itself, `at` bytes in them, as 0. */
static uint32_t crc_of(const void *data, size_t length, size_t at)
{
    static const uint32_t zero;
    const unsigned char *bytes = data;
    const uint32_t crc = vi_crc32c(vi_crc32c(0, bytes, at), &zero, sizeof zero);

    at += sizeof zero;
    return vi_crc32c(crc, bytes + at, length - at);
}

static size_t distance(const void *from, const void *to)
{
    return (size_t)((const char *)to - (const char *)from);
}

void vi_table_seal(void *data, size_t length, uint32_t *crc)
{
    *crc = crc_of(data, length, distance(data, crc));
}

static bool is_sealed(const void *data, size_t length, const uint32_t *crc)
{
    return *crc == crc_of(data, length, distance(data, crc));
}

static uint32_t slot_crc(const struct vi_gram_slot *slot)
{
    unsigned char head[VI_SLOT_HEADER];
    uint32_t crc;

    memcpy(head, slot, sizeof head);
    memset(head + offsetof(struct vi_gram_slot, crc), 0, sizeof slot->crc);
    crc = vi_crc32c(0, head, sizeof head);
    return slot->length > 0 ? vi_crc32c(crc, vi_slot_body(slot), slot->length) : crc;
}

void vi_slot_seal(struct vi_gram_slot *slot)
{
    slot->crc = slot_crc(slot);
}

/* ---- Making ------------------------------------------------------------ */

static int choose(const struct vista_endpoint_options *options, struct vi_gram_table *table)
{
    static const struct vista_endpoint_options none;
    const struct vista_endpoint_options *of = options != NULL ? options : &none;

    table->slots = of->slots != 0 ? of->slots : DEFAULT_SLOTS;
    table->peers = of->peers != 0 ? of->peers : DEFAULT_PEERS;
    table->message_max = of->message_max != 0 ? of->message_max : DEFAULT_MESSAGE;
    if (table->slots > VI_SLOTS_MAX || table->peers > VI_PEERS_MAX ||
        table->message_max > VISTA_MESSAGE_MAX ||
        memcmp(of->reserved, none.reserved, sizeof none.reserved) != 0)
        return vi_fail(EINVAL,
                       "an endpoint of %u slots, %u peers, messages of %llu bytes: it has at most "
                       "%u, %u and %zu, and reserved fields are zero",
                       table->slots, table->peers, (unsigned long long)table->message_max,
                       VI_SLOTS_MAX, VI_PEERS_MAX, VISTA_MESSAGE_MAX);
    return 0;
}

void *vista_create_endpoint(vista_tx *tx, const struct vista_endpoint_options *options)
{
    struct vi_gram_table head = {.magic = VI_TABLE_MAGIC, .version = VI_TABLE_VERSION}, *table;

    if (choose(options, &head) != 0)
        return NULL;
    if (getrandom(head.uuid, sizeof head.uuid, 0) != (ssize_t)sizeof head.uuid)
        return vi_fail_system(errno, "random bytes"), NULL;
    table = vista_calloc(tx, 1, vi_table_size(head.peers));
    if (table == NULL)
        return NULL;
    vi_table_seal(&head, sizeof head, &head.crc);
    memcpy(table, &head, sizeof head);
    for (uint32_t i = 0; i < head.peers; i++)
        table->entry[i].next_id = head.peers + i;
    return table;
}

/* ---- Changing ---------------------------------------------------------- */

int vi_row_change(vista_tx *tx, struct vi_gram_row *row, unsigned state, uint32_t reason,
                  const struct vi_address *to)
{
    if (vista_set_range(tx, row, sizeof *row) != 0)
        return -1;
    row->state = (uint16_t)state;
    row->reason = reason;
    if (to != NULL)
        vi_address_print(to, row->address);
    vi_table_seal(row, sizeof *row, &row->crc);
    return 0;
}

int vi_table_break(vista_tx *tx, const struct vi_gram_table *table, uint32_t reason)
{
    for (uint32_t i = 0; i < table->peers; i++) {
        struct vi_gram_row *row = table->entry[i].row;

        if (row != NULL && row->state != VI_ROW_BROKEN &&
            vi_row_change(tx, row, VI_ROW_BROKEN, reason, NULL) != 0)
            return -1;
    }
    return 0;
}

int vi_row_remove(vista_tx *tx, struct vi_gram_table *table, uint32_t index)
{
    struct vi_gram_row *row = table->entry[index].row;

    if (vista_set_range(tx, row, vi_row_size(row->slots)) != 0)
        return -1;
    for (uint32_t i = 0; i < row->slots; i++) {
        struct vi_gram_slot *slot = &row->slot[i];

        if (slot->body != NULL && vista_free(tx, slot->body) != 0)
            return -1;
        slot->length = slot->body != NULL ? 0 : slot->length; /* should a later one fail */
        slot->body = NULL;
        vi_slot_seal(slot);
    }
    if (vista_free(tx, row) != 0)
        return -1;
    table->entry[index].row = NULL;
    return 0;
}

/* ---- Checking ---------------------------------------------------------- */

bool vi_table_is_one(const void *block, size_t size)
{
    return size >= sizeof(struct vi_gram_table) &&
           memcmp(block, VI_TABLE_MAGIC, sizeof VI_TABLE_MAGIC) == 0;
}

static int damaged(const char *what, uint64_t where)
{
    return vi_fail(EBADMSG, "the endpoint is damaged: %s at 0x%llx", what,
                   (unsigned long long)where);
}

/* Is there a block, wholly inside a mapped segment, of at least so many bytes? */
static bool is_block(vista_segment *segment, const void *address, size_t size)
{
    return vista_usable_size(segment, address) >= size;
}

static bool state_fits(const struct vi_gram_slot *slot, unsigned role)
{
    if (slot->generation == 0 || slot->state == VI_SLOT_IDLE)
        return slot->state == VI_SLOT_IDLE && (role == VI_ROLE_CLIENT || slot->generation == 0);
    if (role == VI_ROLE_CLIENT)
        return slot->state == VI_SLOT_SENT || slot->state == VI_SLOT_CANCELLED;
    return slot->state == VI_SLOT_RECEIVED || slot->state == VI_SLOT_ANSWERED;
}

static bool has_message(const struct vi_gram_slot *slot)
{
    return slot->state != VI_SLOT_IDLE && slot->state != VI_SLOT_RECEIVED;
}

static int check_slot(vista_segment *segment, const struct vi_gram_slot *slot, unsigned role)
{
    static const struct vi_gram_slot unused;
    const uint64_t where = (uintptr_t)slot;

    if (!state_fits(slot, role))
        return damaged("a slot's state", where);
    if (slot->length > (has_message(slot) ? VISTA_MESSAGE_MAX : 0))
        return damaged("the length of a slot's message", where);
    if ((slot->length > VI_BODY_INLINE) != (slot->body != NULL) ||
        (slot->body != NULL && !is_block(segment, slot->body, slot->length)))
        return damaged("the pointer to a slot's message", where);
    /* A slot that was never used is zero, checksum and all. */
    if (memcmp(slot, &unused, VI_SLOT_HEADER) == 0)
        return 0;
    return slot->crc == slot_crc(slot) ? 0 : damaged("the checksum of a slot", where);
}

static int check_row_head(const struct vi_gram_table *table, const struct vi_gram_row *row,
                          uint32_t index)
{
    const uint64_t where = (uintptr_t)row;
    struct vi_address address;

    if (row->magic != VI_ROW_MAGIC || !is_sealed(row, sizeof *row, &row->crc))
        return damaged("the checksum of a peer's row", where);
    if (row->id % table->peers != index || row->id == 0 ||
        (table->entry[index].next_id != 0 && row->id >= table->entry[index].next_id))
        return damaged("the number of a peer", where);
    if ((row->role != VI_ROLE_CLIENT && row->role != VI_ROLE_SERVER) ||
        row->state < VI_ROW_ACTIVE || row->state > VI_ROW_BROKEN ||
        row->reason >= VI_BROKEN_REASONS || row->message_max > VISTA_MESSAGE_MAX)
        return damaged("the state of a peer", where);
    if (memchr(row->address, '\0', sizeof row->address) == NULL ||
        vi_address_parse(&address, row->address) != 0)
        return damaged("the address of a peer", where);
    return 0;
}

static int check_row(vista_segment *segment, const struct vi_gram_table *table, uint32_t index)
{
    const struct vi_gram_row *row = table->entry[index].row;

    if (!is_block(segment, row, sizeof *row))
        return damaged("the pointer to a peer's row", (uintptr_t)&table->entry[index]);
    if (row->slots == 0 || row->slots > table->slots ||
        !is_block(segment, row, vi_row_size(row->slots)))
        return damaged("the number of a peer's slots", (uintptr_t)row);
    if (check_row_head(table, row, index) != 0)
        return -1;
    for (uint32_t i = 0; i < row->slots; i++)
        if (check_slot(segment, &row->slot[i], row->role) != 0)
            return -1;
    return 0;
}

bool vi_agreement_is_sound(const struct vi_agreement *of, size_t size)
{
    const size_t head = size >= sizeof *of ? sizeof *of + of->count * sizeof of->site[0] : 0;

    if (head == 0 || of->says.magic != VI_AGREEMENT_MAGIC || of->size > size || of->count == 0 ||
        of->count > VI_SITES_MAX || of->size < head || of->state > VI_AGREEMENT_ABORTED)
        return false;
    for (const struct vi_site *site = of->site; site < of->site + of->count; site++)
        if (site->state > VI_SITE_DONE || site->offset % 8 != 0 || site->offset < head ||
            site->offset > of->size || site->length < sizeof of->says ||
            site->length > of->size - site->offset)
            return false;
    return true;
}

/* A list that runs in a circle is longer than any that is sound: no byte is summed up much more
 * than once. */
static int check_agreements(vista_segment *segment, const struct vi_gram_table *table)
{
    size_t left = vista_size(segment);

    for (const struct vi_agreement *of = table->agreements; of != NULL; of = of->next) {
        if (!vi_agreement_is_sound(of, vista_usable_size(segment, of)) || of->size > left ||
            !is_sealed(of, of->size, &of->crc))
            return damaged("a transaction of several sites", (uintptr_t)of);
        left -= of->size;
    }
    return 0;
}

static int by_address(const void *left, const void *right)
{
    const char *const *a = left, *const *b = right;

    return (*a > *b) - (*a < *b);
}

/* All blocks of a table whose pointers are sound, itself included; how many. */
static size_t list_blocks(const struct vi_gram_table *table, const void **to)
{
    size_t count = 0;

    to[count++] = table;
    for (uint32_t i = 0; i < table->peers; i++) {
        const struct vi_gram_row *row = table->entry[i].row;

        for (uint32_t s = 0; row != NULL && s < row->slots; s++)
            if (row->slot[s].body != NULL)
                to[count++] = row->slot[s].body;
        if (row != NULL)
            to[count++] = row;
    }
    for (const struct vi_agreement *of = table->agreements; of != NULL; of = of->next)
        to[count++] = of;
    return count;
}

/* A block that is named twice, or is the table, would be freed under its other user. */
static int check_blocks(const struct vi_gram_table *table)
{
    size_t most = 1 + (size_t)table->peers * (1 + table->slots), count;
    const void **blocks;
    bool twice = false;

    for (const struct vi_agreement *of = table->agreements; of != NULL; of = of->next)
        most++;
    blocks = vi_reserve(most * sizeof *blocks);
    if (blocks == NULL)
        return -1;
    count = list_blocks(table, blocks);
    qsort(blocks, count, sizeof *blocks, by_address);
    for (size_t i = 1; i < count; i++)
        twice = twice || blocks[i] == blocks[i - 1];
    vi_release(blocks, most * sizeof *blocks);
    return twice ? damaged("a block that is named twice", (uintptr_t)table) : 0;
}

int vi_table_check(vista_segment *segment, const struct vi_gram_table *table)
{
    const size_t size = vista_usable_size(segment, table);

    if (size == 0 || !vi_table_is_one(table, size))
        return vi_fail(EBADMSG, "%p is no endpoint's block", (const void *)table);
    if (table->version != VI_TABLE_VERSION)
        return vi_fail(ENOTSUP, "the endpoint has version %u, which is not %u", table->version,
                       VI_TABLE_VERSION);
    if (!is_sealed(table, sizeof *table, &table->crc) || table->peers == 0 ||
        table->peers > VI_PEERS_MAX || table->slots == 0 || table->slots > VI_SLOTS_MAX ||
        table->message_max > VISTA_MESSAGE_MAX || size < vi_table_size(table->peers))
        return damaged("the head of its table", (uintptr_t)table);
    for (uint32_t i = 0; i < table->peers; i++) {
        const uint32_t next = table->entry[i].next_id;

        if (next != 0 && (next % table->peers != i || next < table->peers))
            return damaged("the number of the next peer", (uintptr_t)&table->entry[i]);
        if (table->entry[i].row != NULL && check_row(segment, table, i) != 0)
            return -1;
    }
    return check_agreements(segment, table) == 0 ? check_blocks(table) : -1;
}

const char *vi_broken_reason(uint32_t reason)
{
    static const char *const reasons[VI_BROKEN_REASONS] = {
        "it is not",
        "the peer knows nothing of it: it was restored, made anew, or has forgotten this end",
        "the peer has seen later requests of this end, which seems to have been restored",
        "the peer has sent later requests than this end, which seems restored, has seen",
        "the peer has sent two different requests as one, and seems to run twice",
        "the two ends remember different requests and answers",
        "the peer has found it broken",
        "this segment was taken although it may be torn",
        "the peer has no row free",
        "the peer has a used row of this endpoint, which knows nothing of it",
    };

    return reason < VI_BROKEN_REASONS ? reasons[reason] : "of an unknown reason";
}
