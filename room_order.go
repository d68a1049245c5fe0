package matrixrtc

import (
	"iter"
	"slices"
	"sort"
	"time"
)

// ordered holds things in the order of their times, in chunks: whatever comes
// or goes moves the rest of one chunk, however many there are. The time stands
// beside each, so that nearly all comparisons look at nothing else.
//
// Its methods take the whole order, of which the time is the first part.
type ordered[T comparable] struct {
	chunks [][]timed[T] // none is empty
	n      int
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
	return o.chunks[0][0].x, true
}

func (o *ordered[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, c := range o.chunks {
			for i := range c {
				if !yield(c[i].x) {
					return
				}
			}
		}
	}
}

// find is where a thing is, or belongs: in the first chunk whose last thing is
// not before it, else behind the last.
func (o *ordered[T]) find(k timed[T], compare func(a, b T) int) (chunk, at int) {
	before := func(a timed[T]) bool {
		return a.ms < k.ms || a.ms == k.ms && a.x != k.x && compare(a.x, k.x) < 0
	}
	last := len(o.chunks) - 1
	if last < 0 {
		return 0, 0
	}
	if c := o.chunks[last]; before(c[len(c)-1]) {
		return last, len(c) // most that come are the latest
	}
	chunk = sort.Search(last, func(i int) bool { return !before(o.chunks[i][len(o.chunks[i])-1]) })
	c := o.chunks[chunk]
	return chunk, sort.Search(len(c), func(i int) bool { return !before(c[i]) })
}

// insert puts a thing where it belongs.
func (o *ordered[T]) insert(x T, time time.Time, compare func(a, b T) int) {
	k := timed[T]{time.UnixMilli(), x}
	i, at := o.find(k, compare)
	o.n++
	switch {
	case len(o.chunks) == 0:
		o.chunks = append(o.chunks, []timed[T]{k})
		return
	case len(o.chunks[i]) < maxChunk:
	case i == len(o.chunks)-1 && at == maxChunk: // it grows at its end
		o.chunks = append(o.chunks, append(make([]timed[T], 0, maxChunk), k))
		return
	default:
		o.split(i)
		if at > maxChunk/2 {
			i, at = i+1, at-maxChunk/2
		}
	}
	o.chunks[i] = slices.Insert(o.chunks[i], at, k)
}

// split halves a full chunk.
func (o *ordered[T]) split(i int) {
	c := o.chunks[i]
	half := append(make([]timed[T], 0, maxChunk), c[maxChunk/2:]...)
	clear(c[maxChunk/2:])
	o.chunks[i] = c[:maxChunk/2]
	o.chunks = slices.Insert(o.chunks, i+1, half)
}

// remove takes a thing out; time is the one with which it was put in.
func (o *ordered[T]) remove(x T, time time.Time, compare func(a, b T) int) {
	i, at := o.find(timed[T]{time.UnixMilli(), x}, compare)
	if i >= len(o.chunks) || at >= len(o.chunks[i]) || o.chunks[i][at].x != x {
		return
	}
	o.n--
	o.chunks[i] = slices.Delete(o.chunks[i], at, at+1)
	if len(o.chunks[i]) == 0 {
		o.chunks = slices.Delete(o.chunks, i, i+1)
	}
}
