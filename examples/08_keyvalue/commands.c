/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The commands, as Redis has them (https://redis.io/commands), of strings.  Each that
 * writes is one transaction, and so is all that EXEC runs: MSET and DEL of many keys, too,
 * are done whole or not at all.
 */
#include "commands.h"

#include <errno.h>
#include <signal.h>

#include "multi.h"

/* ---- Writing --------------------------------------------------------------- */

static vista_tx *begin(struct call *call)
{
    if (call->tx == NULL)
        call->tx = vista_begin_transaction(call->server->segment, 0);
    return call->tx;
}

bool call_set(struct call *call, struct slice key, struct slice value, uint64_t deadline)
{
    session_touch(call->server, key);
    return begin(call) != NULL && store_set(call->tx, call->server->store, key, value, deadline);
}

bool call_set_deadline(struct call *call, struct slice key, uint64_t deadline)
{
    session_touch(call->server, key);
    return begin(call) != NULL && store_set_deadline(call->tx, call->server->store, key, deadline);
}

int call_delete(struct call *call, struct slice key)
{
    session_touch(call->server, key);
    return begin(call) != NULL ? store_delete(call->tx, call->server->store, key) : -1;
}

bool call_flush(struct call *call)
{
    session_touch_all(call->server);
    return begin(call) != NULL && store_flush(call->tx, call->server->store);
}

void call_abort(struct call *call)
{
    if (call->tx != NULL)
        vista_abort_transaction(call->tx);
    call->tx = NULL;
    buffer_truncate(call->out, call->begin);
}

bool call_commit(struct call *call, bool done)
{
    uint64_t *to_kill = &call->server->writes_to_kill;
    const char *kind;

    if (done && call->tx == NULL) /* nothing was written */
        return true;
    if (done && *to_kill > 0 && --*to_kill == 0)
        raise(SIGKILL);
    if (done && vista_end_transaction(call->tx, call->server->end_mode) == 0) {
        call->tx = NULL;
        call->server->unflushed = true;
        return true;
    }
    kind = errno == ENOMEM || errno == ENOSPC ? "OOM" : "ERR";
    call_abort(call);
    reply_error(call->out, "%s %s", kind, vista_errormsg());
    return false;
}

bool call_finish(struct call *call, bool done)
{
    if (!call->in_exec)
        return call_commit(call, done);
    call->failed |= !done;
    return done;
}

/* ---- Arguments ------------------------------------------------------------- */

bool call_number(struct call *call, size_t index, int64_t *number)
{
    if (text_number(call_argument(call, index), number))
        return true;
    reply_error(call->out, "ERR value is not an integer or out of range");
    return false;
}

void reply_syntax(struct call *call, const char *options)
{
    reply_error(call->out, "ERR syntax error: the options here are %s", options);
}

/* ---- The table ------------------------------------------------------------- */

static const struct command {
    const char *name;    /* those most used are first */
    size_t fewest, most; /* arguments, the name included; most 0: any number */
    command_function *run;
    bool at_once; /* behind MULTI, too */
} commands[] = {
    {"get", 2, 2, get_run, false},
    {"set", 3, 0, set_run, false},
    {"incr", 2, 2, incr_run, false},
    {"mget", 2, 0, mget_run, false},
    {"mset", 3, 0, mset_run, false},
    {"del", 2, 0, del_run, false},
    {"exists", 2, 0, exists_run, false},
    {"expire", 3, 4, expire_run, false},
    {"ttl", 2, 2, ttl_run, false},
    {"multi", 1, 1, multi_run, true},
    {"exec", 1, 1, exec_run, true},
    {"discard", 1, 1, discard_run, true},
    {"watch", 2, 0, watch_run, true},
    {"unwatch", 1, 1, unwatch_run, false},
    {"incrby", 3, 3, incrby_run, false},
    {"decr", 2, 2, decr_run, false},
    {"decrby", 3, 3, decrby_run, false},
    {"append", 3, 3, append_run, false},
    {"strlen", 2, 2, strlen_run, false},
    {"getrange", 4, 4, getrange_run, false},
    {"setnx", 3, 3, setnx_run, false},
    {"setex", 4, 4, setex_run, false},
    {"psetex", 4, 4, psetex_run, false},
    {"msetnx", 3, 0, msetnx_run, false},
    {"getset", 3, 3, getset_run, false},
    {"getdel", 2, 2, getdel_run, false},
    {"unlink", 2, 0, del_run, false},
    {"type", 2, 2, type_run, false},
    {"pexpire", 3, 4, pexpire_run, false},
    {"expireat", 3, 4, expireat_run, false},
    {"pexpireat", 3, 4, pexpireat_run, false},
    {"pttl", 2, 2, pttl_run, false},
    {"persist", 2, 2, persist_run, false},
    {"dbsize", 1, 1, dbsize_run, false},
    {"flushdb", 1, 2, flush_run, false},
    {"flushall", 1, 2, flush_run, false},
    {"scan", 2, 0, scan_run, false},
    {"keys", 2, 2, keys_run, false},
    {"evalsha", 3, 0, evalsha_run, false},
    {"eval", 3, 0, eval_run, false},
    {"script", 2, 0, script_run, false},
    {"ping", 1, 2, ping_run, false},
    {"echo", 2, 2, echo_run, false},
    {"quit", 1, 0, quit_run, true},
    {"select", 2, 2, select_run, false},
    {"hello", 1, 0, hello_run, false},
    {"config", 2, 0, config_run, false},
    {"command", 1, 0, command_info_run, false},
    {"client", 2, 0, client_run, false},
    {"info", 1, 0, info_run, false},
    {"time", 1, 1, time_run, false},
};

const struct command *command_find(struct call *call)
{
    const struct slice name = call_argument(call, 0);

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *command = &commands[i];

        if (!text_is(name, command->name))
            continue;
        if (call->count >= command->fewest && (command->most == 0 || call->count <= command->most))
            return command;
        reply_error(call->out, "ERR wrong number of arguments for '%s' command", command->name);
        return NULL;
    }
    reply_error(call->out, "ERR unknown command '%.*s'", (int)(name.length < 64 ? name.length : 64),
                name.bytes);
    return NULL;
}

void command_run_now(const struct command *command, struct call *call)
{
    call->server->calls++;
    command->run(call);
}

void command_run(struct call *call)
{
    const struct command *command;

    call->begin = buffer_length(call->out);
    command = command_find(call);
    if (command == NULL)
        session_fail(call->session);
    else if (command->at_once || !session_is_queueing(call->session))
        command_run_now(command, call);
    else
        session_queue(call);
}
