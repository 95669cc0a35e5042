/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 3: a hash map with chaining that grows, and a command line for it.
 *
 *     cc -o hashmap 03_hashmap.c $(pkg-config --cflags --libs vista)
 *
 *     ./hashmap map.vista put colour green
 *     ./hashmap map.vista get colour
 *     ./hashmap map.vista del colour
 *     ./hashmap map.vista list
 *     ./hashmap map.vista fill 100000     puts key0, key1, ... each in a transaction
 *     ./hashmap map.vista count           walks the map, compares with its own count
 *
 * What a kill leaves: with "kill" before the command the program dies when all is
 * stored and only the commit is missing; the next run finds the map as before.
 *
 *     ./hashmap map.vista kill put colour red
 *     ./hashmap map.vista get colour              green, as if nothing had been
 *     timeout -s KILL 0.1 ./hashmap map.vista fill 100000000; ./hashmap map.vista count
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vista.h>

#define SEGMENT_SIZE ((size_t)256 << 20)
#define FIRST_BUCKETS 16u

/* One block for each pair: the key, a zero byte, the value, a zero byte. */
struct entry {
    struct entry *next;
    uint64_t hash;
    size_t key_length;
    char text[];
};

/* The root. */
struct map {
    uint64_t count;
    uint64_t buckets; /* a power of two; 0: the map is new */
    struct entry **table;
};

static bool die_before_commit;

/* ---- Looking ----------------------------------------------------------- */

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
    return hash;
}

static const char *value_of(const struct entry *entry)
{
    return entry->text + entry->key_length + 1;
}

/* The pointer that leads to the key's entry, or to NULL at its chain's end. */
static struct entry **find(const struct map *map, const char *key)
{
    const uint64_t hash = hash_of(key);
    struct entry **link = &map->table[hash & (map->buckets - 1)];

    while (*link != NULL && ((*link)->hash != hash || strcmp((*link)->text, key) != 0))
        link = &(*link)->next;
    return link;
}

static bool get(const struct map *map, const char *key)
{
    const struct entry *entry = map->buckets == 0 ? NULL : *find(map, key);

    if (entry == NULL)
        fprintf(stderr, "%s: not there\n", key);
    else
        printf("%s\n", value_of(entry));
    return entry != NULL;
}

static void list(const struct map *map)
{
    for (uint64_t i = 0; i < map->buckets; i++)
        for (const struct entry *entry = map->table[i]; entry != NULL; entry = entry->next)
            printf("%s\t%s\n", entry->text, value_of(entry));
}

static bool count(const struct map *map)
{
    uint64_t found = 0;

    for (uint64_t i = 0; i < map->buckets; i++)
        for (const struct entry *entry = map->table[i]; entry != NULL; entry = entry->next)
            found += entry->hash == hash_of(entry->text);
    printf("%llu pairs in %llu buckets\n", (unsigned long long)found,
           (unsigned long long)map->buckets);
    return found == map->count;
}

/* ---- Changing ---------------------------------------------------------- */

/* Each of these is a part of a transaction: when one returns false, vista_errormsg
 * says why, and the caller aborts. */

/* Moves every entry to a table twice as large. */
static bool grow(vista_tx *tx, struct map *map)
{
    const uint64_t buckets = map->buckets == 0 ? FIRST_BUCKETS : 2 * map->buckets;
    struct entry **table = vista_calloc(tx, buckets, sizeof *table);

    if (table == NULL || vista_set_range(tx, map, sizeof *map) != 0)
        return false;
    for (uint64_t i = 0; i < map->buckets; i++) {
        struct entry *next;

        for (struct entry *entry = map->table[i]; entry != NULL; entry = next) {
            struct entry **head = &table[entry->hash & (buckets - 1)];

            next = entry->next;
            if (vista_set_range(tx, &entry->next, sizeof entry->next) != 0)
                return false;
            entry->next = *head;
            *head = entry;
        }
    }
    if (vista_free(tx, map->table) != 0)
        return false;
    map->table = table;
    map->buckets = buckets;
    return true;
}

static struct entry *make_entry(vista_tx *tx, const char *key, const char *value)
{
    const size_t key_length = strlen(key), value_length = strlen(value);
    struct entry *entry = vista_malloc(tx, sizeof *entry + key_length + value_length + 2);

    if (entry == NULL)
        return NULL;
    entry->hash = hash_of(key);
    entry->key_length = key_length;
    memcpy(entry->text, key, key_length + 1);
    memcpy(entry->text + key_length + 1, value, value_length + 1);
    return entry;
}

