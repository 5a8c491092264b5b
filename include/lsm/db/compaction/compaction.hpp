#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/core/bytes.hpp>
#include <lsm/core/entry.hpp>
#include <lsm/core/function_ref.hpp>
#include <lsm/core/hash.hpp>
#include <lsm/core/result.hpp>
#include <lsm/core/vector_of.hpp>
#include <lsm/db/compaction_policy.hpp>
#include <lsm/db/disk/db_directory.hpp>
#include <lsm/db/disk/table_files.hpp>
#include <lsm/db/levels.hpp>
#include <lsm/db/state/run_cursor.hpp>
#include <lsm/db/state/table_set.hpp>
#include <lsm/merge/merging_iterator.hpp>

namespace lsm::detail {

/// The merge of some tables of a table_set into new ones, as a compaction_choice says. Reads and writes files, but does
/// not change which tables the database has. Keeps the table_set alive.
template <class Alloc>
class compaction {
public:
    /// Requires that check_choice() accepts `choice`.
    compaction(std::shared_ptr<const table_set<Alloc>> from, const compaction_choice& choice, const Alloc& alloc)
        : alloc_(alloc),
          from_(std::move(from)),
          output_level_(choice.output_level),
          ids_(choice.inputs),
          inputs_(level_count, table_list<Alloc>(alloc), alloc) {
        std::sort(ids_.begin(), ids_.end());
        from_->for_each([&](int level, const auto& t) {
            if (!has_input(t->id())) return;
            inputs_[static_cast<std::size_t>(level)].push_back(t);
            input_bytes_ += t->file_bytes();
            if (t->empty()) return;
            if (!hull_) hull_ = {t->smallest(), t->largest()};
            hull_ = {std::min(hull_->first, t->smallest()), std::max(hull_->second, t->largest())};
        });
        const auto& newest_first = from_->levels[0];
        older_in_level0_ = newest_first.size();
        if (output_level_ == 0 && !inputs_[0].empty())
            older_in_level0_ =
                static_cast<std::size_t>(std::ranges::find(newest_first, inputs_[0].back()) - newest_first.begin()) + 1;
    }

    [[nodiscard]] std::uint64_t input_bytes() const noexcept { return input_bytes_; }
    [[nodiscard]] int output_level() const noexcept { return output_level_; }
    /// The smallest and the largest key of all inputs.
    [[nodiscard]] const std::optional<std::pair<bytes_view, bytes_view>>& hull() const noexcept { return hull_; }
    template <class Use>
    void for_each_input(Use use) const {
        for (std::size_t level = 0; level < level_count; ++level)
            for (const auto& t : inputs_[level]) use(static_cast<int>(level), t);
    }

    [[nodiscard]] bool has_input(std::uint64_t id) const noexcept {
        return std::binary_search(ids_.begin(), ids_.end(), id);
    }

    /// Returns the only input if it need only move to the output level, and null otherwise.
    [[nodiscard]] table_pointer<Alloc> moved() const {
        table_pointer<Alloc> only;
        std::size_t count = 0;
        for_each_input([&](int level, const auto& t) {
            ++count;
            if (level != output_level_) only = t;
        });
        if (count != 1 || !only) return nullptr;
        // A table with tombstones that hide nothing is rewritten without them.
        const auto known = only->file().extension().properties();
        const bool drops = known && known->tombstones != 0 && is_deepest();
        return drops ? nullptr : only;
    }

    struct output {
        const db_directory& directory;
        sst_options format;
        std::uint64_t target_bytes;
        const std::atomic<bool>& cancelled;
        function_ref<result<std::uint64_t>()> new_id;
    };

