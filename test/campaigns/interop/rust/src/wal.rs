//! Write batches and the log that holds them (`formats.md`, sections 5 and 6).

use crate::dump::MemTable;
use crate::entry::{write_length, Cursor, Op};
use crate::error::{Error, Kind, Result};

const MAX_BATCH: u64 = u32::MAX as u64;
const HEADER: usize = 8;

/// An encoded write batch to which operations can be added.
#[derive(Default)]
pub struct Batch {
    count: u32,
    ops: Vec<u8>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn has_room(&self, (key, value): Op) -> bool {
        let op = 1 + 4 + key.len() as u64 + value.map_or(0, |v| 4 + v.len() as u64);
        4 + self.ops.len() as u64 + op <= MAX_BATCH
    }

    pub fn add(&mut self, (key, value): Op) -> Result<()> {
        if !self.has_room((key, value)) {
            return Err(Error::Refused("the write batch is larger than 4294967295 bytes".to_string()));
        }
        self.count += 1;
        self.ops.push(value.is_none() as u8);
        write_length(&mut self.ops, key);
        self.ops.extend_from_slice(key);
        if let Some(value) = value {
            write_length(&mut self.ops, value);
            self.ops.extend_from_slice(value);
        }
        Ok(())
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.count.to_le_bytes().to_vec();
        out.extend_from_slice(&self.ops);
        out
    }
}

pub fn decode_batch(bytes: &[u8]) -> Result<Vec<Op<'_>>> {
    let mut cursor = Cursor::new(bytes, 0);
    let ops = read_ops(&mut cursor)?;
    if cursor.left() > 0 {
        return Err(cursor.error(Kind::TrailingBytes, "bytes are left after the last operation"));
    }
    Ok(ops)
}

fn read_ops<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<Op<'a>>> {
    let count = cursor.u32()?;
    let mut ops = Vec::new();
    for _ in 0..count {
        let delete = match cursor.u8()? {
            0 => false,
            1 => true,
            _ => return Err(cursor.error(Kind::BadType, "the type of an operation is neither 0 nor 1")),
        };
        let key = cursor.string()?;
        ops.push((key, if delete { None } else { Some(cursor.string()?) }));
    }
    Ok(ops)
}

pub fn encode_record(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_length(&mut out, payload);
    out.extend_from_slice(&crc32(payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// Applies the intact records of a log to `table` and returns their length. Refuses a log that does not end in a way
/// that the page allows. Only the active log may have a torn tail. A tail that holds an intact record is refused, as
/// nothing here would keep it.
pub fn replay(log: &[u8], active: bool, table: &mut MemTable) -> Result<usize> {
    let mut at = 0;
    while let Some((payload, crc)) = payload_at(log, at) {
        if crc32(payload) != crc {
            break;
        }
        let ops = decode_batch(payload).map_err(|_| damage(at, "the CRC matches, but the batch is bad"))?;
        for (key, value) in ops {
            table.set(key, value);
        }
        at += HEADER + payload.len();
    }
    let zeros = log[at..].iter().all(|byte| *byte == 0);
    if zeros || active && !has_record_after(log, at) {
        return Ok(at);
    }
    Err(damage(at, if active { "intact records follow" } else { "a frozen log must not have a torn tail" }))
}

fn damage(at: usize, what: &str) -> Error {
    Error::Refused(format!("offset {}: damaged log: {}", at, what))
}

/// Returns the payload and the CRC of the record at `at`, if its length leaves it within the log.
fn payload_at(log: &[u8], at: usize) -> Option<(&[u8], u32)> {
    let mut cursor = Cursor::new(&log[at..], 0);
    let length = cursor.u32().ok().filter(|length| *length > 0)?;
    let crc = cursor.u32().ok()?;
    Some((cursor.take(length.into()).ok()?, crc))
}

/// Returns whether an intact record starts after `at`. Gives up and returns true after CRCs over too many bytes.
fn has_record_after(log: &[u8], at: usize) -> bool {
    let mut budget = 8 * log.len() as u64;
    for candidate in at + 1..log.len() {
        if let Some((payload, crc)) = payload_at(log, candidate) {
            if decode_batch(payload).is_err() {
                continue;
            }
            budget = budget.saturating_sub(payload.len() as u64);
            if crc32(payload) == crc || budget == 0 {
                return true;
            }
        }
    }
    false
}

const CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ CRC_TABLE[((crc as u8) ^ byte) as usize])
}
