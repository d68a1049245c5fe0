package eventfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// RawEvent is an event as it stands in the input, for a reader that parses it
// in its own way.
type RawEvent struct {
	// JSON is what stands there. It is valid until the next step of the sequence.
	JSON []byte
	// Room is the room for matrixrtc.ParseEvent and its kin: "" if the event says
	// it itself, as far as anybody knows.
	Room matrixrtc.RoomID
	// Line is where the object starts that the event is in, from 1.
	Line int

	refused *error
}

// Refuse says that this is no event, and why: an error of matrixrtc.ParseEvent.
// The next steps of the sequence bring what is in it, or a *Problem.
func (e *RawEvent) Refuse(err error) { *e.refused = err }

// Raw returns the events of r in the order of the input, but for lists of less
// than 1 MiB that go backwards in time as a whole, such as an answer of
// /messages: these are turned around. An export is read as a stream, however
// large it is. Nothing is parsed that is a line of its own: the reader finds out
// whether it is an event, and calls Refuse if not. Errors are as in Read. opts
// may be nil; Borrow is not asked.
//
// In the answer of /sync the state comes first, then the timeline, then what is
// sticky, then the state after the timeline (MSC4222).
func Raw(r io.Reader, opts *Options) iter.Seq2[RawEvent, error] {
	return raw(r, opts, unwrapAt)
}

// raw is Raw; from is the size of answers that are not waited for.
func raw(r io.Reader, opts *Options, from int) iter.Seq2[RawEvent, error] {
	return func(yield func(RawEvent, error) bool) {
		o := opts.withDefaults()
		s := newSplitter(r, o.MaxObject)
		s.wrap.from = from
		s.feed(&rawDecoder{room: o.Room, yield: yield})
	}
}

// rawDecoder is decoder for events that are not parsed.
type rawDecoder struct {
	room    matrixrtc.RoomID
	line    int
	refused error
	yield   func(RawEvent, error) bool
}

func (d *rawDecoder) at(line int) { d.line = line }

func (d *rawDecoder) guess(line []byte) (ok, more bool) {
	more = d.offer(line, d.roomOf(line))
	return more && d.refused == nil, more
}

// offer shows the reader what may be an event; refused then says whether it was
// none.
func (d *rawDecoder) offer(raw []byte, room matrixrtc.RoomID) (more bool) {
	d.refused = nil
	return d.yield(RawEvent{JSON: raw, Room: room, Line: d.line, refused: &d.refused}, nil)
}

// roomOf is the room that an event is given: only one that does not say its own.
func (d *rawDecoder) roomOf(raw []byte) matrixrtc.RoomID {
	if d.room == "" || hasTopLevel(raw, "room_id") {
		return ""
	}
	return d.room
}

func (d *rawDecoder) trouble(err error) (more bool) {
	if errors.Is(err, io.EOF) {
		return false
	}
	var p *Problem
	return d.yield(RawEvent{}, err) && errors.As(err, &p)
}

func (d *rawDecoder) problem(id matrixrtc.EventID, text string) (more bool) {
	return d.yield(RawEvent{}, &Problem{Line: d.line, Event: id, Text: text})
}

// object takes an object that is not known to be an event.
func (d *rawDecoder) object(raw []byte) (more bool) {
	if !hasTopLevel(raw, "type") {
		return d.answer(raw)
	}
	return d.event(raw, d.roomOf(raw))
}

// event takes what must be an event.
func (d *rawDecoder) event(raw []byte, room matrixrtc.RoomID) (more bool) {
	if !d.offer(raw, room) {
		return false
	}
	if d.refused == nil {
		return true
	}
	var invalid *matrixrtc.InvalidError
	if !errors.As(d.refused, &invalid) {
		return d.problem("", d.refused.Error())
	}
	for _, p := range invalid.Problems {
		if !d.problem(invalid.Event, p.String()) {
			return false
		}
	}
	return true
}

// answer takes an answer of the homeserver apart.
func (d *rawDecoder) answer(raw []byte) (more bool) {
	a, problem := readAnswer(raw)
	switch {
	case problem != "":
		return d.problem("", problem)
	case a.Rooms != nil:
		return a.eachRoom(d.joined)
	}
	timeline := slices.Concat(a.Chunk, a.Messages, a.Events)
	if n := len(timeline); n > 1 && originOf(timeline[0]) > originOf(timeline[n-1]) {
		slices.Reverse(timeline)
	}
	return d.events(a.State, "") && d.events(timeline, "")
}

func (d *rawDecoder) joined(id matrixrtc.RoomID, j *joined) (more bool) {
	if !d.events(j.State.Events, id) || !d.events(j.Timeline.Events, id) ||
		!d.events(j.Sticky.Events, id) || !d.events(j.StickyUnstable.Events, id) {
		return false
	}
	for _, after := range []*section{j.StateAfter, j.StateAfterUnstable} {
		if after != nil {
			return d.events(after.Events, id)
		}
	}
	return true
}

// events takes the events of a room, or of those that they say themselves if
// room is "".
func (d *rawDecoder) events(raws []json.RawMessage, room matrixrtc.RoomID) (more bool) {
	for _, raw := range raws {
		in := room
		if in == "" {
			in = d.roomOf(raw)
		}
		if !d.event(raw, in) {
			return false
		}
	}
	return true
}

// originOf is the origin_server_ts of an event, 0 if it has none.
func originOf(raw []byte) (ms int64) {
	fields := jsonscan.Open(bytes.TrimSpace(raw))
	for fields.Next() {
		if string(fields.Key()) == "origin_server_ts" {
			ms, _ = fields.Value().Int()
		}
	}
	return ms
}
