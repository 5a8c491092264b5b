package lsm

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// wantKind calls do and compares the kind of its failure; "" means none.
func wantKind(t *testing.T, what, kind string, do func()) {
	t.Helper()
	got := "none"
	if failure := Try(do); failure != nil {
		got = failure.Kind
	}
	if kind == "" {
		kind = "none"
	}
	if got != kind {
		t.Errorf("%s: failure %s, want %s", what, got, kind)
	}
}

const (
	recordA = "01000000 01000000 00 61 31"
	recordB = "01000000 01000000 00 62 32"
	tombB   = "01000000 00000000 01 62"
)

func TestDumpErrors(t *testing.T) {
	for _, c := range []struct{ kind, data string }{
		{"", "4d4d5431 00000000"},
		{"", "4d4d5431 02000000" + recordA + tombB},
		{Short, ""},
		{Short, "4d4d54"},
		{BadMagic, "4d4d5432"},
		{Short, "4d4d5431 000000"},
		{Short, "4d4d5431 ffffffff"},
		{Short, "4d4d5431 01000000 ffffffff ffffffff 00 61"},
		{BadType, "4d4d5431 01000000 ffffffff ffffffff 02"},
		{BadTombstone, "4d4d5431 01000000 ffffffff 01000000 01"},
		{Short, "4d4d5431 01000000 02000000 00000000 01 61"},
		{Unsorted, "4d4d5431 02000000" + recordA + recordA},
		{Unsorted, "4d4d5431 02000000" + recordB + recordA + "00"},
		{TrailingBytes, "4d4d5431 01000000" + recordA + "00"},
	} {
		wantKind(t, c.data, c.kind, func() { DecodeDump("m.mt", unhex(c.data)) })
	}
	whole := EncodeDump(bulk(5, del("key3"), put("", "")))
	for n := range whole {
		wantKind(t, fmt.Sprint("cut at ", n), Short, func() { DecodeDump("m.mt", whole[:n]) })
	}
}

// table returns a file of blocks, an index of (key, offset, size) and a footer.
func table(blocks []byte, index ...any) []byte {
	file := le.AppendUint32(append([]byte(nil), blocks...), uint32(len(index)/3))
	for i := 0; i < len(index); i += 3 {
		key := index[i].(string)
		file = le.AppendUint32(file, uint32(len(key)))
		file = le.AppendUint64(file, uint64(index[i+1].(int)))
		file = le.AppendUint64(file, uint64(index[i+2].(int)))
		file = append(file, key...)
	}
	return footer(file, uint64(len(blocks)), uint64(len(file)-len(blocks)), uint64(len(index)/3))
}

func footer(file []byte, offset, size, blocks uint64) []byte {
	file = append([]byte(nil), file...)
	for _, n := range []uint64{offset, size, blocks} {
		file = le.AppendUint64(file, n)
	}
	return append(file, "SST1\x00\x00\x00\x00"...)
}

