package gapfill

import (
	"sync"
	"time"
)

const (
	// slowSenders is how many of the senders events of slow rooms have, all
	// together.
	slowSenders = senders / 2
	// slowFor is how long a room is remembered that nothing is tried of any more.
	slowFor = 10 * time.Minute
)

// slowRooms are the rooms for which the homeserver was asked last and did not
// answer in time. It may well answer for all others: what waits for a slow room
// must take nothing from them (docs/protocol.md R-GAP-12). Its methods may be
// called from any goroutine.
type slowRooms struct {
	mu    sync.Mutex
	rooms map[string]slowRoom
	busy  int // how many of them are being tried
}

type slowRoom struct {
	busy  bool // an event of it is being tried
	since time.Time
}

// begin asks whether an event of a room may be tried now. If so, done takes
// whether it took too long again, and must be called once.
func (r *slowRooms) begin(room string) (done func(slow bool, now time.Time), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	is, slow := r.rooms[room]
	if slow {
		if is.busy || r.busy >= slowSenders {
			return nil, false
		}
		is.busy = true
		r.rooms[room] = is
		r.busy++
	}
	return func(again bool, now time.Time) { r.end(room, slow, again, now) }, true
}

// end notes what came of a try; was says that the room was slow before it.
func (r *slowRooms) end(room string, was, slow bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was {
		r.busy--
	}
	if !slow {
		delete(r.rooms, room)
		return
	}
	if r.rooms == nil {
		r.rooms = map[string]slowRoom{}
	}
	r.rooms[room] = slowRoom{busy: !was && r.rooms[room].busy, since: now}
}

// forget forgets rooms that nobody has tried for long.
func (r *slowRooms) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, is := range r.rooms {
		if !is.busy && now.Sub(is.since) > slowFor {
			delete(r.rooms, room)
		}
	}
}

// sender takes one of the senders until giveBack is called, or until the
// homeserver has kept it waiting for so long that others go before it.
func (e *engine) sender() (giveBack func()) {
	e.count(1, 1)
	early := time.AfterFunc(hurry, func() {
		e.count(-1, 0)
		e.nudge()
	})
	return func() {
		if early.Stop() {
			e.count(-1, -1)
		} else {
			e.count(0, -1)
		}
		e.nudge()
	}
}
