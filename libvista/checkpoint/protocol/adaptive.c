/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The choice of a protocol: see adaptive.h.
 */
#include "checkpoint/protocol/adaptive.h"

#include "checkpoint/engine/layout.h"

#define WINDOW 512u      /* steps */
#define COMMIT_STEPS 15u /* of a commit, so that one tried in vain has few */
#define KEEPS 0.75       /* of older windows when a window is over */
#define BETTER 0.95      /* what costs less than so much of the present plan's is chosen */
#define IDLE 64u         /* windows, after which what a commit took is believed so much less */
#define FADES 0.8
#define TRIAL 16u /* commits */
#define LEAST_STAY TRIAL
#define MOST_STAY 1024u
#define MOST_TRAPPED 256u /* each place is trapped once, and then goes without */
#define HOPE 0.25         /* of the cheapest commit: what one may take of which nothing is known */
#define TRAP 2000         /* until they are measured */
#define COMMIT 20000
#define FAULTS 3 /* of a page that is protected, in one trap */

static enum vi_plan first_plan(bool late)
{
    return late ? VI_CBNDVS : VI_CBNDVS_LOG;
}

void vi_adaptive_start(struct vi_adaptive *a, bool late)
{
    *a = (struct vi_adaptive){
        .plan = first_plan(late), .wanted = first_plan(late), .stay = LEAST_STAY, .late = late};
}

/* ---- Costs ---------------------------------------------------------------------- */

static double trap_of(const struct vi_adaptive *a)
{
    return a->trap != 0 ? a->trap : TRAP;
}

static double commit_of(const struct vi_adaptive *a, enum vi_plan plan)
{
    if (a->commit[plan] != 0)
        return a->commit[plan];
    return a->least != 0 ? a->least * HOPE : COMMIT;
}

/* A log that is full costs a commit. */
static double log_of(const struct vi_adaptive *a, enum vi_plan plan)
{
    return a->log + commit_of(a, plan) / VI_LOG_ENTRIES;
}

double vi_adaptive_cost(const struct vi_adaptive *a, enum vi_plan plan)
{
    const struct vi_windows *w = &a->windows;
    const double traps = a->always_traps ? 0 : w->quick * trap_of(a);
    const double loggable = w->undetermined - w->unloggable;

    switch (plan) {
    case VI_CPVS:
        return w->visible * commit_of(a, plan);
    case VI_CAND:
        return w->undetermined * commit_of(a, plan) + traps;
    case VI_CBNDVS:
        return w->between * commit_of(a, plan) + traps;
    case VI_CAND_LOG:
        return w->unloggable * commit_of(a, plan) + loggable * log_of(a, plan) + traps;
    default:
        return w->between_log * commit_of(a, plan) + w->logged * log_of(a, plan) + traps;
    }
}

/* The machine may have been taken away meanwhile: what is far more than usual counts as somewhat more. */
static void learn(double *usual, double time)
{
    if (*usual == 0)
        *usual = time;
    else if (time < *usual)
        *usual += (time - *usual) / 4;
    else
        *usual += ((time < 4 * *usual ? time : 4 * *usual) - *usual) / 8;
}

/* ---- Windows --------------------------------------------------------------------- */

static void age(struct vi_adaptive *a)
{
    double *counts = (double *)&a->windows;

    for (unsigned i = 0; i < sizeof a->windows / sizeof *counts; i++)
        counts[i] *= KEEPS;
    for (enum vi_plan plan = 0; plan < VI_PLANS; plan++) {
        a->idle[plan] = plan == a->plan ? 0 : a->idle[plan] + 1;
        if (a->idle[plan] % IDLE == IDLE - 1)
            a->commit[plan] *= FADES;
    }
}

static bool is_allowed(const struct vi_adaptive *a, enum vi_plan plan)
{
    return !a->late || plan == VI_CPVS || plan == VI_CBNDVS;
}

