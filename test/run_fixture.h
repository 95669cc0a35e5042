/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the tests of vista-run share.
 */
#ifndef VISTA_TEST_RUN_FIXTURE_H
#define VISTA_TEST_RUN_FIXTURE_H

#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>

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

/* ---- Folders --------------------------------------------------------------------- */

static char case_folder[4096];

/* A folder of the test's own is the working directory from now on. */
static inline void enter_case(void)
{
    char folder[] = "case-XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(folder));
    OK(chdir(folder));
    ck_assert_ptr_nonnull(getcwd(case_folder, sizeof case_folder));
}

/* What a test that fails leaves behind stays, to be looked at. */
static inline void leave_case(void)
{
    char command[sizeof case_folder + 32];

    if (chdir(case_folder) != 0 || chdir("..") != 0)
        return; /* a test that is another user's now may not */
    snprintf(command, sizeof command, "rm -rf '%s' 2>/dev/null", case_folder);
    (void)!system(command);
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

static inline void holds(const char *name, const char *text)
{
    ck_assert_msg(strstr(contents(name), text) != NULL, "%s does not hold \"%s\" but:\n%s", name,
                  text, contents(name));
}

/* ---- Commands --------------------------------------------------------------------- */

#ifdef SHELL_VARIABLES /* assignments, each with a semicolon behind it */
/* Runs a command of the shell; its exit status, -1 if it was killed. */
__attribute__((format(printf, 1, 2))) static inline int shell(const char *format, ...)
{
    char command[8192] = SHELL_VARIABLES;
    const size_t length = strlen(command);
    va_list arguments;
    int status;

    va_start(arguments, format);
    vsnprintf(command + length, sizeof command - length, format, arguments);
    va_end(arguments);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#endif

#endif
