/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Landing zones: see zone.h.
 */
#include "checkpoint/files/zone.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/tcp.h"
#include "checkpoint/trap/kills.h"

#define EMPTY 0xff

/* Of each zone: whose it is, to be found without a look at all zones, which lie far apart; bytes that the
 * guest has had since the last checkpoint, and whether it is to be given up then. */
static uint32_t groups[VI_ZONES];
static size_t served[VI_ZONES];
static bool closing[VI_ZONES];
/* No one's, and all its bytes are as they are preset. */
static bool wiped[VI_ZONES];

static struct vi_zone *find(uint32_t group)
{
    struct vi_zone *zones = vi_engine.header->zones;

    for (int i = 0; i < VI_ZONES; i++)
        if (groups[i] == group && !closing[i])
            return &zones[i];
    return NULL;
}

static size_t *served_of(const struct vi_zone *zone)
{
    return &served[zone - vi_engine.header->zones];
}

/* What was read so far of a stream of which there is someone who counts it. */
static bool received(uint32_t group, int fd, uint64_t *position)
{
    const struct vi_open_file *file = &vi_engine.control->files[group - 1];

    *position = ((uint64_t)1 << 32) + vi_report->received[group - 1];
    return file->shared || (file->mode == S_IFSOCK && vi_tcp_received(fd, position));
}

/* The supervisor has what it has read until it is counted here. */
static void take_read(struct vi_zone *zone, uint64_t size)
{
    memcpy(zone->bytes + zone->count, vi_report->read_bytes + vi_report->read_size - size, size);
}

static ssize_t read_shared(struct vi_zone *zone, size_t size)
{
    const long got = vi_keeper_read(zone->group, size);

    vi_kill_made();
    if (got > 0)
        take_read(zone, (uint64_t)got);
    errno = got < 0 ? (int)-got : 0;
    return got < 0 ? -1 : got;
}

/* A free zone; its preset bytes are there before it is anyone's. */
static struct vi_zone *take(uint32_t group, int fd)
{
    struct vi_zone *zone = find(group);
    uint64_t position;

    if (zone != NULL && zone->position == VI_NO_POSITION &&
        vi_engine.control->files[group - 1].shared && received(group, fd, &position))
        zone->position = position - zone->count; /* it is shared by now */
    if (zone != NULL || (zone = find(0)) == NULL)
        return zone;
    if (!wiped[zone - vi_engine.header->zones])
        memset(zone->bytes, EMPTY, sizeof zone->bytes);
    wiped[zone - vi_engine.header->zones] = false;
    zone->count = 0;
    zone->ended = 0;
    if (!received(group, fd, &zone->position))
        zone->position = VI_NO_POSITION;
    *served_of(zone) = 0;
    __asm__ volatile("" ::: "memory");
    zone->group = groups[zone - vi_engine.header->zones] = group;
    return zone;
}

size_t vi_zone_left(uint32_t group)
{
    const struct vi_zone *zone = group != 0 ? find(group) : NULL;

    return zone == NULL ? 0 : zone->count - *served_of(zone) + (zone->ended == 2);
}

bool vi_zone_has(uint32_t group)
{
    return group != 0 && find(group) != NULL;
}

bool vi_zone_any_left(void)
{
    for (int i = 0; i < VI_ZONES; i++)
        if (groups[i] != 0 && vi_zone_left(groups[i]) != 0)
            return true;
    return false;
}

static long serve(struct vi_zone *zone, unsigned char *to, size_t size)
{
    const size_t left = zone->count - *served_of(zone);

    if (left == 0) { /* the end of file that was taken before a kill */
        zone->ended = 1;
        return 0;
    }
    if (size > left)
        size = left;
    memcpy(to, zone->bytes + *served_of(zone), size);
    *served_of(zone) += size;
    return (long)size;
}

