package lsm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// DirOf returns the path up to and including the last slash, or "./". Unlike
// filepath.Dir it does not resolve "..", which may follow a symlink.
func DirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i+1]
	}
	return "./"
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) {
	f, err := os.Open(dir)
	Check(dir, err)
	defer f.Close()
	Check(dir, f.Sync())
}

// Replace writes data to tmp and, once it is durable, renames tmp to path.
func Replace(tmp *os.File, path string, data []byte) {
	defer os.Remove(tmp.Name()) // fails harmlessly after the rename
	defer tmp.Close()
	_, err := tmp.Write(data)
	Check(path, err)
	Check(path, tmp.Sync())
	Check(path, os.Rename(tmp.Name(), path))
	SyncDir(DirOf(path))
}

// Lock takes an exclusive flock. Blocks unless flags contains LOCK_NB.
func Lock(f *os.File, flags int) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|flags)
		if err != syscall.EINTR {
			return err
		}
	}
}

// makeDirs creates a directory and its missing parents durably.
func makeDirs(dir string) {
	_, err := os.Stat(dir)
	if err == nil {
		return
	}
	if !errors.Is(err, os.ErrNotExist) {
		Check(dir, err)
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		makeDirs(parent)
	}
	if err := os.Mkdir(dir, 0o777); !errors.Is(err, os.ErrExist) {
		Check(dir, err)
	}
	SyncDir(parent)
}
