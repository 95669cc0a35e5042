/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fuzzes messages: an input is a conversation that a hostile end has with a server and a client
 * (datagrams with any header, sealed or not, and what the program does meanwhile), or a patch of
 * what an endpoint stores.  No memory but their own is touched, nothing is executed twice, and
 * what is refused is refused with a documented errno.
 *
 * Both ends and their network are in this process, the clock is the input's.  What is stored is put
 * back before each input; messages are small enough to lie in slots, so that the heap stays.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grams/endpoint.h"
#include "grams_mail.h"
#include "vista_grams.h"

#define MUST(condition) \
    do { \
        if (!(condition)) \
            fail(#condition, __LINE__); \
    } while (0)

static void fail(const char *what, int line)
{
    fprintf(stderr, "line %d: %s does not hold; errno %d, \"%s\"\n", line, what, errno,
            vista_errormsg());
    abort();
}

/* ---- Input ------------------------------------------------------------------ */

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes && input->left > 0; i++, input->left--)
        value |= (uint64_t)*input->at++ << 8 * i;
    return value;
}

/* ---- The network -------------------------------------------------------------- */

static unsigned char last[2][2048];
static size_t last_length[2];
static uint64_t sent_bytes;
static struct vi_address addresses[3];

static void note_sent(int which, const struct vi_packet *packet)
{
    const size_t length = gram_mail_gather(packet, last[which], sizeof last[0]);

    sent_bytes += length;
    last_length[which] = length <= sizeof last[0] ? length : 0;
}

/* ---- The ends ------------------------------------------------------------------- */

struct root {
    void *block;
    uint64_t executed[256];
};

static vista_segment *segment[2];
static struct root *root[2];
static vista_endpoint *endpoint[2];
static char address[2][64];
static uint32_t peer;
static struct {
    unsigned char table[4096], row[4096];
} kept[2];

static struct vi_gram_row *row_of(int which)
{
    const struct vi_gram_table *table = root[which]->block;

    for (uint32_t i = 0; i < table->peers; i++)
        if (table->entry[i].row != NULL)
            return table->entry[i].row;
    return NULL;
}

static bool open_endpoint(int which)
{
    gram_mail.opening = which;
    endpoint[which] =
        vista_open_endpoint(segment[which], root[which]->block, address[which], 0, NULL);
    return endpoint[which] != NULL;
}

static void pass_on(int to)
{
    memcpy(gram_mail.bytes, last[1 - to], last_length[1 - to]);
    gram_mail.length = last_length[1 - to];
    gram_mail.to = to;
    gram_mail.from = addresses[1 - to];
    MUST(vista_pump(endpoint[to]) == 0);
}

static void make(int which)
{
    const struct vista_endpoint_options options = {.slots = 4, .peers = 4, .message_max = 100000};
    char path[64];
    vista_tx *tx;

    snprintf(path, sizeof path, "/dev/shm/vista-fuzz-grams-%d-%d", getpid(), which);
    unlink(path);
    segment[which] = vista_map(path, 4 << 20, VISTA_CREATE, NULL);
    MUST(segment[which] != NULL);
    unlink(path);
    root[which] = vista_root(segment[which], sizeof *root[which]);
    MUST(root[which] != NULL);
    tx = vista_begin_transaction(segment[which], 0);
    MUST(vista_set_range(tx, root[which], sizeof *root[which]) == 0);
    root[which]->block = vista_create_endpoint(tx, &options);
    MUST(root[which]->block != NULL && vista_end_transaction(tx, 0) == 0);
    snprintf(address[which], sizeof address[which], "unix:@vista-fuzz-%d-%d", getpid(), which);
    MUST(vi_address_parse(&addresses[which], address[which]) == 0);
    MUST(open_endpoint(which));
}

