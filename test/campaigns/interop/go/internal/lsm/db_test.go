package lsm

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

func makeDB(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(dir+"/"+name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func tableOf(entries ...Entry) []byte { return BuildTable("", entries, DefaultTarget) }
func logOf(ops ...Entry) []byte       { return encodeLogRecord("", ops) }

func wantView(t *testing.T, db *DB, want ...Entry) {
	t.Helper()
	var stream bytes.Buffer
	WriteMerge(&stream, []Source{SliceSource(want)}, false)
	if got := view(db, false); !bytes.Equal(got, stream.Bytes()) {
		t.Errorf("view: %q, want %q", got, stream.Bytes())
	}
}

func TestOpenRefuses(t *testing.T) {
	a, b, ab := tableOf(put("a", "")), tableOf(put("b", "")), tableOf(put("a", ""), put("b", ""))
	manifest := func(s string) []byte { return []byte(s) }
	damaged := append(logOf(put("a", "1")), logOf(del("a"))...)
	damaged[10] ^= 1
	for what, files := range map[string]map[string][]byte{
		"table without MANIFEST":      {"sst-000001.sst": a},
		"frozen log without MANIFEST": {"wal-000001.log": nil},
		"missing table":               {"MANIFEST": manifest("L0 1\n")},
		"bad table":                   {"MANIFEST": manifest("L0 1\n"), "sst-000001.sst": nil},
		"overlapping tables":          {"MANIFEST": manifest("L1 1\nL1 2\n"), "sst-000001.sst": ab, "sst-000002.sst": b},
		"tables not in key order":     {"MANIFEST": manifest("L2 1\nL2 2\n"), "sst-000001.sst": b, "sst-000002.sst": a},
		"damaged log":                 {"wal.log": damaged},
		"missing frozen log":          {"MANIFEST": nil, "wal-000001.log": logOf(put("a", "1")), "wal-000003.log": logOf(put("b", "2"))},
		"foreign bytes over a log":    {"wal.log": append(bytes.Repeat([]byte{0xff}, 20), logOf(put("a", "1"))...)},
		"torn frozen log":             {"MANIFEST": nil, "wal-000001.log": logOf(put("a", "1"))[:20]},
	} {
		files["sst-000009.sst.tmp"] = []byte("stays when the directory is refused")
		dir := makeDB(t, files)
		if Try(func() { OpenDB(dir).Close() }) == nil {
			t.Errorf("%s: not refused", what)
		}
		for name, data := range files {
			if got, err := os.ReadFile(dir + "/" + name); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %s has changed", what, name)
			}
		}
	}
}

func TestManifestShapes(t *testing.T) {
	for _, bad := range []string{
		"\n", "L0 1", "L0 1\n\n", "L0 1\r\n", "L0  1\n", "L0 1 \n", " L0 1\n", "l0 1\n", "L 1\n", "L0\n", "0 1\n",
		"L00 1\n", "L01 1\n", "L+1 1\n", "L0 01\n", "L0 +1\n", "L0 -1\n", "L0 0\n", "L7 1\n", "L10 1\n",
		"L0 9223372036854775808\n", "L0 18446744073709551617\n", "L1 1\nL0 2\n", "L0 1\nL0 1\n", "L0 1\nL1 1\n",
		"L0 1\nL0 2", "L0 \u0661\n", "L0 1\x00\n",
	} {
		if Try(func() { decodeManifest("MANIFEST", []byte(bad)) }) == nil {
			t.Errorf("%q: not refused", bad)
		}
	}
	for _, good := range []string{"", "L0 1\n", "L0 9\nL0 3\nL0 5\nL2 1\nL2 7\nL6 9223372036854775807\n"} {
		if got := encodeManifest(decodeManifest("MANIFEST", []byte(good))); string(got) != good {
			t.Errorf("%q is written back as %q", good, got)
		}
	}
}

func TestAgeAndLeftovers(t *testing.T) {
	dir := makeDB(t, map[string][]byte{
		"MANIFEST":            []byte("L0 3\nL0 7\nL1 9\nL1 5\n"),
		"sst-000003.sst":      tableOf(put("a", "newest"), del("c")),
		"sst-000007.sst":      tableOf(put("a", "older"), put("b", "L0")),
		"sst-000009.sst":      tableOf(put("a", "L1"), put("b", "L1")),
		"sst-000005.sst":      tableOf(put("c", "L1"), put("d", "L1")),
		"sst-000011.sst":      []byte("orphan"),
		"sst-000012.sst.tmp":  nil,
		"MANIFEST.tmp":        nil,
		"wal.log.tmp":         nil,
		"sst-13.sst":          []byte("another name"),
		"sst-0000014.sst":     []byte("another name"),
		"notes.tmp":           []byte("another name"),
		"wal-000001.log.tmp":  []byte("another name"),
		"wal-000002.log.orig": []byte("another name"),
	})
	db := OpenDB(dir)
	wantView(t, db, put("a", "newest"), put("b", "L0"), del("c"), put("d", "L1"))
	db.Commit([]Entry{put("e", "new")})
	db.Flush()
	db.Flush()
	db.Close()
	wantNames(t, dir, "LOCK MANIFEST notes.tmp sst-0000014.sst sst-000003.sst sst-000005.sst sst-000007.sst "+
		"sst-000009.sst sst-000013.sst sst-13.sst wal-000001.log.tmp wal-000002.log.orig wal.log")
	if got, _ := os.ReadFile(dir + "/MANIFEST"); string(got) != "L0 13\nL0 3\nL0 7\nL1 9\nL1 5\n" {
		t.Errorf("MANIFEST: %q", got)
	}
}

func TestFrozenLogs(t *testing.T) {
	dir := makeDB(t, map[string][]byte{
		"MANIFEST":          nil,
		"wal-1000000.log":   logOf(put("a", "3"), put("b", "3")),
		"wal-999999.log":    logOf(put("a", "2"), put("c", "2")),
		"wal-999998.log":    append(logOf(put("c", "1"), put("d", "1")), make([]byte, 50)...),
		"wal.log":           logOf(del("b")),
		"wal-10000000.logx": nil,
	})
	for i := 0; i < 2; i++ {
		db := OpenDB(dir)
		wantView(t, db, put("a", "3"), del("b"), put("c", "2"), put("d", "1"))
		db.Close()
		wantNames(t, dir, "LOCK MANIFEST sst-000001.sst wal-10000000.logx wal.log")
	}
}

func TestFlushInterrupted(t *testing.T) {
	newer, older := []Entry{put("a", "2"), del("b")}, []Entry{put("a", "1"), put("b", "1")}
	table, log := tableOf(newer...), logOf(newer...)
	for what, files := range map[string]map[string][]byte{
		"log frozen":      {"MANIFEST": []byte("L0 1\n"), "wal-000002.log": log},
		"new log created": {"MANIFEST": []byte("L0 1\n"), "wal-000002.log": log, "wal.log": nil},
		"table written":   {"MANIFEST": []byte("L0 1\n"), "wal-000002.log": log, "sst-000002.sst": table},
		"table listed":    {"MANIFEST": []byte("L0 2\nL0 1\n"), "wal-000002.log": log, "sst-000002.sst": table},
		"log removed":     {"MANIFEST": []byte("L0 2\nL0 1\n"), "sst-000002.sst": table},
	} {
		files["sst-000001.sst"] = tableOf(older...)
		db := OpenDB(makeDB(t, files))
		wantView(t, db, newer...)
		if contents := readDir(db.dir); len(contents.frozen)+len(contents.temps) > 0 || len(contents.tables) != len(db.tables) {
			t.Errorf("%s: files are left: %+v", what, contents)
		}
		db.Close()
	}
}

func TestTornTailIsRewritten(t *testing.T) {
	intact, more := logOf(put("a", "1")), logOf(put("c", "3"))
	torn := append(append([]byte(nil), intact...), logOf(put("b", "2"))[:15]...)
	for _, c := range []struct {
		change func(db *DB)
		want   []byte // the log after the change
	}{
		{func(db *DB) {}, torn},
		{func(db *DB) { db.Commit([]Entry{put("c", "3")}) }, append(append([]byte(nil), intact...), more...)},
		{(*DB).Flush, nil},
	} {
		dir := makeDB(t, map[string][]byte{"wal.log": torn})
		db := OpenDB(dir)
		c.change(db)
		want := view(db, false)
		db.Close()
		if log, _ := os.ReadFile(dir + "/wal.log"); !bytes.Equal(log, c.want) {
			t.Errorf("log: %x, want %x", log, c.want)
		}
		db = OpenDB(dir)
		if got := view(db, false); !bytes.Equal(got, want) {
			t.Errorf("view: %q, want %q", got, want)
		}
		db.Close()
	}
}

func TestFrozenLogHasNoTornTail(t *testing.T) {
	intact := logOf(put("a", "1"))
	dir := makeDB(t, map[string][]byte{"wal.log": append(append([]byte(nil), intact...), 1, 2, 3)})
	inTheWay := dir + "/sst-000001.sst.tmp" // a directory, so that the table cannot be written
	if err := os.Mkdir(inTheWay, 0o777); err != nil {
		t.Fatal(err)
	}
	db := OpenDB(dir)
	if Try(db.Flush) == nil {
		t.Error("the flush did not fail")
	}
	db.Close()
	if log, _ := os.ReadFile(dir + "/wal-000001.log"); !bytes.Equal(log, intact) {
		t.Errorf("frozen log: %x", log)
	}
	os.Remove(inTheWay)
	db = OpenDB(dir)
	defer db.Close()
	wantView(t, db, put("a", "1"))
}

func TestEmptyFlushAndLock(t *testing.T) {
	dir := t.TempDir()
	db := OpenDB(dir)
	db.Flush()
	db.Commit(nil)
	wantNames(t, dir, "LOCK MANIFEST")
	failure := Try(func() { OpenDB(dir) })
	if failure == nil || !strings.Contains(failure.Text, "another process") {
		t.Errorf("a second open: %v, want a failure that names another process", failure)
	}
	db.Close()
	OpenDB(dir).Close()
}

func TestLastID(t *testing.T) {
	const last = 1<<63 - 1
	dir := makeDB(t, map[string][]byte{
		"MANIFEST":                          []byte(fmt.Sprintf("L0 %d\n", last)),
		fmt.Sprintf("sst-%06d.sst", last):   tableOf(put("a", "1")),
		fmt.Sprintf("sst-%d.sst", 1<<63-10): nil,
	})
	db := OpenDB(dir)
	defer db.Close()
	db.Commit([]Entry{put("b", "2")})
	if Try(db.Flush) == nil {
		t.Error("a flush used an id above 2^63-1")
	}
}
