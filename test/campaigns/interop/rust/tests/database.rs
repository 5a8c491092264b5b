//! The database directory (`formats.md`, section 7).

mod common;

use common::*;
use lsm_peer::db::Database;
use lsm_peer::dump::MemTable;
use lsm_peer::error::Error;
use lsm_peer::manifest;
use lsm_peer::wal::{encode_record, Batch};
use std::fs;

fn run(scratch: &Scratch, script: &str) -> Result<Vec<u8>, Error> {
    let mut db = Database::open(scratch.path())?;
    let mut out = Vec::new();
    for line in script.split(", ").filter(|line| !line.is_empty()) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["PUT", key, value] => db.stage((key.as_bytes(), Some(value.as_bytes())))?,
            ["DEL", key] => db.stage((key.as_bytes(), None))?,
            ["FLUSH"] => db.flush()?,
            ["DUMP"] => db.dump(true, &mut out)?,
            ["DUMP_WITH_TOMBS"] => db.dump(false, &mut out)?,
            _ => panic!("{}", line),
        }
    }
    db.commit()?;
    Ok(out)
}

fn manifest_of(scratch: &Scratch) -> String {
    fs::read_to_string(scratch.file("MANIFEST")).unwrap()
}

fn log(keys: &[&str]) -> Vec<u8> {
    let record = |key: &&str| {
        let mut batch = Batch::default();
        batch.add((key.as_bytes(), Some(b"log"))).unwrap();
        encode_record(&batch.encode())
    };
    keys.iter().flat_map(record).collect()
}

fn table(keys: &[&str], value: &str) -> Vec<u8> {
    let mut table = MemTable::default();
    for key in keys {
        table.set(key.as_bytes(), Some(value.as_bytes()));
    }
    sst(&table, 4096)
}

/// The merge stream of one-byte keys and their values.
fn stream(entries: &[(&str, &str)]) -> Vec<u8> {
    let form = |(key, value): &(&str, &str)| {
        let length = |text: &str| (text.len() as u32).to_le_bytes();
        [&length(key)[..], key.as_bytes(), &[0], &length(value), value.as_bytes()].concat()
    };
    entries.iter().flat_map(form).collect()
}

const GOLDEN: &str = "PUT a 1, PUT b 2, PUT c 3, FLUSH, PUT b 22, DEL a, PUT d 4, FLUSH, PUT e 5, DEL c, PUT b 222";

#[test]
fn vectors() {
    let scratch = Scratch::new("db-vectors");
    run(&scratch, GOLDEN).unwrap();
    assert_eq!(manifest_of(&scratch), "L0 2\nL0 1\n");
    assert_eq!(scratch.names(), ["LOCK", "MANIFEST", "sst-000001.sst", "sst-000002.sst", "wal.log"]);
    for (dump, length, sum) in [
        ("DUMP", 35, "7d1568c7bfdad9635ff655f7c4162628aa3253a7b95505c3d418362eb4c4c09c"),
        ("DUMP_WITH_TOMBS", 47, "27e3d256e73c3ddbd080ad7a92e5da0be780d65896644eb7d4ec0cc8a574709d"),
    ] {
        let out = run(&scratch, dump).unwrap();
        assert_eq!((out.len(), sha256(&out).as_str()), (length, sum), "{}", dump);
    }
}

#[test]
fn one_commit_is_one_record() {
    let scratch = Scratch::new("db-commit");
    run(&scratch, "PUT a 1").unwrap();
    let first = unhex("0f000000 4446fc2e 01000000 00 01000000 61 01000000 31");
    assert_eq!(fs::read(scratch.file("wal.log")).unwrap(), first);
    run(&scratch, "PUT a 1, DEL a").unwrap();
    let log = fs::read(scratch.file("wal.log")).unwrap();
    assert_eq!((&log[..23], log[23], log[31]), (&first[..], 21, 2));
}

#[test]
fn new_and_empty_databases_have_an_empty_manifest() {
    let scratch = Scratch::new("db-empty");
    let deep = scratch.file("a/b/c");
    drop(Database::open(&deep).unwrap());
    assert_eq!(fs::read(deep.join("MANIFEST")).unwrap(), b"");
    run(&scratch, "FLUSH, FLUSH").unwrap();
    assert_eq!(manifest_of(&scratch), "");
    assert_eq!(run(&scratch, "DUMP").unwrap(), b"");
    assert_eq!(scratch.names(), ["LOCK", "MANIFEST", "a"]);
    fs::write(scratch.file("file"), b"").unwrap();
    assert!(Database::open(&scratch.file("file")).is_err());
    assert!(Database::open(std::path::Path::new("")).is_err());
}

