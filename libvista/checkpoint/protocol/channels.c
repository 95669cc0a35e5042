/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Channels for the trace: see channels.h.
 */
#include "checkpoint/protocol/channels.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/tcp.h"
#include "checkpoint/files/zone.h"

#define ENDS 1024

/* A channel's number: its kind and the inode of the pipe or of the socket that sends. */
#define OF_PIPE ((uint64_t)1 << 40)
#define OF_UNIX ((uint64_t)2 << 40)
#define OF_TCP ((uint64_t)3 << 40) /* and a hash of the two addresses */
#define BELOW (((uint64_t)1 << 40) - 1)

/* The process's end of a Unix stream or a pipe. */
struct end {
    uint64_t inode; /* 0: none */
    uint64_t peer;  /* inode of the other socket; 0: not known yet */
    uint64_t sent, received;
    bool lost; /* it is not known how much */
};

static struct end ends[ENDS];

/* ---- Unix streams and pipes ------------------------------------------------------- */

static uint64_t attribute_of(const unsigned char *answer, size_t size)
{
    const size_t head = NLMSG_SPACE(sizeof(struct unix_diag_msg));
    const struct rtattr *a = (const void *)(answer + head);
    size_t left = size > head ? size - head : 0;
    uint32_t inode = 0;

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == UNIX_DIAG_PEER)
            memcpy(&inode, RTA_DATA(a), sizeof inode);
    return inode;
}

/* The kernel tells by a socket's inode which other it is connected with. */
static uint64_t peer_of(uint64_t inode)
{
    struct {
        struct nlmsghdr head;
        struct unix_diag_req body;
    } question = {.head = {sizeof question, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0},
                  .body = {.sdiag_family = AF_UNIX,
                           .udiag_states = UINT32_MAX,
                           .udiag_ino = (uint32_t)inode,
                           .udiag_show = UDIAG_SHOW_PEER,
                           .udiag_cookie = {UINT32_MAX, UINT32_MAX}}};
    _Alignas(struct nlmsghdr) unsigned char answer[512];
    const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    ssize_t size = 0;

    if (fd < 0)
        return 0;
    if (send(fd, &question, sizeof question, 0) == sizeof question)
        size = recv(fd, answer, sizeof answer, 0);
    close(fd);
    return size > 0 && ((struct nlmsghdr *)answer)->nlmsg_type == SOCK_DIAG_BY_FAMILY
               ? attribute_of(answer, (size_t)size)
               : 0;
}

static bool is_stream_of(int fd, int domain)
{
    int type = 0, family = 0;
    socklen_t size = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == domain;
}

/* NULL: it is neither, or there is no room. */
static struct end *end_of(int fd)
{
    struct stat st;
    struct end *end = ends;

    if (fstat(fd, &st) != 0 || !(S_ISFIFO(st.st_mode) || is_stream_of(fd, AF_UNIX)))
        return NULL;
    while (end < ends + ENDS && end->inode != 0 && end->inode != st.st_ino)
        end++;
    if (end == ends + ENDS)
        return NULL;
    end->inode = st.st_ino;
    if (end->peer == 0)
        end->peer = S_ISFIFO(st.st_mode) ? st.st_ino : peer_of(st.st_ino);
    return end;
}

void vi_channels_before(int fd)
{
    (void)end_of(fd);
}

void vi_channels_lost(void)
{
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        struct end *end = vi_files_group((uint64_t)fd) != 0 ? end_of(fd) : NULL;

        if (end != NULL)
            end->lost = true;
    }
}

static bool by_counting(const struct end *end, bool sent, uint64_t *channel, uint64_t *position)
{
    const uint64_t sender = sent ? end->inode : end->peer;

    *channel = (end->inode == end->peer ? OF_PIPE : OF_UNIX) | (sender & BELOW);
    *position = sent ? end->sent : end->received;
    return !end->lost && sender != 0;
}

/* ---- TCP ---------------------------------------------------------------------------- */

/* FNV-1a.  Addresses of version 4 are alike whether the socket is of that version or not. */
static uint64_t hash_address(uint64_t hash, const struct sockaddr_storage *address)
{
    const struct sockaddr_in *four = (const void *)address;
    const struct sockaddr_in6 *six = (const void *)address;
    unsigned char bytes[18] = {[10] = 0xff, [11] = 0xff};

    if (address->ss_family == AF_INET6)
        memcpy(bytes, &six->sin6_addr, sizeof six->sin6_addr);
    else
        memcpy(bytes + 12, &four->sin_addr, sizeof four->sin_addr);
    memcpy(bytes + 16, &four->sin_port, sizeof four->sin_port); /* where that of six is, too */
    for (size_t i = 0; i < sizeof bytes; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static bool tcp_channel(int fd, bool sent, uint64_t *channel)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    uint64_t hash = 0xcbf29ce484222325u;

    if (getsockname(fd, (struct sockaddr *)&own, &own_size) != 0 ||
        getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0)
        return false;
    hash = hash_address(hash, sent ? &own : &peer);
    hash = hash_address(hash, sent ? &peer : &own);
    *channel = OF_TCP | (hash & BELOW);
    return true;
}

static bool is_tcp(int fd)
{
    return is_stream_of(fd, AF_INET) || is_stream_of(fd, AF_INET6);
}

/* ---- Both ---------------------------------------------------------------------------- */

bool vi_channels_sent(const struct vi_call *call, long bytes, uint64_t *channel, uint64_t *position)
{
    const int fd = (int)call->arguments[0];
    struct end *end;

    if (bytes <= 0)
        return false;
    if (is_tcp(fd))
        return vi_tcp_written(fd, position) && tcp_channel(fd, true, channel);
    end = end_of(fd);
    if (end != NULL && call->number == SYS_sendmmsg)
        end->lost = true; /* its result is no number of bytes */
    else if (end != NULL)
        end->sent += (uint64_t)bytes;
    return end != NULL && by_counting(end, true, channel, position);
}

/* Has it taken from the stream what it gives? */
static bool takes(const struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const uint64_t others = MSG_PEEK | MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE;

    switch (call->number) {
    case SYS_read:
    case SYS_readv:
        return true;
    case SYS_recvfrom:
        return !(a[3] & others);
    case SYS_recvmsg:
        return !(a[2] & others);
    default:
        return false;
    }
}

bool vi_channels_received(const struct vi_call *call, long bytes, uint64_t *channel,
                          uint64_t *position)
{
    const int fd = (int)call->arguments[0];
    struct end *end;

    if (bytes <= 0 || !takes(call))
        return false;
    if (is_tcp(fd)) { /* what has landed is not yet the guest's */
        if (!vi_tcp_received(fd, position) || !tcp_channel(fd, false, channel))
            return false;
        *position -= vi_zone_left(vi_files_group(call->arguments[0]));
        return true;
    }
    end = end_of(fd);
    if (end != NULL)
        end->received += (uint64_t)bytes;
    return end != NULL && by_counting(end, false, channel, position);
}
