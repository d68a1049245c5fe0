package jsonscan

import (
	"bytes"
	"slices"
	"strings"
)

// Shapes reads objects that are like one that it has learned: the same but for
// some of their strings and numbers. Programs write what they write often in one
// shape, and to compare is quicker than to scan. A text of no known shape is left
// to Open.
//
// What Read accepts is valid JSON, and the values are those that a walk yields:
// keys, their order and all that stands between the values are compared to the
// byte, and each value that may differ is checked.
//
// A Shapes belongs to one goroutine.
type Shapes struct {
	paths []path
	fixed string // the key whose value is part of a shape
	list  []*shape
	wait  int // misses to let pass before the next look at one
	pause int // the length of that
	hits  int // since a shape was learned last
	base  [maxVariables + 1]int32
}

// Bounds of what is learned. A text that exceeds them has no shape.
const (
	maxShapes     = 16
	maxShapeSize  = 8 << 10
	maxShapeText  = 1 << 30 // of a text that is compared
	maxShapeDepth = 16
	maxVariables  = 48
	maxScalars    = 256
	maxPause      = 1 << 12
)

type path []string

// NewShapes makes a Shapes that reads the values at some paths, each the keys
// from the top joined by slashes. The value of the key named fixed, wherever it
// stands, is a part of the shape.
func NewShapes(fixed string, paths ...string) *Shapes {
	s := &Shapes{fixed: fixed}
	for _, p := range paths {
		s.paths = append(s.paths, strings.Split(p, "/"))
	}
	return s
}

// shape is a text that was learned. In between its variable values it is compared
// as it stands.
type shape struct {
	text    []byte
	scalars []scalar
	tag     int
	found   []capture

	steps []step // made of the above
}

// scalar is a string or a number of the text.
type scalar struct {
	from, to int
	variable bool
	fixed    bool
}

// capture is the place of a path's value in the text.
type capture struct {
	path     int
	from, to int

	first, last mark // the same for any text of the shape
}

// mark is a place in relation to where the literal of a step begins.
type mark struct{ step, offset int32 }

// step is a text that has to stand there and the value behind it.
type step struct {
	literal  []byte
	variable bool // else it is the last step
	text     bool // the value is a string
}

// Place is where in a text a value stands; the zero Place is nowhere.
type Place struct{ From, To int32 }

// In is the value in its text, nil if there is none.
func (p Place) In(text []byte) Value {
	if p.To == 0 {
		return nil
	}
	return text[p.From:p.To:p.To]
}

// Read fills in where the values at the paths stand, and returns what was given
// to Learn. It is false if the text is of no known shape.
func (s *Shapes) Read(text []byte, places []Place) (tag int, ok bool) {
	if len(text) > maxShapeText {
		return 0, false
	}
	base := &s.base
	for i, sh := range s.list {
		if !sh.match(text, base) {
			continue
		}
		if i > 0 { // what came last comes next
			copy(s.list[1:i+1], s.list[:i])
			s.list[0] = sh
		}
		clear(places)
		for j := range sh.found {
			c := &sh.found[j]
			places[c.path] = Place{base[c.first.step] + c.first.offset, base[c.last.step] + c.last.offset}
		}
		s.hits++
		return sh.tag, true
	}
	return 0, false
}

// match compares a text with the shape. base becomes where the literals begin.
func (sh *shape) match(text []byte, base *[maxVariables + 1]int32) bool {
	pos := 0
	for i := range sh.steps {
		st := &sh.steps[i]
		base[i] = int32(pos)
		end := pos + len(st.literal)
		if end > len(text) || string(text[pos:end]) != string(st.literal) {
			return false
		}
		if !st.variable {
			return end == len(text)
		}
		var err error
		switch {
		case end == len(text):
			return false
		case !st.text:
			if c := text[end]; c != '-' && (c < '0' || c > '9') {
				return false
			}
			pos, err = skipNumber(text, end)
		case text[end] != '"':
			return false
		default:
			pos, err = skipString(text, end)
		}
		if err != nil {
			return false
		}
	}
	return false
}

// Learn takes note of an object that is valid JSON and that Read did not know.
// tag is called for what Read is to return for texts of its shape; it is false if
// the text is not to be learned. To learn costs some microseconds; if what was
// learned is of no use, less and less is.
func (s *Shapes) Learn(text []byte, tag func() (int, bool)) {
	if s.wait > 0 {
		s.wait--
		return
	}
	if s.hits < 4*maxShapes {
		s.pause = min(2*s.pause+1, maxPause)
	} else {
		s.pause = 0
	}
	if len(s.list) >= maxShapes {
		s.wait = s.pause
	}
	if len(text) > maxShapeSize || bytes.IndexByte(text, '\\') >= 0 {
		return
	}
	for _, sh := range s.list {
		if sh.widen(text) {
			return
		}
	}
	sh := &shape{text: bytes.Clone(text)}
	if !s.walk(sh, sh.text, 0, nil) || !sh.compile() {
		return
	}
	t, ok := tag()
	if !ok {
		return
	}
	s.hits = 0
	sh.tag = t
	if len(s.list) == maxShapes {
		s.list = s.list[:maxShapes-1]
	}
	s.list = slices.Insert(s.list, 0, sh)
}
