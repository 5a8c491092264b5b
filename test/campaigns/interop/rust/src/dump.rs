//! The MemTable and its dump (`formats.md`, section 2).

use crate::entry::{read_record, record_size, write_record, Cursor, Entry, Op};
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;

const MAGIC: &[u8] = b"MMT1";

#[derive(Default)]
pub struct MemTable {
    entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl MemTable {
    /// Sets the value of a key. `None` sets a tombstone.
    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.entries.insert(key.to_vec(), value.map(<[u8]>::to_vec));
    }

    pub fn bulk(&mut self, n: u32) {
        for i in 0..n {
            self.set(format!("key{}", i).as_bytes(), Some(format!("val{}", i).as_bytes()));
        }
    }

    pub fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.entries.get(key)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Op<'_>> {
        self.entries.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Returns the length of the dump.
    pub fn size_bytes(&self) -> u64 {
        8 + self.iter().map(|(key, value)| record_size(key, value)).sum::<u64>()
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        let count = u32::try_from(self.len())
            .map_err(|_| Error::Refused("a dump can hold at most 4294967295 entries".to_string()))?;
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&count.to_le_bytes());
        for (key, value) in self.iter() {
            write_record(&mut out, key, value);
        }
        Ok(out)
    }

    pub fn decode(bytes: &[u8]) -> Result<MemTable> {
        let mut cursor = Cursor::new(bytes, 0);
        if cursor.take(4)? != MAGIC {
            return Err(Cursor::new(bytes, 0).error(Kind::BadMagic, "the first four bytes are not MMT1"));
        }
        let count = cursor.u32()?;
        let mut table = MemTable::default();
        let mut last: Option<Entry> = None;
        for _ in 0..count {
            let entry = read_record(&mut cursor, last.as_ref())?;
            table.set(&entry.key, entry.value.as_deref());
            last = Some(entry);
        }
        if cursor.left() > 0 {
            return Err(cursor.error(Kind::TrailingBytes, "bytes are left after the last record"));
        }
        Ok(table)
    }
}
