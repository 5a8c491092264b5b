#pragma once

#include <memory>

#include "engine.hpp"

namespace bench {

/// The operations that LevelDB and RocksDB, whose interfaces have a common origin, share. `Api` names their types.
template <class Api>
class leveldb_family : public engine {
public:
    void put(std::string_view key, std::string_view value) override {
        must(db_->Put(write_options_, slice(key), slice(value)));
    }
    void put_batch(std::span<const entry> entries) override {
        batch_.Clear();
        for (const auto& [key, value] : entries) batch_.Put(slice(key), slice(value));
        must(db_->Write(write_options_, &batch_));
    }
    void del(std::string_view key) override { must(db_->Delete(write_options_, slice(key))); }
    bool get(std::string_view key, value_visitor visit) override {
        // Kept from call to call, so that a copied value reuses its memory.
        thread_local typename Api::value value;
        const auto found = Api::get(*db_, read_options_, slice(key), value);
        if (!found.IsNotFound()) must(found);
        if (found.ok()) visit({value.data(), value.size()});
        Api::release(value);
        return found.ok();
    }
    seen walk_up(std::string_view from, std::uint64_t most) override {
        return walk(
            most, [&](auto& at) { at.Seek(slice(from)); }, [](auto& at) { at.Next(); });
    }
    seen walk_down(std::uint64_t most) override {
        return walk(
            most, [](auto& at) { at.SeekToLast(); }, [](auto& at) { at.Prev(); });
    }

protected:
    static void must(const typename Api::status& outcome) {
        if (!outcome.ok()) throw failure(outcome.ToString());
    }

    std::unique_ptr<typename Api::db> db_;
    typename Api::write_options write_options_;
    typename Api::read_options read_options_;

private:
    static typename Api::slice slice(std::string_view text) { return {text.data(), text.size()}; }
    seen walk(std::uint64_t most, auto start, auto step) {
        const std::unique_ptr<typename Api::iterator> at(db_->NewIterator(read_options_));
        seen out;
        for (start(*at); out.entries < most && at->Valid(); step(*at))
            out.add({at->key().data(), at->key().size()}, {at->value().data(), at->value().size()});
        must(at->status());
        return out;
    }

    typename Api::batch batch_;
};

}  // namespace bench
