package matrixrtc

import (
	"iter"
	"slices"
	"sort"
	"time"
)

// ordered holds things in the order of their times, in chunks: whatever comes
// or goes moves the rest of one chunk, however many there are. The time stands
// beside each, so that nearly all comparisons look at nothing else. It can be
// shared as it stands, and costs little then.
//
// Its methods take the whole order, of which the time is the first part.
type ordered[T comparable] struct {
	chunks []*chunk[T] // none is empty
	n      int
	shared int // how often it was shared
}

type chunk[T comparable] struct {
	list   []timed[T]
	shared int // ordered.shared when it was made: less means that others read it
}

type timed[T any] struct {
	ms int64 // since 1970, rounded down
	x  T
}

// maxChunk is how many things a chunk holds before it is split.
const maxChunk = 64

// first is what comes first; ok is false if there is nothing.
func (o *ordered[T]) first() (x T, ok bool) {
	if o.n == 0 {
		return x, false
	}
	return o.chunks[0].list[0].x, true
}

func (o *ordered[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, c := range o.chunks {
			for i := range c.list {
				if !yield(c.list[i].x) {
					return
				}
			}
		}
	}
}

// share returns the things as they stand; nobody will change what it returns.
func (o *ordered[T]) share() ordered[T] {
	o.shared++
	return ordered[T]{chunks: slices.Clone(o.chunks), n: o.n}
}

// own makes sure that nobody else reads a chunk that is about to change.
func (o *ordered[T]) own(i int) *chunk[T] {
	c := o.chunks[i]
	if c.shared < o.shared {
		c = &chunk[T]{append(make([]timed[T], 0, maxChunk), c.list...), o.shared}
		o.chunks[i] = c
	}
	return c
}

// find is where a thing is, or belongs: in the first chunk whose last thing is
// not before it, else behind the last.
func (o *ordered[T]) find(k timed[T], compare func(a, b T) int) (at, in int) {
	before := func(a timed[T]) bool {
		return a.ms < k.ms || a.ms == k.ms && a.x != k.x && compare(a.x, k.x) < 0
	}
	last := len(o.chunks) - 1
	if last < 0 {
		return 0, 0
	}
	if list := o.chunks[last].list; before(list[len(list)-1]) {
		return last, len(list) // most that come are the latest
	}
	at = sort.Search(last, func(i int) bool {
		list := o.chunks[i].list
		return !before(list[len(list)-1])
	})
	list := o.chunks[at].list
	return at, sort.Search(len(list), func(i int) bool { return !before(list[i]) })
}

// insert puts a thing where it belongs.
func (o *ordered[T]) insert(x T, time time.Time, compare func(a, b T) int) {
	k := timed[T]{time.UnixMilli(), x}
	at, in := o.find(k, compare)
	o.n++
	switch {
	case len(o.chunks) == 0:
		o.chunks = append(o.chunks, &chunk[T]{[]timed[T]{k}, o.shared})
		return
	case len(o.chunks[at].list) < maxChunk:
	case at == len(o.chunks)-1 && in == maxChunk: // it grows at its end
		o.chunks = append(o.chunks, &chunk[T]{append(make([]timed[T], 0, maxChunk), k), o.shared})
		return
	default:
		o.split(at)
		if in > maxChunk/2 {
			at, in = at+1, in-maxChunk/2
		}
	}
	c := o.own(at)
	c.list = slices.Insert(c.list, in, k)
}

// split halves a full chunk.
func (o *ordered[T]) split(at int) {
	c := o.own(at)
	half := append(make([]timed[T], 0, maxChunk), c.list[maxChunk/2:]...)
	clear(c.list[maxChunk/2:])
	c.list = c.list[:maxChunk/2]
	o.chunks = slices.Insert(o.chunks, at+1, &chunk[T]{half, o.shared})
}

// remove takes a thing out; time is the one with which it was put in.
func (o *ordered[T]) remove(x T, time time.Time, compare func(a, b T) int) {
	at, in := o.find(timed[T]{time.UnixMilli(), x}, compare)
	if !o.holds(x, at, in) {
		return
	}
	o.n--
	if len(o.chunks[at].list) == 1 {
		o.chunks = slices.Delete(o.chunks, at, at+1)
		return
	}
	c := o.own(at)
	c.list = slices.Delete(c.list, in, in+1)
}

// replace puts a thing in the place of one that has the same place in the order.
func (o *ordered[T]) replace(old, x T, time time.Time, compare func(a, b T) int) {
	if at, in := o.find(timed[T]{time.UnixMilli(), old}, compare); o.holds(old, at, in) {
		o.own(at).list[in].x = x
	}
}

func (o *ordered[T]) holds(x T, at, in int) bool {
	return at < len(o.chunks) && in < len(o.chunks[at].list) && o.chunks[at].list[in].x == x
}
