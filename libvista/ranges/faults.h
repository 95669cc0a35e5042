/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Faults: from the signal to the segment whose page was stored to, or on to
 * whoever had the signal before.
 */
#ifndef VI_RANGES_FAULTS_H
#define VI_RANGES_FAULTS_H

#include <signal.h>

#include "ranges/ranges_state.h"

/* What mends a store to a protected page: all signals are blocked.  False: it is not to be. */
typedef bool vi_mend_fn(struct vi_ranges *ranges, struct vi_note store);

/* What a segment needs whose faults are to be found, and mended by `mend`, which is always the
 * same; one that is given back is used again, never freed.  NULL with ENOMEM. */
struct vi_ranges *vi_faults_take(struct vi_segment *segment, vi_mend_fn *mend);
void vi_faults_give(struct vi_ranges *ranges);

/* Installs the handlers of SIGSEGV and SIGBUS, which stay.  -1 with errno. */
int vi_faults_install(void);

/* With all signals blocked: was the fault a store to a protected page, and is it
 * mended?  If it was and is not, vista_errormsg() says why. */
bool vi_faults_mend(const siginfo_t *info, const void *ucontext);

#endif
