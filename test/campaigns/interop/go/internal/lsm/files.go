package lsm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// DirOf is everything up to the last slash. Unlike filepath.Dir it does not
// resolve "..", which may stand behind a symlink.
func DirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i+1]
	}
	return "./"
}

// SyncDir makes changed names durable.
func SyncDir(dir string) {
	f, err := os.Open(dir)
	Check(dir, err)
	defer f.Close()
	Check(dir, f.Sync())
}

// Replace fills tmp, and gives it the name path once it is on the disk.
func Replace(tmp *os.File, path string, data []byte) {
	defer os.Remove(tmp.Name()) // does nothing when all went well
	defer tmp.Close()
	_, err := tmp.Write(data)
	Check(path, err)
	Check(path, tmp.Sync())
	Check(path, os.Rename(tmp.Name(), path))
	SyncDir(DirOf(path))
}

// Lock takes an exclusive flock. It waits unless flags has LOCK_NB.
func Lock(f *os.File, flags int) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|flags)
		if err != syscall.EINTR {
			return err
		}
	}
}

// makeDirs makes a directory and its parents, durably.
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
