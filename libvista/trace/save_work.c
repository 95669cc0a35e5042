/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The theorem: see save_work.h.
 *
 * Each process carries a vector: of every process p the newest non-deterministic event in its own
 * causal past, and the newest commit of p there.  A message hands the sender's vector on.  Since a
 * commit saves all that its process did before it, the newest of each is enough: at a visible event the
 * one must lie before the other for every p, and at a commit for every p but itself.  Events that
 * p forgot are kept apart, since no commit of p saves them.
 */
#include "trace/save_work.h"

#include <stdlib.h>
#include <string.h>

/* Of one process in the past of another; numbers of events plus 1, 0: there is none. */
struct past {
    uint32_t undetermined;
    uint32_t forgotten;
    uint32_t commit;
};

struct checker {
    const struct vi_history *history;
    vi_breach_action *report;
    void *argument;
    bool *forgotten;      /* events */
    uint32_t *next;       /* the event of the same process behind this one, or count */
    uint32_t *before;     /* of a BACK: the commit that it goes back to, plus 1, or 0 */
    uint32_t *cursor;     /* of each process: its next event, or count */
    uint32_t *messages;   /* of each event: the first message that it receives */
    struct past **stored; /* of each commit and send: the vector there */
    struct past *now;     /* of each process: its vector */
    struct past *joint;   /* of a round */
    uint32_t *members;    /* of it: their commits */
    uint32_t *order;
    uint32_t ordered;
    bool broken, failed;
};

static struct past *vector_of(const struct checker *c, uint32_t process)
{
    return c->now + (size_t)process * c->history->processes;
}

