/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command line of vista-run: see run_options.h.
 */
#include "checkpoint/tool/run_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checkpoint/engine/run_report.h"
#include "checkpoint/protocol/protocol.h"

static const char usage[] =
    "usage: vista-run [options] PROGRAM [ARGUMENT...]\n"
    "       vista-run --stop FILE\n"
    "       vista-run --info FILE\n"
    "\n"
    "Runs the program so that it survives kill -9: it goes on by itself, and if vista-run is\n"
    "killed, too, the same command goes on with it.\n"
    "\n"
    "  -f FILE          the checkpoint file; by default ./PROGRAM.dc\n"
    "  -p PROTOCOL      when to commit; cpvs: before every visible event; cand: after every\n"
    "                   non-deterministic one; cbndvs: between the two; cand-log, cbndvs-log:\n"
    "                   so, but what can be logged is logged instead; adaptive: as the\n"
    "                   cheapest of them would, by what was measured so far\n"
    "  --every MS       commit every MS milliseconds, too\n"
    "  --accept-changed go on although a file that was open has been replaced\n"
    "  --fresh          begin anew, whatever the file holds\n"
    "  --late           log nothing, and choose among protocols that commit late: of the\n"
    "                   program's own errors more are not committed, and so survived\n"
    "  --output FILE    the standard output is FILE, and is undone with the rest\n"
    "  --retries N      resume at most N times from one commit after a crash; by default 3\n"
    "  --trace FILE     record what the program does\n"
    "  --stop FILE      commit and stop the run of FILE; the same command goes on with it\n"
    "  --info FILE      tell what a checkpoint file holds\n";

enum { EVERY = 256, ACCEPT, FRESH, LATE, OUTPUT, RETRIES, TRACE, STOP, INFO, HELP };

static const struct option long_options[] = {
    {"accept-changed", no_argument, NULL, ACCEPT},
    {"every", required_argument, NULL, EVERY},
    {"fresh", no_argument, NULL, FRESH},
    {"late", no_argument, NULL, LATE},
    {"output", required_argument, NULL, OUTPUT},
    {"retries", required_argument, NULL, RETRIES},
    {"trace", required_argument, NULL, TRACE},
    {"stop", required_argument, NULL, STOP},
    {"info", required_argument, NULL, INFO},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static int complain(const char *what, const char *text)
{
    vi_say("%s%s%s", what, text != NULL ? ": " : "", text != NULL ? text : "");
    return 2;
}

static bool read_number(const char *text, long most, long *number)
{
    char *end;

    *number = strtol(text, &end, 10);
    return *text != '\0' && *end == '\0' && *number >= 0 && *number <= most;
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* As execvp(3) finds it; an absolute path, since the run may go on elsewhere. */
static bool find_program(const char *name, char *path)
{
    const char *at = getenv("PATH");
    char candidate[PATH_MAX];

    if (strchr(name, '/') != NULL)
        return is_program(name) && realpath(name, path) != NULL;
    for (at = at != NULL ? at : "/usr/bin:/bin"; *at != '\0';) {
        const int length = (int)strcspn(at, ":");

        snprintf(candidate, sizeof candidate, "%.*s/%s", length, at, name);
        if (is_program(candidate) && realpath(candidate, path) != NULL)
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

static int take_protocol(struct vi_options *o)
{
    o->protocol = vi_protocol_number(optarg);
    return o->protocol >= 0
               ? -1
               : complain("not a protocol; there are cpvs, cand, cbndvs, cand-log, cbndvs-log, "
                          "adaptive",
                          optarg);
}

static int take_option(struct vi_options *o, int option)
{
    long number = 0;

    switch (option) {
    case 'f':
    case STOP:
    case INFO:
        if (strlen(optarg) >= sizeof o->file - 16)
            return complain("the file's name is too long", NULL);
        memcpy(o->file, optarg, strlen(optarg) + 1);
        o->stop = option == STOP;
        o->info = option == INFO;
        return -1;
    case 'p':
        return take_protocol(o);
    case EVERY:
    case RETRIES:
        if (!read_number(optarg, 1000000, &number))
            return complain("not a number", optarg);
        if (option == EVERY)
            o->every = (unsigned)number;
        else
            o->retries = (int)number;
        return -1;
    case ACCEPT:
    case FRESH:
    case LATE:
        *(option == FRESH ? &o->fresh : option == LATE ? &o->late : &o->accept_changed) = true;
        return -1;
    case OUTPUT:
    case TRACE:
        *(option == TRACE ? &o->trace : &o->output) = optarg;
        return -1;
    case HELP:
        fputs(usage, stdout);
        return 0;
    default:
        fputs(usage, stderr);
        return 2;
    }
}

static int name_file(struct vi_options *o)
{
    const char *slash = strrchr(o->arguments[0], '/');

    if (o->file[0] == '\0')
        snprintf(o->file, sizeof o->file, "./%.*s.dc", (int)sizeof o->file - 16,
                 slash != NULL ? slash + 1 : o->arguments[0]);
    return -1;
}

int vi_options_read(struct vi_options *o, int argc, char **argv)
{
    int option, status;

    *o = (struct vi_options){.retries = 3, .protocol = -1};
    while ((option = getopt_long(argc, argv, "+f:p:", long_options, NULL)) != -1) {
        status = take_option(o, option);
        if (status >= 0)
            return status;
    }
    if (o->stop || o->info)
        return -1;
    if (optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    o->arguments = argv + optind;
    if (!find_program(o->arguments[0], o->program)) {
        complain("no such program", o->arguments[0]);
        return 127;
    }
    return name_file(o);
}
