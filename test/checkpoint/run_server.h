/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the test server and its clients say to each other.
 */
#ifndef VISTA_TEST_RUN_SERVER_H
#define VISTA_TEST_RUN_SERVER_H

#include <stddef.h>
#include <stdint.h>

struct server_request {
    uint16_t length;
    uint16_t copies;
};

struct server_answer {
    uint32_t number; /* of the connection's requests, from 1 */
    uint32_t hash;   /* of all their bytes so far */
    uint32_t length; /* of the bytes that follow */
};

/* FNV-1a, from 0. */
static inline uint32_t server_hash(uint32_t value, const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        value = (value ^ bytes[i]) * 0x1000193u;
    return value;
}

#endif
