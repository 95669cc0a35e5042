/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Kept descriptors: see keeper.h.
 */
#include "checkpoint/files/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/paths.h"

#define BIRTH UINT32_MAX   /* in place of a group */
#define WRITING UINT32_MAX /* in place of a listener */
#define READING (UINT32_MAX - 1)

/* With a descriptor it is to be kept as `group`, without it to be dropped; with a listener it is to
 * be accepted from that, and the descriptor or an error comes back.  A birth is asked for by its number
 * in `commit`, and an error comes back.  What is to be written is in the report, with its key in `commit`
 * and its size in `error`, and the result comes back there; so for what is to be read. */
struct message {
    uint32_t group;
    uint32_t listener;
    uint64_t commit; /* the last one that was made then */
    int64_t error;
};

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static int channel[2] = {-1, -1};                   /* the supervisor's end, the runtime's */
static int kept[VI_DESCRIPTORS + 1];                /* by group: its descriptor plus 1 */
static struct message accepted[VI_DESCRIPTORS + 1]; /* by group: how it came, if by a listener */
static uint64_t birth;                              /* that is asked for; 0: none */

bool vi_keeper_open(void)
{
    for (int end = 0; end < 2; end++)
        if (channel[end] >= 0)
            close(channel[end]);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        return false;
    channel[0] = vi_report_raise(channel[0]);
    channel[1] = vi_report_raise(channel[1]);
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
    kept[group] = fd >= 0 ? vi_report_raise(fd) + 1 : 0;
    accepted[group].listener = 0;
}

static bool send_message(int to, struct message message, int fd)
{
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
    return sendmsg(to, &header, MSG_NOSIGNAL) == sizeof message;
}

