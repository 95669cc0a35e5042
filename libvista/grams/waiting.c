/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/waiting.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "grams/incoming.h"
#include "grams/tasks.h"
#include "grams/timers.h"

#define ROUNDS 64 /* of a pump, so that it ends however much comes */
#define MILLISECOND ((uint64_t)1000 * 1000)

/* ---- One step ------------------------------------------------------------ */

void vi_wait_begin(vista_endpoint *e, struct vi_wait *wait, int ms)
{
    e->users++;
    wait->wakes = e->wakes;
    wait->looked = false;
    wait->deadline = ms == 0  ? 0
                     : ms < 0 ? UINT64_MAX
                              : vi_endpoint_now(e) + (uint64_t)ms * MILLISECOND;
}

void vi_wait_end(vista_endpoint *e)
{
    e->users--;
    if (e->waiting > 0) /* one of them is to lead */
        pthread_cond_broadcast(&e->changed);
}

/* As the leader: how many datagrams it was, or -1 with EAGAIN or EINTR. */
static int take_in(vista_endpoint *e, uint64_t until)
{
    uint64_t limit, now;
    int64_t ns;
    int got, error;

    vi_endpoint_flush(e); /* what finds no room is due soon */
    limit = until < e->next_due ? until : e->next_due;
    now = limit != 0 && limit != UINT64_MAX ? vi_endpoint_now(e) : 0;
    ns = limit == UINT64_MAX ? -1 : limit > now ? (int64_t)(limit - now) : 0;
    e->leader = true;
    e->leader_until = limit;
    vi_endpoint_unlock(e);
    got = e->socket->transport->receive(e->socket, e->in, VI_BATCH, ns);
    error = errno;
    vi_endpoint_lock(e);
    e->leader = false;
    for (int i = 0; i < got; i++)
        vi_incoming_packet(e, &e->in[i]);
    if (e->next_due != UINT64_MAX)
        vi_timers_run(e, vi_endpoint_now(e));
    vi_tasks_run(e);
    if (e->waiting > 0)
        pthread_cond_broadcast(&e->changed);
    errno = error;
    return got;
}

static void follow(vista_endpoint *e, uint64_t until)
{
    const struct timespec time = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
    int cancel;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    e->waiting++;
    vi_endpoint_flush(e);
    if (until == UINT64_MAX)
        pthread_cond_wait(&e->changed, &e->lock);
    else
        pthread_cond_timedwait(&e->changed, &e->lock, &time);
    e->waiting--;
    pthread_setcancelstate(cancel, NULL);
}

int vi_wait_once(vista_endpoint *e, struct vi_wait *wait, uint64_t until)
{
    const uint64_t limit = until < wait->deadline ? until : wait->deadline;

    if (e->wakes != wait->wakes)
        return vi_fail(ECANCELED, "%s: woken by vista_wake", e->address);
    if (wait->looked && wait->deadline == 0)
        return vi_fail(EAGAIN, "%s: nothing is there yet", e->address);
    if (wait->looked && wait->deadline != UINT64_MAX && vi_endpoint_now(e) >= wait->deadline)
        return vi_fail(ETIMEDOUT, "%s: nothing has come in time", e->address);
    if (e->leader && limit != 0)
        follow(e, limit);
    else if (!e->leader && take_in(e, limit) < 0 && errno == EINTR)
        return vi_fail(EINTR, "%s: interrupted by a signal", e->address);
    wait->looked = true;
    return 0;
}

/* ---- Pumping ------------------------------------------------------------- */

int vista_pump(vista_endpoint *endpoint)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    e->users++;
    for (int i = 0; i < ROUNDS && !e->leader; i++)
        if (take_in(e, 0) <= 0)
            break;
    e->users--;
    vi_endpoint_unlock(e);
    return 0;
}

int vista_wake(vista_endpoint *endpoint)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    e->wakes++;
    pthread_cond_broadcast(&e->changed);
    e->socket->transport->wake(e->socket);
    vi_endpoint_unlock(e);
    return 0;
}

/* ---- The descriptor -------------------------------------------------------- */

static int add_to(int poll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return fd < 0 ? -1 : epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

void vi_wait_close(vista_endpoint *e)
{
    if (e->poll_fd >= 0)
        close(e->poll_fd);
    if (e->timer_fd >= 0)
        close(e->timer_fd);
    e->poll_fd = e->timer_fd = -1;
}

static int open_fd(vista_endpoint *e)
{
    e->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    e->timer_set = UINT64_MAX;
    if (e->poll_fd >= 0 && add_to(e->poll_fd, e->timer_fd) == 0 &&
        add_to(e->poll_fd, e->socket->fd) == 0)
        return 0;
    vi_fail_system(errno, "%s: a descriptor to wait on", e->address);
    vi_wait_close(e);
    return -1;
}

/* The timer has run out long since where something is there. */
void vi_wait_tell(vista_endpoint *e)
{
    const bool ready =
        !TAILQ_EMPTY(&e->requests) || !TAILQ_EMPTY(&e->responses) || vi_tasks_are_due(e);
    const uint64_t due = ready || e->next_due == 0 ? 1 : e->next_due; /* 0 would disarm it */
    struct itimerspec timer = {0};

    if (due == e->timer_set)
        return;
    if (due != UINT64_MAX) {
        timer.it_value.tv_sec = (time_t)(due / 1000000000u);
        timer.it_value.tv_nsec = (long)(due % 1000000000u);
    }
    if (timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL) == 0)
        e->timer_set = due;
}

