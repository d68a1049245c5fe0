// Package eventfile reads Matrix events from files as people have them: JSON
// Lines, an array of events, the answer of /state, /messages or /sync, several
// of these after each other. It reads as a stream, keeps going after a part
// that it cannot read, and says which part that was.
//
// It does not compute anything: it turns a file into batches for
// matrixrtc.Room. It needs no network. One Read is used from one goroutine.
package eventfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

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
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxObject <= 0 {
		o.MaxObject = DefaultMaxObject
	}
	return func(yield func(matrixrtc.Batch, error) bool) {
		s := newSplitter(r, o.MaxObject)
		d := decoder{room: o.Room, borrow: o.Borrow, yield: yield}
		for {
			raw, line, guess, err := s.next()
			d.line = line
			more := true
			switch {
			case err != nil:
				more = d.trouble(err)
			case guess:
				var ok bool
				if ok, more = d.guess(raw); ok {
					s.accept()
				}
			default:
				more = d.object(raw)
			}
			if !more {
				return
			}
		}
	}
}

// decoder turns one object into batches. Its methods return false when the
// reader of the sequence wants no more.
type decoder struct {
	room   matrixrtc.RoomID
	line   int
	borrow bool
	one    [1]matrixrtc.Event // of the batch, with borrow
	yield  func(matrixrtc.Batch, error) bool
}

// section is a list of events as answers of the homeserver hold them.
type section struct {
	Events []json.RawMessage `json:"events"`
}

// answer is what tells the answers of the homeserver apart from an event.
type answer struct {
	Type  json.RawMessage `json:"type"`
	Rooms *struct {
		Join map[matrixrtc.RoomID]*joined `json:"join"`
	} `json:"rooms"`
	Chunk    []json.RawMessage `json:"chunk"` // /messages
	State    []json.RawMessage `json:"state"`
	Messages []json.RawMessage `json:"messages"` // what Element exports
	Events   []json.RawMessage `json:"events"`
}

// joined is a room of a /sync answer, with the names that MSC4222 and MSC4354
// have until they are in the specification.
type joined struct {
	State              section  `json:"state"`
	StateAfter         *section `json:"state_after"`
	StateAfterUnstable *section `json:"org.matrix.msc4222.state_after"`
	Timeline           section  `json:"timeline"`
	Sticky             section  `json:"sticky"`
	StickyUnstable     section  `json:"msc4354_sticky"`
}

// trouble yields what the splitter could not do, unless it is the end.
func (d *decoder) trouble(err error) (more bool) {
	if errors.Is(err, io.EOF) {
		return false
	}
	var p *Problem
	return d.yield(matrixrtc.Batch{}, err) && errors.As(err, &p)
}

// guess yields a line if it is an event without any problem; else ok is false,
// and nothing has happened.
func (d *decoder) guess(line []byte) (ok, more bool) {
	b, err := d.parse(d.own(line))
	if err != nil {
		return false, true
	}
	return true, d.single(b)
}

// own makes bytes of the splitter fit to be kept.
func (d *decoder) own(raw []byte) []byte {
	if d.borrow {
		return raw
	}
	return slices.Clone(raw)
}

// parse reads an event into a batch of its own.
func (d *decoder) parse(raw []byte) (b matrixrtc.Batch, err error) {
	b.Events = d.one[:]
	if !d.borrow {
		b.Events = make([]matrixrtc.Event, 1)
	}
	b.Events[0], err = matrixrtc.ParseEvent(raw, "")
	return b, err
}

func (d *decoder) object(raw []byte) bool {
	raw = d.own(raw)
	b, err := d.parse(raw)
	if err != nil && !hasTopLevel(raw, "type") {
		return d.answer(raw)
	}
	if err != nil {
		return d.invalid(b.Events[0].ID, err)
	}
	return d.single(b)
}

// single yields a batch of one event.
func (d *decoder) single(b matrixrtc.Batch) bool {
	if ok, more := d.complete(&b.Events[0]); !ok {
		return more
	}
	b.Room = b.Events[0].Room
	return d.yield(b, nil)
}

