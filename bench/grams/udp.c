/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Bare UDP: a datagram there, a datagram back, in blocking calls.  Nothing is promised.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "pair.h"

static int end[2];

static void make(int which)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    end[which] = socket(AF_INET, SOCK_DGRAM, 0);
    MUST(bind(end[which], (struct sockaddr *)&address, sizeof address) == 0);
}

static void send_to(int from, int to, const struct pair *pair)
{
    static struct sockaddr_in address;
    socklen_t length = sizeof address;

    if (address.sin_port == 0)
        MUST(getsockname(end[to], (struct sockaddr *)&address, &length) == 0);
    MUST(sendto(end[from], pair->message, pair->bytes, 0, (struct sockaddr *)&address,
                sizeof address) == (ssize_t)pair->bytes);
}

static void receive(int which, const struct pair *pair)
{
    struct sockaddr_in from;
    socklen_t length = sizeof from;

    MUST(recvfrom(end[which], pair->message, pair->bytes, 0, (struct sockaddr *)&from, &length) ==
         (ssize_t)pair->bytes);
}

static void serve(const struct pair *pair)
{
    for (;;) {
        receive(1, pair);
        send_to(1, 0, pair);
    }
}

static void begin(const struct pair *pair)
{
    (void)pair;
}

static void round_trip(const struct pair *pair)
{
    for (unsigned i = 0; i < pair->outstanding; i++)
        send_to(0, 1, pair);
    for (unsigned i = 0; i < pair->outstanding; i++)
        receive(0, pair);
}

int main(int argc, char **argv)
{
    make(0);
    make(1);
    return pair_run(argc, argv, serve, begin, round_trip);
}
