//! The file formats and the parts of the four tools, written from the pages `formats.md` and `tools.md`.

pub mod cli;
pub mod db;
pub mod dump;
pub mod entry;
pub mod error;
pub mod files;
pub mod manifest;
pub mod merge;
pub mod sstable;
pub mod wal;
