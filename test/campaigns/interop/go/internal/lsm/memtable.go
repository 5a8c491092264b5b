package lsm

import "sort"

const dumpMagic = "MMT1"

// MemTable holds the latest entry of every key.
type MemTable map[string]Entry

// Apply applies entries in order: a later entry of the same key wins.
func (m MemTable) Apply(entries ...Entry) {
	for _, e := range entries {
		m[e.Key] = e
	}
}

// Sorted returns the entries in ascending key order.
func (m MemTable) Sorted() []Entry {
	entries := make([]Entry, 0, len(m))
	for _, e := range m {
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Key < entries[j].Key })
	return entries
}

// SizeBytes returns the length of the dump.
func (m MemTable) SizeBytes() uint64 {
	size := uint64(8)
	for _, e := range m {
		size += e.recordSize()
	}
	return size
}

func EncodeDump(m MemTable) []byte {
	b := make([]byte, 0, m.SizeBytes())
	b = append(b, dumpMagic...)
	b = le.AppendUint32(b, uint32(len(m)))
	for _, e := range m.Sorted() {
		b = appendRecord(b, e)
	}
	return b
}

func DecodeDump(file string, data []byte) MemTable {
	c := &cursor{file: file, data: data, cut: Short}
	if string(c.take(4)) != dumpMagic {
		c.fail(0, BadMagic, "not a MemTable dump")
	}
	entries := c.records(c.u32())
	c.end(TrailingBytes)
	m := MemTable{}
	m.Apply(entries...)
	return m
}
