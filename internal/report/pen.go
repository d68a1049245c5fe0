package report

import (
	"bytes"
	"io"
	"math/bits"
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

	// transports are those of members, indented: most members of a session have
	// one of a few.
	transports map[string]string
}

// What is kept of transports.
const (
	maxTransports    = 64
	maxTransportSize = 1024
)

// penSize is how much the pen holds back; a little more fits into its buffer.
const penSize = 64 << 10

func newPen(w io.Writer) *pen {
	return &pen{w: w, buf: make([]byte, 0, penSize+4096), transports: map[string]string{}}
}

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

// indents is a comma, a new line and as much indentation as our own documents
// have.
const indents = ",\n                                "

// line begins a new line, behind a comma if there is to be one.
func (p *pen) line(comma bool) {
	from, end := 1, 2+2*p.depth
	if comma {
		from = 0
	}
	p.buf = append(p.buf, indents[from:min(end, len(indents))]...)
	for n := len(indents); n < end; n++ {
		p.buf = append(p.buf, ' ')
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
		p.line(false)
	}
	p.empty = false
	p.buf = append(p.buf, bracket)
}

// next begins the next element of a list.
func (p *pen) next() {
	p.line(!p.empty)
	p.empty = false
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
	from := 0 // what stands for itself is appended in one piece
	for i := plain(s, 0); i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r < utf8.RuneSelf || r == utf8.RuneError && n == 1 || r == '\u2028' || r == '\u2029' {
			b = appendEscape(append(b, s[from:i]...), r)
			from = i + n
		}
		i = plain(s, i+n)
	}
	p.buf = append(append(b, s[from:]...), '"')
}

// plain is the index of the first byte from i on that may not stand for itself
// in a string: a control character, a quote, a backslash, or not ASCII.
func plain(s string, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, slash := w^'"'*ones, w^'\\'*ones
		special := (w | (w-0x20*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8 // the lowest mark is exact
		}
	}
	for i < len(s) && s[i] >= 0x20 && s[i] < utf8.RuneSelf && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

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

// transport writes the transport of a member.
func (p *pen) transport(v []byte) {
	if text, ok := p.transports[string(v)]; ok {
		p.buf = append(p.buf, text...)
		return
	}
	from := len(p.buf)
	p.raw(v)
	if v != nil && len(v) <= maxTransportSize && len(p.transports) < maxTransports {
		p.transports[string(v)] = string(p.buf[from:])
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
