#pragma once

#include <cstddef>
#include <memory>

#include <lsm/core/bytes.hpp>
#include <lsm/core/result.hpp>
#include <lsm/io/file.hpp>

namespace lsm::io {

/// Receives the bytes that a stage writes, in order. After append() has failed, the stage writes nothing more.
class sink {
public:
    virtual ~sink() = default;
    virtual result<void> append(bytes_view data) = 0;
};

/// Appends to a string, which must outlive the sink.
template <class String = bytes>
class string_sink final : public sink {
public:
    explicit string_sink(String& out) noexcept : out_(&out) {}
    result<void> append(bytes_view data) override {
        out_->append(data.data(), data.size());
        return {};
    }

private:
    String* out_;
};

/// Appends to a file, which must outlive the sink. For files that are synced once complete: starts writing the bytes to
/// the disk as they arrive (file::start_sync()), so that the sync has less to wait for. Does not sync.
class file_sink final : public sink {
public:
    explicit file_sink(file& out) noexcept : out_(&out) {}
    result<void> append(bytes_view data) override {
        auto done = out_->append(data);
        if (done) out_->start_sync();
        return done;
    }

private:
    file* out_;
};

/// Collects small pieces in a buffer and passes them to another sink, which must outlive this one, in large ones.
/// flush() passes on the rest; the destructor does not.
template <class Alloc = std::allocator<std::byte>>
class buffered_sink final : public sink {
public:
    explicit buffered_sink(sink& out, const Alloc& alloc = {}) : out_(&out), buffer_(alloc) {
        buffer_.reserve(capacity);
    }

    result<void> append(bytes_view data) override {
        if (buffer_.size() + data.size() > capacity) {
            if (auto done = flush(); !done) return done;
            if (data.size() >= capacity) return out_->append(data);
        }
        buffer_.append(data.data(), data.size());
        return {};
    }

    result<void> flush() {
        auto done = buffer_.empty() ? result<void>() : out_->append(buffer_);
        buffer_.clear();
        return done;
    }

private:
    static constexpr std::size_t capacity = std::size_t{64} << 10;

    sink* out_;
    basic_bytes<Alloc> buffer_;
};

}  // namespace lsm::io
