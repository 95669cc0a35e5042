/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The engines (core/operations.h) that are made of the undo log:
 *
 *   vi_engine_of         the undo log alone, in the kill-safe class and where lines are flushed
 *   vi_engine_followed   the same, and each change is handed on (core/redo.h)
 *   ranges/              automatic ranges, around the engine that the group had
 */
#ifndef VI_CORE_ENGINE_H
#define VI_CORE_ENGINE_H

#include "core/operations.h"

struct vi_group;
struct vi_persist;
struct vi_redo;

/* The engine of a group with this persistence that has the undo log alone. */
const struct vi_engine *vi_engine_of(const struct vi_persist *persist);

/* That of one with a list of vi_redo.  Others are made from its operations. */
extern const struct vi_engine vi_engine_followed;

/* From now on it is the group's, below automatic ranges if it has any; no transaction is open. */
void vi_engine_set(struct vi_group *group, const struct vi_engine *base);

/* Appends to the list of those who are told what the group's transactions change; no transaction
 * is open, and the group's engine is, or becomes, one that has such a list. */
void vi_engine_follow(struct vi_group *group, struct vi_redo *redo);

#endif
