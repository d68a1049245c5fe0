package client

import (
	"bytes"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// backlog is how many updates a room keeps for its reader.
const backlog = 1024

// stream is a room's updates on their way to the reader. The room's goroutine
// writes it and never waits.
type stream struct {
	out  chan Update
	over []Update // what did not fit: the reader is behind
	read bool     // somebody reads
	lost bool     // something was dropped before
}

func (s *stream) behind() bool { return len(s.over) > 0 }

func (s *stream) push(u Update) {
	for len(s.over) == 0 {
		select {
		case s.out <- u:
			return
		default:
		}
		if s.read {
			break
		}
		select { // nobody reads yet: the oldest goes
		case <-s.out:
			s.lost = true
		default:
		}
	}
	s.over = append(slices.DeleteFunc(s.over, func(old Update) bool { return outdates(u, old) }), u)
}

// outdates reports whether an update makes another one pointless that has yet to
// be told: how things are doing now is what counts.
func outdates(u, old Update) bool {
	switch u := u.(type) {
	case Note:
		_, same := old.(Note)
		return same
	case Refreshed:
		o, same := old.(Refreshed)
		return same && o.Call == u.Call
	case Connection:
		o, same := old.(Connection)
		return same && o.Call == u.Call && o.Publish == u.Publish && bytes.Equal(o.Transport.Raw, u.Transport.Raw)
	}
	return false
}

// firstRead begins to wait for the reader. If nobody has read for so long that
// the beginning is missing, the room is told anew.
func (r *Room) firstRead() {
	s := &r.stream
	if s.read {
		return
	}
	now := time.Now()
	r.advance(now)
	if s.read = true; !s.lost {
		return
	}
	var rest []Update
	for len(s.out) > 0 {
		if u, ok := (<-s.out).(Changed); !ok {
			rest = append(rest, u)
		}
	}
	r.begin(now)
	for _, u := range rest {
		r.push(u)
	}
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
