/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command line.  Usage errors exit with 2.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void bench_usage(FILE *out)
{
    fputs(
        "usage: vista-bench COMMAND [OPTION...]\n"
        "\n"
        "commands:\n"
        "  main          the main table: debit-credit and order-entry, each peer, both classes\n"
        "  debit-credit  TPC-B's transaction: five ranges, 50 MB\n"
        "  order-entry   TPC-C's new-order, payment and delivery, in the heap\n"
        "  synthetic     one range of a given size, at random places of 50 MB\n"
        "  heap          allocation and free: 64 B, mixed sizes, a hash map\n"
        "  recovery      time to map a segment after a kill, by size of log and of heap;\n"
        "                and of copying as much twice\n"
        "  threads       debit-credit on 1, 2, ... threads, own branches and shared ones;\n"
        "                and small blocks of the heap, own and handed on\n"
        "  grams         a request and its response between two processes, beside UDP, Redis, ...\n"
        "  checkpoint    vista-run beside bare runs: system calls, checkpoints, programs, editors\n"
        "  protocols     what each protocol of vista-run commits, and costs\n"
        "  failures      bugs of a program that each of them commits before the crash\n"
        "  segments      debit-credit over two segments that share a log, and in one\n"
        "  sizes         debit-credit with databases of 10 to 400 MB (--size: to more or less)\n"
        "  disk          commits on a real disk (--path: where), and the bars of the disk class\n"
        "  rvm           vista, and RVM in memory and on a disk (--path), by groups of commits;\n"
        "                the dissertation's figures 3.4 to 3.6\n"
        "  all           everything, with CSV files for bench/plot\n"
        "\n"
        "options:\n"
        "  --peer LIST      of vista, vista-auto, plain, floor, libpmemobj, lmdb, sqlite; copy, "
        "faults,\n"
        "                   vista-two; vista-disk, -8 and -64 (of so many commits one is "
        "flushed),\n"
        "                   -lazy (none), -everysec; floor-sync, floor-ring; rvm, -8, -64, -lazy\n"
        "                   (commas between); one that is not there is skipped\n"
        "  --class LIST     of kill, line, eadr; sync for peers that sync a file (default kill)\n"
        "  --seconds S      length of a run (default 1; main and disk 0.5, grams 0.3, rvm 0.2)\n"
        "  --runs N         runs of each row, in turns; the median counts (default 5; main, disk\n"
        "                   and rvm 7, protocols 3, failures 10)\n"
        "  --threads N      threads, each with branches of its own (default 1, pinned)\n"
        "  --shared         threads share the branches, under locks\n"
        "  --size BYTES     of the database (K, M, G allowed)\n"
        "  --range BYTES    synthetic: what a transaction changes (default: 8 B to 1 MB)\n"
        "  --seed N         of the random numbers (default 1)\n"
        "  --path PATH      a directory for the files (default /dev/shm), or, with one peer and\n"
        "                   one class, a file, which is kept\n"
        "  --resume         with a file as --path: go on with what is there\n"
        "  --acks FILE      count in FILE what was acknowledged, for --verify after a kill\n"
        "  --verify PATH    debit-credit, order-entry: recover and check a file instead\n"
        "  --json           one JSON object a row instead of the table\n"
        "  --csv FILE       write the rows to FILE too\n"
        "  --out DIR        all, grams, checkpoint, protocols, failures, rvm: where files of\n"
        "                   figures go (default: all bench/results, the others none)\n"
        "  --help           this text\n"
        "\n"
        "exit status: 0 done and every check passed; 1 a check or a run failed; 2 usage.\n",
        out);
}

void bench_usage_error(const char *format, ...)
{
    va_list arguments;

    fputs("vista-bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\nTry vista-bench --help.\n", stderr);
    exit(2);
}

static const char *const class_names[CLASSES] = {"none", "kill", "line", "eadr", "sync"};

const char *bench_class_name(enum durability class)
{
    return class_names[class];
}

enum durability bench_class(const char *name, size_t length)
{
    for (int i = CLASS_KILL; i < CLASSES; i++) {
        if (strlen(class_names[i]) == length && strncmp(class_names[i], name, length) == 0)
            return (enum durability)i;
    }
    return CLASS_NONE;
}

bool bench_list_has(const char *list, const char *name)
{
    const size_t length = strlen(name);

    for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        if (strcspn(at, ",") == length && strncmp(at, name, length) == 0)
            return true;
    }
    return false;
}

static double number(const char *option, const char *text, double low, double high)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(value >= low && value <= high))
        bench_usage_error("%s wants a number from %g to %g, not '%s'", option, low, high, text);
    return value;
}

static uint64_t integer(const char *option, const char *text, uint64_t low, uint64_t high)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || *text == '-' || errno != 0 || value < low || value > high)
        bench_usage_error("%s wants a whole number from %llu to %llu, not '%s'", option,
                          (unsigned long long)low, (unsigned long long)high, text);
    return value;
}

