package eventfile

import (
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

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

func (d *decoder) at(line int) { d.line = line }

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

// readAnswer reads an answer of the homeserver, or says what it is not.
func readAnswer(raw []byte) (a answer, problem string) {
	if !json.Valid(raw) {
		return a, "this is not JSON: " + syntax(raw)
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, "this is neither an event nor an answer of /state, /messages or /sync"
	}
	if a.Rooms == nil && a.Chunk == nil && a.State == nil && a.Messages == nil && a.Events == nil &&
		!hasTopLevel(raw, "next_batch") { // else a /sync answer without rooms
		return a, "this is neither an event (it has no type) nor an answer of /state, /messages or /sync"
	}
	return a, ""
}

// eachRoom goes through the rooms of a /sync answer, as long as f returns true.
func (a *answer) eachRoom(f func(matrixrtc.RoomID, *joined) bool) bool {
	for _, id := range sortedRooms(a.Rooms.Join) {
		if j := a.Rooms.Join[id]; j != nil && !f(id, j) {
			return false
		}
	}
	return true
}

func (d *decoder) answer(raw []byte) bool {
	a, problem := readAnswer(raw)
	switch {
	case problem != "":
		return d.problem("", problem)
	case a.Rooms != nil:
		return a.eachRoom(d.joined)
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
