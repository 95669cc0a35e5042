/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sequences of calls against a model in plain memory (calls.h), with system calls that
 * are refused in their midst: on one segment or several, alone or with a shared log, with
 * declared, automatic or checked ranges, from one thread or two by turns.
 *
 * Input: what segment, how mapped | operations.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/watch.h"
#include "calls.h"

#define OPERATIONS_MAX 300u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static bool talk; /* FUZZ_TALK is set: says what an input does */

/* ---- Faults ------------------------------------------------------------ */

void inject(struct input *input, unsigned also)
{
    const unsigned kinds = ((unsigned)take(input, 2) & CALL_ALL) | also,
                   after = (unsigned)take(input, 1) % 24;
    const unsigned count = (unsigned)take(input, 1);

    fault_set(kinds, after, count < 128 ? 1 : count < 192 ? 3 : 1000, count % 8 == 0 ? EINTR : 0);
}

/* ---- A second thread --------------------------------------------------- */

/* It runs operations while the first one waits: so an input does the same each time. */
static struct {
    pthread_t thread;
    bool runs, on; /* `on`: operations are its */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct input *input; /* NULL: it waits */
    bool ends;
} second = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void operation(struct input *input);

static void *run_second(void *none)
{
    (void)none;
    pthread_mutex_lock(&second.lock);
    while (!second.ends) {
        if (second.input != NULL) {
            operation(second.input);
            second.input = NULL;
            pthread_cond_broadcast(&second.changed);
        } else {
            pthread_cond_wait(&second.changed, &second.lock);
        }
    }
    pthread_mutex_unlock(&second.lock);
    return NULL;
}

static void by_second(struct input *input)
{
    pthread_mutex_lock(&second.lock);
    second.input = input;
    pthread_cond_broadcast(&second.changed);
    while (second.input != NULL)
        pthread_cond_wait(&second.changed, &second.lock);
    pthread_mutex_unlock(&second.lock);
}

static void start_second(void)
{
    fault_clear(); /* the sanitizer needs pthread_setspecific */
    second.ends = false;
    HOLDS(pthread_create(&second.thread, NULL, run_second, NULL) == 0, "pthread_create");
    second.runs = true;
}

/* A thread's exit leaves its transactions open. */
static void end_second(void)
{
    if (!second.runs)
        return;
    fault_clear();
    pthread_mutex_lock(&second.lock);
    second.ends = true;
    pthread_cond_broadcast(&second.changed);
    pthread_mutex_unlock(&second.lock);
    pthread_join(second.thread, NULL);
    second.runs = false;
}

/* ---- Operations -------------------------------------------------------- */

/* That many from `which` on: the first that is mapped. */
static struct seg *mapped_from(unsigned which)
{
    for (unsigned i = 0; i < SEGMENTS; i++)
        if (segs[(which + i) % SEGMENTS].handle != NULL)
            return &segs[(which + i) % SEGMENTS];
    return NULL;
}

/* In a transaction, which is begun if need be.  Beyond 31: newer than the first inputs. */
static void in_transaction(struct input *input, unsigned what, int act, unsigned which)
{
    struct seg *s = mapped_from(which);

    if (acts[act].tx == NULL && !begin(act, s, what == 31 ? VISTA_NO_RESTORE : 0))
        return;
    switch (what) {
    case 9:
    case 10:
    case 11:
        finish(act, true, what == 9 ? VISTA_NO_FLUSH : 0);
        break;
    case 12:
    case 13:
        finish(act, false, 0);
        break;
    case 14:
    case 15:
    case 16:
    case 17:
        allocate(input, act, NULL, false);
        break;
    case 18:
        allocate(input, act, NULL, true);
        break;
    case 19:
        reallocate(input, act);
        break;
    case 20:
    case 21:
    case 22:
        release(input, act);
        break;
    case 23:
        release_wrong(input, act, s);
        break;
    case 24:
    case 25:
        set_ranges(input, act, which, which / SEGMENTS % 2 == 1);
        break;
    case 44:
    case 45:
    case 46:
    case 47:
        store_undeclared(input, act, s);
        break;
    case 48:
        open_pages(input, act, s);
        break;
    case 49:
    case 50:
    case 51:
    case 52:
        allocate(input, act, s, false);
        break;
    default:
        set_range(input, act, s);
    }
}

static void operation(struct input *input)
{
    const unsigned byte = (unsigned)take(input, 1);
    const unsigned what = byte < 224 ? byte % 32 : byte - 224 + 32;
    const unsigned whose = (unsigned)take(input, 1), which = whose / ACTS;
    const int act = (int)(whose % ACTS);

    if (mapped_from(0) == NULL)
        map_plainly(&segs[segs[which % SEGMENTS].made ? which % SEGMENTS : 0], 0);
    if (talk)
        printf("operation %u of act %d, segment %u, %s thread\n", what, act,
               index_of(mapped_from(which)), second.on ? "second" : "first");
    switch (what) {
    case 0:
    case 1:
        map_again(input, mapped_from(which), what == 1);
        break;
    case 2:
    case 3:
        root(input, mapped_from(which));
        break;
    case 4:
        if (act >= 3)
            resize(input, mapped_from(which));
        else
            inquire(mapped_from(which));
        break;
    case 5:
        compare("at rest");
        break;
    case 6:
    case 7:
        inject(input, 0);
        break;
    case 58:
        call_wrongly(input, act, mapped_from(which));
        break;
    case 57:
        inject(input, CALL_PROTECT);
        break;
    case 8:
        fault_clear();
        break;
    case 32:
    case 33:
    case 34:
    case 35:
    case 36:
    case 37:
        map_some(input, &segs[which % SEGMENTS]);
        break;
    case 38:
    case 39:
    case 40:
        if (act != 0)
            finish_all(mapped_from(which)->log);
        leave(mapped_from(which));
        break;
    case 41:
        leave_killed();
        break;
    case 42:
        walk(mapped_from(which));
        break;
    case 43:
        map_twice(mapped_from(which));
        break;
    case 53:
    case 54:
        second.on = !second.on;
        break;
    case 56:
        store_outside(input, mapped_from(which));
        break;
    case 55:
        fault_clear(); /* as above */
        second.on = false;
        second.ends = true;
        break;
    default:
        in_transaction(input, what, act, which);
    }
}

/* By either thread. */
static void operate(struct input *input)
{
    if (second.on && !second.runs)
        start_second();
    if (second.on)
        by_second(input);
    else
        operation(input);
    if (second.ends) {
        end_second();
        second.ends = false;
    }
}

/* ---- One input --------------------------------------------------------- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    file_open();
    talk = getenv("FUZZ_TALK") != NULL;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const struct image empty;
    struct input input = {bytes, length};

    fault_clear();
    for (unsigned i = FILES; i-- > 0;) {
        file_use(i);
        image_put(&empty);
    }
    model_reset();
    random_restart();
    boot_id_refused = false;
    take_signals();
    vi_watched = length % 8 == 7;
    create_first(&input);
    for (unsigned i = 0; i < OPERATIONS_MAX && input.left > 0; i++)
        operate(&input);
    fault_clear();
    second.on = false;
    end_second();
    if (length % 2 == 0) { /* killed, and mapped again, in this order or in that */
        leave_killed();
        for (unsigned i = 0; i < SEGMENTS; i++)
            if (segs[(length / 2 + i) % SEGMENTS].made)
                map_plainly(&segs[(length / 2 + i) % SEGMENTS], 0);
    }
    finish_all(NULL);
    while (mapped_from(0) != NULL)
        leave(mapped_from((unsigned)length / 2 % SEGMENTS));
    return 0;
}
