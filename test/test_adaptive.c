/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The adaptive protocol: beside the best of the others on programs that are drawn, in a model of
 * vista-run in which each thing takes a known time.
 */
#include <stdlib.h>
#include <string.h>

#include "checkpoint/protocol/adaptive.h"
#include "support.h"

/* What a program does, one letter each: `t` a call whose result is non-deterministic and logged, and
 * that could go without the trap, `q` a deterministic one of the kind, `r` one that is trapped and logged,
 * `u` one that cannot be logged, `v` a visible event. */
struct program {
    const char *events;
    double base, trap, log;  /* ns of an event, and of what it may take beside */
    double commit[VI_PLANS]; /* which depends on where it is made */
};

struct run {
    const struct program *program;
    struct vi_adaptive adaptive;
    enum vi_plan plan;
    bool chooses, unsaved;
    double time;
    unsigned untrapped, choices;
};

static void follow(struct run *r, bool saved)
{
    if (!r->chooses || r->adaptive.wanted == r->plan || (r->plan == VI_CPVS && !saved))
        return;
    vi_adaptive_follow(&r->adaptive);
    ck_assert_uint_eq(r->adaptive.plan, r->adaptive.wanted);
    r->plan = r->adaptive.plan;
    r->choices++;
}

static void commit(struct run *r)
{
    r->time += r->program->commit[r->plan];
    r->unsaved = false;
    if (r->chooses) {
        vi_adaptive_untrapped(&r->adaptive, r->untrapped);
        vi_adaptive_committed(&r->adaptive, (uint64_t)r->program->commit[r->plan], 0);
    }
    r->untrapped = 0;
    follow(r, true);
}

static void undetermined(struct run *r, bool loggable)
{
    const bool logs = r->plan == VI_CAND_LOG || r->plan == VI_CBNDVS_LOG;

    if (r->chooses)
        vi_adaptive_undetermined(&r->adaptive, loggable);
    if (logs && loggable && !r->unsaved) {
        r->time += r->program->log;
        return;
    }
    r->unsaved = true;
    if (r->plan == VI_CAND || r->plan == VI_CAND_LOG)
        commit(r);
}

static void make(struct run *r, char event)
{
    const bool quick = event == 't' || event == 'q';

    r->time += r->program->base;
    if (quick && r->plan == VI_CPVS) {
        r->untrapped++; /* that is all that is known */
        return;
    }
    r->time += r->program->trap;
    if (r->chooses)
        vi_adaptive_call(&r->adaptive, quick);
    follow(r, false);
    if (event == 't' || event == 'r' || event == 'u')
        undetermined(r, event != 'u');
    if (event != 'v')
        return;
    if (r->chooses)
        vi_adaptive_visible(&r->adaptive);
    if (r->plan == VI_CPVS || r->unsaved)
        commit(r);
}

static void begin(struct run *r, const struct program *program)
{
    r->program = program;
    vi_adaptive_start(&r->adaptive, false);
    if (!r->chooses)
        return;
    r->plan = r->adaptive.plan;
    vi_adaptive_trapped(&r->adaptive, (uint64_t)program->trap);
    vi_adaptive_logged(&r->adaptive, (uint64_t)program->log);
}

static void go_on(struct run *r, const char *events, unsigned count)
{
    const size_t length = strlen(events);

    for (unsigned i = 0; i < count; i++)
        make(r, events[i % length]);
}

/* Of the best of the five. */
static double best_time(const struct program *p, unsigned count)
{
    double best = 0;

    for (enum vi_plan plan = 0; plan < VI_PLANS; plan++) {
        struct run r = {.plan = plan};

        begin(&r, p);
        go_on(&r, p->events, count);
        if (best == 0 || r.time < best)
            best = r.time;
    }
    return best;
}

#define EVENTS 60000
#define LONGEST 120

static void draw(struct test_random *random, struct program *p, char *events)
{
    static const char kinds[] = "tqruv";
    uint64_t often[5], all = 0;
    const unsigned length = 1 + (unsigned)test_below(random, LONGEST - 1);

    for (int i = 0; i < 5; i++)
        all += often[i] = test_below(random, 2) ? test_below(random, 30) : 0;
    for (unsigned i = 0; i < length; i++) {
        uint64_t at = test_below(random, all + 1);
        int kind = 0;

        while (kind < 4 && at >= often[kind])
            at -= often[kind++];
        events[i] = kinds[kind];
    }
    events[length] = '\0';
    *p = (struct program){events,
                          200 + (double)test_below(random, 3000),
                          1800,
                          100 + (double)test_below(random, 300),
                          {0}};
    p->commit[0] = 15000 + (double)test_below(random, 200000);
    p->commit[VI_CAND] = p->commit[VI_CPVS] * (0.3 + (double)test_below(random, 1700) / 1000);
    p->commit[VI_CBNDVS] = p->commit[VI_CBNDVS_LOG] = p->commit[VI_CPVS];
    p->commit[VI_CAND_LOG] = p->commit[VI_CAND];
}

/* Told to commit late it is never where events are logged, or committed behind at once. */
START_TEST(late_choice_is_of_two)
{
    struct test_random random = test_random_new(2);
    char events[LONGEST + 1];
    unsigned chosen[VI_PLANS] = {0};
    struct program p;

    /* So many, also where tests are short: few of them may all want the same one. */
    for (unsigned i = 0; i < 40; i++) {
        struct run r = {.chooses = true};

        draw(&random, &p, events);
        begin(&r, &p);
        vi_adaptive_start(&r.adaptive, true);
        r.plan = r.adaptive.plan;
        for (unsigned part = 0; part < 100; part++) {
            chosen[r.plan]++;
            go_on(&r, events, EVENTS / 100);
        }
    }
    ck_assert_uint_gt(chosen[VI_CPVS], 0);
    ck_assert_uint_gt(chosen[VI_CBNDVS], 0);
    ck_assert_uint_eq(chosen[VI_CAND] + chosen[VI_CAND_LOG] + chosen[VI_CBNDVS_LOG], 0);
}
END_TEST

