/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands about keys, whatever their values: whether they are there, and for how long.
 */
#include "commands.h"

void del_run(struct call *call)
{
    int64_t gone = 0;
    int result = 0;

    for (size_t i = 1; result >= 0 && i < call->count; i++) {
        result = call_delete(call, call_argument(call, i));
        gone += result;
    }
    if (call_finish(call, result >= 0))
        reply_integer(call->out, gone);
}

void exists_run(struct call *call)
{
    struct found found;
    int64_t there = 0;

    for (size_t i = 1; i < call->count; i++)
        there += store_get(call->server->store, call_argument(call, i), &found);
    reply_integer(call->out, there);
}

void type_run(struct call *call)
{
    struct found found;
    const bool there = store_get(call->server->store, call_argument(call, 1), &found);

    reply_status(call->out, there ? "string" : "none");
}

void dbsize_run(struct call *call)
{
    reply_integer(call->out, (int64_t)store_count(call->server->store));
}

/* FLUSHDB and FLUSHALL [ASYNC | SYNC]: there is only one database, and it is new at once. */
void flush_run(struct call *call)
{
    if (call->count == 2 && !text_is(call_argument(call, 1), "async") &&
        !text_is(call_argument(call, 1), "sync")) {
        reply_syntax(call, "ASYNC and SYNC");
        return;
    }
    if (call_finish(call, call_flush(call)))
        reply_status(call->out, "OK");
}

/* ---- Deadlines -------------------------------------------------------------- */

/* What EXPIRE may ask for besides: NX if there is none, XX if there is one, GT and LT if the new
 * one is later or earlier; for ever is latest. */
static bool is_wanted(struct call *call, uint64_t old, uint64_t deadline, bool *wanted)
{
    const struct slice option = call->count == 4 ? call_argument(call, 3) : (struct slice){"", 0};

    *wanted = true;
    if (text_is(option, "nx"))
        *wanted = old == 0;
    else if (text_is(option, "xx"))
        *wanted = old != 0;
    else if (text_is(option, "gt"))
        *wanted = old != 0 && deadline > old;
    else if (text_is(option, "lt"))
        *wanted = old == 0 || deadline < old;
    else if (option.length != 0)
        return false;
    return true;
}

/* EXPIRE key time [NX | XX | GT | LT]: a deadline that is over removes the key. */
static void expire(struct call *call, int64_t unit, uint64_t from)
{
    const struct slice key = call_argument(call, 1);
    struct found found = {{"", 0}, 0};
    const bool there = store_get(call->server->store, key, &found);
    bool wanted, done;
    int64_t number;

    if (!call_number(call, 2, &number))
        return;
    if (__builtin_mul_overflow(number, unit, &number) ||
        __builtin_add_overflow(number, (int64_t)from, &number)) {
        reply_error(call->out, "ERR invalid expire time");
        return;
    }
    if (number < 1)
        number = 1; /* 0 is for ever */
    if (!is_wanted(call, found.deadline, (uint64_t)number, &wanted)) {
        reply_syntax(call, "NX, XX, GT and LT");
        return;
    }
    if (!there || !wanted) {
        reply_integer(call->out, 0);
        return;
    }
    if ((uint64_t)number <= store_time())
        done = call_delete(call, key) >= 0;
    else
        done = call_set_deadline(call, key, (uint64_t)number);
    if (call_finish(call, done))
        reply_integer(call->out, 1);
}

void expire_run(struct call *call)
{
    expire(call, 1000, store_time());
}

void pexpire_run(struct call *call)
{
    expire(call, 1, store_time());
}

void expireat_run(struct call *call)
{
    expire(call, 1000, 0);
}

void pexpireat_run(struct call *call)
{
    expire(call, 1, 0);
}

/* -2: it is not there; -1: for ever */
static void reply_left(struct call *call, uint64_t unit)
{
    struct found found;
    uint64_t now;

    if (!store_get(call->server->store, call_argument(call, 1), &found)) {
        reply_integer(call->out, -2);
        return;
    }
    now = store_time();
    if (found.deadline == 0)
        reply_integer(call->out, -1);
    else
        reply_integer(call->out, found.deadline <= now
                                     ? 0
                                     : (int64_t)((found.deadline - now + unit / 2) / unit));
}

void ttl_run(struct call *call)
{
    reply_left(call, 1000);
}

void pttl_run(struct call *call)
{
    reply_left(call, 1);
}

void persist_run(struct call *call)
{
    const struct slice key = call_argument(call, 1);
    struct found found;

    if (!store_get(call->server->store, key, &found) || found.deadline == 0)
        reply_integer(call->out, 0);
    else if (call_finish(call, call_set_deadline(call, key, 0)))
        reply_integer(call->out, 1);
}
