//! The merge of several sources into one stream (`formats.md`, section 4).

use crate::entry::{write_length, Entry};
use crate::error::{At, Result};
use std::io::Write;
use std::path::Path;

/// Entries in ascending key order.
pub type Source<'a> = Box<dyn Iterator<Item = Result<Entry>> + 'a>;

/// Writes the merge stream of `sources`, ordered from newest to oldest, to `out`. Error messages call `out` stdout.
pub fn merge(mut sources: Vec<Source>, drop_tombstones: bool, out: &mut dyn Write) -> Result<()> {
    let mut heads = Vec::new();
    for source in &mut sources {
        heads.push(source.next().transpose()?);
    }
    while let Some(winner) = lowest(&heads) {
        for (head, source) in heads.iter_mut().zip(&mut sources) {
            if head.as_ref().map_or(false, |entry| entry.key == winner.key) {
                *head = source.next().transpose()?;
            }
        }
        if winner.value.is_some() || !drop_tombstones {
            out.write_all(&stream_form(&winner)).at(Path::new("stdout"))?;
        }
    }
    out.flush().at(Path::new("stdout"))
}

/// Returns the entry with the lowest key. Of several with that key it returns the first, which is the newest.
fn lowest(heads: &[Option<Entry>]) -> Option<Entry> {
    heads.iter().flatten().min_by(|a, b| a.key.cmp(&b.key)).cloned()
}

fn stream_form(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    write_length(&mut out, &entry.key);
    out.extend_from_slice(&entry.key);
    out.push(entry.value.is_none() as u8);
    if let Some(value) = &entry.value {
        write_length(&mut out, value);
        out.extend_from_slice(value);
    }
    out
}
