package lsm

import "io"

// Source yields entries in ascending key order, and false after the last one.
type Source func() (e Entry, ok bool)

// SliceSource yields the given entries, which must be in order.
func SliceSource(entries []Entry) Source {
	return func() (e Entry, ok bool) {
		if len(entries) == 0 {
			return Entry{}, false
		}
		e, entries = entries[0], entries[1:]
		return e, true
	}
}

// Merge yields every key once, with the entry of the first source that has it.
func Merge(sources []Source) Source {
	heads := make([]Entry, len(sources))
	live := make([]bool, len(sources))
	for i, next := range sources {
		heads[i], live[i] = next()
	}
	return func() (e Entry, ok bool) {
		for i, head := range heads {
			if live[i] && (!ok || head.Key < e.Key) {
				e, ok = head, true
			}
		}
		for i, next := range sources {
			if live[i] && heads[i].Key == e.Key {
				heads[i], live[i] = next()
			}
		}
		return e, ok
	}
}

// WriteMerge writes the merge stream of sources, ordered from newest to
// oldest. It ignores the errors of w, which must report them itself.
func WriteMerge(w io.Writer, sources []Source, dropTombstones bool) {
	next := Merge(sources)
	var b []byte
	for e, ok := next(); ok; e, ok = next() {
		if e.Tombstone && dropTombstones {
			continue
		}
		b = append(appendField(b[:0], e.Key), e.typeByte())
		if !e.Tombstone {
			b = appendField(b, e.Value)
		}
		w.Write(b)
	}
}
