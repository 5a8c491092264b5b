//! The database directory (`formats.md`, section 7).

use crate::dump::MemTable;
use crate::entry::{Entry, Op};
use crate::error::{At, Error, Result};
use crate::files;
use crate::manifest::{self, Line};
use crate::merge::{merge, Source};
use crate::sstable::{self, Table};
use crate::wal::{self, Batch};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "MANIFEST";
const LOG: &str = "wal.log";

pub struct Database {
    dir: PathBuf,
    /// In the order of MANIFEST: from the newest to the oldest.
    tables: Vec<(Line, Table)>,
    memtable: MemTable,
    log: Log,
    pending: Batch,
    last_id: u64,
    last_frozen: u64,
    _lock: File,
}

enum Log {
    /// The intact records of a log that was replayed. Nothing is appended to such a log: it is rewritten first.
    Replayed(Vec<u8>),
    Writable(File),
}

impl Database {
    /// Opens a database, and creates it if it does not exist. Changes nothing but LOCK before every check has passed.
    pub fn open(dir: &Path) -> Result<Database> {
        files::create_dirs(dir)?;
        let lock = lock(dir)?;
        let found = Found::scan(dir).at(dir)?;
        let manifest = read_manifest(dir, &found)?;
        let tables = open_tables(dir, manifest.as_deref().unwrap_or(&[]))?;
        let mut frozen = MemTable::default();
        for pair in found.frozen.windows(2) {
            if pair[1] != pair[0] + 1 {
                let error = Error::Refused("missing between an older log and a newer one".to_string());
                return Err(error).at(&dir.join(frozen_name(pair[0] + 1)));
            }
        }
        for number in &found.frozen {
            replay(&dir.join(frozen_name(*number)), false, &mut frozen)?;
        }
        let mut memtable = MemTable::default();
        let intact = replay(&dir.join(LOG), true, &mut memtable)?;

        let mut db = Database {
            dir: dir.to_path_buf(),
            tables,
            memtable,
            log: Log::Replayed(intact),
            pending: Batch::default(),
            last_id: found.last_id,
            last_frozen: found.frozen.last().copied().unwrap_or(0),
            _lock: lock,
        };
        for (line, _) in &db.tables {
            db.last_id = db.last_id.max(line.id);
        }
        db.remove_left_overs(&found)?;
        if manifest.is_none() {
            db.write_manifest()?;
        }
        db.write_table(frozen, &found.frozen)?;
        Ok(db)
    }

    /// Adds an operation to the batch that the next `commit` makes durable and applies.
    pub fn stage(&mut self, op: Op) -> Result<()> {
        if !self.pending.has_room(op) {
            self.commit()?;
        }
        self.pending.add(op)
    }

