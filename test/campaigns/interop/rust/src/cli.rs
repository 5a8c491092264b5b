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
    /// The options, and whether a value follows each.
    pub options: &'static [(&'static str, bool)],
    /// The commands that take everything after their PATH literally.
    pub literal: &'static [&'static str],
}

/// A parsed command line.
pub struct Args {
    pub operands: Vec<OsString>,
    options: Vec<(&'static str, OsString)>,
}

impl Args {
    /// Returns the value of an option. If the option was given several times, the last value counts.
    pub fn option(&self, name: &str) -> Option<&OsString> {
        self.options.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// Splits the operands into the command and its operands.
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
                // The exit status is the same if the message cannot be written.
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
                parsed.options.push((name, value.ok_or_else(|| usage_error("missing value for option", &arg))?));
            }
        }
        Ok(parsed)
    }

    pub fn bad_usage(&self) -> Error {
        Error::Usage(format!("unknown command or wrong number of operands; see {} --help", self.name))
    }
}

fn usage_error(what: &str, arg: &OsString) -> Error {
    Error::Usage(format!("{} {}", what, arg.to_string_lossy()))
}

/// Parses a number from `lowest` to 2^32-1: decimal digits without a sign.
pub fn number(arg: &OsString, lowest: u32) -> Result<u32> {
    let digits = arg.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number >= lowest);
    number.ok_or_else(|| usage_error("not a number in the allowed range:", arg))
}

pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
}

/// Formats the answer to `get`.
pub fn lookup_line(found: Option<Option<&[u8]>>) -> String {
    match found {
        Some(Some(value)) => format!("value: {}\n", hex(value)),
        Some(None) => "tombstone\n".to_string(),
        None => "absent\n".to_string(),
    }
}

/// Formats a line of `iter`.
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

/// Returns standard output as a file. `io::stdout` would report success on a descriptor that is not open for writing.
pub fn stdout() -> Result<BufWriter<File>> {
    let file = if WAS_CLOSED[1].load(Ordering::Relaxed) {
        // A file that is open only for reading fails on writes, as a closed descriptor would.
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

/// Whether standard input and output were closed. Rust's runtime replaces a closed standard descriptor by /dev/null,
/// and output would vanish without an error. So the descriptors have to be checked before the runtime starts.
static WAS_CLOSED: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

#[used]
#[link_section = ".init_array"]
static LOOK_AT_DESCRIPTORS: extern "C" fn() = look_at_descriptors;

extern "C" fn look_at_descriptors() {
    const F_GETFD: i32 = 1;
    for (fd, was_closed) in (0..).zip(&WAS_CLOSED) {
        // SAFETY: F_GETFD changes nothing, and the descriptor need not be open.
        was_closed.store(unsafe { fcntl(fd, F_GETFD) } == -1, Ordering::Relaxed);
    }
}

extern "C" {
    fn fcntl(fd: i32, command: i32, ...) -> i32;
}
