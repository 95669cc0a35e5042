/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scenarios: what a program does while the explorer looks on.
 */
#ifndef CRASH_SCENARIOS_H
#define CRASH_SCENARIOS_H

#include <stdbool.h>

struct scenario {
    const char *name;
    void (*run)(void);
    const char *what;
    bool rehearse; /* run once unexplored, to learn what calls will do */
};

extern const struct scenario range_scenarios[], heap_scenarios[], file_scenarios[],
    group_scenarios[], resize_scenarios[];

#endif