START_TEST(no_protocol_is_much_better)
{
    struct test_random random = test_random_new(1);
    char events[LONGEST + 1];
    struct program p;
    double worst = 0;

    for (unsigned i = 0; i < test_times(200); i++) {
        struct run r = {.chooses = true};
        double ratio;

        draw(&random, &p, events);
        begin(&r, &p);
        go_on(&r, events, EVENTS);
        ratio = r.time / best_time(&p, EVENTS);
        if (ratio > worst)
            worst = ratio;
        ck_assert_msg(ratio <= 1.1, "%g times the best: %s, %g %g %g; %g %g %g %g %g; at last %d",
                      ratio, events, p.base, p.trap, p.log, p.commit[0], p.commit[1], p.commit[2],
                      p.commit[3], p.commit[4], (int)r.plan);
    }
    printf("at most %.3f times the best protocol's time\n", worst);
}
END_TEST

static const struct {
    const char *name, *events;
    unsigned plan;
} kinds[] = {
    {"time is asked for and little is said", "ttttttttttttttttttttttttttttttttttttttttv", VI_CPVS},
    {"what is said depends on nothing", "vvvvvvvv", VI_CBNDVS_LOG},
    {"input is logged", "rvrvvrrv", VI_CBNDVS_LOG},
    {"little of it is seen, and little cannot be logged", "ruvvvvvv", VI_CBNDVS},
};

START_TEST(program_has_the_protocol_that_suits_it)
{
    struct program p = {kinds[_i].events, 500, 2000, 12000, {0}};
    struct run r = {.chooses = true};

    if (kinds[_i].plan !=
        VI_CBNDVS) /* where entries take no time at all they may as well be made */
        p.log = 200;
    for (enum vi_plan plan = 0; plan < VI_PLANS; plan++)
        p.commit[plan] = 20000;
    begin(&r, &p);
    go_on(&r, p.events, EVENTS);
    ck_assert_msg(r.plan == kinds[_i].plan, "%s: %d", kinds[_i].name, (int)r.plan);
}
END_TEST

/* A program that is one thing, and then another. */
START_TEST(another_protocol_is_taken_when_the_program_changes)
{
    struct program p = {"", 500, 2000, 200, {20000, 20000, 20000, 20000, 20000}};
    struct run r = {.chooses = true}, all[VI_PLANS];

    begin(&r, &p);
    for (enum vi_plan plan = 0; plan < VI_PLANS; plan++) {
        all[plan] = (struct run){.plan = plan};
        begin(&all[plan], &p);
    }
    for (unsigned day = 0; day < 3; day++)
        for (int kind = 0; kind < 3; kind++) {
            go_on(&r, kinds[kind].events, EVENTS);
            for (enum vi_plan plan = 0; plan < VI_PLANS; plan++)
                go_on(&all[plan], kinds[kind].events, EVENTS);
            ck_assert_uint_eq(r.plan, kinds[kind].plan);
        }
    for (enum vi_plan plan = 0; plan < VI_PLANS; plan++)
        ck_assert(r.time < all[plan].time);
    ck_assert_uint_ge(r.choices, 5);
}
END_TEST

/* Where calls have to be trapped whatever the protocol, those that could do without are no reason. */
START_TEST(calls_that_are_trapped_all_the_same_do_not_count)
{
    struct vi_adaptive a;

    vi_adaptive_start(&a, false);
    for (unsigned i = 0; i < 2000; i++) {
        vi_adaptive_call(&a, true);
        vi_adaptive_undetermined(&a, true);
        if (i % 50 == 0) {
            vi_adaptive_visible(&a);
            if (a.plan == VI_CPVS)
                vi_adaptive_committed(&a, 20000, 0);
        }
        if (a.wanted != a.plan)
            vi_adaptive_follow(&a);
    }
    ck_assert(a.always_traps);
    ck_assert_uint_eq(a.plan, VI_CBNDVS_LOG);
    ck_assert(vi_adaptive_cost(&a, VI_CBNDVS_LOG) < vi_adaptive_cost(&a, VI_CPVS));
}
END_TEST

/* Where only some of them are, they are few beside those that are not. */
START_TEST(calls_that_go_without_the_trap_are_believed)
{
    struct vi_adaptive a;

    vi_adaptive_start(&a, false);
    a.wanted = VI_CPVS;
    vi_adaptive_follow(&a);
    for (unsigned i = 0; i < 1000; i++) {
        vi_adaptive_call(&a, true);
        vi_adaptive_untrapped(&a, 100);
        vi_adaptive_committed(&a, 20000, 0);
    }
    ck_assert(!a.always_traps);
    ck_assert_uint_eq(a.plan, VI_CPVS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("adaptive");
    TCase *tests = test_case(suite, "adaptive", 20);

    tcase_add_test(tests, no_protocol_is_much_better);
    tcase_add_test(tests, late_choice_is_of_two);
    tcase_add_loop_test(tests, program_has_the_protocol_that_suits_it, 0,
                        sizeof kinds / sizeof *kinds);
    tcase_add_test(tests, another_protocol_is_taken_when_the_program_changes);
    tcase_add_test(tests, calls_that_are_trapped_all_the_same_do_not_count);
    tcase_add_test(tests, calls_that_go_without_the_trap_are_believed);
    return test_run(suite);
}
