/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls that are about no segment: contracts are in vista.h.
 */
#include <errno.h>

#include "base/error.h"
#include "core/process.h"
#include "core/segment.h"

int vista_init(const struct vista_options *options)
{
    static const struct vista_options defaults; /* VISTA_CLASS_PROBE */
    struct vi_process *process = vi_process();

    if (process == NULL)
        return -1;
    options = options != NULL ? options : &defaults;
    if (options->force_class > VISTA_CLASS_DISK || options->flags & ~VISTA_HOST_FAULTS ||
        memcmp(options->reserved, defaults.reserved, sizeof options->reserved) != 0)
        return vi_fail(EINVAL,
                       "vista_init: unknown class %u, unknown flags 0x%x, or a reserved field is "
                       "not zero",
                       options->force_class, options->flags);
    pthread_mutex_lock(&process->lock);
    process->force_class = (enum vista_class)options->force_class;
    process->host_faults = options->flags & VISTA_HOST_FAULTS;
    pthread_mutex_unlock(&process->lock);
    return 0;
}

const char *vista_errormsg(void)
{
    return vi_error_message();
}

#ifdef VI_PROJECT_VERSION /* the build's, as CMake has it */
_Static_assert(VISTA_VERSION_NUMBER == VI_PROJECT_VERSION, "vista.h and CMakeLists.txt agree");
#endif

unsigned vista_version(void)
{
    return VISTA_VERSION_NUMBER;
}
