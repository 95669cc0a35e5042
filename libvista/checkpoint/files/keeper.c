/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Kept descriptors: see keeper.h.
 */
#include "checkpoint/files/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of one message: with a descriptor it is to be kept as `group`, without it to be dropped. */
struct message {
    uint32_t group;
};

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static int channel[2] = {-1, -1};    /* the supervisor's end, the runtime's */
static int kept[VI_DESCRIPTORS + 1]; /* by group: its descriptor plus 1 */

static int raise_descriptor(int fd)
{
    const int raised = fcntl(fd, F_DUPFD_CLOEXEC, VI_DESCRIPTORS);

    close(fd);
    return raised;
}

bool vi_keeper_open(void)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        return false;
    channel[0] = raise_descriptor(channel[0]);
    channel[1] = raise_descriptor(channel[1]);
    return channel[0] >= 0 && channel[1] >= 0;
}

int vi_keeper_channel(void)
{
    return channel[0];
}

int vi_keeper_find(uint32_t group)
{
    return kept[group] - 1;
}

int vi_keeper_find_file(uint64_t device, uint64_t inode)
{
    struct stat st;

    for (uint32_t group = 0; group <= VI_DESCRIPTORS; group++)
        if (kept[group] > 0 && fstat(kept[group] - 1, &st) == 0 && st.st_dev == device &&
            st.st_ino == inode)
            return kept[group] - 1;
    return -1;
}

static void keep(uint32_t group, int fd)
{
    if (group > VI_DESCRIPTORS) {
        close(fd);
        return;
    }
    if (kept[group] > 0)
        close(kept[group] - 1);
    kept[group] = fd >= 0 ? raise_descriptor(fd) + 1 : 0;
}

void vi_keeper_receive(void)
{
    struct message message;
    union control control;
    struct iovec part = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    struct cmsghdr *c;
    int fd = -1;

    while (recvmsg(channel[0], &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == sizeof message) {
        c = CMSG_FIRSTHDR(&header);
        fd = -1;
        if (c != NULL && c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof fd);
        keep(message.group, fd);
        header.msg_controllen = sizeof control;
    }
}

void vi_keeper_enter(void)
{
    if (channel[0] >= 0)
        close(channel[0]);
    channel[0] = -1;
}

static bool send_message(uint32_t group, int fd)
{
    struct message message = {group};
    union control control = {0};
    struct iovec part = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof control;
        control.align = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
    }
    return sendmsg(channel[1], &header, MSG_NOSIGNAL) == sizeof message;
}

bool vi_keeper_give(uint32_t group, int fd)
{
    return send_message(group, fd);
}

void vi_keeper_drop(uint32_t group)
{
    (void)send_message(group, -1);
}
