package jsonscan

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Text decodes a string. ok is false if the value is not a string. Lone
// surrogates become U+FFFD, as in encoding/json.
func (v Value) Text() (s string, ok bool) {
	b, ok := v.TextBytes()
	return string(b), ok
}

// Is reports whether the value is this string, without allocating.
func (v Value) Is(s string) bool {
	b, ok := v.TextBytes()
	return ok && string(b) == s
}

// TextBytes is Text without a copy: the bytes are part of the value unless it
// holds an escape.
func (v Value) TextBytes() (text []byte, ok bool) {
	if v.Kind() != String || len(v) < 2 {
		return nil, false
	}
	b := v[1 : len(v)-1]
	if bytes.IndexByte(b, '\\') < 0 {
		return b, true
	}
	return unescape(make([]byte, 0, len(b)), b), true
}

func unescape(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			dst = append(dst, b[i])
			i++
			continue
		}
		switch c := b[i+1]; c {
		case 'u':
			r := hex4(b[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				r2 := rune(-1)
				if i+6 <= len(b) && b[i] == '\\' && b[i+1] == 'u' {
					r2 = hex4(b[i+2:])
				}
				if r = utf16.DecodeRune(r, r2); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		default:
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}

func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		r = r<<4 | unhex(c)
	}
	return r
}

// Exactness says how a number fits a whole number of milliseconds or the like.
type Exactness uint8

// The answers of Int.
const (
	NotNumber Exactness = iota
	Exact               // a whole number within ±2^53
	Rounded             // a fraction; rounded towards zero
	Unsafe              // beyond ±2^53, where JSON readers disagree; clamped to ±2^53
)

// maxSafe is the largest whole number that every JSON reader keeps exact.
const maxSafe = 1 << 53

// Int reads a number as a whole number.
func (v Value) Int() (n int64, how Exactness) {
	if v.Kind() != Number {
		return 0, NotNumber
	}
	if len(v) <= 16 { // up to 15 digits: no overflow, and within 2^53
		n, ok := smallInt(v)
		if ok {
			return n, Exact
		}
	}
	f, err := strconv.ParseFloat(string(v), 64)
	switch {
	case err != nil && !math.IsInf(f, 0):
		return 0, NotNumber
	case f > maxSafe:
		return maxSafe, Unsafe
	case f < -maxSafe:
		return -maxSafe, Unsafe
	case f != math.Trunc(f):
		return int64(f), Rounded
	}
	return int64(f), Exact
}

func smallInt(v Value) (n int64, ok bool) {
	neg := v[0] == '-'
	if neg {
		v = v[1:]
	}
	if len(v) > 15 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// True reports whether the value is the literal true.
func (v Value) True() bool { return string(v) == "true" }
