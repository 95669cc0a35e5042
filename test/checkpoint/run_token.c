/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One of a ring of processes that hand a number on, for test_checkpoint_traces.
 *
 *     run_token unix|127.A.B PROCESSES NUMBER ROUNDS
 *
 * Each asks for the time before it hands on the number, with one more, and says it each round.
 */
#include <stdint.h>
#include <time.h>

#include "../../bench/checkpoint/ring.h"

struct token {
    uint32_t number, time;
};

static void hand_on(const struct ring *ring, struct token *token)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    token->number++;
    token->time += (uint32_t)now.tv_nsec;
    ring_need(ring_send(ring, token, sizeof *token), "send");
}

int main(int argc, char **argv)
{
    const char *way = argc > 4 ? argv[1] : "unix";
    const unsigned size = argc > 4 ? (unsigned)atoi(argv[2]) : 1;
    const unsigned number = argc > 4 ? (unsigned)atoi(argv[3]) : 0;
    const unsigned rounds = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
    const struct ring ring = ring_join(way, size, number);
    struct token token = {0};

    for (unsigned i = 0; i < rounds; i++) {
        if (number == 0)
            hand_on(&ring, &token);
        ring_need(ring_receive(&ring, &token, sizeof token), "receive");
        if (number != 0)
            hand_on(&ring, &token);
        printf("number %u\n", token.number);
        fflush(stdout);
    }
    return 7;
}