func (d *decoder) answer(raw []byte) bool {
	if !json.Valid(raw) {
		return d.problem("", "this is not JSON: "+syntax(raw))
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return d.problem("", "this is neither an event nor an answer of /state, /messages or /sync")
	}
	if a.Rooms != nil {
		for _, id := range sortedRooms(a.Rooms.Join) {
			if j := a.Rooms.Join[id]; j != nil && !d.joined(id, j) {
				return false
			}
		}
		return true
	}
	if a.Chunk == nil && a.State == nil && a.Messages == nil && a.Events == nil {
		if hasTopLevel(raw, "next_batch") {
			return true // a /sync answer without rooms
		}
		return d.problem("", "this is neither an event (it has no type) nor an answer of /state, /messages or /sync")
	}
	state, ok := d.events(a.State, "")
	if !ok {
		return false
	}
	timeline, ok := d.events(slices.Concat(a.Chunk, a.Messages, a.Events), "")
	if !ok {
		return false
	}
	// /messages usually goes backwards in time, and we fold forwards.
	if n := len(timeline); n > 1 && timeline[0].Origin.After(timeline[n-1].Origin) {
		slices.Reverse(timeline)
	}
	return d.each(slices.Concat(state, timeline))
}

func (d *decoder) each(events []matrixrtc.Event) bool {
	for _, e := range events {
		if !d.yield(matrixrtc.Batch{Room: e.Room, Events: []matrixrtc.Event{e}}, nil) {
			return false
		}
	}
	return true
}

func (d *decoder) joined(id matrixrtc.RoomID, j *joined) bool {
	b := matrixrtc.Batch{Room: id}
	var ok bool
	if b.State, ok = d.events(j.State.Events, id); !ok {
		return false
	}
	if b.Events, ok = d.events(j.Timeline.Events, id); !ok {
		return false
	}
	if b.Sticky, ok = d.events(slices.Concat(j.Sticky.Events, j.StickyUnstable.Events), id); !ok {
		return false
	}
	after := j.StateAfter
	if after == nil {
		after = j.StateAfterUnstable
	}
	if after != nil {
		// MSC4222: the state is the one after the timeline, and state events of
		// the timeline need not be true.
		if b.State, ok = d.events(after.Events, id); !ok {
			return false
		}
		b.Events = slices.DeleteFunc(b.Events, func(e matrixrtc.Event) bool { return e.IsState() })
	}
	return d.yield(b, nil)
}

// events parses the elements that can be parsed.
func (d *decoder) events(raws []json.RawMessage, room matrixrtc.RoomID) (out []matrixrtc.Event, more bool) {
	for _, raw := range raws {
		e, ok, more := d.event(raw, room)
		if !more {
			return nil, false
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, true
}

// event parses an event of the room, or of the one that it says itself if room
// is "".
func (d *decoder) event(raw []byte, room matrixrtc.RoomID) (e matrixrtc.Event, ok, more bool) {
	e, err := matrixrtc.ParseEvent(raw, room)
	if err != nil {
		return e, false, d.invalid(e.ID, err)
	}
	ok, more = d.complete(&e)
	return e, ok, more
}

// complete gives an event what it does not say itself.
func (d *decoder) complete(e *matrixrtc.Event) (ok, more bool) {
	if e.Room == "" {
		e.Room = d.room
	}
	if e.Room == "" {
		return false, d.problem(e.ID, "the event does not say its room: name it with --room")
	}
	e.StickyTTL = -1 // it counts from a receipt that nobody knows any more (MSC4354)
	return true, true
}

// invalid tells what is wrong with an event.
func (d *decoder) invalid(id matrixrtc.EventID, err error) (more bool) {
	var invalid *matrixrtc.InvalidError
	if !errors.As(err, &invalid) {
		return d.problem(id, err.Error())
	}
	for _, p := range invalid.Problems {
		if !d.problem(invalid.Event, p.String()) {
			return false
		}
	}
	return true
}

func (d *decoder) problem(id matrixrtc.EventID, text string) bool {
	return d.yield(matrixrtc.Batch{}, &Problem{Line: d.line, Event: id, Text: text})
}

func syntax(raw []byte) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err.Error()
	}
	return ""
}
