package matrixrtc

import (
	"cmp"
	"time"
)

// ending is what ends by the clock and knows its place in an endQueue.
type ending[T any] interface {
	comparable
	endTime() time.Time
	endsBefore(T) bool
	place() *int // index in the queue, -1 if it is not there
}

// endQueue knows what ends next: a heap in which each element knows its place,
// so that one that is gone leaves at once. The time stands in the heap itself,
// so that most comparisons look at nothing else.
type endQueue[T ending[T]] struct{ list []due[T] }

type due[T any] struct {
	ms int64 // since 1970, rounded down
	x  T
}

func (q *endQueue[T]) before(a, b due[T]) bool {
	if a.ms != b.ms {
		return a.ms < b.ms
	}
	return a.x.endsBefore(b.x)
}

func (q *endQueue[T]) push(x T) {
	q.list = append(q.list, due[T]{})
	q.up(len(q.list)-1, due[T]{x.endTime().UnixMilli(), x})
}

func (q *endQueue[T]) remove(x T) {
	i := *x.place()
	if i < 0 {
		return
	}
	*x.place() = -1
	last := len(q.list) - 1
	moved := q.list[last]
	q.list[last] = due[T]{}
	q.list = q.list[:last]
	switch {
	case i == last:
	case i > 0 && q.before(moved, q.list[(i-1)/2]):
		q.up(i, moved)
	default:
		q.down(i, moved)
	}
}

func (q *endQueue[T]) first() (x T, ok bool) {
	if len(q.list) == 0 {
		return x, false
	}
	return q.list[0].x, true
}

// up puts d at i or above.
func (q *endQueue[T]) up(i int, d due[T]) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.before(d, q.list[parent]) {
			break
		}
		q.set(i, q.list[parent])
		i = parent
	}
	q.set(i, d)
}

// down puts d at i or below.
func (q *endQueue[T]) down(i int, d due[T]) {
	for {
		child := 2*i + 1
		if child >= len(q.list) {
			break
		}
		if right := child + 1; right < len(q.list) && q.before(q.list[right], q.list[child]) {
			child = right
		}
		if !q.before(q.list[child], d) {
			break
		}
		q.set(i, q.list[child])
		i = child
	}
	q.set(i, d)
}

func (q *endQueue[T]) set(i int, d due[T]) {
	q.list[i] = d
	*d.x.place() = i
}

// Equal ends leave in an order that data decides.

func (k *candidate) endsBefore(o *candidate) bool {
	if c := k.m.Expires.Compare(o.m.Expires); c != 0 {
		return c < 0
	}
	return cmp.Or(
		compareMembers(k.m, o.m),
		cmp.Compare(k.m.Slot, o.m.Slot), cmp.Compare(k.m.Event, o.m.Event),
	) < 0
}

func (k *candidate) endTime() time.Time { return k.m.Expires }
func (k *candidate) place() *int        { return &k.heap }

func (c *cell) endsBefore(o *cell) bool {
	if c := c.ends.Compare(o.ends); c != 0 {
		return c < 0
	}
	return cmp.Or(cmp.Compare(c.sender, o.sender), cmp.Compare(c.event, o.event)) < 0
}

func (c *cell) endTime() time.Time { return c.ends }
func (c *cell) place() *int        { return &c.heap }

// unreadable remembers encrypted sticky events until they end.
type unreadable struct {
	ends map[EventID]time.Time
	next time.Time // no later than the first end
}

func (u *unreadable) add(id EventID, ends time.Time) {
	if len(u.ends) >= maxUnreadable {
		return
	}
	if u.ends == nil {
		u.ends = map[EventID]time.Time{}
	}
	if len(u.ends) == 0 || ends.Before(u.next) {
		u.next = ends
	}
	u.ends[id] = ends
}

func (u *unreadable) has(id EventID) bool {
	_, ok := u.ends[id]
	return ok
}

func (u *unreadable) forget(now time.Time) {
	if len(u.ends) == 0 || u.next.After(now) {
		return
	}
	u.next = now.Add(maxSticky)
	for id, ends := range u.ends {
		switch {
		case !ends.After(now):
			delete(u.ends, id)
		case ends.Before(u.next):
			u.next = ends
		}
	}
}

// ghostRing remembers the seats on which nobody sits any more, for when their
// last stay ended. The oldest is forgotten first.
type ghostRing struct {
	seats []*seat
	next  int
}

// add returns the seat that is forgotten for it, nil if there is room.
func (g *ghostRing) add(s *seat) (forgotten *seat) {
	if s.ghost {
		return nil
	}
	s.ghost = true
	if len(g.seats) < maxGhosts {
		g.seats = append(g.seats, s)
		return nil
	}
	forgotten = g.seats[g.next]
	forgotten.ghost = false
	g.seats[g.next] = s
	g.next = (g.next + 1) % maxGhosts
	return forgotten
}

// redactedSet remembers redactions, also those whose target has not come yet.
// It holds a bounded number; the oldest are forgotten first.
type redactedSet struct {
	ids  map[EventID]struct{}
	ring []EventID
	next int
}

// What one room remembers at most, besides what counts or sticks.
const (
	maxRedacted   = 4096 // redactions
	maxUnreadable = 1000 // encrypted sticky events
	maxGhosts     = 1024 // empty seats
)

func (s *redactedSet) has(id EventID) bool {
	_, ok := s.ids[id]
	return ok
}

// add reports whether the id is new.
func (s *redactedSet) add(id EventID) bool {
	if s.has(id) {
		return false
	}
	if s.ids == nil {
		s.ids = map[EventID]struct{}{}
	}
	s.ids[id] = struct{}{}
	if len(s.ring) < maxRedacted {
		s.ring = append(s.ring, id)
		return true
	}
	delete(s.ids, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % maxRedacted
	return true
}
