package lsm

import "encoding/binary"

var le = binary.LittleEndian

// A cursor reads untrusted bytes. It returns slices of data, so no length is
// trusted for an allocation before it is checked.
type cursor struct {
	file string
	base uint64 // the offset of data in the file
	data []byte
	pos  int
	cut  string // the kind of failure if data ends too early
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.data)-c.pos) {
		c.fail(c.pos, c.cut, "the data ends too early")
	}
	piece := c.data[c.pos : c.pos+int(n)]
	c.pos += int(n)
	return piece
}

func (c *cursor) u8() byte    { return c.take(1)[0] }
func (c *cursor) u32() uint32 { return le.Uint32(c.take(4)) }
func (c *cursor) u64() uint64 { return le.Uint64(c.take(8)) }

// field reads a length and the byte string that follows it.
func (c *cursor) field() string { return string(c.take(uint64(c.u32()))) }

func (c *cursor) end(kind string) {
	if c.pos < len(c.data) {
		c.fail(c.pos, kind, "bytes are left after the end")
	}
}

func (c *cursor) fail(at int, kind, detail string) {
	failAt(c.file, c.base+uint64(at), kind, detail)
}
