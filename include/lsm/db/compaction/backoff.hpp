#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <lsm/core/error.hpp>

namespace lsm::detail {

/// Why work of one kind pauses, and until when: twice as long after each failure in a row. One thread at a time.
class backoff {
public:
    using clock = std::chrono::steady_clock;

    static constexpr clock::duration shortest_pause = std::chrono::milliseconds(50);
    static constexpr clock::duration longest_pause = std::chrono::seconds(2);

    [[nodiscard]] bool pausing() const { return trouble_ && clock::now() < retry_; }
    /// The last failure, unless work has succeeded since.
    [[nodiscard]] const std::optional<error>& trouble() const noexcept { return trouble_; }
    /// When the pause ends.
    [[nodiscard]] clock::time_point retry() const noexcept { return retry_; }

    void failed(error why) {
        trouble_ = std::move(why);
        retry_ = clock::now() + pause_;
        pause_ = std::min(2 * pause_, longest_pause);
    }
    /// Makes the next pause the shortest again. Ends the trouble, and with it the pause, unless `still_in_trouble`.
    void succeeded(bool still_in_trouble = false) noexcept {
        if (!still_in_trouble) trouble_.reset();
        pause_ = shortest_pause;
    }

private:
    std::optional<error> trouble_;
    clock::time_point retry_ = {};
    clock::duration pause_ = shortest_pause;
};

}  // namespace lsm::detail
