/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams_mail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct mail {
    struct vi_socket socket;
    struct vi_socket *inner;
    int which;
};

struct gram_mail gram_mail = {.clock = (uint64_t)1 << 40, .to = -1};

size_t gram_mail_gather(const struct vi_packet *packet, void *to, size_t size)
{
    size_t length = 0;

    for (int p = 0; p < packet->parts; p++) {
        if (length + packet->part[p].iov_len <= size)
            memcpy((char *)to + length, packet->part[p].iov_base, packet->part[p].iov_len);
        length += packet->part[p].iov_len;
    }
    return length;
}

static int send_mail(struct vi_socket *socket, struct vi_packet *packets, int count)
{
    for (int i = 0; i < count; i++)
        gram_mail.sent(((struct mail *)socket)->which, &packets[i]);
    return count;
}

static int receive_mail(struct vi_socket *socket, struct vi_packet *packets, int count, int64_t ns)
{
    (void)count, (void)ns;
    if (gram_mail.to != ((struct mail *)socket)->which) {
        errno = EAGAIN;
        return -1;
    }
    packets[0].address = gram_mail.from;
    packets[0].length = gram_mail.length;
    memcpy(packets[0].part[0].iov_base, gram_mail.bytes, gram_mail.length);
    gram_mail.to = -1;
    return 1;
}

static void wake_mail(struct vi_socket *socket)
{
    (void)socket;
}

static uint64_t now_mail(struct vi_socket *socket)
{
    (void)socket;
    return gram_mail.clock;
}

static void random_mail(struct vi_socket *socket, void *data, size_t length)
{
    memset(data, 0x5a + ((struct mail *)socket)->which, length);
}

static void close_mail(struct vi_socket *socket)
{
    struct mail *mail = (struct mail *)socket;

    mail->inner->transport->close(mail->inner);
    free(mail);
}

static const struct vi_transport mail_transport = {send_mail, receive_mail, wake_mail,
                                                   now_mail,  random_mail,  close_mail};

static struct vi_socket *wrap(struct vi_socket *inner)
{
    struct mail *mail = calloc(1, sizeof *mail);

    mail->socket = *inner;
    mail->socket.transport = &mail_transport;
    if (gram_mail.datagram_max != 0)
        mail->socket.datagram_max = gram_mail.datagram_max;
    mail->inner = inner;
    mail->which = gram_mail.opening;
    return &mail->socket;
}

void gram_mail_use(void)
{
    vi_socket_wrap = wrap;
}
