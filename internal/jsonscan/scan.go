// Package jsonscan is the one place where the core reads JSON. It is a pull
// scanner over bytes that somebody else owns: it allocates nothing but decoded
// strings, keeps keys in their exact case, shows every duplicate, bounds depth,
// and accepts exactly the documents that encoding/json accepts and that are
// valid UTF-8 and not nested deeper than MaxDepth. It is pure.
package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 1024

// Error says where and why a text is not JSON.
type Error struct {
	Offset int // bytes from the start of the text that was opened
	Reason string
}

func (e *Error) Error() string {
	return e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

func fail(at int, reason string) error { return &Error{at, reason} }

// Kind is the kind of a value, told by its first byte.
type Kind uint8

// The kinds.
const (
	Nothing Kind = iota // no value at all
	Null
	Bool
	Number
	String
	Array
	Object
)

// Value is the text of one value, without white space around it. A Value that
// Fields or Elements yielded is valid JSON as a whole.
type Value []byte

// Kind tells the kind of the value.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return Nothing
	}
	switch v[0] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

// Valid checks a whole text: one value, with white space around it allowed.
func Valid(text []byte) error {
	end, err := skip(text, 0)
	if err != nil {
		return err
	}
	if end = space(text, end); end != len(text) {
		return fail(end, "more text after the value")
	}
	return nil
}

// Trim returns the text without white space around it.
func Trim(text []byte) Value {
	i := space(text, 0)
	j := len(text)
	for j > i && isSpace(text[j-1]) {
		j--
	}
	return text[i:j]
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func space(d []byte, i int) int {
	for i < len(d) && d[i] <= ' ' && isSpace(d[i]) {
		i++
	}
	return i
}

// skip checks the value that starts at or after i and returns the index behind
// it.
func skip(d []byte, i int) (int, error) {
	i = space(d, i)
	switch {
	case i >= len(d):
		return i, fail(i, "unexpected end")
	case d[i] == '{' || d[i] == '[':
		return skipNested(d, i)
	case d[i] == '"':
		return skipString(d, i)
	}
	return skipScalar(d, i)
}

// skipNested is skip for arrays and objects. It uses no recursion: depth costs a
// bit, not a stack frame.
func skipNested(d []byte, i int) (int, error) {
	var objects [MaxDepth / 64]uint64 // bit n: nesting level n is an object
	depth := 0
	for {
		i = space(d, i)
		if i >= len(d) {
			return i, fail(i, "unexpected end")
		}
		var err error
		switch c := d[i]; {
		case c == '{' || c == '[':
			if depth == MaxDepth {
				return i, fail(i, "nested too deeply")
			}
			bit := uint64(1) << (depth % 64)
			if c == '{' {
				objects[depth/64] |= bit
			} else {
				objects[depth/64] &^= bit
			}
			depth++
			j := space(d, i+1)
			if j < len(d) && d[j] == c+2 { // '}' and ']' stand two behind
				i = j
				break // an empty one closes below
			}
			if i = j; c == '{' {
				if _, i, err = member(d, i); err != nil {
					return i, err
				}
			}
			continue
		case c == '"':
			i, err = skipString(d, i)
		default:
			i, err = skipScalar(d, i)
		}
		if err != nil {
			return i, err
		}
		// A value has ended (or, at an empty container, its end is next).
		for {
			if depth == 0 {
				return i, nil
			}
			object := objects[(depth-1)/64]&(1<<((depth-1)%64)) != 0
			i = space(d, i)
			if i >= len(d) {
				return i, fail(i, "unexpected end")
			}
			if d[i] == ',' {
				i++
				if object {
					if _, i, err = member(d, space(d, i)); err != nil {
						return i, err
					}
				}
				break
			}
			if object && d[i] != '}' || !object && d[i] != ']' {
				return i, fail(i, "expected a comma or an end")
			}
			i++
			depth--
		}
	}
}

// member checks a key and its colon, and returns the indices behind them.
func member(d []byte, i int) (key, next int, err error) {
	if i >= len(d) || d[i] != '"' {
		return i, i, fail(i, "expected a key")
	}
	key, err = skipString(d, i)
	if err != nil {
		return key, key, err
	}
	i = space(d, key)
	if i >= len(d) || d[i] != ':' {
		return key, i, fail(i, "expected a colon")
	}
	return key, i + 1, nil
}

// plain marks the bytes that need no look inside a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// specials marks the bytes of w that are not plain, with their highest bit; the
// lowest mark is exact.
func specials(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^'"'*ones, w^'\\'*ones
	return (w | (w-0x20*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// skipString checks the string that starts at i and returns the index behind
// its closing quote.
func skipString(d []byte, i int) (int, error) {
	i++
	for i < len(d) {
		if i+8 <= len(d) {
			special := specials(binary.LittleEndian.Uint64(d[i:]))
			if special == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(special) / 8
		}
		c := d[i]
		if plain[c] {
			i++
			continue
		}
		switch {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			n, err := escapeLen(d, i)
			if err != nil {
				return i, err
			}
			i += n
		case c < 0x20:
			return i, fail(i, "control character in a string")
		default:
			r, n := utf8.DecodeRune(d[i:])
			if r == utf8.RuneError && n == 1 {
				return i, fail(i, "not UTF-8")
			}
			i += n
		}
	}
	return i, fail(i, "unexpected end of a string")
}

func escapeLen(d []byte, i int) (int, error) {
	if i+1 >= len(d) {
		return 0, fail(i, "unexpected end of a string")
	}
	switch d[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		if i+6 > len(d) {
			return 0, fail(i, "unexpected end of a string")
		}
		for _, c := range d[i+2 : i+6] {
			if unhex(c) < 0 {
				return 0, fail(i, "bad escape")
			}
		}
		return 6, nil
	}
	return 0, fail(i, "bad escape")
}

func unhex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

func skipScalar(d []byte, i int) (int, error) {
	switch c := d[i]; c {
	case 't':
		return literal(d, i, "true")
	case 'f':
		return literal(d, i, "false")
	case 'n':
		return literal(d, i, "null")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return skipNumber(d, i)
		}
		return i, fail(i, "expected a value")
	}
}

func literal(d []byte, i int, word string) (int, error) {
	if len(d)-i < len(word) || string(d[i:i+len(word)]) != word {
		return i, fail(i, "expected a value")
	}
	return i + len(word), nil
}

func skipNumber(d []byte, i int) (int, error) {
	digits := func() bool {
		from := i
		for i < len(d) && '0' <= d[i] && d[i] <= '9' {
			i++
		}
		return i > from
	}
	if d[i] == '-' {
		i++
	}
	if i < len(d) && d[i] == '0' {
		i++
	} else if !digits() {
		return i, fail(i, "bad number")
	}
	if i < len(d) && d[i] == '.' {
		i++
		if !digits() {
			return i, fail(i, "bad number")
		}
	}
	if i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		if !digits() {
			return i, fail(i, "bad number")
		}
	}
	return i, nil
}
