/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading and writing: see handlers.h.
 */
#include "checkpoint/kernel/handlers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/keeper.h"
#include "checkpoint/files/undo.h"
#include "checkpoint/files/zone.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/trap/kills.h"
#include "checkpoint/trap/window.h"

#define DECISECOND 100000000
#define MOST_AT_ONCE 4096u /* what poll says a pipe has room for: PIPE_BUF */

static bool is_blocking(const struct vi_open_file *file)
{
    return !(file->flags & O_NONBLOCK);
}

/* ---- Reading ----------------------------------------------------------------- */

/* A terminal that is not read by lines may be set to wait for less than ever. */
static int64_t terminal_wait(const struct vi_open_file *file)
{
    const struct termios *t = &vi_engine.control->termios;

    if (!file->terminal || !vi_engine.control->terminal || t->c_lflag & ICANON ||
        t->c_cc[VMIN] != 0)
        return -1;
    return t->c_cc[VTIME] * (int64_t)DECISECOND;
}

static long read_once(struct vi_call *call, void *to, size_t size, bool waits)
{
    const int fd = (int)call->arguments[0];
    const struct vi_open_file *file = vi_files_of((uint64_t)fd);
    const uint32_t group = vi_files_group((uint64_t)fd);
    const int64_t limit = waits ? terminal_wait(file) : 0;
    long result;

    if (size == 0 || (file->flags & O_ACCMODE) == O_WRONLY)
        return vi_system(SYS_read, (uint64_t)fd, (uint64_t)to, size, 0, 0, 0);
    if (vi_zone_left(group) == 0 && is_blocking(file)) {
        result = vi_window_wait(call, fd, POLLIN, limit, NULL);
        if (result <= 0)
            return result == 0 && !waits ? -EAGAIN : result;
    }
    if (file->mode != S_IFSOCK && vi_files_is_new((uint64_t)fd))
        vi_trap_commit(call); /* else what lands would be lost with the descriptor */
    result = vi_zone_read(group, fd, to, size, file->terminal);
    if (result == VI_ZONE_FULL) {
        vi_trap_commit(call);
        result = vi_zone_read(group, fd, to, size, file->terminal);
    }
    return result != VI_ZONE_FULL ? result
                                  : vi_system(SYS_read, (uint64_t)fd, (uint64_t)to, size, 0, 0, 0);
}

/* What both had been told of another process may have read first. */
static long read_stream(struct vi_call *call, void *to, size_t size, bool waits)
{
    const struct vi_open_file *file = vi_files_of(call->arguments[0]);
    long result;

    do
        result = read_once(call, to, size, waits);
    while (result == -EAGAIN && waits && is_blocking(file) && file->shared);
    return result;
}

long vi_call_file_read(struct vi_call *call)
{
    vi_files_touch(call->arguments[0]);
    return vi_pass(call);
}

static bool good_vector(const struct iovec *vector, uint64_t count, bool write)
{
    if (count > IOV_MAX || !vi_memory_readable((uint64_t)vector, count * sizeof *vector))
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (write ? !vi_memory_writable((uint64_t)vector[i].iov_base, vector[i].iov_len)
                  : !vi_memory_readable((uint64_t)vector[i].iov_base, vector[i].iov_len))
            return false;
    return true;
}

/* A stream may give less than was asked for: it fills one part. */
static long read_parts(struct vi_call *call, const struct iovec *vector, uint64_t count, bool waits)
{
    if (!good_vector(vector, count, true))
        return -EFAULT;
    for (uint64_t i = 0; i < count; i++)
        if (vector[i].iov_len != 0)
            return read_stream(call, vector[i].iov_base, vector[i].iov_len, waits);
    return 0;
}