/* The descriptor that came with it, or -1. */
static bool receive_message(int from, int flags, struct message *message, int *fd)
{
    union control control;
    struct iovec part = {message, sizeof *message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    const struct cmsghdr *c;

    if (recvmsg(from, &header, flags | MSG_CMSG_CLOEXEC) != sizeof *message)
        return false;
    c = CMSG_FIRSTHDR(&header);
    *fd = -1;
    if (c != NULL && c->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    return true;
}

static void accept_for(struct message message)
{
    const int listener = message.listener <= VI_DESCRIPTORS ? kept[message.listener] - 1 : -1;
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    int fd = -1;

    errno = EAGAIN; /* nor may it wait where the guest has a listener that does */
    if (poll(&ready, 1, 0) == 1)
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    message.error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        keep(message.group, fd);
        accepted[message.group] = message;
    }
    (void)send_message(channel[0], message, fd >= 0 ? kept[message.group] - 1 : -1);
}

static ssize_t move(int fd, const struct iovec *part, bool writes, int flags)
{
    return writes ? pwritev2(fd, part, 1, -1, flags) : preadv2(fd, part, 1, -1, flags);
}

/* RWF_NOWAIT is nothing for a pipe that has a name: by an open description that does not wait. */
static long move_by_name(int fd, const struct iovec *part, bool writes)
{
    const int own = vi_paths_reopen(fd, (writes ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
    ssize_t moved;

    if (own < 0)
        return errno == ENXIO ? -EPIPE : -errno;
    moved = move(own, part, writes, 0);
    if (moved < 0)
        moved = -errno;
    close(own);
    return moved;
}

/* A pipe that has no room, or nothing, gives EAGAIN; a file has none to wait for. */
static long move_now(uint32_t group, bool writes, size_t size)
{
    const int fd = group <= VI_DESCRIPTORS ? kept[group] - 1 : -1;
    const size_t most = writes ? sizeof vi_report->bytes : sizeof vi_report->read_bytes;
    const struct iovec part = {writes ? vi_report->bytes : vi_report->read_bytes,
                               size < most ? size : most};
    ssize_t moved = move(fd, &part, writes, RWF_NOWAIT);
    struct stat st;

    if (moved < 0 && (errno == EAGAIN || errno == EOPNOTSUPP) && fstat(fd, &st) == 0 &&
        S_ISREG(st.st_mode))
        moved = move(fd, &part, writes, 0);
    if (moved < 0 && errno == EOPNOTSUPP)
        return move_by_name(fd, &part, writes);
    return moved < 0 ? -errno : moved;
}

static void move_for(struct message message)
{
    const bool writes = message.listener == WRITING;

    if (writes && vi_report->sent_key != message.commit)
        vi_report->sent = 0;
    if (writes)
        vi_report->sent_key = message.commit;
    message.error = move_now(message.group, writes, (size_t)message.error);
    if (message.error > 0 && writes) {
        vi_report->sent += (uint64_t)message.error;
    } else if (message.error > 0) {
        vi_report->received[message.group - 1] += (uint64_t)message.error;
        vi_report->read_size = (uint64_t)message.error;
    }
    (void)send_message(channel[0], message, -1);
}

void vi_keeper_receive(void)
{
    struct message message;
    int fd;

    while (receive_message(channel[0], MSG_DONTWAIT, &message, &fd))
        if (message.group == BIRTH)
            birth = message.commit;
        else if (message.listener == WRITING || message.listener == READING)
            move_for(message);
        else if (message.listener != 0)
            accept_for(message);
        else
            keep(message.group, fd);
}

uint64_t vi_keeper_birth(void)
{
    const uint64_t wanted = birth;

    birth = 0;
    return wanted;
}

void vi_keeper_answer(int error)
{
    (void)send_message(channel[0], (struct message){.group = BIRTH, .error = -error}, -1);
}

void vi_keeper_end(void)
{
    for (uint32_t group = 0; group <= VI_DESCRIPTORS; group++)
        vi_keeper_release(group);
}

uint32_t vi_keeper_accepted(uint32_t group, uint64_t commit)
{
    return kept[group] > 0 && accepted[group].commit >= commit ? accepted[group].listener : 0;
}

void vi_keeper_release(uint32_t group)
{
    if (kept[group] > 0)
        close(kept[group] - 1);
    kept[group] = 0;
}

void vi_keeper_enter(void)
{
    struct message message;
    int fd;

    if (channel[0] >= 0)
        close(channel[0]);
    channel[0] = -1;
    while (receive_message(channel[1], MSG_DONTWAIT, &message, &fd)) /* for a process that died */
        if (fd >= 0)
            close(fd);
}

int vi_keeper_accept(uint32_t listener, uint32_t group)
{
    struct message message = {group, listener, vi_engine.header->commits, 0};
    int fd = -1;

    if (!send_message(channel[1], message, -1) || !receive_message(channel[1], 0, &message, &fd))
        return -ENOTCONN;
    return fd >= 0 ? fd : message.error != 0 ? -(int)message.error : -EMFILE;
}

/* The result, which comes back in the place of the size. */
static long ask(struct message message)
{
    int fd;

    if (!send_message(channel[1], message, -1) || !receive_message(channel[1], 0, &message, &fd))
        return -EIO;
    return message.error;
}

long vi_keeper_write(uint32_t group, uint64_t key, const void *bytes, size_t size)
{
    if (size > VI_SENT_AT_ONCE)
        size = VI_SENT_AT_ONCE;
    memcpy(vi_report->bytes, bytes, size);
    return ask((struct message){group, WRITING, key, (int64_t)size});
}

long vi_keeper_read(uint32_t group, size_t size)
{
    return ask((struct message){group, READING, 0, (int64_t)size});
}

long vi_keeper_bear(uint64_t number)
{
    return ask((struct message){BIRTH, 0, number, 0});
}

bool vi_keeper_give(uint32_t group, int fd)
{
    return send_message(channel[1], (struct message){.group = group}, fd);
}

void vi_keeper_drop(uint32_t group)
{
    (void)send_message(channel[1], (struct message){.group = group}, -1);
}
