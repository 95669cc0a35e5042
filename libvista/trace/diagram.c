/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Space-time diagrams: see diagram.h.
 */
#include "trace/diagram.h"

#include <stdlib.h>
#include <string.h>

#include "trace/trace_calls.h"

#define STEP 44 /* of an SVG: pixels from event to event */
#define LANE 150
#define LEFT 120
#define TOP 90

static const struct vi_event *event_of(const struct vi_diagram *d, uint32_t event)
{
    return &d->traces->history.events[event];
}

/* The events that are drawn, in order; how many. */
static uint32_t select_events(const struct vi_diagram *d, uint32_t *selected)
{
    uint32_t seen = 0, count = 0;

    for (uint32_t i = 0; i < d->traces->history.count && count < d->most; i++) {
        if (event_of(d, d->order[i])->bits == 0)
            continue;
        if (++seen > d->first)
            selected[count++] = d->order[i];
    }
    return count;
}

/* ---- For a terminal ------------------------------------------------------------- */

static char letter_of(uint32_t bits)
{
    if (bits & VI_EVENT_COMMIT)
        return 'C';
    if (bits & VI_EVENT_BACK)
        return 'F';
    if (bits & VI_EVENT_VISIBLE)
        return 'V';
    if (bits & VI_EVENT_UNDETERMINED)
        return 'N';
    if (bits & VI_EVENT_LOGGED)
        return 'L';
    return '.';
}

/* Whom it sends to and receives from, as " >3 <1". */
static void tell_messages(const struct vi_diagram *d, uint32_t event, char *text, size_t size)
{
    const struct vi_history *h = &d->traces->history;
    size_t length = 0;

    text[0] = '\0';
    for (uint32_t m = 0; m < h->message_count && length + 16 < size; m++) {
        if (h->messages[m].send == event)
            length += (size_t)snprintf(text + length, size - length, " >m%u", m + 1);
        if (h->messages[m].receive == event)
            length += (size_t)snprintf(text + length, size - length, " <m%u", m + 1);
    }
}

static void text_line(const struct vi_diagram *d, uint32_t event, int width, FILE *to)
{
    const struct vi_event *e = event_of(d, event);
    char what[128], messages[128], line[300];

    vi_traces_describe(d->traces, event, what, sizeof what);
    tell_messages(d, event, messages, sizeof messages);
    snprintf(line, sizeof line, "%c%s%s %s", letter_of(e->bits), d->bad[event] ? " !!" : "",
             messages, what);
    fprintf(to, "%6u ", d->traces->origins[event].record.sequence);
    for (uint32_t p = 0; p < d->traces->history.processes; p++)
        fprintf(to, " %-*.*s", width - 1, width - 1, p == e->process ? line : "|");
    fputc('\n', to);
}

bool vi_diagram_text(const struct vi_diagram *d, int columns, FILE *to)
{
    const uint32_t processes = d->traces->history.processes;
    uint32_t *selected = calloc(d->traces->history.count + 1, sizeof *selected), count;
    int width = (columns - 7) / (int)(processes != 0 ? processes : 1);

    if (selected == NULL)
        return false;
    width = width < 16 ? 16 : width;
    fprintf(to, "C commit, N non-deterministic, L logged, V visible, F failure, . other%s\n",
            d->traces->history.message_count != 0 ? ", >m sends, <m receives" : "");
    fprintf(to, "record ");
    for (uint32_t p = 0; p < processes; p++)
        fprintf(to, " process %-*u", width - 9, d->traces->names[p].vpid);
    fputc('\n', to);
    count = select_events(d, selected);
    for (uint32_t i = 0; i < count; i++)
        text_line(d, selected[i], width, to);
    free(selected);
    return true;
}

/* ---- As SVG ---------------------------------------------------------------------- */

struct svg {
    const struct vi_diagram *d;
    uint32_t *selected, *column; /* of each event: where it is drawn plus 1, or 0 */
    uint32_t count;
    FILE *to;
};

static int x_of(const struct svg *s, uint32_t event)
{
    return LEFT + (int)(s->column[event] - 1) * STEP;
}

static int y_of(const struct svg *s, uint32_t event)
{
    return TOP + (int)event_of(s->d, event)->process * LANE;
}

static void svg_head(const struct svg *s)
{
    const int width = LEFT + (int)s->count * STEP + 40;
    const int height = TOP + (int)s->d->traces->history.processes * LANE + 20;

    fprintf(s->to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"11\">\n"
            "<defs><marker id=\"arrow\" markerWidth=\"8\" markerHeight=\"8\" refX=\"7\" "
            "refY=\"4\" orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\"/></marker></defs>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"10\" y=\"20\">square: commit; ring: non-deterministic; dot: logged; arrow "
            "up: visible; cross: failure; red: breaks the rule</text>\n",
            width, height);
    for (uint32_t p = 0; p < s->d->traces->history.processes; p++)
        fprintf(s->to,
                "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"black\"/>"
                "<text x=\"10\" y=\"%d\">process %u</text>\n",
                LEFT - 20, TOP + (int)p * LANE, width - 20, TOP + (int)p * LANE,
                TOP + (int)p * LANE + 4, s->d->traces->names[p].vpid);
}

