#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "engine.hpp"

namespace bench {
namespace {

/// The limit that the disk and the file system set for all engines: appends records to a file and syncs each, into
/// space that is preallocated in steps of 1 MiB.
class disk_engine : public engine {
public:
    std::string version() const override { return "fdatasync"; }
    void open(const config& settings) override {
        std::filesystem::create_directories(settings.directory);
        file_ = ::open((settings.directory + "/log").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        must(file_ == -1 ? errno : 0);
    }
    void close() override { must(::close(file_) == -1 ? errno : 0); }
    void put(std::string_view key, std::string_view value) override {
        record_.assign(key).append(value);
        const auto bytes = static_cast<off_t>(record_.size());
        if (end_ + bytes > allocated_) {
            must(::posix_fallocate(file_, allocated_, step));
            allocated_ += step;
        }
        if (::pwrite(file_, record_.data(), record_.size(), end_) != bytes) throw failure("cannot write");
        must(::fdatasync(file_) == -1 ? errno : 0);
        end_ += bytes;
    }

private:
    static constexpr off_t step = off_t{1} << 20;

    static void must(int error) {
        if (error != 0) throw failure(std::generic_category().message(error));
    }

    int file_ = -1;
    off_t end_ = 0;
    off_t allocated_ = 0;
    std::string record_;
};

}  // namespace

std::unique_ptr<engine> make_disk() { return std::make_unique<disk_engine>(); }

}  // namespace bench
