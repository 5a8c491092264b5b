use lsm_peer::cli::{entry_line, lookup_line, number, print, stdout, Args, Tool};
use lsm_peer::dump::MemTable;
use lsm_peer::error::{At, Result};
use lsm_peer::files::Target;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

const TOOL: Tool = Tool {
    name: "memtable",
    usage: "usage: memtable new PATH | put PATH KEY VALUE | del PATH KEY | get PATH KEY | iter PATH | bulk PATH N | size PATH",
    options: &[],
    literal: &["put", "del", "get"],
};

fn main() -> ExitCode {
    TOOL.run(run)
}

fn run(args: &Args) -> Result<()> {
    match args.command() {
        ("new", [path]) => save(&Target::lock(Path::new(path))?, Path::new(path), &MemTable::default()),
        ("put", [path, key, value]) => set(Path::new(path), key, Some(value)),
        ("del", [path, key]) => set(Path::new(path), key, None),
        ("get", [path, key]) => {
            let table = load(Path::new(path))?;
            print(&lookup_line(table.get(key.as_bytes()).map(|value| value.as_deref())))
        }
        ("iter", [path]) => iter(Path::new(path)),
        ("bulk", [path, n]) => bulk(Path::new(path), number(n, 0)?),
        ("size", [path]) => {
            let table = load(Path::new(path))?;
            print(&format!("entries={} size_bytes={}\n", table.len(), table.size_bytes()))
        }
        _ => Err(TOOL.bad_usage()),
    }
}

fn load(path: &Path) -> Result<MemTable> {
    let bytes = fs::read(path).at(path)?;
    MemTable::decode(&bytes).at(path)
}

fn save(target: &Target, path: &Path, table: &MemTable) -> Result<()> {
    target.replace(&table.encode().at(path)?)
}

fn set(path: &Path, key: &OsString, value: Option<&OsString>) -> Result<()> {
    let target = Target::lock(path)?;
    let mut table = load(path)?;
    table.set(key.as_bytes(), value.map(|value| value.as_bytes()));
    save(&target, path, &table)
}

fn bulk(path: &Path, n: u32) -> Result<()> {
    let target = Target::lock(path)?;
    let mut table = if target.exists() { load(path)? } else { MemTable::default() };
    table.bulk(n);
    save(&target, path, &table)
}

fn iter(path: &Path) -> Result<()> {
    let table = load(path)?;
    let mut out = stdout()?;
    for (key, value) in table.iter() {
        out.write_all(entry_line(key, value).as_bytes()).at(Path::new("stdout"))?;
    }
    out.flush().at(Path::new("stdout"))
}
