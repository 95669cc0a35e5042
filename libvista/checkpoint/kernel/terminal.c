/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The terminal: see terminal.h.
 */
#include "checkpoint/kernel/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/files/zone.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/trap/signals.h"

/* A descriptor of the guest that is a terminal, or -1. */
static int find_terminal(void)
{
    for (uint64_t fd = 0; fd < VI_DESCRIPTORS; fd++) {
        const struct vi_open_file *file = vi_files_of(fd);

        if (file != NULL && file->terminal)
            return (int)fd;
    }
    return -1;
}

void vi_terminal_start(void)
{
    struct vi_control *c = vi_engine.control;
    const int fd = find_terminal();

    c->terminal = fd >= 0 && tcgetattr(fd, &c->termios) == 0;
    if (c->terminal)
        (void)ioctl(fd, TIOCGWINSZ, &c->window);
}

bool vi_terminal_is_gone(void)
{
    const int fd = find_terminal();
    struct termios settings;

    return vi_engine.control->terminal && fd >= 0 && tcgetattr(fd, &settings) != 0 && errno == EIO;
}

void vi_terminal_recover(bool has_children)
{
    struct vi_control *c = vi_engine.control;
    const int fd = find_terminal();
    struct winsize_copy now;
    sigset_t set, old;

    if (!c->terminal || fd < 0)
        return;
    sigemptyset(&set); /* else a run in the background would stop here */
    sigaddset(&set, SIGTTOU);
    sigprocmask(SIG_BLOCK, &set, &old);
    if (!has_children) /* else it may be set as one of them needs it */
        (void)tcsetattr(fd, TCSANOW, &c->termios);
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (ioctl(fd, TIOCGWINSZ, &now) == 0 && memcmp(&now, &c->window, sizeof now) != 0) {
        c->window = now;
        vi_signals_raise(SIGWINCH);
    }
}

static bool sets(uint64_t request)
{
    return request == TCSETS || request == TCSETSW || request == TCSETSF || request == 0x5412 ||
           (request >= 0x402c542b && request <= 0x402c542d);
}

static long set_terminal(struct vi_call *call)
{
    struct vi_control *c = vi_engine.control;
    const long result = vi_pass(call);

    if (result >= 0) {
        struct termios now;

        if (tcgetattr((int)call->arguments[0], &now) == 0) {
            c->termios = now;
            c->terminal = 1;
        }
    }
    return result;
}

long vi_call_ioctl(struct vi_call *call)
{
    const uint64_t *a = call->arguments, request = a[1] & 0xffffffff;
    struct vi_open_file *file = vi_files_of(a[0]);
    long result;

    if (file == NULL)
        return -EBADF;
    if (sets(request))
        return set_terminal(call);
    if (request == TIOCSTI || request == TIOCSWINSZ)
        return vi_call_visible(call);
    result = vi_pass(call);
    if (result < 0)
        return result;
    if (request == FIONREAD && vi_zone_left(vi_files_group(a[0])) != 0)
        *(int *)a[2] += (int)vi_zone_left(vi_files_group(a[0]));
    if (request == FIONBIO)
        file->flags = (file->flags & ~(uint32_t)O_NONBLOCK) | (*(int *)a[2] ? O_NONBLOCK : 0);
    if (request == FIOCLEX || request == FIONCLEX)
        vi_engine.control->descriptors[a[0]].close_on_exec = request == FIOCLEX;
    if (request == TIOCGWINSZ)
        memcpy(&vi_engine.control->window, (const void *)a[2], sizeof vi_engine.control->window);
    return result;
}
