/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the server remembers of a client between its commands: its name, what it has queued
 * since MULTI, and the keys that it watches.
 */
#ifndef KEYVALUE_MULTI_H
#define KEYVALUE_MULTI_H

#include "commands.h"

struct queued;
struct watched;

/* All zero: a client that has just come. */
struct session {
    uint64_t number;
    char name[64];
    bool queueing;                /* between MULTI and EXEC */
    bool failed;                  /* something that was to be queued could not be */
    struct queued *first, **last; /* the queue, and where the next goes */
    size_t queued;                /* how many they are, and */
    size_t queued_bytes;          /* how much */
    struct watched *watched;      /* a list */
    bool touched;                 /* one of these keys has changed */
    struct session *next, **link; /* in the list of those who watch */
};

void session_begin(struct session *session, struct keyvalue *server);
void session_end(struct session *session);

bool session_is_queueing(const struct session *session);
/* Puts the call's request into the queue, and replies that. */
void session_queue(struct call *call);
/* A request was refused: EXEC will be, too. */
void session_fail(struct session *session);

/* The key changes; all do. */
void session_touch(struct keyvalue *server, struct slice key);
void session_touch_all(struct keyvalue *server);

#endif