    /// Writes the new tables, durably, and returns their ids in key order. Errors: closed if it was cancelled; damage
    /// in an input; no_space, io. After an error the files of the ids that new_id() returned may exist or not.
    result<std::vector<std::uint64_t>> run(const output& to) const {
        merge merged = inputs();
        const std::uint64_t max_bytes = output_level_ == 0 ? ~std::uint64_t{0} : to.target_bytes;
        for (std::vector<std::uint64_t> ids;;) {
            part next(*this, merged, max_bytes, to.cancelled);
            if (!next.valid()) {
                if (auto ended = next.status(); !ended) return std::move(ended).error();
                return ids;
            }
            const auto id = to.new_id();
            if (!id) return id.error();
            ids.push_back(*id);
            if (auto written = write_table_file(next, to.directory, *id, to.format, alloc_); !written)
                return std::move(written).error();
        }
    }

private:
    using merge = merging_iterator<run_cursor<Alloc>, Alloc>;

    // The part of the merge that becomes one table: at least one entry, if any is left.
    class part {
    public:
        part(const compaction& owner, merge& all, std::uint64_t max_bytes, const std::atomic<bool>& cancelled)
            : owner_(owner), all_(all), max_bytes_(max_bytes), cancelled_(cancelled) {
            skip_dropped();
        }
        [[nodiscard]] bool valid() const noexcept {
            return all_.valid() && (bytes_ == 0 || bytes_ < max_bytes_) && !stopped_;
        }
        [[nodiscard]] bytes_view key() const { return all_.key(); }
        [[nodiscard]] entry_view entry() const { return all_.entry(); }
        [[nodiscard]] result<void> status() const {
            if (stopped_) return failure(errc::closed, "the database was closed");
            return all_.status();
        }
        void next() {
            bytes_ += record_bytes(all_.key(), all_.entry());
            all_.next();
            skip_dropped();
        }

    private:
        // Skips tombstones that hide nothing. Looks from time to time whether the work was cancelled.
        void skip_dropped() {
            for (;; all_.next()) {
                if (++steps_ % 256 == 0) stopped_ = cancelled_.load(std::memory_order_relaxed);
                if (stopped_ || !all_.valid() || !all_.entry().tombstone() || owner_.older_may_have(all_.key())) return;
            }
        }

        const compaction& owner_;
        merge& all_;
        std::uint64_t max_bytes_;
        const std::atomic<bool>& cancelled_;
        std::uint64_t bytes_ = 0;
        unsigned steps_ = 255;
        bool stopped_ = false;
    };

    [[nodiscard]] merge inputs() const {
        const block_options blocks{.fill_cache = false};
        vector_of<run_cursor<Alloc>, Alloc> sources(alloc_);
        for (const auto& t : inputs_[0]) sources.emplace_back(&t, std::size_t{1}, blocks);
        for (std::size_t level = 1; level < level_count; ++level)
            if (!inputs_[level].empty()) sources.emplace_back(inputs_[level].data(), inputs_[level].size(), blocks);
        return merge(std::move(sources), merge_options{}, alloc_);
    }

    // A tombstone of the output can hide only what is older than every input: the deeper levels and, when the output
    // stays in level 0, the tables after the inputs there.
    [[nodiscard]] bool is_deepest() const noexcept {
        for (auto level = static_cast<std::size_t>(output_level_) + 1; level < level_count; ++level)
            if (!from_->levels[level].empty()) return false;
        return true;
    }
    [[nodiscard]] bool older_may_have(bytes_view key) const noexcept {
        const auto& newest_first = from_->levels[0];
        const std::uint64_t hash = xxh64(key);
        for (std::size_t i = older_in_level0_; i < newest_first.size(); ++i)
            if (newest_first[i]->covers(key) && newest_first[i]->may_contain(hash)) return true;
        for (auto level = static_cast<std::size_t>(output_level_) + 1; level < level_count; ++level)
            if (const auto* const t = from_->in_level(level, key); t != nullptr && t->may_contain(hash)) return true;
        return false;
    }

    [[no_unique_address]] Alloc alloc_;
    std::shared_ptr<const table_set<Alloc>> from_;
    int output_level_;
    std::vector<std::uint64_t> ids_;  // of the inputs, sorted
    vector_of<table_list<Alloc>, Alloc> inputs_;
    std::uint64_t input_bytes_ = 0;
    std::optional<std::pair<bytes_view, bytes_view>> hull_;
    std::size_t older_in_level0_;  // the first table of level 0 that is older than all inputs
};

}  // namespace lsm::detail
