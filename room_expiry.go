package matrixrtc

import (
	"cmp"
	"container/heap"
	"time"
)

// ending is what ends by the clock and knows its place in an endQueue.
type ending[T any] interface {
	comparable
	endsBefore(T) bool
	place() *int // index in the queue, -1 if it is not there
}

// endQueue knows what ends next. Each element knows its place, so that one
// that is gone leaves at once.
type endQueue[T ending[T]] struct{ list []T }

func (q *endQueue[T]) push(x T) { heap.Push((*endHeap[T])(q), x) }

func (q *endQueue[T]) remove(x T) {
	if i := *x.place(); i >= 0 {
		heap.Remove((*endHeap[T])(q), i)
	}
}

func (q *endQueue[T]) first() (x T, ok bool) {
	if len(q.list) == 0 {
		return x, false
	}
	return q.list[0], true
}

// endHeap implements heap.Interface, out of the way of endQueue's own verbs.
type endHeap[T ending[T]] endQueue[T]

func (h *endHeap[T]) Len() int           { return len(h.list) }
func (h *endHeap[T]) Less(i, j int) bool { return h.list[i].endsBefore(h.list[j]) }

func (h *endHeap[T]) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	*h.list[i].place(), *h.list[j].place() = i, j
}

func (h *endHeap[T]) Push(x any) {
	*x.(T).place() = len(h.list)
	h.list = append(h.list, x.(T))
}

func (h *endHeap[T]) Pop() any {
	var none T
	x := h.list[len(h.list)-1]
	h.list[len(h.list)-1] = none
	h.list = h.list[:len(h.list)-1]
	*x.place() = -1
	return x
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

func (k *candidate) place() *int { return &k.heap }

func (c *cell) endsBefore(o *cell) bool {
	if c := c.ends.Compare(o.ends); c != 0 {
		return c < 0
	}
	return cmp.Or(cmp.Compare(c.sender, o.sender), cmp.Compare(c.event, o.event)) < 0
}

func (c *cell) place() *int { return &c.heap }

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
