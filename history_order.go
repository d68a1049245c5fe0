package matrixrtc

import (
	"slices"
	"time"
)

// OrderCheck watches whether records reach a History in the order that it
// needs, at hardly any cost: a file of events may hold pages that go backwards
// in time, or one export after another. Rooms that it names have to be put in
// order and folded again. The zero value is not usable: see NewOrderCheck.
//
// A record is out of order if it is older than one that came before and has to
// do with it: one of its state key, unless it says that it replaced that one, or
// one that decides whether a membership counts; or if it comes later than
// HistoryOptions.Late allows. An event that comes twice is out of
// order unless nothing came in between that could matter, and so is one that
// does not say its room.
type OrderCheck struct {
	late  int64
	rooms map[*pastRoom]*orderRoom
	room  *pastRoom // of the last record
	state *orderRoom

	broken bool
}

// orderReach is how many records of a room a check looks back to. What is older
// is out of order if it comes after as many.
const orderReach = 8

type orderRoom struct {
	newest, mark int64
	broken       bool
	next         uint8
	ring         [orderReach]orderMark
}

// orderMark is a record that came. Hashes stand for names: where two names had
// the same one, the room may be named for nothing.
type orderMark struct {
	ts                   int64
	key, event, replaces uint64
	who                  uint64 // the sender, or whose presence it is
	presence, all        bool   // it rules over memberships: of who, or of everybody
}

// NewOrderCheck makes a check for a history with these options, nil for the
// defaults.
func NewOrderCheck(opts *HistoryOptions) *OrderCheck {
	c := &OrderCheck{late: 10_000, rooms: map[*pastRoom]*orderRoom{}}
	if opts != nil && opts.Late != 0 {
		c.late = max(0, int64(opts.Late/time.Millisecond))
	}
	return c
}

// Look looks at the record that h was given last, with Add or one of its kin.
// Call it after each that was not an error. It reports whether the room is in
// order so far.
func (c *OrderCheck) Look(h *History) bool {
	f := &h.fact
	if f.kind == RecordNone || h.recent == nil {
		return true
	}
	if h.recent != c.room {
		r := c.rooms[h.recent]
		if r == nil {
			r = &orderRoom{newest: -never, mark: -never}
			for i := range r.ring {
				r.ring[i].ts = -never
			}
			c.rooms[h.recent] = r
		}
		c.room, c.state = h.recent, r
	}
	if r := c.state; !r.broken {
		r.look(f, c.late)
		r.broken = r.broken || len(f.room) == 0
		c.broken = c.broken || r.broken
	}
	return !c.state.broken
}

// Broken reports whether any room is out of order.
func (c *OrderCheck) Broken() bool { return c.broken }

func (r *orderRoom) look(f *fact, late int64) {
	m := orderMark{ts: f.ts, key: nameHash(f.key), event: nameHash(f.event), replaces: nameHash(f.replaces), who: nameHash(f.sender)}
	switch f.kind {
	case RecordMember:
		m.key += uint64(len(f.typ)) // the dialects' types differ in length
	case RecordSticky:
		m.key ^= m.who << 1
	case RecordPresence:
		m.who, m.presence = m.key, true
		m.key = ^m.key
	case RecordNotification, RecordDecline:
		m.key = uint64(RecordNotification) // a decline follows what it declines
	default:
		m.all = true
	}
	if f.ts <= r.newest {
		r.broken = f.ts+late < r.mark || r.behind(&m)
	}
	// One event with a clock of its own is no measure: two must agree.
	r.mark = max(r.mark, min(r.newest, f.ts))
	r.newest = max(r.newest, f.ts)
	r.ring[r.next] = m
	r.next = (r.next + 1) % orderReach
}

// behind reports whether a record belongs before one of those that came, or is
// one of them.
func (r *orderRoom) behind(m *orderMark) bool {
	newer, last := 0, true // of its key
	for i := range uint8(orderReach) {
		o := &r.ring[(r.next-1-i)%orderReach]
		if o.ts > m.ts {
			newer++
			if o.all || m.all || o.who == m.who && o.presence != m.presence {
				return true
			}
		}
		if o.ts < m.ts || o.key != m.key {
			continue
		}
		switch {
		case o.event == m.event && m.event != 0:
			if !last {
				return true
			}
		case o.ts > m.ts && (m.replaces == 0 || m.replaces != o.event), m.event != 0 && o.replaces == m.event:
			return true
		}
		last = false
	}
	return newer == orderReach
}

// Misplaced lists the rooms that were out of order, sorted.
func (c *OrderCheck) Misplaced() []RoomID {
	var list []RoomID
	for r, state := range c.rooms {
		if state.broken {
			list = append(list, r.id)
		}
	}
	slices.Sort(list)
	return list
}

// nameHash is 0 for "" only.
func nameHash(b []byte) uint64 {
	const prime = 0x9E3779B97F4A7C15
	if len(b) == 0 {
		return 0
	}
	h := uint64(len(b)) * prime
	for len(b) >= 8 {
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = (h ^ w) * prime
		h ^= h >> 29
		b = b[8:]
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * prime
	}
	return h | 1
}
