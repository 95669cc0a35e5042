/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Datagrams.
 *
 *      0 "VGM1"  4 kind  5 flags  6 slot  8 session  16 generation  24 history  32 life
 *     36 message length  40 offset  44 CRC32C of header and payload  48 tag[16]
 *     64 payload   (KEYED: 64 nonce[24], 88 payload, encrypted)
 *
 * The checksum is taken with its own field as 0, and so is the tag, which then covers the
 * checksum's zero as well: a keyed datagram has no checksum.
 */
#ifndef VI_GRAMS_WIRE_H
#define VI_GRAMS_WIRE_H

#include <stdbool.h>

#include "grams/transport.h"

#define VI_WIRE_MAGIC 0x314d4756u /* "VGM1" */
#define VI_WIRE_NAME 0x004d4756u  /* its first three bytes, the same in each version */

enum {
    VI_HELLO = 1, /* client: let me in; this and the next two with a struct vi_hello, padded */
    VI_CHALLENGE, /* server: say this cookie */
    VI_WELCOME,   /* server: here is your session */
    VI_REQUEST,
    VI_RESPONSE,
    VI_PENDING,       /* server: received, not yet answered */
    VI_PULL,          /* receiver of a message: go on with it from `offset` */
    VI_STALE,         /* server: the slot has gone on to this generation */
    VI_BROKEN,        /* either: the session is broken; `offset` is the reason */
    VI_BYE,           /* client: remove your row */
    VI_OTHER_VERSION, /* either: this is the version that I speak */
    VI_ELSEWHERE,     /* server: that is not where you are; HELLO with this cookie, `history` */
    VI_WIRE_KINDS
};

#define VI_WIRE_KEYED 0x1u
#define VI_WIRE_ONE_WAY 0x2u
#define VI_WIRE_AGAIN 0x4u    /* nothing follows: the receiver is to ask for what it lacks */
#define VI_WIRE_RESPONSE 0x8u /* PULL: of the response, not of the request */

#define VI_KEY_LENGTH 32
#define VI_NONCE_LENGTH 24

struct vi_header {
    uint32_t magic;      /* 0 */
    uint8_t kind;        /* 4 */
    uint8_t flags;       /* 5 */
    uint16_t slot;       /* 6 */
    uint64_t session;    /* 8 */
    uint64_t generation; /* 16; in a handshake the client's number of the attempt */
    uint64_t history;    /* 24 */
    uint32_t life;       /* 32: random, drawn when the sender's endpoint was opened */
    uint32_t length;     /* 36 */
    uint32_t offset;     /* 40 */
    uint32_t crc;        /* 44 */
    uint8_t tag[16];     /* 48 */
};
_Static_assert(sizeof(struct vi_header) == 64, "a datagram's header has 64 bytes");

#define VI_WIRE_KEYED_HEADER (sizeof(struct vi_header) + VI_NONCE_LENGTH)

struct vi_hello {
    uint8_t uuid[16];     /* 0: of the endpoint that speaks */
    uint8_t client[16];   /* 16: of the client */
    uint64_t cookie;      /* 32: 0: none yet */
    uint64_t session;     /* 40: 0: none yet */
    uint64_t message_max; /* 48: what the speaker takes */
    uint32_t slots;       /* 56 */
    uint32_t class;       /* 60: what the speaker's segment survives */
};
_Static_assert(sizeof(struct vi_hello) == 64, "a handshake's payload has 64 bytes");
#define VI_HELLO_LENGTH 256u /* with the header: of a HELLO at least, and of what answers it */

/* Room for what goes before a payload, keyed or not. */
struct vi_envelope {
    struct vi_header header;
    unsigned char nonce[VI_NONCE_LENGTH];
};

/* Keys: XChaCha20-Poly1305 of libsodium, which is loaded when the first key is set.
 * ENOTSUP: it is not there, or cannot be loaded now; the next call tries again. */
int vi_wire_load_keys(void);

/* Makes a packet of header and payload (which must stay until it is sent): checksum, or, with a
 * key, nonce, tag, and the payload encrypted into `scratch`. */
void vi_wire_seal(struct vi_packet *packet, struct vi_envelope *envelope, const void *payload,
                  size_t length, const unsigned char *key, struct vi_socket *socket,
                  unsigned char *scratch);

enum vi_wire_fault { VI_WIRE_SOUND = 0, VI_WIRE_NONSENSE, VI_WIRE_FORGED, VI_WIRE_OTHER_VERSION };

/* Reads what was received, and decrypts it in place. */
enum vi_wire_fault vi_wire_open(const struct vi_packet *packet, const unsigned char *key,
                                struct vi_header *header, unsigned char **payload, size_t *length);

#endif
