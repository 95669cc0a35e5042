/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/keys.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "base/error.h"

/* libsodium's detached functions, as <sodium/crypto_aead_xchacha20poly1305.h> declares them. */
typedef unsigned long long number;
typedef unsigned char byte;
typedef int seal_fn(byte *text, byte *tag, number *tag_length, const byte *plain, number length,
                    const byte *head, number head_length, const byte *secret_nonce,
                    const byte *nonce, const byte *key);
typedef int open_fn(byte *plain, byte *secret_nonce, const byte *text, number length,
                    const byte *tag, const byte *head, number head_length, const byte *nonce,
                    const byte *key);
typedef int init_fn(void);

static seal_fn *seal;
static open_fn *unseal;
static bool loaded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void load(void)
{
    void *const library = dlopen("libsodium.so.23", RTLD_NOW | RTLD_LOCAL);
    init_fn *init;

    if (library == NULL)
        return;
    init = (init_fn *)dlsym(library, "sodium_init");
    seal = (seal_fn *)dlsym(library, "crypto_aead_xchacha20poly1305_ietf_encrypt_detached");
    unseal = (open_fn *)dlsym(library, "crypto_aead_xchacha20poly1305_ietf_decrypt_detached");
    loaded = init != NULL && init() >= 0 && seal != NULL && unseal != NULL;
    if (!loaded)
        dlclose(library);
}

int vi_keys_load(void)
{
    bool there;

    pthread_mutex_lock(&lock);
    if (!loaded)
        load();
    there = loaded;
    pthread_mutex_unlock(&lock);
    return there ? 0
                 : vi_fail(ENOTSUP, "a key needs libsodium (libsodium.so.23), which cannot be "
                                    "loaded");
}

void vi_keys_seal(const unsigned char *key, const unsigned char *nonce, const void *head,
                  size_t head_length, const void *plain, size_t length, void *text,
                  unsigned char *tag)
{
    seal(text, tag, NULL, plain, length, head, head_length, NULL, nonce, key);
}

bool vi_keys_open(const unsigned char *key, const unsigned char *nonce, const void *head,
                  size_t head_length, const void *text, size_t length, void *plain,
                  const unsigned char *tag)
{
    return unseal(plain, NULL, text, length, tag, head, head_length, nonce, key) == 0;
}
