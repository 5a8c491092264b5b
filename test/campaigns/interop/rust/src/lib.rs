//! The file formats and what the four tools are made of, written from the pages `formats.md` and `tools.md` alone.

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
