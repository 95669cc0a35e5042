/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/wire.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"

/* ---- Keys ---------------------------------------------------------------- */

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

static bool load(void)
{
    void *const library = dlopen("libsodium.so.23", RTLD_NOW | RTLD_LOCAL);
    init_fn *init;

    if (library == NULL)
        return false;
    init = (init_fn *)dlsym(library, "sodium_init");
    seal = (seal_fn *)dlsym(library, "crypto_aead_xchacha20poly1305_ietf_encrypt_detached");
    unseal = (open_fn *)dlsym(library, "crypto_aead_xchacha20poly1305_ietf_decrypt_detached");
    return init != NULL && init() >= 0 && seal != NULL && unseal != NULL;
}

int vi_wire_load_keys(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool loaded;
    bool is_there;

    pthread_mutex_lock(&lock);
    is_there = loaded = loaded || load();
    pthread_mutex_unlock(&lock);
    return is_there ? 0
                    : vi_fail(ENOTSUP, "a key needs libsodium (libsodium.so.23), which cannot be "
                                       "loaded");
}

/* ---- Datagrams ------------------------------------------------------------ */

void vi_wire_seal(struct vi_packet *packet, struct vi_envelope *envelope, const void *payload,
                  size_t length, const unsigned char *key, struct vi_socket *socket,
                  unsigned char *scratch)
{
    struct vi_header *header = &envelope->header;

    header->magic = VI_WIRE_MAGIC;
    header->crc = 0;
    memset(header->tag, 0, sizeof header->tag);
    packet->part[0] = (struct iovec){envelope, sizeof *header};
    if (key != NULL) {
        header->flags |= VI_WIRE_KEYED;
        socket->transport->random(socket, envelope->nonce, sizeof envelope->nonce);
        seal(scratch, header->tag, NULL, payload, length, (const byte *)header, sizeof *header,
             NULL, envelope->nonce, key);
        packet->part[0].iov_len = sizeof *envelope;
        payload = scratch;
    } else {
        header->crc = vi_crc32c(vi_crc32c(0, header, sizeof *header), payload, length);
    }
    packet->part[1] = (struct iovec){(void *)(uintptr_t)payload, length};
    packet->parts = length > 0 ? 2 : 1;
}

static enum vi_wire_fault open_keyed(unsigned char *datagram, size_t received,
                                     const unsigned char *key, struct vi_header *header,
                                     unsigned char **payload, size_t *length)
{
    struct vi_header head = *header;

    if (received < VI_WIRE_KEYED_HEADER)
        return VI_WIRE_NONSENSE;
    *payload = datagram + VI_WIRE_KEYED_HEADER;
    *length = received - VI_WIRE_KEYED_HEADER;
    memset(head.tag, 0, sizeof head.tag);
    return unseal(*payload, NULL, *payload, *length, header->tag, (const byte *)&head, sizeof head,
                  datagram + sizeof *header, key) == 0
               ? VI_WIRE_SOUND
               : VI_WIRE_FORGED;
}

enum vi_wire_fault vi_wire_open(const struct vi_packet *packet, const unsigned char *key,
                                struct vi_header *header, unsigned char **payload, size_t *length)
{
    unsigned char *const datagram = packet->part[0].iov_base;
    uint32_t crc;

    if (packet->length < sizeof *header || packet->length > packet->part[0].iov_len)
        return VI_WIRE_NONSENSE;
    memcpy(header, datagram, sizeof *header);
    if (header->magic != VI_WIRE_MAGIC)
        return (header->magic & 0xffffff) == VI_WIRE_NAME ? VI_WIRE_OTHER_VERSION
                                                          : VI_WIRE_NONSENSE;
    if ((key != NULL) != ((header->flags & VI_WIRE_KEYED) != 0))
        return VI_WIRE_FORGED;
    if (key != NULL)
        return open_keyed(datagram, packet->length, key, header, payload, length);
    *payload = datagram + sizeof *header;
    *length = packet->length - sizeof *header;
    crc = header->crc;
    header->crc = 0;
    return vi_crc32c(vi_crc32c(0, header, sizeof *header), *payload, *length) == crc
               ? VI_WIRE_SOUND
               : VI_WIRE_FORGED;
}
