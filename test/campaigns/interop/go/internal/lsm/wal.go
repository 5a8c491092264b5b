package lsm

import (
	"bytes"
	"hash/crc32"
	"math"
)

const logHeader = 8

// encodeBatch encodes a write batch: a value is a Put, a tombstone a Delete.
func encodeBatch(file string, ops []Entry) []byte {
	size := uint64(4)
	for _, op := range ops {
		size += 5 + uint64(len(op.Key))
		if !op.Tombstone {
			size += 4 + uint64(len(op.Value))
		}
	}
	if size > math.MaxUint32 {
		Fail(file, "a write batch of more than 2^32-1 bytes")
	}
	b := le.AppendUint32(make([]byte, 0, size), uint32(len(ops)))
	for _, op := range ops {
		b = appendField(append(b, op.typeByte()), op.Key)
		if !op.Tombstone {
			b = appendField(b, op.Value)
		}
	}
	return b
}

func decodeBatch(data []byte) (ops []Entry, failure *Failure) {
	c := &cursor{file: "batch", data: data, cut: Short}
	failure = Try(func() {
		for count := c.u32(); count > 0; count-- {
			ops = append(ops, c.operation())
		}
		c.end(TrailingBytes)
	})
	return ops, failure
}

func (c *cursor) operation() (op Entry) {
	kind := c.u8()
	if kind > typeTombstone {
		c.fail(c.pos-1, BadType, "the type of an operation is neither Put nor Delete")
	}
	op.Tombstone = kind == typeTombstone
	op.Key = c.field()
	if !op.Tombstone {
		op.Value = c.field()
	}
	return op
}

func encodeLogRecord(file string, ops []Entry) []byte {
	payload := encodeBatch(file, ops)
	record := le.AppendUint32(nil, uint32(len(payload)))
	record = le.AppendUint32(record, crc32.ChecksumIEEE(payload))
	return append(record, payload...)
}

// readLog returns the operations of a log and the offset at which its intact
// records end. Only the active log may have a torn tail after them. A tail that
// holds an intact record is refused, as nothing here would keep it.
func readLog(file string, data []byte, active bool) (ops []Entry, end int) {
	for {
		payload, crc := logPayload(data[end:])
		if payload == nil || crc32.ChecksumIEEE(payload) != crc {
			break
		}
		batch, failure := decodeBatch(payload)
		if failure != nil {
			failAt(file, uint64(end), Damaged, "the CRC matches, but the batch is bad: "+failure.Text)
		}
		ops = append(ops, batch...)
		end += logHeader + len(payload)
	}
	tail := data[end:]
	clean := len(bytes.TrimLeft(tail, "\x00")) == 0
	torn := !clean && active && !intactRecordLater(tail, len(data))
	if !clean && !torn {
		failAt(file, uint64(end), Damaged, "found neither an intact record nor the end of the log")
	}
	return ops, end
}

// logPayload returns the payload and the CRC of the record at the start of
// data. The payload is nil if there is no record that ends within data.
func logPayload(data []byte) (payload []byte, crc uint32) {
	if len(data) < logHeader {
		return nil, 0
	}
	size := uint64(le.Uint32(data))
	if size == 0 || size > uint64(len(data)-logHeader) {
		return nil, 0
	}
	return data[logHeader : logHeader+size], le.Uint32(data[4:])
}

// intactRecordLater reports whether an intact record starts in tail after its
// first byte. It gives up and reports true when it has computed CRCs over too
// many bytes.
func intactRecordLater(tail []byte, fileSize int) bool {
	summed := 0
	for at := 1; at < len(tail); at++ {
		payload, crc := logPayload(tail[at:])
		if payload == nil {
			continue
		}
		if _, failure := decodeBatch(payload); failure != nil {
			continue
		}
		summed += len(payload)
		if crc32.ChecksumIEEE(payload) == crc || summed > 8*fileSize {
			return true
		}
	}
	return false
}
