// dbctl: runs commands from standard input on a database. See docs/tools.md.

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <lsm/db/db.hpp>

#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"

namespace {

constexpr std::string_view usage = "--dir DIR";

/// Reads standard input in lines of any length.
class line_reader {
public:
    /// Returns the next line, without its newline, if all of it has arrived. The view is valid until fill().
    std::optional<std::string_view> next() {
        const auto end = buffer_.find('\n', searched_);
        if (end == std::string::npos) {
            searched_ = buffer_.size();
            return std::nullopt;
        }
        const std::string_view line = std::string_view(buffer_).substr(taken_, end - taken_);
        taken_ = searched_ = end + 1;
        return line;
    }

    /// Returns the bytes after the last newline. At the end of the input they are its last line, or empty.
    [[nodiscard]] std::string_view rest() const { return std::string_view(buffer_).substr(taken_); }

    /// Returns whether fill() would return without waiting.
    [[nodiscard]] static bool ready() {
        pollfd input{STDIN_FILENO, POLLIN, 0};
        return ::poll(&input, 1, 0) > 0;
    }

    /// Reads more input; waits for it if none is there. Returns false at the end of the input.
    lsm::result<bool> fill() {
        buffer_.erase(0, taken_);
        searched_ -= taken_;
        taken_ = 0;
        const std::size_t kept = buffer_.size();
        buffer_.resize(kept + chunk);
        for (;;) {
            const auto got = ::read(STDIN_FILENO, buffer_.data() + kept, chunk);
            // Another process may have made the descriptor non-blocking.
            if (got < 0 && errno == EAGAIN) cli::wait_for(STDIN_FILENO, POLLIN);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            buffer_.resize(kept + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
            if (got < 0) return lsm::detail::system_failure("read", errno).in("standard input");
            return got > 0;
        }
    }

private:
    static constexpr std::size_t chunk = std::size_t{64} << 10;

    std::string buffer_;
    std::size_t taken_ = 0;     // where the next line begins
    std::size_t searched_ = 0;  // there is no newline between taken_ and here
};

/// Runs the commands of standard input on a database. Consecutive writes are collected in a batch, which is committed,
/// and thereby durable, before any other command runs.
class session {
public:
    using words = std::vector<std::string_view>;

    /// A command of standard input.
    struct command {
        std::string_view name;
        std::string_view arguments;                     // as help and errors show them: "<key>"
        std::string_view summary;                       // what the command does, in one line of help
        std::size_t word_count;                         // how many words it takes
        void (*run)(session& self, const words& line);  // line[0] is the command's name
    };

    static std::span<const command> commands() {
        static constexpr command table[] = {
            {"PUT", "<key> <value>", "set a key to a value", 2,
             [](session& self, const words& line) { self.collect([&] { self.batch_.put(line[1], line[2]); }); }},
            {"DEL", "<key>", "delete a key", 1,
             [](session& self, const words& line) { self.collect([&] { self.batch_.del(line[1]); }); }},
            {"GET", "<key>", "print value: <hex> | absent", 1,
             [](session& self, const words& line) { self.get(line[1]); }},
            {"FLUSH", "", "write the memtable to a table", 0, [](session& self, const words&) { self.flush(); }},
            {"COMPACT", "", "merge everything into one level without tombstones", 0,
             [](session& self, const words&) { self.compact(); }},
            {"DUMP", "", "write the merge stream of the live keys", 0,
             [](session& self, const words&) { self.dump({.drop_tombstones = true}); }},
            {"DUMP_WITH_TOMBS", "", "write the merge stream with tombstones", 0,
             [](session& self, const words&) { self.dump({.drop_tombstones = false}); }},
        };
        return table;
    }

    explicit session(cli::db database) : db_(std::move(database)) {}

    /// Runs all commands of standard input, then closes the database. Commits writes before waiting for more input.
    void run() {
        line_reader lines;
        for (;;) {
            while (const auto line = lines.next()) execute_next(*line);
            if (!line_reader::ready()) commit();
            const auto more = with_memory_for(line_number_ + 1, [&] { return lines.fill(); });
            // The lines before a read error are durable when it is reported.
            if (!more) commit();
            if (!cli::must(more)) break;
        }
        execute_next(lines.rest());
        commit();
        cli::must(db_.close());
    }

private:
    void execute_next(std::string_view line) {
        ++line_number_;
        progress_.step();
        with_memory_for(line_number_, [&] { execute(line); });
    }

