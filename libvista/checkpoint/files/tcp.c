/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TCP: see tcp.h.
 */
#include "checkpoint/files/tcp.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* As the kernel numbers them (net/tcp_states.h): the peer will send no more; 7 is closed. */
#define ENDED_STATES (1u << 6 | 1u << 8 | 1u << 9 | 1u << 11)

static bool look(int fd, struct tcp_info *info)
{
    socklen_t size = sizeof *info;

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0 && info->tcpi_state != 7;
}

bool vi_tcp_sent(int fd, uint64_t *position)
{
    struct tcp_info info, again;
    int waiting;

    do { /* until nothing was acknowledged between two looks */
        if (!look(fd, &info) || ioctl(fd, SIOCOUTQ, &waiting) != 0 || !look(fd, &again))
            return false;
    } while (info.tcpi_bytes_acked != again.tcpi_bytes_acked);
    *position = info.tcpi_bytes_acked + (uint64_t)waiting;
    return true;
}

bool vi_tcp_written(int fd, uint64_t *position)
{
    struct tcp_info info;

    if (!look(fd, &info))
        return false;
    *position = info.tcpi_bytes_sent - info.tcpi_bytes_retrans + info.tcpi_notsent_bytes;
    return true;
}

bool vi_tcp_received(int fd, uint64_t *position)
{
    struct tcp_info info, again;
    int waiting;

    do {
        if (!look(fd, &info) || ioctl(fd, SIOCINQ, &waiting) != 0 || !look(fd, &again))
            return false;
    } while (info.tcpi_bytes_received != again.tcpi_bytes_received ||
             info.tcpi_state != again.tcpi_state);
    /* The end of the stream counts as a byte. */
    *position =
        info.tcpi_bytes_received - (uint64_t)waiting - (ENDED_STATES >> info.tcpi_state & 1);
    return true;
}
