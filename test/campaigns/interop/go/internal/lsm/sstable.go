package lsm

import (
	"io"
	"sort"
)

const (
	// DefaultTarget is the target size of a block.
	DefaultTarget = 4096

	tableMagic   = "SST1\x00\x00\x00\x00"
	footerSize   = 32
	minTableSize = 36
	minBlockSize = 13
)

// BuildTable returns a table of entries, which must be in ascending key
// order. The file name is only for a failure.
func BuildTable(file string, entries []Entry, target uint64) []byte {
	b := tableBuilder{target: target}
	for i, e := range entries {
		if i > 0 && e.Key <= entries[i-1].Key {
			failAt(file, uint64(len(b.file)), Unsorted, "a key is not greater than the key before it")
		}
		b.add(e)
	}
	return b.finish()
}

type tableBuilder struct {
	target   uint64
	file     []byte
	start    int    // the offset of the current block
	count    uint32 // the number of its records
	firstKey string
	index    []byte // without the number of blocks
	blocks   uint32
}

func (b *tableBuilder) add(e Entry) {
	size := uint64(len(b.file) - b.start)
	if b.count > 0 && size+e.recordSize() > b.target {
		b.closeBlock()
	}
	if b.count == 0 {
		b.start, b.firstKey = len(b.file), e.Key
		b.file = append(b.file, 0, 0, 0, 0) // the count; closeBlock sets it
	}
	b.file = appendRecord(b.file, e)
	b.count++
}

func (b *tableBuilder) closeBlock() {
	le.PutUint32(b.file[b.start:], b.count)
	b.index = le.AppendUint32(b.index, uint32(len(b.firstKey)))
	b.index = le.AppendUint64(b.index, uint64(b.start))
	b.index = le.AppendUint64(b.index, uint64(len(b.file)-b.start))
	b.index = append(b.index, b.firstKey...)
	b.blocks++
	b.count = 0
}

func (b *tableBuilder) finish() []byte {
	if b.count > 0 {
		b.closeBlock()
	}
	indexOffset := uint64(len(b.file))
	file := le.AppendUint32(b.file, b.blocks)
	file = append(file, b.index...)
	indexSize := uint64(len(file)) - indexOffset
	for _, n := range []uint64{indexOffset, indexSize, uint64(b.blocks)} {
		file = le.AppendUint64(file, n)
	}
	return append(file, tableMagic...)
}

// Footer holds the last 32 bytes of a table.
type Footer struct {
	IndexOffset, IndexSize, NumBlocks uint64
	MagicOK                           bool
}

// ReadFooter reads the footer. It checks only the size of the file.
func ReadFooter(file string, r io.ReaderAt, size uint64) Footer {
	if size < minTableSize {
		failAt(file, size, Short, "too short for a table")
	}
	c := readAt(file, r, size-footerSize, footerSize)
	return Footer{c.u64(), c.u64(), c.u64(), string(c.take(8)) == tableMagic}
}

// Table is an open table. It reads blocks when they are needed.
type Table struct {
	file  string
	r     io.ReaderAt
	index []indexEntry
}

type indexEntry struct {
	key          string
	offset, size uint64
}

func OpenTable(file string, r io.ReaderAt, size uint64) *Table {
	footer := ReadFooter(file, r, size)
	footerAt := size - footerSize
	if !footer.MagicOK {
		failAt(file, footerAt+24, BadMagic, "not a table")
	}
	if footer.IndexOffset >= footerAt || footer.IndexSize != footerAt-footer.IndexOffset {
		failAt(file, footerAt, IndexOutOfRange, "the index does not end where the footer begins")
	}
	index := readIndex(readAt(file, r, footer.IndexOffset, footer.IndexSize), footer.NumBlocks)
	checkIndex(file, index, footer.IndexOffset)
	return &Table{file, r, index}
}

func readIndex(c *cursor, blocks uint64) []indexEntry {
	n := c.u32()
	if uint64(n) != blocks {
		c.fail(0, BadBlock, "the index and the footer disagree on the number of blocks")
	}
	var index []indexEntry
	for ; n > 0; n-- {
		klen, offset, size := c.u32(), c.u64(), c.u64()
		index = append(index, indexEntry{string(c.take(uint64(klen))), offset, size})
	}
	c.end(BadBlock)
	return index
}

// checkIndex makes each check over the whole index before the next check:
// formats.md fixes the order of the checks, which decides the error.
func checkIndex(file string, index []indexEntry, limit uint64) {
	for i := 1; i < len(index); i++ {
		if index[i].key <= index[i-1].key {
			failAt(file, limit, Unsorted, "the index keys do not ascend")
		}
	}
	for _, b := range index {
		if b.size < minBlockSize {
			failAt(file, limit, BadBlock, "a block is too small")
		}
	}
	end := uint64(0)
	for _, b := range index {
		if b.offset < end || b.offset > limit || b.size > limit-b.offset {
			failAt(file, limit, IndexOutOfRange, "a block overlaps another one or the index")
		}
		end = b.offset + b.size
	}
}

func (t *Table) NumBlocks() int { return len(t.index) }

func (t *Table) block(i int) []Entry {
	c := readAt(t.file, t.r, t.index[i].offset, t.index[i].size)
	count := c.u32()
	if count == 0 {
		c.fail(0, BadBlock, "the block has no records")
	}
	entries := c.records(count)
	c.end(BadBlock)
	if entries[0].Key != t.index[i].key {
		c.fail(0, BadBlock, "the first key of the block is not its index key")
	}
	if i+1 < len(t.index) && entries[count-1].Key >= t.index[i+1].key {
		c.fail(0, Unsorted, "the last key of the block is not below the next index key")
	}
	return entries
}

// Get returns the entry of a key, which may be a tombstone.
func (t *Table) Get(key string) (e Entry, found bool) {
	i := sort.Search(len(t.index), func(i int) bool { return t.index[i].key > key }) - 1
	if i < 0 {
		return Entry{}, false
	}
	for _, e := range t.block(i) {
		if e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// Entries yields the entries of the table.
func (t *Table) Entries() Source {
	var block []Entry
	next := 0
	return func() (e Entry, ok bool) {
		if len(block) == 0 {
			if next == len(t.index) {
				return Entry{}, false
			}
			block = t.block(next)
			next++
		}
		e, block = block[0], block[1:]
		return e, true
	}
}

// readAt reads a part of a table, which must lie within the file.
func readAt(file string, r io.ReaderAt, offset, size uint64) *cursor {
	data := make([]byte, size)
	_, err := io.ReadFull(io.NewSectionReader(r, int64(offset), int64(size)), data)
	Check(file, err)
	return &cursor{file: file, base: offset, data: data, cut: BadBlock}
}
