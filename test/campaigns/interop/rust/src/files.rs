//! Replacing files as a whole, and locking directories.

use crate::error::{At, Error, Result};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::io::AsRawFd;
use std::path::{Path, PathBuf};

const LOCK_EX: i32 = 2;
const LOCK_NB: i32 = 4;
const MAX_SYMLINKS: u32 = 40;

extern "C" {
    fn flock(fd: i32, operation: i32) -> i32;
}

/// Takes an exclusive lock. Blocks until it is free.
pub fn lock(file: &File) -> io::Result<()> {
    call_flock(file, LOCK_EX)
}

/// Takes an exclusive lock if it is free. Returns false, without blocking, if another process holds it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match call_flock(file, LOCK_EX | LOCK_NB) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        result => result.map(|()| true),
    }
}

fn call_flock(file: &File, operation: i32) -> io::Result<()> {
    // SAFETY: flock takes two integers, and the descriptor is open as long as `file` lives.
    while unsafe { flock(file.as_raw_fd(), operation) } != 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|file| file.sync_all()).at(dir)
}

/// Creates `dir` and its missing parents durably.
pub fn create_dirs(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if dir != parent(dir) {
        create_dirs(parent(dir))?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => Err(error).at(dir),
        _ => sync_dir(parent(dir)),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Replaces `dir/name` as a whole: writes the bytes to `dir/temporary`, syncs it, and renames it.
pub fn replace(dir: &Path, temporary: &OsStr, name: &OsStr, bytes: &[u8]) -> Result<()> {
    let (from, to) = (dir.join(temporary), dir.join(name));
    let written = write_synced(&from, &to, bytes).and_then(|()| fs::rename(&from, &to));
    if written.is_err() {
        // The first error is reported, not one of the cleanup.
        let _ = fs::remove_file(&from);
    }
    written.at(&to)?;
    sync_dir(dir)
}

fn write_synced(path: &Path, replaces: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if let Ok(old) = fs::metadata(replaces) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// A file that is to be replaced. Its directory is locked as long as this lives.
pub struct Target {
    dir: PathBuf,
    name: OsString,
    _lock: File,
}

impl Target {
    pub fn lock(path: &Path) -> Result<Target> {
        let real = follow_symlinks(path).at(path)?;
        let (dir, name) = split(&real);
        let held = File::open(&dir).at(path)?;
        lock(&held).at(path)?;
        let regular = match fs::symlink_metadata(&real) {
            Ok(found) => found.is_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error).at(path),
        };
        if !regular || matches!(name.as_bytes(), b"" | b"." | b"..") {
            return Err(Error::Refused("not a regular file".to_string())).at(path);
        }
        Ok(Target { dir, name, _lock: held })
    }

    pub fn exists(&self) -> bool {
        fs::symlink_metadata(self.dir.join(&self.name)).is_ok()
    }

    pub fn replace(&self, bytes: &[u8]) -> Result<()> {
        replace(&self.dir, OsStr::new(".lsm-peer.tmp"), &self.name, bytes)
    }
}

/// Returns the file that `path` names after all symbolic links, which need not exist.
fn follow_symlinks(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_SYMLINKS {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_symlink() => path = split(&path).0.join(fs::read_link(&path)?),
            _ => return Ok(path),
        }
    }
    Err(io::Error::new(io::ErrorKind::Other, "too many symbolic links"))
}

/// Splits a path at the last slash. `Path::file_name` would drop the slash of `name/`, which names a directory only.
fn split(path: &Path) -> (PathBuf, OsString) {
    let bytes = path.as_os_str().as_bytes();
    let (dir, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => bytes.split_at(slash + 1),
        None => (&b"."[..], bytes),
    };
    (PathBuf::from(OsStr::from_bytes(dir)), OsString::from_vec(name.to_vec()))
}

pub fn is_same(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => a == b,
    }
}
