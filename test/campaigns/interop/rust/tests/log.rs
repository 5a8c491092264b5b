//! Write batches and the log (`formats.md`, sections 5 and 6).

mod common;

use common::*;
use lsm_peer::dump::MemTable;
use lsm_peer::entry::Op;
use lsm_peer::error::Kind;
use lsm_peer::wal::{crc32, decode_batch, encode_record, replay, Batch};

fn logged(ops: &[Op]) -> Vec<u8> {
    let mut batch = Batch::default();
    for op in ops {
        batch.add(*op).unwrap();
    }
    encode_record(&batch.encode())
}

fn put(key: &str) -> Vec<u8> {
    logged(&[(key.as_bytes(), Some(b"value"))])
}

/// Replays an active log. Returns the length of its intact records and the number of keys in them.
fn active(log: &[u8]) -> Option<(usize, usize)> {
    let mut table = MemTable::default();
    replay(log, true, &mut table).ok().map(|intact| (intact, table.len()))
}

fn frozen(log: &[u8]) -> Option<usize> {
    replay(log, false, &mut MemTable::default()).ok()
}

#[test]
fn vectors() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(crc32(b""), 0);
    let one = logged(&[(b"a", Some(b"1"))]);
    assert_eq!(one, unhex("0f000000 4446fc2e 01000000 00 01000000 61 01000000 31"));
    let three = logged(&[(b"a", Some(b"1")), (b"a", None), (b"", Some(b""))]);
    let hex = "1e000000 f0da1b3d 03000000 00 01000000 61 01000000 31 01 01000000 61 00 00000000 00000000";
    assert_eq!(three, unhex(hex));

    let mut table = MemTable::default();
    let log = [one, three].concat();
    assert_eq!(replay(&log, false, &mut table).unwrap(), log.len());
    assert_eq!((table.get(b"a"), table.get(b""), table.len()), (Some(&None), Some(&Some(vec![])), 2));
}

#[test]
fn each_defect_of_a_batch_has_its_error() {
    let good = unhex("02000000 00 01000000 61 01000000 31 01 01000000 61");
    assert_eq!(decode_batch(&good).unwrap(), vec![(&b"a"[..], Some(&b"1"[..])), (b"a", None)]);
    assert_eq!(decode_batch(&[0; 4]).unwrap(), vec![]);
    for length in 0..good.len() {
        assert_eq!(kind_of(decode_batch(&good[..length])), Some(Kind::Short), "length {}", length);
    }
    for (hex, kind) in [
        ("01000000 02 01000000 61", Kind::BadType),
        ("01000000 02", Kind::BadType),
        ("00000000 00", Kind::TrailingBytes),
        ("01000000 01 01000000 61 00", Kind::TrailingBytes),
        ("ffffffff 01 01000000 61", Kind::Short),
        ("01000000 00 ffffffff 61", Kind::Short),
        ("01000000 00 01000000 61 ffffffff", Kind::Short),
    ] {
        assert_eq!(kind_of(decode_batch(&unhex(hex))), Some(kind), "{}", hex);
    }
}

#[test]
fn every_truncation_is_a_torn_tail() {
    let log = [put("a"), put("b"), put("c")].concat();
    let record = log.len() / 3;
    for length in 0..=log.len() {
        let whole = length / record;
        assert_eq!(active(&log[..length]), Some((whole * record, whole)), "length {}", length);
        let expected = if length % record == 0 { Some(length) } else { None };
        assert_eq!(frozen(&log[..length]), expected, "length {}", length);
    }
}

#[test]
fn zeros_end_a_log() {
    let record = put("a");
    for zeros in [1, 3, 4, 7, 8, 9, 4096] {
        let log = [record.clone(), vec![0; zeros]].concat();
        assert_eq!(active(&log), Some((record.len(), 1)));
        assert_eq!(frozen(&log), Some(record.len()));
    }
    let hole = [put("a"), vec![0; 16], put("b")].concat();
    assert_eq!((active(&hole), frozen(&hole)), (None, None));
    // No intact record follows, so this is a torn tail. Only an active log may have one.
    let junk = [put("a"), vec![0; 16], b"junk".to_vec()].concat();
    assert_eq!((active(&junk), frozen(&junk)), (Some((record.len(), 1)), None));
}

#[test]
fn a_changed_byte_is_damage_unless_nothing_intact_follows() {
    let log = [put("a"), put("b"), put("c")].concat();
    let record = log.len() / 3;
    for i in 0..log.len() {
        let mut changed = log.clone();
        changed[i] ^= 0x40;
        let expected = if i < 2 * record { None } else { Some((2 * record, 2)) };
        assert_eq!(active(&changed), expected, "byte {}", i);
        assert_eq!(frozen(&changed), None, "byte {}", i);
    }
}

#[test]
fn a_length_beyond_the_end_proves_nothing() {
    let mut damaged = [put("a"), put("b")].concat();
    damaged[2] = 1;
    assert_eq!(active(&damaged), None, "an intact record follows");
    let foreign = [vec![0xff; 20], put("a"), put("b")].concat();
    assert_eq!(active(&foreign), None, "intact records follow");

    // A torn record whose value holds an intact record.
    let whole = logged(&[(b"k", Some(&[put("inner"), vec![b'x'; 100]].concat()))]);
    let log = [put("a"), whole[..whole.len() - 50].to_vec()].concat();
    assert_eq!(active(&log), None);
}

#[test]
fn a_bad_batch_with_a_matching_crc_is_damage() {
    for payload in ["01000000 02 01000000 61", "01000000 01 02000000 61", "00000000 00", "000000"] {
        let log = [put("a"), encode_record(&unhex(payload))].concat();
        assert_eq!((active(&log), frozen(&log)), (None, None), "{}", payload);
    }
    let empty_batch = encode_record(&[0; 4]);
    assert_eq!(active(&empty_batch), Some((12, 0)));
}

#[test]
fn the_search_for_a_later_record_gives_up() {
    // Nested records, each in the value of the next, whose batches decode and whose CRCs are wrong.
    let mut batch = vec![b'z'; 3000];
    for _ in 0..40 {
        let mut payload = 1u32.to_le_bytes().to_vec();
        payload.extend([0, 0, 0, 0, 0]);
        payload.extend((batch.len() as u32).to_le_bytes());
        payload.extend(&batch);
        let mut record = encode_record(&payload);
        record[4] ^= 1;
        batch = record;
    }
    assert_eq!(active(&batch), None);
    let few = 3;
    let mut inner = batch;
    for _ in 0..40 - few {
        inner = inner[8 + 4 + 5 + 4..].to_vec();
    }
    assert_eq!(active(&inner), Some((0, 0)));
}