/* The handshake, by turns: each call of vista_connect gives up at once. */
static void introduce(void)
{
    struct vi_gram_row *row;
    vista_tx *tx;

    for (int which = 0; which < 2; which++) { /* rows as a handshake makes them */
        const struct vi_gram_table *other = root[1 - which]->block;
        struct vi_gram_table *table = root[which]->block;

        tx = vista_begin_transaction(segment[which], 0);
        row = vista_calloc(tx, 1, vi_row_size(4));
        MUST(row != NULL && vista_set_range(tx, table, vi_table_size(4)) == 0);
        *row = (struct vi_gram_row){.magic = VI_ROW_MAGIC,
                                    .role = which == 0 ? VI_ROLE_CLIENT : VI_ROLE_SERVER,
                                    .state = VI_ROW_ACTIVE,
                                    .session = 0x1234567890abcdef,
                                    .id = table->entry[0].next_id,
                                    .slots = 4,
                                    .message_max = 100000,
                                    .class = VISTA_KILL_SAFE};
        memcpy(row->uuid, other->uuid, sizeof row->uuid);
        strcpy(row->address, address[1 - which]);
        vi_table_seal(row, sizeof *row, &row->crc);
        table->entry[0].row = row;
        table->entry[0].next_id += 4;
        MUST(vista_end_transaction(tx, 0) == 0);
        peer = which == 0 ? row->id : peer;
        MUST(vista_close_endpoint(endpoint[which]) == 0 && open_endpoint(which));
    }
}

static void reset(void)
{
    for (int which = 0; which < 2; which++) {
        if (endpoint[which] != NULL)
            MUST(vista_close_endpoint(endpoint[which]) == 0);
        memcpy(root[which]->block, kept[which].table, vi_table_size(4));
        memcpy(((struct vi_gram_table *)root[which]->block)->entry[0].row, kept[which].row,
               vi_row_size(4));
        memset(root[which]->executed, 0, sizeof root[which]->executed);
    }
    gram_mail.to = -1;
    gram_mail.clock = (uint64_t)1 << 40;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    gram_mail.datagram_max = 1452;
    gram_mail.sent = note_sent;
    gram_mail_use();
    make(0);
    make(1);
    MUST(vi_address_parse(&addresses[2], "unix:@a-stranger") == 0);
    introduce();
    for (int which = 0; which < 2; which++) {
        memcpy(kept[which].table, root[which]->block, vi_table_size(4));
        memcpy(kept[which].row, row_of(which), vi_row_size(4));
    }
    return 0;
}

/* ---- What an input says ------------------------------------------------------------ */

static void send_hostile(struct input *input)
{
    struct vi_envelope envelope = {0};
    struct vi_header *header = &envelope.header;
    unsigned char payload[1400] = {0};
    struct vi_packet packet;
    const unsigned flags = (unsigned)take(input, 1);
    size_t length = take(input, 2) % sizeof payload;

    header->kind = (uint8_t)take(input, 1);
    if (header->kind ==
        VI_BYE) /* it would free the row, and what is stored could not be put back */
        header->kind = VI_PULL;
    header->flags = (uint8_t)take(input, 1) & 0xfe;
    header->slot = (uint16_t)(take(input, 1) % 6);
    header->session = flags & 1 ? 0x1234567890abcdef : take(input, 2);
    header->generation = take(input, 1) % 4;
    header->history =
        flags & 2 ? row_of(flags >> 7)->slot[header->slot % 4].history : take(input, 8);
    header->offset = flags & 4 ? (uint32_t)take(input, 4) : (uint32_t)(take(input, 1) * length);
    header->length = flags & 8 ? header->offset + (uint32_t)length : (uint32_t)take(input, 3);
    for (size_t i = 0; i < length && i < 96; i++)
        payload[i] = (unsigned char)take(input, 1);
    if (flags & 64) { /* of a transaction of several sites */
        const uint32_t magic = VI_AGREEMENT_MAGIC;

        memcpy(payload, &magic, sizeof magic);
        memcpy(payload + sizeof(struct vi_saying), &magic, sizeof magic);
    }
    vi_wire_seal(&packet, &envelope, payload, length, NULL, NULL, NULL);
    memcpy(gram_mail.bytes, header, sizeof *header);
    memcpy(gram_mail.bytes + sizeof *header, payload, length);
    gram_mail.length = sizeof *header + length;
    if (flags & 16)
        gram_mail.bytes[take(input, 1) % gram_mail.length] ^= (unsigned char)take(input, 1);
    gram_mail.to = flags >> 7;
    gram_mail.from = addresses[flags & 32 ? 2 : 1 - gram_mail.to];
    sent_bytes = 0;
    MUST(vista_pump(endpoint[gram_mail.to]) == 0);
    if (header->session != 0x1234567890abcdef) /* no longer than the question */
        MUST(sent_bytes <= gram_mail.length);
}

