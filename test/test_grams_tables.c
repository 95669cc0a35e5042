/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Stored tables, damaged in every way: opening judges every number and pointer, and so do the
 * commands.  Nothing is read or written outside, whatever is stored; with checksums that are wrong,
 * and with ones that a hostile hand has made right.
 */
#include <stdlib.h>

#include "command.h"
#include "grams/tables.h"
#include "grams_fixture.h"

static struct gram_end client, server;
static char text[1024];

static void setup(void)
{
    const struct vista_endpoint_options options = {.slots = 4, .peers = 8};
    struct vista_ready ready;

    client = (struct gram_end){.path = gram_path("client"), .address = gram_address("c")};
    server = (struct gram_end){.path = gram_path("server"), .address = gram_address("s")};
    gram_open(&client, &options);
    gram_open(&server, &options);
    gram_connect(&client, &server);
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 4; i++) {
        int found = 0;

        gram_send(&client, text, i == 2 ? sizeof text : 10, i == 3 ? VISTA_ONE_WAY : 0);
        while (found == 0) { /* a datagram that finds no room is lost, and sent again */
            OK(vista_pump(client.endpoint));
            ready = (struct vista_ready){.endpoint = server.endpoint, .wanted = VISTA_REQUEST};
            found = vista_select(&ready, 1, 10);
        }
        ck_assert_int_eq(found, 1);
        if (i < 2)
            ck_assert_int_gt(gram_echo(&server, text, sizeof text), 0);
    }
    OK(vista_close_endpoint(client.endpoint));
    OK(vista_close_endpoint(server.endpoint));
}

static struct gram_end *end_of(int which)
{
    return which == 0 ? &client : &server;
}

static struct vi_gram_row *row_of(struct vi_gram_table *table)
{
    for (uint32_t i = 0; i < table->peers; i++)
        if (table->entry[i].row != NULL)
            return table->entry[i].row;
    return NULL;
}

/* Opens what is stored as it is, uses it a little, and closes it: 0, or errno. */
static int try_open(struct gram_end *end)
{
    vista_request any = {0};
    struct vista_endpoint_info info;
    char buffer[64];

    end->endpoint = vista_open_endpoint(end->segment, end->root->block, end->address, 0, NULL);
    if (end->endpoint == NULL)
        return errno;
    OK(vista_pump(end->endpoint));
    OK(vista_endpoint_info(end->endpoint, &info));
    (void)gram_receive(end, &any, buffer, sizeof buffer);
    (void)gram_echo(end, buffer, sizeof buffer);
    OK(vista_pump(end->endpoint));
    OK(vista_close_endpoint(end->endpoint));
    return 0;
}

struct patch {
    unsigned char *at;
    unsigned char old[8];
    size_t length;
};

/* Changes stored bytes as the undo log would not know: they are put back by hand. */
static void put(struct patch *patch, void *at, const void *bytes, size_t length)
{
    *patch = (struct patch){.at = at, .length = length};
    memcpy(patch->old, at, length);
    memcpy(at, bytes, length);
}

static void put_back(const struct patch *patch)
{
    memcpy(patch->at, patch->old, patch->length);
}

/* Every byte of the heads, unsealed: found by the checksum or by what it means. */
START_TEST(test_every_byte)
{
    struct gram_end *end = end_of(_i);
    struct vi_gram_table *table;
    struct vi_gram_row *row;
    unsigned found = 0;

    setup();
    table = end->root->block;
    row = row_of(table);
    ck_assert(row != NULL);
    for (size_t i = 0; i < sizeof *table + sizeof *row + 4 * VI_SLOT_HEADER; i++) {
        unsigned char *at = i < sizeof *table ? (unsigned char *)table + i : NULL, wrong;
        const size_t j = i - sizeof *table, k = j - sizeof *row;
        struct patch patch;
        int error;

        if (at == NULL)
            at = j < sizeof *row
                     ? (unsigned char *)row + j
                     : (unsigned char *)&row->slot[k / VI_SLOT_HEADER] + k % VI_SLOT_HEADER;
        wrong = *at ^ 0x55;
        put(&patch, at, &wrong, 1);
        error = vi_table_check(end->segment, table) == 0 ? 0 : errno;
        put_back(&patch);
        ck_assert_msg(error == EBADMSG || error == ENOTSUP, "byte %zu: %d", i, error);
        found++;
    }
    ck_assert_uint_eq(found, sizeof *table + sizeof *row + 4 * VI_SLOT_HEADER);
    ck_assert_int_eq(try_open(end), 0);
    OK(vista_unmap(client.segment));
    OK(vista_unmap(server.segment));
}
END_TEST

