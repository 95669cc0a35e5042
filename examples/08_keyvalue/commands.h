/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the server can be asked.
 */
#ifndef KEYVALUE_COMMANDS_H
#define KEYVALUE_COMMANDS_H

#include "request.h"
#include "store.h"

/* Bytes that one command may answer; beyond them it is refused. */
#define REPLY_SIZE ((size_t)128 << 20)

/* One command, being run. */
struct call {
    vista_segment *segment;
    struct store *store;
    struct buffer *out; /* for the reply */
    const char *bytes;  /* of the request */
    const struct argument *arguments;
    size_t count;             /* of arguments, the command's name included */
    bool quit;                /* set: the client is to be gone when it has the reply */
    uint64_t *writes_to_kill; /* counted down: the server kills itself before the commit that
                                 makes it 0; from 0 on it does not */
};

static inline struct slice call_argument(const struct call *call, size_t index)
{
    const struct argument *argument = &call->arguments[index];

    return (struct slice){call->bytes + argument->offset, argument->length};
}

/* Runs a command and appends its one reply.  When it says that something was written,
 * the transaction that did so has committed. */
void command_run(struct call *call);

/* SCAN cursor [MATCH pattern] [COUNT count] */
void scan_run(struct call *call);

#endif
