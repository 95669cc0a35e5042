/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-run: runs a program so that it survives kill -9.
 */
#include "checkpoint/tool/inspect.h"
#include "checkpoint/tool/run_options.h"
#include "checkpoint/tool/supervisor.h"

int main(int argc, char **argv)
{
    static struct vi_options options;
    const int status = vi_options_read(&options, argc, argv);

    if (status >= 0)
        return status;
    if (options.stop)
        return vi_supervisor_stop(options.file);
    if (options.info)
        return vi_inspect(options.file);
    return vi_supervisor_run(&options);
}
