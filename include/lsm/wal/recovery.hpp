#pragma once

namespace lsm::wal {

/// What a reader does with bytes that are no intact record. Zeros up to the end of the file are never a defect.
enum class recovery : unsigned char {
    strict_tail,    ///< the log ends at a torn write; damage before intact records is an error
    absolute,       ///< any defect is an error
    point_in_time,  ///< the log ends at the first defect
    salvage,        ///< reads every intact record that a bounded search finds, and skips the defects between them
};

}  // namespace lsm::wal
