/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista grams: the endpoints of a segment, their peers, and what is unanswered.
 *
 * Endpoints are found among the heap's blocks by their magic number, and judged by the library's
 * own check before anything of them is read.
 */
#include "tool/grams_command.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "grams/tables.h"
#include "tool/output.h"

/* A walk over the endpoints of a segment. */
struct search {
    vista_segment *segment;
    void (*found)(struct search *search, const struct vi_gram_table *table);
    bool json, all;
    uint64_t count;
    int error;
    char said[512]; /* of the error, which the walk's own message covers */
};

static int look_at(void *arg, void *address, size_t size)
{
    struct search *search = arg;

    if (!vi_table_is_one(address, size))
        return 0;
    search->count++;
    if (vi_table_check(search->segment, address) != 0) {
        search->error = errno;
        snprintf(search->said, sizeof search->said, "%s", vista_errormsg());
        return 1;
    }
    if (search->found != NULL)
        search->found(search, address);
    return 0;
}

/* 0, or -1 with errno and the message. */
static int find(struct search *search, const char *path)
{
    int error;

    search->segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    if (search->segment == NULL)
        return -1;
    if (vista_heap_walk(search->segment, look_at, search) == 0)
        return vista_unmap(search->segment);
    error = search->error != 0 ? search->error : errno;
    if (search->error == 0)
        snprintf(search->said, sizeof search->said, "%s", vista_errormsg());
    vista_unmap(search->segment);
    return vi_fail(error, "%s: %s", path, search->said);
}

int tool_grams_check(const char *path, vista_report_fn report, void *arg)
{
    struct search search = {0};
    char text[640];

    if (find(&search, path) == 0) {
        if (search.count > 0) {
            snprintf(text, sizeof text, "endpoints: %llu, with all of their tables",
                     (unsigned long long)search.count);
            report(arg, 0, text);
        }
        return 0;
    }
    if (search.error != 0) {
        const int error = errno;

        snprintf(text, sizeof text, "endpoints: %s", vista_errormsg());
        report(arg, 2, text);
        errno = error;
        return -1;
    }
    if (errno == ENOTSUP) /* a segment without a heap */
        return 0;
    snprintf(text, sizeof text, "endpoints: not looked for: %s", vista_errormsg());
    report(arg, 1, text);
    return 0;
}

/* ---- Breaking ------------------------------------------------------------ */

struct tables {
    struct vi_gram_table *table[64];
    int count;
};

static int note_table(void *arg, void *address, size_t size)
{
    struct tables *tables = arg;

    if (vi_table_is_one(address, size) &&
        tables->count < (int)(sizeof tables->table / sizeof *tables->table))
        tables->table[tables->count++] = address;
    return 0;
}

static int break_all(vista_segment *segment, const struct tables *tables)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL)
        return -1;
    for (int i = 0; i < tables->count; i++)
        if (vi_table_check(segment, tables->table[i]) != 0 ||
            vi_table_break(tx, tables->table[i], VI_BROKEN_TORN) != 0) {
            const int error = errno;

            vista_abort_transaction(tx);
            errno = error;
            return -1;
        }
    return vista_end_transaction(tx, 0);
}

int tool_grams_break(vista_segment *segment)
{
    struct tables tables = {.count = 0};
    struct vista_info info;

    if (vista_info(segment, &info) != 0)
        return -1;
    if (info.flags & VISTA_NO_HEAP || vista_heap_walk(segment, note_table, &tables) != 0)
        return info.flags & VISTA_NO_HEAP ? 0 : -1;
    if (tables.count > 0 && info.flags & VISTA_ANY_ADDRESS)
        return vi_fail(EBUSY,
                       "%s: has endpoints, whose sessions are to be broken, and its address "
                       "is taken in this process: it was left recovered, but they were not",
                       info.path);
    return tables.count == 0 ? 0 : break_all(segment, &tables);
}

/* ---- Printing ------------------------------------------------------------ */

static const char *state_of(const struct vi_gram_row *row)
{
    static const char *const states[] = {"", "active", "leaving", "broken"};

    return states[row->state];
}

static void print_request(const struct search *search, const struct vi_gram_slot *slot,
                          uint32_t number)
{
    static const char *const states[] = {"", "sent", "cancelled", "received", "answered"};

    if (slot->state == VI_SLOT_IDLE || (slot->state == VI_SLOT_ANSWERED && !search->all))
        return;
    if (search->json) {
        tool_json_open(NULL, '{');
        tool_json_number("slot", number);
        tool_json_number("generation", slot->generation);
        tool_json_text("state", states[slot->state]);
        tool_json_number("bytes", slot->length);
        tool_json_close('}');
    } else {
        printf("    slot %u, request %llu: %s, %u bytes\n", number,
               (unsigned long long)slot->generation, states[slot->state], slot->length);
    }
}

