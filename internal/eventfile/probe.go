package eventfile

import (
	"bytes"
	"maps"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// hasTopLevel reports whether the object has a member of this name, looking at
// brackets and strings only. It is much cheaper than decoding, and one event
// of a large file is looked at with it before it is parsed.
func hasTopLevel(raw []byte, name string) bool {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := i + 1
			for end < len(raw) && raw[end] != '"' {
				if raw[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(raw) {
				return false
			}
			if depth == 1 && string(raw[i+1:end]) == name {
				rest := bytes.TrimLeft(raw[end+1:], " \t\r\n")
				if len(rest) > 0 && rest[0] == ':' {
					return true
				}
			}
			i = end
		}
	}
	return false
}

func sortedRooms(m map[matrixrtc.RoomID]*joined) []matrixrtc.RoomID {
	return slices.Sorted(maps.Keys(m))
}
