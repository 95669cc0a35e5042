/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/wire.h"

#include <string.h>

#include "base/crc32c.h"

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
        vi_keys_seal(key, envelope->nonce, header, sizeof *header, payload, length, scratch,
                     header->tag);
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
    return vi_keys_open(key, datagram + sizeof *header, &head, sizeof head, *payload, *length,
                        *payload, header->tag)
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
