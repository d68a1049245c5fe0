package past

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// What is kept of one session to draw it: more rows or bars than these say no
// more to anybody.
const (
	maxRows        = 60  // participants
	maxBars        = 60  // stays of one participant
	maxSessionBars = 300 // stays of all
)

// drawn is a session that will be drawn, cut to what can be.
type drawn struct {
	matrixrtc.PastSession // with at most maxRows participants
	order                 int
	users                 []matrixrtc.UserID // the first few
	allUsers, allRows     int
	bars                  int // stays of the participants that are here
}

// before is the order of a picture: by start, then end, then as they came.
func (d *drawn) before(e *drawn) int {
	return cmp.Or(d.Start.Compare(e.Start), d.End.Compare(e.End), cmp.Compare(d.order, e.order))
}

// newest keeps the newest sessions of all that it is shown.
type newest struct {
	most, seen int
	heap       drawnHeap
}

// add takes a session. It copies what may be cut and keeps the rest.
func (n *newest) add(s *matrixrtc.PastSession, me matrixrtc.UserID) {
	d := &drawn{PastSession: *s, order: n.seen, allRows: len(s.Participants)}
	n.seen++
	if len(n.heap) >= n.most && d.before(n.heap[0]) <= 0 {
		return
	}
	all := users(s, me)
	d.allUsers, d.users = len(all), slices.Clone(all[:min(len(all), maxNamed)])
	d.Participants = slices.Clone(s.Participants[:min(len(s.Participants), maxRows)])
	for i := range d.Participants {
		p := &d.Participants[i]
		if len(p.Stays) > maxBars {
			p.Stays = merged(p.Stays)
		}
		if d.bars += len(p.Stays); d.bars > maxSessionBars {
			d.bars -= len(p.Stays)
			d.Participants = d.Participants[:i]
			break
		}
	}
	heap.Push(&n.heap, d)
	if len(n.heap) > n.most {
		heap.Pop(&n.heap)
	}
}

// merged makes few stays of very many: the first ones as they are, and the rest
// as one, for somebody who comes and goes all the time.
func merged(stays []matrixrtc.Stay) []matrixrtc.Stay {
	out := slices.Clone(stays[:maxBars])
	last, end := &out[maxBars-1], stays[len(stays)-1]
	last.End, last.Cause, last.EndUncertain = end.End, end.Cause, true
	return out
}

// sorted gives the sessions by their start and forgets them.
func (n *newest) sorted() []*drawn {
	list := slices.Clone([]*drawn(n.heap))
	slices.SortFunc(list, (*drawn).before)
	return list
}

type drawnHeap []*drawn

func (h drawnHeap) Len() int           { return len(h) }
func (h drawnHeap) Less(i, j int) bool { return h[i].before(h[j]) < 0 }
func (h drawnHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *drawnHeap) Push(x any)        { *h = append(*h, x.(*drawn)) }
func (h *drawnHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// solid says which part of a stay's bar is drawn as certain, in parts of its
// length. How far an end is off nobody knows, so these are marks and no
// measures: what began before the history is open at its begin, and of what
// nobody ended only the begin is certain.
func solid(st *matrixrtc.Stay) (from, to float64) {
	from, to = 0, 1
	if st.StartUncertain {
		from = 0.15
	}
	if st.EndUncertain {
		to = max(from+0.05, 0.15)
	}
	return from, to
}

// scale maps times to parts of a picture's width.
type scale struct {
	from, to time.Time
}

// scaleOf spans a session; a moment is given a minute, so that it has a width.
func scaleOf(s *matrixrtc.PastSession, at time.Time) scale {
	end := until(s, at)
	if end.Sub(s.Start) > longest {
		end = s.Start.Add(longest)
	}
	for i := range s.Participants { // a clock that jumped may be outside
		for k := range s.Participants[i].Stays {
			st := &s.Participants[i].Stays[k]
			if e := stayUntil(st, end); e.After(end) && e.Sub(s.Start) <= longest {
				end = e
			}
		}
	}
	if end.Sub(s.Start) < time.Second {
		end = s.Start.Add(time.Minute)
	}
	return scale{s.Start, end}
}

// at is where a time is, from 0 to 1.
func (s scale) at(t time.Time) float64 {
	return min(1, max(0, float64(t.Sub(s.from))/float64(s.to.Sub(s.from))))
}