static void print_row(struct search *search, const struct vi_gram_row *row)
{
    const char *role = row->role == VI_ROLE_CLIENT ? "server" : "client";

    if (search->json) {
        tool_json_open(NULL, '{');
        tool_json_number("peer", row->id);
        tool_json_text("uuid", tool_uuid(row->uuid));
        tool_json_text("is", role);
        tool_json_text("address", row->address);
        tool_json_text("state", state_of(row));
        if (row->state == VI_ROW_BROKEN)
            tool_json_text("reason", vi_broken_reason(row->reason));
        tool_json_number("slots", row->slots);
        tool_json_open("requests", '[');
    } else {
        printf("  peer %u, a %s at %s: %s, %u slots\n", row->id, role, row->address, state_of(row),
               row->slots);
        if (row->state == VI_ROW_BROKEN)
            printf("    %s\n", vi_broken_reason(row->reason));
    }
    for (uint32_t i = 0; i < row->slots; i++)
        print_request(search, &row->slot[i], i);
    if (search->json) {
        tool_json_close(']');
        tool_json_close('}');
    }
}

static void print_agreement(const struct search *search, const struct vi_agreement *of)
{
    static const char *const states[] = {"undecided", "committed", "aborted"};
    const bool away = of->count > 0 && of->site->flags & VI_SITE_IS_AWAY;
    const char *state = away && of->state == VI_AGREEMENT_OPEN ? "handed over" : states[of->state];
    char gid[40];
    uint32_t done = 0;

    snprintf(gid, sizeof gid, "%016llx%016llx", (unsigned long long)of->says.gid.part[0],
             (unsigned long long)of->says.gid.part[1]);
    for (uint32_t i = 0; i < of->count; i++)
        done += of->site[i].state == VI_SITE_DONE;
    if (search->json) {
        tool_json_open(NULL, '{');
        tool_json_text("gid", gid);
        tool_json_text("state", state);
        tool_json_number("sites", of->count);
        tool_json_number("done", done);
        tool_json_close('}');
    } else {
        printf("  transaction %s of several sites: %s, %u of %u done\n", gid, state, done,
               of->count);
    }
}

static void print_table(struct search *search, const struct vi_gram_table *table)
{
    const uint64_t offset = (uintptr_t)table - (uintptr_t)vista_base(search->segment);

    if (search->json) {
        tool_json_open(NULL, '{');
        tool_json_number("offset", offset);
        tool_json_text("uuid", tool_uuid(table->uuid));
        tool_json_number("slots", table->slots);
        tool_json_number("peers_max", table->peers);
        tool_json_number("message_max", table->message_max);
        tool_json_open("peers", '[');
    } else {
        printf("endpoint at offset 0x%llx: %s, %u slots, %u peers, messages of %llu bytes\n",
               (unsigned long long)offset, tool_uuid(table->uuid), table->slots, table->peers,
               (unsigned long long)table->message_max);
    }
    for (uint32_t i = 0; i < table->peers; i++)
        if (table->entry[i].row != NULL)
            print_row(search, table->entry[i].row);
    if (search->json) {
        tool_json_close(']');
        tool_json_open("agreements", '[');
    }
    for (const struct vi_agreement *of = table->agreements; of != NULL; of = of->next)
        print_agreement(search, of);
    if (search->json) {
        tool_json_close(']');
        tool_json_close('}');
    }
}

static enum tool_status run_grams(int argc, char **argv)
{
    struct search search = {.found = print_table};
    const struct tool_option options[] = {{.name = "all", .given = &search.all, .letter = 'a'},
                                          {.name = "json", .given = &search.json},
                                          {0}};
    enum tool_status status;
    const char *path;

    if (!tool_arguments(&tool_grams, argc, argv, options, &path, 1, &status))
        return status;
    if (search.json) {
        tool_json_open(NULL, '{');
        tool_json_open("endpoints", '[');
    }
    status = find(&search, path) == 0 ? TOOL_DONE : tool_failed(errno);
    if (search.json) {
        tool_json_close(']');
        tool_json_close('}');
    } else if (status == TOOL_DONE && search.count == 0) {
        printf("%s: no endpoints\n", path);
    }
    return status;
}

const struct tool_command tool_grams = {
    .name = "grams",
    .summary = "endpoints of messages, their peers, what is unanswered",
    .run = run_grams,
    .help = "usage: vista grams [-a] [--json] FILE\n"
            "\n"
            "Lists the endpoints in a segment (vista_grams(3)), the peers of each, and the\n"
            "requests that are stored: sent and cancelled ones are this end's and unanswered,\n"
            "received ones are the peer's and to be answered.  And the transactions of several\n"
            "sites that an endpoint coordinates.\n"
            "\n"
            "  -a, --all   also requests that are answered, whose responses are kept until\n"
            "              the peer uses their slots again\n"
            "      --json  one JSON object\n"
            "\n"
            "Exit status: 0 done; 1 damaged, or in need of recovery; 2 the command line makes\n"
            "no sense; 3 the file cannot be opened, or is in use.\n",
};
