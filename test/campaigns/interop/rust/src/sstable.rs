//! Tables: building one as a whole, and reading one block at a time (`formats.md`, section 3).

use crate::entry::{read_record, record_size, write_length, write_record, Cursor, Entry, Op};
use crate::error::{At, Error, Kind, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub const DEFAULT_TARGET: u32 = 4096;
const MAGIC: &[u8] = b"SST1\0\0\0\0";
const FOOTER: u64 = 32;
const SMALLEST_FILE: u64 = 36;
const SMALLEST_BLOCK: u64 = 13;

/// An entry of the index.
struct Block {
    first_key: Vec<u8>,
    offset: u64,
    size: u64,
}

/// Builds a table in memory.
pub fn build<'a>(entries: impl Iterator<Item = Op<'a>>, target: u32) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut index: Vec<Block> = Vec::new();
    let mut last = None;
    let mut count: u32 = 0;
    for (key, value) in entries {
        if last.map_or(false, |last| key <= last) {
            return Err(Error::new(Kind::Unsorted, out.len() as u64, "a key is not greater than the key before it"));
        }
        last = Some(key);
        let size = record_size(key, value);
        match index.last_mut() {
            Some(block) if block.size + size <= target.into() => {
                block.size += size;
                count += 1;
            }
            _ => {
                index.push(Block { first_key: key.to_vec(), offset: out.len() as u64, size: 4 + size });
                out.extend_from_slice(&[0; 4]);
                count = 1;
            }
        }
        write_record(&mut out, key, value);
        let start = index[index.len() - 1].offset as usize;
        out[start..start + 4].copy_from_slice(&count.to_le_bytes());
    }
    write_index(&mut out, &index);
    Ok(out)
}

fn write_index(out: &mut Vec<u8>, index: &[Block]) {
    let index_offset = out.len() as u64;
    out.extend_from_slice(&(index.len() as u32).to_le_bytes());
    for block in index {
        write_length(out, &block.first_key);
        out.extend_from_slice(&block.offset.to_le_bytes());
        out.extend_from_slice(&block.size.to_le_bytes());
        out.extend_from_slice(&block.first_key);
    }
    let index_size = out.len() as u64 - index_offset;
    for field in [index_offset, index_size, index.len() as u64] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(MAGIC);
}

pub struct Footer {
    pub index_offset: u64,
    pub index_size: u64,
    pub num_blocks: u64,
    pub magic_ok: bool,
}

impl Footer {
    /// Reads the footer of a file of `length` bytes. Checks only the length.
    pub fn read(file: &File, length: u64) -> Result<Footer> {
        if length < SMALLEST_FILE {
            return Err(Error::new(Kind::Short, length, "a table must have at least 36 bytes"));
        }
        let bytes = read_at(file, length - FOOTER, FOOTER)?;
        let mut cursor = Cursor::new(&bytes, length - FOOTER);
        Ok(Footer {
            index_offset: cursor.u64()?,
            index_size: cursor.u64()?,
            num_blocks: cursor.u64()?,
            magic_ok: cursor.take(8)? == MAGIC,
        })
    }
}

/// An open table. Only its index is kept in memory.
pub struct Table {
    path: PathBuf,
    file: File,
    length: u64,
    index: Vec<Block>,
}

impl Table {
    pub fn open(path: &Path) -> Result<Table> {
        open_table(path).at(path)
    }

    pub fn file_bytes(&self) -> u64 {
        self.length
    }

    pub fn num_blocks(&self) -> usize {
        self.index.len()
    }

    pub fn first_key(&self) -> Option<&[u8]> {
        self.index.first().map(|block| block.first_key.as_slice())
    }

    pub fn last_key(&self) -> Result<Option<Vec<u8>>> {
        match self.index.len() {
            0 => Ok(None),
            n => Ok(self.read_block(n - 1)?.pop().map(|entry| entry.key)),
        }
    }

    /// Looks a key up. `None` is absent, `Some(None)` a tombstone.
    pub fn get(&self, key: &[u8]) -> Result<Option<Option<Vec<u8>>>> {
        let behind = self.index.partition_point(|block| block.first_key.as_slice() <= key);
        if behind == 0 {
            return Ok(None);
        }
        let mut entries = self.read_block(behind - 1)?;
        let found = entries.binary_search_by(|entry| entry.key.as_slice().cmp(key));
        Ok(found.ok().map(|i| entries.swap_remove(i).value))
    }

