/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an endpoint stores in the heap: fixed widths, little-endian, no code.
 *
 *     endpoint block            row block, one a peer
 *     +----------------+        +----------------+
 *     | table          |   +--> | row, 256 B     |
 *     | entry 0  ------+---+    | slot 0, 256 B  |    body block
 *     | entry 1        |        | slot 1   ------+--> message longer than 192 B
 *     | ...            |        | ...            |
 *     +----------------+        +----------------+
 *
 * Requests lie at the client, responses at the server: a slot holds what may have to be sent
 * again.  Checksums cover a structure with the checksum itself as 0.
 */
#ifndef VI_GRAMS_STORED_H
#define VI_GRAMS_STORED_H

#include <stddef.h>
#include <stdint.h>

#include "vista_grams.h"

#define VI_TABLE_MAGIC "VGRAMEP" /* with its NUL, eight bytes */
#define VI_TABLE_VERSION 1u
#define VI_ROW_MAGIC 0x52504756u /* "VGPR" */
#define VI_ADDRESS_LENGTH 128u
#define VI_BODY_INLINE 192u
#define VI_SLOTS_MAX 64u
#define VI_PEERS_MAX 65536u

/* States of a slot. */
enum {
    VI_SLOT_IDLE = 0,      /* client: answered; server: never used */
    VI_SLOT_SENT = 1,      /* client: holds the request */
    VI_SLOT_CANCELLED = 2, /* client: the same, and the answer is dropped */
    VI_SLOT_RECEIVED = 3,  /* server: to be answered, holds nothing */
    VI_SLOT_ANSWERED = 4   /* server: holds the response */
};

/* Flags of a request; they are part of its hash. */
#define VI_SLOT_ONE_WAY 0x1u

struct vi_gram_slot {
    uint64_t generation;   /* 0: of the newest request; grows by 1 */
    uint64_t history;      /* 8: of all that was answered, requests and responses */
    uint32_t state;        /* 16 */
    uint32_t length;       /* 20: of the message here */
    uint64_t request_hash; /* 24: of the newest request */
    unsigned char *body;   /* 32: NULL where it is inline, below */
    uint32_t crc;          /* 40: of the 64 bytes of this header, and of the message */
    uint32_t flags;        /* 44: VI_SLOT_ONE_WAY */
    uint64_t zero[2];      /* 48 */
    unsigned char inlined[VI_BODY_INLINE]; /* 64 */
};
#define VI_SLOT_HEADER offsetof(struct vi_gram_slot, inlined)
_Static_assert(sizeof(struct vi_gram_slot) == 256, "a slot has 256 bytes");
_Static_assert(VI_SLOT_HEADER == 64, "and a header of one line");

enum { VI_ROLE_CLIENT = 1, VI_ROLE_SERVER = 2 }; /* requests go to the peer, or come from it */
enum { VI_ROW_ACTIVE = 1, VI_ROW_LEAVING = 2, VI_ROW_BROKEN = 3 };

/* Why a session is broken. */
enum {
    VI_BROKEN_NOT = 0,
    VI_BROKEN_UNKNOWN = 1, /* the server knows nothing of it */
    VI_BROKEN_BEHIND = 2,  /* the server has executed later requests than this end has sent */
    VI_BROKEN_AHEAD = 3,   /* the client has sent later requests than this end has executed */
    VI_BROKEN_REQUEST = 4, /* another request under the same generation */
    VI_BROKEN_HISTORY = 5, /* other requests and answers before this one */
    VI_BROKEN_PEER = 6,    /* the peer says that it is */
    VI_BROKEN_TORN = 7,    /* this segment was taken although it may be torn */
    VI_BROKEN_FULL = 8,    /* never stored: the server has no row free */
    VI_BROKEN_USED = 9,    /* never stored: the server has a used row of this client */
    VI_BROKEN_REASONS = 10
};

struct vi_gram_row {
    uint32_t magic;         /* 0 */
    uint16_t role;          /* 4 */
    uint16_t state;         /* 6 */
    uint64_t session;       /* 8 */
    unsigned char uuid[16]; /* 16: the peer's */
    uint32_t id;            /* 32: this end's number of the peer */
    uint32_t slots;         /* 36 */
    uint64_t message_max;   /* 40: what the peer takes */
    uint32_t class;         /* 48: what the peer's segment survives, VISTA_KILL_SAFE, ... */
    uint32_t reason;        /* 52: VI_BROKEN_*, while BROKEN */
    uint32_t crc;           /* 56: of these 256 bytes */
    uint32_t zero0;         /* 60 */
    char address[VI_ADDRESS_LENGTH]; /* 64: text, padded with zeros */
    uint64_t zero[8];                /* 192 */
    struct vi_gram_slot slot[];      /* 256 */
};
_Static_assert(sizeof(struct vi_gram_row) == 256, "a row has 256 bytes before its slots");

