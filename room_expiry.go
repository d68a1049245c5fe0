package matrixrtc

import (
	"container/heap"
	"time"
)

// expiryHeap knows which membership ends next by the clock. Each candidate
// knows its place, so that one that is gone leaves at once.
type expiryHeap struct{ list []*candidate }

func (h *expiryHeap) push(k *candidate) { heap.Push((*candidates)(h), k) }

func (h *expiryHeap) remove(k *candidate) {
	if k.heap >= 0 {
		heap.Remove((*candidates)(h), k.heap)
	}
}

// next is the earliest end.
func (h *expiryHeap) next() (time.Time, bool) {
	if len(h.list) == 0 {
		return time.Time{}, false
	}
	return h.list[0].m.Expires, true
}

// pop takes the earliest candidate if its time is over.
func (h *expiryHeap) pop(now time.Time) (*candidate, bool) {
	if len(h.list) == 0 || h.list[0].m.Expires.After(now) {
		return nil, false
	}
	return heap.Pop((*candidates)(h)).(*candidate), true
}

// candidates implements heap.Interface, out of the way of expiryHeap's own verbs.
type candidates expiryHeap

func (c *candidates) Len() int { return len(c.list) }

func (c *candidates) Less(i, j int) bool {
	a, b := c.list[i].m, c.list[j].m
	if !a.Expires.Equal(b.Expires) {
		return a.Expires.Before(b.Expires)
	}
	return compareMembers(a, b) < 0 // equal ends leave in total order
}

func (c *candidates) Swap(i, j int) {
	c.list[i], c.list[j] = c.list[j], c.list[i]
	c.list[i].heap, c.list[j].heap = i, j
}

func (c *candidates) Push(x any) {
	k := x.(*candidate)
	k.heap = len(c.list)
	c.list = append(c.list, k)
}

func (c *candidates) Pop() any {
	k := c.list[len(c.list)-1]
	c.list[len(c.list)-1] = nil
	c.list = c.list[:len(c.list)-1]
	k.heap = -1
	return k
}

// cellHeap knows which sticky event ends next. Cells that are gone before stay
// in it until their time: whoever pops one asks whether it still counts.
type cellHeap struct{ list []*cell }

func (h *cellHeap) push(c *cell) { heap.Push((*cells)(h), c) }

// pop takes the earliest cell if its time is over.
func (h *cellHeap) pop(now time.Time) (*cell, bool) {
	if len(h.list) == 0 || h.list[0].ends.After(now) {
		return nil, false
	}
	return heap.Pop((*cells)(h)).(*cell), true
}

type cells cellHeap

func (c *cells) Len() int           { return len(c.list) }
func (c *cells) Less(i, j int) bool { return c.list[i].ends.Before(c.list[j].ends) }
func (c *cells) Swap(i, j int)      { c.list[i], c.list[j] = c.list[j], c.list[i] }
func (c *cells) Push(x any)         { c.list = append(c.list, x.(*cell)) }

func (c *cells) Pop() any {
	x := c.list[len(c.list)-1]
	c.list[len(c.list)-1] = nil
	c.list = c.list[:len(c.list)-1]
	return x
}

// redactedSet remembers redactions, also those whose target has not come yet.
// It holds a bounded number; the oldest are forgotten first.
type redactedSet struct {
	ids  map[EventID]struct{}
	ring []EventID
	next int
}

// maxRedacted bounds what one room remembers of redactions.
const maxRedacted = 4096

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
