/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the server can be asked, and what a command has at hand while it runs.
 */
#ifndef KEYVALUE_COMMANDS_H
#define KEYVALUE_COMMANDS_H

#include "request.h"
#include "store.h"

/* Bytes that one command may answer, or all of one EXEC; beyond them it is refused. */
#define REPLY_SIZE ((size_t)128 << 20)

struct session;

/* What all clients share. */
struct keyvalue {
    vista_segment *segment;
    struct store *store;
    struct session *watching; /* the sessions that watch keys, a list */
    uint64_t clients, calls;  /* connected now; run since the start */
    uint64_t last_session;    /* the number that the latest one was given */
    uint64_t begun;           /* when the server started, as store_time has it */
    const char *durability;   /* as asked for */
    unsigned end_mode;        /* how transactions end: VISTA_NO_FLUSH if `flushes` */
    bool flushes;             /* all that was written is made durable before a reply is sent */
    bool unflushed;           /* something was written since */
    uint64_t writes_to_kill;  /* counted down: the server kills itself before the commit that
                                  makes it 0; from 0 on it does not */
};

/* One command, being run. */
struct call {
    struct keyvalue *server;
    struct session *session;
    struct buffer *out; /* for the reply */
    const char *bytes;  /* of the request */
    const struct argument *arguments;
    size_t count; /* of arguments, the command's name included */
    size_t begin; /* bytes in `out` that are no reply of this command's */
    vista_tx *tx; /* begun by the first that writes; NULL: none has */
    bool in_exec; /* one of several, which commit together */
    bool failed;  /* in EXEC: a write could not be made, and none is to be */
    bool quit;    /* set: the client is to be gone when it has the reply */
};

static inline struct slice call_argument(const struct call *call, size_t index)
{
    const struct argument *argument = &call->arguments[index];

    return (struct slice){call->bytes + argument->offset, argument->length};
}

/* Whether the argument is a number; else the reply says that it is not. */
bool call_number(struct call *call, size_t index, int64_t *number);

void reply_syntax(struct call *call, const char *options);

/* Runs a command, or queues it behind MULTI, and appends its one reply.  When it says that
 * something was written, the transaction that did so has committed. */
void command_run(struct call *call);

/* Runs one whose name and number of arguments are right, whatever MULTI would have it do. */
struct command;
void command_run_now(const struct command *command, struct call *call);
/* The command of this name, or NULL, with a reply: there is none, or not with so many
 * arguments. */
const struct command *command_find(struct call *call);

/* ---- Writing --------------------------------------------------------------- */

/* These do as store_set and so on, in the call's transaction, which they begin if need be,
 * and tell those who watch the key. */
bool call_set(struct call *call, struct slice key, struct slice value, uint64_t deadline);
bool call_set_deadline(struct call *call, struct slice key, uint64_t deadline);
int call_delete(struct call *call, struct slice key);
bool call_flush(struct call *call);

/* Behind the writes of a command: true if all is done, and then the reply may say so.  Commits,
 * but within EXEC, where it is for the last to commit; or, if `done` is false, gives all up
 * and replies why. */
bool call_finish(struct call *call, bool done);
/* The same at the end of EXEC. */
bool call_commit(struct call *call, bool done);
/* Gives up what was written, and what was replied. */
void call_abort(struct call *call);

/* ---- The commands, by what they are about ---------------------------------- */

typedef void command_function(struct call *call);

/* strings.c */
command_function get_run, set_run, setnx_run, setex_run, psetex_run, getset_run, getdel_run,
    mget_run, mset_run, msetnx_run, incr_run, decr_run, incrby_run, decrby_run, append_run,
    strlen_run, getrange_run;
/* key_commands.c */
command_function del_run, exists_run, type_run, expire_run, pexpire_run, expireat_run,
    pexpireat_run, ttl_run, pttl_run, persist_run, dbsize_run, flush_run;
/* scan.c */
command_function scan_run, keys_run;
/* multi.c */
command_function multi_run, exec_run, discard_run, watch_run, unwatch_run;
/* lock.c */
command_function evalsha_run, script_run, eval_run;
/* connection.c */
command_function ping_run, echo_run, quit_run, select_run, hello_run, config_run, command_info_run,
    client_run, info_run, time_run;

#endif
