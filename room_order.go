package matrixrtc

import (
	"iter"
	"slices"
	"sort"
)

// seatList holds the seats of a session in the total order of their members, in
// chunks: whoever comes or goes moves the rest of one chunk, however many
// members there are.
type seatList struct {
	chunks [][]*seat // none is empty
	n      int
}

// maxChunk is how many seats a chunk holds before it is split.
const maxChunk = 128

func (l *seatList) first() *seat { return l.chunks[0][0] }

func (l *seatList) all() iter.Seq[*seat] {
	return func(yield func(*seat) bool) {
		for _, c := range l.chunks {
			for _, s := range c {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// find is where a membership is, or belongs: in the first chunk whose last
// member is not before it, else behind the last.
func (l *seatList) find(m *Membership) (chunk, at int) {
	before := func(s *seat) bool { return compareMembers(s.member.Membership, m) < 0 }
	last := len(l.chunks) - 1
	if last < 0 {
		return 0, 0
	}
	if c := l.chunks[last]; before(c[len(c)-1]) {
		return last, len(c) // most who come are the youngest
	}
	chunk = sort.Search(last, func(i int) bool { return !before(l.chunks[i][len(l.chunks[i])-1]) })
	c := l.chunks[chunk]
	return chunk, sort.Search(len(c), func(i int) bool { return !before(c[i]) })
}

// insert puts a seat where its member belongs.
func (l *seatList) insert(s *seat, m *Membership) {
	i, at := l.find(m)
	l.n++
	if len(l.chunks) == 0 {
		l.chunks = append(l.chunks, []*seat{s})
		return
	}
	if len(l.chunks[i]) == maxChunk {
		if i == len(l.chunks)-1 && at == maxChunk { // it grows at its end
			l.chunks = append(l.chunks, append(make([]*seat, 0, maxChunk), s))
			return
		}
		l.split(i)
		if at > maxChunk/2 {
			i, at = i+1, at-maxChunk/2
		}
	}
	l.chunks[i] = slices.Insert(l.chunks[i], at, s)
}

// split halves a full chunk.
func (l *seatList) split(i int) {
	c := l.chunks[i]
	half := append(make([]*seat, 0, maxChunk), c[maxChunk/2:]...)
	clear(c[maxChunk/2:])
	l.chunks[i] = c[:maxChunk/2]
	l.chunks = slices.Insert(l.chunks, i+1, half)
}

// remove takes the seat of a member out.
func (l *seatList) remove(m *Membership) {
	i, at := l.find(m)
	l.n--
	l.chunks[i] = slices.Delete(l.chunks[i], at, at+1)
	if len(l.chunks[i]) == 0 {
		l.chunks = slices.Delete(l.chunks, i, i+1)
	}
}

// fill takes seats in that are sorted.
func (l *seatList) fill(seats []*seat) {
	l.n = len(seats)
	for c := range slices.Chunk(seats, maxChunk) {
		l.chunks = append(l.chunks, slices.Clone(c))
	}
}
