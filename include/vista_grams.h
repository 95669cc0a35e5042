/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista_grams.h - messages inside transactions.
 *
 *     void *block = vista_create_endpoint(tx, NULL);            once, stored by the program
 *     vista_endpoint *e = vista_open_endpoint(segment, block, "udp:127.0.0.1:7000", 0, NULL);
 *     vista_connect(e, "udp:127.0.0.1:7001", NULL, &peer, -1);
 *
 *     tx = vista_begin_transaction(segment, 0);
 *     vista_send_request(tx, e, peer, &order, sizeof order, 0, &request);
 *     vista_end_transaction(tx, 0);                             now it leaves
 *
 *     tx = vista_begin_transaction(segment, 0);
 *     vista_receive_response(tx, e, &request, &answer, sizeof answer, -1);
 *     vista_end_transaction(tx, 0);                             now it has been received
 *
 * The design is that of vistagrams (Lowell's dissertation, 1999, chapter 4).  A request that a
 * committed transaction has sent is received by at most one committed transaction, and so is its
 * response; by exactly one if both ends and the network come back for long enough.  What a lost
 * or aborted transaction sent never leaves, and what it received is delivered again.  Requests
 * have no order among each other.  What a program does outside its segment may be repeated.
 *
 * How much an end survives is what its segment's class promises (vista_info).  In the disk class
 * no datagram leaves before its commit is synced.
 *
 * An end that was restored from an older copy, or runs twice, is found at the first exchange that
 * shows two histories.  The session is then broken for good: calls are ESTALE until
 * vista_forget_peer, and the program decides about requests in doubt.
 *
 * Errors, threads and forked children are as in vista.h.  No error ends the transaction.  None of
 * the functions starts a thread; what is to be retransmitted is, from the calls that receive, and
 * from vista_select and vista_pump.  A callback of vista_on_end may call none of them.  None is a
 * point of cancellation: a thread that is cancelled while it waits goes on until vista_wake.
 */
#ifndef VISTA_GRAMS_H
#define VISTA_GRAMS_H

#include "vista.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An open endpoint: volatile, the library's, used by any thread. */
typedef struct vista_endpoint vista_endpoint;

/* One request, the same at both ends but for `peer`, which is each end's own number of the
 * other.  It may be stored, and is good after a restart. */
typedef struct vista_request {
    uint64_t session, generation;
    uint32_t slot, peer;
} vista_request;

/* The largest message that an endpoint can be created for, in bytes. */
#define VISTA_MESSAGE_MAX ((size_t)16 << 20)

struct vista_endpoint_options {
    uint32_t slots;       /* requests to a peer that may be unanswered, 1 to 64; 0: 16 */
    uint32_t peers;       /* rows, 1 to 65,536; 0: 1,024 */
    size_t message_max;   /* bytes of a message, to VISTA_MESSAGE_MAX; 0: 1 MiB */
    uint64_t reserved[5]; /* zero */
};

/*
 * Allocates an endpoint in the segment on which `tx` was begun (its home, if it shares a log) and
 * returns its block, which exists from the commit on.  Keep its address in the segment.  `options`
 * may be NULL.  It is freed as any block is, by vista_free, when it has no peers and is not open.
 * Errors: as vista_malloc; EINVAL an option out of range.
 */
void *vista_create_endpoint(vista_tx *tx, const struct vista_endpoint_options *options);

/* Flags of vista_open_endpoint. */
#define VISTA_ADOPT 0x1u           /* this copy of the file is the only one in use */
#define VISTA_UNAUTHENTICATED 0x2u /* may bind beyond this machine without a key */

struct vista_open_options {
    const void *key;      /* 32 bytes that all ends share, copied; NULL: none */
    uint64_t reserved[7]; /* zero */
};

/*
 * Opens the endpoint at `block` and binds `address`: "udp:127.0.0.1:7000", "udp:[::1]:7000"
 * (port 0: any free one), "unix:/path", "unix:@abstract" or "unix:" (a free abstract name).  A
 * socket that a dead process left at the path is replaced.  What was sent and is unanswered is
 * sent again by the calls that follow.  One process, and in it one handle, has an endpoint open.
 *
 * With a key all datagrams are encrypted and authenticated (XChaCha20-Poly1305), by libsodium,
 * which is loaded at the first use of a key.  Without one only loopback and Unix addresses bind,
 * unless VISTA_UNAUTHENTICATED is given.
 *
 * Errors: EINVAL; EBUSY it is open; EBADMSG no endpoint, or damaged; ENOTSUP another version, or
 * libsodium cannot be loaded, which the next call tries again; ECANCELED the file is not the one
 * that was used last (another inode or device number), and may be a copy: VISTA_ADOPT says that no
 * other is in use; EACCES an address beyond this machine without a key; EADDRINUSE and others of
 * bind(2); ENOMEM; EROFS.
 */
vista_endpoint *vista_open_endpoint(vista_segment *segment, void *block, const char *address,
                                    unsigned flags, const struct vista_open_options *options);

/*
 * Ends the handle; what is stored stays.
 * Errors: EBUSY a transaction that used it has not ended, or a thread is in one of its calls.
 */
int vista_close_endpoint(vista_endpoint *endpoint);

struct vista_peer_options {
    unsigned flags;       /* VISTA_POWER_SAFE: the server's segment must be */
    unsigned unused;      /* zero */
    uint64_t reserved[7]; /* zero */
};

/*
 * Makes the endpoint at `address` a peer to which requests can be sent; *peer becomes its number,
 * which is never given to another.  For an endpoint that is a peer already it says where that one
 * is now, and where this one is, and *peer is its number as it was.  This one need not say that by
 * itself: a server that a request comes to again, from elsewhere, asks for a cookie there, and
 * goes on.  The library commits a transaction of its own; do not call it in one.  `ms`: how long
 * to wait, -1 for ever.
 * `options` may be NULL.
 * Errors: EINVAL; ETIMEDOUT no answer; EUSERS no row is free here or there; ESTALE the server has
 * a row of this endpoint that has been used and this end knows nothing of (it was restored, or
 * has forgotten the peer), or the other way round; ENOTSUP the server is not power-safe, or speaks
 * another version; ECANCELED vista_wake; EINTR; as vista_malloc.
 */
int vista_connect(vista_endpoint *endpoint, const char *address,
                  const struct vista_peer_options *options, uint32_t *peer, int ms);

/*
 * Removes a peer: a broken one, or one that is no longer wanted.  Of a peer that requests were
 * sent to and that has answered all, the row stays, `leaving`, until the other end has removed
 * its own.  Requests that are unanswered at either end are lost.  While the transaction is open none
 * of the peer's is received or sent again, and calls that name one are EBUSY.
 * Errors: EINVAL no such peer; EBUSY an open transaction uses it; as vista_set_range.
 */
int vista_forget_peer(vista_tx *tx, vista_endpoint *endpoint, uint32_t peer);

/* Flag of vista_send_request: it is answered, with nothing, by the commit that receives it, and
 * its slot is free when that is known. */
#define VISTA_ONE_WAY 0x1u

/*
 * Sends a request of `length` bytes when the transaction commits.  *request tells it from others.
 * Errors: EINVAL no such peer, or one that requests come from; EAGAIN no slot is free (see
 * VISTA_ROOM), or another open transaction changes the peer; EMSGSIZE longer than the peer takes;
 * ESTALE the session is broken; as vista_malloc.  Whether a message is too long is judged when there
 * is a slot for it: EAGAIN comes first.
 */
int vista_send_request(vista_tx *tx, vista_endpoint *endpoint, uint32_t peer, const void *message,
                       size_t length, unsigned flags, vista_request *request);

/*
 * Takes a request and returns its length; the transaction that commits has received it.  The
 * request is then to be answered, by this transaction or by any later one.
 * `ms`: 0 at once, -1 for ever.  Waiting in a transaction keeps it open: rather wait in
 * vista_select.
 * Errors: EAGAIN, ETIMEDOUT none is there yet; EMSGSIZE it is longer than `size`, and stays;
 * ECANCELED vista_wake; EINTR; as vista_set_range.
 */
ssize_t vista_receive_request(vista_tx *tx, vista_endpoint *endpoint, void *message, size_t size,
                              vista_request *request, int ms);

/*
 * Answers a request that this transaction or an earlier one has received.
 * Errors: EINVAL it has not been received, or was answered; EBUSY another open transaction uses
 * it; EMSGSIZE longer than the client takes; ESTALE; as vista_malloc.
 */
int vista_send_response(vista_tx *tx, vista_endpoint *endpoint, const vista_request *request,
                        const void *message, size_t length);

/*
 * Takes the response to *request, or, where its `session` is 0, to any, and *request becomes
 * that; returns its length.  The transaction that commits has received it.
 * Of messages that have come and were not received an endpoint keeps 8 MiB, and one larger than
 * 4 MiB; more are asked for again until there is room.  The response that a call waits for by its
 * request has room always.
 * Errors: as vista_receive_request; EINVAL no such request is unanswered; EDEADLK this very
 * transaction sends it; EBUSY another open one has its response; ESTALE.
 */
ssize_t vista_receive_response(vista_tx *tx, vista_endpoint *endpoint, vista_request *request,
                               void *message, size_t size, int ms);

/*
 * The request, of this transaction or of an earlier one, will be executed all the same, but its
 * answer dropped.
 * Errors: EINVAL no such request is unanswered; EBUSY another open transaction uses it; ESTALE.
 */
int vista_cancel_request(vista_tx *tx, vista_endpoint *endpoint, const vista_request *request);

/* What vista_select waits for. */
#define VISTA_REQUEST 0x1u  /* one is there, of `request_length` bytes */
#define VISTA_RESPONSE 0x2u /* one is there, of `response_length` bytes */
#define VISTA_ROOM 0x4u     /* `peer` (0: any) has a free slot */
#define VISTA_BROKEN 0x8u   /* a session is broken, that of `broken` */

struct vista_ready {
    vista_endpoint *endpoint;
    unsigned wanted, ready; /* VISTA_REQUEST and the like */
    uint32_t peer;          /* asked for: whose room */
    uint32_t broken;        /* told: whose session */
    size_t request_length;  /* told: of what a receive would take next */
    size_t response_length;
};

/*
 * Waits until one of `count` endpoints is ready for what is wanted of it; how many are, 0 when
 * `ms` milliseconds are over.
 * Errors: EINVAL; ECANCELED vista_wake; EINTR; ENOMEM, EMFILE for several endpoints.
 */
int vista_select(struct vista_ready *ready, int count, int ms);

/* A descriptor, the library's, that is readable when vista_pump has something to do, or
 * a call that receives would not wait; for poll and epoll.  -1 with EMFILE, ENOMEM. */
int vista_endpoint_fd(vista_endpoint *endpoint);

/* Takes what has arrived and sends what is due, without waiting. */
int vista_pump(vista_endpoint *endpoint);

/* Calls that wait now, on any thread, return ECANCELED. */
int vista_wake(vista_endpoint *endpoint);

struct vista_endpoint_info {
    unsigned char uuid[16];
    const char *address; /* that is bound, as a peer would connect to it; lives as long as e */
    uint32_t slots, peers_max;
    size_t message_max;
    uint32_t peers, broken, leaving; /* rows; how many of them are broken, and leaving */
    uint32_t unused;
    uint64_t unanswered;   /* requests sent by committed transactions, and not answered */
    uint64_t executing;    /* requests received, and not answered */
    uint64_t staged_bytes; /* of messages that have arrived and were not received */
    uint64_t datagrams_in, datagrams_out, bytes_in, bytes_out;
    uint64_t retransmitted; /* datagrams sent again because nothing had come */
    uint64_t repeated;      /* requests that came again, and were not executed again */
    uint64_t dropped;       /* datagrams that made no sense, or had no room */
    uint64_t forged;        /* of which wrong by their checksum or their tag */
    uint64_t agreements;    /* that it coordinates or has handed over, as they are stored: for
                               who may call vista_join */
    uint64_t reserved[7];
};
int vista_endpoint_info(const vista_endpoint *endpoint, struct vista_endpoint_info *out);

/* States of a request, as vista_each_request tells them. */
#define VISTA_REQUEST_SENT 1u      /* of this end, unanswered */
#define VISTA_REQUEST_CANCELLED 2u /* of this end, cancelled or one-way */
#define VISTA_REQUEST_RECEIVED 3u  /* of the peer, to be answered */
#define VISTA_REQUEST_ANSWERED 4u  /* of the peer, whose answer may be asked for again */

/* Return 0 to go on, anything else to stop. */
typedef int (*vista_request_fn)(void *arg, const vista_request *request, unsigned state,
                                size_t length);

/*
 * Calls `visit` for each request that is stored and that no open transaction uses: after a
 * restart a program finds so what it has to answer.  `visit` may call no function of this header.
 * Errors: ECANCELED `visit` has stopped it.
 */
int vista_each_request(vista_endpoint *endpoint, vista_request_fn visit, void *arg);

/*
 * Transactions of several sites: try, confirm, cancel.  Each site reserves, in a transaction of
 * its own, what it is asked for, and votes; when all have, it confirms what it has reserved in a
 * second one, or cancels it.  No site's memory is blocked in between.  It is two-phase commit
 * over messages that arrive once, with what QuickSilver (Haskin et al. 1988) has of it: a site
 * that has only read leaves with its vote; one that has nothing to lose gives none; an abort is
 * presumed where nothing is known; and a client that may not come back hands the coordination
 * over to an end that will.
 *
 *     tx = vista_begin_transaction(segment, 0);             reserve what is this site's, and
 *     vista_coordinate(tx, e, &gid, sites, 2, 0);           store it with *gid
 *     vista_end_transaction(tx, 0);                         the others are asked
 *
 *     vista_select(&ready, 1, -1);                          here, and at each site: REQUEST and
 *     tx = vista_begin_transaction(segment, 0);             RESPONSE, BROKEN where it coordinates
 *     vista_join(tx, e, &callbacks, arg);                   calls back, in this transaction
 *     vista_end_transaction(tx, 0);
 *
 * Not all that is due comes with a message: after vista_open_endpoint, vista_connect,
 * vista_coordinate and vista_withdraw, too, vista_join is to be called until it says EAGAIN, before
 * the program waits.
 *
 * An endpoint that takes part is used for nothing else: what else arrives is answered with
 * nothing.  Transactions that are open at the same time do not both use these four functions on
 * one endpoint: the program orders them, as it does its other changes of what they share.
 */
typedef struct vista_gid {
    uint64_t part[2]; /* random, and the beginning of the UUID of the endpoint that coordinates */
} vista_gid;

#define VISTA_ONE_PHASE 0x1u /* has no vote, and is told the outcome with its message */

/* Whom vista_coordinate asks. */
struct vista_site {
    uint32_t peer;  /* as vista_connect gave it */
    uint32_t flags; /* VISTA_ONE_PHASE */
    const void *message;
    size_t length; /* what the peer takes less 24 bytes, at most */
};

/* Votes. */
#define VISTA_VOTE_NO 0        /* nothing is reserved; all others cancel */
#define VISTA_VOTE_YES 1       /* it can be confirmed, whatever happens */
#define VISTA_VOTE_READ_ONLY 2 /* nothing is reserved; whatever the others do */

/*
 * What a site does, in the transaction in which vista_join calls it; its changes and the answer
 * that they are commit as one.  -1: vista_join fails with the callback's errno (EBUSY for EAGAIN),
 * and once that transaction has been aborted the call is made again.  The message is valid until
 * it returns.  A callback that is NULL votes no, or does nothing.  Where a session was broken
 * `commit` and `abort` may come again for a gid that is done with: so keep the gids of what is
 * reserved, and for another do nothing and return 0.
 */
struct vista_participant {
    int (*prepare)(void *arg, vista_tx *tx, const vista_gid *gid, const void *message,
                   size_t length); /* a vote */
    int (*commit)(void *arg, vista_tx *tx, const vista_gid *gid);
    int (*abort)(void *arg, vista_tx *tx, const vista_gid *gid);
    int (*one_phase)(void *arg, vista_tx *tx, const vista_gid *gid, int committed,
                     const void *message, size_t length);
};

/*
 * Begins one: stores its record, and asks the sites when the transaction commits.  *gid is new.  The
 * outcome is commit when all have voted, and none no.  It is stored by the vista_join that
 * receives the last vote, which calls `commit` or `abort` here, too.  A site that cannot be asked,
 * or whose session breaks before it has voted, has voted no.  Sites that have no free slot are asked,
 * and told, when they have one.
 *
 * `via` not 0: this peer is to coordinate, and this end is called with the outcome when it has
 * it.  That peer must be connected to each site that is not itself, or it aborts; for itself it
 * calls its own callbacks.  All goes to it as one request.  It remembers a commit until this end has
 * stored that: if their session breaks before, connect anew and vista_inquire.  Of what could not
 * be handed over, as its session was broken, no site hears.
 *
 * Errors: EINVAL no sites, more than 1,024, no such peers, unknown flags; EMSGSIZE more than 4 GiB;
 * as vista_malloc and vista_set_range, after which the transaction is to be aborted.
 */
int vista_coordinate(vista_tx *tx, vista_endpoint *endpoint, vista_gid *gid,
                     const struct vista_site *sites, int count, uint32_t via);

/*
 * Takes one message and does what it asks for, or what else is due: as a site, as a
 * coordinator, or as both.  To be called until it has nothing to do: once the endpoint is open,
 * after vista_connect, vista_coordinate and vista_withdraw, and when vista_select says so.
 * Errors: EAGAIN nothing is to be done; a callback's; as vista_receive_request, vista_malloc.
 * After any other than EAGAIN the transaction is to be aborted.
 */
int vista_join(vista_tx *tx, vista_endpoint *endpoint, const struct vista_participant *with,
               void *arg);

/*
 * Aborts what this endpoint coordinates, and is undecided: sites do not answer for too long.
 * Here `abort` is called by the next vista_join.  Of a commit that was handed over, and that all
 * know but the end that did so and never came back, it gives up the record, which the next
 * vista_join frees: if that end should come and inquire, it is told abort.  The gid is that of the
 * callbacks; `vista grams` shows all.
 * Errors: EINVAL it does not coordinate that; EALREADY it is decided; as vista_set_range.
 */
int vista_withdraw(vista_tx *tx, vista_endpoint *endpoint, const vista_gid *gid);

/*
 * Asks a peer for the outcome of what this end has voted yes to, or handed over: needed only where
 * the session with its coordinator is broken.  vista_join calls `commit` or `abort` with the
 * answer; undecided, it calls nothing.  What a coordinator does not know has been aborted: so it
 * keeps what has been committed until each site has stored that, however long one is away, and
 * tells it when it is connected to it anew; one that was restored from an old copy is not to be
 * asked.  An end that does not coordinate it answers that it is undecided.
 * Errors: as vista_send_request.
 */
int vista_inquire(vista_tx *tx, vista_endpoint *endpoint, uint32_t peer, const vista_gid *gid);

#ifdef __cplusplus
}
#endif
#endif
