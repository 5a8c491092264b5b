//! Entries, and the bounds-checked reading that everything else is built on (`formats.md`, section 1).

use crate::error::{Error, Kind, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Vec<u8>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A borrowed key and its value, or `None` if the key is deleted.
pub type Op<'a> = (&'a [u8], Option<&'a [u8]>);

const HEADER: u64 = 9;

/// Reads fields from the front of a byte string, and never beyond its end.
pub struct Cursor<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Cursor<'a> {
    /// `offset` is the position of `bytes` in the file, for error messages.
    pub fn new(bytes: &'a [u8], offset: u64) -> Cursor<'a> {
        Cursor { rest: bytes, offset }
    }

    pub fn left(&self) -> u64 {
        self.rest.len() as u64
    }

    pub fn error(&self, kind: Kind, what: &'static str) -> Error {
        Error::new(kind, self.offset, what)
    }

    pub fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        if length > self.left() {
            return Err(self.error(Kind::Short, "a field is truncated"));
        }
        let (field, rest) = self.rest.split_at(length as usize);
        self.rest = rest;
        self.offset += length;
        Ok(field)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    pub fn u64(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a length and that many bytes.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()?;
        self.take(length.into())
    }
}

pub fn record_size(key: &[u8], value: Option<&[u8]>) -> u64 {
    HEADER + key.len() as u64 + value.map_or(0, |v| v.len() as u64)
}

pub fn write_record(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    let bytes = value.unwrap_or(b"");
    write_length(out, key);
    write_length(out, bytes);
    out.push(value.is_none() as u8);
    out.extend_from_slice(key);
    out.extend_from_slice(bytes);
}

pub fn read_record(cursor: &mut Cursor, previous: Option<&Entry>) -> Result<Entry> {
    let start = Cursor { ..*cursor };
    if cursor.left() < HEADER {
        return Err(start.error(Kind::Short, "the header of a record is truncated"));
    }
    let klen = u64::from(cursor.u32()?);
    let vlen = u64::from(cursor.u32()?);
    let tombstone = match cursor.u8()? {
        0 => false,
        1 => true,
        _ => return Err(start.error(Kind::BadType, "the type of a record is neither 0 nor 1")),
    };
    if tombstone && vlen != 0 {
        return Err(start.error(Kind::BadTombstone, "a tombstone has a value"));
    }
    if cursor.left() < klen + vlen {
        return Err(start.error(Kind::Short, "the key or value of a record is truncated"));
    }
    let key = cursor.take(klen)?;
    if previous.map_or(false, |p| key <= p.key.as_slice()) {
        return Err(start.error(Kind::Unsorted, "a key is not greater than the key before it"));
    }
    let value = cursor.take(vlen)?;
    Ok(Entry { key: key.to_vec(), value: if tombstone { None } else { Some(value.to_vec()) } })
}

/// Writes the length of a key or value. Requires a length below 2^32: `wal::Batch::add` refuses longer words, and a
/// command-line argument cannot be that long.
pub fn write_length(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(u32::try_from(bytes.len()).is_ok());
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
}
