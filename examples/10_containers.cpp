// SPDX-License-Identifier: BSD-3-Clause
//
// Example 10: std::map and std::string in a segment.  Their allocator takes memory from the
// heap of the segment, and page protection finds what they store to (VISTA_AUTO_RANGE): their
// code declares no ranges, and cannot be made to.
//
//     c++ -std=c++17 -o containers 10_containers.cpp $(pkg-config --cflags --libs vista)
//
//     ./containers book.vista put ann 12-34 bob 56-78     all or none
//     ./containers book.vista get ann
//     ./containers book.vista list
//     ./containers book.vista kill put ann 0 del bob      dies before the commit; then list
//     ./containers book.vista put cy 1 del nobody         not there: an exception, nothing is done
//
// What makes it right:
//   - The allocator has no state: a pointer to the transaction would be stored in each
//     container, and mean nothing to the next process.  It takes the thread's own.
//   - A segment always lies at the same address, so that the containers' ordinary pointers hold,
//     those into themselves, too (of a short string; of a map to its end).
//   - The map is constructed once, when the segment is new, and never destroyed.
//   - What a container looks like in memory belongs to the file's format: it is the one of the
//     standard library that the program is compiled with, and the same in its next version
//     (libstdc++ keeps it; another library has another).
//   - Nothing with virtual functions, and no allocation that goes elsewhere: the strings in the
//     map have the segment's allocator, too.
#include <csignal>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include <vista.h>

namespace
{

struct Error : std::runtime_error {
    Error() : std::runtime_error(vista_errormsg())
    {
    }
};

// ---- The allocator -----------------------------------------------------------------

thread_local vista_tx *current; // that of this thread's transaction, or null

template <typename T> struct Allocator {
    using value_type = T;

    Allocator() = default;
    template <typename U> Allocator(const Allocator<U> &)
    {
    }

    T *allocate(std::size_t count)
    {
        void *block =
            count <= SIZE_MAX / sizeof(T) ? vista_malloc(current, count * sizeof(T)) : nullptr;

        if (block == nullptr)
            throw std::bad_alloc();
        return static_cast<T *>(block);
    }

    // A block is freed when the transaction commits, so that an abort has it back.
    void deallocate(T *block, std::size_t)
    {
        vista_free(current, block);
    }
};

template <typename T, typename U> bool operator==(const Allocator<T> &, const Allocator<U> &)
{
    return true;
}

template <typename T, typename U> bool operator!=(const Allocator<T> &, const Allocator<U> &)
{
    return false;
}

using String = std::basic_string<char, std::char_traits<char>, Allocator<char>>;
// std::less<>: what is looked for need not be a String, which may take memory.
using Book = std::map<String, String, std::less<>, Allocator<std::pair<const String, String>>>;

// ---- Transactions ------------------------------------------------------------------

// One at a time.  Without a commit, as when an exception leaves its scope, it is aborted.
class Transaction
{
  public:
    explicit Transaction(vista_segment *segment)
    {
        current = vista_begin_transaction(segment, 0);
        if (current == nullptr)
            throw Error();
    }
    Transaction(const Transaction &) = delete;
    Transaction &operator=(const Transaction &) = delete;
    ~Transaction()
    {
        if (current != nullptr)
            vista_abort_transaction(current);
        current = nullptr;
    }

    void commit()
    {
        if (vista_end_transaction(current, 0) != 0)
            throw Error();
        current = nullptr;
    }
};

// ---- The program -------------------------------------------------------------------

struct Root {
    bool made; // the map is constructed
    alignas(Book) unsigned char book[sizeof(Book)];
};

Book &open_book(vista_segment *segment)
{
    auto *root = static_cast<Root *>(vista_root(segment, sizeof(Root)));

    if (root == nullptr)
        throw Error();
    if (!root->made) {
        Transaction transaction(segment);

        new (root->book) Book;
        root->made = true;
        transaction.commit();
    }
    return *std::launder(reinterpret_cast<Book *>(root->book));
}

void list(const Book &book)
{
    for (const auto &[name, number] : book)
        std::cout << name << '\t' << number << '\n';
}

void get(const Book &book, std::string_view name)
{
    const auto found = book.find(name);

    if (found == book.end())
        throw std::runtime_error("not there");
    std::cout << found->second << '\n';
}

// put NAME NUMBER... del NAME...: until the words end.
void change(Book &book, char **words)
{
    bool put = true;

    for (; *words != nullptr; words++) {
        if (std::strcmp(*words, "put") == 0 || std::strcmp(*words, "del") == 0) {
            put = **words == 'p';
        } else if (!put) {
            const auto found = book.find(std::string_view(*words));

            if (found == book.end())
                throw std::runtime_error(std::string(*words) + ": not there");
            book.erase(found);
        } else if (words[1] != nullptr) {
            book.insert_or_assign(String(words[0]), String(words[1]));
            words++;
        } else {
            throw std::runtime_error(std::string(*words) + ": without a number");
        }
    }
}

void run(vista_segment *segment, char **words)
{
    const bool kill = std::strcmp(*words, "kill") == 0;
    Book &book = open_book(segment);

    if (std::strcmp(*words, "list") == 0) {
        list(book);
    } else if (std::strcmp(*words, "get") == 0 && words[1] != nullptr) {
        get(book, words[1]);
    } else {
        Transaction transaction(segment);

        change(book, words + kill);
        if (kill)
            raise(SIGKILL);
        transaction.commit();
    }
}

} // namespace

int main(int argc, char **argv)
{
    int status = 0;

    if (argc < 3) {
        std::cerr << "usage: " << argv[0]
                  << " FILE list | get NAME | [kill] put NAME NUMBER ... del NAME ...\n";
        return 2;
    }
    vista_segment *segment =
        vista_map(argv[1], 16 << 20, VISTA_CREATE | VISTA_AUTO_RANGE | VISTA_GROW, nullptr);
    if (segment == nullptr) {
        std::cerr << argv[0] << ": cannot open: " << vista_errormsg() << '\n';
        return 1;
    }
    try {
        run(segment, argv + 2);
    } catch (const std::exception &error) {
        std::cerr << argv[0] << ": " << error.what() << '\n';
        status = 1;
    }
    if (vista_unmap(segment) != 0) {
        std::cerr << argv[0] << ": " << vista_errormsg() << '\n';
        status = 1;
    }
    return status;
}
