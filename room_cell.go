package matrixrtc

import (
	"iter"
	"time"
)

// cell is what one event says: a state event that stands, or a sticky event
// that has not ended. Every member of a room is at least one, so it is kept
// small: what only some cells have lies beside it (see newCell).
type cell struct {
	event  EventID
	sender UserID
	origin int64      // milliseconds since 1970
	first  *candidate // the memberships that it states, linked by next
	ref    *stateRef  // of a state cell, else nil
	*stuck            // of a sticky cell, else nil
	size   int32      // length of the content, to tell a redacted copy from the original
	secret bool       // came encrypted
	gone   bool       // redacted
}

type stateRef struct{ typ, key string }

func refOf(e *Event) stateRef { return stateRef{e.Type, *e.StateKey} }

// stuck is what a cell of a sticky event has besides.
type stuck struct {
	group  *stickyGroup // nil: taken out of it
	ends   time.Time
	weight time.Duration // how long it asked to stick
	wrong  *[]Problem    // nil: nothing
}

// candidate is a membership that may come to sit on a seat.
type candidate struct {
	m    *Membership
	cell *cell
	next *candidate // of the same cell
	seat *seat      // nil as long as another sticky event outweighs it
	peer *candidate // the next one of the same seat
}

// The cells of one event and one membership, in one piece of memory.
type (
	stateCell struct {
		cell
		ref stateRef
	}
	memberCell struct {
		stateCell
		one candidate
	}
	stickyCell struct {
		cell
		stuck stuck
		one   candidate
	}
)

// newStateCell makes the cell of a state event that states these memberships.
func newStateCell(e *Event, members []*Membership) *cell {
	var c *stateCell
	var one *candidate
	if len(members) > 0 {
		whole := &memberCell{}
		c, one = &whole.stateCell, &whole.one
	} else {
		c = &stateCell{}
	}
	c.ref = refOf(e)
	c.cell.ref = &c.ref
	c.read(e)
	c.state(members, one)
	return &c.cell
}

// newStickyCell makes the cell of a sticky event.
func newStickyCell(e *Event, ends time.Time, claim Claim) *cell {
	c := &stickyCell{stuck: stuck{ends: ends, weight: e.Sticky}}
	if bad := claim.Problems; len(bad) > 0 {
		c.stuck.wrong = &[]Problem{}
		*c.stuck.wrong = bad
	}
	c.cell.stuck = &c.stuck
	c.read(e)
	c.state(claim.Members, &c.one)
	return &c.cell
}

func (c *cell) read(e *Event) {
	c.event, c.sender, c.origin = e.ID, e.Sender, e.Origin.UnixMilli()
	c.size, c.secret, c.gone = int32(len(e.Content)), e.Encrypted, e.Redacted
}

// state makes the candidates of a cell; the first has its place already.
func (c *cell) state(members []*Membership, place *candidate) {
	for i := len(members) - 1; i >= 0; i-- {
		k := place
		if i > 0 {
			k = &candidate{}
		}
		*k = candidate{m: members[i], cell: c, next: c.first}
		c.first = k
	}
}

// problems are what is wrong with a sticky event.
func (s *stuck) problems() []Problem {
	if s.wrong == nil {
		return nil
	}
	return *s.wrong
}

// since is the cell's origin_server_ts.
func (c *cell) since() time.Time { return time.UnixMilli(c.origin).UTC() }

// same reports whether the cell came from this very event: a redacted event
// comes back with the same id and other content, and then stays redacted.
func (c *cell) same(e *Event) bool {
	return c.event == e.ID && (c.gone || int(c.size) == len(e.Content)) && e.ID != ""
}

// sticks reports whether this is a cell of a sticky event.
func (c *cell) sticks() bool { return c.stuck != nil }

// stateAt is the cell of a state key, nil if there is none.
func (r *Room) stateAt(ref stateRef) *cell {
	if ref.typ == TypeRoomMember {
		if p := r.people[UserID(ref.key)]; p != nil {
			return p.cell
		}
		return nil
	}
	return r.state[ref.typ][ref.key]
}

// setState puts a cell where its state key belongs.
func (r *Room) setState(c *cell) {
	if c.ref.typ == TypeRoomMember {
		r.person(UserID(c.ref.key)).cell = c
		return
	}
	keys := r.state[c.ref.typ]
	if keys == nil {
		keys = map[string]*cell{}
		r.state[c.ref.typ] = keys
	}
	keys[c.ref.key] = c
}

// dropState forgets a cell.
func (r *Room) dropState(c *cell) {
	if c.ref.typ == TypeRoomMember {
		r.people[UserID(c.ref.key)].cell = nil
		return
	}
	delete(r.state[c.ref.typ], c.ref.key)
}

// stateCells yields the state as it stands, in no order. Cells may be dropped
// meanwhile.
func (r *Room) stateCells() iter.Seq[*cell] {
	return func(yield func(*cell) bool) {
		for _, p := range r.people {
			if p.cell != nil && !yield(p.cell) {
				return
			}
		}
		for _, keys := range r.state {
			for _, c := range keys {
				if !yield(c) {
					return
				}
			}
		}
	}
}
