//! The MemTable dump (`formats.md`, sections 1 and 2).

mod common;

use common::*;
use lsm_peer::dump::MemTable;
use lsm_peer::error::Kind;

fn dump(count: u32, records: &[Vec<u8>]) -> Vec<u8> {
    [b"MMT1".to_vec(), count.to_le_bytes().to_vec(), records.concat()].concat()
}

#[test]
fn vectors() {
    let bytes = m().encode().unwrap();
    assert_eq!(bytes.len(), 1905);
    assert_eq!(sha256(&bytes), "8c9c6bb8703c2267551bf490710bc09b682e967eb5683db39cb5e0da21aa315a");

    let mut table = MemTable::default();
    table.set(b"alpha", Some(b"first"));
    table.set(b"beta", None);
    let short = "4d4d5431 02000000 05000000 05000000 00 616c706861 6669727374 04000000 00000000 01 62657461";
    assert_eq!(table.encode().unwrap(), unhex(short));
}

#[test]
fn size_bytes_counts_only_the_last_value_of_a_key() {
    let mut table = MemTable::default();
    table.set(b"alpha", Some(b"first"));
    table.set(b"beta", Some(b"second"));
    table.set(b"alpha", Some(b"first-updated"));
    table.set(b"beta", None);
    assert_eq!((table.len(), table.size_bytes()), (2, 48));
    assert_eq!(MemTable::default().size_bytes(), 8);
}

#[test]
fn a_decoded_dump_equals_the_encoded_table() {
    let mut table = m();
    table.set(b"\xff\x00", Some(b""));
    let bytes = table.encode().unwrap();
    let read = MemTable::decode(&bytes).unwrap();
    assert!(read.iter().eq(table.iter()));
    assert_eq!(read.size_bytes(), bytes.len() as u64);
    assert_eq!(read.get(b"\xff\x00"), Some(&Some(vec![])));
    assert_eq!(read.get(b"key10"), Some(&None));
    assert_eq!(read.get(b"key100"), None);
}

#[test]
fn every_truncation_is_short() {
    let bytes = m().encode().unwrap();
    for length in 0..bytes.len() {
        assert_eq!(kind_of(MemTable::decode(&bytes[..length])), Some(Kind::Short), "length {}", length);
    }
}

#[test]
fn each_defect_has_its_error() {
    let a = record(1, 1, 0, b"a1");
    let cases = [
        (b"MMT2\0\0\0\0".to_vec(), Kind::BadMagic),
        (b"MMT2".to_vec(), Kind::BadMagic),
        (b"MM".to_vec(), Kind::Short),
        (dump(1, &[]), Kind::Short),
        (dump(u32::MAX, std::slice::from_ref(&a)), Kind::Short),
        (dump(1, &[record(u32::MAX, u32::MAX, 0, b"a1")]), Kind::Short),
        (dump(1, &[record(1, 0, 2, b"a")]), Kind::BadType),
        (dump(1, &[record(1, 1, 1, b"a1")]), Kind::BadTombstone),
        (dump(2, &[a.clone(), a.clone()]), Kind::Unsorted),
        (dump(2, &[a.clone(), record(0, 0, 0, b"")]), Kind::Unsorted),
        (dump(0, std::slice::from_ref(&a)), Kind::TrailingBytes),
        (dump(1, &[a.clone(), vec![0]]), Kind::TrailingBytes),
        // Several defects: the order of the checks decides.
        (dump(1, &[record(9, 9, 2, b"")]), Kind::BadType),
        (dump(1, &[record(9, 9, 1, b"")]), Kind::BadTombstone),
        (dump(2, &[a.clone(), record(1, 9, 0, b"a")]), Kind::Short),
    ];
    for (i, (bytes, kind)) in cases.iter().enumerate() {
        assert_eq!(kind_of(MemTable::decode(bytes)), Some(*kind), "case {}", i);
    }
    let error = MemTable::decode(&dump(2, &[a.clone(), a])).err().unwrap();
    assert!(error.to_string().starts_with("offset 19: Unsorted: "), "{}", error);
}

#[test]
fn keys_are_compared_as_unsigned_bytes() {
    let sorted = [record(0, 0, 1, b""), record(1, 0, 1, b"\x7f"), record(1, 0, 1, b"\x80"), record(2, 0, 1, b"\x80\0")];
    assert_eq!(MemTable::decode(&dump(4, &sorted)).unwrap().len(), 4);
}