    /// Iterates over all entries in key order. The caller must stop at the first error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Entry>> + '_ {
        (0..self.index.len()).flat_map(move |i| match self.read_block(i) {
            Ok(entries) => entries.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }

    pub fn read_block(&self, i: usize) -> Result<Vec<Entry>> {
        self.parse_block(i).at(&self.path)
    }

    fn parse_block(&self, i: usize) -> Result<Vec<Entry>> {
        let block = &self.index[i];
        let bytes = read_at(&self.file, block.offset, block.size)?;
        let start = Cursor::new(&bytes, block.offset);
        let mut cursor = Cursor::new(&bytes, block.offset);
        let count = cursor.u32()?;
        if count == 0 {
            return Err(start.error(Kind::BadBlock, "a block has no records"));
        }
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..count {
            entries.push(read_record(&mut cursor, entries.last()).map_err(short_is_bad_block)?);
        }
        if cursor.left() > 0 {
            return Err(cursor.error(Kind::BadBlock, "bytes are left after the last record of a block"));
        }
        if entries[0].key != block.first_key {
            return Err(start.error(Kind::BadBlock, "the first key of a block is not its key in the index"));
        }
        let next = self.index.get(i + 1);
        if next.map_or(false, |next| entries[entries.len() - 1].key >= next.first_key) {
            return Err(start.error(Kind::Unsorted, "the last key of a block is not below the next key in the index"));
        }
        Ok(entries)
    }
}

fn open_table(path: &Path) -> Result<Table> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let footer = Footer::read(&file, length)?;
    let body = length - FOOTER;
    let fail = |kind, what| Err(Error::new(kind, body, what));
    if !footer.magic_ok {
        return fail(Kind::BadMagic, "the last eight bytes are not the magic of a table");
    }
    if footer.index_offset >= body || footer.index_offset.checked_add(footer.index_size) != Some(body) {
        return fail(Kind::IndexOutOfRange, "the index does not end where the footer begins");
    }
    let bytes = read_at(&file, footer.index_offset, footer.index_size)?;
    let index = parse_index(&bytes, &footer).map_err(short_is_bad_block)?;
    check_index(&index, footer.index_offset)?;
    Ok(Table { path: path.to_path_buf(), file, length, index })
}

fn parse_index(bytes: &[u8], footer: &Footer) -> Result<Vec<Block>> {
    let mut cursor = Cursor::new(bytes, footer.index_offset);
    let n = cursor.u32()?;
    let mut index = Vec::new();
    for _ in 0..n {
        let klen = cursor.u32()?;
        let offset = cursor.u64()?;
        let size = cursor.u64()?;
        index.push(Block { first_key: cursor.take(klen.into())?.to_vec(), offset, size });
    }
    if cursor.left() > 0 {
        return Err(cursor.error(Kind::BadBlock, "bytes are left after the last entry of the index"));
    }
    if u64::from(n) != footer.num_blocks {
        return Err(cursor.error(Kind::BadBlock, "the index and the footer disagree on the number of blocks"));
    }
    Ok(index)
}

fn check_index(index: &[Block], index_offset: u64) -> Result<()> {
    let fail = |kind, what| Err(Error::new(kind, index_offset, what));
    if index.windows(2).any(|pair| pair[0].first_key >= pair[1].first_key) {
        return fail(Kind::Unsorted, "the keys of the index do not ascend");
    }
    if index.iter().any(|block| block.size < SMALLEST_BLOCK) {
        return fail(Kind::BadBlock, "a block is smaller than 13 bytes");
    }
    let mut end = 0;
    for block in index {
        if block.offset < end {
            return fail(Kind::IndexOutOfRange, "a block overlaps the block before it");
        }
        end = match block.offset.checked_add(block.size) {
            Some(end) if end <= index_offset => end,
            _ => return fail(Kind::IndexOutOfRange, "a block ends after the start of the index"),
        };
    }
    Ok(())
}

/// Requires that the range lies within the file.
fn read_at(file: &File, offset: u64, size: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// A field that a block or the index truncates is a BadBlock: the file itself is not too short.
fn short_is_bad_block(error: Error) -> Error {
    match error {
        Error::Format { kind: Kind::Short, offset, what } => Error::new(Kind::BadBlock, offset, what),
        other => other,
    }
}
