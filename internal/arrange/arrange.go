// Package arrange puts the records of a room into the order that
// matrixrtc.History needs, when they come in any: the chain of a state key
// before any clock (unsigned.replaces_state), else the times of the events, and
// of equal times the order in which they came. An event that comes twice counts
// once.
//
// It holds records in a compact form, some 300 bytes each, and nothing else. It
// computes no session. A Room is used from one goroutine.
package arrange

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"

	"github.com/matrixrtc-go/matrixrtc"
)

// Room gathers the records of one room.
type Room struct {
	id     matrixrtc.RoomID
	seed   maphash.Seed
	chunks [][]byte
	marks  []mark
	events map[uint64]int32 // the index of the first record of an event
	again  []int32          // records of events that came redacted later
	back   int              // how many records are older than the one before, less those that are newer
}

// mark is what the order of a record depends on. Names are hashed with a seed of
// this process, so that nobody can make two equal.
type mark struct {
	ts         int64
	key        uint64 // of the state key; 0: none
	event      uint64
	replaces   uint64
	chunk      int32
	from, size int32
	redacted   bool
}

// The compact form lies in pieces, each twice as large as the one before.
const firstChunk, lastChunk = 4 << 10, 1 << 20

// NewRoom makes a room without records.
func NewRoom(id matrixrtc.RoomID) *Room {
	return &Room{id: id, seed: maphash.MakeSeed(), events: map[uint64]int32{}}
}

// Add takes a record and keeps nothing of it.
func (r *Room) Add(rec *matrixrtc.Record) {
	m := mark{ts: rec.Time, event: r.hash(string(rec.Event)), replaces: r.hash(string(rec.Replaces)), redacted: rec.Redacted}
	if rec.Kind == matrixrtc.RecordMember || rec.Kind == matrixrtc.RecordPresence || rec.Kind == matrixrtc.RecordSlot {
		m.key = r.hash(rec.Type, rec.Key)
	}
	at := int32(len(r.marks))
	if first, ok := r.events[m.event]; ok && m.event != 0 {
		switch known := &r.marks[first]; {
		case !known.redacted && rec.Redacted && rec.RedactedAt > 0 && len(r.againOf(m.event)) == 0:
			// What it said before it was redacted is known: then it comes twice.
			m.ts, m.replaces = max(rec.RedactedAt, rec.Time), m.event
			r.again = append(r.again, at)
		case known.redacted && !rec.Redacted:
			r.swap(first, rec, m)
			return
		default:
			return
		}
	} else {
		if at > 0 {
			switch last := r.marks[at-1].ts; {
			case m.ts < last:
				r.back++
			case m.ts > last:
				r.back--
			}
		}
		r.events[m.event] = at
	}
	r.store(&m, rec)
	r.marks = append(r.marks, m)
}

// againOf finds the record of an event that came redacted later.
func (r *Room) againOf(event uint64) []int32 {
	for i, at := range r.again {
		if r.marks[at].event == event {
			return r.again[i : i+1]
		}
	}
	return nil
}

// swap lets a record take the place of one that came redacted: it says more. The
// redacted one then comes after it.
func (r *Room) swap(at int32, rec *matrixrtc.Record, m mark) {
	var redacted matrixrtc.Record
	r.load(at, &redacted)
	r.store(&m, rec)
	r.marks[at] = m
	r.Add(&redacted)
}

func (r *Room) hash(names ...string) uint64 {
	if len(names) == 1 && names[0] == "" {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, s := range names {
		_, _ = h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		_, _ = h.WriteString(s)
	}
	return h.Sum64() | 1
}

func (r *Room) store(m *mark, rec *matrixrtc.Record) {
	n := len(r.chunks) - 1
	if size := firstChunk << min(n+1, 8); n < 0 || len(r.chunks[n]) > cap(r.chunks[n])*3/4 {
		r.chunks = append(r.chunks, make([]byte, 0, min(size, lastChunk)))
		n++
	}
	from := len(r.chunks[n])
	b, err := rec.AppendBinary(r.chunks[n])
	if err != nil {
		panic(fmt.Sprintf("a record has no binary form: %v", err)) // it always has one
	}
	r.chunks[n] = b
	m.chunk, m.from, m.size = int32(n), int32(from), int32(len(b)-from)
}

func (r *Room) load(at int32, rec *matrixrtc.Record) {
	m := &r.marks[at]
	rec.Room = r.id
	if err := rec.UnmarshalBinary(r.chunks[m.chunk][m.from : m.from+m.size]); err != nil {
		panic(fmt.Sprintf("a record cannot be read again: %v", err)) // store has just written it
	}
}

// Records yields the records in order. A record is valid until the next step.
func (r *Room) Records() iter.Seq[*matrixrtc.Record] {
	return func(yield func(*matrixrtc.Record) bool) {
		var rec matrixrtc.Record
		for at := range r.order() {
			r.load(at, &rec)
			if !yield(&rec) {
				return
			}
		}
	}
}
