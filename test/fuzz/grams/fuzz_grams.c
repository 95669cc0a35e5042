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

struct mail {
    struct vi_socket socket;
    struct vi_socket *inner;
    int which;
};

static unsigned char inbox[2048], last[2][2048];
static size_t inbox_length, last_length[2];
static int inbox_for = -1, opening;
static uint64_t clock_now = (uint64_t)1 << 40, sent_bytes;
static struct vi_address addresses[3];
static int from;

static int send_mail(struct vi_socket *socket, struct vi_packet *packets, int count)
{
    const int which = ((struct mail *)socket)->which;

    for (int i = 0; i < count; i++) {
        size_t length = 0;

        for (int p = 0; p < packets[i].parts; p++) {
            if (length + packets[i].part[p].iov_len <= sizeof last[0])
                memcpy(last[which] + length, packets[i].part[p].iov_base,
                       packets[i].part[p].iov_len);
            length += packets[i].part[p].iov_len;
        }
        sent_bytes += length;
        last_length[which] = length <= sizeof last[0] ? length : 0;
    }
    return count;
}

static int receive_mail(struct vi_socket *socket, struct vi_packet *packets, int count, int64_t ns)
{
    (void)count, (void)ns;
    if (inbox_for != ((struct mail *)socket)->which) {
        errno = EAGAIN;
        return -1;
    }
    packets[0].address = addresses[from];
    packets[0].length = inbox_length;
    memcpy(packets[0].part[0].iov_base, inbox, inbox_length);
    inbox_for = -1;
    return 1;
}

static void wake_mail(struct vi_socket *socket)
{
    (void)socket;
}

static uint64_t now_mail(struct vi_socket *socket)
{
    (void)socket;
    return clock_now;
}

static void random_mail(struct vi_socket *socket, void *data, size_t length)
{
    memset(data, 0x5a + ((struct mail *)socket)->which, length);
}

static void close_mail(struct vi_socket *socket)
{
    struct mail *mail = (struct mail *)socket;

    mail->inner->transport->close(mail->inner);
    free(mail);
}

static const struct vi_transport mail_transport = {send_mail, receive_mail, wake_mail,
                                                   now_mail,  random_mail,  close_mail};

static struct vi_socket *wrap(struct vi_socket *inner)
{
    struct mail *mail = calloc(1, sizeof *mail);

    mail->socket = *inner;
    mail->socket.transport = &mail_transport;
    mail->socket.datagram_max = 1452;
    mail->inner = inner;
    mail->which = opening;
    return &mail->socket;
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
    opening = which;
    endpoint[which] =
        vista_open_endpoint(segment[which], root[which]->block, address[which], 0, NULL);
    return endpoint[which] != NULL;
}

static void pass_on(int to)
{
    memcpy(inbox, last[1 - to], last_length[1 - to]);
    inbox_length = last_length[1 - to];
    inbox_for = to;
    from = 1 - to;
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
    inbox_for = -1;
    clock_now = (uint64_t)1 << 40;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    vi_socket_wrap = wrap;
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
    vi_wire_seal(&packet, &envelope, payload, length, NULL, NULL, NULL);
    memcpy(inbox, header, sizeof *header);
    memcpy(inbox + sizeof *header, payload, length);
    inbox_length = sizeof *header + length;
    if (flags & 16)
        inbox[take(input, 1) % inbox_length] ^= (unsigned char)take(input, 1);
    inbox_for = flags >> 7;
    from = flags & 32 ? 2 : 1 - inbox_for;
    sent_bytes = 0;
    MUST(vista_pump(endpoint[inbox_for]) == 0);
    if (header->session != 0x1234567890abcdef) /* no longer than the question */
        MUST(sent_bytes <= inbox_length);
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
            clock_now += (uint64_t)1 << (20 + what / 8 % 16);
            MUST(vista_pump(endpoint[0]) == 0 && vista_pump(endpoint[1]) == 0);
            break;
        case 5:
            MUST(vista_close_endpoint(endpoint[what >> 7]) == 0 && open_endpoint(what >> 7));
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
    clock_now += (uint64_t)1 << 34;
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