/* A row's number is its entry's index plus a multiple of the number of entries, and grows. */
struct vi_gram_entry {
    struct vi_gram_row *row; /* 0: NULL: free */
    uint32_t next_id;        /* 8: of the next row here; 0: none any more */
    uint32_t zero;           /* 12 */
};

struct vi_gram_table {
    char magic[8];                   /* 0 */
    uint32_t version;                /* 8 */
    uint32_t slots;                  /* 12: of a row, at most */
    unsigned char uuid[16];          /* 16 */
    uint64_t device, inode;          /* 32: of the file that was opened last; 0: none yet */
    uint32_t peers;                  /* 48: entries */
    uint32_t crc;                    /* 52: of these 128 bytes */
    uint64_t message_max;            /* 56 */
    struct vi_agreement *agreements; /* 64: newest first */
    uint64_t torn;                   /* 72: the process that broke all sessions, as it was torn */
    uint64_t zero[6];                /* 80 */
    struct vi_gram_entry entry[];    /* 128 */
};
_Static_assert(sizeof(struct vi_gram_table) == 128, "a table has 128 bytes before its entries");
_Static_assert(sizeof(struct vi_gram_entry) == 16, "an entry has 16 bytes");

/* ---- Transactions of several sites ----------------------------------------- */

#define VI_AGREEMENT_MAGIC 0x41544756u /* "VGTA" */
#define VI_SITES_MAX 1024u

/* What a request says that is about one, before what the program says in it, and all that a
 * response says. */
enum {
    VI_SAY_PREPARE = 1,
    VI_SAY_COMMIT, /* to who coordinates it: this end has stored that */
    VI_SAY_ABORT,
    VI_SAY_COMMITTED, /* to a site that has no vote, with its message */
    VI_SAY_ABORTED,
    VI_SAY_HAND_OVER, /* coordinate this: a struct vi_agreement; answered with a vote */
    VI_SAY_INQUIRE,
    VI_SAY_VOTE, /* response, and so are the next: its vote is added, VISTA_VOTE_NO, ... */
    VI_SAY_UNDECIDED = VI_SAY_VOTE + 3,
    VI_SAY_DONE
};

struct vi_saying {
    uint32_t magic; /* 0 */
    uint32_t kind;  /* 4 */
    vista_gid gid;  /* 8 */
};

/* It coordinates, and its vote is the outcome: commit, which it is told back when that is stored,
 * or NO. */
#define VI_SITE_IS_AWAY 0x2u

enum { VI_SITE_NEW, VI_SITE_ASKED, VI_SITE_READY, VI_SITE_TOLD, VI_SITE_DONE };

struct vi_site {
    unsigned char uuid[16]; /* 0: of its endpoint */
    vista_request request;  /* 16: the newest to it; `peer` is right from the beginning */
    uint32_t state;         /* 40 */
    uint32_t flags;         /* 44: VISTA_ONE_PHASE, VI_SITE_IS_AWAY */
    uint32_t offset;        /* 48: from the agreement, to a struct vi_saying and the message */
    uint32_t length;        /* 52: of both */
};

#define VI_LOCAL_VOTED 0x1u     /* the program, which has begun it, or voted yes */
#define VI_LOCAL_ONE_PHASE 0x2u /* sites of this end that have no vote */

enum { VI_AGREEMENT_OPEN, VI_AGREEMENT_COMMITTED, VI_AGREEMENT_ABORTED };

/* The coordinator's record, from its beginning until each site knows the outcome. */
struct vi_agreement {
    struct vi_saying says;     /* 0 */
    struct vi_agreement *next; /* 24 */
    vista_request parent;      /* 32: who has handed it over, to be answered with the outcome;
                                  generation 0: it was; session 0: it has stored that, or none */
    uint32_t state;            /* 56 */
    uint32_t local;            /* 60: what the outcome is to be told to at this end, VI_LOCAL_* */
    uint32_t count;            /* 64 */
    uint32_t size;             /* 68: of all */
    uint32_t crc;              /* 72: of all */
    uint32_t zero;             /* 76 */
    struct vi_site site[];     /* 80 */
};
_Static_assert(sizeof(struct vi_site) == 56 && sizeof(struct vi_agreement) == 80,
               "an agreement has 80 bytes and 56 a site before the messages");

#endif
