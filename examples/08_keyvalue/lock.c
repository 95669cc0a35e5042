/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scripts.  This server has no Lua; but the locks of redis-py (redis.lock.Lock) are released
 * and extended by three scripts, which a client first names by their SHA-1.  Under these
 * names it does what they do, in C, each as one transaction; all others are refused, by EVAL and
 * SCRIPT LOAD in words.
 */
#include <string.h>

#include "commands.h"

/* What the key named holds must be this token; then the lock is the caller's. */
static bool owns(const struct call *call, struct slice key, struct slice token, struct found *found)
{
    return store_get(call->server->store, key, found) && found->value.length == token.length &&
           memcmp(found->value.bytes, token.bytes, token.length) == 0;
}

/* token */
static void release(struct call *call, struct slice key)
{
    struct found found;

    if (!owns(call, key, call_argument(call, 4), &found))
        reply_integer(call->out, 0);
    else if (call_finish(call, call_delete(call, key) >= 0))
        reply_integer(call->out, 1);
}

/* From `from` on. */
static void set_time(struct call *call, struct slice key, uint64_t from)
{
    int64_t time;

    if (!call_number(call, 5, &time))
        return;
    if (time < 0 || __builtin_add_overflow((int64_t)from, time, &time))
        reply_error(call->out, "ERR invalid expire time");
    else if (call_finish(call, call_set_deadline(call, key, (uint64_t)time)))
        reply_integer(call->out, 1);
}

/* token, milliseconds, 0: beyond those that are left, or 1: from now on */
static void extend(struct call *call, struct slice key)
{
    const bool more = text_is(call_argument(call, 6), "0");
    struct found found;

    if (!owns(call, key, call_argument(call, 4), &found) || found.deadline == 0)
        reply_integer(call->out, 0);
    else
        set_time(call, key, more ? found.deadline : store_time());
}

/* token, milliseconds */
static void reacquire(struct call *call, struct slice key)
{
    struct found found;

    if (!owns(call, key, call_argument(call, 4), &found))
        reply_integer(call->out, 0);
    else
        set_time(call, key, store_time());
}

/* As redis-py 4.3 has them; another version's, if they differ, are refused. */
static const struct script {
    const char *sha1;
    size_t arguments; /* behind the key */
    void (*run)(struct call *call, struct slice key);
} scripts[] = {
    {"c3f8721cbb97f72bc19e972846bd7aaf91901658", 1, release},
    {"a4e8783852e6b949f9ef3a97212805108459a890", 3, extend},
    {"1cac51482acf5858da00f6d685d68f886cd6b6b2", 2, reacquire},
};

static const struct script *find(struct slice sha1)
{
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (text_is(sha1, scripts[i].sha1))
            return &scripts[i];
    return NULL;
}

/* EVALSHA sha1 1 key argument... */
void evalsha_run(struct call *call)
{
    const struct script *script = find(call_argument(call, 1));

    if (script == NULL)
        reply_error(call->out, "NOSCRIPT No matching script: this server has only those of "
                               "redis-py's locks");
    else if (!text_is(call_argument(call, 2), "1") || call->count != 4 + script->arguments)
        reply_error(call->out, "ERR this script takes one key and %zu arguments",
                    script->arguments);
    else
        script->run(call, call_argument(call, 3));
}

static void refuse(struct call *call)
{
    reply_error(call->out, "ERR this server runs no scripts, but for those of redis-py's locks: "
                           "WATCH, MULTI and EXEC do as much");
}

void eval_run(struct call *call)
{
    refuse(call);
}

/* SCRIPT EXISTS sha1... | LOAD script */
void script_run(struct call *call)
{
    if (!text_is(call_argument(call, 1), "exists")) {
        refuse(call);
        return;
    }
    reply_array(call->out, call->count - 2);
    for (size_t i = 2; i < call->count; i++)
        reply_integer(call->out, find(call_argument(call, i)) != NULL);
}