/* Numbers at random, with the checksums made right: refused, or harmless. */
START_TEST(test_hostile)
{
    /* About two in five are refused: of so many neither none nor all. */
    const unsigned times = 30 + test_times(370);
    struct test_random random = test_random_new(50 + (uint64_t)_i);
    struct gram_end *end = end_of(_i);
    const char *kept = gram_path("kept");
    struct vi_gram_table *table;
    unsigned refused = 0;

    setup();
    OK(vista_unmap(end->segment));
    test_copy(end->path, kept);
    for (unsigned i = 0; i < times; i++) {
        static const uint64_t values[] = {
            0,    1, 2, 3, 4, 5, 255, 65535, 1u << 20, UINT32_MAX, UINT64_MAX, 0x7fffffffffffu,
            1024, 16};
        struct vi_gram_row *row;
        struct vi_gram_slot *slot;
        uint64_t value;
        size_t where;
        char *base;

        test_copy(kept, end->path);
        test_adopt(end->path);
        end->segment = vista_map(end->path, 0, 0, NULL);
        SOME(end->segment);
        end->root = vista_root(end->segment, 0);
        table = end->root->block;
        row = row_of(table);
        slot = &row->slot[test_below(&random, 4)];
        where = test_below(&random, 3);
        base = where == 0 ? (char *)table : where == 1 ? (char *)row : (char *)slot;
        value = values[test_below(&random, sizeof values / sizeof *values)];
        if (test_below(&random, 4) == 0)
            value = (uintptr_t)vista_base(end->segment) + test_below(&random, 1 << 22);
        memcpy(base + 4 * test_below(&random, where == 0   ? 64
                                              : where == 1 ? 32
                                                           : 14),
               &value, test_below(&random, 2) == 0 ? 4 : 8);
        if (memcmp(table->magic, VI_TABLE_MAGIC, 8) == 0)
            vi_table_seal(table, sizeof *table, &table->crc);
        if (where == 1)
            vi_table_seal(row, sizeof *row, &row->crc);
        if (where == 2 &&
            (slot->body == NULL ? slot->length <= VI_BODY_INLINE
                                : vista_usable_size(end->segment, slot->body) >= slot->length))
            vi_slot_seal(slot);
        refused += try_open(end) != 0;
        OK(vista_unmap(end->segment));
    }
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_lt(refused, times);
}
END_TEST

/* A message's block that is something else, too, would be freed under that. */
START_TEST(test_shared_block)
{
    struct vi_gram_table *table;
    struct vi_gram_row *row;
    struct vi_gram_slot *slot, kept, other;
    void *blocks[3];

    setup();
    table = client.root->block;
    row = row_of(table);
    slot = &row->slot[2];
    kept = *slot;
    other = row->slot[0];
    ck_assert_ptr_nonnull(slot->body);
    blocks[0] = table;
    blocks[1] = row;
    blocks[2] = slot->body;
    for (int i = 0; i < 3; i++) {
        struct vi_gram_slot *wrong = i < 2 ? slot : &row->slot[0];

        *wrong = kept;
        wrong->body = blocks[i];
        wrong->length = VI_BODY_INLINE + 1;
        vi_slot_seal(wrong);
        ck_assert_int_eq(try_open(&client), EBADMSG);
        ck_assert_ptr_nonnull(strstr(vista_errormsg(), "twice"));
        *slot = kept;
        row->slot[0] = other;
    }
    ck_assert_int_eq(try_open(&client), 0);
    OK(vista_unmap(client.segment));
    OK(vista_unmap(server.segment));
}
END_TEST

/* What the commands say of sound tables and of damaged ones. */
START_TEST(test_commands)
{
    struct vi_gram_table *table;
    char command[512];

    setup();
    table = client.root->block;
    OK(vista_unmap(server.segment));
    OK(vista_unmap(client.segment));
    snprintf(command, sizeof command, "%s/vista grams '%s' 2>&1", build_directory(), client.path);
    ck_assert_int_eq(run_shell(command), 0);
    ck_assert_ptr_ne(strstr(output, ": active, 4 slots"), NULL);
    ck_assert_ptr_ne(strstr(output, "slot 2, request 1: sent, 1024 bytes"), NULL);
    ck_assert_ptr_ne(strstr(output, "slot 3, request 1: cancelled, 10 bytes"), NULL);
    snprintf(command, sizeof command, "%s/vista grams --all --json '%s' 2>&1", build_directory(),
             server.path);
    ck_assert_int_eq(run_shell(command), 0);
    ck_assert_ptr_ne(strstr(output, "\"answered\""), NULL);
    snprintf(command, sizeof command, "%s/vista check '%s' 2>&1", build_directory(), client.path);
    ck_assert_int_eq(run_shell(command), 0);
    ck_assert_ptr_ne(strstr(output, "endpoints: 1"), NULL);
    client.segment = vista_map(client.path, 0, 0, NULL);
    SOME(client.segment);
    table->slots ^= 1;
    OK(vista_unmap(client.segment));
    ck_assert_int_eq(run_shell(command), 1);
    ck_assert_ptr_ne(strstr(output, "DAMAGE"), NULL);
    snprintf(command, sizeof command, "%s/vista grams '%s' 2>&1", build_directory(), client.path);
    ck_assert_int_eq(run_shell(command), 1);
    ck_assert_ptr_ne(strstr(output, "the endpoint is damaged"), NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grams_tables");
    TCase *tcase = test_case(suite, "damage", 10);

    tcase_add_loop_test(tcase, test_every_byte, 0, 2);
    tcase_add_loop_test(tcase, test_hostile, 0, 2);
    tcase_add_test(tcase, test_shared_block);
    tcase_add_test(tcase, test_commands);
    return test_run(suite);
}
