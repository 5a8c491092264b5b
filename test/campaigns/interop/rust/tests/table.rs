//! Tables and their merge (`formats.md`, sections 3 and 4).

mod common;

use common::*;
use lsm_peer::dump::MemTable;
use lsm_peer::error::{Error, Kind};
use lsm_peer::merge::{merge, Source};
use lsm_peer::sstable::{build, Footer, Table};
use std::fs::File;
use std::path::Path;

const EMPTY: &str = "00000000 0000000000000000 0400000000000000 0000000000000000 5353543100000000";

/// Opens a table, reads all of it, and returns the number of entries.
fn read(path: &Path) -> Result<usize, Error> {
    Table::open(path)?.iter().try_fold(0, |n, entry| entry.map(|_| n + 1))
}

/// Assembles a table from its body, its index entries (key, offset, size) and the footer's number of blocks.
fn assemble(body: &[u8], index: &[(&[u8], u64, u64)], num_blocks: u64) -> Vec<u8> {
    let mut out = body.to_vec();
    out.extend((index.len() as u32).to_le_bytes());
    for (key, offset, size) in index {
        out.extend((key.len() as u32).to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend(*key);
    }
    let size = out.len() - body.len();
    footer(out, body.len() as u64, size as u64, num_blocks)
}

fn footer(mut out: Vec<u8>, index_offset: u64, index_size: u64, num_blocks: u64) -> Vec<u8> {
    for field in [index_offset, index_size, num_blocks] {
        out.extend(field.to_le_bytes());
    }
    out.extend(b"SST1\0\0\0\0");
    out
}

fn block(count: u32, records: &[Vec<u8>]) -> Vec<u8> {
    [count.to_le_bytes().to_vec(), records.concat()].concat()
}

fn a() -> Vec<u8> {
    record(1, 1, 0, b"a1")
}

fn check(cases: &[(Vec<u8>, Kind)], scratch: &Scratch, run: fn(&Path) -> Result<usize, Error>) {
    for (i, (bytes, kind)) in cases.iter().enumerate() {
        let path = scratch.with("case.sst", bytes);
        assert_eq!(kind_of(run(&path)), Some(*kind), "case {}", i);
    }
}

#[test]
fn vectors() {
    let table = m();
    for (target, length, sum) in [
        (4096, 1957, "91f260f16c3f09cc43b73230b7239fe522012f6f38b09d5c5e23428e416d7658"),
        (64, 2911, "c7ff492321960ae75bb353537b06ea45030fece195f7d43a30a239d4142a5dd7"),
        (76, 2882, "9e59e304539a3dbb23eefcb3a65f0d9972f416ea6224bdd0474a13945f26a532"),
        (80, 2680, "ee0299eae45275e2fa2dd9c75b3d340efe2cdb6000788afab08670b5460ca49c"),
    ] {
        let bytes = sst(&table, target);
        assert_eq!((bytes.len(), sha256(&bytes).as_str()), (length, sum), "target {}", target);
    }
    assert_eq!(sst(&MemTable::default(), 4096), unhex(EMPTY));

    let scratch = Scratch::new("table-vectors");
    let path = scratch.with("m.sst", &sst(&table, 64));
    let footer = Footer::read(&File::open(path).unwrap(), 2911).unwrap();
    assert_eq!((footer.index_offset, footer.index_size, footer.num_blocks), (2033, 846, 34));
    assert!(footer.magic_ok);
}

#[test]
fn a_table_yields_the_entries_it_was_built_from() {
    let scratch = Scratch::new("table-read");
    let memtable = m();
    for target in [1, 64, 76, 80, 4096, u32::MAX] {
        let table = Table::open(&scratch.with("m.sst", &sst(&memtable, target))).unwrap();
        let entries: Vec<_> = table.iter().map(|entry| entry.unwrap()).collect();
        assert!(entries.iter().map(|e| (e.key.as_slice(), e.value.as_deref())).eq(memtable.iter()));
        for (key, value) in memtable.iter() {
            assert_eq!(table.get(key).unwrap(), Some(value.map(|v| v.to_vec())));
        }
        for key in [&b"\0"[..], b"key", b"key100", b"key990", b"\xff"] {
            assert_eq!(table.get(key).unwrap(), None);
        }
        assert_eq!(table.last_key().unwrap(), Some(b"key99".to_vec()));
    }
    let empty = Table::open(&scratch.with("empty.sst", &unhex(EMPTY))).unwrap();
    assert_eq!((empty.get(b"").unwrap(), empty.iter().count(), empty.last_key().unwrap()), (None, 0, None));
    let later = Table::open(&scratch.with("later.sst", &sst(&bulk(5), 64))).unwrap();
    assert_eq!(later.get(b"a").unwrap(), None);
}

#[test]
fn the_writer_refuses_unsorted_keys() {
    for (first, second) in [(&b"b"[..], &b"a"[..]), (b"a", b"a"), (b"ab", b"a"), (b"a", b""), (b"\x80", b"\x7f")] {
        assert_eq!(kind_of(build([(first, None), (second, None)].into_iter(), 1)), Some(Kind::Unsorted));
        assert_eq!(kind_of(build([(first, None), (second, None)].into_iter(), 4096)), Some(Kind::Unsorted));
    }
}

#[test]
fn every_truncation_is_refused() {
    let scratch = Scratch::new("table-truncation");
    for bytes in [sst(&bulk(12), 64), sst(&MemTable::default(), 64)] {
        for length in 0..bytes.len() {
            let result = read(&scratch.with("cut.sst", &bytes[..length]));
            let kind = if length < 36 { Kind::Short } else { Kind::BadMagic };
            assert_eq!(kind_of(result), Some(kind), "length {}", length);
        }
    }
}

#[test]
fn no_changed_byte_makes_a_reader_panic() {
    let scratch = Scratch::new("table-flips");
    let bytes = sst(&bulk(12), 64);
    for i in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[i] ^= change;
            let _ = read(&scratch.with("changed.sst", &changed));
        }
    }
}

