package eventfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// splitter cuts a stream into JSON objects. Objects may stand one per line,
// follow each other without a break, be spread over lines, or be elements of
// an array; white space and commas between them mean nothing. It counts
// brackets only, so that a syntax error stays inside the object it is in.
type splitter struct {
	r        io.Reader
	buf      []byte
	pos, end int
	max      int

	line  int // of the byte at pos, from 1
	array int // open '[' around us

	val   []byte
	start int // line of val[0]
	depth int
	str   bool // inside a string
	esc   bool // after a backslash
	col0  int  // 1 + length of val before a '{' that stands at the start of a line
	fresh bool // the previous byte was a newline
	skip  bool // dropping the rest of a line
	open  bool // an object is being read
	tried bool // this line was offered as a whole
	whole int  // where the line behind it begins
	wrap  wrapper
	err   error
}

// taker takes what a splitter finds. All but at report whether to go on.
type taker interface {
	at(line int)                       // where the next one starts
	guess(line []byte) (ok, more bool) // that may be an event, as a whole; ok: it was one
	object(raw []byte) (more bool)
	trouble(err error) (more bool)
}

// feed gives it all to t.
func (s *splitter) feed(t taker) {
	for more := true; more; {
		raw, line, guess, err := s.next()
		t.at(line)
		switch {
		case err != nil:
			more = t.trouble(err)
		case guess:
			var ok bool
			if ok, more = t.guess(raw); ok {
				s.accept()
			}
		default:
			more = t.object(raw)
		}
	}
}

// bufferSize is how much is read at once. The one line in it that is cut off at
// the end is read slowly.
const bufferSize = 256 << 10

func newSplitter(r io.Reader, limit int) *splitter {
	return &splitter{r: r, buf: make([]byte, bufferSize), max: limit, line: 1, fresh: true}
}

// next returns the next object and the line on which it starts. The bytes are
// valid until the following call. A *Problem stands for something that had to
// be left out, any other error ends the stream.
//
// With guess it is a line that looks like one object, and nothing of it has
// been read: the caller finds out while it parses it, and calls accept if it
// is. In a file with an event per line that is all that looks at its bytes.
func (s *splitter) next() (raw []byte, line int, guess bool, err error) {
	if !s.open {
		s.val = s.val[:0]
	}
	for {
		if s.pos == s.end {
			if err := s.fill(); err != nil {
				return nil, s.line, false, err
			}
		}
		if s.fresh && !s.open && !s.skip && !s.tried {
			if raw := s.ahead(); raw != nil {
				s.tried = true
				return raw, s.line, true, nil
			}
		}
		if s.open && s.wrap.from > 0 && len(s.val) >= s.wrap.at && !s.wrap.inside {
			if s.unwrap(); !s.open {
				continue
			}
		}
		b := s.buf[s.pos]
		if b == 0xEF && s.line == 1 && len(s.val) == 0 && !s.skip {
			s.pos++ // byte order mark
			continue
		}
		if s.open && !s.fresh && s.col0 == 0 && s.run() {
			continue
		}
		done, problem := s.step(b)
		if problem != nil {
			return nil, problem.Line, false, problem
		}
		if done && s.wrap.drop {
			s.wrap.drop, s.val = false, s.val[:0]
		} else if done {
			return s.val, s.start, false, nil
		}
	}
}

// ahead is the line at pos without what may stand around an object, nil if it
// does not look like one object or has not arrived as a whole.
func (s *splitter) ahead() []byte {
	i := s.pos
	for i < s.end && (s.buf[i] == ' ' || s.buf[i] == '\t') {
		i++
	}
	if i == s.end || s.buf[i] != '{' {
		return nil
	}
	n := bytes.IndexByte(s.buf[i:s.end], '\n')
	if n < 0 {
		return nil
	}
	raw := s.buf[i : i+n]
	s.whole = i + n + 1
	for last := n - 1; ; last-- {
		switch raw[last] { // the bracket at its start ends the loop at the latest
		case ' ', '\t', '\r', ',':
		case '}':
			if last < s.max {
				return raw[: last+1 : last+1]
			}
			return nil
		default:
			return nil
		}
	}
}

// accept takes the line that next has offered: it was one object.
func (s *splitter) accept() {
	s.pos = s.whole
	s.line++
	s.tried = false
}

