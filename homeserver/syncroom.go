package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// maxHeld bounds the events that are held back while a room's state has yet to
// be read. Beyond it the oldest are dropped: state is read as a whole anyway.
const maxHeld = 1000

// syncRoom is what Sync remembers of a joined room.
type syncRoom struct {
	// stale: the state has to be read before anything else may be delivered.
	stale bool
	fresh bool              // nothing has been told of the room
	noted bool              // that reading has failed has been said
	held  []matrixrtc.Event // what a stale room brought; of a fresh one besides state
	stuck []matrixrtc.Event // and in its sticky section

	missed

	// read holds what /state gave for each key, until /sync has caught up: an
	// older event for such a key must not undo it.
	read map[stateKey]matrixrtc.EventID
}

type stateKey struct{ typ, key string }

func keyOf(e *matrixrtc.Event) stateKey { return stateKey{e.Type, *e.StateKey} }

type eventList struct {
	Events []json.RawMessage `json:"events"`
}

// roomBody is what we read of one room in an answer to /sync.
type roomBody struct {
	State    eventList `json:"state"`
	Timeline struct {
		Events  []json.RawMessage `json:"events"`
		Limited bool              `json:"limited"`
		// PrevBatch is where the events before these can be read.
		PrevBatch string `json:"prev_batch"`
	} `json:"timeline"`
	// MSC4222: the state after the timeline, in place of State.
	After         *eventList `json:"state_after"`
	AfterUnstable *eventList `json:"org.matrix.msc4222.state_after"`
	// MSC4354: sticky events that are not in the timeline.
	Sticky         eventList `json:"sticky"`
	StickyUnstable eventList `json:"msc4354_sticky"`

	err error
}

func readRoom(raw json.RawMessage) *roomBody {
	var b roomBody
	if len(raw) > 0 && json.Unmarshal(raw, &b) != nil {
		b = roomBody{err: fmt.Errorf("%w: what /sync says of the room is not what the specification asks for", ErrBadAnswer)}
	}
	return &b
}

// parseAll reads events; what cannot be read is left out and reported.
func parseAll(room matrixrtc.RoomID, raws []json.RawMessage, now time.Time) (events []matrixrtc.Event, bad []error) {
	for _, raw := range raws {
		e, err := parse(raw, room, now)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		events = append(events, e)
	}
	return events, bad
}

// joined delivers one joined room of an answer, or marks it stale.
func (s *syncer) joined(ctx context.Context, room matrixrtc.RoomID, raw json.RawMessage, first bool) error {
	body := readRoom(raw)
	r, fresh := s.known[room], false
	if r == nil {
		r, fresh = &syncRoom{fresh: true}, true
		s.known[room] = r
	}
	if body.err != nil { // whatever it was, the state will show it
		r.stall(s.since)
		r.miss("")
		return s.note(room, body.err)
	}
	now := time.Now()
	batch := matrixrtc.Batch{Room: room}
	var bad, more []error
	batch.State, bad = parseAll(room, body.State.Events, now)
	batch.Events, more = parseAll(room, body.Timeline.Events, now)
	bad = append(bad, more...)
	batch.Sticky, more = parseAll(room, append(body.Sticky.Events, body.StickyUnstable.Events...), now)
	bad = append(bad, more...)
	after := body.After
	if after == nil {
		after = body.AfterUnstable
	}
	if after != nil {
		// The truth comes last, whatever the timeline made of it.
		truth, more := parseAll(room, after.Events, now)
		bad = append(bad, more...)
		batch.State = nil
		if first { // it is the whole truth
			batch.Events = slices.DeleteFunc(batch.Events, func(e matrixrtc.Event) bool { return e.IsState() })
		}
		batch.Events = appendTruth(batch.Events, truth)
	}
	for _, err := range bad {
		if err := s.note(room, err); err != nil {
			return err
		}
	}
	var again map[string]bool
	switch {
	case first:
		*r = syncRoom{fresh: fresh}
		if !fresh { // sticky events that the receiver holds are no state
			again = s.c.members.of(room)
		}
		s.c.members.forget(room)
		complete(&batch)
		if body.Timeline.Limited && !fresh && !s.stood.IsZero() {
			r.after = s.stood
			r.miss(body.Timeline.PrevBatch)
		}
	case fresh || s.c.rejoined(&batch):
		r.stall("") // what happened without us is not ours to see
	case body.Timeline.Limited:
		r.stall(s.since)
		r.miss(body.Timeline.PrevBatch)
	}
	if r.stale {
		r.hold(&batch)
		return nil
	}
	r.catchUp(&batch)
	if err := s.introduce(ctx, &batch, again); err != nil {
		if errors.Is(err, ErrUnauthorized) || ctx.Err() != nil {
			return err
		}
		r.stall(s.since)
		r.hold(&batch)
		return nil
	}
	r.fresh = false
	if n := len(body.Timeline.Events); n > 0 && len(batch.Events) > 0 {
		r.last = batch.Events[len(batch.Events)-1].ID
	}
	if len(batch.State)+len(batch.Events)+len(batch.Sticky) == 0 && !batch.Complete {
		return nil // a change of what does not matter here
	}
	return s.emit(batch, nil)
}

