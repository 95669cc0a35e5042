/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista_check.
 */
#include "check/check.h"

#include <errno.h>

#include "base/error.h"

int vista_check(const char *path, unsigned flags, vista_report_fn report, void *arg)
{
    struct vi_file file;
    int result, error;

    if (path == NULL || *path == '\0')
        return vi_fail(EINVAL, "vista_check: no path was given");
    if (flags != 0)
        return vi_fail(EINVAL, "vista_check: %s: flags are 0x%x and must be 0", path, flags);
    if (vi_file_open(&file, path, VISTA_READ_ONLY, 0, 0) != 0)
        return -1;
    result = vi_check_file(&file, report, arg, NULL);
    error = errno;
    vi_file_close(&file);
    errno = error;
    return result;
}