    // Calls `work`, which handles the line of that number. If memory runs out, commits the lines before it and throws
    // an error that names the line.
    template <class Work>
    std::invoke_result_t<Work&> with_memory_for(unsigned long long number, Work work) {
        try {
            return work();
        } catch (const std::bad_alloc&) {
            commit();
            throw lsm::detail::out_of_memory(place(number, number));
        }
    }
    static std::string place(unsigned long long first, unsigned long long last) {
        const std::string from = std::to_string(first);
        return "standard input: " + (first == last ? "line " + from : "lines " + from + " to " + std::to_string(last));
    }

    void execute(std::string_view text) {
        const words line = split(text);
        if (line.empty() || line[0].front() == '#') return;
        const command* const found = cli::find_command(commands(), line[0]);
        if (found == nullptr) malformed("not a command");
        if (line.size() != 1 + found->word_count) malformed("usage: " + cli::usage_of(*found));
        found->run(*this, line);
    }

    // Returns the first four words: no command has more than three.
    static words split(std::string_view line) {
        constexpr std::string_view blanks = " \t\r\v\f";
        words out;
        while (out.size() < 4) {
            const auto start = line.find_first_not_of(blanks);
            if (start == std::string_view::npos) break;
            line.remove_prefix(start);
            const auto length = std::min(line.find_first_of(blanks), line.size());
            out.push_back(line.substr(0, length));
            line.remove_prefix(length);
        }
        return out;
    }

    // Calls `add`, which adds the write of the current line to the batch. A long batch is committed at once, which
    // bounds the memory for it.
    template <class Add>
    void collect(Add add) {
        add();
        if (batch_.count() == 1) first_collected_ = line_number_;
        last_collected_ = line_number_;
        if (batch_.size_bytes() >= largest_batch) commit();
    }
    // Makes the collected writes durable, all or none. An error names their lines.
    void commit() {
        if (batch_.count() == 0) return;
        const std::string lines = place(first_collected_, last_collected_);
        auto written = cli::guard_memory(lines, [&] { return db_.write(batch_, {.sync = true}); });
        if (!written) throw std::move(written).error().in(lines);
        batch_.clear();
    }
    void flush() {
        commit();
        const cli::long_work work("flushing ...");
        cli::must(db_.flush());
    }
    void compact() {
        commit();
        const cli::long_work work("compacting ...");
        cli::must(db_.compact());
    }
    void dump(lsm::merge_options options) {
        commit();
        progress_.clear();
        const cli::long_work work("dumping ...");
        cli::standard_output out;
        cli::must(db_.serialize_view(out, options));
    }
    void get(std::string_view key) {
        commit();
        const auto value = cli::must(db_.get(key));
        progress_.clear();
        cli::print(value ? "value: " + lsm::hex(*value) : "absent");
    }

    // Ends the run with an error at the current line, after committing the lines before it.
    [[noreturn]] void malformed(const std::string& reason) {
        commit();
        throw lsm::detail::failure(lsm::errc::invalid_argument, reason).in(place(line_number_, line_number_));
    }

    static constexpr std::size_t largest_batch = std::size_t{1} << 20;

    cli::db db_;
    cli::write_batch batch_{cli::allocator()};
    unsigned long long line_number_ = 0;
    unsigned long long first_collected_ = 0, last_collected_ = 0;  // the lines in batch_
    cli::progress progress_{"lines"};
};

cli::db open(const std::string& directory) {
    // The same input must make the same files, so there is no automatic compaction. Everything runs in this thread:
    // some of the allocators are for one thread only.
    static lsm::io::inline_executor executor;
    const lsm::options opts{
        .compaction = {.style = lsm::compaction_style::none}, .log_preallocation_bytes = 0, .executor = &executor};
    const cli::long_work work("opening ...");
    return cli::must(cli::db::open(directory, opts, cli::allocator()));
}

void run_session(const cli::command_line& line) {
    if (!line.words.empty() || line.options.count("dir") == 0)
        throw cli::usage_error{"usage: dbctl " + std::string(usage)};
    session(open(line.options["dir"].as<std::string>())).run();
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("dbctl", "Run commands from standard input, one a line, on a database\n\n" +
                                        cli::help_of("", session::commands()) + "  # comment\n");
    known.custom_help(std::string(usage));
    known.add_options()("dir", "the database's directory, created if missing", cxxopts::value<std::string>(), "DIR");
    return cli::run(known, argc, argv, [&] { run_session(cli::parse(known, argc, argv, "--dir")); });
}
