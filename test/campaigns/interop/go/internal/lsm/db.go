package lsm

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"syscall"
)

// DB is an open database directory. After a failure it can only be closed.
type DB struct {
	dir    string
	lock   *os.File
	mem    MemTable
	tables []liveTable // in the order of the MANIFEST

	// Nothing is appended to a log that was replayed. Until ownLog writes a
	// new one, log is nil and replayed holds the intact records.
	log      *os.File
	replayed []byte

	nextTable, nextFrozen uint64
}

type liveTable struct {
	listing
	*Table
}

func OpenDB(dir string) *DB {
	makeDirs(dir)
	db := &DB{dir: dir, mem: MemTable{}, nextFrozen: 1}
	if failure := Try(func() { db.takeLock(); db.load() }); failure != nil {
		db.Close()
		panic(failure)
	}
	return db
}

// Close does not flush.
func (db *DB) Close() {
	db.log.Close() // closing a nil file is harmless
	db.lock.Close()
}

func (db *DB) path(name string) string { return db.dir + "/" + name }

func (db *DB) takeLock() {
	path := db.path(lockName)
	var err error
	db.lock, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	Check(path, err)
	err = Lock(db.lock, syscall.LOCK_NB)
	if err == syscall.EWOULDBLOCK {
		Fail(path, "locked: another process has the database open")
	}
	Check(path, err)
}

// load reads everything before it changes anything, so that a refused
// directory stays unchanged.
func (db *DB) load() {
	contents := readDir(db.dir)
	isNew := db.loadTables(contents)
	older := MemTable{}
	for i, number := range contents.frozen {
		if i > 0 && number != contents.frozen[i-1]+1 {
			Fail(db.path(frozenName(contents.frozen[i-1]+1)), "missing between an older log and a newer one")
		}
		db.replay(frozenName(number), false, older)
		db.nextFrozen = number + 1
	}
	db.replayed = db.replay(logName, true, db.mem)

	for _, name := range append(contents.temps, db.orphans(contents.tables)...) {
		Check(db.path(name), os.Remove(db.path(name)))
	}
	if isNew {
		db.replace(manifestName, nil)
	}
	db.flush(older, contents.frozen)
}

func (db *DB) loadTables(contents dirContents) (isNew bool) {
	path := db.path(manifestName)
	data, err := os.ReadFile(path)
	isNew = errors.Is(err, os.ErrNotExist)
	if isNew && len(contents.tables)+len(contents.frozen) > 0 {
		Fail(path, "missing, although there is a table or a frozen log")
	}
	if !isNew {
		Check(path, err)
	}
	highest := contents.highestID
	for _, l := range decodeManifest(path, data) {
		db.tables = append(db.tables, liveTable{l, db.openTable(l.id)})
		if l.id > highest {
			highest = l.id
		}
	}
	db.nextTable = highest + 1
	db.checkOverlap()
	return isNew
}

// openTable reads the table into memory: there may be more tables than file
// descriptors.
func (db *DB) openTable(id uint64) *Table {
	path := db.path(tableName(id))
	data, err := os.ReadFile(path)
	Check(path, err)
	return OpenTable(path, bytes.NewReader(data), uint64(len(data)))
}

func (db *DB) checkOverlap() {
	level, last, some := 0, "", false // last: the last key of the table before it in its level; some: there is one
	for _, t := range db.tables {
		if t.level != level {
			level, some = t.level, false
		}
		if level == 0 || t.NumBlocks() == 0 {
			continue
		}
		if some && t.index[0].key <= last {
			Fail(db.path(manifestName), "table %d overlaps or precedes the table before it in level %d", t.id, level)
		}
		block := t.block(t.NumBlocks() - 1)
		last, some = block[len(block)-1].Key, true
	}
}

// replay applies the operations of a log to a MemTable and returns the log's
// intact records. Only the active log may be missing.
func (db *DB) replay(name string, active bool, into MemTable) []byte {
	path := db.path(name)
	data, err := os.ReadFile(path)
	if active && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	Check(path, err)
	ops, end := readLog(path, data, active)
	into.Apply(ops...)
	return data[:end]
}

// orphans returns the names of the tables that MANIFEST does not list.
func (db *DB) orphans(ids []uint64) (names []string) {
	listed := map[uint64]bool{}
	for _, t := range db.tables {
		listed[t.id] = true
	}
	for _, id := range ids {
		if !listed[id] {
			names = append(names, tableName(id))
		}
	}
	return names
}

func (db *DB) replace(name string, data []byte) {
	path := db.path(name)
	tmp, err := os.OpenFile(path+tmpSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	Check(path, err)
	Replace(tmp, path, data)
}

// Commit makes operations durable together and applies them.
func (db *DB) Commit(ops []Entry) {
	if len(ops) == 0 {
		return
	}
	path := db.path(logName)
	record := encodeLogRecord(path, ops)
	db.ownLog()
	_, err := db.log.Write(record)
	Check(path, err)
	Check(path, db.log.Sync())
	db.mem.Apply(ops...)
}

// ownLog makes sure that the active log was written by this process.
func (db *DB) ownLog() {
	if db.log == nil {
		db.replace(logName, db.replayed)
		db.replayed = nil
		db.openLog(0)
	}
}

func (db *DB) openLog(flags int) {
	var err error
	db.log, err = os.OpenFile(db.path(logName), os.O_WRONLY|os.O_APPEND|flags, 0o666)
	Check(db.path(logName), err)
}

// Flush writes the MemTable to a table and empties it. Does nothing if it is
// empty.
func (db *DB) Flush() {
	if len(db.mem) == 0 {
		return
	}
	db.ownLog() // a replayed log may have a torn tail; a frozen log must not
	number := db.freezeLog()
	full := db.mem
	db.mem = MemTable{}
	db.flush(full, []uint64{number})
}

func (db *DB) freezeLog() uint64 {
	path := db.path(logName)
	number := db.take(&db.nextFrozen)
	Check(path, db.log.Sync())
	Check(path, db.log.Close())
	Check(path, os.Rename(path, db.path(frozenName(number))))
	SyncDir(db.dir)
	db.openLog(os.O_CREATE | os.O_EXCL)
	SyncDir(db.dir)
	return number
}

// flush writes a MemTable to a table and removes its logs, the oldest first.
func (db *DB) flush(mem MemTable, frozen []uint64) {
	if len(mem) > 0 {
		db.addTable(mem)
	}
	for _, number := range frozen {
		path := db.path(frozenName(number))
		Check(path, os.Remove(path))
		SyncDir(db.dir)
	}
}

func (db *DB) addTable(mem MemTable) {
	id := db.take(&db.nextTable)
	name := tableName(id)
	db.replace(name, BuildTable(db.path(name), mem.Sorted(), DefaultTarget))
	added := liveTable{listing{0, id}, db.openTable(id)}
	db.tables = append([]liveTable{added}, db.tables...)
	var list []listing
	for _, t := range db.tables {
		list = append(list, t.listing)
	}
	db.replace(manifestName, encodeManifest(list))
}

func (db *DB) take(next *uint64) uint64 {
	if *next > math.MaxInt64 {
		Fail(db.dir, "all file numbers up to 2^63-1 are used up")
	}
	*next++
	return *next - 1
}

// WriteMerge writes the merge stream of the live view.
func (db *DB) WriteMerge(w io.Writer, dropTombstones bool) {
	sources := []Source{SliceSource(db.mem.Sorted())}
	for _, t := range db.tables {
		sources = append(sources, t.Entries())
	}
	WriteMerge(w, sources, dropTombstones)
}
