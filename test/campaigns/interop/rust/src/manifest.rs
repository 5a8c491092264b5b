//! The text of MANIFEST (`formats.md`, section 7).

use crate::error::{Error, Result};
use std::collections::HashSet;

const MAX_LEVEL: u64 = 6;
pub const MAX_ID: u64 = i64::MAX as u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub level: u64,
    pub id: u64,
}

pub fn parse(text: &[u8]) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut ids = HashSet::new();
    for (i, bytes) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let refuse = |what| Err(Error::at_line(i + 1, what));
        let line = match bytes.strip_suffix(b"\n") {
            Some(shape) => parse_line(shape),
            None => return refuse("the last line has no newline"),
        };
        let line = match line {
            Some(line) => line,
            None => return refuse("expected L<level> <id>"),
        };
        if line.level > MAX_LEVEL {
            return refuse("the level is above 6");
        }
        if line.id == 0 || line.id > MAX_ID {
            return refuse("the id is 0 or above 2^63-1");
        }
        if lines.last().map_or(false, |last| last.level > line.level) {
            return refuse("the level is below that of the line before");
        }
        if !ids.insert(line.id) {
            return refuse("the id is listed twice");
        }
        lines.push(line);
    }
    Ok(lines)
}

fn parse_line(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?;
    let (level, id) = text.strip_prefix('L')?.split_once(' ')?;
    Some(Line { level: canonical(level)?, id: canonical(id)? })
}

/// Parses a number in its canonical spelling: no sign, no leading zeros.
fn canonical(digits: &str) -> Option<u64> {
    digits.parse::<u64>().ok().filter(|number| number.to_string() == digits)
}

pub fn print(lines: impl Iterator<Item = Line>) -> String {
    lines.map(|line| format!("L{} {}\n", line.level, line.id)).collect()
}
