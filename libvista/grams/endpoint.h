/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is volatile of an open endpoint: beside each stored row a peer, beside each stored slot a
 * lane.  All of it is mapped apart from malloc, at once, and takes memory as it is touched.
 *
 * One lock an endpoint.  It is not held while a call waits, and beginning and ending a
 * transaction is such a wait.  What is stored of a lane or row may be read with the lock while no
 * transaction owns it, and by the owner at any time; only the owner changes it.  An owner is a
 * group: what one transaction does here, from its first call until vista_on_end has told.  Who
 * forgets a peer owns its row and its lanes; between the commit and that the row has gone.
 *
 * Datagrams gather in `out` while the lock is held, and leave before it is given up, since their
 * payloads lie in stored slots.
 */
#ifndef VI_GRAMS_ENDPOINT_H
#define VI_GRAMS_ENDPOINT_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "grams/tables.h"
#include "grams/wire.h"

#define VI_STAGED_MAX ((size_t)8 << 20) /* bytes of messages that have arrived, of one endpoint */
#define VI_GROUPS 4160u                 /* transactions open on a segment */
#define VI_TASKS 256u

/* A message that has arrived, or arrives. */
struct vi_message {
    struct vi_message *next; /* while it is a spare */
    unsigned char *data;
    size_t size; /* of its memory, all in all */
    uint32_t length;
    uint32_t flags; /* VI_SLOT_ONE_WAY */
    uint64_t generation, history, hash;
    /* While it arrives in fragments: */
    uint32_t arrived; /* bytes, from its beginning */
    uint64_t touched; /* when the newest came */
};

/* What a transaction that owns a lane does with its messages. */
#define VI_ACT_SEND 0x1u    /* a request or a response leaves */
#define VI_ACT_RECEIVE 0x2u /* what is staged has been received */

struct vi_lane {
    struct vi_gram_slot *stored;
    struct vi_peer *peer;
    struct vi_group *owner;
    struct vi_lane *next_owned;
    struct vi_message *staged; /* arrived, and not received by a committed transaction */
    struct vi_message *partial;
    unsigned char *body; /* allocated by the call that is under way */
    TAILQ_ENTRY(vi_lane) queue;
    struct vi_queue *in; /* where that is: staged, not owned; NULL: in none */
    uint64_t sent;       /* client: when the request was sent first; server: what was told last */
    uint64_t due;        /* client: when it is to be sent again; 0: it is answered; UINT64_MAX: when
                           the peer gives a sign of life.  A leaving peer's first lane: BYE.  Server:
                           an answer that found no room, or 0 */
    uint32_t awaited;    /* threads that wait for its response */
    uint8_t acts, tries, refusals; /* by time-outs, and for want of room */
    bool again;                    /* was retransmitted, and so no measure of the round trip */
    bool refused;                  /* there was no room for what it sent last */
};

struct vi_peer {
    struct vi_gram_row *row; /* NULL: free, or being made */
    struct vi_group *owner;  /* its row's head is being changed, or made, or removed */
    struct vi_peer *next_owned;
    LIST_HEAD(vi_sessions, vi_peer) sessions; /* those whose numbers lead to this index */
    LIST_ENTRY(vi_peer) same;
    struct vi_lane *lane;
    struct vi_lane *probe; /* the one that is sent again until the peer gives a sign of life */
    struct vi_address address;
    uint64_t session;       /* of the row, as are role and slots: it may be gone before this is */
    unsigned char uuid[16]; /* the row's, and that of the one that is being made */
    uint64_t welcome;       /* the HELLO that is answered when what is being stored is; or 0 */
    uint32_t role, slots, index, reason;     /* VI_BROKEN_*; in memory before it is stored */
    uint64_t round_trip, deviation, timeout; /* RFC 6298, ns */
};

enum vi_task_kind {
    VI_TASK_ROW,    /* make a row, or store that its peer has another address */
    VI_TASK_BREAK,  /* store that the session is broken */
    VI_TASK_REMOVE, /* remove a row */
};

/* Something that takes a transaction of the library's own. */
struct vi_task {
    enum vi_task_kind kind;
    uint32_t index, id; /* the peer's, when the task was made */
    uint32_t reason;    /* BREAK */
    uint32_t role;      /* ROW, and so are the next */
    uint64_t attempt;   /* whom to welcome: the HELLO's number; 0: no one */
    struct vi_hello hello;
    struct vi_address address;
};

struct vi_group {
    vista_endpoint *endpoint; /* NULL: it is free */
    vista_tx *tx;             /* with number and stamp one transaction's */
    uint64_t number, stamp;
    struct vi_lane *lanes;
    struct vi_peer *peers;
    LIST_ENTRY(vi_group) link;
};

