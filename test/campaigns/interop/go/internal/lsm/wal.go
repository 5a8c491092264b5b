package lsm

import (
	"bytes"
	"hash/crc32"
	"math"
)

const logHeader = 8

// encodeBatch makes a write batch: a value is a Put, a tombstone a Delete.
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
		c.fail(c.pos-1, BadType, "neither Put nor Delete")
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

// readLog returns the operations of a log and where its intact records end.
// Only the active log may have a torn tail behind them.
func readLog(file string, data []byte, active bool) (ops []Entry, end int) {
	for {
		payload, crc := logPayload(data[end:])
		if payload == nil || crc32.ChecksumIEEE(payload) != crc {
			break
		}
		batch, failure := decodeBatch(payload)
		if failure != nil {
			failAt(file, uint64(end), Damaged, "a good CRC around a bad batch: "+failure.Text)
		}
		ops = append(ops, batch...)
		end += logHeader + len(payload)
	}
	tail := data[end:]
	clean := len(bytes.TrimLeft(tail, "\x00")) == 0
	torn := !clean && active && (runsBeyondEnd(tail) || !intactRecordLater(tail, len(data)))
	if !clean && !torn {
		failAt(file, uint64(end), Damaged, "neither a record nor the end of the log")
	}
	return ops, end
}

// logPayload returns nil if no record starts here that ends within data.
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

// runsBeyondEnd tells whether the record at the start of tail, and the batch
// in it, are both cut off by the end of the file.
func runsBeyondEnd(tail []byte) bool {
	if len(tail) < logHeader {
		return true
	}
	if uint64(le.Uint32(tail)) <= uint64(len(tail)-logHeader) {
		return false
	}
	_, failure := decodeBatch(tail[logHeader:])
	return failure != nil && failure.Kind == Short
}

// intactRecordLater looks for an intact record behind the start of tail. When
// it has summed too much it gives up and assumes one.
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
