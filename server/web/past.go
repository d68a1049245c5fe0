package web

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// pastRooms is what is kept of the calls that are over: of each room that is watched
// the newest. Its memory follows its bounds and the stays that have not ended.
type pastRooms struct {
	most int // per room; negative: nothing is kept

	mu    sync.Mutex
	rooms map[matrixrtc.RoomID]*pastRoom
}

// maxStaysPerCall bounds the stays that are kept of a room, as a multiple of the
// calls: there may be calls of very many.
const maxStaysPerCall = 40

type pastRoom struct {
	Room
	since   time.Time // when the board began to listen
	history *matrixrtc.History
	calls   []matrixrtc.PastSession // by the time at which they were over
	stays   int                     // in calls
	state   map[string]matrixrtc.EventID
	dropped int // calls that are not kept any more
}

// Listen returns seq, what a homeserver's sync yields, and keeps what it tells
// of the past calls of some rooms while somebody reads it. What was before is
// not known, but for who is there already. A room may be listened to again, by
// another sync: what is known stays.
func (b *Board) Listen(rooms []Room, seq iter.Seq2[matrixrtc.Batch, error]) iter.Seq2[matrixrtc.Batch, error] {
	if b.past.most < 0 {
		return seq
	}
	b.past.add(time.Now(), rooms)
	return func(yield func(matrixrtc.Batch, error) bool) {
		for batch, err := range seq {
			if err == nil {
				b.past.hear(time.Now(), &batch)
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}

func (p *pastRooms) add(now time.Time, rooms []Room) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range rooms {
		if known := p.rooms[r.ID]; known != nil {
			known.Room = r
			continue
		}
		// Who sends is in the room, unless its leave is told.
		opts := &matrixrtc.HistoryOptions{Unknown: matrixrtc.UnknownJoined}
		p.rooms[r.ID] = &pastRoom{Room: r, since: now, history: matrixrtc.NewHistory(opts), state: map[string]matrixrtc.EventID{}}
	}
}

// forget drops a room.
func (p *pastRooms) forget(id matrixrtc.RoomID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.rooms, id)
}

// pastSlack is how long after its end a call is counted as over for good: events
// of other servers may be late.
const pastSlack = 2 * time.Minute

// hear folds in what happened in a room. The clock goes on only when all has been
// told: while the homeserver does not answer, nobody knows what is over.
func (p *pastRooms) hear(now time.Time, b *matrixrtc.Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.Room == "" {
		for _, r := range p.rooms {
			p.keep(r, r.history.Advance(now.Add(-pastSlack)))
		}
		return
	}
	r := p.rooms[b.Room]
	if r == nil {
		return
	}
	// The state has no order of its own.
	state := slices.Clone(b.State)
	slices.SortStableFunc(state, func(x, y matrixrtc.Event) int { return x.Origin.Compare(y.Origin) })
	for _, events := range [][]matrixrtc.Event{state, b.Events, b.Sticky} {
		for i := range events {
			if r.isNew(&events[i]) {
				p.keep(r, r.history.AddEvent(&events[i]))
			}
		}
	}
}

// isNew reports whether an event of the state is heard of for the first time: a
// homeserver repeats the state, and what has run out long ago is still in it.
func (r *pastRoom) isNew(e *matrixrtc.Event) bool {
	if e.StateKey == nil || e.ID == "" {
		return true
	}
	key := e.Type + "\x00" + *e.StateKey
	if r.state[key] == e.ID {
		return false
	}
	r.state[key] = e.ID
	return true
}

// keep keeps calls that are over, and drops the oldest if there are too many.
func (p *pastRooms) keep(r *pastRoom, over []matrixrtc.PastSession) {
	for i := range over {
		r.calls = append(r.calls, over[i])
		r.stays += stayCount(&over[i])
	}
	drop := 0
	for drop < len(r.calls) && (len(r.calls)-drop > p.most || r.stays > p.most*maxStaysPerCall) {
		r.stays -= stayCount(&r.calls[drop])
		drop++
	}
	r.calls = slices.Delete(r.calls, 0, drop)
	r.dropped += drop
}

func stayCount(s *matrixrtc.PastSession) (n int) {
	for i := range s.Participants {
		n += len(s.Participants[i].Stays)
	}
	return n
}

// pastCalls is what is known of the past calls of one room, or of all, as they
// stand at one moment.
type pastCalls struct {
	rooms   []Room // that are listened to, sorted
	calls   []matrixrtc.PastSession
	since   time.Time // that nothing is known before
	dropped int
}

// at gives the calls of a room, of all if it is "", by their start. What is in
// the sessions does not change any more.
func (p *pastRooms) at(now time.Time, room matrixrtc.RoomID) pastCalls {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out pastCalls
	for _, id := range slices.Sorted(maps.Keys(p.rooms)) {
		r := p.rooms[id]
		out.rooms = append(out.rooms, r.Room)
		if room != "" && room != id {
			continue
		}
		out.calls = slices.Concat(out.calls, r.calls, r.history.Ongoing(now))
		out.dropped += r.dropped
		if out.since.IsZero() || r.since.After(out.since) {
			out.since = r.since
		}
	}
	slices.SortStableFunc(out.calls, func(x, y matrixrtc.PastSession) int {
		return cmp.Or(x.Start.Compare(y.Start), cmp.Compare(x.Key.Room, y.Key.Room), cmp.Compare(x.Key.Slot, y.Key.Slot))
	})
	return out
}
