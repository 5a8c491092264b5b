//! The four programs from outside: their output, exit statuses and files.

mod common;

use common::*;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

fn program(name: &str) -> Command {
    Command::new(match name {
        "memtable" => env!("CARGO_BIN_EXE_memtable"),
        "sstable" => env!("CARGO_BIN_EXE_sstable"),
        "merge_iter" => env!("CARGO_BIN_EXE_merge_iter"),
        _ => env!("CARGO_BIN_EXE_dbctl"),
    })
}

/// Runs a tool in a directory and returns its exit status, output and error message. Requires that the message is one
/// line on failure and empty on success.
fn run_raw(dir: &Path, args: &[&OsStr], input: &[u8]) -> (i32, Vec<u8>, String) {
    let mut command = program(args[0].to_str().unwrap());
    command.args(&args[1..]).current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The write may fail: a tool need not read its whole input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let status = output.status.code().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().count(), (status != 0) as usize, "{:?}: {}", args, message);
    (status, output.stdout, message)
}

fn run(dir: &Path, args: &str) -> (i32, String, String) {
    let args: Vec<&OsStr> = args.split(' ').map(|arg| OsStr::new(if arg == "''" { "" } else { arg })).collect();
    let (status, out, message) = run_raw(dir, &args, b"");
    (status, String::from_utf8(out).unwrap(), message)
}

fn ok(dir: &Path, args: &str) -> String {
    let (status, out, message) = run(dir, args);
    assert_eq!(status, 0, "{}: {}", args, message);
    out
}

fn fails(dir: &Path, args: &str, expected: i32) -> String {
    let (status, out, message) = run(dir, args);
    assert_eq!((status, out.as_str()), (expected, ""), "{}: {}", args, message);
    message
}

fn dbctl(dir: &Path, input: &[u8]) -> (i32, Vec<u8>, String) {
    run_raw(dir, &["dbctl", "--dir", "db"].map(OsStr::new), input)
}

#[test]
fn memtable() {
    let scratch = Scratch::new("tools-memtable");
    let dir = scratch.path();
    fails(dir, "memtable put t.mt a 1", 1);
    fails(dir, "memtable del t.mt a", 1);
    fails(dir, "memtable get t.mt a", 1);
    assert_eq!(ok(dir, "memtable new t.mt"), "");
    assert_eq!(ok(dir, "memtable put t.mt --help -x"), "");
    assert_eq!(ok(dir, "memtable put t.mt '' ''"), "");
    assert_eq!(ok(dir, "memtable put t.mt -- --"), "");
    assert_eq!(ok(dir, "memtable del t.mt gone"), "");
    assert_eq!(ok(dir, "memtable get t.mt --help"), "value: 2d78\n");
    assert_eq!(ok(dir, "memtable get t.mt ''"), "value: \n");
    assert_eq!(ok(dir, "memtable get t.mt gone"), "tombstone\n");
    assert_eq!(ok(dir, "memtable get t.mt never"), "absent\n");
    assert_eq!(ok(dir, "memtable iter t.mt"), "V  \nV 2d2d 2d2d\nV 2d2d68656c70 2d78\nT 676f6e65\n");
    assert_eq!(ok(dir, "memtable size t.mt"), "entries=4 size_bytes=60\n");
    let raw =
        [OsStr::new("memtable"), OsStr::new("put"), OsStr::new("t.mt"), OsStr::from_bytes(b"\xff"), OsStr::new("v")];
    assert_eq!(run_raw(dir, &raw, b"").0, 0);
    assert!(ok(dir, "memtable iter t.mt").ends_with("V ff 76\n"));
    assert_eq!(ok(dir, "memtable bulk new.mt 0"), "");
    assert_eq!(ok(dir, "memtable bulk new.mt 2"), "");
    assert_eq!(ok(dir, "memtable iter new.mt"), "V 6b657930 76616c30\nV 6b657931 76616c31\n");
    assert_eq!(scratch.names(), ["new.mt", "t.mt"]);
}

