#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <lsm/io/file_system.hpp>

namespace lsm::test {

/// Forwards every call to another file system: a base for tests that override one of them.
class forwarding_file_system : public io::file_system {
public:
    explicit forwarding_file_system(io::file_system& inner) : inner_(inner) {}

    result<handle> open(std::string_view path, io::open_mode mode) override { return inner_.open(path, mode); }
    result<void> close(handle file) override { return inner_.close(file); }
    result<std::size_t> read_at(handle file, std::uint64_t offset, std::span<char> into) override {
        return inner_.read_at(file, offset, into);
    }
    result<std::size_t> write_at(handle file, std::uint64_t offset, bytes_view data) override {
        return inner_.write_at(file, offset, data);
    }
    result<void> sync_data(handle file) override { return inner_.sync_data(file); }
    void start_sync(handle file, std::uint64_t offset, std::uint64_t size) override {
        inner_.start_sync(file, offset, size);
    }
    result<void> sync(handle file) override { return inner_.sync(file); }
    result<std::uint64_t> size(handle file) override { return inner_.size(file); }
    result<io::file_identity> identity(handle file) override { return inner_.identity(file); }
    result<void> truncate(handle file, std::uint64_t size) override { return inner_.truncate(file, size); }
    result<void> allocate(handle file, std::uint64_t size) override { return inner_.allocate(file, size); }
    result<const char*> map(handle file, std::uint64_t size) override { return inner_.map(file, size); }
    result<char*> map_to_write(handle file, std::uint64_t offset, std::uint64_t size) override {
        return inner_.map_to_write(file, offset, size);
    }
    void unmap(const char* mapped, std::uint64_t size) noexcept override { inner_.unmap(mapped, size); }
    result<void> rename(std::string_view from, std::string_view to) override { return inner_.rename(from, to); }
    result<void> link(std::string_view from, std::string_view to) override { return inner_.link(from, to); }
    result<void> remove(std::string_view path) override { return inner_.remove(path); }
    result<void> make_directory(std::string_view path) override { return inner_.make_directory(path); }
    result<void> sync_directory(std::string_view path) override { return inner_.sync_directory(path); }
    result<void> list(std::string_view path, detail::function_ref<void(std::string_view)> each) override {
        return inner_.list(path, each);
    }
    result<handle> lock(std::string_view path) override { return inner_.lock(path); }

private:
    io::file_system& inner_;
};

}  // namespace lsm::test
