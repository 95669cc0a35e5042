/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CRC32C (reflected polynomial 0x82f63b78, as in RFC 3720): by the instruction where
 * the processor has it (SSE 4.2), else four bits at a time from a table.
 */
#include "base/crc32c.h"

#include <nmmintrin.h>
#include <stdbool.h>
#include <string.h>

/* Entry i is the remainder of the four bits i. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t by_table(uint32_t crc, const unsigned char *data, size_t length)
{
    for (; length > 0; length--) {
        crc ^= *data++;
        crc = nibbles[crc & 15] ^ crc >> 4;
        crc = nibbles[crc & 15] ^ crc >> 4;
    }
    return crc;
}

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const unsigned char *data, size_t length)
{
    uint64_t wide = crc, word;

#pragma GCC unroll 8
    for (; length >= sizeof word; data += sizeof word, length -= sizeof word) {
        memcpy(&word, data, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; length > 0; length--)
        crc = _mm_crc32_u8(crc, *data++);
    return crc;
}

uint32_t vi_crc32c(uint32_t crc, const void *data, size_t length)
{
    return has_instruction() ? ~by_instruction(~crc, data, length) : ~by_table(~crc, data, length);
}