static void echo(void)
{
    vista_tx *tx = vista_begin_transaction(segment[1], 0);
    unsigned char message[192];
    vista_request request;
    const ssize_t length =
        vista_receive_request(tx, endpoint[1], message, sizeof message, &request, 0);

    if (length < 0) {
        MUST(errno == EAGAIN || errno == EMSGSIZE);
        MUST(vista_abort_transaction(tx) == 0);
        return;
    }
    MUST(vista_send_response(tx, endpoint[1], &request, message, (size_t)length) == 0 ||
         errno == EINVAL); /* one-way */
    MUST(vista_end_transaction(tx, 0) == 0);
}

static void ask(struct input *input)
{
    vista_tx *tx = vista_begin_transaction(segment[0], 0);
    const uint64_t number = take(input, 1);
    vista_request request;

    if (vista_send_request(tx, endpoint[0], peer, &number, sizeof number,
                           number & 1 ? VISTA_ONE_WAY : 0, &request) != 0)
        MUST(errno == EAGAIN || errno == ESTALE || errno == EINVAL);
    MUST(vista_end_transaction(tx, 0) == 0);
}

static void receive(void)
{
    vista_tx *tx = vista_begin_transaction(segment[0], 0);
    unsigned char message[192];
    vista_request any = {0};

    if (vista_receive_response(tx, endpoint[0], &any, message, sizeof message, 0) < 0)
        MUST(errno == EAGAIN || errno == EMSGSIZE);
    MUST(vista_end_transaction(tx, 0) == 0);
}

static int vote(void *arg, vista_tx *tx, const vista_gid *gid, const void *message, size_t length)
{
    unsigned sum = 0;

    (void)arg, (void)tx, (void)gid;
    for (size_t i = 0; i < length; i++)
        sum += ((const unsigned char *)message)[i];
    return (int)(sum % 3);
}

/* Undone, so that what it allocates does not gather. */
static void join(int which)
{
    const struct vista_participant with = {.prepare = vote};
    vista_tx *tx = vista_begin_transaction(segment[which], 0);

    if (vista_join(tx, endpoint[which], &with, NULL) != 0)
        MUST(errno == EAGAIN || errno == ESTALE || errno == ENOSPC || errno == ENOMEM);
    MUST(vista_abort_transaction(tx) == 0);
}

static void converse(struct input *input)
{
    MUST(open_endpoint(0) && open_endpoint(1));
    while (input->left > 0) {
        const unsigned what = (unsigned)take(input, 1);

        switch (what % 8) {
        case 0:
            ask(input);
            break;
        case 1:
            echo();
            break;
        case 2:
            receive();
            break;
        case 3:
            pass_on(what >> 7);
            break;
        case 4:
            gram_mail.clock += (uint64_t)1 << (20 + what / 8 % 16);
            MUST(vista_pump(endpoint[0]) == 0 && vista_pump(endpoint[1]) == 0);
            break;
        case 5:
            MUST(vista_close_endpoint(endpoint[what >> 7]) == 0 && open_endpoint(what >> 7));
            break;
        case 6:
            join(what >> 7);
            break;
        default:
            send_hostile(input);
        }
    }
}

/* Patches what the two store, with checksums made right or not, and opens it. */
static void damage(struct input *input)
{
    const int which = (int)(take(input, 1) & 1);
    struct vi_gram_table *table = root[which]->block;
    struct vi_gram_row *row = table->entry[0].row;
    const unsigned seals = (unsigned)take(input, 1);

    while (input->left > 0) {
        const size_t at = take(input, 2);
        unsigned char *byte = at < 4096 ? (unsigned char *)table + at % vi_table_size(4)
                                        : (unsigned char *)row + at % vi_row_size(4);
        *byte = (unsigned char)take(input, 1);
    }
    if (seals & 1)
        vi_table_seal(table, sizeof *table, &table->crc);
    if (seals & 2)
        vi_table_seal(row, sizeof *row, &row->crc);
    for (int i = 0; i < 4; i++)
        if (seals & 4 << i && row->slot[i].body == NULL && row->slot[i].length <= VI_BODY_INLINE)
            vi_slot_seal(&row->slot[i]);
    endpoint[1 - which] = NULL;
    if (!open_endpoint(which)) {
        MUST(errno == EBADMSG || errno == ENOTSUP || errno == ECANCELED);
        return;
    }
    gram_mail.clock += (uint64_t)1 << 34;
    MUST(vista_pump(endpoint[which]) == 0);
    if (which == 0)
        receive();
    else
        echo();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    reset();
    endpoint[0] = endpoint[1] = NULL;
    if (take(&input, 1) & 1)
        damage(&input);
    else
        converse(&input);
    return 0;
}