#[test]
fn a_second_open_is_refused() {
    let scratch = Scratch::new("db-lock");
    let first = Database::open(scratch.path()).unwrap();
    assert!(Database::open(scratch.path()).err().unwrap().to_string().contains("another process"));
    drop(first);
    Database::open(scratch.path()).unwrap();
}

#[test]
fn a_torn_tail_is_dropped_and_never_frozen() {
    let scratch = Scratch::new("db-torn");
    let whole = log(&["a", "b"]);
    let torn = [&whole[..], &whole[..10]].concat();
    scratch.with("wal.log", &torn);
    assert_eq!(run(&scratch, "DUMP").unwrap(), stream(&[("a", "log"), ("b", "log")]));
    assert_eq!(fs::read(scratch.file("wal.log")).unwrap(), torn, "reading does not rewrite the log");
    run(&scratch, "PUT c 3").unwrap();
    let log = fs::read(scratch.file("wal.log")).unwrap();
    assert_eq!((&log[..whole.len()], log.len()), (&whole[..], whole.len() + 23));

    scratch.with("wal.log", &torn);
    run(&scratch, "FLUSH").unwrap();
    assert_eq!(scratch.names(), ["LOCK", "MANIFEST", "sst-000001.sst", "wal.log"]);
    assert_eq!(fs::read(scratch.file("wal.log")).unwrap(), b"");
}

#[test]
fn a_log_cut_anywhere_opens() {
    let whole = log(&["a", "b"]);
    for length in 0..whole.len() {
        let scratch = Scratch::new("db-cut");
        scratch.with("wal.log", &whole[..length]);
        let expected = if length < whole.len() / 2 { vec![] } else { stream(&[("a", "log")]) };
        assert_eq!(run(&scratch, "DUMP").unwrap(), expected, "length {}", length);
    }
}

#[test]
fn damaged_logs_are_refused_and_left_unchanged() {
    let scratch = Scratch::new("db-damage");
    let mut damaged = log(&["a", "b"]);
    damaged[9] ^= 1;
    scratch.with("wal.log", &damaged);
    scratch.with("MANIFEST.tmp", b"");
    let error = run(&scratch, "").err().unwrap().to_string();
    assert!(error.contains("wal.log: offset 0: "), "{}", error);
    assert_eq!(fs::read(scratch.file("wal.log")).unwrap(), damaged);
    assert_eq!(scratch.names(), ["LOCK", "MANIFEST.tmp", "wal.log"]);

    scratch.with("MANIFEST", b"");
    scratch.with("wal.log", b"");
    scratch.with("wal-000001.log", &log(&["a", "b"])[..30]);
    assert!(run(&scratch, "").err().unwrap().to_string().contains("wal-000001.log: offset 25: "));
}

#[test]
fn frozen_logs_are_older_than_the_active_log_and_become_a_table() {
    let scratch = Scratch::new("db-frozen");
    scratch.with("MANIFEST", b"L0 4\n");
    scratch.with("sst-000004.sst", &table(&["a", "b", "c", "d"], "old"));
    let put = |key: &[u8], value: &[u8]| {
        let mut batch = Batch::default();
        batch.add((key, Some(value))).unwrap();
        encode_record(&batch.encode())
    };
    scratch.with("wal-000009.log", &[put(b"b", b"9"), put(b"c", b"9"), put(b"d", b"9")].concat());
    scratch.with("wal-000010.log", &[put(b"c", b"10"), put(b"d", b"10")].concat());
    scratch.with("wal.log", &put(b"d", b"new"));
    let expected = stream(&[("a", "old"), ("b", "9"), ("c", "10"), ("d", "new")]);
    assert_eq!(run(&scratch, "DUMP").unwrap(), expected);
    assert_eq!(scratch.names(), ["LOCK", "MANIFEST", "sst-000004.sst", "sst-000005.sst", "wal.log"]);
    assert_eq!(manifest_of(&scratch), "L0 5\nL0 4\n");
    assert_eq!(run(&scratch, "FLUSH, DUMP").unwrap(), expected);
    assert_eq!(manifest_of(&scratch), "L0 6\nL0 5\nL0 4\n");
}