#[test]
fn each_defect_of_index_or_footer_has_its_error() {
    let two = [block(1, &[a()]), block(1, &[record(1, 1, 0, b"b2")])].concat();
    let good = assemble(&two, &[(b"a", 0, 15), (b"b", 15, 15)], 2);
    let mut magic = good.clone();
    *magic.last_mut().unwrap() = 1;
    let with_footer = |offset, size, n| footer(good[..good.len() - 32].to_vec(), offset, size, n);
    let cases = [
        (vec![0; 35], Kind::Short),
        (vec![0; 36], Kind::BadMagic),
        (magic, Kind::BadMagic),
        (with_footer(u64::MAX, 47, 2), Kind::IndexOutOfRange),
        (with_footer(30, u64::MAX, 2), Kind::IndexOutOfRange),
        (with_footer(30, 45, 2), Kind::IndexOutOfRange),
        (with_footer(30, 47, 2), Kind::IndexOutOfRange),
        (with_footer(76, 0, 2), Kind::IndexOutOfRange),
        (with_footer(75, 1, 2), Kind::BadBlock),
        (with_footer(31, 45, 2), Kind::BadBlock),
        (with_footer(30, 46, 3), Kind::BadBlock),
        (with_footer(30, 46, 2 + (1 << 32)), Kind::BadBlock),
        (footer([two.clone(), vec![0xff; 46]].concat(), 30, 46, u32::MAX.into()), Kind::BadBlock),
        (footer([two.clone(), vec![0; 5]].concat(), 30, 5, 0), Kind::BadBlock),
        (assemble(&two, &[(b"b", 0, 15), (b"a", 15, 15)], 2), Kind::Unsorted),
        (assemble(&two, &[(b"a", 0, 15), (b"a", 15, 15)], 2), Kind::Unsorted),
        (assemble(&two, &[(b"a", 0, 15), (b"b", 15, 12)], 2), Kind::BadBlock),
        (assemble(&two, &[(b"a", 0, 16), (b"b", 15, 15)], 2), Kind::IndexOutOfRange),
        (assemble(&two, &[(b"a", 15, 15), (b"b", 0, 15)], 2), Kind::IndexOutOfRange),
        (assemble(&two, &[(b"a", 0, 15), (b"b", 15, 16)], 2), Kind::IndexOutOfRange),
        (assemble(&two, &[(b"a", 0, 15), (b"b", u64::MAX, 15)], 2), Kind::IndexOutOfRange),
        (assemble(&two, &[(b"a", 0, u64::MAX), (b"b", 15, 15)], 2), Kind::IndexOutOfRange),
        // Several defects: each check is made over the whole index before the next check.
        (assemble(&two, &[(b"b", 9, 12), (b"a", 15, 15)], 2), Kind::Unsorted),
        (assemble(&two, &[(b"a", 9, 99), (b"b", 15, 12)], 2), Kind::BadBlock),
    ];
    let scratch = Scratch::new("table-opening");
    assert_eq!(read(&scratch.with("good.sst", &good)).unwrap(), 2);
    check(&cases, &scratch, |path| Table::open(path).map(|_| 0));
}