long vi_zone_read(uint32_t group, int fd, unsigned char *to, size_t size, bool ends_once)
{
    struct vi_zone *zone = take(group, fd);
    int waiting = 1;
    ssize_t got;

    if (zone == NULL)
        return VI_ZONE_FULL;
    if (vi_zone_left(group) != 0)
        return serve(zone, to, size);
    if (zone->count >= sizeof zone->bytes / 2)
        return VI_ZONE_FULL;
    if (size > sizeof zone->bytes - zone->count)
        size = sizeof zone->bytes - zone->count;
    if (ends_once && ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0)
        zone->ended = 1;
    __asm__ volatile("" ::: "memory");
    got = vi_engine.control->files[group - 1].shared ? read_shared(zone, size)
                                                     : read(fd, zone->bytes + zone->count, size);
    if (got <= 0)
        return got < 0 ? -errno : 0;
    zone->count += (uint64_t)got;
    zone->ended = 0;
    return serve(zone, to, size);
}

void vi_zone_close(uint32_t group)
{
    const struct vi_zone *zone = group != 0 ? find(group) : NULL;

    if (zone != NULL)
        closing[zone - vi_engine.header->zones] = true;
}

bool vi_zone_is_closing(uint32_t group)
{
    for (int i = 0; i < VI_ZONES; i++)
        if (closing[i] && groups[i] == group)
            return true;
    return false;
}

static bool end_is_waiting(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    int waiting = 0;

    return fd < 0 ||
           (poll(&pollfd, 1, 0) == 1 && ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0);
}

/* A connection tells how much was read.  Of others a read that was killed has stored up to the last
 * byte that differs from what was preset. */
static uint64_t landed(const struct vi_zone *zone, int fd)
{
    uint64_t count = sizeof zone->bytes, position;

    if (zone->position != VI_NO_POSITION && received(zone->group, fd, &position) &&
        position - zone->position <= count)
        return position - zone->position;

    while (count > zone->count && zone->bytes[count - 1] == EMPTY)
        count--;
    return count;
}

void vi_zone_recover(int (*fd_of)(uint32_t group))
{
    for (int i = 0; i < VI_ZONES; i++) {
        struct vi_zone *zone = &vi_engine.header->zones[i];
        uint64_t landed_now;

        if (zone->group == 0)
            continue;
        if (fd_of(zone->group) < 0) { /* not yet open at the checkpoint */
            zone->group = 0;
            continue;
        }
        groups[i] = zone->group;
        landed_now = landed(zone, fd_of(zone->group));
        if (vi_engine.control->files[zone->group - 1].shared && landed_now > zone->count)
            take_read(zone, landed_now - zone->count);
        zone->count = landed_now;
        if (zone->ended != 0)
            zone->ended = end_is_waiting(fd_of(zone->group)) ? 0 : 2;
    }
}

/* One that holds nothing is given up: others may need it. */
static bool is_settling(int i)
{
    const struct vi_zone *zone = &vi_engine.header->zones[i];

    return groups[i] != 0 &&
           (served[i] != 0 || zone->ended == 1 || closing[i] || (zone->count | zone->ended) == 0);
}

int vi_zone_ranges(struct iovec *ranges)
{
    int count = 0;

    for (int i = 0; i < VI_ZONES; i++) {
        struct vi_zone *zone = &vi_engine.header->zones[i];

        if (is_settling(i))
            ranges[count++] = (struct iovec){zone, offsetof(struct vi_zone, bytes) + zone->count};
    }
    return count;
}

void vi_zone_settle(void)
{
    for (int i = 0; i < VI_ZONES; i++) {
        struct vi_zone *zone = &vi_engine.header->zones[i];

        if (!is_settling(i))
            continue;
        memmove(zone->bytes, zone->bytes + served[i], zone->count - served[i]);
        memset(zone->bytes + zone->count - served[i], EMPTY, served[i]);
        zone->count -= served[i];
        if (zone->position != VI_NO_POSITION)
            zone->position += served[i];
        if (zone->ended == 1)
            zone->ended = 0;
        if (closing[i] || (zone->count | zone->ended) == 0)
            zone->group = groups[i] = 0;
        wiped[i] = (zone->count | zone->ended) == 0;
        served[i] = 0;
        closing[i] = false;
    }
}