func TestTableOpenErrors(t *testing.T) {
	zeros := make([]byte, 64)
	badMagic := table(nil)
	badMagic[35] = 1
	for _, c := range []struct {
		what, kind string
		data       []byte
	}{
		{"empty table", "", table(nil)},
		{"gaps are legal", "", table(zeros, "a", 3, 13, "b", 20, 30)},
		{"35 bytes", Short, table(nil)[1:]},
		{"magic", BadMagic, badMagic},
		{"magic before footer", BadMagic, append(footer(zeros, 99, 99, 99), 0)},
		{"index at the footer", IndexOutOfRange, footer(zeros, 64, 0, 0)},
		{"index too short", IndexOutOfRange, footer(zeros, 0, 63, 0)},
		{"index sum wraps", IndexOutOfRange, footer(zeros, 1<<63, 1<<63+64, 0)},
		{"index size wraps", IndexOutOfRange, footer(zeros, 60, 1<<64-1, 0)},
		{"index without a count", BadBlock, footer(zeros, 61, 3, 0)},
		{"n is not num_blocks", BadBlock, footer(zeros, 60, 4, 1)},
		{"n is num_blocks modulo 2^32", BadBlock, footer(zeros, 60, 4, 1<<32)},
		{"index trailing", BadBlock, footer(zeros, 59, 5, 0)},
		{"index huge n", BadBlock, footer(unhex("ffffffff"), 0, 4, 1<<32-1)},
		{"index entry cut", BadBlock, footer(unhex("01000000 00000000 00"), 0, 9, 1)},
		{"index key cut", BadBlock, footer(unhex("01000000 ffffffff 0000000000000000 0d00000000000000"), 0, 24, 1)},
		{"index keys equal", Unsorted, table(zeros, "a", 0, 13, "a", 13, 13)},
		{"unsorted before small block", Unsorted, table(zeros, "b", 0, 12, "a", 13, 13)},
		{"small block", BadBlock, table(zeros, "a", 0, 12)},
		{"small block before overlap", BadBlock, table(zeros, "a", 10, 13, "b", 0, 12)},
		{"overlap", IndexOutOfRange, table(zeros, "a", 0, 14, "b", 13, 13)},
		{"block in the index", IndexOutOfRange, table(zeros, "a", 52, 13)},
		{"block after the end of the file", IndexOutOfRange, table(zeros, "a", 1000, 13)},
		{"block end wraps", IndexOutOfRange, table(zeros, "a", 20, -10)},
	} {
		wantKind(t, c.what, c.kind, func() { open(c.data) })
	}
}

func TestBlockErrors(t *testing.T) {
	for _, c := range []struct {
		kind, data string
		next       string // the next index key, if any
	}{
		{"", "02000000" + recordA + tombB, "c"},
		{BadBlock, "00000000" + recordA, ""},
		{BadBlock, "ffffffff" + recordA, ""},
		{BadBlock, "02000000" + recordA + "01000000", ""},
		{BadBlock, "01000000 ffffffff ffffffff 00 61", ""},
		{BadType, "01000000 01000000 ffffffff 02 61", ""},
		{BadTombstone, "01000000 01000000 ffffffff 01 61", ""},
		{Unsorted, "02000000" + recordA + recordA, ""},
		{BadBlock, "01000000" + recordA + "00", ""},
		{BadBlock, "01000000" + recordB, ""},
		{BadBlock, "01000000" + recordB, "a\x00"},
		{Unsorted, "02000000" + recordA + recordB, "b"},
	} {
		block := unhex(c.data)
		data := table(block, "a", 0, len(block))
		if c.next != "" {
			second := unhex("01000000" + recordB)
			data = table(append(append([]byte(nil), block...), second...), "a", 0, len(block), c.next, len(block), len(second))
		}
		wantKind(t, c.data, c.kind, func() { open(data).Get("a") })
	}
	wantKind(t, "writer", Unsorted, func() { BuildTable("t.sst", []Entry{put("a", ""), put("a", "")}, 64) })
}

func TestDamagedTablesNeverCrash(t *testing.T) {
	whole := BuildTable("t.sst", bulk(6, del("key3"), put("", "")).Sorted(), 40)
	readAll := func(data []byte) func() {
		return func() { WriteMerge(&bytes.Buffer{}, []Source{open(data).Entries()}, false) }
	}
	for n := range whole {
		if Try(readAll(whole[:n])) == nil {
			t.Errorf("cut at %d: no error", n)
		}
		for _, flip := range []byte{1, 0x80, 0xff} {
			data := append([]byte(nil), whole...)
			data[n] ^= flip
			Try(readAll(data)) // it may fail, but any other panic ends the test
		}
	}
}

func TestBatchErrors(t *testing.T) {
	ops := "00 01000000 61 01000000 31 01 01000000 61"
	for _, c := range []struct{ kind, data string }{
		{"", "00000000"},
		{"", "02000000" + ops},
		{Short, "0000"},
		{Short, "03000000" + ops},
		{BadType, "01000000 02"},
		{Short, "01000000 00 ffffffff 61"},
		{TrailingBytes, "01000000" + ops},
		{TrailingBytes, "00000000 00"},
	} {
		_, failure := decodeBatch(unhex(c.data))
		wantKind(t, c.data, c.kind, func() {
			if failure != nil {
				panic(failure)
			}
		})
	}
	whole := unhex("02000000" + ops)
	for n := range whole {
		if _, failure := decodeBatch(whole[:n]); failure == nil || failure.Kind != Short {
			t.Errorf("cut at %d: %v", n, failure)
		}
	}
	large := put("k", strings.Repeat("v", 1<<26))
	many := make([]Entry, 64)
	for i := range many {
		many[i] = large
	}
	if Try(func() { encodeBatch("wal.log", many) }) == nil {
		t.Error("a batch over 2^32-1 bytes is not refused")
	}
}

