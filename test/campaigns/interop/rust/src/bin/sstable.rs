use lsm_peer::cli::{entry_line, lookup_line, number, print, stdout, Args, Tool};
use lsm_peer::dump::MemTable;
use lsm_peer::error::{At, Error, Result};
use lsm_peer::files::{is_same, Target};
use lsm_peer::sstable::{build, Footer, Table, DEFAULT_TARGET};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

const TOOL: Tool = Tool {
    name: "sstable",
    usage:
        "usage: sstable build IN.mt OUT.sst [--block-size BYTES] | footer FILE | get FILE KEY | iter FILE | size FILE",
    options: &[("--block-size", true)],
    literal: &["get"],
};

fn main() -> ExitCode {
    TOOL.run(run)
}

fn run(args: &Args) -> Result<()> {
    let target = args.option("--block-size").map(|value| number(value, 1)).transpose()?;
    match args.command() {
        ("build", [input, output]) => build_file(Path::new(input), Path::new(output), target.unwrap_or(DEFAULT_TARGET)),
        _ if target.is_some() => Err(TOOL.bad_usage()),
        ("footer", [path]) => footer(Path::new(path)),
        ("get", [path, key]) => {
            let found = Table::open(Path::new(path))?.get(key.as_bytes())?;
            print(&lookup_line(found.as_ref().map(|value| value.as_deref())))
        }
        ("iter", [path]) => iter(Path::new(path)),
        ("size", [path]) => size(Path::new(path)),
        _ => Err(TOOL.bad_usage()),
    }
}

fn build_file(input: &Path, output: &Path, block_size: u32) -> Result<()> {
    if is_same(input, output) {
        return Err(Error::Usage("OUT is the same file as IN".to_string())).at(output);
    }
    let target = Target::lock(output)?;
    let bytes = fs::read(input).at(input)?;
    let table = MemTable::decode(&bytes).at(input)?;
    target.replace(&build(table.iter(), block_size).at(output)?)
}

fn footer(path: &Path) -> Result<()> {
    let file = File::open(path).at(path)?;
    let length = file.metadata().at(path)?.len();
    let footer = Footer::read(&file, length).at(path)?;
    print(&format!(
        "index_offset={} index_size={} num_blocks={} magic_ok={}\n",
        footer.index_offset, footer.index_size, footer.num_blocks, footer.magic_ok
    ))
}

fn iter(path: &Path) -> Result<()> {
    let table = Table::open(path)?;
    let mut out = stdout()?;
    for entry in table.iter() {
        let entry = entry?;
        out.write_all(entry_line(&entry.key, entry.value.as_deref()).as_bytes()).at(Path::new("stdout"))?;
    }
    out.flush().at(Path::new("stdout"))
}

fn size(path: &Path) -> Result<()> {
    let table = Table::open(path)?;
    let mut entries = 0;
    for i in 0..table.num_blocks() {
        entries += table.read_block(i)?.len();
    }
    print(&format!("file_bytes={} entries={} num_blocks={}\n", table.file_bytes(), entries, table.num_blocks()))
}
