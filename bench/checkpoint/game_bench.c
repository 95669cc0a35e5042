/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A game for `vista-bench protocols`: a server and its players, 15 frames a second, as xpilot in the
 * dissertation.
 *
 *     bench_game WAY PROCESSES NUMBER FRAMES
 *
 * Number 0 is the server: until a frame is due it takes the players' keys; then it moves the ships and
 * sends all of them to each player.  A player draws them to its standard output, and presses a key.
 * The server's exit status is how many frames, of at most 100, were late by half a frame.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>

#include "ring.h"

#define FRAME_NS (1000000000 / 15)
#define MOST 8

struct ship {
    int32_t x, y, dx, dy;
};

struct world {
    uint32_t frame, players;
    struct ship ships[MOST];
};

struct key {
    uint32_t player, turn;
};

static struct world world;
static int players[MOST];

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

static void take_key(int fd)
{
    const struct ring from = {.before = fd};
    struct key key;

    if (!ring_receive(&from, &key, sizeof key) || key.player >= MOST)
        return;
    world.ships[key.player].dx += key.turn & 1 ? 1 : -1;
    world.ships[key.player].dy += key.turn & 2 ? 1 : -1;
}

static void take_keys_until(int64_t due)
{
    for (int64_t left = due - now_ns(); left > 0; left = due - now_ns()) {
        struct pollfd fds[MOST];

        for (unsigned i = 0; i < world.players; i++)
            fds[i] = (struct pollfd){.fd = players[i], .events = POLLIN};
        if (poll(fds, world.players, (int)((left + 999999) / 1000000)) <= 0)
            continue;
        for (unsigned i = 0; i < world.players; i++)
            if (fds[i].revents != 0)
                take_key(players[i]);
    }
}

static void move(void)
{
    for (unsigned i = 0; i < world.players; i++) {
        world.ships[i].x += world.ships[i].dx;
        world.ships[i].y += world.ships[i].dy;
    }
    world.frame++;
}

static int serve(int listener, unsigned frames)
{
    int64_t due;
    int late = 0;

    for (unsigned i = 0; i < world.players; i++) {
        players[i] = accept(listener, NULL, NULL);
        ring_need(players[i] >= 0, "accept");
    }
    due = now_ns();
    while (world.frame < frames) {
        due += FRAME_NS;
        take_keys_until(due);
        move();
        for (unsigned i = 0; i < world.players; i++)
            ring_need(ring_send(&(struct ring){.next = players[i]}, &world, sizeof world), "send");
        late += now_ns() - due > FRAME_NS / 2 && late < 100;
    }
    return late;
}

static int play(int server, unsigned number, unsigned frames)
{
    const struct ring ring = {server, server};
    struct key key = {.player = number - 1};

    while (world.frame < frames) {
        ring_need(ring_receive(&ring, &world, sizeof world), "receive");
        printf("\033[H%u:", world.frame);
        for (unsigned i = 0; i < world.players; i++)
            printf(" %d,%d", world.ships[i].x, world.ships[i].y);
        fflush(stdout);
        key.turn = (uint32_t)now_ns() / 1000;
        if (world.frame < frames && !ring_send(&ring, &key, sizeof key))
            break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *way = argc > 4 ? argv[1] : "unix";
    const unsigned number = argc > 4 ? (unsigned)atoi(argv[3]) : 0;
    const unsigned frames = argc > 4 ? (unsigned)atoi(argv[4]) : 15;

    world.players = argc > 4 ? (unsigned)atoi(argv[2]) - 1 : 1;
    if (number == 0)
        return serve(ring_listen(way, 0), frames);
    return play(ring_connect(way, 0), number, frames);
}
