package eventfile

import "bytes"

// unwrapAt is the size from which on an object is not waited for as a whole if
// it is an answer with a list of events: these are then taken one by one.
const unwrapAt = 1 << 20

// wrapper is an answer whose lists of events are read as if it were not there.
type wrapper struct {
	from   int // the size from which on objects are looked at; 0: never
	at     int // that at which the one that is being read is
	inside bool
	array  int  // splitter.array around it
	str    bool // in a string of it
	esc    bool
	drop   bool // the object that is being read is not in a list
}

// lists are the keys of answers that hold events.
func isList(key []byte) bool {
	switch string(key) {
	case "chunk", "state", "messages", "events":
		return true
	}
	return false
}

// unwrap takes a large object apart that has not ended: what it holds of lists
// of events is read anew as if they stood alone. If it is nothing of that kind
// it is looked at again when it is larger.
func (s *splitter) unwrap() {
	w := &s.wrap
	w.at = 2 * len(s.val)
	lists := listsIn(s.val)
	if lists == nil {
		return
	}
	s.buf = append(lists, s.buf[s.pos:s.end]...)
	s.pos, s.end = 0, len(s.buf)
	s.line, s.fresh, s.tried = s.start, false, false
	s.open, s.val = false, nil
	w.inside, w.array, w.str, w.esc = true, s.array, false, false
}

// listsIn returns the lists of events of an object, the last of which has not
// ended; nil if there is none. Line ends stay where they are.
func listsIn(object []byte) []byte {
	var out []byte
	drop := func(from, to int) {
		out = append(out, bytes.Repeat([]byte("\n"), bytes.Count(object[from:to], []byte("\n")))...)
	}
	for i := 1; ; {
		from := i
		for i < len(object) && (isSpace(object[i]) || object[i] == ',') {
			i++
		}
		end := stringAt(object, i)
		if end < 0 {
			return nil
		}
		key := object[i+1 : end-1]
		for i = end; i < len(object) && (isSpace(object[i]) || object[i] == ':'); {
			i++
		}
		if string(key) == "type" || i == len(object) {
			return nil
		}
		end = valueAt(object, i)
		switch list := isList(key) && object[i] == '['; {
		case end < 0 && list:
			drop(from, i)
			return append(out, object[i:]...)
		case end < 0:
			return nil
		case list:
			drop(from, i)
			out = append(out, object[i:end]...)
		default:
			drop(from, end)
		}
		i = end
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// stringAt is the end of a string, -1 if there is none.
func stringAt(d []byte, i int) int {
	if i >= len(d) || d[i] != '"' {
		return -1
	}
	for i++; i < len(d); i++ {
		switch d[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueAt is the end of a value, -1 if it is cut off. It looks at brackets and
// strings only.
func valueAt(d []byte, i int) int {
	depth := 0
	for i < len(d) {
		switch d[i] {
		case '"':
			if i = stringAt(d, i); i < 0 {
				return -1
			}
			i--
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i // of a number or a word
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
		if depth == 0 && (d[i-1] == '"' || d[i-1] == '}' || d[i-1] == ']') {
			return i
		}
	}
	return -1
}

// around takes a byte of an answer that lies between its lists, and reports
// whether it was one.
func (w *wrapper) around(b byte, array int) bool {
	switch {
	case w.str:
		w.str = w.esc || b != '"'
		w.esc = !w.esc && b == '\\'
	case array > w.array:
		return false
	case b == '"':
		w.str = true
	case b == '}':
		w.inside = false
	case b == '{' || b == '[' || b == ']':
		w.drop = b == '{'
		return false
	}
	return true
}