#[test]
fn leftover_files_are_removed_and_others_are_not() {
    let scratch = Scratch::new("db-orphans");
    let left_overs = ["MANIFEST.tmp", "wal.log.tmp", "sst-000002.sst.tmp", "sst-000007.sst", "sst-1000000.sst"];
    let others = ["sst-0000008.sst", "sst-9.sst", "sst-000000.sst", "sst-+00009.sst", "x.tmp", "wal-1.log", "notes"];
    for name in left_overs.iter().chain(&others) {
        scratch.with(name, b"junk");
    }
    fs::create_dir(scratch.file("sst-000003.sst")).unwrap();
    scratch.with("MANIFEST", b"");
    run(&scratch, "PUT a 1, FLUSH").unwrap();
    assert_eq!(manifest_of(&scratch), "L0 1000001\n", "the id must be larger than all ids on disk");
    let names = scratch.names();
    assert!(left_overs.iter().all(|name| !names.contains(&name.to_string())));
    assert!(others.iter().all(|name| names.contains(&name.to_string())));
    assert!(names.contains(&"sst-000003.sst".to_string()));
}

#[test]
fn tables_and_frozen_logs_without_a_manifest_are_refused() {
    for name in ["sst-000001.sst", "wal-000001.log"] {
        let scratch = Scratch::new("db-no-manifest");
        scratch.with(name, b"");
        assert!(run(&scratch, "").is_err(), "{}", name);
        assert_eq!(scratch.names(), ["LOCK", name]);
    }
    let scratch = Scratch::new("db-no-manifest");
    scratch.with("wal.log", &log(&["a"]));
    assert_eq!(run(&scratch, "DUMP").unwrap(), stream(&[("a", "log")]));
}

#[test]
fn only_canonical_manifests_are_accepted() {
    let good = "L0 3\nL0 1\nL2 9223372036854775807\nL6 7\n";
    let lines = manifest::parse(good.as_bytes()).unwrap();
    assert_eq!(manifest::print(lines.into_iter()), good);
    assert_eq!(manifest::parse(b"").unwrap(), []);
    for bad in [
        "\n",
        "L0\n",
        "L0 \n",
        "L 1\n",
        "l0 1\n",
        "L0  1\n",
        " L0 1\n",
        "L0 1 \n",
        "L0\t1\n",
        "L0 1 2\n",
        "L00 1\n",
        "L0 01\n",
        "L+0 1\n",
        "L0 +1\n",
        "L0 -1\n",
        "L0 1x\n",
        "L0 1\r\n",
        "L0 1",
        "L0 1\nL0 2",
        "L0 1\n\n",
        "L7 1\n",
        "L99999999999999999999 1\n",
        "L1 1\nL0 2\n",
        "L0 1\nL0 1\n",
        "L0 1\nL1 1\n",
        "L0 0\n",
        "L0 9223372036854775808\n",
        "L0 99999999999999999999\n",
        "L0 1\n\0",
        "\u{e9}0 1\n",
    ] {
        assert!(manifest::parse(bad.as_bytes()).is_err(), "{:?}", bad);
    }
    assert!(manifest::parse(b"L0 \xff\n").is_err());
}

#[test]
fn tables_above_level_0_must_not_overlap() {
    let open = |lines: &str| {
        let scratch = Scratch::new("db-levels");
        scratch.with("MANIFEST", lines.as_bytes());
        scratch.with("sst-000001.sst", &table(&["a", "c"], "one"));
        scratch.with("sst-000002.sst", &table(&["c", "d"], "two"));
        scratch.with("sst-000003.sst", &table(&["d", "e"], "three"));
        scratch.with("sst-000004.sst", &table(&[], ""));
        run(&scratch, "DUMP").map_err(|error| error.to_string())
    };
    let one_first = stream(&[("a", "one"), ("c", "one"), ("d", "two")]);
    assert_eq!(open("L0 1\nL0 2\n").unwrap(), one_first);
    assert_eq!(open("L1 1\nL6 2\n").unwrap(), one_first);
    assert_eq!(open("L0 2\nL1 1\n").unwrap(), stream(&[("a", "one"), ("c", "two"), ("d", "two")]));
    assert!(open("L1 1\nL1 4\nL1 3\n").is_ok());
    for bad in ["L1 1\nL1 2\n", "L1 3\nL1 1\n", "L2 1\nL2 4\nL2 2\n"] {
        assert!(open(bad).err().unwrap().contains("MANIFEST: line "), "{}", bad);
    }
    assert!(open("L0 5\n").err().unwrap().contains("sst-000005.sst"), "a listed table is missing");
}

#[test]
fn a_flush_without_a_free_id_fails_and_loses_nothing() {
    let scratch = Scratch::new("db-ids");
    scratch.with("MANIFEST", b"L0 9223372036854775807\n");
    scratch.with("sst-9223372036854775807.sst", &table(&["a"], "1"));
    assert!(run(&scratch, "PUT b 2, FLUSH").is_err());
    assert_eq!(run(&scratch, "DUMP").unwrap(), stream(&[("a", "1"), ("b", "2")]));
}
