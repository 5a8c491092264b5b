package cli

import (
	"errors"
	"fmt"
	"os"

	"lsmpeer/internal/lsm"
)

// LoadDump reads the MemTable dump at path.
func LoadDump(path string) lsm.MemTable {
	data, err := os.ReadFile(path)
	lsm.Check(path, err)
	return lsm.DecodeDump(path, data)
}

// OpenToRead opens a regular file and returns it and its size. The file stays
// open until the process ends.
func OpenToRead(path string) (*os.File, uint64) {
	info, err := os.Stat(path)
	lsm.Check(path, err)
	if !info.Mode().IsRegular() {
		lsm.Fail(path, "not a regular file")
	}
	file, err := os.Open(path)
	lsm.Check(path, err)
	info, err = file.Stat()
	lsm.Check(path, err)
	return file, uint64(info.Size())
}

// OpenTable opens a table and returns it and the size of its file.
func OpenTable(path string) (*lsm.Table, uint64) {
	file, size := OpenToRead(path)
	return lsm.OpenTable(path, file, size), size
}

// ReplaceFile replaces the file at path, as a whole, by what makeContent
// returns. The directory that holds the file is locked meanwhile, so
// makeContent may read the old content.
func ReplaceFile(path string, makeContent func() []byte) {
	target := followLinks(path)
	dir, err := os.Open(lsm.DirOf(target))
	lsm.Check(path, err)
	defer dir.Close()
	lsm.Check(path, lsm.Lock(dir, 0))

	mode := os.FileMode(0o666)
	if info, err := os.Lstat(target); err == nil {
		if !info.Mode().IsRegular() {
			lsm.Fail(path, "not a regular file")
		}
		mode = info.Mode().Perm()
	} else if !errors.Is(err, os.ErrNotExist) {
		lsm.Check(path, err)
	}
	content := makeContent()
	tmpName := fmt.Sprintf("%s.lsm-%d.tmp", lsm.DirOf(target), os.Getpid())
	tmp, err := os.OpenFile(tmpName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	lsm.Check(path, err)
	lsm.Replace(tmp, target, content)
}

// followLinks returns the target of a symlink, which need not exist. Returns
// any other path unchanged.
func followLinks(path string) string {
	target := path
	for links := 0; links < 40; links++ {
		link, err := os.Readlink(target)
		if err != nil {
			return target // not a link; other errors recur when the file is opened
		}
		if link[0] != '/' {
			link = lsm.DirOf(target) + link
		}
		target = link
	}
	lsm.Fail(path, "too many symlinks")
	return ""
}