int vista_endpoint_fd(vista_endpoint *endpoint)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);
    int fd;

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    fd = e->poll_fd >= 0 || open_fd(e) == 0 ? e->poll_fd : -1;
    vi_endpoint_unlock(e);
    return fd;
}

/* ---- vista_select ------------------------------------------------------------ */

static bool is_room(const vista_endpoint *e, uint32_t id)
{
    for (uint32_t i = 0; i < e->peers_used; i++)
        if (e->peer[i].row != NULL && (id == 0 || e->peer[i].row->id == id) &&
            vi_endpoint_free_lane(&e->peer[i]) != NULL)
            return true;
    return false;
}

static uint32_t first_broken(const vista_endpoint *e)
{
    for (uint32_t i = 0; e->broken > 0 && i < e->peers_used; i++)
        if (e->peer[i].row != NULL && e->peer[i].owner == NULL &&
            e->peer[i].reason != VI_BROKEN_NOT)
            return e->peer[i].row->id;
    return 0;
}

/* With the lock. */
static bool look(struct vista_ready *of)
{
    const vista_endpoint *e = of->endpoint;
    const struct vi_lane *request = TAILQ_FIRST(&e->requests);
    const struct vi_lane *response = TAILQ_FIRST(&e->responses);

    of->request_length = request != NULL ? request->staged->length : 0;
    of->response_length = response != NULL ? response->staged->length : 0;
    of->broken = of->wanted & VISTA_BROKEN ? first_broken(e) : 0;
    of->ready = of->wanted &
                ((request != NULL ? VISTA_REQUEST : 0) | (response != NULL ? VISTA_RESPONSE : 0));
    if (of->broken != 0)
        of->ready |= VISTA_BROKEN;
    if (of->wanted & VISTA_ROOM && is_room(e, of->peer))
        of->ready |= VISTA_ROOM;
    return of->ready != 0;
}

/* What stays as it is, a broken session or room, must not keep the rest from coming in. */
static int select_one(struct vista_ready *ready, int ms)
{
    vista_endpoint *e = ready->endpoint;
    struct vi_wait wait;
    int result = 0;

    vi_endpoint_lock(e);
    vi_wait_begin(e, &wait, ms);
    if (look(ready) && !(ready->ready & (VISTA_REQUEST | VISTA_RESPONSE)) && !e->leader)
        take_in(e, 0);
    while (!look(ready) && result == 0)
        result = vi_wait_once(e, &wait, UINT64_MAX);
    vi_wait_end(e);
    vi_endpoint_unlock(e);
    if (result != 0 && errno != EAGAIN && errno != ETIMEDOUT)
        return -1;
    return ready->ready != 0;
}

static uint64_t wakes_of(vista_endpoint *e)
{
    uint64_t wakes;

    vi_endpoint_lock(e);
    wakes = e->wakes;
    vi_endpoint_unlock(e);
    return wakes;
}

/* How many are ready now; -1: one was woken. */
static int look_at_all(struct vista_ready *ready, int count, const struct vi_wait *wait)
{
    int found = 0;

    for (int i = 0; i < count; i++) {
        if (select_one(&ready[i], 0) < 0)
            return -1;
        found += ready[i].ready != 0;
        if (wakes_of(ready[i].endpoint) != wait[i].wakes)
            return vi_fail(ECANCELED, "%s: woken by vista_wake", ready[i].endpoint->address);
    }
    return found;
}

static int wait_for_all(struct vista_ready *ready, int count, int ms, const struct vi_wait *wait)
{
    vista_endpoint *first = ready[0].endpoint;
    const uint64_t end = vi_endpoint_now(first) + (uint64_t)(ms > 0 ? ms : 0) * MILLISECOND;
    struct pollfd fds[count];

    for (int i = 0; i < count; i++) {
        fds[i] = (struct pollfd){.fd = vista_endpoint_fd(ready[i].endpoint), .events = POLLIN};
        if (fds[i].fd < 0)
            return -1;
    }
    for (;;) {
        const int found = look_at_all(ready, count, wait);
        const uint64_t now = vi_endpoint_now(first);

        if (found != 0 || ms == 0 || (ms > 0 && now >= end))
            return found;
        if (poll(fds, (nfds_t)count, ms < 0 ? -1 : (int)((end - now) / MILLISECOND + 1)) < 0)
            return vi_fail_system(errno, "vista_select");
    }
}

/* None of them is closed meanwhile, nor is the thread cancelled, which would leave them in use. */
static int select_many(struct vista_ready *ready, int count, int ms)
{
    struct vi_wait wait[count];
    int result, cancel;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    for (int i = 0; i < count; i++) {
        vi_endpoint_lock(ready[i].endpoint);
        vi_wait_begin(ready[i].endpoint, &wait[i], ms);
        vi_endpoint_unlock(ready[i].endpoint);
    }
    result = wait_for_all(ready, count, ms, wait);
    for (int i = 0; i < count; i++) {
        vi_endpoint_lock(ready[i].endpoint);
        vi_wait_end(ready[i].endpoint);
        vi_endpoint_unlock(ready[i].endpoint);
    }
    pthread_setcancelstate(cancel, NULL);
    return result;
}

int vista_select(struct vista_ready *ready, int count, int ms)
{
    if (ready == NULL || count < 1 || count > 1024)
        return vi_fail(EINVAL, "vista_select: %d endpoints at %p", count, (const void *)ready);
    for (int i = 0; i < count; i++)
        if (vi_endpoint_check(ready[i].endpoint) == NULL)
            return -1;
    return count == 1 ? select_one(ready, ms) : select_many(ready, count, ms);
}
