package lsm

const (
	recordHeader  = 9
	typeTombstone = 1
)

// Entry is a key with its value or a tombstone. A tombstone has no value.
type Entry struct {
	Key, Value string
	Tombstone  bool
}

func (e Entry) typeByte() byte {
	if e.Tombstone {
		return typeTombstone
	}
	return 0
}

func (e Entry) recordSize() uint64 {
	return recordHeader + uint64(len(e.Key)) + uint64(len(e.Value))
}

func appendRecord(b []byte, e Entry) []byte {
	b = le.AppendUint32(b, uint32(len(e.Key)))
	b = le.AppendUint32(b, uint32(len(e.Value)))
	b = append(b, e.typeByte())
	b = append(b, e.Key...)
	return append(b, e.Value...)
}

// appendField appends a length and a byte string, which cursor.field reads.
func appendField(b []byte, s string) []byte {
	return append(le.AppendUint32(b, uint32(len(s))), s...)
}

func (c *cursor) records(count uint32) []Entry {
	var entries []Entry
	for i := uint32(0); i < count; i++ {
		start := c.pos
		e := c.record()
		if i > 0 && e.Key <= entries[i-1].Key {
			c.fail(start, Unsorted, "a key is not greater than the key before it")
		}
		entries = append(entries, e)
	}
	return entries
}

func (c *cursor) record() Entry {
	start := c.pos
	header := c.take(recordHeader)
	klen, vlen, kind := uint64(le.Uint32(header)), uint64(le.Uint32(header[4:])), header[8]
	if kind > typeTombstone {
		c.fail(start, BadType, "the type of an entry is neither value nor tombstone")
	}
	if kind == typeTombstone && vlen != 0 {
		c.fail(start, BadTombstone, "a tombstone has a value")
	}
	body := c.take(klen + vlen)
	return Entry{string(body[:klen]), string(body[klen:]), kind == typeTombstone}
}
