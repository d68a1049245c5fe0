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
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\b':
			dst = append(dst, '\\', 'b')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\f':
			dst = append(dst, '\\', 'f')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// Hash is the unpadded standard base64 of the SHA-256 of the canonical JSON
// array of the elements: LiveKit room aliases ([room id, slot id]) and
// identities ([user, device, member] or [user, member]) are such hashes
// (MSC4195).
func Hash(elems ...string) string {
	sum := sha256.Sum256(StringArray(make([]byte, 0, 256), elems...))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}
