/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The commands, as Redis has them (https://redis.io/commands), of strings without
 * expiry.  Each that writes is one transaction: MSET and DEL of many keys, too, are
 * done whole or not at all.
 */
#include "commands.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* ---- Transactions ---------------------------------------------------------- */

/* Ends the transaction of a command: commits if all of it was done, else aborts and
 * replies why.  `tx` may be NULL, and `done` is then false. */
static bool finish(struct call *call, vista_tx *tx, bool done)
{
    if (done && *call->writes_to_kill > 0 && --*call->writes_to_kill == 0)
        raise(SIGKILL);
    if (done && vista_end_transaction(tx, 0) == 0)
        return true;
    reply_error(call->out, "%s %s", errno == ENOMEM || errno == ENOSPC ? "OOM" : "ERR",
                vista_errormsg());
    if (tx != NULL)
        vista_abort_transaction(tx);
    return false;
}

static bool write_pair(struct call *call, struct slice key, struct slice value)
{
    vista_tx *tx = vista_begin_transaction(call->segment, 0);

    return finish(call, tx, tx != NULL && store_set(tx, call->store, key, value));
}

/* ---- Strings --------------------------------------------------------------- */

static void run_get(struct call *call)
{
    struct slice value;

    if (store_get(call->store, call_argument(call, 1), &value))
        reply_bulk(call->out, value);
    else
        reply_nothing(call->out);
}

/* SET key value [NX | XX]: if there is none yet, if there is one */
static void run_set(struct call *call)
{
    const struct slice key = call_argument(call, 1);

    if (call->count > 3) {
        const struct slice option = call_argument(call, 3);
        const bool nx = text_is(option, "nx"), xx = text_is(option, "xx");
        struct slice old;

        if (call->count > 4 || (!nx && !xx)) {
            reply_error(call->out, "ERR syntax error: the options here are NX and XX");
            return;
        }
        if (store_get(call->store, key, &old) == nx) {
            reply_nothing(call->out);
            return;
        }
    }
    if (write_pair(call, key, call_argument(call, 2)))
        reply_status(call->out, "OK");
}

static void run_mset(struct call *call)
{
    vista_tx *tx;
    bool done;

    if (call->count % 2 == 0) {
        reply_error(call->out, "ERR wrong number of arguments for 'mset' command");
        return;
    }
    tx = vista_begin_transaction(call->segment, 0);
    done = tx != NULL;
    for (size_t i = 1; done && i < call->count; i += 2)
        done = store_set(tx, call->store, call_argument(call, i), call_argument(call, i + 1));
    if (finish(call, tx, done))
        reply_status(call->out, "OK");
}

static void run_mget(struct call *call)
{
    struct slice value;
    size_t size = 0;

    for (size_t i = 1; i < call->count; i++)
        if (store_get(call->store, call_argument(call, i), &value))
            size += value.length;
    if (size > REPLY_SIZE) {
        reply_error(call->out, "ERR these values are too much for one reply");
        return;
    }
    reply_array(call->out, call->count - 1);
    for (size_t i = 1; i < call->count; i++)
        if (store_get(call->store, call_argument(call, i), &value))
            reply_bulk(call->out, value);
        else
            reply_nothing(call->out);
}

static void run_incr(struct call *call)
{
    const struct slice key = call_argument(call, 1);
    struct slice value = {"0", 1};
    char text[TEXT_NUMBER_SIZE];
    int64_t number;

    store_get(call->store, key, &value);
    if (!text_number(value, &number)) {
        reply_error(call->out, "ERR value is not an integer or out of range");
        return;
    }
    if (number == INT64_MAX) {
        reply_error(call->out, "ERR increment or decrement would overflow");
        return;
    }
    if (write_pair(call, key, (struct slice){text, text_from_number(text, number + 1)}))
        reply_integer(call->out, number + 1);
}

static void run_del(struct call *call)
{
    vista_tx *tx = vista_begin_transaction(call->segment, 0);
    bool done = tx != NULL;
    int64_t gone = 0;

    for (size_t i = 1; done && i < call->count; i++) {
        const int result = store_delete(tx, call->store, call_argument(call, i));

        done = result >= 0;
        gone += result;
    }
    if (finish(call, tx, done))
        reply_integer(call->out, gone);
}

static void run_exists(struct call *call)
{
    struct slice value;
    int64_t there = 0;

    for (size_t i = 1; i < call->count; i++)
        there += store_get(call->store, call_argument(call, i), &value);
    reply_integer(call->out, there);
}

static void run_dbsize(struct call *call)
{
    reply_integer(call->out, (int64_t)store_count(call->store));
}

/* ---- The connection -------------------------------------------------------- */

static void run_ping(struct call *call)
{
    if (call->count == 1)
        reply_status(call->out, "PONG");
    else if (call->count == 2)
        reply_bulk(call->out, call_argument(call, 1));
    else
        reply_error(call->out, "ERR wrong number of arguments for 'ping' command");
}

static void run_echo(struct call *call)
{
    reply_bulk(call->out, call_argument(call, 1));
}

static void run_quit(struct call *call)
{
    call->quit = true;
    reply_status(call->out, "OK");
}

static void run_select(struct call *call)
{
    int64_t number;

    if (!text_number(call_argument(call, 1), &number))
        reply_error(call->out, "ERR invalid DB index");
    else if (number != 0)
        reply_error(call->out, "ERR DB index is out of range: there is only 0");
    else
        reply_status(call->out, "OK");
}

/* HELLO [2]; clients that ask for version 3 go on with 2 when it is refused. */
static void run_hello(struct call *call)
{
    if (call->count > 1 && !text_is(call_argument(call, 1), "2")) {
        reply_error(call->out, "NOPROTO unsupported protocol version: there is only 2");
        return;
    }
    reply_array(call->out, 4);
    reply_word(call->out, "server");
    reply_word(call->out, "keyvalue");
    reply_word(call->out, "proto");
    reply_integer(call->out, 2);
}

/* What redis-benchmark asks for at its start. */
static void run_config(struct call *call)
{
    const struct slice name = call->count == 3 ? call_argument(call, 2) : (struct slice){"", 0};

    if (!text_is(call_argument(call, 1), "get") || call->count != 3) {
        reply_error(call->out, "ERR there is nothing to configure: only CONFIG GET is answered");
        return;
    }
    if (!text_is(name, "save") && !text_is(name, "appendonly")) {
        reply_array(call->out, 0);
        return;
    }
    reply_array(call->out, 2);
    reply_bulk(call->out, name);
    reply_word(call->out, text_is(name, "save") ? "" : "no");
}

/* redis-cli asks for the documentation of all commands; it goes on without. */
static void run_command(struct call *call)
{
    reply_array(call->out, 0);
}

/* ---- The table ------------------------------------------------------------- */

static const struct command {
    const char *name;    /* those most used are first */
    size_t fewest, most; /* arguments, the name included; most 0: any number */
    void (*run)(struct call *call);
} commands[] = {
    {"get", 2, 2, run_get},         {"set", 3, 0, run_set},       {"incr", 2, 2, run_incr},
    {"mget", 2, 0, run_mget},       {"mset", 3, 0, run_mset},     {"del", 2, 0, run_del},
    {"exists", 2, 0, run_exists},   {"dbsize", 1, 1, run_dbsize}, {"scan", 2, 0, scan_run},
    {"ping", 1, 0, run_ping},       {"echo", 2, 2, run_echo},     {"quit", 1, 0, run_quit},
    {"select", 2, 2, run_select},   {"hello", 1, 0, run_hello},   {"config", 2, 0, run_config},
    {"command", 1, 0, run_command},
};

void command_run(struct call *call)
{
    const struct slice name = call_argument(call, 0);

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *command = &commands[i];

        if (!text_is(name, command->name))
            continue;
        if (call->count < command->fewest || (command->most != 0 && call->count > command->most))
            reply_error(call->out, "ERR wrong number of arguments for '%s' command", command->name);
        else
            command->run(call);
        return;
    }
    reply_error(call->out, "ERR unknown command '%.*s'", (int)(name.length < 64 ? name.length : 64),
                name.bytes);
}