#[test]
fn each_defect_of_a_block_has_its_error() {
    let one = |bytes: Vec<u8>| assemble(&bytes, &[(b"a", 0, bytes.len() as u64)], 1);
    let cases = [
        (one(block(0, &[a()])), Kind::BadBlock),
        (one(block(2, &[a()])), Kind::BadBlock),
        (one(block(u32::MAX, &[a()])), Kind::BadBlock),
        (one(block(1, &[record(1, 2, 0, b"a1")])), Kind::BadBlock),
        (one(block(1, &[record(u32::MAX, u32::MAX, 0, b"a1")])), Kind::BadBlock),
        (one(block(1, &[record(1, 1, 2, b"a1")])), Kind::BadType),
        (one(block(1, &[record(1, 1, 1, b"a1")])), Kind::BadTombstone),
        (one(block(2, &[a(), a()])), Kind::Unsorted),
        (one(block(1, &[a(), vec![0]])), Kind::BadBlock),
        (one(block(1, &[record(1, 1, 0, b"b1")])), Kind::BadBlock),
        (
            assemble(
                &[block(2, &[a(), record(1, 0, 0, b"c")]), block(1, &[record(1, 0, 0, b"c")])].concat(),
                &[(b"a", 0, 25), (b"c", 25, 14)],
                2,
            ),
            Kind::Unsorted,
        ),
        // Several defects: the order of the checks decides.
        (one(block(0, &[record(1, 1, 2, b"a1")])), Kind::BadBlock),
        (one(block(2, &[record(1, 1, 2, b"a1")])), Kind::BadType),
        (one(block(1, &[record(9, 9, 2, b"a1")])), Kind::BadType),
    ];
    check(&cases, &Scratch::new("table-blocks"), read);
}

#[test]
fn bytes_between_blocks_are_ignored() {
    let body = [b"??".to_vec(), block(1, &[a()]), b"???".to_vec(), block(1, &[record(1, 0, 1, b"b")]), vec![9]];
    let bytes = assemble(&body.concat(), &[(b"a", 2, 15), (b"b", 20, 14)], 2);
    assert_eq!(read(&Scratch::new("table-gaps").with("gaps.sst", &bytes)).unwrap(), 2);
}

#[test]
fn merge_vectors() {
    let scratch = Scratch::new("merge");
    let mut newer = bulk(50);
    newer.set(b"key10", Some(b"NEW-10"));
    newer.set(b"key5", None);
    let mut older = bulk(100);
    older.set(b"key50", Some(b"OLD-50"));
    for target in [64, 4096] {
        let newer = Table::open(&scratch.with("newer.sst", &sst(&newer, target))).unwrap();
        let older = Table::open(&scratch.with("older.sst", &sst(&older, target))).unwrap();
        for (drop, length, sum) in [
            (false, 1874, "f693c483ef39dfef8e6285e29f9051a57e60bf2c4ba7b45bbf552c7932687fd1"),
            (true, 1865, "ec71c56c89f451d33e58697af2d7bce985069078e1c599cc42062dfbba6e250e"),
        ] {
            let sources: Vec<Source> = vec![Box::new(newer.iter()), Box::new(older.iter())];
            let mut out = Vec::new();
            merge(sources, drop, &mut out).unwrap();
            assert_eq!((out.len(), sha256(&out).as_str()), (length, sum));
            let tombstone = unhex("040000006b65793501");
            assert_eq!(out.windows(tombstone.len()).any(|bytes| bytes == tombstone), !drop);
            for text in [&b"NEW-10"[..], b"OLD-50", b"val99"] {
                assert!(out.windows(text.len()).any(|bytes| bytes == text));
            }
        }
    }
}
