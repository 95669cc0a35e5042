/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Redis over its Unix socket, without a file: a request is moved to a list of those in hand
 * (BLMOVE), and leaves it in the transaction that pushes its answer (MULTI).  With
 * VISTA_BENCH_STREAMS in the environment: streams, with a group of readers, whose request is
 * acknowledged in that transaction.
 */
#include <hiredis/hiredis.h>

#include "pair.h"

static char path[256];

static redisContext *open_redis(void)
{
    for (int i = 0; i < 1000; i++) {
        redisContext *redis = redisConnectUnix(path);

        if (redis != NULL && redis->err == 0)
            return redis;
        if (redis != NULL)
            redisFree(redis);
        usleep(5000);
    }
    pair_failed("redis-server has started", __LINE__);
    return NULL;
}

static redisReply *reply_of(redisContext *redis)
{
    void *reply = NULL;

    MUST(redisGetReply(redis, &reply) == REDIS_OK && reply != NULL);
    return reply;
}

static void serve(const struct pair *pair)
{
    redisContext *redis = open_redis();

    (void)pair;
    for (;;) {
        redisReply *taken = redisCommand(redis, "BLMOVE requests in-hand RIGHT LEFT 0");

        MUST(taken != NULL && taken->type == REDIS_REPLY_STRING);
        redisAppendCommand(redis, "MULTI");
        redisAppendCommand(redis, "LREM in-hand 1 %b", taken->str, taken->len);
        redisAppendCommand(redis, "LPUSH responses %b", taken->str, taken->len);
        redisAppendCommand(redis, "EXEC");
        for (int i = 0; i < 4; i++)
            freeReplyObject(reply_of(redis));
        freeReplyObject(taken);
    }
}

static redisContext *client;
static char last[64] = "0-0"; /* response that was read */

static void begin(const struct pair *pair)
{
    (void)pair;
    client = open_redis();
}

/* The fields of the newest entry of a reply of one stream: [[name, [[id, [field, value]], ...]]]. */
static redisReply *newest(redisReply *reply)
{
    redisReply *entries;

    MUST(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 1);
    entries = reply->element[0]->element[1];
    MUST(entries->elements > 0);
    return entries->element[entries->elements - 1];
}

static void serve_stream(const struct pair *pair)
{
    redisContext *redis = open_redis();

    (void)pair;
    freeReplyObject(redisCommand(redis, "XGROUP CREATE requests group 0 MKSTREAM"));
    for (;;) {
        redisReply *taken =
            redisCommand(redis, "XREADGROUP GROUP group one COUNT 1 BLOCK 0 STREAMS requests >");
        redisReply *entry = newest(taken), *text = entry->element[1]->element[1];

        redisAppendCommand(redis, "MULTI");
        redisAppendCommand(redis, "XACK requests group %s", entry->element[0]->str);
        redisAppendCommand(redis, "XADD responses MAXLEN ~ 1000 * m %b", text->str, text->len);
        redisAppendCommand(redis, "EXEC");
        for (int i = 0; i < 4; i++)
            freeReplyObject(reply_of(redis));
        freeReplyObject(taken);
    }
}

static void stream_round_trip(const struct pair *pair)
{
    for (unsigned i = 0; i < pair->outstanding; i++)
        redisAppendCommand(client, "XADD requests MAXLEN ~ 1000 * m %b", pair->message,
                           pair->bytes);
    for (unsigned i = 0; i < pair->outstanding; i++)
        freeReplyObject(reply_of(client));
    for (unsigned i = 0; i < pair->outstanding;) {
        redisReply *reply = redisCommand(client, "XREAD BLOCK 0 STREAMS responses %s", last);

        snprintf(last, sizeof last, "%s", newest(reply)->element[0]->str);
        i += (unsigned)reply->element[0]->element[1]->elements;
        freeReplyObject(reply);
    }
}

static void round_trip(const struct pair *pair)
{
    for (unsigned i = 0; i < pair->outstanding; i++)
        redisAppendCommand(client, "LPUSH requests %b", pair->message, pair->bytes);
    for (unsigned i = 0; i < pair->outstanding; i++)
        freeReplyObject(reply_of(client));
    for (unsigned i = 0; i < pair->outstanding; i++) {
        redisReply *reply = redisCommand(client, "BLPOP responses 0");

        MUST(reply != NULL && reply->type == REDIS_REPLY_ARRAY);
        freeReplyObject(reply);
    }
}

int main(int argc, char **argv)
{
    cpu_set_t one;
    pid_t redis;
    int status;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    snprintf(path, sizeof path, "/tmp/vista-bench-redis-%d", getpid());
    MUST((redis = fork()) >= 0);
    if (redis == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        MUST(freopen("/dev/null", "w", stdout) != NULL);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
               "--appendonly", "no", (char *)NULL);
        _exit(1);
    }
    pair_third = redis;
    if (getenv("VISTA_BENCH_STREAMS") != NULL)
        status = pair_run(argc, argv, serve_stream, begin, stream_round_trip);
    else
        status = pair_run(argc, argv, serve, begin, round_trip);
    kill(redis, SIGKILL);
    waitpid(redis, NULL, 0);
    unlink(path);
    return status;
}