// appendTruth appends the state after a timeline to it, but for the events that
// are the timeline's last word on their key: nobody is told those twice.
func appendTruth(timeline, truth []matrixrtc.Event) []matrixrtc.Event {
	last := map[stateKey]matrixrtc.EventID{}
	for i := range timeline {
		if e := &timeline[i]; e.IsState() {
			last[keyOf(e)] = e.ID
		}
	}
	for _, e := range truth {
		if !e.IsState() || last[keyOf(&e)] != e.ID {
			timeline = append(timeline, e)
		}
	}
	return timeline
}

// rejoined reports whether we left the room and joined it again.
func (c *Client) rejoined(b *matrixrtc.Batch) bool {
	self, _ := c.Self()
	return slices.ContainsFunc(b.Events, func(e matrixrtc.Event) bool {
		return e.Type == matrixrtc.TypeRoomMember && e.IsState() && *e.StateKey == string(self) &&
			membershipOf(e.Content) == "join" && membershipOf(e.PrevContent) != "join"
	})
}

func membershipOf(content json.RawMessage) string {
	var c struct {
		Membership string `json:"membership"`
	}
	_ = json.Unmarshal(content, &c) // garbage is no membership
	return c.Membership
}

// complete makes one of the first batches: the timeline's state is folded into
// the state, so that nobody sees memberships come and go that are long past.
func complete(b *matrixrtc.Batch) {
	b.Complete = true
	at := map[stateKey]int{}
	var state, rest []matrixrtc.Event
	for _, e := range append(slices.Clip(b.State), b.Events...) {
		if !e.IsState() {
			rest = append(rest, e)
			continue
		}
		if i, ok := at[keyOf(&e)]; ok {
			state[i] = e
			continue
		}
		at[keyOf(&e)] = len(state)
		state = append(state, e)
	}
	b.State, b.Events = state, rest
}

// introduce puts the m.room.member events of senders of whom the receiver has
// not been told, and of users who have to be told of again, before everything
// else.
func (s *syncer) introduce(ctx context.Context, b *matrixrtc.Batch, again map[string]bool) error {
	cache, told, unknown := &s.c.members, map[string]bool{}, map[string]bool{}
	look := func(events []matrixrtc.Event) {
		for i := range events {
			e := &events[i]
			switch {
			case e.Type == matrixrtc.TypeRoomMember && e.IsState():
				told[*e.StateKey] = true
			case isMembership(e.Type):
				if user := string(e.Sender); !told[user] && !cache.has(b.Room, user) {
					unknown[user] = true
				}
			}
		}
	}
	people := func(e matrixrtc.Event) bool { return e.Type == matrixrtc.TypeRoomMember }
	slices.SortStableFunc(b.State, func(x, y matrixrtc.Event) int {
		switch {
		case people(x) == people(y):
			return 0
		case people(x):
			return -1
		}
		return 1
	})
	self, _ := s.c.Self()
	look(b.State)
	look(b.Events)
	look(b.Sticky)
	if b.Complete && !told[string(self)] { // whoever gets a room complete wants to know of itself
		unknown[string(self)] = true
	}
	for user := range again {
		if !told[user] {
			unknown[user] = true
		}
	}
	if len(unknown) > 0 {
		members, err := s.c.fetchMembers(ctx, b.Room, unknown)
		if err != nil {
			return err
		}
		b.State = append(members, b.State...)
	}
	for user := range unknown {
		told[user] = true
	}
	cache.add(b.Room, slices.Collect(maps.Keys(told))...)
	return nil
}
