package lsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"strings"
	"testing"
)

func put(key, value string) Entry { return Entry{Key: key, Value: value} }
func del(key string) Entry        { return Entry{Key: key, Tombstone: true} }

func bulk(n int, more ...Entry) MemTable {
	m := MemTable{}
	for i := 0; i < n; i++ {
		m.Apply(put(fmt.Sprint("key", i), fmt.Sprint("val", i)))
	}
	m.Apply(more...)
	return m
}

func goldenM() MemTable {
	return bulk(100, put("key50", "REPLACED"), del("key10"), put("", "empty-key-value"), del("key99"))
}

func wantSum(t *testing.T, what string, data []byte, size int, sum string) {
	t.Helper()
	if got := fmt.Sprintf("%x", sha256.Sum256(data)); len(data) != size || got != sum {
		t.Errorf("%s: %d bytes %s, want %d bytes %s", what, len(data), got, size, sum)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func wantHex(t *testing.T, what string, data []byte, want string) {
	t.Helper()
	if !bytes.Equal(data, unhex(want)) {
		t.Errorf("%s: %x, want %s", what, data, want)
	}
}

func open(data []byte) *Table { return OpenTable("t.sst", bytes.NewReader(data), uint64(len(data))) }

func TestDumpVectors(t *testing.T) {
	dump := EncodeDump(goldenM())
	wantSum(t, "dump of M", dump, 1905, "8c9c6bb8703c2267551bf490710bc09b682e967eb5683db39cb5e0da21aa315a")
	if again := EncodeDump(DecodeDump("m.mt", dump)); !bytes.Equal(again, dump) {
		t.Error("the dump of M changes when it is decoded and encoded")
	}
	small := MemTable{}
	small.Apply(put("alpha", "first"), del("beta"))
	wantHex(t, "small dump", EncodeDump(small), "4d4d5431 02000000 05000000 05000000 00 616c706861 6669727374"+
		"04000000 00000000 01 62657461")
	small.Apply(put("alpha", "first"), put("beta", "second"), put("alpha", "first-updated"), del("beta"))
	if len(small) != 2 || small.SizeBytes() != 48 {
		t.Errorf("entries=%d size_bytes=%d, want 2 and 48", len(small), small.SizeBytes())
	}
}

func TestTableVectors(t *testing.T) {
	for _, v := range []struct {
		target uint64
		size   int
		sum    string
	}{
		{4096, 1957, "91f260f16c3f09cc43b73230b7239fe522012f6f38b09d5c5e23428e416d7658"},
		{64, 2911, "c7ff492321960ae75bb353537b06ea45030fece195f7d43a30a239d4142a5dd7"},
		{76, 2882, "9e59e304539a3dbb23eefcb3a65f0d9972f416ea6224bdd0474a13945f26a532"},
		{80, 2680, "ee0299eae45275e2fa2dd9c75b3d340efe2cdb6000788afab08670b5460ca49c"},
	} {
		data := BuildTable("m.sst", goldenM().Sorted(), v.target)
		wantSum(t, fmt.Sprint("table of M, target ", v.target), data, v.size, v.sum)
		checkContent(t, open(data), goldenM())
		if v.target == 64 {
			footer := ReadFooter("m.sst", bytes.NewReader(data), uint64(len(data)))
			if footer != (Footer{2033, 846, 34, true}) {
				t.Errorf("footer at target 64: %+v", footer)
			}
		}
	}
	wantHex(t, "empty table", BuildTable("e.sst", nil, 4096),
		"00000000 0000000000000000 0400000000000000 0000000000000000 5353543100000000")
}

func checkContent(t *testing.T, table *Table, want MemTable) {
	t.Helper()
	for key, e := range want {
		if got, found := table.Get(key); !found || got != e {
			t.Errorf("get %q: %v %v", key, got, found)
		}
	}
	for _, key := range []string{"\x00", "a", "key100", "key500", "key9\xff", "z", "\xff"} {
		if _, found := table.Get(key); found {
			t.Errorf("get %q: found", key)
		}
	}
	got := MemTable{}
	next := table.Entries()
	for e, ok := next(); ok; e, ok = next() {
		got.Apply(e)
	}
	if !bytes.Equal(EncodeDump(got), EncodeDump(want)) {
		t.Error("the table yields other entries")
	}
}

func TestMergeVectors(t *testing.T) {
	newer := BuildTable("n.sst", bulk(50, put("key10", "NEW-10"), del("key5")).Sorted(), 64)
	older := BuildTable("o.sst", bulk(100, put("key50", "OLD-50")).Sorted(), 4096)
	merge := func(drop bool) []byte {
		var out bytes.Buffer
		WriteMerge(&out, []Source{open(newer).Entries(), open(older).Entries()}, drop)
		for _, part := range []string{"4e45572d3130", "4f4c442d3530", "76616c3939"} {
			if !bytes.Contains(out.Bytes(), unhex(part)) {
				t.Errorf("drop=%v: %s is missing", drop, part)
			}
		}
		if bytes.Contains(out.Bytes(), unhex("040000006b65793501")) == drop {
			t.Errorf("drop=%v: the tombstone of key5 is wrong", drop)
		}
		return out.Bytes()
	}
	wantSum(t, "tombstones kept", merge(false), 1874, "f693c483ef39dfef8e6285e29f9051a57e60bf2c4ba7b45bbf552c7932687fd1")
	wantSum(t, "tombstones dropped", merge(true), 1865, "ec71c56c89f451d33e58697af2d7bce985069078e1c599cc42062dfbba6e250e")
}

func TestLogVectors(t *testing.T) {
	if crc := crc32.ChecksumIEEE([]byte("123456789")); crc != 0xcbf43926 {
		t.Errorf("crc: %x", crc)
	}
	wantHex(t, "{Put a 1}", encodeLogRecord("", []Entry{put("a", "1")}),
		"0f000000 4446fc2e 01000000 00 01000000 61 01000000 31")
	wantHex(t, "three operations", encodeLogRecord("", []Entry{put("a", "1"), del("a"), put("", "")}),
		"1e000000 f0da1b3d 03000000 00 01000000 61 01000000 31 01 01000000 61 00 00000000 00000000")
}

func view(db *DB, drop bool) []byte {
	var out bytes.Buffer
	db.WriteMerge(&out, drop)
	return out.Bytes()
}

func TestDatabaseVectors(t *testing.T) {
	dir := t.TempDir() + "/parent/db"
	db := OpenDB(dir)
	db.Commit([]Entry{put("a", "1"), put("b", "2"), put("c", "3")})
	db.Flush()
	db.Commit([]Entry{put("b", "22"), del("a"), put("d", "4")})
	db.Flush()
	if manifest, _ := os.ReadFile(dir + "/MANIFEST"); string(manifest) != "L0 2\nL0 1\n" {
		t.Errorf("MANIFEST: %q", manifest)
	}
	db.Commit([]Entry{put("e", "5"), del("c"), put("b", "222")})
	db.Close()
	db = OpenDB(dir)
	defer db.Close()
	wantSum(t, "live view", view(db, true), 35, "7d1568c7bfdad9635ff655f7c4162628aa3253a7b95505c3d418362eb4c4c09c")
	wantSum(t, "live view with tombstones", view(db, false), 47, "27e3d256e73c3ddbd080ad7a92e5da0be780d65896644eb7d4ec0cc8a574709d")
	wantNames(t, dir, "LOCK MANIFEST sst-000001.sst sst-000002.sst wal.log")
}

func wantNames(t *testing.T, dir, want string) {
	t.Helper()
	files, _ := os.ReadDir(dir)
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("files: %s, want %s", got, want)
	}
}
