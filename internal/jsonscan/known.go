package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

// What is in this file walks over values that are known to be valid. It looks
// for their ends and checks nothing; on other bytes it yields nonsense, but
// stays within them and comes to an end.

// Fields walks over the members of a value that Fields or Elements yielded, or
// that Valid accepted, without checking it again. If it is not an object there
// are none.
func (v Value) Fields() Fields { return Fields{text: v, known: true} }

// Elements walks over the elements of a value that Fields or Elements yielded,
// or that Valid accepted, without checking it again. If it is not an array there
// are none.
func (v Value) Elements() Elements { return Elements{text: v, known: true} }

func (f *Fields) nextKnown() bool {
	d := f.text
	i, more := nextStart(d, f.pos, '{')
	if !more || d[i] != '"' {
		return f.stop(errEnd)
	}
	i++
	end := i
	for end < len(d) && d[end] != '"' && d[end] != '\\' { // most keys are short
		end++
	}
	if f.key = d[i:end]; end < len(d) && d[end] == '\\' {
		end = max(i, stringEnd(d, i-1)-1)
		f.key = unescape(nil, d[i:end])
	}
	if end++; end < len(d) && d[end] == ':' {
		end++
	} else {
		end = min(space(d, min(end, len(d)))+1, len(d))
	}
	i = space(d, end)
	f.pos = valueEnd(d, i)
	f.value = d[i:f.pos:f.pos]
	return true
}

func (e *Elements) nextKnown() bool {
	i, more := nextStart(e.text, e.pos, '[')
	if !more || e.text[i] == ']' {
		return e.stop(errEnd)
	}
	e.pos = valueEnd(e.text, i)
	e.value = e.text[i:e.pos:e.pos]
	return true
}

// nextStart is where the next member or element starts: behind the opening
// bracket at the start of a walk, else behind a comma.
func nextStart(d []byte, pos int, open byte) (i int, more bool) {
	want := byte(',')
	if pos == 0 {
		want = open
	}
	i = space(d, pos)
	if i >= len(d) || d[i] != want {
		return i, false
	}
	i = space(d, i+1)
	return i, i < len(d)
}

// valueEnd is the index behind the value that starts at i.
func valueEnd(d []byte, i int) int {
	if i >= len(d) {
		return len(d)
	}
	switch d[i] {
	case '"':
		return stringEnd(d, i)
	case '{', '[':
		return nestedEnd(d, i)
	}
	for i++; i < len(d); i++ {
		switch d[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return i
}

// nestedEnd is valueEnd for objects and arrays.
func nestedEnd(d []byte, i int) int {
	for depth := 0; i < len(d); {
		switch d[i] {
		case '"':
			i = stringEnd(d, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(d)
}

// stringEnd is the index behind the string that starts at i.
func stringEnd(d []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i++; i < len(d); {
		if i+8 <= len(d) {
			w := binary.LittleEndian.Uint64(d[i:])
			quote, slash := w^'"'*ones, w^'\\'*ones
			ends := ((quote-ones)&^quote | (slash-ones)&^slash) & highs
			if ends == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(ends) / 8 // the lowest mark is exact
		}
		switch d[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
		i++
	}
	return len(d)
}
