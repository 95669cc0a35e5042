/* SPDX-License-Identifier: BSD-3-Clause
 *
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * What EXEC runs is one transaction of the library: a kill leaves all of it or nothing.  And if a
 * write finds no room, nothing of it is done, which Redis does not promise.
 */
#include "multi.h"

#include <stdlib.h>
#include <string.h>

/* A request, copied: its arguments' offsets are from the bytes behind them. */
struct queued {
    struct queued *next;
    size_t count;
    struct argument arguments[];
};

struct watched {
    struct watched *next;
    bool there; /* when it was first watched: it may go by itself, in time */
    size_t length;
    char key[];
};

/* ---- Watching ---------------------------------------------------------------- */

static void forget_watched(struct session *session)
{
    while (session->watched != NULL) {
        struct watched *watched = session->watched;

        session->watched = watched->next;
        free(watched);
    }
    if (session->link != NULL) {
        *session->link = session->next;
        if (session->next != NULL)
            session->next->link = session->link;
    }
    session->link = NULL;
    session->touched = false;
}

static bool watches(const struct session *session, struct slice key)
{
    for (const struct watched *watched = session->watched; watched != NULL; watched = watched->next)
        if (watched->length == key.length && memcmp(watched->key, key.bytes, key.length) == 0)
            return true;
    return false;
}

void session_touch(struct keyvalue *server, struct slice key)
{
    for (struct session *session = server->watching; session != NULL; session = session->next)
        session->touched = session->touched || watches(session, key);
}

void session_touch_all(struct keyvalue *server)
{
    for (struct session *session = server->watching; session != NULL; session = session->next)
        session->touched = true;
}

static bool watch(struct call *call, struct slice key)
{
    struct session *session = call->session;
    struct watched *watched = malloc(sizeof *watched + key.length);
    struct found found;

    if (watched == NULL)
        return false;
    watched->next = session->watched;
    watched->there = store_get(call->server->store, key, &found);
    watched->length = key.length;
    memcpy(watched->key, key.bytes, key.length);
    session->watched = watched;
    if (session->link == NULL) {
        session->next = call->server->watching;
        session->link = &call->server->watching;
        if (session->next != NULL)
            session->next->link = &session->next;
        call->server->watching = session;
    }
    return true;
}

void watch_run(struct call *call)
{
    if (call->session->queueing) {
        reply_error(call->out, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    for (size_t i = 1; i < call->count; i++)
        if (!watches(call->session, call_argument(call, i)) &&
            !watch(call, call_argument(call, i))) {
            call->session->touched = true;
            reply_error(call->out, "OOM no memory to watch keys");
            return;
        }
    reply_status(call->out, "OK");
}

void unwatch_run(struct call *call)
{
    if (!call->in_exec) /* EXEC does it anyway */
        forget_watched(call->session);
    reply_status(call->out, "OK");
}

/* Whether a watched key has changed: by a command, or because its time is over. */
static bool has_changed(const struct call *call)
{
    struct found found;

    for (const struct watched *watched = call->session->watched; watched != NULL;
         watched = watched->next)
        if (watched->there &&
            !store_get(call->server->store, (struct slice){watched->key, watched->length}, &found))
            return true;
    return call->session->touched;
}

/* ---- Queueing ---------------------------------------------------------------- */

static void forget_queue(struct session *session)
{
    while (session->first != NULL) {
        struct queued *queued = session->first;

        session->first = queued->next;
        free(queued);
    }
    session->last = &session->first;
    session->queued = 0;
    session->queued_bytes = 0;
    session->queueing = false;
    session->failed = false;
}

bool session_is_queueing(const struct session *session)
{
    return session->queueing;
}

void session_fail(struct session *session)
{
    session->failed = true;
}

static struct queued *copy_request(const struct call *call, size_t size)
{
    struct queued *queued = malloc(sizeof *queued + size);
    char *bytes;
    size_t offset = 0;

    if (queued == NULL)
        return NULL;
    queued->next = NULL;
    queued->count = call->count;
    bytes = (char *)&queued->arguments[call->count];
    for (size_t i = 0; i < call->count; i++) {
        const struct slice argument = call_argument(call, i);

        queued->arguments[i] = (struct argument){offset, argument.length};
        memcpy(bytes + offset, argument.bytes, argument.length);
        offset += argument.length;
    }
    return queued;
}

void session_queue(struct call *call)
{
    struct session *session = call->session;
    size_t size = call->count * sizeof(struct argument);

    for (size_t i = 0; i < call->count; i++)
        size += call_argument(call, i).length;
    if (session->failed || session->queued_bytes + size > REQUEST_SIZE ||
        (*session->last = copy_request(call, size)) == NULL) {
        session->failed = true;
        reply_error(call->out, "OOM no room for one more command behind MULTI");
        return;
    }
    session->last = &(*session->last)->next;
    session->queued++;
    session->queued_bytes += size;
    reply_status(call->out, "QUEUED");
}

/* ---- Running ----------------------------------------------------------------- */

void multi_run(struct call *call)
{
    if (call->session->queueing) {
        reply_error(call->out, "ERR MULTI calls can not be nested");
        return;
    }
    forget_queue(call->session);
    call->session->queueing = true;
    reply_status(call->out, "OK");
}

void discard_run(struct call *call)
{
    if (!call->session->queueing) {
        reply_error(call->out, "ERR DISCARD without MULTI");
        return;
    }
    forget_queue(call->session);
    forget_watched(call->session);
    reply_status(call->out, "OK");
}

/* Runs one of the queue in the transaction of `all`; false: a write could not be made. */
static bool run_queued(struct call *all, const struct queued *queued)
{
    struct call call = *all;

    call.in_exec = true;
    call.bytes = (const char *)&queued->arguments[queued->count];
    call.arguments = queued->arguments;
    call.count = queued->count;
    command_run_now(command_find(&call), &call);
    all->tx = call.tx;
    return !call.failed;
}

static void exec(struct call *call)
{
    reply_array(call->out, call->session->queued);
    for (const struct queued *queued = call->session->first; queued != NULL;
         queued = queued->next) {
        if (!run_queued(call, queued)) {
            call_commit(call, false);
            return;
        }
        if (buffer_length(call->out) - call->begin > REPLY_SIZE) {
            call_abort(call);
            reply_error(call->out, "ERR this is too much for one reply");
            return;
        }
    }
    call_commit(call, true);
}

void exec_run(struct call *call)
{
    struct session *session = call->session;

    if (!session->queueing) {
        reply_error(call->out, "ERR EXEC without MULTI");
        return;
    }
    if (session->failed)
        reply_error(call->out, "EXECABORT Transaction discarded because of previous errors.");
    else if (has_changed(call))
        buffer_append(call->out, "*-1\r\n", 5);
    else
        exec(call);
    forget_queue(session);
    forget_watched(session);
}

void session_begin(struct session *session, struct keyvalue *server)
{
    *session = (struct session){.number = ++server->last_session};
    session->last = &session->first;
}

void session_end(struct session *session)
{
    forget_queue(session);
    forget_watched(session);
}
