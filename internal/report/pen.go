package report

import (
	"bytes"
	"io"
	"strconv"
	"unicode/utf8"
)

// pen writes indented JSON piece by piece, byte for byte as encoding/json would
// with SetIndent("", "  ") and without escapes for HTML. It keeps a part of the
// document only, and uses no reflection: a document of ten thousand members has
// seven megabytes. The first error of the writer is kept in err, and what comes
// after it is dropped. One goroutine uses it.
type pen struct {
	w     io.Writer
	buf   []byte
	depth int
	empty bool // nothing stands in the innermost list or object yet
	err   error
}

// penSize is how much the pen holds back; a little more fits into its buffer.
const penSize = 64 << 10

func newPen(w io.Writer) *pen { return &pen{w: w, buf: make([]byte, 0, penSize+4096)} }

// flush hands on what is held back if that is much, or in any case.
func (p *pen) flush(anyway bool) {
	if len(p.buf) < penSize && !anyway {
		return
	}
	if p.err == nil {
		_, p.err = p.w.Write(p.buf)
	}
	p.buf = p.buf[:0]
}

// indents is a new line and as much indentation as our own documents have.
const indents = "\n                                "

func (p *pen) line() {
	if n := 1 + 2*p.depth; n <= len(indents) {
		p.buf = append(p.buf, indents[:n]...)
		return
	}
	p.buf = append(p.buf, '\n')
	for range p.depth {
		p.buf = append(p.buf, "  "...)
	}
}

// open begins a list or an object, given its bracket.
func (p *pen) open(bracket byte) {
	p.buf = append(p.buf, bracket)
	p.depth++
	p.empty = true
}

// close ends it.
func (p *pen) close(bracket byte) {
	p.depth--
	if !p.empty {
		p.line()
	}
	p.empty = false
	p.buf = append(p.buf, bracket)
}

// next begins the next element of a list.
func (p *pen) next() {
	if !p.empty {
		p.buf = append(p.buf, ',')
	}
	p.empty = false
	p.line()
}

// key begins the next member of an object; the name needs no escapes.
func (p *pen) key(name string) {
	p.next()
	p.buf = append(p.buf, '"')
	p.buf = append(p.buf, name...)
	p.buf = append(p.buf, `": `...)
}

func (p *pen) null() { p.buf = append(p.buf, "null"...) }

func (p *pen) bool(b bool) { p.buf = strconv.AppendBool(p.buf, b) }

func (p *pen) int(n int64) { p.buf = strconv.AppendInt(p.buf, n, 10) }

func (p *pen) optionalInt(n *int64) {
	if n == nil {
		p.null()
		return
	}
	p.int(*n)
}

func (p *pen) optionalText(s *string) {
	if s == nil {
		p.null()
		return
	}
	p.text(*s)
}

// text writes a string.
func (p *pen) text(s string) {
	b := append(p.buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		r, n := rune(c), 1
		if c >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || n > 1) && r != '\u2028' && r != '\u2029' {
				i += n
				continue
			}
		}
		b = appendEscape(append(b, s[from:i]...), r)
		i += n
		from = i
	}
	p.buf = append(append(b, s[from:]...), '"')
}

// plain marks the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendEscape appends a rune below U+10000 that does not stand for itself.
func appendEscape(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// raw writes JSON that is valid, indented like the rest; nil is null.
func (p *pen) raw(v []byte) {
	if v == nil {
		p.null()
		return
	}
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case ' ', '\t', '\r', '\n':
		case '{', '[':
			p.open(c)
			first := bytes.TrimLeft(v[i+1:], " \t\r\n")
			if len(first) > 0 && first[0] != '}' && first[0] != ']' {
				p.next()
			}
		case '}', ']':
			p.close(c)
		case ',':
			p.next()
		case ':':
			p.buf = append(p.buf, ": "...)
		case '"':
			end := stringEnd(v, i)
			p.buf = append(p.buf, v[i:end]...)
			i = end - 1
		default:
			p.buf = append(p.buf, c)
		}
	}
}

// stringEnd is the index behind the string that begins at i.
func stringEnd(v []byte, i int) int {
	for i++; i < len(v); i++ {
		n := bytes.IndexByte(v[i:], '"')
		if n < 0 {
			break
		}
		slash := bytes.IndexByte(v[i:i+n], '\\')
		if slash < 0 {
			return i + n + 1
		}
		i += slash + 1 // the loop goes behind what is escaped
	}
	return len(v)
}
