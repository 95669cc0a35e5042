/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"

#define UDP_DATAGRAM 1452u       /* Ethernet's 1,500 less the headers of IPv6 and UDP */
#define LOOPBACK_DATAGRAM 65488u /* 65,536 less the headers of IPv6 and UDP */
#define UNIX_DATAGRAM (128u << 10)
#define BUFFERS (4 << 20) /* asked for; the kernel gives what it allows */
#define SMALL 2048        /* bytes of a datagram that are sooner copied */
#define TICK ((int64_t)4 * 1000 * 1000)

/* ---- Addresses --------------------------------------------------------------- */

/* Of a UDP address. */
static void *host_of(struct vi_address *address)
{
    return address->any.sa_family == AF_INET6 ? (void *)&address->v6.sin6_addr
                                              : &address->v4.sin_addr;
}

static bool parse_unix(struct vi_address *address, const char *path)
{
    struct sockaddr_un *to = &address->unix_path;
    const size_t length = strlen(path);

    /* The bound address of a path is read back with its NUL. */
    if (length >= sizeof to->sun_path || length + sizeof "unix:" > VI_ADDRESS_LENGTH)
        return false;
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, length);
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (*path == '@')
        to->sun_path[0] = '\0';
    else if (length > 0)
        address->length++;
    return true;
}

static bool parse_udp(struct vi_address *address, const char *host)
{
    const char *const colon = strrchr(host, ':');
    char name[INET6_ADDRSTRLEN + 2] = "", *end;
    unsigned long port;
    bool is_v6;

    if (colon == NULL || (size_t)(colon - host) >= sizeof name || colon[1] < '0' || colon[1] > '9')
        return false;
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > 65535)
        return false;
    memcpy(name, host, (size_t)(colon - host));
    is_v6 = name[0] == '[' && colon[-1] == ']';
    if (is_v6)
        name[colon - host - 1] = '\0';
    address->any.sa_family = is_v6 ? AF_INET6 : AF_INET;
    address->v4.sin_port = htons((uint16_t)port);
    address->length = is_v6 ? sizeof address->v6 : sizeof address->v4;
    return inet_pton(address->any.sa_family, name + is_v6, host_of(address)) == 1;
}

int vi_address_parse(struct vi_address *address, const char *text)
{
    memset(address, 0, sizeof *address);
    if (text == NULL)
        return vi_fail(EINVAL, "no address");
    if ((strncmp(text, "unix:", 5) == 0 && parse_unix(address, text + 5)) ||
        (strncmp(text, "udp:", 4) == 0 && parse_udp(address, text + 4)))
        return 0;
    return vi_fail(EINVAL,
                   "\"%.120s\" is no address: such are udp:127.0.0.1:7000, udp:[::1]:7000, "
                   "unix:/path, unix:@name",
                   text);
}

static void print_unix(const struct vi_address *address, char *text)
{
    const size_t before = offsetof(struct sockaddr_un, sun_path);
    const size_t length = address->length > before ? address->length - before : 0;

    memcpy(text, "unix:", 5);
    if (length > VI_ADDRESS_LENGTH - 6)
        return;
    memcpy(text + 5, address->unix_path.sun_path, length);
    if (length > 0 && text[5] == '\0')
        text[5] = '@';
}

void vi_address_print(const struct vi_address *address, char text[VI_ADDRESS_LENGTH])
{
    const int family = address->length > 0 ? address->any.sa_family : AF_UNSPEC;
    struct vi_address copy = *address;
    char name[INET6_ADDRSTRLEN];

    memset(text, 0, VI_ADDRESS_LENGTH);
    if (family == AF_UNIX)
        print_unix(address, text);
    else if (family == AF_INET6 || family == AF_INET)
        snprintf(text, VI_ADDRESS_LENGTH, family == AF_INET6 ? "udp:[%s]:%u" : "udp:%s:%u",
                 inet_ntop(family, host_of(&copy), name, sizeof name), ntohs(address->v4.sin_port));
}

bool vi_address_equal(const struct vi_address *a, const struct vi_address *b)
{
    char left[VI_ADDRESS_LENGTH], right[VI_ADDRESS_LENGTH];

    vi_address_print(a, left);
    vi_address_print(b, right);
    return memcmp(left, right, sizeof left) == 0;
}

bool vi_address_is_local(const struct vi_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == 127;
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
    return address->any.sa_family == AF_UNIX;
}

/* ---- Sockets ------------------------------------------------------------------- */

/* By syscall(2) what would be points of cancellation: a thread that ended in one would keep the
 * endpoint's lock, or stay who receives. */

struct vi_socket *(*vi_socket_wrap)(struct vi_socket *socket);

