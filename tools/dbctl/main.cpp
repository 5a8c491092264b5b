// dbctl: a database, driven by commands on standard input. See docs/tools.md.

#include <poll.h>

#include <lsm/db/db.hpp>

#include "common/cli.hpp"
#include "common/instantiation.hpp"
#include "common/output.hpp"

namespace {

/// The lines of standard input, of any length, without their newlines.
class line_reader {
public:
    /// The next line that has arrived whole, valid until fill().
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

    /// What is left at the end of the input: a last line without a newline, perhaps.
    [[nodiscard]] std::string_view rest() const { return std::string_view(buffer_).substr(taken_); }

    /// Whether fill() would not wait.
    [[nodiscard]] static bool ready() {
        pollfd input{STDIN_FILENO, POLLIN, 0};
        return ::poll(&input, 1, 0) > 0;
    }

    /// Waits for more input; false at its end.
    lsm::result<bool> fill() {
        buffer_.erase(0, taken_);
        searched_ -= taken_;
        taken_ = 0;
        const std::size_t kept = buffer_.size();
        buffer_.resize(kept + chunk);
        for (;;) {
            const auto got = ::read(STDIN_FILENO, buffer_.data() + kept, chunk);
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
    std::size_t taken_ = 0;     // the beginning of the next line
    std::size_t searched_ = 0;  // no newline between taken_ and here
};

class session {
public:
    explicit session(cli::db database) : db_(std::move(database)) {}

    /// Runs all commands of standard input. Writes that have already arrived are gathered and made durable together,
    /// and always before the next wait.
    void run() {
        line_reader lines;
        for (;;) {
            while (const auto line = lines.next()) at_next_line(*line);
            if (!line_reader::ready()) commit();
            const auto more = at_line(line_number_ + 1, [&] { return lines.fill(); });
            if (!more) commit();
            if (!cli::must(more)) break;
        }
        at_next_line(lines.rest());
        commit();
        cli::must(db_.close());
    }

private:
    void at_next_line(std::string_view line) {
        ++line_number_;
        so_far_.step();
        at_line(line_number_, [&] { execute(line); });
    }
    // A line that there is no memory for ends the run, behind all before it.
    template <class Work>
    std::invoke_result_t<Work&> at_line(unsigned long long number, Work work) {
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

    void execute(std::string_view line) {
        const auto words = split(line);
        if (words.empty() || words[0].front() == '#') return;
        const auto is = [&](std::string_view command, std::size_t operands) {
            if (words[0] != command) return false;
            if (words.size() != operands + 1)
                malformed(std::string(command) + " takes " + std::to_string(operands) +
                          (operands == 1 ? " word" : " words"));
            return true;
        };
        if (is("PUT", 2))
            gather([&] { batch_.put(words[1], words[2]); });
        else if (is("DEL", 1))
            gather([&] { batch_.del(words[1]); });
        else if (is("GET", 1))
            get(words[1]);
        else if (is("FLUSH", 0))
            flush();
        else if (is("COMPACT", 0))
            compact();
        else if (is("DUMP", 0))
            dump({.drop_tombstones = true});
        else if (is("DUMP_WITH_TOMBS", 0))
            dump({.drop_tombstones = false});
        else
            malformed("not a command");
    }

    // At most four words: one more than any command has.
    static std::vector<std::string_view> split(std::string_view line) {
        constexpr std::string_view blanks = " \t\r\v\f";
        std::vector<std::string_view> words;
        while (words.size() < 4) {
            const auto start = line.find_first_not_of(blanks);
            if (start == std::string_view::npos) break;
            line.remove_prefix(start);
            const auto length = std::min(line.find_first_of(blanks), line.size());
            words.push_back(line.substr(0, length));
            line.remove_prefix(length);
        }
        return words;
    }

    template <class Add>
    void gather(Add add) {
        add();
        if (batch_.count() == 1) first_gathered_ = line_number_;
        last_gathered_ = line_number_;
        if (batch_.size_bytes() >= largest_batch) commit();
    }
    void commit() {
        if (batch_.count() == 0) return;
        const std::string lines = place(first_gathered_, last_gathered_);
        auto written = cli::naming(lines, [&] { return db_.write(batch_, {.sync = true}); });
        if (!written) throw std::move(written).error().in(lines);
        batch_.clear();
    }
    void flush() {
        commit();
        const cli::long_work now("flushing ...");
        cli::must(db_.flush());
    }
    void compact() {
        commit();
        const cli::long_work now("compacting ...");
        cli::must(db_.compact());
    }
    void dump(lsm::merge_options how) {
        commit();
        so_far_.clear();
        const cli::long_work now("dumping ...");
        cli::standard_output out;
        cli::must(db_.serialize_view(out, how));
    }
    void get(std::string_view key) {
        commit();
        const auto value = cli::must(db_.get(key));
        so_far_.clear();
        cli::print(value ? "value: " + lsm::hex(*value) : "absent");
    }

    [[noreturn]] void malformed(const std::string& why) {
        commit();
        throw lsm::detail::failure(lsm::errc::invalid_argument, why).in(place(line_number_, line_number_));
    }

    static constexpr std::size_t largest_batch = std::size_t{1} << 20;

    cli::db db_;
    cli::write_batch batch_{cli::allocator()};
    unsigned long long line_number_ = 0;
    unsigned long long first_gathered_ = 0, last_gathered_ = 0;  // the lines in batch_
    cli::progress so_far_{"lines"};
};

cli::db open(const std::string& directory) {
    // The same input makes the same files: nothing happens by itself, and everything in this thread, for which alone
    // some of the allocators are.
    static lsm::io::inline_executor here;
    const lsm::options how{
        .compaction = {.style = lsm::compaction_style::none}, .log_preallocation_bytes = 0, .executor = &here};
    const cli::long_work now("opening ...");
    return cli::must(cli::db::open(directory, how, cli::allocator()));
}

void run(cxxopts::Options& known, int argc, const char* const* argv) {
    const auto [options, words] = cli::parse(known, argc, argv, {}, "--dir");
    if (!words.empty() || options.count("dir") == 0) throw cli::usage_error{"usage: dbctl --dir DIR"};
    session(open(options["dir"].as<std::string>())).run();
}

}  // namespace

int main(int argc, char** argv) {
    cxxopts::Options known("dbctl",
                           "A database, driven by commands on standard input\n\n"
                           "  PUT <key> <value>\n"
                           "  DEL <key>\n"
                           "  GET <key>         value: <hex> | absent\n"
                           "  FLUSH\n"
                           "  COMPACT           everything into one level\n"
                           "  DUMP              the merge stream of the live keys\n"
                           "  DUMP_WITH_TOMBS   the same with tombstones\n"
                           "  # comment\n");
    known.custom_help("--dir DIR");
    known.add_options()("dir", "the database's directory; made when missing", cxxopts::value<std::string>(), "DIR");
    return cli::run(known, argc, argv, run);
}
