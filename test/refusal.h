/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calls of the library that may fail because the system refuses it something (refuse_calls.h), and
 * are then made again: for Check programs that define expect_refusal().
 */
#ifndef VISTA_TEST_REFUSAL_H
#define VISTA_TEST_REFUSAL_H

#include "refuse_calls.h"
#include "support.h"

/* A call has failed: sees that it was refused something, and that it says so. */
static void expect_refusal(const char *call, int error);

/* Its part that is the same everywhere; `known`: an error that is not usual. */
static inline void expect_message(const char *what, const char *call, int error, bool known)
{
    static const int errors[] = {ENOMEM, ENOSPC, EIO, EFBIG, EMFILE, ENOLCK};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        known |= error == errors[i];
    ck_assert_msg(known && fault_hits() != 0 && *vista_errormsg() != '\0',
                  "%s: %s gave errno %d (%s), \"%s\", after %u refusals", what, call, error,
                  strerror(error), vista_errormsg(), fault_hits());
}

#define TRY(call) \
    do { \
        if ((call) != 0) { \
            expect_refusal(#call, errno); \
            OK(call); \
        } \
    } while (0)

#define TRY_FOR(variable, call) \
    do { \
        variable = (call); \
        if (variable == NULL) { \
            expect_refusal(#call, errno); \
            variable = (call); \
            SOME(variable); \
        } \
    } while (0)

#endif
