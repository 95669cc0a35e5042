/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Space-time diagrams of traces, in the manner of figure 4.1 of Lowell's dissertation: a line for
 * each process, its events along it, arrows for messages.
 */
#ifndef VI_DIAGRAM_H
#define VI_DIAGRAM_H

#include <stdio.h>

#include "trace/trace_reader.h"

struct vi_diagram {
    const struct vi_traces *traces;
    const uint32_t *order; /* of all events; events that mean nothing are left out */
    uint32_t first, most;  /* of what is left: the first that is drawn, and how many */
    const bool *bad;       /* events that break the rule */
};

/* For a terminal of so many columns: time runs down.  Both: false where there is no memory. */
bool vi_diagram_text(const struct vi_diagram *diagram, int columns, FILE *to);
/* As SVG: time runs to the right. */
bool vi_diagram_svg(const struct vi_diagram *diagram, FILE *to);

#endif
