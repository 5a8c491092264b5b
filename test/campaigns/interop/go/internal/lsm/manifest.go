package lsm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A listing is one line of the MANIFEST.
type listing struct {
	level int
	id    uint64
}

var manifestLine = regexp.MustCompile(`^L([0-6]) ([1-9][0-9]*)$`)

func encodeManifest(list []listing) []byte {
	var b strings.Builder
	for _, l := range list {
		fmt.Fprintf(&b, "L%d %d\n", l.level, l.id)
	}
	return []byte(b.String())
}

func decodeManifest(file string, data []byte) []listing {
	lines := strings.Split(string(data), "\n")
	last := len(lines) - 1
	if lines[last] != "" {
		Fail(file, "line %d: the newline at the end is missing", last+1)
	}
	var list []listing
	seen := map[uint64]bool{}
	for i, line := range lines[:last] {
		match := manifestLine.FindStringSubmatch(line)
		if match == nil {
			Fail(file, "line %d: expected L<level> <id> with a level up to 6", i+1)
		}
		id, err := strconv.ParseUint(match[2], 10, 63)
		if err != nil {
			Fail(file, "line %d: the id is above 2^63-1", i+1)
		}
		level := int(match[1][0] - '0')
		if i > 0 && level < list[i-1].level {
			Fail(file, "line %d: the level is below that of the line before", i+1)
		}
		if seen[id] {
			Fail(file, "line %d: the id is listed twice", i+1)
		}
		seen[id] = true
		list = append(list, listing{level, id})
	}
	return list
}