#[test]
fn memtable_replaces_only_regular_files() {
    let scratch = Scratch::new("tools-targets");
    let dir = scratch.path();
    fs::create_dir(scratch.file("sub")).unwrap();
    symlink("sub/real.mt", scratch.file("link.mt")).unwrap();
    symlink("/dev/null", scratch.file("null.mt")).unwrap();
    symlink("loop.mt", scratch.file("loop.mt")).unwrap();
    ok(dir, "memtable new link.mt");
    ok(dir, "memtable put link.mt a 1");
    assert_eq!(ok(dir, "memtable iter sub/real.mt"), "V 61 31\n");
    assert!(fs::symlink_metadata(scratch.file("link.mt")).unwrap().file_type().is_symlink());
    for target in ["sub", "sub/", "sub/.", "none/", "null.mt", "loop.mt", "none/t.mt", "''", "/"] {
        fails(dir, &format!("memtable new {}", target), 1);
    }
    scratch.with("bad.mt", b"MMT1");
    for command in ["put bad.mt a 1", "del bad.mt a", "bulk bad.mt 1", "get bad.mt a", "iter bad.mt", "size bad.mt"] {
        let message = fails(dir, &format!("memtable {}", command), 1);
        assert!(message.starts_with("memtable: bad.mt: offset 4: Short: "), "{}", message);
    }
    assert_eq!(fs::read(scratch.file("bad.mt")).unwrap(), b"MMT1");
    ok(dir, "memtable new bad.mt");
    assert_eq!(fs::read(scratch.file("bad.mt")).unwrap(), b"MMT1\0\0\0\0");
}

#[test]
fn two_writers_at_once_lose_nothing() {
    let scratch = Scratch::new("tools-writers");
    ok(scratch.path(), "memtable new t.mt");
    let put = |i: u32| {
        let key = i.to_string();
        program("memtable").args(["put", "t.mt", &key, "x"]).current_dir(scratch.path()).spawn().unwrap()
    };
    let children: Vec<_> = (0..20).map(put).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert!(ok(scratch.path(), "memtable size t.mt").starts_with("entries=20 "));
}

#[test]
fn sstable() {
    let scratch = Scratch::new("tools-sstable");
    let dir = scratch.path();
    scratch.with("m.mt", &m().encode().unwrap());
    assert_eq!(ok(dir, "sstable build m.mt 4096.sst"), "");
    assert_eq!(ok(dir, "sstable build m.mt --block-size 64 64.sst"), "");
    assert_eq!(ok(dir, "sstable --block-size 4096 build -- m.mt -4096.sst"), "");
    assert_eq!(fs::read(scratch.file("4096.sst")).unwrap(), fs::read(scratch.file("-4096.sst")).unwrap());
    assert_eq!(ok(dir, "sstable footer 64.sst"), "index_offset=2033 index_size=846 num_blocks=34 magic_ok=true\n");
    assert_eq!(ok(dir, "sstable size 64.sst"), "file_bytes=2911 entries=101 num_blocks=34\n");
    assert_eq!(ok(dir, "sstable get 64.sst key50"), "value: 5245504c41434544\n");
    assert_eq!(ok(dir, "sstable get 64.sst key99"), "tombstone\n");
    assert_eq!(ok(dir, "sstable get 64.sst --help"), "absent\n");
    assert!(ok(dir, "sstable iter 64.sst").starts_with("V  656d7074792d6b65792d76616c7565\nV 6b657930 76616c30\n"));
    assert_eq!(ok(dir, "sstable iter 64.sst"), ok(dir, "memtable iter m.mt"));

    scratch.with("zero.sst", &[0; 36]);
    assert!(ok(dir, "sstable footer zero.sst").ends_with("num_blocks=0 magic_ok=false\n"));
    assert!(fails(dir, "sstable iter zero.sst", 1).starts_with("sstable: zero.sst: offset 4: BadMagic: "));
    scratch.with("short.sst", &[0; 35]);
    assert!(fails(dir, "sstable footer short.sst", 1).contains("short.sst: offset 35: Short: "));
    fails(dir, "sstable footer none.sst", 1);
    fails(dir, "sstable iter .", 1);

    fs::hard_link(scratch.file("m.mt"), scratch.file("hard.mt")).unwrap();
    symlink("m.mt", scratch.file("soft.mt")).unwrap();
    for same in ["m.mt", "./m.mt", "hard.mt", "soft.mt"] {
        fails(dir, &format!("sstable build m.mt {}", same), 2);
    }
    scratch.with("bad.mt", b"MMT1\x01\0\0\0");
    fails(dir, "sstable build bad.mt out.sst", 1);
    fails(dir, "sstable build none.mt out.sst", 1);
    fails(dir, "sstable build m.mt /dev/null", 1);
    assert!(!scratch.names().iter().any(|name| name == "out.sst" || name.ends_with(".tmp")));
}

