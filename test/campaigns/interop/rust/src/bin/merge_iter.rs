use lsm_peer::cli::{stdout, Args, Tool};
use lsm_peer::error::Result;
use lsm_peer::merge::{merge, Source};
use lsm_peer::sstable::Table;
use std::path::Path;
use std::process::ExitCode;

const TOOL: Tool = Tool {
    name: "merge_iter",
    usage: "usage: merge_iter [--drop-tombstones] IN1.sst IN2.sst ...   (IN1 is the newest)",
    options: &[("--drop-tombstones", false)],
    literal: &[],
};

fn main() -> ExitCode {
    TOOL.run(run)
}

fn run(args: &Args) -> Result<()> {
    if args.operands.is_empty() {
        return Err(TOOL.bad_usage());
    }
    let tables = args.operands.iter().map(|path| Table::open(Path::new(path))).collect::<Result<Vec<_>>>()?;
    let sources = tables.iter().map(|table| Box::new(table.iter()) as Source).collect();
    merge(sources, args.option("--drop-tombstones").is_some(), &mut stdout()?)
}
