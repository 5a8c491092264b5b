//! Errors, each of which prints as one line.

use std::fmt;
use std::io;
use std::path::Path;

/// The errors that the formats page names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Short,
    BadMagic,
    BadType,
    BadTombstone,
    Unsorted,
    TrailingBytes,
    BadBlock,
    IndexOutOfRange,
}

#[derive(Debug)]
pub enum Error {
    /// A bad command line.
    Usage(String),
    Io(io::Error),
    Format {
        kind: Kind,
        offset: u64,
        what: &'static str,
    },
    /// An error that the formats page does not name.
    Refused(String),
    /// Another error, with the file that it was found in.
    In {
        file: String,
        error: Box<Error>,
    },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: Kind, offset: u64, what: &'static str) -> Error {
        Error::Format { kind, offset, what }
    }

    pub fn at_line(line: usize, what: &str) -> Error {
        Error::Refused(format!("line {}: {}", line, what))
    }

    pub fn in_file(self, path: &Path) -> Error {
        Error::In { file: printable(&path.to_string_lossy()), error: Box::new(self) }
    }

    pub fn kind(&self) -> Option<Kind> {
        match self {
            Error::Format { kind, .. } => Some(*kind),
            Error::In { error, .. } => error.kind(),
            _ => None,
        }
    }

    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::In { error, .. } => error.exit_status(),
            _ => 1,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Error::Usage(what) | Error::Refused(what) => write!(f, "{}", printable(what)),
            Error::Io(error) => write!(f, "{}", error),
            Error::Format { kind, offset, what } => write!(f, "offset {}: {:?}: {}", offset, kind, what),
            Error::In { file, error } => write!(f, "{}: {}", file, error),
        }
    }
}

/// Adds the name of the file to an error.
pub trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T, E: Into<Error>> At<T> for std::result::Result<T, E> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| error.into().in_file(path))
    }
}

/// Replaces control characters, so that an error is one line whatever the name of the file is.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
