use lsm_peer::cli::{stdin, stdout, Args, Tool};
use lsm_peer::db::Database;
use lsm_peer::error::{At, Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;
use std::process::ExitCode;

const TOOL: Tool = Tool {
    name: "dbctl",
    usage: "usage: dbctl --dir DIR   (commands on stdin: PUT KEY VALUE, DEL KEY, FLUSH, DUMP, DUMP_WITH_TOMBS)",
    options: &[("--dir", true)],
    literal: &[],
};

const CHUNK: usize = 1 << 16;

fn main() -> ExitCode {
    TOOL.run(run)
}

fn run(args: &Args) -> Result<()> {
    let dir = match (args.option("--dir"), args.operands.as_slice()) {
        (Some(dir), []) => dir,
        _ => return Err(TOOL.bad_usage()),
    };
    let db = Database::open(Path::new(dir))?;
    let mut session = Session { db, out: stdout()?, line: 0 };
    let done = session.run();
    // Commit after an error too: the lines before it must be durable.
    done.and(session.db.commit())
}

struct Session {
    db: Database,
    out: BufWriter<File>,
    line: usize,
}

impl Session {
    /// Runs all lines of the input. Commits the lines of one chunk together, before it blocks on more input.
    fn run(&mut self) -> Result<()> {
        let mut input = stdin()?;
        let mut chunk = vec![0; CHUNK];
        let mut begun = Vec::new();
        loop {
            let n = read(&mut input, &mut chunk).at(Path::new("stdin"))?;
            if n == 0 {
                break;
            }
            let mut rest = &chunk[..n];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                begun.extend_from_slice(&rest[..end]);
                self.line(&begun)?;
                begun.clear();
                rest = &rest[end + 1..];
            }
            begun.extend_from_slice(rest);
            self.db.commit()?;
        }
        if begun.is_empty() {
            Ok(())
        } else {
            self.line(&begun)
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        self.line += 1;
        let words: Vec<&[u8]> = line.split(is_separator).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first[0] == b'#' => Ok(()),
            [b"PUT", key, value] => self.db.stage((key, Some(value))),
            [b"DEL", key] => self.db.stage((key, None)),
            [b"FLUSH"] => self.db.flush(),
            [b"DUMP"] => self.db.dump(true, &mut self.out),
            [b"DUMP_WITH_TOMBS"] => self.db.dump(false, &mut self.out),
            _ => Err(Error::at_line(self.line, "unknown command or wrong number of words")).at(Path::new("stdin")),
        }
    }
}

fn is_separator(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

fn read(input: &mut File, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            result => return result,
        }
    }
}
