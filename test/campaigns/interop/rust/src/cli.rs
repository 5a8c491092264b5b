//! What the four tools share: the command line, standard input and output, errors and exit statuses.

use crate::error::{At, Error, Result};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::io::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Tool {
    pub name: &'static str,
    pub usage: &'static str,
    /// The options, and whether each is followed by a value.
    pub options: &'static [(&'static str, bool)],
    /// The commands that take everything behind their PATH literally.
    pub literal: &'static [&'static str],
}

/// A command line taken apart.
pub struct Args {
    pub operands: Vec<OsString>,
    options: Vec<(&'static str, OsString)>,
}

impl Args {
    /// The value of an option; of one that was given twice the last value.
    pub fn option(&self, name: &str) -> Option<&OsString> {
        self.options.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// The first operand and the others.
    pub fn command(&self) -> (&str, &[OsString]) {
        match self.operands.split_first() {
            Some((command, rest)) => (command.to_str().unwrap_or(""), rest),
            None => ("", &[]),
        }
    }
}

impl Tool {
    pub fn run(&self, body: fn(&Args) -> Result<()>) -> ExitCode {
        let args: Vec<OsString> = std::env::args_os().skip(1).collect();
        let done = match args.first().and_then(|first| first.to_str()) {
            Some("--help") => print(&format!("{}\n", self.usage)),
            Some("--version") => print(&format!("{} (lsm-peer) {}\n", self.name, env!("CARGO_PKG_VERSION"))),
            _ => self.parse(args).and_then(|args| body(&args)),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // A message that cannot be written does not change the exit status.
                let _ = writeln!(io::stderr(), "{}: {}", self.name, error);
                ExitCode::from(error.exit_status())
            }
        }
    }

    pub fn parse(&self, args: Vec<OsString>) -> Result<Args> {
        let mut parsed = Args { operands: Vec::new(), options: Vec::new() };
        let mut literal = false;
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if literal || !arg.as_bytes().starts_with(b"-") || arg == *"-" {
                parsed.operands.push(arg);
                literal |= parsed.operands.len() == 2 && self.literal.contains(&parsed.command().0);
            } else if arg == *"--" {
                literal = true;
            } else {
                let known = self.options.iter().find(|(name, _)| arg == **name);
                let (name, has_value) = *known.ok_or_else(|| usage_error("unknown option", &arg))?;
                let value = if has_value { args.next() } else { Some(OsString::new()) };
                parsed.options.push((name, value.ok_or_else(|| usage_error("no value for", &arg))?));
            }
        }
        Ok(parsed)
    }

    pub fn bad_usage(&self) -> Error {
        Error::Usage(format!("bad command line; try {} --help", self.name))
    }
}

fn usage_error(what: &str, arg: &OsString) -> Error {
    Error::Usage(format!("{} {}", what, arg.to_string_lossy()))
}

/// Decimal digits without a sign.
pub fn number(arg: &OsString, lowest: u32) -> Result<u32> {
    let digits = arg.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number >= lowest);
    number.ok_or_else(|| usage_error("not a number in range:", arg))
}

pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
}

/// The answer to `get`.
pub fn lookup_line(found: Option<Option<&[u8]>>) -> String {
    match found {
        Some(Some(value)) => format!("value: {}\n", hex(value)),
        Some(None) => "tombstone\n".to_string(),
        None => "absent\n".to_string(),
    }
}

/// A line of `iter`.
pub fn entry_line(key: &[u8], value: Option<&[u8]>) -> String {
    match value {
        Some(value) => format!("V {} {}\n", hex(key), hex(value)),
        None => format!("T {}\n", hex(key)),
    }
}

pub fn print(text: &str) -> Result<()> {
    let mut out = stdout()?;
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).at(Path::new("stdout"))
}

/// Standard output as a file, since `io::stdout` takes a descriptor it cannot write to for a success.
pub fn stdout() -> Result<BufWriter<File>> {
    let file = if WAS_CLOSED[1].load(Ordering::Relaxed) {
        // A file that is open for the other direction fails like a closed descriptor does.
        File::open("/dev/null")
    } else {
        io::stdout().as_fd().try_clone_to_owned().map(File::from)
    };
    file.map(BufWriter::new).at(Path::new("stdout"))
}

pub fn stdin() -> Result<File> {
    let file = if WAS_CLOSED[0].load(Ordering::Relaxed) {
        OpenOptions::new().write(true).open("/dev/null")
    } else {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    };
    file.at(Path::new("stdin"))
}

/// Rust's runtime opens /dev/null in the place of a standard descriptor that is closed, and output would vanish
/// without an error. So this has to be looked at before the runtime starts.
static WAS_CLOSED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

#[used]
#[link_section = ".init_array"]
static LOOK_AT_DESCRIPTORS: extern "C" fn() = look_at_descriptors;

extern "C" fn look_at_descriptors() {
    const F_GETFD: i32 = 1;
    for (fd, was_closed) in (0..).zip(&WAS_CLOSED) {
        // SAFETY: asking for the flags of a descriptor changes nothing, and it need not be open.
        was_closed.store(unsafe { fcntl(fd, F_GETFD) } == -1, Ordering::Relaxed);
    }
}

extern "C" {
    fn fcntl(fd: i32, command: i32, ...) -> i32;
}
