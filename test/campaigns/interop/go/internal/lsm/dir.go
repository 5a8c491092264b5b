package lsm

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
)

const (
	manifestName = "MANIFEST"
	logName      = "wal.log"
	lockName     = "LOCK"
	tmpSuffix    = ".tmp"

	tablePattern  = "sst-%06d.sst"
	frozenPattern = "wal-%06d.log"
)

func tableName(id uint64) string      { return fmt.Sprintf(tablePattern, id) }
func frozenName(number uint64) string { return fmt.Sprintf(frozenPattern, number) }

// dirContents lists the files of a database in a directory.
type dirContents struct {
	tables    []uint64
	frozen    []uint64 // ascending
	temps     []string
	highestID uint64 // among tables and temporary tables
}

func readDir(dir string) (d dirContents) {
	files, err := os.ReadDir(dir)
	Check(dir, err)
	for _, file := range files {
		if !file.IsDir() {
			d.add(file.Name())
		}
	}
	sort.Slice(d.frozen, func(i, j int) bool { return d.frozen[i] < d.frozen[j] })
	return d
}

func (d *dirContents) add(name string) {
	if number, ok := numberIn(name, frozenPattern); ok {
		d.frozen = append(d.frozen, number)
		return
	}
	whole := strings.TrimSuffix(name, tmpSuffix)
	id, isTable := numberIn(whole, tablePattern)
	isTable = isTable && id > 0
	if isTable && id > d.highestID {
		d.highestID = id
	}
	if isTable && whole == name {
		d.tables = append(d.tables, id)
	} else if whole != name && (isTable || whole == manifestName || whole == logName) {
		d.temps = append(d.temps, name)
	}
}

// numberIn returns the number that the pattern formats as name, if there is
// one.
func numberIn(name, pattern string) (uint64, bool) {
	digits := strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-.")
	number, err := strconv.ParseUint(digits, 10, 63)
	return number, err == nil && fmt.Sprintf(pattern, number) == name
}
