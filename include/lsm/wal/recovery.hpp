#pragma once

namespace lsm::wal {

/// What a log reader does at a defect: bytes that are not an intact record. Zeros up to the end of the file are a clean
/// end and never a defect.
enum class recovery : unsigned char {
    strict_tail,    ///< a torn write at the end ends the log; damage before intact records is an error
    absolute,       ///< any defect is an error
    point_in_time,  ///< the log ends at the first defect
    salvage,        ///< reads every intact record that a bounded search finds, and skips the defects between them
};

}  // namespace lsm::wal
