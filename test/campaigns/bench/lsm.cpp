#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <lsm/lsm.hpp>

#include "engine.hpp"

namespace bench {
namespace {

using lsm::test::must;

class lsm_engine : public engine {
public:
    explicit lsm_engine(bool mapped) : mapped_(mapped) {}
    std::string version() const override { return LSM_VERSION; }
    void open(const config& settings) override {
        lsm::options opts;
        opts.write_buffer_bytes = settings.write_buffer_bytes;
        opts.block_cache_bytes = settings.cache_bytes;
        opts.filter_bits_per_key = settings.filter_bits_per_key;
        opts.sync = settings.sync;
        opts.map_tables = opts.map_log = mapped_;
        db_ = must(lsm::db::open(settings.directory, opts));
    }
    void close() override {
        must(db_->close());
        db_.reset();
    }
    void put(std::string_view key, std::string_view value) override { must(db_->put(key, value)); }
    void put_batch(std::span<const entry> entries) override {
        batch_.clear();
        for (const auto& [key, value] : entries) batch_.put(key, value);
        must(db_->write(batch_));
    }
    void del(std::string_view key) override { must(db_->del(key)); }
    bool get(std::string_view key, value_visitor visit) override {
        const auto found = must(db_->get(key));
        if (found) visit(*found);
        return found.has_value();
    }
    seen walk_up(std::string_view from, std::uint64_t most) override { return walk(db_->scan({.from = from}), most); }
    seen walk_down(std::uint64_t most) override { return walk(db_->scan({.reverse = true}), most); }
    void compact() override { must(db_->compact()); }
    void settle() override { must(db_->settle()); }

private:
    static seen walk(lsm::db::cursor at, std::uint64_t most) {
        seen out;
        for (; out.entries < most && at.valid(); at.next()) out.add(at.key(), at.value());
        must(at.status());
        return out;
    }

    bool mapped_;
    std::optional<lsm::db> db_;
    lsm::db::batch batch_;
};

}  // namespace

std::unique_ptr<engine> make_lsm() { return std::make_unique<lsm_engine>(false); }
std::unique_ptr<engine> make_mapped_lsm() { return std::make_unique<lsm_engine>(true); }

}  // namespace bench
