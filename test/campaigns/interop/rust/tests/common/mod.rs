//! Helpers that the tests share.
#![allow(dead_code)]

use lsm_peer::dump::MemTable;
use lsm_peer::error::{Error, Kind};
use lsm_peer::sstable::build;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory that is removed after the test.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(test: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("lsm-peer-{}-{}", std::process::id(), test));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn with(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.file(name), bytes).unwrap();
        self.file(name)
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_string()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub fn kind_of<T>(result: Result<T, Error>) -> Option<Kind> {
    result.err().expect("an error").kind()
}

pub fn bulk(n: u32) -> MemTable {
    let mut table = MemTable::default();
    table.bulk(n);
    table
}

/// The MemTable M of the golden vectors.
pub fn m() -> MemTable {
    let mut table = bulk(100);
    table.set(b"key50", Some(b"REPLACED"));
    table.set(b"key10", None);
    table.set(b"", Some(b"empty-key-value"));
    table.set(b"key99", None);
    table
}

pub fn sst(table: &MemTable, target: u32) -> Vec<u8> {
    build(table.iter(), target).unwrap()
}

/// Encodes a record, which may be invalid.
pub fn record(klen: u32, vlen: u32, kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&klen.to_le_bytes()[..], &vlen.to_le_bytes()[..], &[kind], bytes].concat()
}
