/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CRC32C (reflected polynomial 0x82f63b78, as in RFC 3720): by the instruction where
 * the processor has it (SSE 4.2), else four bits at a time from a table.
 *
 * The instruction's result comes three cycles after its operands, and one can begin in each.  So
 * three runs of long data are computed side by side and joined: the remainder of a run is moved
 * behind n more bytes by a product with x^(8n), of which the instruction takes the remainder
 * (Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", 2011).
 */
#include "base/crc32c.h"

#include <nmmintrin.h>
#include <stdbool.h>
#include <string.h>
#include <wmmintrin.h>

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

#define RUN 256                  /* bytes */
#define BEHIND_1_RUN 0xb9e02b86  /* x^(8 RUN - 33) modulo the polynomial, */
#define BEHIND_2_RUNS 0xdd7e3b0c /* x^(16 RUN - 33) */

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t moved(uint64_t crc, uint32_t by)
{
    const __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128(by), 0);

    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* Of three runs. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t by_runs(uint32_t crc,
                                                                 const unsigned char *data)
{
    uint64_t first = crc, second = 0, third = 0, word[3];

    for (size_t i = 0; i < RUN; i += sizeof word[0], data += sizeof word[0]) {
        memcpy(&word[0], data, sizeof word[0]);
        memcpy(&word[1], data + RUN, sizeof word[1]);
        memcpy(&word[2], data + 2 * (size_t)RUN, sizeof word[2]);
        first = _mm_crc32_u64(first, word[0]);
        second = _mm_crc32_u64(second, word[1]);
        third = _mm_crc32_u64(third, word[2]);
    }
    return (uint32_t)(_mm_crc32_u64(0, moved(first, BEHIND_2_RUNS) ^ moved(second, BEHIND_1_RUN)) ^
                      third);
}

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const unsigned char *data, size_t length)
{
    uint64_t wide, word;
    uint32_t half;

    for (; length >= 3 * (size_t)RUN && __builtin_cpu_supports("pclmul");
         length -= 3 * (size_t)RUN) {
        crc = by_runs(crc, data);
        data += 3 * (size_t)RUN;
    }
    wide = crc;
#pragma GCC unroll 8
    for (; length >= sizeof word; data += sizeof word, length -= sizeof word) {
        memcpy(&word, data, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    if (length >= sizeof half) {
        memcpy(&half, data, sizeof half);
        crc = _mm_crc32_u32(crc, half);
        data += sizeof half;
        length -= sizeof half;
    }
    for (; length > 0; length--)
        crc = _mm_crc32_u8(crc, *data++);
    return crc;
}

uint32_t vi_crc32c(uint32_t crc, const void *data, size_t length)
{
    return __builtin_cpu_supports("sse4.2") ? ~by_instruction(~crc, data, length)
                                            : ~by_table(~crc, data, length);
}
