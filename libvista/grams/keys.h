/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Keys: XChaCha20-Poly1305 of libsodium, which is loaded when the first key is set.
 */
#ifndef VI_GRAMS_KEYS_H
#define VI_GRAMS_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#define VI_KEY_LENGTH 32
#define VI_NONCE_LENGTH 24

/* ENOTSUP: libsodium is not there. */
int vi_keys_load(void);

/* `text` may be `plain`; `head` is authenticated, too. */
void vi_keys_seal(const unsigned char *key, const unsigned char *nonce, const void *head,
                  size_t head_length, const void *plain, size_t length, void *text,
                  unsigned char *tag);

/* The same back; false: it was not sealed with this key. */
bool vi_keys_open(const unsigned char *key, const unsigned char *nonce, const void *head,
                  size_t head_length, const void *text, size_t length, void *plain,
                  const unsigned char *tag);

#endif