/* One vista_connect under way. */
struct vi_attempt {
    LIST_ENTRY(vi_attempt) link;
    struct vi_address address;
    uint64_t number, session, cookie; /* what the HELLO says */
    unsigned char uuid[16];           /* the server's, once it has answered */
    enum { VI_ASKING, VI_CHALLENGED, VI_STORED, VI_REFUSED } state;
    int error; /* REFUSED: errno, and why */
    const char *why;
    uint32_t peer, flags;
};

struct vista_endpoint {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    LIST_ENTRY(vista_endpoint) link; /* of those that are open */
    vista_segment *segment;
    struct vi_gram_table *table;
    struct vi_socket *socket;
    size_t size; /* of all this memory */
    char address[VI_ADDRESS_LENGTH];
    unsigned char key_bytes[VI_KEY_LENGTH];
    const unsigned char *key; /* NULL: none */
    uint32_t life, class;
    uint64_t cookie_key[2];
    uint64_t random;       /* of jitter */
    uint32_t fragment_max; /* bytes of a fragment that is not the last */

    struct vi_peer *peer; /* as many as the table has entries */
    uint32_t peers_used;  /* behind the last one that was ever used */
    struct vi_lane *lanes;
    TAILQ_HEAD(vi_queue, vi_lane)
    requests, responses, unwanted; /* responses to what is cancelled */
    uint64_t next_due;             /* not after the first of what is unanswered */
    LIST_HEAD(, vi_attempt) attempts;
    uint32_t broken;

    LIST_HEAD(, vi_group) groups; /* open ones, of those at the end */
    struct vi_task task[VI_TASKS];
    uint32_t task_first, task_count;

    struct vi_message *spares[2]; /* free ones; the small ones second */
    size_t staged;
    size_t large; /* of those that alone are more than half of the limit, part of `staged` */

    bool leader;           /* a thread receives, */
    uint64_t leader_until; /* at most until then */
    uint32_t users;        /* threads in a call that may wait */
    uint32_t waiting;      /* of them on `changed` */
    uint64_t wakes;
    int poll_fd, timer_fd; /* -1: not asked for */
    uint64_t timer_set;

    struct vista_endpoint_info counts;
    int out_count;
    struct vi_packet out[VI_BATCH];
    struct vi_envelope envelope[VI_BATCH];
    unsigned char small[VI_BATCH][VI_HELLO_LENGTH];
    unsigned char *scratch; /* VI_BATCH times a datagram, with a key */
    struct vi_packet in[VI_BATCH];
    unsigned char *buffers; /* as many */
    struct vi_group group[VI_GROUPS];
};

/* The handle is open, and this is the process that opened it: else NULL with EINVAL or EPERM. */
vista_endpoint *vi_endpoint_check(const vista_endpoint *endpoint);

void vi_endpoint_lock(vista_endpoint *e);
/* First sends what has gathered, and makes the descriptors tell what is to be done, and the leader
 * see what has become due sooner. */
void vi_endpoint_unlock(vista_endpoint *e);
/* That without giving up the lock. */
void vi_endpoint_flush(vista_endpoint *e);

static inline uint64_t vi_endpoint_now(vista_endpoint *e)
{
    return e->socket->transport->now(e->socket);
}

/* Something is to be done at `at`, or before. */
static inline void vi_endpoint_due(vista_endpoint *e, uint64_t at)
{
    if (at < e->next_due)
        e->next_due = at;
}

/* A number below `limit`, for jitter. */
uint64_t vi_endpoint_jitter(vista_endpoint *e, uint64_t limit);

/* The peer of that number; NULL with EINVAL, or ESTALE where its session is broken. */
struct vi_peer *vi_endpoint_peer(vista_endpoint *e, uint32_t id, bool broken_too);
struct vi_peer *vi_endpoint_session(vista_endpoint *e, uint64_t session);
struct vi_peer *vi_endpoint_uuid(vista_endpoint *e, const unsigned char *uuid, unsigned role);

/* A lane of a client's peer that a request can be sent in; NULL: none now. */
struct vi_lane *vi_endpoint_free_lane(struct vi_peer *peer);

/* The row is there now, and the peer is made after it; or it goes, and so do its messages. */
void vi_endpoint_attach(vista_endpoint *e, struct vi_peer *peer, struct vi_gram_row *row);
void vi_endpoint_detach(vista_endpoint *e, struct vi_peer *peer);

/* The session is broken, in memory; a task is to store it.  Threads that wait are told of that, as of
 * all that arrives, when it has been taken in. */
void vi_endpoint_break(vista_endpoint *e, struct vi_peer *peer, uint32_t reason);

#endif