/* A new entry takes the place of the key's old one, if there is one. */
static bool put(vista_tx *tx, struct map *map, const char *key, const char *value)
{
    struct entry *entry, **link;

    if (map->count >= map->buckets && !grow(tx, map))
        return false;
    link = find(map, key);
    entry = make_entry(tx, key, value);
    if (entry == NULL ||
        vista_set_ranges(
            tx, (struct iovec[]){{link, sizeof *link}, {&map->count, sizeof map->count}}, 2) != 0)
        return false;
    entry->next = NULL;
    if (*link != NULL) {
        entry->next = (*link)->next;
        if (vista_free(tx, *link) != 0)
            return false;
    } else {
        map->count++;
    }
    *link = entry;
    return true;
}

static bool del(vista_tx *tx, struct map *map, const char *key)
{
    struct entry **link = map->buckets == 0 ? NULL : find(map, key);
    struct entry *entry = link == NULL ? NULL : *link;

    if (entry == NULL)
        return true;
    if (vista_set_range(tx, link, sizeof *link) != 0 ||
        vista_set_range(tx, &map->count, sizeof map->count) != 0 || vista_free(tx, entry) != 0)
        return false;
    *link = entry->next;
    map->count--;
    return true;
}

/* One change as one transaction: put, or without a value del. */
static bool change(vista_segment *segment, struct map *map, const char *key, const char *value)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL)
        return false;
    if (!(value != NULL ? put(tx, map, key, value) : del(tx, map, key))) {
        fprintf(stderr, "hashmap: %s\n", vista_errormsg());
        vista_abort_transaction(tx);
        return false;
    }
    if (die_before_commit)
        raise(SIGKILL);
    return vista_end_transaction(tx, 0) == 0;
}

static bool fill(vista_segment *segment, struct map *map, unsigned long pairs)
{
    char key[32], value[32];

    for (unsigned long i = 0; i < pairs; i++) {
        snprintf(key, sizeof key, "key%lu", i);
        snprintf(value, sizeof value, "value %lu", i);
        if (!change(segment, map, key, value))
            return false;
    }
    return true;
}

/* ---- The command line -------------------------------------------------- */

static bool run_put(vista_segment *segment, struct map *map, char **arguments)
{
    return change(segment, map, arguments[0], arguments[1]);
}

static bool run_get(vista_segment *segment, struct map *map, char **arguments)
{
    (void)segment;
    return get(map, arguments[0]);
}

static bool run_del(vista_segment *segment, struct map *map, char **arguments)
{
    return change(segment, map, arguments[0], NULL);
}

static bool run_list(vista_segment *segment, struct map *map, char **arguments)
{
    (void)segment;
    (void)arguments;
    list(map);
    return true;
}

static bool run_fill(vista_segment *segment, struct map *map, char **arguments)
{
    return fill(segment, map, strtoul(arguments[0], NULL, 10));
}

static bool run_count(vista_segment *segment, struct map *map, char **arguments)
{
    (void)segment;
    (void)arguments;
    return count(map);
}

static const struct command {
    const char *name;
    int arguments;
    bool (*run)(vista_segment *segment, struct map *map, char **arguments);
} commands[] = {{"put", 2, run_put},   {"get", 1, run_get},   {"del", 1, run_del},
                {"list", 0, run_list}, {"fill", 1, run_fill}, {"count", 0, run_count}};

static const struct command *find_command(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (argc == 1 + commands[i].arguments && strcmp(argv[0], commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    vista_segment *segment;
    struct vista_info info;
    const struct command *command;
    struct map *map;
    int first = 2;
    bool done;

    if (argc > 2 && strcmp(argv[2], "kill") == 0) {
        die_before_commit = true;
        first++;
    }
    command = find_command(argc - first, argv + first);
    if (command == NULL) {
        fprintf(stderr,
                "usage: %s FILE [kill] put KEY VALUE | get KEY | del KEY | list | fill NUMBER | "
                "count\n",
                argv[0]);
        return 2;
    }

    segment = vista_map(argv[1], SEGMENT_SIZE, VISTA_CREATE, NULL);
    map = segment == NULL ? NULL : vista_root(segment, sizeof *map);
    if (map == NULL || vista_info(segment, &info) != 0) {
        fprintf(stderr, "hashmap: %s\n", vista_errormsg());
        return 1;
    }
    if (info.rolled_back + info.finished != 0)
        fprintf(stderr, "recovered: %llu transactions rolled back, %llu finished\n",
                (unsigned long long)info.rolled_back, (unsigned long long)info.finished);

    done = command->run(segment, map, argv + first + 1);
    if (vista_unmap(segment) != 0) {
        fprintf(stderr, "hashmap: %s\n", vista_errormsg());
        return 1;
    }
    return done ? 0 : 1;
}
