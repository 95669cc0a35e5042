/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the tests of vista-run share.
 */
#ifndef VISTA_TEST_RUN_FIXTURE_H
#define VISTA_TEST_RUN_FIXTURE_H

#include <stdlib.h>

#include "support.h"

/* Can it run a program at all here?  Says so if not. */
static inline bool vista_run_works(const char *vista_run)
{
    char command[4096];

    snprintf(command, sizeof command,
             "d=$(mktemp -d) && %s -f $d/probe.dc /bin/true 2>/dev/null; s=$?; rm -r $d; exit $s",
             vista_run);
    if (system(command) == 0)
        return true;
    test_skip("vista-run", "this kernel lacks what it needs");
    return false;
}

/* A folder of the test's own is the working directory from now on. */
static inline void enter_case(void)
{
    char folder[] = "case-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(folder));
    OK(chdir(folder));
}

#define CONTENTS 65536 /* of a file, with a zero behind it */

/* The beginning of a file, none if there is no file; good until the next call. */
static inline const char *contents(const char *name)
{
    static char text[CONTENTS];
    FILE *file = fopen(name, "re");
    size_t size = 0;

    if (file != NULL) {
        size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[size] = '\0';
    return text;
}

#endif
