/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int refuse(const char *text)
{
    return vi_fail(EINVAL,
                   "\"%.120s\" is no address: such are udp:127.0.0.1:7000, udp:[::1]:7000, "
                   "unix:/path, unix:@name",
                   text);
}

static int parse_unix(struct vi_address *address, const char *path, const char *text)
{
    struct sockaddr_un *to = &address->unix_path;
    const size_t length = strlen(path);

    /* The bound address of a path is read back with its NUL. */
    if (length >= sizeof to->sun_path || length + sizeof "unix:" > VI_ADDRESS_LENGTH)
        return refuse(text);
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, length);
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (*path == '@')
        to->sun_path[0] = '\0';
    else if (length > 0)
        address->length++;
    return 0;
}

static int parse_udp(struct vi_address *address, const char *host, const char *text)
{
    const char *const colon = strrchr(host, ':');
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address->storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->storage;
    char name[INET6_ADDRSTRLEN + 2] = "", *end;
    unsigned long port;

    if (colon == NULL || (size_t)(colon - host) >= sizeof name || colon[1] < '0' || colon[1] > '9')
        return refuse(text);
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > 65535)
        return refuse(text);
    memcpy(name, host, (size_t)(colon - host));
    if (name[0] == '[' && colon[-1] == ']') {
        name[colon - host - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        address->length = sizeof *v6;
        return inet_pton(AF_INET6, name + 1, &v6->sin6_addr) == 1 ? 0 : refuse(text);
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    address->length = sizeof *v4;
    return inet_pton(AF_INET, name, &v4->sin_addr) == 1 ? 0 : refuse(text);
}

int vi_address_parse(struct vi_address *address, const char *text)
{
    memset(address, 0, sizeof *address);
    if (text == NULL)
        return vi_fail(EINVAL, "no address");
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(address, text + 5, text);
    if (strncmp(text, "udp:", 4) == 0)
        return parse_udp(address, text + 4, text);
    return refuse(text);
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
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;
    char name[INET6_ADDRSTRLEN];

    memset(text, 0, VI_ADDRESS_LENGTH);
    if (address->length == 0)
        return;
    if (address->any.sa_family == AF_UNIX)
        print_unix(address, text);
    else if (address->any.sa_family == AF_INET6)
        snprintf(text, VI_ADDRESS_LENGTH, "udp:[%s]:%u",
                 inet_ntop(AF_INET6, &v6->sin6_addr, name, sizeof name), ntohs(v6->sin6_port));
    else if (address->any.sa_family == AF_INET)
        snprintf(text, VI_ADDRESS_LENGTH, "udp:%s:%u",
                 inet_ntop(AF_INET, &v4->sin_addr, name, sizeof name), ntohs(v4->sin_port));
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
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;

    if (address->any.sa_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    return address->any.sa_family == AF_UNIX;
}
