package client

import (
	"sync/atomic"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// backlog is how many updates a room keeps for its reader.
const backlog = 1024

// stream is a room's updates on their way to the reader. The room's goroutine
// writes it and never waits.
type stream struct {
	out  chan Update
	over []Update // what did not fit; the room stands still until it is empty
	read atomic.Bool
}

func (s *stream) behind() bool { return len(s.over) > 0 }

func (s *stream) push(u Update) {
	for len(s.over) == 0 {
		select {
		case s.out <- u:
			return
		default:
		}
		if s.read.Load() {
			break
		}
		select { // nobody reads yet: the oldest goes
		case <-s.out:
		default:
		}
	}
	s.over = append(s.over, u)
}

// close ends the stream. What was left over is delivered as far as it fits: the
// reader may be gone for good.
func (s *stream) close() {
	for _, u := range s.over {
		select {
		case s.out <- u:
		default:
		}
	}
	s.over = nil
	close(s.out)
}

// begin tells how the room came to be what it is, as if it had been empty.
func (r *Room) begin(now time.Time) {
	for _, s := range r.fold.Sessions() {
		r.push(Changed{matrixrtc.SessionStarted{
			Moment: matrixrtc.Moment{At: s.Since(), Seen: now}, Session: s.Key, Application: s.Application,
		}})
		for _, m := range s.Members() {
			r.push(Changed{matrixrtc.MemberJoined{
				Moment: matrixrtc.Moment{At: m.Since, Seen: now}, Session: s.Key, Member: m,
			}})
		}
	}
	for _, i := range r.fold.Invalid() {
		r.push(Changed{i})
	}
}