struct kernel_socket {
    struct vi_socket socket;
    int64_t timeout;  /* SO_RCVTIMEO as it is set; 0: none */
    bool idle;        /* the last wait was in vain: the next is exact */
    bool more;        /* several came at once the last time, and so all that is there is taken; */
    unsigned singles; /* else one, and all now and then: to look for more takes time */
    struct mmsghdr out[VI_BATCH], in[VI_BATCH];
};

static uint64_t now(struct vi_socket *socket)
{
    struct timespec time;

    (void)socket;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void fill_random(struct vi_socket *socket, void *data, size_t length)
{
    (void)socket;
    /* It fails where a signal came before the system had any. */
    while (syscall(SYS_getrandom, data, length, 0) < 0)
        ;
}

/* The kernel takes a datagram in one piece in less time than a description of its pieces. */
static bool send_small(const struct vi_socket *socket, const struct vi_packet *packet)
{
    const size_t head = packet->part[0].iov_len;
    const size_t body = packet->parts > 1 ? packet->part[1].iov_len : 0;
    unsigned char datagram[SMALL];

    if (head + body > sizeof datagram)
        return false;
    memcpy(datagram, packet->part[0].iov_base, head);
    if (body > 0)
        memcpy(datagram + head, packet->part[1].iov_base, body);
    return syscall(SYS_sendto, socket->fd, datagram, head + body, MSG_DONTWAIT | MSG_NOSIGNAL,
                   &packet->address.any, packet->address.length) >= 0;
}

static int send_packets(struct vi_socket *of, struct vi_packet *packets, int count)
{
    struct kernel_socket *socket = (struct kernel_socket *)of;
    int done = 0, sent;

    packets[0].length = 0;
    if (count == 1 && send_small(of, packets))
        return 1;
    for (int i = 0; i < count; i++) {
        socket->out[i].msg_hdr = (struct msghdr){.msg_name = &packets[i].address.storage,
                                                 .msg_namelen = packets[i].address.length,
                                                 .msg_iov = packets[i].part,
                                                 .msg_iovlen = (size_t)packets[i].parts};
        packets[i].length = 0;
    }
    while (done < count) { /* what one address refuses holds up none behind it */
        sent = (int)syscall(SYS_sendmmsg, of->fd, socket->out + done, (unsigned)(count - done),
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0) /* a Unix socket's queue holds few (net.unix.max_dgram_qlen, 10) */
            packets[done].length = errno == EAGAIN || errno == ENOBUFS;
        done += sent > 0 ? sent : 1;
    }
    return count;
}

static int receive_one(const struct vi_socket *socket, struct vi_packet *packet, int flags)
{
    long length;

    packet->address.length = sizeof packet->address.storage;
    length = syscall(SYS_recvfrom, socket->fd, packet->part[0].iov_base, packet->part[0].iov_len,
                     flags | MSG_TRUNC, &packet->address.any, &packet->address.length);
    packet->length = length > 0 ? (size_t)length : 0;
    return length >= 0 ? 1 : -1;
}

/* What is there, or the first that comes. */
static int receive_many(struct kernel_socket *socket, struct vi_packet *packets, int count,
                        int flags)
{
    int got;

    for (int i = 0; i < count; i++)
        socket->in[i].msg_hdr = (struct msghdr){.msg_name = &packets[i].address.storage,
                                                .msg_namelen = sizeof packets[i].address.storage,
                                                .msg_iov = packets[i].part,
                                                .msg_iovlen = 1};
    got = (int)syscall(SYS_recvmmsg, socket->socket.fd, socket->in, (unsigned)count,
                       flags | MSG_WAITFORONE, NULL);
    for (int i = 0; i < got; i++) {
        const struct msghdr *message = &socket->in[i].msg_hdr;

        packets[i].address.length = message->msg_namelen;
        packets[i].length =
            message->msg_flags & MSG_TRUNC ? packets[i].part[0].iov_len + 1 : socket->in[i].msg_len;
    }
    socket->more = got > 1;
    return got;
}

/* The wait is that of the receiving call itself, which saves one of poll, and whose time limit
 * has the coarse ticks of the kernel's clock; after a wait in vain they are exact, by poll. */
static int set_timeout(struct kernel_socket *socket, int64_t ns)
{
    const int64_t wanted = ns < 0 ? 0 : ns < TICK ? TICK : ns;
    struct timeval value = {wanted / 1000000000, wanted % 1000000000 / 1000};

    if (wanted == socket->timeout || (wanted != 0 && socket->timeout != 0 &&
                                      wanted / 2 < socket->timeout && socket->timeout < 2 * wanted))
        return 0;
    socket->timeout = wanted;
    return setsockopt(socket->socket.fd, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
}

static int wait_exactly(struct kernel_socket *socket, int64_t ns)
{
    struct pollfd poll = {.fd = socket->socket.fd, .events = POLLIN};
    struct timespec limit = {ns / 1000000000, ns % 1000000000};
    const long found = syscall(SYS_ppoll, &poll, 1, &limit, NULL, 0);

    if (found == 0)
        errno = EAGAIN;
    return found > 0 ? 0 : -1;
}

static int receive(struct vi_socket *of, struct vi_packet *packets, int count, int64_t ns)
{
    struct kernel_socket *socket = (struct kernel_socket *)of;
    int flags = ns == 0 ? MSG_DONTWAIT : 0;
    int got;

    if (ns > 0 && (socket->idle || ns < TICK / 8)) {
        if (wait_exactly(socket, ns) != 0)
            return -1;
        flags = MSG_DONTWAIT;
    } else if (ns != 0 && set_timeout(socket, ns) != 0) {
        return -1;
    }
    if (count == 1 || (!socket->more && ++socket->singles % 16 != 0))
        got = receive_one(of, packets, flags);
    else
        got = receive_many(socket, packets, count, flags);
    if (got < 0) {
        socket->idle = socket->idle || (ns != 0 && errno == EAGAIN);
        if (errno != EINTR)
            errno = EAGAIN; /* what a socket has to say of an earlier datagram */
        return -1;
    }
    socket->idle = false;
    return got;
}

/* A datagram of one byte to itself, which no peer's is; Linux takes the address that means any for
 * this machine's. */
static void wake(struct vi_socket *socket)
{
    syscall(SYS_sendto, socket->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, &socket->bound.any,
            socket->bound.length);
}

/* The socket file of a path, if it still is this socket's. */
static const char *path_of(const struct vi_address *address)
{
    const char *path = address->unix_path.sun_path;

    return address->any.sa_family == AF_UNIX &&
                   address->length > offsetof(struct sockaddr_un, sun_path) && *path != '\0'
               ? path
               : NULL;
}

static void close_socket(struct vi_socket *socket)
{
    const char *path = path_of(&socket->bound);

    if (path != NULL)
        unlink(path);
    close(socket->fd);
    vi_release(socket, sizeof(struct kernel_socket));
}

static const struct vi_transport kernel_transport = {
    .send = send_packets,
    .receive = receive,
    .wake = wake,
    .now = now,
    .random = fill_random,
    .close = close_socket,
};

/* Options that the socket's family does not know fail, and so do those that are for the system's
 * administrator, behind what anyone may ask for. */
static void set_options(int fd)
{
    static const struct {
        int level, name, value;
    } wanted[] = {
        {SOL_SOCKET, SO_RCVBUF, BUFFERS},
        {SOL_SOCKET, SO_RCVBUFFORCE, BUFFERS},
        {SOL_SOCKET, SO_SNDBUF, BUFFERS},
        {SOL_SOCKET, SO_SNDBUFFORCE, BUFFERS},
        {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO},
        {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO},
        {IPPROTO_IPV6, IPV6_V6ONLY, 1},
    };

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        setsockopt(fd, wanted[i].level, wanted[i].name, &wanted[i].value, sizeof(int));
}

/* A socket file that no one is bound to any more is removed. */
static bool is_taken(int fd, const struct vi_address *address)
{
    const char *path = path_of(address);
    struct stat status;

    if (path == NULL || lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false;
    if (connect(fd, &address->any, address->length) == 0)
        return errno = EADDRINUSE, true;
    if (errno == ECONNREFUSED)
        unlink(path);
    return false;
}

static int open_bound(const struct vi_address *address, struct vi_address *bound)
{
    const int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[VI_ADDRESS_LENGTH];

    vi_address_print(address, text);
    *bound = (struct vi_address){.length = sizeof bound->storage};
    if (fd >= 0) {
        set_options(fd);
        if (!is_taken(fd, address) && bind(fd, &address->any, address->length) == 0 &&
            getsockname(fd, &bound->any, &bound->length) == 0)
            return fd;
    }
    vi_fail_system(errno, "%s", text);
    if (fd >= 0)
        close(fd);
    return -1;
}

struct vi_socket *vi_socket_open(const struct vi_address *address)
{
    struct kernel_socket *socket = vi_reserve(sizeof *socket);

    if (socket == NULL)
        return NULL;
    socket->socket.transport = &kernel_transport;
    socket->socket.fd = open_bound(address, &socket->socket.bound);
    if (socket->socket.fd < 0) {
        vi_release(socket, sizeof *socket);
        return NULL;
    }
    socket->socket.receive_max =
        address->any.sa_family == AF_UNIX ? UNIX_DATAGRAM : LOOPBACK_DATAGRAM;
    socket->socket.datagram_max =
        vi_address_is_local(address) ? socket->socket.receive_max : UDP_DATAGRAM;
    /* As much as the receiver's buffer holds of them. */
    socket->socket.window = socket->socket.datagram_max == UDP_DATAGRAM ? 16 : 2;
    return vi_socket_wrap != NULL ? vi_socket_wrap(&socket->socket) : &socket->socket;
}
