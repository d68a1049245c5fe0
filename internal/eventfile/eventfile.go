// Package eventfile reads Matrix events from files as people have them: JSON
// Lines, an array of events, the answer of /state, /messages or /sync, several
// of these after each other. It reads as a stream, keeps going after a part
// that it cannot read, and says which part that was.
//
// It does not compute anything: it turns a file into batches for
// matrixrtc.Room. It needs no network. One Read is used from one goroutine.
package eventfile

import (
	"fmt"
	"io"
	"iter"

	"github.com/matrixrtc-go/matrixrtc"
)

// DefaultMaxObject is the size of the largest object that is read: a whole
// /sync answer on one line, or an event.
const DefaultMaxObject = 256 << 20

// Options are the options of Read; the zero value gives the defaults.
type Options struct {
	// Room is the room of events that do not say theirs.
	Room matrixrtc.RoomID
	// MaxObject bounds one object, in bytes; 0: DefaultMaxObject.
	MaxObject int
	// Borrow says that the reader keeps nothing of a batch but strings: its
	// slices, and the bytes of its events, are valid until the next step of the
	// sequence. A Room keeps nothing else (matrixrtc.Room.Apply).
	Borrow bool
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.MaxObject <= 0 {
		out.MaxObject = DefaultMaxObject
	}
	return out
}

// Problem is a part of the input that could not be read and was left out. It
// is an error that does not end the reading.
type Problem struct {
	Line  int               // where the object starts, from 1
	Event matrixrtc.EventID // "" if it could not be read
	Text  string
}

func (p *Problem) Error() string {
	if p.Event != "" {
		return fmt.Sprintf("line %d, event %s: %s", p.Line, p.Event, p.Text)
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Text)
}

// Read returns the batches of r in order: one batch for every single event,
// and one for every room of a /sync answer. An error that is a *Problem says
// what was left out, and reading goes on; any other error is the last thing
// that comes. opts may be nil.
func Read(r io.Reader, opts *Options) iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		o := opts.withDefaults()
		newSplitter(r, o.MaxObject).feed(&decoder{room: o.Room, borrow: o.Borrow, yield: yield})
	}
}