func TestLogEnds(t *testing.T) {
	one := encodeLogRecord("", []Entry{put("a", "1")})
	two := encodeLogRecord("", []Entry{del("a"), put("bb", "22")})
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	flip := func(data []byte, at int) []byte {
		data = append([]byte(nil), data...)
		data[at] ^= 1
		return data
	}
	badBatch := unhex("05000000 00000000 00000000 00")
	le.PutUint32(badBatch[4:], crc32.ChecksumIEEE(badBatch[8:]))
	longer := flip(one, 0)
	longer[0] = 200 // a damaged length before a whole batch
	for _, c := range []struct {
		what           string
		data           []byte
		active, frozen int // the number of operations that are read, -1 for damage
	}{
		{"nothing", nil, 0, 0},
		{"two records", join(one, two), 3, 3},
		{"zeros after a record", join(one, make([]byte, 100)), 1, 1},
		{"a few zeros after a record", join(one, make([]byte, 3)), 1, 1},
		{"zeros, then junk", join(one, make([]byte, 20), []byte("junk")), 1, -1},
		{"zeros, then a record", join(one, make([]byte, 20), two), -1, -1},
		{"an empty batch", join(encodeLogRecord("", nil), one), 1, 1},
		{"short header", join(one, two[:5]), 1, -1},
		{"cut record", join(one, two[:len(two)-1]), 1, -1},
		{"bad CRC at the end", join(one, flip(two, 4)), 1, -1},
		{"bad CRC before a record", join(one, flip(two, 4), one), -1, -1},
		{"bad payload before a record", join(flip(one, 16), two), -1, -1},
		{"damaged length at the end", join(two, longer), 2, -1},
		{"damaged length before a record", join(longer, two), -1, -1},
		{"good CRC, bad batch", join(one, badBatch), -1, -1},
		{"record inside a truncated value",
			encodeLogRecord("", []Entry{put("k", string(one)+"more")})[:8+14+len(one)], -1, -1},
	} {
		for _, active := range []bool{true, false} {
			want, got := c.frozen, -1
			if active {
				want = c.active
			}
			failure := Try(func() {
				ops, _ := readLog("wal.log", c.data, active)
				got = len(ops)
			})
			if got != want || failure != nil && failure.Kind != Damaged {
				t.Errorf("%s, active=%v: %d operations, want %d (%v)", c.what, active, got, want, failure)
			}
		}
	}
}

func TestLogCutAnywhere(t *testing.T) {
	var log []byte
	var ends []int
	for i := 0; i < 4; i++ {
		log = append(log, encodeLogRecord("", []Entry{put(fmt.Sprint("key", i), "v"), del("x")})...)
		ends = append(ends, len(log))
	}
	for n := range log {
		records := 0
		for _, end := range ends {
			if end <= n {
				records++
			}
		}
		ops, end := readLog("wal.log", log[:n], true)
		if len(ops) != 2*records || records > 0 && end != ends[records-1] {
			t.Errorf("cut at %d: %d operations up to %d", n, len(ops), end)
		}
	}
}

// nested returns records with wrong CRCs, each in the value of the next.
func nested(depth int) []byte {
	var data []byte
	for i := 0; i < depth; i++ {
		data = encodeLogRecord("", []Entry{put("", string(data))})
		data[4] ^= 1
	}
	return data
}

func TestLogSearchGivesUp(t *testing.T) {
	wantKind(t, "few CRCs to compute", "", func() { readLog("wal.log", nested(10), true) })
	wantKind(t, "many CRCs to compute", Damaged, func() { readLog("wal.log", nested(30), true) })
}
