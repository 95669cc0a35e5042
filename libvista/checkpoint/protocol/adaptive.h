/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The choice of the protocol that is cheapest for the program as it goes.
 *
 * Whatever protocol is in force, it is known what each would have done with the same events: how often it
 * would have committed, how much it would have logged, and which calls could have gone without
 * the trap.  With what a commit, an entry of the log and a trap take in this run that is what each
 * would have cost over the last windows of events.  What a commit takes depends on where it is made, so it
 * is measured of each protocol; one that was not measured is hoped to commit for a quarter of the least
 * that any has, so that it is tried where it might be the best, and for a few commits only; and what
 * was measured long ago counts for less.
 *
 * CPVS need not know of non-deterministic events, and with calls that go without the trap it does not.
 * So it can be left only at a commit.  It is while the traps that it spares cost less than its
 * commits, from time to time, to see what there is; each time that shows it to be best it is kept
 * for twice as long.
 *
 * Nothing here depends on the rest of the runtime; times are in nanoseconds.
 */
#ifndef VI_CHECKPOINT_ADAPTIVE_H
#define VI_CHECKPOINT_ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

/* The protocols among which it chooses, by their numbers. */
enum vi_plan { VI_CPVS, VI_CAND, VI_CBNDVS, VI_CAND_LOG, VI_CBNDVS_LOG, VI_PLANS };

/* What the last windows held; older ones count less and less. */
struct vi_windows {
    double quick;        /* calls that could go without the trap */
    double visible;      /* events: CPVS's commits */
    double undetermined; /* CAND's */
    double unloggable;   /* of them: CAND-LOG's */
    double between;      /* visible events behind one of the former: CBNDVS's */
    double between_log;  /* behind one of the latter: CBNDVS-LOG's */
    double logged;       /* what CBNDVS-LOG would have logged */
};

struct vi_adaptive {
    enum vi_plan plan;   /* in force */
    enum vi_plan wanted; /* the cheapest */
    struct vi_windows windows;
    bool flag, flag_log;     /* of CBNDVS and CBNDVS-LOG */
    double commit[VI_PLANS]; /* what one takes; 0: not known */
    unsigned idle[VI_PLANS]; /* for how many windows it was not in force */
    double least;            /* of all commits; 0: there was none */
    double trap, log;        /* what they take; 0: not known */
    unsigned steps;          /* of this window */
    unsigned kept, stay;     /* commits since CPVS is in force; how many it may have in vain */
    double untrapped;        /* calls that went without the trap in the last of them */
    unsigned trapped;        /* calls since one has, which could have gone without the trap */
    bool always_traps;       /* and none will */
    bool late; /* only plans that commit before visible events alone, and log nothing */
};

/* Begins with CBNDVS-LOG, or CBNDVS if it is to commit late, knowing nothing. */
void vi_adaptive_start(struct vi_adaptive *adaptive, bool late);

/* A call was trapped; `quick`: it could have gone without. */
void vi_adaptive_call(struct vi_adaptive *adaptive, bool quick);
/* So many went without since the last commit. */
void vi_adaptive_untrapped(struct vi_adaptive *adaptive, uint64_t calls);
/* A non-deterministic event, and a visible one. */
void vi_adaptive_undetermined(struct vi_adaptive *adaptive, bool loggable);
void vi_adaptive_visible(struct vi_adaptive *adaptive);
/* A commit of so many pages, each of which the program will have to ask for again. */
void vi_adaptive_committed(struct vi_adaptive *adaptive, uint64_t time, uint64_t pages);
/* What a trap, or an entry of the log, took. */
void vi_adaptive_trapped(struct vi_adaptive *adaptive, uint64_t time);
void vi_adaptive_logged(struct vi_adaptive *adaptive, uint64_t time);

/* The wanted plan is in force from now on; whether it may be is the caller's matter. */
void vi_adaptive_follow(struct vi_adaptive *adaptive);

/* What a plan would have cost over the last windows. */
double vi_adaptive_cost(const struct vi_adaptive *adaptive, enum vi_plan plan);

#endif
