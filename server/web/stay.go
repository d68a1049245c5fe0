package web

import (
	"cmp"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Stay is one device's stay in a session, from join to end. Times are
// milliseconds since 1970. Names longer than 255 bytes are shortened.
type Stay struct {
	ID          uint64                `json:"id"`
	Room        matrixrtc.RoomID      `json:"room_id"`
	Slot        matrixrtc.SlotID      `json:"slot_id"`
	Application string                `json:"application"`
	User        matrixrtc.UserID      `json:"user_id"`
	Device      matrixrtc.DeviceID    `json:"device_id"`
	Member      matrixrtc.MemberID    `json:"member_id"`
	Dialect     matrixrtc.DialectName `json:"dialect"`
	// Transport is the kind of the transport over which the member's media can
	// be received, "" if there is none.
	Transport string `json:"transport_kind"`
	Start     int64  `json:"start_ts"`
	// Uncertain: the member was there before we looked, and Start is what its
	// own data says. Seen is since when we know.
	Uncertain bool  `json:"start_uncertain"`
	Seen      int64 `json:"seen_ts"`
	// Heard is when the member last stated its membership.
	Heard int64 `json:"heard_ts"`
	// End is null and Cause is "" while the stay goes on.
	End   *int64          `json:"end_ts"`
	Cause matrixrtc.Cause `json:"cause"`

	key stayKey
	// guessed: the document told us, and the change has still to come.
	guessed bool
}

type stayKey struct {
	session matrixrtc.SessionKey
	member  matrixrtc.MemberKey
}

// stays follows stays through the changes of rooms. The board's lock guards it.
type stays struct {
	max    int
	keep   time.Duration
	lastID uint64
	open   map[stayKey]*Stay
	past   []*Stay // in the order in which they ended for us
	// omitted counts stays that were not followed because there were too many.
	omitted int
}

const maxName = 255 // bytes: what Matrix allows of a user id

func (s *stays) change(room matrixrtc.RoomID, looked time.Time, c matrixrtc.Change) {
	at, seen := c.When()
	switch c := c.(type) {
	case matrixrtc.MemberJoined:
		if c.Session.Room == room {
			s.join(c.Session, c.Member, at, seen, looked)
		}
	case matrixrtc.MemberUpdated:
		if st := s.open[stayKey{c.Session, c.Member.MemberKey()}]; st != nil {
			st.Heard = clamp(at, st.Start, seen)
			st.Dialect = c.Member.Dialect
			st.Member = matrixrtc.MemberID(clip(string(c.Member.Member), maxName))
		}
	case matrixrtc.MemberLeft:
		s.end(stayKey{c.Session, c.Member.MemberKey()}, at, seen, c.Cause)
	}
}

func (s *stays) join(session matrixrtc.SessionKey, m matrixrtc.Member, at, seen, looked time.Time) {
	start := m.Since
	if start.IsZero() {
		start = at
	}
	if start.After(seen) {
		start = seen // a clock that runs ahead of ours starts no stay in our future
	}
	key := stayKey{session, m.MemberKey()}
	st := s.open[key]
	if st == nil || !st.guessed {
		s.end(key, start, seen, matrixrtc.CauseReplaced)
		if st = s.add(key); st == nil {
			return
		}
	}
	st.guessed = false
	if last := s.lastEnd(key); last.After(start) {
		start = last // two stays of one device do not overlap, whatever created_ts claims
	}
	st.Application = clip(m.Application.Type, maxName)
	st.Member = matrixrtc.MemberID(clip(string(m.Member), maxName))
	st.Dialect = m.Dialect
	st.Start = start.UnixMilli()
	st.Uncertain = start.Before(looked)
	st.Seen = st.Start
	if st.Uncertain {
		st.Seen = looked.UnixMilli()
	}
	st.Heard = clamp(at, st.Start, seen)
}

func (s *stays) add(key stayKey) *Stay {
	if len(s.open) >= s.max {
		s.omitted++
		return nil
	}
	s.lastID++
	st := &Stay{
		ID: s.lastID, Room: key.session.Room, key: key,
		Slot:   matrixrtc.SlotID(clip(string(key.session.Slot), maxName)),
		User:   matrixrtc.UserID(clip(string(key.member.User), maxName)),
		Device: matrixrtc.DeviceID(clip(string(key.member.Device), maxName)),
		Member: matrixrtc.MemberID(clip(string(key.member.Member), maxName)),
	}
	s.open[key] = st
	return st
}

func (s *stays) end(key stayKey, at, seen time.Time, cause matrixrtc.Cause) {
	st := s.open[key]
	if st != nil {
		delete(s.open, key)
		s.past = append(s.past, st)
	} else if st = s.guessedEnd(key); st == nil {
		return
	}
	end := clamp(at, st.Start, seen)
	st.End, st.Cause, st.guessed = &end, cause, false
}

// lastEnd is when the latest stay of key ended; zero if there is none.
func (s *stays) lastEnd(key stayKey) time.Time {
	for _, st := range slices.Backward(s.past) {
		if st.key == key {
			return time.UnixMilli(*st.End)
		}
	}
	return time.Time{}
}

// guessedEnd finds the stay whose end the document told before the change.
func (s *stays) guessedEnd(key stayKey) *Stay {
	for _, st := range slices.Backward(s.past) {
		if st.guessed && st.key == key {
			return st
		}
	}
	return nil
}

// reconcile makes the open stays the members of the room's document. What the
// changes did not tell starts uncertain, or is gone: the board came late, or a
// change is lost, or has still to come, for a document may be ahead of the
// stream of changes. When it comes, it corrects the guess.
func (s *stays) reconcile(now time.Time, room matrixrtc.RoomID, looked time.Time, sessions []Session) {
	there := make(map[stayKey]bool)
	for _, session := range sessions {
		for _, m := range session.Members {
			key := stayKey{matrixrtc.SessionKey{Room: session.Room, Slot: session.Slot}, m.key()}
			there[key] = true
			st := s.open[key]
			if st == nil {
				if st = s.add(key); st == nil {
					continue
				}
				created := min(m.Created, now.UnixMilli())
				st.Application, st.Dialect = clip(session.Application, maxName), m.Dialect
				st.Start, st.Uncertain, st.guessed = created, true, true
				st.Seen, st.Heard = now.UnixMilli(), now.UnixMilli()
			}
			st.Transport = clip(m.TransportKind, maxName)
		}
	}
	for key := range s.open {
		if key.session.Room == room && !there[key] {
			st := s.open[key]
			s.end(key, now, now, matrixrtc.CauseGone)
			st.guessed = true
		}
	}
}

func (s *stays) prune(now time.Time) {
	horizon := now.Add(-s.keep).UnixMilli()
	s.past = slices.DeleteFunc(s.past, func(st *Stay) bool { return *st.End < horizon })
	if over := len(s.past) - s.max; over > 0 {
		s.past = slices.Delete(s.past, 0, over)
	}
}

func (s *stays) forget(room matrixrtc.RoomID) {
	s.past = slices.DeleteFunc(s.past, func(st *Stay) bool { return st.Room == room })
	for key := range s.open {
		if key.session.Room == room {
			delete(s.open, key)
		}
	}
}

// list copies the stays, oldest start first.
func (s *stays) list(now time.Time) []Stay {
	s.prune(now)
	out := make([]Stay, 0, len(s.open)+len(s.past))
	for _, st := range s.open {
		out = append(out, *st)
	}
	for _, st := range s.past {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(a, b Stay) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// clamp returns at in milliseconds, but not before start nor after seen: the
// clock of a server is not ours.
func clamp(at time.Time, start int64, seen time.Time) int64 {
	return max(start, min(at.UnixMilli(), seen.UnixMilli()))
}