#[test]
fn merge_iter() {
    let scratch = Scratch::new("tools-merge");
    let dir = scratch.path();
    let mut newer = bulk(1);
    newer.set(b"gone", None);
    scratch.with("newer.sst", &sst(&newer, 64));
    scratch.with("older.sst", &sst(&bulk(2), 64));
    let gone = "\u{4}\0\0\0gone\u{1}";
    let both = "\u{4}\0\0\0key0\0\u{4}\0\0\0val0\u{4}\0\0\0key1\0\u{4}\0\0\0val1";
    assert_eq!(ok(dir, "merge_iter newer.sst older.sst"), format!("{}{}", gone, both));
    assert_eq!(ok(dir, "merge_iter newer.sst --drop-tombstones older.sst"), both);
    fails(dir, "merge_iter newer.sst -- --drop-tombstones", 1);
    fails(dir, "merge_iter newer.sst none.sst", 1);

    let mut bytes = sst(&bulk(1000), 64);
    bytes[20000] ^= 0xff;
    scratch.with("damaged.sst", &bytes);
    let (status, out, message) = run_raw(dir, &["merge_iter", "damaged.sst"].map(OsStr::new), b"");
    assert!(status == 1 && out.len() > 1000 && message.contains("damaged.sst: offset "), "{}", message);
}

#[test]
fn dbctl_lines() {
    let scratch = Scratch::new("tools-dbctl");
    let dir = scratch.path();
    let script = b"# PUT x x\n\n \t#\n\tPUT\x0b k\xff \x0c v\0\r\nDEL gone\r\nDUMP\nFLUSH \nDUMP_WITH_TOMBS";
    let put = b"\x02\0\0\0k\xff\0\x02\0\0\0v\0".to_vec();
    let expected = [put.clone(), b"\x04\0\0\0gone\x01".to_vec(), put].concat();
    assert_eq!(dbctl(dir, script), (0, expected, String::new()));
    for (i, line) in ["put a 1", "PUT a", "PUT a b c", "DEL", "DEL a b", "FLUSH x", "DUMP DUMP", "NOP", "DUMP\u{a0}"]
        .iter()
        .enumerate()
    {
        let (status, out, message) = dbctl(dir, format!("PUT n {}\n\n{}\nPUT never 1\n", i, line).as_bytes());
        assert_eq!((status, out), (1, vec![]));
        assert!(message.starts_with("dbctl: stdin: line 3: "), "{}", message);
        let dump = dbctl(dir, b"DUMP").1;
        assert!(dump.ends_with(format!("n\0\u{1}\0\0\0{}", i).as_bytes()), "the lines before the bad line are applied");
    }
    let long = [b"PUT long ".to_vec(), vec![b'x'; 300_000], b"\nDUMP\n".to_vec()].concat();
    assert_eq!(dbctl(dir, &long).1.iter().filter(|byte| **byte == b'x').count(), 300_000);
}

#[test]
fn dbctl_commits_before_it_waits_for_input() {
    let scratch = Scratch::new("tools-durable");
    let mut child = program("dbctl").arg("--dir").arg(scratch.file("db")).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"PUT a 1\nPUT b").unwrap();
    while fs::metadata(scratch.file("db/wal.log")).map_or(0, |found| found.len()) < 23 {
        std::thread::yield_now();
    }
    let (status, _, message) = dbctl(scratch.path(), b"DUMP\n");
    assert!(status == 1 && message.contains("another process"), "{}", message);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(dbctl(scratch.path(), b"DUMP\n").1, b"\x01\0\0\0a\0\x01\0\0\x001");
}