static enum vi_plan cheapest(const struct vi_adaptive *a)
{
    enum vi_plan best = a->plan;

    for (enum vi_plan plan = 0; plan < VI_PLANS; plan++)
        if (is_allowed(a, plan) && vi_adaptive_cost(a, plan) < vi_adaptive_cost(a, best))
            best = plan;
    return best;
}

static void choose(struct vi_adaptive *a)
{
    const enum vi_plan best = cheapest(a);

    if (vi_adaptive_cost(a, best) < BETTER * vi_adaptive_cost(a, a->plan))
        a->wanted = best;
    else
        a->stay = LEAST_STAY; /* it is not for CPVS that the others are looked at */
}

/* Under CPVS not all is seen: what was seen before holds. */
static void step(struct vi_adaptive *a, unsigned steps)
{
    a->steps += steps;
    if (a->plan == VI_CPVS || a->steps < WINDOW)
        return;
    choose(a);
    age(a);
    a->steps = 0;
}

static void leave_cpvs(struct vi_adaptive *a)
{
    a->windows = (struct vi_windows){0};
    a->flag = a->flag_log = false;
    a->wanted = first_plan(a->late);
    if (a->stay < MOST_STAY)
        a->stay *= 2;
}

/* Calls that went without the trap would cost all others a trap each: while that is more than the commits
 * cost, no other is better. */
static void question_cpvs(struct vi_adaptive *a)
{
    const bool pays = a->untrapped * trap_of(a) >= TRIAL * a->commit[VI_CPVS];

    a->untrapped = 0;
    if (pays)
        a->kept = 0;
    else if (a->kept >= a->stay)
        leave_cpvs(a);
}

void vi_adaptive_follow(struct vi_adaptive *a)
{
    a->plan = a->wanted;
    a->steps = a->kept = a->trapped = 0;
    a->untrapped = 0;
}

/* ---- Events ---------------------------------------------------------------------- */

void vi_adaptive_call(struct vi_adaptive *a, bool quick)
{
    a->windows.quick += quick && a->plan != VI_CPVS;
    if (a->plan == VI_CPVS && quick && ++a->trapped == MOST_TRAPPED) {
        a->always_traps = true;
        leave_cpvs(a);
    }
    step(a, 1);
}

void vi_adaptive_untrapped(struct vi_adaptive *a, uint64_t calls)
{
    a->untrapped += (double)calls;
    if (calls != 0)
        a->trapped = 0;
}

void vi_adaptive_undetermined(struct vi_adaptive *a, bool loggable)
{
    if (a->plan == VI_CPVS)
        return;
    a->windows.undetermined++;
    a->windows.unloggable += !loggable;
    a->flag = true;
    a->flag_log |= !loggable;
    a->windows.logged += !a->flag_log; /* behind what is not logged nothing is */
}

void vi_adaptive_visible(struct vi_adaptive *a)
{
    if (a->plan == VI_CPVS)
        return;
    a->windows.visible++;
    a->windows.between += a->flag;
    a->windows.between_log += a->flag_log;
    a->flag = a->flag_log = false;
}

void vi_adaptive_committed(struct vi_adaptive *a, uint64_t time, uint64_t pages)
{
    const double all = (double)time + (double)pages * trap_of(a) / FAULTS;

    learn(&a->commit[a->plan], all);
    if (a->least == 0 || all < a->least)
        a->least = all;
    if (a->plan == VI_CPVS && ++a->kept % TRIAL == 0)
        question_cpvs(a);
    step(a, COMMIT_STEPS);
}

void vi_adaptive_trapped(struct vi_adaptive *a, uint64_t time)
{
    if (a->trap == 0 || (double)time < a->trap) /* the program does nothing then */
        a->trap = (double)time;
}

void vi_adaptive_logged(struct vi_adaptive *a, uint64_t time)
{
    learn(&a->log, (double)time);
}
