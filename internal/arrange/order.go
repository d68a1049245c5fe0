package arrange

import (
	"cmp"
	"container/heap"
	"iter"
)

// order yields the indexes of the records in order: of those whose predecessor
// in the chain has gone, the earliest one next. Where a clock jumped back, what
// follows in the chain comes right behind.
func (r *Room) order() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		q := &queue{back: r.back > 0}
		next := r.chains(q)
		left := len(r.marks)
		done := make([]bool, left)
		for i := int32(0); left > 0; {
			if len(q.list) == 0 {
				// Records that say of each other that they came before: a server that
				// lies. Any of them has to be the first.
				for done[i] {
					i++
				}
				q.list = append(q.list, place{r.marks[i].ts, i})
			}
			p := heap.Pop(q).(place)
			if done[p.at] {
				continue
			}
			done[p.at] = true
			left--
			if !yield(p.at) {
				return
			}
			for at := next.first[p.at]; at >= 0; at = next.sibling[at] {
				heap.Push(q, place{max(p.ts, r.marks[at].ts), at})
			}
		}
	}
}

// successors are the records that replaced each one, as lists.
type successors struct{ first, sibling []int32 }

// chains finds who replaced whom, and puts those that replaced nothing that is
// here into the queue.
func (r *Room) chains(q *queue) successors {
	s := successors{make([]int32, len(r.marks)), make([]int32, len(r.marks))}
	for i := range r.marks {
		s.first[i], s.sibling[i] = -1, -1
	}
	for i := range r.marks {
		m, at := &r.marks[i], int32(i)
		if m.replaces != 0 {
			before, ok := r.events[m.replaces]
			if ok && before != at && r.marks[before].key == m.key && (m.key != 0 || m.replaces == m.event) {
				s.sibling[at], s.first[before] = s.first[before], at
				continue
			}
		}
		q.list = append(q.list, place{m.ts, at})
	}
	heap.Init(q)
	return s
}

// place is a record and its time, which is not before that of what it replaced.
type place struct {
	ts int64
	at int32
}

type queue struct {
	list []place
	back bool // the records came with the newest first
}

func (q *queue) Len() int { return len(q.list) }
func (q *queue) Less(i, j int) bool {
	a, b := q.list[i], q.list[j]
	if a.ts == b.ts && q.back {
		return a.at > b.at
	}
	return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.at, b.at)) < 0
}
func (q *queue) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *queue) Push(x any)    { q.list = append(q.list, x.(place)) }
func (q *queue) Pop() any {
	last := len(q.list) - 1
	p := q.list[last]
	q.list = q.list[:last]
	return p
}