// fill reads more; at the end it reports what is left open once, then io.EOF.
func (s *splitter) fill() error {
	if s.err == nil {
		var n int
		for tries := 0; n == 0 && s.err == nil; tries++ {
			if tries == 100 {
				s.err = io.ErrNoProgress
				break
			}
			n, s.err = s.r.Read(s.buf)
		}
		s.pos, s.end = 0, n
		if n > 0 {
			return nil
		}
	}
	if !errors.Is(s.err, io.EOF) {
		return fmt.Errorf("read events: %w", s.err)
	}
	if s.open {
		s.open, s.val = false, nil
		return &Problem{Line: s.start, Text: "the input ends in the middle of this object"}
	}
	if s.array > 0 || s.wrap.inside {
		s.array, s.wrap.inside = 0, false
		return &Problem{Line: s.line, Text: "the input ends before its array is closed: it may be cut off"}
	}
	return io.EOF
}

// run takes the bytes of an object up to one that step has to look at: a
// newline, the end of the object, the limit. It reports whether there were any.
func (s *splitter) run() bool {
	part := s.buf[s.pos:min(s.end, s.pos+max(0, s.max-len(s.val)))]
	depth, str, esc := s.depth, s.str, s.esc
	n := 0
scan:
	for _, b := range part {
		switch {
		case b == '\n':
			break scan
		case esc:
			esc = false
		case b == '"':
			str = !str
		case str:
			esc = b == '\\'
		case b == '{', b == '[':
			depth++
		case b == '}', b == ']':
			if depth == 1 {
				break scan
			}
			depth--
		}
		n++
	}
	s.depth, s.str, s.esc = depth, str, esc
	s.val = append(s.val, part[:n]...)
	s.pos += n
	return n > 0
}

// step takes one byte. It consumes the byte unless it returns a problem and
// wants to see the byte again.
func (s *splitter) step(b byte) (done bool, p *Problem) {
	newline := b == '\n'
	defer func() { s.fresh = newline }()
	switch {
	case s.skip:
		s.skip = !newline
	case s.open:
		return s.inside(b)
	default:
		if p := s.between(b); p != nil {
			return false, p
		}
	}
	s.consume(b)
	return false, nil
}

func (s *splitter) consume(b byte) {
	s.pos++
	if b == '\n' {
		s.line++
		s.tried = false
	}
}

// between looks for the next object.
func (s *splitter) between(b byte) *Problem {
	switch {
	case s.wrap.inside && s.wrap.around(b, s.array):
	case b == '\n', b == ' ', b == '\t', b == '\r', b == ',':
	case b == 0xBB, b == 0xBF: // rest of a byte order mark
	case b == '[':
		s.array++
	case b == ']' && s.array > 0:
		s.array--
	case b == '{':
		s.open, s.start, s.depth = true, s.line, 1
		s.val = append(s.val[:0], b)
		s.str, s.esc, s.col0 = false, false, 0
		s.wrap.at = s.wrap.from
	default:
		s.skip = true
		return &Problem{Line: s.line, Text: "this is not a JSON object: the line was left out"}
	}
	return nil
}

// inside takes a byte of an object.
func (s *splitter) inside(b byte) (done bool, p *Problem) {
	if len(s.val) >= s.max {
		s.open, s.skip = false, true
		return false, &Problem{Line: s.start, Text: fmt.Sprintf("this object is larger than %d MiB: it was left out", s.max>>20)}
	}
	if b == '\n' && s.str {
		s.open = false
		return false, &Problem{Line: s.start, Text: "the line ends in the middle of a string: it was left out"}
	}
	// A writer that spreads an object over lines indents what is inside. So an
	// object that starts at the start of a line is the next one, and the one
	// before it was cut off.
	if s.col0 > 0 && b == '"' {
		p = &Problem{Line: s.start, Text: "the line ends in the middle of this object: it was left out"}
		s.val, s.start, s.depth = append(s.val[:0], '{'), s.line, 1
	}
	s.col0 = 0
	if s.fresh && b == '{' && !s.str {
		s.col0 = 1 + len(s.val)
	}
	s.val = append(s.val, b)
	s.consume(b)
	switch {
	case s.esc:
		s.esc = false
	case s.str:
		s.esc = b == '\\'
		s.str = b != '"'
	case b == '"':
		s.str = true
	case b == '{', b == '[':
		s.depth++
	case b == '}', b == ']':
		s.depth--
	}
	if p == nil && s.depth == 0 {
		s.open = false
		return true, nil
	}
	return false, p
}