#[test]
fn bad_command_lines_exit_with_status_2() {
    let scratch = Scratch::new("tools-usage");
    let dir = scratch.path();
    scratch.with("m.mt", &m().encode().unwrap());
    for tool in ["memtable", "sstable", "merge_iter", "dbctl"] {
        assert!(ok(dir, &format!("{} --help", tool)).contains(tool));
        assert!(ok(dir, &format!("{} --version", tool)).contains(tool));
        fails(dir, &format!("{} --unknown", tool), 2);
        fails(dir, tool, 2);
    }
    for line in [
        "memtable ''",
        "memtable new",
        "memtable new a b",
        "memtable put a",
        "memtable put a b",
        "memtable put a b c d",
        "memtable get a",
        "memtable get -x a",
        "memtable frob a",
        "memtable iter m.mt --help",
        "memtable bulk m.mt",
        "memtable bulk m.mt -1",
        "memtable bulk m.mt +1",
        "memtable bulk m.mt 1x",
        "memtable bulk m.mt ''",
        "memtable bulk m.mt 4294967296",
        "memtable bulk m.mt 0x1",
        "sstable build m.mt",
        "sstable build m.mt a b",
        "sstable build m.mt a --block-size",
        "sstable build m.mt a --block-size 0",
        "sstable build m.mt a --block-size -1",
        "sstable build m.mt a --block-size 4294967296",
        "sstable iter a --block-size 1",
        "sstable get a",
        "merge_iter --",
        "merge_iter --drop-tombstones",
        "dbctl --dir",
        "dbctl db",
        "dbctl --dir db db",
    ] {
        fails(dir, line, 2);
    }
    assert_eq!(scratch.names(), ["m.mt"]);
    ok(dir, "sstable build m.mt a --block-size 4294967295");
    ok(dir, "memtable -- new -x");
    ok(dir, "memtable bulk m.mt 007");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let scratch = Scratch::new("tools-output");
    scratch.with("big.mt", &bulk(50_000).encode().unwrap());
    scratch.with("big.sst", &sst(&bulk(50_000), 4096));
    let shell = |tool: &str, rest: &str| {
        let script = format!("\"$1\" {}", rest);
        let output = Command::new("bash")
            .args(["-c", &script, "bash"])
            .arg(program(tool).get_program())
            .current_dir(scratch.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap().lines().count())
    };
    for (tool, rest) in [
        ("memtable", "iter big.mt"),
        ("sstable", "iter big.sst"),
        ("merge_iter", "big.sst"),
        ("memtable", "size big.mt"),
    ] {
        assert_eq!(shell(tool, &format!("{} >/dev/full", rest)), (Some(1), 1), "{}", rest);
        assert_eq!(shell(tool, &format!("{} >&-", rest)), (Some(1), 1), "{}", rest);
        assert_eq!(shell(tool, &format!("{} >/dev/null", rest)), (Some(0), 0), "{}", rest);
        assert_eq!(shell(tool, &format!("{} <>/dev/null >&0", rest)), (Some(0), 0), "{}", rest);
        assert_eq!(shell(tool, &format!("{} >/dev/full 2>/dev/full", rest)), (Some(1), 0), "{}", rest);
    }
    for (tool, rest) in [("memtable", "iter big.mt"), ("sstable", "iter big.sst"), ("merge_iter", "big.sst")] {
        assert_eq!(shell(tool, &format!("{} | true; exit ${{PIPESTATUS[0]}}", rest)), (Some(1), 1), "{}", rest);
    }
    assert_eq!(shell("memtable", "put big.mt a 1 >&-"), (Some(0), 0), "nothing to write");
    assert_eq!(shell("dbctl", "--dir db <<<$'PUT a 1\\nDUMP\\nPUT b 2' >&-"), (Some(1), 1));
    assert_eq!(shell("dbctl", "--dir db <<<'DUMP' | od -c | grep -q b"), (Some(1), 0), "b was not applied");
    assert_eq!(shell("dbctl", "--dir db <&-"), (Some(1), 1));
    assert_eq!(shell("dbctl", "--dir db </"), (Some(1), 1));
    let names: Vec<OsString> =
        fs::read_dir(scratch.file("db")).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3);
    File::open(scratch.file("db/wal.log")).unwrap();
}