static void svg_shape(const struct svg *s, uint32_t event, int x, int y)
{
    const uint32_t bits = event_of(s->d, event)->bits;
    const char *colour = s->d->bad[event] ? "red" : "black";

    if (bits & VI_EVENT_VISIBLE)
        fprintf(s->to,
                "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" "
                "marker-end=\"url(#arrow)\"/>",
                x, y, x, y - 32, colour);
    if (bits & VI_EVENT_COMMIT)
        fprintf(s->to, "<rect x=\"%d\" y=\"%d\" width=\"10\" height=\"10\" fill=\"%s\"/>", x - 5,
                y - 5, colour);
    else if (bits & VI_EVENT_BACK)
        fprintf(s->to, "<path d=\"M%d,%d l10,10 m0,-10 l-10,10\" stroke=\"%s\"/>", x - 5, y - 5,
                colour);
    else if (bits & (VI_EVENT_UNDETERMINED | VI_EVENT_LOGGED))
        fprintf(s->to, "<circle cx=\"%d\" cy=\"%d\" r=\"4\" stroke=\"%s\" fill=\"%s\"/>", x, y,
                colour, bits & VI_EVENT_UNDETERMINED ? "white" : colour);
}

static void svg_event(const struct svg *s, uint32_t event)
{
    const struct vi_trace_record *r = &s->d->traces->origins[event].record;
    const char *name = vi_trace_call_name(r->number);
    const int x = x_of(s, event), y = y_of(s, event);
    char what[128];

    vi_traces_describe(s->d->traces, event, what, sizeof what);
    fprintf(s->to, "<g><title>record %u: %s</title>", r->sequence, what);
    svg_shape(s, event, x, y);
    if (r->kind == VI_TRACE_VISIBLE || r->kind == VI_TRACE_CALL)
        snprintf(what, sizeof what, "%s", name != NULL ? name : "?");
    fprintf(s->to, "<text transform=\"translate(%d,%d) rotate(45)\">%s</text></g>\n", x - 2, y + 16,
            what);
}

/* Failures go back to their commits below the line, and messages from line to line. */
static void svg_arrows(const struct svg *s)
{
    const struct vi_history *h = &s->d->traces->history;

    for (uint32_t m = 0; m < h->message_count; m++)
        if (s->column[h->messages[m].send] != 0 && s->column[h->messages[m].receive] != 0)
            fprintf(s->to,
                    "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"blue\" "
                    "marker-end=\"url(#arrow)\"/>\n",
                    x_of(s, h->messages[m].send), y_of(s, h->messages[m].send),
                    x_of(s, h->messages[m].receive), y_of(s, h->messages[m].receive));
    for (uint32_t i = 0; i < s->count; i++) {
        const struct vi_event *back = event_of(s->d, s->selected[i]);

        for (uint32_t j = i; back->bits & VI_EVENT_BACK && j-- > 0;) {
            const struct vi_event *e = event_of(s->d, s->selected[j]);
            const int from = x_of(s, s->selected[i]), to = x_of(s, s->selected[j]);

            if (e->process != back->process || !(e->bits & VI_EVENT_COMMIT))
                continue;
            fprintf(s->to,
                    "<path d=\"M%d,%d Q%d,%d %d,%d\" fill=\"none\" stroke=\"grey\" "
                    "stroke-dasharray=\"4 3\" marker-end=\"url(#arrow)\"/>\n",
                    from, y_of(s, s->selected[i]), (from + to) / 2, y_of(s, s->selected[i]) - 60,
                    to, y_of(s, s->selected[i]));
            break;
        }
    }
}

bool vi_diagram_svg(const struct vi_diagram *d, FILE *to)
{
    const uint32_t room = d->traces->history.count + 1;
    struct svg s = {.d = d,
                    .selected = calloc(room, sizeof *s.selected),
                    .column = calloc(room, sizeof *s.column),
                    .to = to};
    const bool good = s.selected != NULL && s.column != NULL;

    if (good) {
        s.count = select_events(d, s.selected);
        for (uint32_t i = 0; i < s.count; i++)
            s.column[s.selected[i]] = i + 1;
        svg_head(&s);
        svg_arrows(&s);
        for (uint32_t i = 0; i < s.count; i++)
            svg_event(&s, s.selected[i]);
        fprintf(to, "</svg>\n");
    }
    free(s.selected);
    free(s.column);
    return good;
}
