/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Addresses: as text, which is what is stored, and as the kernel has them.
 */
#ifndef VI_GRAMS_ADDRESS_H
#define VI_GRAMS_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "grams/stored.h"

struct vi_address {
    union {
        struct sockaddr any;
        struct sockaddr_un unix_path;
        struct sockaddr_storage storage;
    };
    socklen_t length;
};

/* Reads "udp:127.0.0.1:7000", "udp:[::1]:7000", "unix:/path", "unix:@name", "unix:".
 * EINVAL. */
int vi_address_parse(struct vi_address *address, const char *text);

/* The same the other way, at most VI_ADDRESS_LENGTH bytes with the NUL; "" if it is none. */
void vi_address_print(const struct vi_address *address, char text[VI_ADDRESS_LENGTH]);

bool vi_address_equal(const struct vi_address *a, const struct vi_address *b);

/* Of this machine alone. */
bool vi_address_is_local(const struct vi_address *address);

#endif
