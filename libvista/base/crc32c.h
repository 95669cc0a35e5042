/* SPDX-License-Identifier: BSD-3-Clause
 *
 * CRC32C (Castagnoli), the check of stored structures.
 */
#ifndef VI_BASE_CRC32C_H
#define VI_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to begin) over `length` bytes. */
uint32_t vi_crc32c(uint32_t crc, const void *data, size_t length);

#endif
