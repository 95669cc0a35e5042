/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Did a computation save its work?  The theorem (Lowell, Chandra and Chen, "Exploring Failure
 * Transparency and the Limits of Generic Recovery", OSDI 2000; theorem 2 of Lowell's
 * dissertation): stop failures of a computation can be hidden if and only if, for each
 * non-deterministic event of a process p that causally precedes a visible event or a commit e, p
 * commits behind it, and that commit precedes e or is atomic with it.
 *
 * A process that goes back to a checkpoint forgets its events behind it: none of them is in its
 * past any more, and no later commit saves them.  Who depends on one of them is an orphan.
 */
#ifndef VI_SAVE_WORK_H
#define VI_SAVE_WORK_H

#include <stdbool.h>
#include <stdint.h>

/* What an event is; a receipt is one before it is anything else, and whatever is sent or seen does
 * not depend on the result of the call that does it. */
enum vi_event_bits {
    VI_EVENT_UNDETERMINED = 1, /* and its result is in no log */
    VI_EVENT_LOGGED = 2,       /* non-deterministic, but its result is */
    VI_EVENT_VISIBLE = 4,
    VI_EVENT_COMMIT = 8,
    VI_EVENT_BACK = 16, /* to a checkpoint, after a failure */
    VI_EVENT_SEND = 32,
    VI_EVENT_RECEIVE = 64
};

struct vi_event {
    uint32_t process;
    uint32_t bits;
    uint32_t checkpoint; /* COMMIT: its number; BACK: to which, 0: to the beginning */
    uint32_t round;      /* COMMIT: of several processes at once, in two phases; 0: of one */
};

struct vi_message {
    uint32_t send, receive; /* events */
};

/* Events of each process in its order; between processes they may be in any. */
struct vi_history {
    struct vi_event *events;
    uint32_t count;
    struct vi_message *messages; /* ascending by `receive` */
    uint32_t message_count;
    uint32_t processes;
};

enum vi_verdict {
    VI_WORK_SAVED,
    VI_WORK_UNSAVED,
    VI_WORK_IMPOSSIBLE, /* no computation has this history */
    VI_WORK_NO_MEMORY
};

/* Called for each event that breaks the rule, with an event that it depends on and should not. */
typedef void vi_breach_action(void *argument, uint32_t event, uint32_t cause);

/* Checks all of it.  Of an impossible one `report` is told an event that cannot be, twice.  `order`,
 * if it is not NULL, has room for all events, and gets them in an order that causes keep. */
enum vi_verdict vi_save_work(const struct vi_history *history, vi_breach_action *report,
                             void *argument, uint32_t *order);

#endif
