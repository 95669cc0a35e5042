// SPDX-License-Identifier: BSD-3-Clause
//
// Example 9: C++.  A transaction is an object: leaving its scope without a commit, as
// an exception does, aborts it.
//
//     c++ -std=c++17 -o tasks 09_tasks.cpp $(pkg-config --cflags --libs vista)
//
//     ./tasks tasks.vista add 2 mow 1 write     a priority and a text each: all or none
//     ./tasks tasks.vista list                  the smallest priority first
//     ./tasks tasks.vista done mow
//     ./tasks tasks.vista add 1 rest soon sing  "soon" is no number: an exception, none is added
//     ./tasks tasks.vista kill add 1 rest       dies before the commit; then list
//
// What may be stored in a segment is what is only bytes and pointers into it.  Not what
// has virtual functions (the address of code changes from run to run) and not what
// allocates or frees by itself, as std::string does: make() refuses both.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <vista.h>

namespace
{

// ---- What a program may want around vista.h --------------------------------------

struct Error : std::runtime_error {
    Error() : std::runtime_error(vista_errormsg())
    {
    }
};

class Segment
{
  public:
    Segment(const char *path, std::size_t size)
        : segment_(vista_map(path, size, VISTA_CREATE, nullptr))
    {
        if (segment_ == nullptr)
            throw Error();
    }
    Segment(const Segment &) = delete;
    Segment &operator=(const Segment &) = delete;
    ~Segment()
    {
        if (segment_ != nullptr)
            vista_unmap(segment_);
    }

    // Tells, as the destructor cannot, whether all was written.
    void unmap()
    {
        if (vista_unmap(std::exchange(segment_, nullptr)) != 0)
            throw Error();
    }

    template <class T> T &root() const
    {
        void *root = vista_root(segment_, sizeof(T));

        if (root == nullptr)
            throw Error();
        return *static_cast<T *>(root); // zeroed when new: a T for which that is a value
    }

    vista_segment *get() const
    {
        return segment_;
    }

  private:
    vista_segment *segment_;
};

class Transaction
{
  public:
    explicit Transaction(const Segment &segment) : tx_(vista_begin_transaction(segment.get(), 0))
    {
        if (tx_ == nullptr)
            throw Error();
    }
    Transaction(const Transaction &) = delete;
    Transaction &operator=(const Transaction &) = delete;
    ~Transaction()
    {
        if (tx_ != nullptr)
            vista_abort_transaction(tx_);
    }

    void commit()
    {
        if (vista_end_transaction(std::exchange(tx_, nullptr), 0) != 0)
            throw Error();
    }

    // Declares the object: tx.change(list.first) = task;
    template <class T> T &change(T &object)
    {
        if (vista_set_range(tx_, &object, sizeof object) != 0)
            throw Error();
        return object;
    }

    // A new T, followed by room for `more` bytes.
    template <class T> T *make(std::size_t more = 0)
    {
        static_assert(std::is_trivially_copyable_v<T>, "only bytes can be stored");
        void *block = vista_malloc(tx_, sizeof(T) + more);

        if (block == nullptr)
            throw Error();
        return new (block) T();
    }

    void destroy(void *block)
    {
        if (vista_free(tx_, block) != 0)
            throw Error();
    }

  private:
    vista_tx *tx_;
};

// ---- A list of tasks, by priority -------------------------------------------------

struct Task {
    Task *next;
    int priority;

    char *text()
    {
        return reinterpret_cast<char *>(this + 1);
    }
};

// The root.
struct Tasks {
    Task *first;
};

void add(Transaction &tx, Tasks &tasks, int priority, const char *text)
{
    Task **link = &tasks.first;

    while (*link != nullptr && (*link)->priority <= priority)
        link = &(*link)->next;

    const std::size_t size = std::strlen(text) + 1;
    Task *task = tx.make<Task>(size); // new: needs no declaration
    std::memcpy(task->text(), text, size);
    task->priority = priority;
    task->next = *link;
    tx.change(*link) = task;
}

bool done(Transaction &tx, Tasks &tasks, const char *text)
{
    Task **link = &tasks.first;

    while (*link != nullptr && std::strcmp((*link)->text(), text) != 0)
        link = &(*link)->next;
    if (*link == nullptr)
        return false;

    Task *task = *link;
    tx.change(*link) = task->next;
    tx.destroy(task);
    return true;
}

int number(const char *text)
{
    char *end;
    const long value = std::strtol(text, &end, 10);

    if (end == text || *end != '\0')
        throw std::invalid_argument(std::string(text) + ": not a number");
    return static_cast<int>(value);
}

// ---- The command line ---------------------------------------------------------------

int usage(const char *program)
{
    std::cerr << "usage: " << program << " FILE [kill] add {PRIORITY TEXT}... | done TEXT | list\n";
    return 2;
}

int run(const Segment &segment, Tasks &tasks, const std::string &command, char **words, bool kill)
{
    if (command == "list") {
        for (Task *task = tasks.first; task != nullptr; task = task->next)
            std::cout << task->priority << '\t' << task->text() << '\n';
        return 0;
    }

    Transaction tx(segment);

    if (command == "done") {
        if (!done(tx, tasks, words[0])) {
            std::cout << words[0] << ": not there\n";
            return 1; // the transaction aborts
        }
    } else {
        for (; *words != nullptr; words += 2)
            add(tx, tasks, number(words[0]), words[1]); // number throws: the transaction aborts
    }
    if (kill)
        std::raise(SIGKILL);
    tx.commit();
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    const bool kill = argc > 2 && std::string(argv[2]) == "kill";
    const int first = kill ? 3 : 2, words = argc - first - 1;
    const std::string command = words < 0 ? "" : argv[first];

    if (!(command == "add"
              ? words > 0 && words % 2 == 0
              : (command == "done" && words == 1) || (command == "list" && words == 0)))
        return usage(argv[0]);

    try {
        Segment segment(argv[1], 16 << 20);
        const int status = run(segment, segment.root<Tasks>(), command, argv + first + 1, kill);

        segment.unmap();
        return status;
    } catch (const std::exception &error) {
        std::cerr << "tasks: " << error.what() << '\n';
        return 1;
    }
}