static uint32_t newer(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void merge(const struct checker *c, struct past *into, const struct past *from)
{
    for (uint32_t p = 0; p < c->history->processes; p++) {
        into[p].undetermined = newer(into[p].undetermined, from[p].undetermined);
        into[p].forgotten = newer(into[p].forgotten, from[p].forgotten);
        into[p].commit = newer(into[p].commit, from[p].commit);
    }
}

static void store(struct checker *c, uint32_t event)
{
    const size_t size = c->history->processes * sizeof(struct past);

    c->stored[event] = malloc(size + 1); /* of none, too */
    if (c->stored[event] == NULL)
        c->failed = true;
    else
        memcpy(c->stored[event], vector_of(c, c->history->events[event].process), size);
}

static bool is_member(const struct vi_history *h, uint32_t process, const struct vi_event *commit,
                      const uint32_t *cursor)
{
    if (process == commit->process)
        return true;
    return commit->round != 0 && cursor[process] < h->count &&
           h->events[cursor[process]].bits & VI_EVENT_COMMIT &&
           h->events[cursor[process]].round == commit->round;
}

/* A visible event or a commit: is all that it depends on saved? */
static void check(struct checker *c, uint32_t event, const struct past *past)
{
    const struct vi_event *e = &c->history->events[event];

    for (uint32_t p = 0; p < c->history->processes; p++) {
        const bool atomic = e->bits & VI_EVENT_COMMIT && is_member(c->history, p, e, c->cursor);
        uint32_t cause = past[p].forgotten;

        if (!atomic && past[p].undetermined > past[p].commit)
            cause = past[p].undetermined;
        if (cause == 0)
            continue;
        c->broken = true;
        c->report(c->argument, event, cause - 1);
    }
}

/* ---- What is known of each process beforehand -------------------------------- */

/* Goes back to the checkpoint `number`, which has to be the last: the event of its commit plus 1, or
 * 0; false: there is none. */
static bool find_commit(const struct checker *c, const uint32_t *previous, uint32_t event,
                        uint32_t *commit)
{
    const struct vi_event *events = c->history->events;
    uint32_t at = previous[event];

    while (at != 0 && !(events[at - 1].bits & VI_EVENT_COMMIT))
        at = previous[at - 1];
    *commit = at;
    return at == 0 ? events[event].checkpoint == 0
                   : events[event].checkpoint == events[at - 1].checkpoint;
}

static void forget(struct checker *c, const uint32_t *previous, uint32_t event)
{
    for (uint32_t at = previous[event]; at != c->before[event]; at = previous[at - 1])
        if (c->history->events[at - 1].bits & VI_EVENT_UNDETERMINED)
            c->forgotten[at - 1] = true;
}

/* Links the events of each process, and finds the events that it forgot; gives an event that cannot
 * be, or count. */
static uint32_t link_events(struct checker *c, uint32_t *previous)
{
    const struct vi_history *h = c->history;
    uint32_t message = 0;

    for (uint32_t p = 0; p < h->processes; p++)
        c->cursor[p] = h->count;
    for (uint32_t i = h->count; i-- > 0;) {
        c->next[i] = c->cursor[h->events[i].process];
        c->cursor[h->events[i].process] = i;
    }
    for (uint32_t i = 0; i < h->count; i++)
        if (c->next[i] < h->count)
            previous[c->next[i]] = i + 1;
    for (uint32_t i = 0; i < h->count; i++) {
        while (message < h->message_count && h->messages[message].receive < i)
            message++;
        c->messages[i] = message;
        if (!(h->events[i].bits & VI_EVENT_BACK))
            continue;
        if (!find_commit(c, previous, i, &c->before[i]))
            return i;
        forget(c, previous, i);
    }
    return h->count;
}

/* ---- One event after the other ------------------------------------------------ */

static bool has_come(const struct checker *c, uint32_t event)
{
    const struct vi_history *h = c->history;

    for (uint32_t m = c->messages[event]; m < h->message_count && h->messages[m].receive == event;
         m++)
        if (c->stored[h->messages[m].send] == NULL)
            return false;
    return true;
}

/* All processes of a round stand before its commit. */
static bool is_complete(const struct checker *c, uint32_t round)
{
    const struct vi_history *h = c->history;

    for (uint32_t i = 0; i < h->count; i++)
        if (h->events[i].bits & VI_EVENT_COMMIT && h->events[i].round == round &&
            c->cursor[h->events[i].process] != i)
            return false;
    return true;
}

static void move_on(struct checker *c, uint32_t event)
{
    if (c->order != NULL)
        c->order[c->ordered++] = event;
    c->cursor[c->history->events[event].process] = c->next[event];
}

static void finish_commit(struct checker *c, uint32_t event, const struct past *joint)
{
    struct past *own = vector_of(c, c->history->events[event].process);

    memmove(own, joint, c->history->processes * sizeof *own);
    store(c, event);
    move_on(c, event);
}

/* The commits of a round happen as one. */
static void commit_round(struct checker *c, uint32_t first)
{
    const struct vi_history *h = c->history;
    const struct vi_event *e = &h->events[first];
    uint32_t *member = c->members, count = 0;

    memset(c->joint, 0, h->processes * sizeof *c->joint);
    for (uint32_t p = 0; p < h->processes; p++)
        if (is_member(h, p, e, c->cursor))
            member[count++] = c->cursor[p];
    for (uint32_t i = 0; i < count; i++)
        merge(c, c->joint, vector_of(c, h->events[member[i]].process));
    for (uint32_t i = 0; i < count; i++)
        check(c, member[i], c->joint);
    for (uint32_t i = 0; i < count; i++)
        c->joint[h->events[member[i]].process].commit = member[i] + 1;
    for (uint32_t i = 0; i < count; i++)
        finish_commit(c, member[i], c->joint);
}

static void go_back(struct checker *c, uint32_t event)
{
    struct past *own = vector_of(c, c->history->events[event].process);
    const size_t size = c->history->processes * sizeof *own;

    if (c->before[event] == 0)
        memset(own, 0, size);
    else if (c->stored[c->before[event] - 1] != NULL)
        memcpy(own, c->stored[c->before[event] - 1], size);
}

static void do_event(struct checker *c, uint32_t event)
{
    const struct vi_history *h = c->history;
    const struct vi_event *e = &h->events[event];
    struct past *own = vector_of(c, e->process);

    for (uint32_t m = c->messages[event]; m < h->message_count && h->messages[m].receive == event;
         m++)
        merge(c, own, c->stored[h->messages[m].send]);
    if (e->bits & VI_EVENT_BACK)
        go_back(c, event);
    if (e->bits & VI_EVENT_VISIBLE)
        check(c, event, own);
    if (e->bits & VI_EVENT_SEND)
        store(c, event);
    if (e->bits & VI_EVENT_UNDETERMINED && c->forgotten[event])
        own[e->process].forgotten = event + 1;
    else if (e->bits & VI_EVENT_UNDETERMINED)
        own[e->process].undetermined = event + 1;
    move_on(c, event);
}

/* Does the next event of the process; false: there is none, or it has to wait for another's. */
static bool advance(struct checker *c, uint32_t process)
{
    const struct vi_history *h = c->history;
    const uint32_t event = c->cursor[process];

    if (event == h->count || !has_come(c, event))
        return false;
    if (!(h->events[event].bits & VI_EVENT_COMMIT)) {
        do_event(c, event);
        return true;
    }
    if (h->events[event].round != 0 && !is_complete(c, h->events[event].round))
        return false;
    commit_round(c, event);
    return true;
}

static enum vi_verdict run(struct checker *c)
{
    bool moved = true;

    while (moved && !c->failed) {
        moved = false;
        for (uint32_t p = 0; p < c->history->processes; p++)
            moved |= advance(c, p);
    }
    if (c->failed)
        return VI_WORK_NO_MEMORY;
    for (uint32_t p = 0; p < c->history->processes; p++)
        if (c->cursor[p] < c->history->count) {
            c->report(c->argument, c->cursor[p], c->cursor[p]);
            return VI_WORK_IMPOSSIBLE;
        }
    return c->broken ? VI_WORK_UNSAVED : VI_WORK_SAVED;
}

/* ---- Memory ------------------------------------------------------------------- */

static bool make_room(struct checker *c, uint32_t **previous)
{
    const size_t count = c->history->count + 1, processes = c->history->processes + 1;

    c->forgotten = calloc(count, sizeof *c->forgotten);
    c->next = calloc(count, sizeof *c->next);
    c->before = calloc(count, sizeof *c->before);
    c->messages = calloc(count, sizeof *c->messages);
    c->stored = calloc(count, sizeof *c->stored);
    c->cursor = calloc(processes, sizeof *c->cursor);
    c->now = calloc(processes * processes, sizeof *c->now);
    c->joint = calloc(processes, sizeof *c->joint);
    c->members = calloc(processes, sizeof *c->members);
    *previous = calloc(count, sizeof **previous);
    return c->forgotten != NULL && c->next != NULL && c->before != NULL && c->messages != NULL &&
           c->stored != NULL && c->cursor != NULL && c->now != NULL && c->joint != NULL &&
           c->members != NULL && *previous != NULL;
}

static void free_all(struct checker *c, uint32_t *previous)
{
    for (uint32_t i = 0; c->stored != NULL && i < c->history->count; i++)
        free(c->stored[i]);
    free(c->forgotten);
    free(c->next);
    free(c->before);
    free(c->messages);
    free(c->stored);
    free(c->cursor);
    free(c->now);
    free(c->joint);
    free(c->members);
    free(previous);
}

enum vi_verdict vi_save_work(const struct vi_history *history, vi_breach_action *report,
                             void *argument, uint32_t *order)
{
    struct checker c = {.history = history, .report = report, .argument = argument, .order = order};
    enum vi_verdict verdict = VI_WORK_NO_MEMORY;
    uint32_t *previous = NULL, wrong;

    if (make_room(&c, &previous)) {
        wrong = link_events(&c, previous);
        if (wrong < history->count) {
            report(argument, wrong, wrong);
            verdict = VI_WORK_IMPOSSIBLE;
        } else {
            verdict = run(&c);
        }
    }
    free_all(&c, previous);
    return verdict;
}