static size_t bytes(const char *option, const char *text)
{
    static const char suffixes[] = "KMG";
    char *end;
    const char *suffix;
    unsigned long long value;
    unsigned shift = 0;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (end != text && *end != '\0' && (suffix = strchr(suffixes, *end)) != NULL) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
        end++;
    }
    if (end == text || *end != '\0' || *text == '-' || errno != 0 || value == 0 ||
        value > (UINT64_C(1) << 40) >> shift)
        bench_usage_error("%s wants a size such as 4096, 64K, 50M or 1G, not '%s'", option, text);
    return (size_t)value << shift;
}

static void check_lists(const struct config *config)
{
    char name[64];
    size_t length;

    for (const char *at = config->classes; at != NULL && *at != '\0'; at += *at == ',') {
        length = strcspn(at, ",");
        if (bench_class(at, length) == CLASS_NONE)
            bench_usage_error("--class: no class '%.*s'; there are kill, line, eadr and sync",
                              (int)length, at);
        at += length;
    }
    for (const char *at = config->peers; at != NULL && *at != '\0'; at += *at == ',') {
        length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        if (!bench_peer_known(name))
            bench_usage_error("--peer: no peer '%s'", name);
        at += length;
    }
    if ((config->classes != NULL && *config->classes == '\0') ||
        (config->peers != NULL && *config->peers == '\0'))
        bench_usage_error("an empty list");
}

enum option_code {
    PEER = 256,
    CLASS,
    SECONDS,
    RUNS,
    THREADS,
    SHARED,
    SIZE,
    RANGE,
    SEED,
    PATH,
    RESUME,
    ACKS,
    VERIFY,
    JSON,
    CSV,
    OUT,
    HELP,
    WORKER
};

static const struct option options[] = {{"peer", required_argument, NULL, PEER},
                                        {"class", required_argument, NULL, CLASS},
                                        {"seconds", required_argument, NULL, SECONDS},
                                        {"runs", required_argument, NULL, RUNS},
                                        {"threads", required_argument, NULL, THREADS},
                                        {"shared", no_argument, NULL, SHARED},
                                        {"size", required_argument, NULL, SIZE},
                                        {"range", required_argument, NULL, RANGE},
                                        {"seed", required_argument, NULL, SEED},
                                        {"path", required_argument, NULL, PATH},
                                        {"resume", no_argument, NULL, RESUME},
                                        {"acks", required_argument, NULL, ACKS},
                                        {"verify", required_argument, NULL, VERIFY},
                                        {"json", no_argument, NULL, JSON},
                                        {"csv", required_argument, NULL, CSV},
                                        {"out", required_argument, NULL, OUT},
                                        {"help", no_argument, NULL, HELP},
                                        {"worker", no_argument, NULL, WORKER},
                                        {NULL, 0, NULL, 0}};

static void take(struct config *config, int code, const char *value)
{
    switch (code) {
    case PEER:
        config->peers = value;
        break;
    case CLASS:
        config->classes = value;
        break;
    case SECONDS:
        config->seconds = number("--seconds", value, 0.001, 86400);
        break;
    case RUNS:
        config->runs = (unsigned)integer("--runs", value, 1, MAX_RUNS);
        break;
    case THREADS:
        config->threads = (unsigned)integer("--threads", value, 1, 256);
        break;
    case SHARED:
        config->shared = true;
        break;
    case SIZE:
        config->size = bytes("--size", value);
        break;
    case RANGE:
        config->range = bytes("--range", value);
        break;
    case SEED:
        config->seed = integer("--seed", value, 0, UINT64_MAX);
        break;
    case PATH:
        config->path = value;
        break;
    case RESUME:
        config->resume = true;
        break;
    case ACKS:
        config->acks = value;
        break;
    case VERIFY:
        config->verify = value;
        break;
    case JSON:
        config->json = true;
        break;
    case CSV:
        config->csv = value;
        break;
    case OUT:
        config->out = value;
        break;
    case WORKER:
        config->worker = true;
        break;
    case HELP:
        bench_usage(stdout);
        exit(0);
    default:
        bench_usage_error("what is wrong stands above");
    }
}

struct config bench_options(int argc, char **argv)
{
    struct config config = {.seed = 1, .threads = 1};
    int code;

    while ((code = getopt_long(argc, argv, "h", options, NULL)) != -1)
        take(&config, code == 'h' ? HELP : code, optarg);
    if (optind >= argc)
        bench_usage_error("a command is wanted");
    if (optind + 1 < argc)
        bench_usage_error("one command is wanted, and '%s' stands after it", argv[optind + 1]);
    config.command = argv[optind];
    check_lists(&config);
    return config;
}
