#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <lsm/db/compaction/compaction.hpp>
#include <lsm/db/compaction/compaction_choice.hpp>
#include <lsm/db/compaction/policies.hpp>
#include <lsm/db/compaction_policy.hpp>
#include <lsm/db/state/table_set.hpp>

namespace lsm::detail {

/// Which compactions are running, and which one should start beside them. One thread at a time: a pick is valid until
/// another compaction begins or ends.
template <class Alloc>
class compaction_picker {
public:
    compaction_picker(const compaction_options& options, const Alloc& alloc)
        : alloc_(alloc), leveled_(options), size_tiered_(options) {
        switch (options.style) {
            case compaction_style::leveled: policy_ = &leveled_; break;
            case compaction_style::size_tiered: policy_ = &size_tiered_; break;
            case compaction_style::none: policy_ = &none_; break;
        }
        if (options.policy != nullptr) policy_ = options.policy;
    }
    compaction_picker(const compaction_picker&) = delete;
    compaction_picker& operator=(const compaction_picker&) = delete;

    /// Returns what the policy chooses, or nothing if it chooses nothing or what may not begin now. Damaged tables take
    /// no part.
    [[nodiscard]] std::optional<compaction_choice> pick(const table_set<Alloc>& tables, bool readers_wait) const {
        auto layout = layout_of(tables);
        for (auto& level : layout.levels)
            for (auto& t : level) t.busy = t.busy || std::ranges::find(damaged_, t.id) != damaged_.end();
        layout.readers_wait = readers_wait;
        auto choice = policy_->choose(layout);
        if (choice && !check_choice(layout, *choice)) choice.reset();
        return choice;
    }
    /// Describes the tables and the running compactions.
    [[nodiscard]] table_layout layout_of(const table_set<Alloc>& tables) const {
        table_layout out;
        tables.for_each([&](int level, const auto& t) {
            if (t->empty()) return;
            const auto uses = [&](const compaction<Alloc>* work) { return work->has_input(t->id()); };
            const bool taken = std::ranges::any_of(running_, uses);
            out.levels[static_cast<std::size_t>(level)].push_back(
                {t->id(), t->file_bytes(), t->smallest(), t->largest(), taken});
        });
        for (const auto* work : running_)
            if (const auto& hull = work->hull())
                out.running.push_back({hull->first, hull->second, work->output_level()});
        return out;
    }

    /// Registers a compaction as running until end(), which must be called before it is destroyed.
    [[nodiscard]] std::unique_ptr<const compaction<Alloc>> begin(std::shared_ptr<const table_set<Alloc>> tables,
                                                                 const compaction_choice& picked) {
        auto work = std::make_unique<const compaction<Alloc>>(std::move(tables), picked, alloc_);
        running_.push_back(work.get());
        return work;
    }
    void end(const compaction<Alloc>& work) noexcept { std::erase(running_, &work); }
    [[nodiscard]] bool idle() const noexcept { return running_.empty(); }

    /// From now on pick() leaves out the inputs of `failed`, one of which is damaged.
    void leave_out_inputs(const compaction<Alloc>& failed) {
        failed.for_each_input([this](int, const auto& t) { damaged_.push_back(t->id()); });
    }

private:
    [[no_unique_address]] Alloc alloc_;
    leveled_compaction leveled_;
    size_tiered_compaction size_tiered_;
    no_compaction none_;
    const compaction_policy* policy_ = nullptr;  // of the style, or the caller's own
    std::vector<const compaction<Alloc>*> running_;
    std::vector<std::uint64_t> damaged_;
};

}  // namespace lsm::detail