long vi_call_read(struct vi_call *call)
{
    const uint64_t *a = call->arguments;

    if (!vi_files_is_stream(a[0]))
        return vi_call_file_read(call);
    if (call->number == SYS_readv)
        return read_parts(call, (const void *)a[1], a[2], true);
    if (!vi_memory_writable(a[1], a[2]))
        return -EFAULT;
    return read_stream(call, (void *)a[1], a[2], true);
}

/* Is it a stream from which is received as it is read? */
static bool is_plain(uint64_t fd, uint64_t flags)
{
    int type = 0;
    socklen_t size = sizeof type;

    return getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
           (flags & ~(uint64_t)(MSG_NOSIGNAL | MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) == 0;
}

/* Any other message, as soon as there is one. */
static long receive(struct vi_call *call, uint64_t flags)
{
    const uint64_t fd = call->arguments[0];
    long result = 0;

    if (is_blocking(vi_files_of(fd)) && !(flags & MSG_DONTWAIT))
        result = vi_window_wait(call, (int)fd, POLLIN, -1, NULL);
    return result < 0 ? result : vi_pass(call);
}

long vi_call_recv(struct vi_call *call)
{
    const uint64_t *a = call->arguments;

    if (vi_files_of(a[0]) == NULL)
        return -EBADF;
    if (is_plain(a[0], a[3]) && a[4] == 0 && vi_memory_writable(a[1], a[2]))
        return read_stream(call, (void *)a[1], a[2], !(a[3] & MSG_DONTWAIT));
    return receive(call, a[3]);
}

long vi_call_recvmsg(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const struct msghdr *header = (const void *)a[1];
    long result;

    if (vi_files_of(a[0]) == NULL)
        return -EBADF;
    if (!vi_memory_writable(a[1], sizeof *header))
        return -EFAULT;
    if (is_plain(a[0], a[2]) && header->msg_name == NULL && header->msg_controllen == 0)
        return read_parts(call, header->msg_iov, header->msg_iovlen, !(a[2] & MSG_DONTWAIT));
    result = receive(call, a[2]);
    if (result >= 0 && header->msg_controllen != 0 && header->msg_control != NULL) {
        const struct cmsghdr *c = CMSG_FIRSTHDR(header);

        if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            for (size_t i = 0; i < (c->cmsg_len - sizeof *c) / sizeof(int); i++)
                vi_files_add(((const int *)CMSG_DATA(c))[i], VI_FILE_KEPT, NULL);
    }
    return result;
}

/* ---- Writing ----------------------------------------------------------------- */

/* By the supervisor, who knows after a kill how much was written. */
static long write_shared(uint64_t fd, const void *bytes, size_t size)
{
    const long result =
        vi_keeper_write(vi_files_group(fd), vi_engine.header->sent_position, bytes, size);

    vi_kill_made();
    return result;
}

/* Writes to what may block, open to signals while it waits; `done` bytes are written already. */
static long write_stream(struct vi_call *call, const unsigned char *from, size_t size, size_t done,
                         uint64_t flags)
{
    const uint64_t fd = call->arguments[0];
    const struct vi_open_file *file = vi_files_of(fd);
    const bool waits = is_blocking(file) && !(flags & MSG_DONTWAIT);
    long result = 0;

    while (done < size || size == 0) {
        size_t part = size - done;

        if (file->mode == S_IFIFO && part > MOST_AT_ONCE)
            part = MOST_AT_ONCE;
        if (waits)
            result = vi_window_wait(call, (int)fd, POLLOUT, -1, NULL);
        if (result >= 0 && file->mode == S_IFSOCK)
            result = vi_system(SYS_sendto, fd, (uint64_t)(from + done), part, flags | MSG_DONTWAIT,
                               0, 0);
        else if (result >= 0)
            result = file->shared
                         ? write_shared(fd, from + done, part)
                         : vi_system(SYS_write, fd, (uint64_t)(from + done), part, 0, 0, 0);
        if (result < 0 && !(result == -EAGAIN && waits))
            return done != 0 ? (long)done : result;
        done += result > 0 ? (size_t)result : 0;
        if (!waits || size == 0)
            break;
        result = 0;
    }
    return (long)done;
}

static long write_visible(struct vi_call *call, const void *bytes, size_t size, uint64_t flags)
{
    const uint64_t fd = call->arguments[0];
    const bool shared = vi_files_of(fd)->shared;
    long result;
    const bool again = !vi_protocol_output(call, &result);

    /* Of what is not written by this process the kernel does not tell it. */
    if (!again)
        result = vi_files_is_stream(fd) || shared
                     ? write_stream(call, bytes, size, (size_t)result, flags)
                     : vi_system(SYS_write, fd, (uint64_t)bytes, size, 0, 0, 0);
    if (result == -EPIPE && (again || shared) && !(flags & MSG_NOSIGNAL))
        vi_system(SYS_kill, (uint64_t)getpid(), SIGPIPE, 0, 0, 0, 0);
    if (!again && result != VI_INTERRUPTED)
        vi_protocol_done(call, result, bytes);
    return result;
}

/* Of a file of its own: what is overwritten is kept first. */
static long write_file(struct vi_call *call, int64_t offset, uint64_t length)
{
    const struct vi_open_file *file = vi_files_of(call->arguments[0]);
    const int fd = (int)call->arguments[0];
    long result;

    if (file == NULL)
        return -EBADF;
    if ((file->flags & O_ACCMODE) != O_RDONLY && length != 0) {
        if (file->flags & O_APPEND)
            offset = -1;
        else if (offset < 0)
            offset = lseek(fd, 0, SEEK_CUR);
        result = vi_undo_bytes(fd, offset, length);
        if (result != 0)
            return result;
    }
    vi_files_touch(call->arguments[0]);
    return vi_pass(call);
}

static size_t total_of(const struct iovec *vector, uint64_t count)
{
    size_t total = 0;

    for (uint64_t i = 0; i < count; i++)
        total += vector[i].iov_len;
    return total;
}

/* The parts in one piece. */
static long write_parts(struct vi_call *call, const struct iovec *vector, uint64_t count,
                        uint64_t flags)
{
    const size_t total = total_of(vector, count);
    unsigned char *all = malloc(total + 1);
    size_t at = 0;
    long result;

    if (all == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i < count; at += vector[i++].iov_len)
        memcpy(all + at, vector[i].iov_base, vector[i].iov_len);
    result = write_visible(call, all, total, flags);
    free(all);
    return result;
}

/* write, writev, and both at an offset. */
long vi_call_write(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const struct iovec *vector = (const void *)a[1];
    const bool parts = call->number != SYS_write && call->number != SYS_pwrite64;
    const bool placed = call->number != SYS_write && call->number != SYS_writev;

    if (parts ? !good_vector(vector, a[2], false) : !vi_memory_readable(a[1], a[2]))
        return -EFAULT;
    if (!vi_files_is_visible(a[0]))
        return write_file(call, placed ? (int64_t)a[3] : -1, parts ? total_of(vector, a[2]) : a[2]);
    if (placed)
        return vi_call_visible(call);
    return parts ? write_parts(call, vector, a[2], 0)
                 : write_visible(call, (const void *)a[1], a[2], 0);
}

/* Has it a name of the Unix domain? */
static bool has_name(uint64_t fd)
{
    struct sockaddr_storage name = {0};
    socklen_t size = sizeof name;

    return getsockname((int)fd, (struct sockaddr *)&name, &size) == 0 &&
           name.ss_family == AF_UNIX && size > sizeof name.ss_family;
}

/* What such a call says that was made before a kill took the note of it. */
static long made_before(const struct vi_call *call, long result)
{
    if ((call->number == SYS_connect && result == -EISCONN) ||
        (call->number == SYS_bind &&
         (result == -EINVAL || (result == -EADDRINUSE && has_name(call->arguments[0])))) ||
        (call->number == SYS_epoll_ctl && (result == -EEXIST || result == -ENOENT)))
        return 0;
    return call->number == SYS_connect && result == -EALREADY ? -EINPROGRESS : result;
}

/* A file's part that the kernel had sent before a kill. */
static long skip_sent(const uint64_t *a, long sent)
{
    if (a[2] == 0)
        (void)lseek((int)a[1], sent, SEEK_CUR);
    else if (vi_memory_writable(a[2], sizeof(int64_t)))
        *(int64_t *)a[2] += sent;
    return sent;
}

/* A call that cannot wait needs no window, in which a signal would have it made again behind a handler. */
static bool waits(long number)
{
    return number != SYS_bind && number != SYS_epoll_ctl;
}

long vi_call_visible(struct vi_call *call)
{
    long result;

    if (!vi_protocol_visible(call, &result))
        return result;
    if (result != 0 && call->number == SYS_sendfile)
        result = skip_sent(call->arguments, result);
    else
        result = waits(call->number) ? vi_window_pass(call) : vi_pass(call);
    if (result == VI_INTERRUPTED || result == VI_NO_RESULT) {
        vi_protocol_interrupted();
        return result;
    }
    vi_kill_made();
    if (vi_trap_is_first())
        result = made_before(call, result);
    vi_protocol_done(call, result, NULL);
    return result;
}

/* Is it a message of nothing but bytes? */
static bool is_plain_message(const struct msghdr *header)
{
    return vi_memory_readable((uint64_t)header, sizeof *header) && header->msg_name == NULL &&
           header->msg_controllen == 0 && good_vector(header->msg_iov, header->msg_iovlen, false);
}

long vi_call_send(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const struct vi_open_file *file = vi_files_of(a[0]);
    const struct msghdr *header = (const void *)a[1];
    long result;

    if (file == NULL)
        return -EBADF;
    if (call->number == SYS_sendto && a[4] == 0 && vi_memory_readable(a[1], a[2]))
        return write_visible(call, (const void *)a[1], a[2], a[3]);
    if (call->number == SYS_sendmsg && is_plain_message(header))
        return write_parts(call, header->msg_iov, header->msg_iovlen, a[2]);
    if (!vi_protocol_is_repeating() && is_blocking(file) && call->number != SYS_shutdown) {
        result = vi_window_wait(call, (int)a[0], POLLOUT, -1, NULL);
        if (result < 0)
            return result;
    }
    return vi_call_visible(call);
}

/* ---- Between files ----------------------------------------------------------- */

static int64_t offset_from(uint64_t pointer, int fd)
{
    if (pointer != 0 && vi_memory_readable(pointer, sizeof(int64_t)))
        return *(const int64_t *)pointer;
    return lseek(fd, 0, SEEK_CUR);
}

/* sendfile, and copy_file_range, which tells of an offset in the file that it writes to, too. */
long vi_call_copy(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const bool sends = call->number == SYS_sendfile;
    const uint64_t from = a[sends ? 1 : 0], to = a[sends ? 0 : 2];
    long result;

    if (vi_files_of(from) == NULL || vi_files_of(to) == NULL)
        return -EBADF;
    vi_files_touch(from);
    vi_files_touch(to);
    if (vi_files_is_visible(to))
        return vi_call_visible(call);
    result = vi_undo_bytes((int)to, offset_from(sends ? 0 : a[3], (int)to), a[sends ? 3 : 4]);
    return result != 0 ? result : vi_pass(call);
}

/* ftruncate, and fallocate: whatever its mode does, it does it from the offset on. */
long vi_call_resize(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    long result;

    if (vi_files_of(a[0]) == NULL)
        return -EBADF;
    if (vi_files_is_visible(a[0]))
        return vi_call_visible(call);
    result = vi_undo_truncate((int)a[0], a[call->number == SYS_fallocate ? 2 : 1]);
    return result != 0 ? result : vi_pass(call);
}
