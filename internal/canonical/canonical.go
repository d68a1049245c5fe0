// Package canonical makes the canonical JSON strings, unpadded base64 and
// hashes that MatrixRTC identities and room aliases are built from. It is pure.
package canonical

import (
	"crypto/sha256"
	"encoding/base64"
	"unicode/utf8"
)

// StringArray appends the canonical JSON of an array of strings: no white
// space, only the escapes that Matrix canonical JSON asks for ('<', '>' and
// '&' stay as they are; invalid UTF-8 becomes U+FFFD).
func StringArray(dst []byte, elems ...string) []byte {
	dst = append(dst, '[')
	for i, s := range elems {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	return append(dst, ']')
}

// AppendString appends one string as canonical JSON.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0 // what stands for itself is appended in one piece
	for i := 0; i < len(s); {
		if plain[s[i]] {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r < utf8.RuneSelf || r == utf8.RuneError && n == 1 {
			dst = appendEscape(append(dst, s[from:i]...), r)
			from = i + n
		}
		i += n
	}
	return append(append(dst, s[from:]...), '"')
}

// plain marks the bytes that stand for themselves.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendEscape appends a rune that does not stand for itself.
func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	if r < 0x20 {
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(dst, r) // U+FFFD
}

// Hash is the unpadded standard base64 of the SHA-256 of the canonical JSON
// array of the elements: LiveKit room aliases ([room id, slot id]) and
// identities ([user, device, member] or [user, member]) are such hashes
// (MSC4195).
func Hash(elems ...string) string {
	sum := sha256.Sum256(StringArray(make([]byte, 0, 256), elems...))
	var text [43]byte // of 32 bytes
	base64.RawStdEncoding.Encode(text[:], sum[:])
	return string(text[:])
}
