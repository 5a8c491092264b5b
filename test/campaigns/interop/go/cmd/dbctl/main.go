// dbctl runs commands from standard input on a database.
package main

import (
	"bufio"
	"bytes"
	"io"
	"os"

	"lsmpeer/internal/cli"
	"lsmpeer/internal/lsm"
)

const help = `dbctl --dir DIR
PUT <key> <value> | DEL <key> | FLUSH | DUMP | DUMP_WITH_TOMBS
`

const dirOption = "--dir"

var wordCount = map[string]int{"PUT": 3, "DEL": 2, "FLUSH": 1, "DUMP": 1, "DUMP_WITH_TOMBS": 1}

func main() { cli.Main("dbctl", help, run) }

func run(args []string, out *bufio.Writer) {
	operands, options := cli.Parse(args, cli.Options{dirOption: true}, false)
	dir, given := options[dirOption]
	if !given || len(operands) > 0 {
		cli.Usage("expected --dir DIR and nothing else; see dbctl --help")
	}
	s := session{db: lsm.OpenDB(dir), in: bufio.NewReaderSize(os.Stdin, 1<<16), out: out}
	defer s.db.Close()
	s.run()
}

// A session collects writes while complete lines are buffered, and makes them
// durable together.
type session struct {
	db      *lsm.DB
	in      *bufio.Reader
	out     *bufio.Writer
	pending []lsm.Entry
}

func (s *session) run() {
	for number := 1; ; number++ {
		if !s.lineAtHand() {
			s.commit()
		}
		line, err := s.in.ReadBytes('\n')
		if err != io.EOF {
			lsm.Check("stdin", err)
		}
		s.execute(number, words(line))
		if err == io.EOF {
			s.commit()
			return
		}
		if len(line) > s.in.Size() {
			s.commit() // so that long lines do not add up to a batch over 2^32-1 bytes
		}
	}
}

// lineAtHand reports whether a whole line can be read without blocking.
func (s *session) lineAtHand() bool {
	buffered, _ := s.in.Peek(s.in.Buffered())
	return bytes.IndexByte(buffered, '\n') >= 0
}

func words(line []byte) [][]byte {
	return bytes.FieldsFunc(line, func(r rune) bool { return r < 128 && bytes.IndexByte([]byte(" \t\r\v\f\n"), byte(r)) >= 0 })
}

func (s *session) commit() {
	s.db.Commit(s.pending)
	s.pending = nil
}

func (s *session) execute(number int, line [][]byte) {
	if len(line) == 0 || line[0][0] == '#' {
		return
	}
	command := string(line[0])
	if len(line) != wordCount[command] {
		s.commit() // the lines before a malformed line are applied
		lsm.Fail("stdin", "line %d: unknown command or wrong number of words: %.40q", number, command)
	}
	switch command {
	case "PUT":
		s.pending = append(s.pending, lsm.Entry{Key: string(line[1]), Value: string(line[2])})
	case "DEL":
		s.pending = append(s.pending, lsm.Entry{Key: string(line[1]), Tombstone: true})
	case "FLUSH":
		s.commit()
		s.db.Flush()
	case "DUMP", "DUMP_WITH_TOMBS":
		s.commit()
		s.db.WriteMerge(s.out, command == "DUMP")
		s.out.Flush()
	}
}