    pub fn commit(&mut self) -> Result<()> {
        // Empty the batch first. After an error it must not be written again: a part of it may be in the log already.
        let batch = mem::take(&mut self.pending);
        if batch.is_empty() {
            return Ok(());
        }
        let payload = batch.encode();
        let record = wal::encode_record(&payload);
        let mut log = self.writable_log()?;
        log.write_all(&record).and_then(|()| log.sync_data()).at(&self.dir.join(LOG))?;
        for (key, value) in wal::decode_batch(&payload)? {
            self.memtable.set(key, value);
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        self.commit()?;
        if self.memtable.is_empty() {
            return Ok(());
        }
        // If no id is left for the table, fail before the log is frozen.
        next(self.last_id, manifest::MAX_ID)?;
        let number = self.freeze_log()?;
        let memtable = mem::take(&mut self.memtable);
        self.write_table(memtable, &[number])
    }

    /// Commits, then writes the merge stream of the live view to `out`.
    pub fn dump(&mut self, drop_tombstones: bool, out: &mut dyn Write) -> Result<()> {
        self.commit()?;
        let mut sources: Vec<Source> = vec![Box::new(
            self.memtable.iter().map(|(key, value)| Ok(Entry { key: key.to_vec(), value: value.map(<[u8]>::to_vec) })),
        )];
        for (_, table) in &self.tables {
            sources.push(Box::new(table.iter()));
        }
        merge(sources, drop_tombstones, out)
    }

    fn writable_log(&mut self) -> Result<&File> {
        if let Log::Replayed(intact) = &self.log {
            let file = self.start_log(intact)?;
            self.log = Log::Writable(file);
        }
        match &self.log {
            Log::Writable(file) => Ok(file),
            Log::Replayed(_) => unreachable!("the log has just been started"),
        }
    }

    fn start_log(&self, content: &[u8]) -> Result<File> {
        self.replace(LOG, content)?;
        let path = self.dir.join(LOG);
        OpenOptions::new().append(true).open(&path).at(&path)
    }

    /// Freezes the active log and returns its number. A log that was only replayed is rewritten first, because a frozen
    /// log must not have a torn tail.
    fn freeze_log(&mut self) -> Result<u64> {
        let path = self.dir.join(LOG);
        self.writable_log()?.sync_all().at(&path)?;
        let number = next(self.last_frozen, u64::MAX)?;
        fs::rename(&path, self.dir.join(frozen_name(number))).at(&path)?;
        files::sync_dir(&self.dir)?;
        self.last_frozen = number;
        self.log = Log::Writable(self.start_log(b"")?);
        Ok(number)
    }

    /// Writes the table of a frozen MemTable, lists it in MANIFEST, and then removes the logs of that MemTable.
    fn write_table(&mut self, memtable: MemTable, logs: &[u64]) -> Result<()> {
        if !memtable.is_empty() {
            let id = next(self.last_id, manifest::MAX_ID)?;
            let name = table_name(id);
            let bytes = sstable::build(memtable.iter(), sstable::DEFAULT_TARGET).at(&self.dir.join(&name))?;
            self.replace(&name, &bytes)?;
            self.last_id = id;
            let table = Table::open(&self.dir.join(&name))?;
            self.tables.insert(0, (Line { level: 0, id }, table));
            self.write_manifest()?;
        }
        for number in logs {
            self.remove(&frozen_name(*number))?;
        }
        Ok(())
    }

    fn write_manifest(&self) -> Result<()> {
        let text = manifest::print(self.tables.iter().map(|(line, _)| *line));
        self.replace(MANIFEST, text.as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        files::replace(&self.dir, OsStr::new(&format!("{}.tmp", name)), OsStr::new(name), bytes)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::remove_file(&path).at(&path)?;
        files::sync_dir(&self.dir)
    }

    fn remove_left_overs(&self, found: &Found) -> Result<()> {
        for name in &found.temporaries {
            self.remove(name)?;
        }
        for id in &found.tables {
            if self.tables.iter().all(|(line, _)| line.id != *id) {
                self.remove(&table_name(*id))?;
            }
        }
        Ok(())
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("LOCK");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).at(&path)?;
    match files::try_lock(&file).at(&path)? {
        true => Ok(file),
        false => Err(Error::Refused("another process has the database open".to_string())).at(&path),
    }
}

/// The files of a directory that belong to a database. All others are ignored.
#[derive(Default)]
struct Found {
    manifest: bool,
    tables: Vec<u64>,
    frozen: Vec<u64>,
    temporaries: Vec<String>,
    last_id: u64,
}

impl Found {
    fn scan(dir: &Path) -> io::Result<Found> {
        let mut found = Found::default();
        for item in fs::read_dir(dir)? {
            let item = item?;
            // A directory is never a leftover of ours, whatever its name is.
            if item.file_type()?.is_dir() {
                continue;
            }
            if let Ok(name) = item.file_name().into_string() {
                found.sort_in(name);
            }
        }
        found.frozen.sort_unstable();
        Ok(found)
    }

    fn sort_in(&mut self, name: String) {
        let final_name = name.strip_suffix(".tmp");
        let id = table_id(final_name.unwrap_or(&name));
        self.last_id = self.last_id.max(id.unwrap_or(0));
        if name == MANIFEST {
            self.manifest = true;
        } else if let Some(number) = numbered(&name, "wal-", ".log") {
            self.frozen.push(number);
        } else if final_name.map_or(false, |name| id.is_some() || name == MANIFEST || name == LOG) {
            self.temporaries.push(name);
        } else if let Some(id) = id {
            self.tables.push(id);
        }
    }
}

fn table_name(id: u64) -> String {
    format!("sst-{:06}.sst", id)
}

fn table_id(name: &str) -> Option<u64> {
    numbered(name, "sst-", ".sst").filter(|id| (1..=manifest::MAX_ID).contains(id))
}

fn frozen_name(number: u64) -> String {
    format!("wal-{:06}.log", number)
}

/// Returns the number in a name, if the name is spelled exactly as this program spells it.
fn numbered(name: &str, before: &str, behind: &str) -> Option<u64> {
    let number = name.strip_prefix(before)?.strip_suffix(behind)?.parse().ok()?;
    Some(number).filter(|number: &u64| name == format!("{}{:06}{}", before, number, behind))
}

fn next(last: u64, max: u64) -> Result<u64> {
    if last >= max {
        return Err(Error::Refused("all numbers for new files are used up".to_string()));
    }
    Ok(last + 1)
}

/// Reads MANIFEST. Returns `None` if the database does not exist yet.
fn read_manifest(dir: &Path, found: &Found) -> Result<Option<Vec<Line>>> {
    let path = dir.join(MANIFEST);
    if !found.manifest {
        if found.tables.is_empty() && found.frozen.is_empty() {
            return Ok(None);
        }
        return Err(Error::Refused("missing, although there are tables or frozen logs".to_string())).at(&path);
    }
    fs::read(&path).map_err(Error::from).and_then(|text| manifest::parse(&text)).at(&path).map(Some)
}

fn open_tables(dir: &Path, lines: &[Line]) -> Result<Vec<(Line, Table)>> {
    let mut tables = Vec::new();
    // The level and the last key of the last table above level 0.
    let mut last: Option<(u64, Vec<u8>)> = None;
    for (i, line) in lines.iter().enumerate() {
        let table = Table::open(&dir.join(table_name(line.id)))?;
        if line.level > 0 {
            let overlaps = match (&last, table.first_key()) {
                (Some((level, last_key)), Some(first_key)) => *level == line.level && first_key <= last_key.as_slice(),
                _ => false,
            };
            if overlaps {
                let error = Error::at_line(i + 1, "a table overlaps or precedes the table before it");
                return Err(error).at(&dir.join(MANIFEST));
            }
            last = table.last_key()?.map(|key| (line.level, key)).or(last);
        }
        tables.push((*line, table));
    }
    Ok(tables)
}

/// Replays a log and returns its intact records. A missing log has none.
fn replay(path: &Path, active: bool, memtable: &mut MemTable) -> Result<Vec<u8>> {
    let mut bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.at(path)?,
    };
    let intact = wal::replay(&bytes, active, memtable).at(path)?;
    bytes.truncate(intact);
    Ok(bytes)
}
