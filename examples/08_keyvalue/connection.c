/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Commands about the connection and the server.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "commands.h"
#include "multi.h"

void ping_run(struct call *call)
{
    if (call->count == 1)
        reply_status(call->out, "PONG");
    else if (call->count == 2)
        reply_bulk(call->out, call_argument(call, 1));
    else
        reply_error(call->out, "ERR wrong number of arguments for 'ping' command");
}

void echo_run(struct call *call)
{
    reply_bulk(call->out, call_argument(call, 1));
}

void quit_run(struct call *call)
{
    call->quit = true;
    reply_status(call->out, "OK");
}

void select_run(struct call *call)
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
void hello_run(struct call *call)
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
void config_run(struct call *call)
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
void command_info_run(struct call *call)
{
    reply_array(call->out, 0);
}

/* CLIENT SETNAME name | GETNAME | ID | SETINFO attribute value */
void client_run(struct call *call)
{
    const struct slice what = call_argument(call, 1);
    struct session *session = call->session;

    if (text_is(what, "id") && call->count == 2) {
        reply_integer(call->out, (int64_t)session->number);
    } else if (text_is(what, "getname") && call->count == 2) {
        if (session->name[0] != '\0')
            reply_word(call->out, session->name);
        else
            reply_nothing(call->out);
    } else if (text_is(what, "setname") && call->count == 3) {
        const struct slice name = call_argument(call, 2);

        if (name.length >= sizeof session->name || memchr(name.bytes, '\0', name.length) != NULL) {
            reply_error(call->out, "ERR a client's name has less than %zu characters",
                        sizeof session->name);
            return;
        }
        memcpy(session->name, name.bytes, name.length);
        session->name[name.length] = '\0';
        reply_status(call->out, "OK");
    } else if (text_is(what, "setinfo") && call->count == 4) {
        reply_status(call->out, "OK"); /* what library it is, in which version */
    } else {
        reply_syntax(call, "SETNAME, GETNAME, ID and SETINFO");
    }
}

/* INFO [section]: all sections, whichever is asked for.  The version is that of Redis whose
 * commands of strings are here. */
void info_run(struct call *call)
{
    const struct keyvalue *server = call->server;
    const uint64_t count = store_count(server->store), mortal = store_mortal(server->store);
    struct vista_info info;
    char text[1024];
    int length;

    if (vista_info(server->segment, &info) != 0) {
        reply_error(call->out, "ERR %s", vista_errormsg());
        return;
    }
    length =
        snprintf(text, sizeof text,
                 "# Server\r\nredis_version:4.0.0\r\nserver_name:libvista-keyvalue\r\n"
                 "redis_mode:standalone\r\nprocess_id:%d\r\nuptime_in_seconds:%" PRIu64 "\r\n"
                 "# Clients\r\nconnected_clients:%" PRIu64 "\r\n"
                 "# Memory\r\nused_memory:%" PRIu64 "\r\n"
                 "# Persistence\r\nloading:0\r\ndurability:%s\r\n"
                 "commits_logged:%" PRIu64 "\r\ncommits_durable:%" PRIu64 "\r\n"
                 "# Stats\r\ntotal_commands_processed:%" PRIu64 "\r\n# Keyspace\r\n",
                 (int)getpid(), (store_time() - server->begun) / 1000, server->clients,
                 info.heap_used, server->durability, info.committed, info.durable, server->calls);
    if (count > 0)
        length += snprintf(text + length, sizeof text - (size_t)length,
                           "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", count, mortal);
    reply_bulk(call->out, (struct slice){text, (size_t)length});
}

/* Seconds since 1970, and microseconds. */
void time_run(struct call *call)
{
    char text[TEXT_NUMBER_SIZE];
    struct timeval now;

    gettimeofday(&now, NULL);
    reply_array(call->out, 2);
    reply_bulk(call->out, (struct slice){text, text_from_number(text, now.tv_sec)});
    reply_bulk(call->out, (struct slice){text, text_from_number(text, now.tv_usec)});
}
