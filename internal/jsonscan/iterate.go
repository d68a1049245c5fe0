package jsonscan

// Fields walks over the members of an object:
//
//	f := jsonscan.Open(text)
//	for f.Next() {
//		switch string(f.Key()) { … f.Value() … }
//	}
//	if f.Err() != nil { … }
//
// After Open every value is checked before it is yielded, so a text whose walk
// ends without an error is valid JSON. A value that was yielded need not be
// checked again: see Value.Fields. The slices are parts of the text.
type Fields struct {
	text  []byte
	pos   int
	key   []byte
	value Value
	err   error
	begun bool
	known bool // to be valid
}

// Open starts a walk over the members of the object that text holds, with white
// space around it allowed.
func Open(text []byte) Fields { return Fields{text: text} }

// Next moves to the next member; it is false at the end and at an error.
func (f *Fields) Next() bool {
	if f.err != nil {
		return false
	}
	if f.known {
		return f.nextKnown()
	}
	i := space(f.text, f.pos)
	switch {
	case i >= len(f.text):
		return f.stop(fail(i, "unexpected end"))
	case !f.begun && f.text[i] != '{':
		return f.stop(fail(i, "not an object"))
	case !f.begun:
		f.begun = true
		i = space(f.text, i+1)
		if i < len(f.text) && f.text[i] == '}' {
			return f.finish(i)
		}
	case f.text[i] == '}':
		return f.finish(i)
	case f.text[i] != ',':
		return f.stop(fail(i, "expected a comma or an end"))
	default:
		i = space(f.text, i+1)
	}
	start := i
	end, i, err := member(f.text, i)
	if err != nil {
		return f.stop(err)
	}
	f.setKey(f.text[start+1 : end-1])
	i = space(f.text, i)
	end, err = skip(f.text, i)
	if err != nil {
		return f.stop(err)
	}
	f.value, f.pos = f.text[i:end:end], end
	return true
}

func (f *Fields) setKey(b []byte) {
	f.key = b
	for _, c := range b { // most keys are short
		if c == '\\' {
			f.key = unescape(nil, b)
			return
		}
	}
}

func (f *Fields) finish(i int) bool {
	if end := space(f.text, i+1); end != len(f.text) {
		f.err = fail(end, "more text after the value")
		return false
	}
	return f.stop(errEnd)
}

// errEnd ends a walk without being an error.
var errEnd = &Error{Reason: "end"}

func (f *Fields) stop(err error) bool {
	f.err = err
	return false
}

// Err is what is wrong with the text, nil if the walk reached its end.
func (f *Fields) Err() error {
	if f.err == errEnd {
		return nil
	}
	return f.err
}

// Key is the member's key, decoded.
func (f *Fields) Key() []byte { return f.key }

// Value is the member's value.
func (f *Fields) Value() Value { return f.value }

// Elements walks over the elements of an array, as Fields does over an object.
type Elements struct {
	text  []byte
	pos   int
	value Value
	err   error
	begun bool
	known bool // to be valid
}

// OpenArray starts a walk over the elements of the array that text holds.
func OpenArray(text []byte) Elements { return Elements{text: text} }

// Next moves to the next element.
func (e *Elements) Next() bool {
	if e.err != nil {
		return false
	}
	if e.known {
		return e.nextKnown()
	}
	i := space(e.text, e.pos)
	switch {
	case i >= len(e.text):
		return e.stop(fail(i, "unexpected end"))
	case !e.begun && e.text[i] != '[':
		return e.stop(fail(i, "not an array"))
	case !e.begun:
		e.begun = true
		i = space(e.text, i+1)
		if i < len(e.text) && e.text[i] == ']' {
			return e.finish(i)
		}
	case e.text[i] == ']':
		return e.finish(i)
	case e.text[i] != ',':
		return e.stop(fail(i, "expected a comma or an end"))
	default:
		i = space(e.text, i+1)
	}
	end, err := skip(e.text, i)
	if err != nil {
		return e.stop(err)
	}
	i = space(e.text, i)
	e.value, e.pos = e.text[i:end:end], end
	return true
}

func (e *Elements) finish(i int) bool {
	if end := space(e.text, i+1); end != len(e.text) {
		e.err = fail(end, "more text after the value")
		return false
	}
	return e.stop(errEnd)
}

func (e *Elements) stop(err error) bool {
	e.err = err
	return false
}

// Err is what is wrong with the text, nil if the walk reached its end.
func (e *Elements) Err() error {
	if e.err == errEnd {
		return nil
	}
	return e.err
}

// Value is the element.
func (e *Elements) Value() Value { return e.value }
