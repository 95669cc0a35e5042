/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-trace: checks traces of vista-run, and draws them.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "trace/diagram.h"
#include "trace/trace_reader.h"

#define MOST_TOLD 10
#define SHOWN 40

static const char usage[] =
    "usage: vista-trace check FILE...\n"
    "       vista-trace show [--svg] [-o FILE] [--from N] [--events N] FILE...\n"
    "\n"
    "The files are of one computation: traces of vista-run --trace.\n"
    "\n"
    "check: was every non-deterministic event committed before a visible event, or another\n"
    "process's commit, that depends on it?  0: yes, 1: no, and it is told which, 2: no traces.\n"
    "show: a space-time diagram.\n"
    "\n"
    "  --svg            as SVG; otherwise for a terminal, time running down\n"
    "  -o FILE          write it there\n"
    "  --from N         leave out the first N events\n"
    "  --events N       show at most N events; by default 40\n";

struct command {
    bool show, svg;
    const char *output;
    uint32_t from, events;
    struct vi_traces traces;
    uint32_t *order;
    bool *bad;
    unsigned breaches;
};

static int complain(const char *subject, const char *why)
{
    fprintf(stderr, "vista-trace: %s: %s\n", subject, why);
    return 2;
}

/* ---- Checking ------------------------------------------------------------------- */

static void name_event(const struct command *c, uint32_t event, char *text, size_t size)
{
    const struct vi_origin *origin = &c->traces.origins[event];
    char what[128];

    vi_traces_describe(&c->traces, event, what, sizeof what);
    snprintf(text, size, "%s, record %u of %s, process %u", what, origin->record.sequence,
             origin->file, origin->record.vpid);
}

static void note(void *argument, uint32_t event, uint32_t cause)
{
    struct command *c = argument;
    char what[512], why[512];

    c->bad[event] = true;
    if (c->show || ++c->breaches > MOST_TOLD)
        return;
    name_event(c, event, what, sizeof what);
    name_event(c, cause, why, sizeof why);
    if (event == cause)
        printf("cannot be: %s\n", what);
    else
        printf("%s\n    depends on %s,\n    which no commit of that process has saved before\n",
               what, why);
}

static unsigned count_of(const struct command *c, uint32_t bits)
{
    const struct vi_history *h = &c->traces.history;
    unsigned count = 0;

    for (uint32_t i = 0; i < h->count; i++)
        count += (h->events[i].bits & bits) != 0;
    return count;
}

static int judge(struct command *c)
{
    const enum vi_verdict verdict = vi_save_work(&c->traces.history, note, c, c->order);
    const unsigned starts = c->traces.history.processes;
    const unsigned messages = c->traces.history.message_count;
    const unsigned failures = count_of(c, VI_EVENT_BACK) - starts;

    if (verdict == VI_WORK_NO_MEMORY)
        return complain("memory", "there is not enough");
    if (c->show && verdict == VI_WORK_IMPOSSIBLE)
        complain("the traces", "no computation has them");
    if (c->show)
        return verdict == VI_WORK_IMPOSSIBLE;
    if (c->breaches > MOST_TOLD)
        printf("and %u more\n", c->breaches - MOST_TOLD);
    printf("%u process%s, %u events: %u visible, %u non-deterministic, %u logged, %u commits, %u "
           "message%s, %u failure%s: %s\n",
           starts, starts == 1 ? "" : "es", c->traces.history.count, count_of(c, VI_EVENT_VISIBLE),
           count_of(c, VI_EVENT_UNDETERMINED), count_of(c, VI_EVENT_LOGGED),
           count_of(c, VI_EVENT_COMMIT), messages, messages == 1 ? "" : "s", failures,
           failures == 1 ? "" : "s",
           verdict == VI_WORK_SAVED     ? "all work was saved"
           : verdict == VI_WORK_UNSAVED ? "work was not saved"
                                        : "no computation has this history");
    return verdict == VI_WORK_SAVED ? 0 : 1;
}

/* ---- Showing -------------------------------------------------------------------- */

static int terminal_width(FILE *to)
{
    struct winsize size = {0};

    return ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

static int draw(const struct command *c)
{
    const struct vi_diagram diagram = {&c->traces, c->order, c->from, c->events, c->bad};
    FILE *to = c->output != NULL ? fopen(c->output, "we") : stdout;
    bool drawn;

    if (to == NULL)
        return complain(c->output, "cannot be written");
    drawn =
        c->svg ? vi_diagram_svg(&diagram, to) : vi_diagram_text(&diagram, terminal_width(to), to);
    if (!drawn)
        return complain("memory", "there is not enough");
    if (fflush(to) != 0 || (to != stdout && fclose(to) != 0))
        return complain(c->output != NULL ? c->output : "output", "cannot be written");
    return 0;
}

/* ---- The command ----------------------------------------------------------------- */

static int run(struct command *c, char **files)
{
    const char *wrong;
    int status;

    for (; *files != NULL; files++) {
        wrong = vi_traces_read(&c->traces, *files);
        if (wrong != NULL)
            return complain(*files, wrong);
    }
    c->order = calloc(c->traces.history.count + 1, sizeof *c->order);
    c->bad = calloc(c->traces.history.count + 1, sizeof *c->bad);
    if (c->order == NULL || c->bad == NULL || !vi_traces_join(&c->traces))
        return complain("memory", "there is not enough");
    status = judge(c);
    return status == 0 && c->show ? draw(c) : status;
}

static bool read_number(const char *text, uint32_t *number)
{
    char *end;
    const unsigned long value = strtoul(text, &end, 10);

    *number = (uint32_t)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value <= UINT32_MAX;
}

static bool take_options(struct command *c, int argc, char **argv)
{
    static const struct option options[] = {{"svg", no_argument, NULL, 's'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"events", required_argument, NULL, 'n'},
                                            {NULL, 0, NULL, 0}};
    bool good = true;
    int option;

    while (good && (option = getopt_long(argc, argv, "o:", options, NULL)) != -1) {
        if (option == 's')
            c->svg = true;
        else if (option == 'o')
            c->output = optarg;
        else if (option == 'f')
            good = read_number(optarg, &c->from);
        else
            good = option == 'n' && read_number(optarg, &c->events);
    }
    return good && optind < argc;
}

int main(int argc, char **argv)
{
    struct command c = {.events = SHOWN};
    int status = 2;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    c.show = argc > 1 && strcmp(argv[1], "show") == 0;
    if ((c.show || (argc > 1 && strcmp(argv[1], "check") == 0)) &&
        take_options(&c, argc - 1, argv + 1))
        status = run(&c, argv + 1 + optind);
    else
        fputs(usage, stderr);
    vi_traces_free(&c.traces);
    free(c.order);
    free(c.bad);
    return status;
}
