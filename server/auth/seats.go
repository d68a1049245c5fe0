package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// Remover takes participants out of the SFU.
type Remover interface {
	// RemoveParticipant disconnects a participant. One that is not there is an
	// error like any other.
	RemoveParticipant(ctx context.Context, room, identity string) error
}

const (
	// seatsPage is how many seats are looked at together.
	seatsPage = 500
	// maxPlaces bounds how many participants of one user in one room are known.
	maxPlaces = 64
	// askers is how many local users of a room are asked who is in it.
	askers = 3
)

// roster knows who is in Matrix rooms.
type roster interface {
	// members are the users in a room, by the word of one of them, or gone if that
	// one is not in it.
	members(ctx context.Context, as, room string) (joined map[string]bool, gone bool, err error)
	// joined says whether somebody is in a room.
	joined(ctx context.Context, who asker, room string) (bool, error)
}

// seats knows who has a token for which Matrix room, to remove from the SFU who
// is no longer in that room (MSC4195, "Kicking users from the SFU on room
// leave/ban"). Somebody who was removed is removed again while the token is good,
// for an SFU cannot take a token back.
//
// A sweep asks the homeserver at intervals; what the homeserver or anybody else
// says of its own accord is acted upon at once. Replicas share the store, and so
// the sweeps.
type seats struct {
	store    jobs.Store // of records of seat, by room and user
	interval time.Duration
	quiet    bool   // a sweep asks nobody, and forgets what is over
	server   string // whose users can be asked who is in a room with them
	who      roster // nil: nobody can be asked
	sfu      Remover
	presence Presence
	leaves   *leaves
	log      *slog.Logger
	removed  func(why string) // counts

	ctx  context.Context
	end  context.CancelFunc
	done chan struct{} // nil: there is no sweep

	mu     sync.Mutex
	byName *throttle.LRU[string, string] // of this replica: participant to seat
}

// seat is one user in one Matrix room.
type seat struct {
	Room, User string
	// Out says that the user is not in the room any more.
	Out    bool
	Places []sfuPlace
}

// sfuPlace is a participant that a token was given for.
type sfuPlace struct {
	Room, Identity string // of LiveKit
	// Until is when the token is no longer good, in Unix seconds.
	Until int64
}

func seatKey(room, user string) string { return room + "\x00" + user }

// startSeats begins to sweep, if there is somebody to ask.
func startSeats(s *seats) *seats {
	if s.interval <= 0 {
		s.interval, s.quiet = 10*time.Minute, true
	}
	s.byName = throttle.NewLRU[string, string](maxReports)
	s.ctx, s.end = context.WithCancel(context.Background())
	if s.enabled() {
		s.done = make(chan struct{})
		go s.run() // ended by close, which waits for done
	}
	return s
}

func (s *seats) close() {
	s.end()
	if s.done != nil {
		<-s.done
	}
}

func (s *seats) run() {
	defer close(s.done)
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			s.sweep(time.Now())
		}
	}
}

// enabled says whether anything could come of knowing who sits where.
func (s *seats) enabled() bool { return s.sfu != nil && s.who != nil }

// take notes that a user has a token. It must be stored before the token is given
// away.
func (s *seats) take(ctx context.Context, room, user string, p sfuPlace) error {
	if !s.enabled() {
		return nil
	}
	s.mu.Lock()
	s.byName.Put(leaveKey(p.Room, p.Identity), seatKey(room, user))
	s.mu.Unlock()
	full := false
	err := s.change(ctx, seatKey(room, user), func(st *seat) time.Time {
		st.Room, st.User, st.Out = room, user, false
		st.Places = slices.DeleteFunc(st.Places, func(q sfuPlace) bool {
			return q.Room == p.Room && q.Identity == p.Identity
		})
		if full = len(st.Places) >= maxPlaces; !full { // none may be forgotten
			st.Places = append(st.Places, p)
		}
		return time.Now().Add(s.interval)
	})
	if full && err == nil {
		err = errManyPlaces
	}
	return err
}

// errManyPlaces: a user has tokens for too many participants in a room.
var errManyPlaces = errors.New("the user has tokens for too many devices in the room")

// change changes a seat, which may be a new one, and stores it until a time; no
// places: the seat is forgotten.
func (s *seats) change(ctx context.Context, key string, f func(*seat) (next time.Time)) error {
	for {
		r, err := s.store.Get(ctx, key)
		if err != nil && !errors.Is(err, jobs.ErrNotFound) {
			return err
		}
		var st seat
		if r.Version != 0 && json.Unmarshal(r.Data, &st) != nil {
			st = seat{}
		}
		at := f(&st)
		switch {
		case len(st.Places) > 0:
			data, err := json.Marshal(st)
			if err != nil {
				return err
			}
			_, err = s.store.Put(ctx, jobs.Record{Key: key, Version: r.Version, At: at, Data: data})
			if errors.Is(err, jobs.ErrConflict) {
				continue
			}
			return err
		case r.Version != 0:
			if err := s.store.Delete(ctx, key, r.Version); !errors.Is(err, jobs.ErrConflict) {
				return err
			}
		default:
			return nil
		}
	}
}

// gone says that a user is not in a Matrix room any more.
func (s *seats) gone(ctx context.Context, room, user, why string) {
	if !s.enabled() {
		return
	}
	var out []sfuPlace
	err := s.change(ctx, seatKey(room, user), func(st *seat) time.Time {
		out = slices.Clone(st.Places)
		st.Out = true
		return time.Now().Add(s.interval)
	})
	if err != nil {
		s.log.Warn("who has to be removed from the SFU cannot be read; the next sweep tries again", "err", err)
		return
	}
	for _, p := range out {
		s.remove(ctx, p, why)
	}
}

// joined says that a participant has connected.
func (s *seats) joined(ctx context.Context, room, identity string) {
	if !s.enabled() {
		return
	}
	s.mu.Lock()
	key, ok := s.byName.Get(leaveKey(room, identity))
	s.mu.Unlock()
	if !ok {
		return // of another replica; the sweep finds it
	}
	r, err := s.store.Get(ctx, key)
	var st seat
	if err == nil && json.Unmarshal(r.Data, &st) == nil && st.Out {
		s.remove(ctx, sfuPlace{Room: room, Identity: identity}, "back")
	}
}

func (s *seats) remove(ctx context.Context, p sfuPlace, why string) {
	if s.leaves != nil { // who is out cannot send a leave either
		if err := s.leaves.withdraw(ctx, p.Room, p.Identity); err != nil {
			s.log.Warn("a delayed leave cannot be given up", "room", p.Room, "err", err)
		}
	}
	if err := s.sfu.RemoveParticipant(ctx, p.Room, p.Identity); err != nil {
		s.log.Debug("a participant cannot be removed from the SFU, or is not there", "room", p.Room, "identity", p.Identity, "err", err)
		return
	}
	s.removed(why)
	s.log.Info("a participant was removed from the SFU", "room", p.Room, "identity", p.Identity, "why", why)
}

// sweep looks at everybody whose time has come.
func (s *seats) sweep(now time.Time) {
	ctx, cancel := context.WithTimeout(s.ctx, max(s.interval, 10*time.Second))
	defer cancel()
	for {
		list, err := s.store.Due(ctx, now.Add(s.interval/2), seatsPage)
		rooms := map[string][]seat{}
		for _, r := range list {
			var st seat
			if json.Unmarshal(r.Data, &st) != nil || seatKey(st.Room, st.User) != r.Key {
				_ = s.store.Delete(ctx, r.Key, r.Version) // not ours, or broken
				continue
			}
			rooms[st.Room] = append(rooms[st.Room], st)
		}
		for _, room := range slices.Sorted(maps.Keys(rooms)) {
			if err == nil {
				err = s.sweepRoom(ctx, room, rooms[room], now)
			}
		}
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("a sweep of the SFU did not come to its end; the next one tries again", "err", err)
		}
		if err != nil || len(list) < seatsPage {
			return
		}
	}
}

// sweepRoom looks at users of one Matrix room. While nobody can tell who is in
// it everybody stays: an outage must not end calls. The error is the store's.
func (s *seats) sweepRoom(ctx context.Context, room string, list []seat, now time.Time) error {
	in := func(string) (yes, told bool) { return false, false }
	if !s.quiet {
		in = s.whoIsIn(ctx, room, list)
	}
	for _, st := range list {
		yes, told := in(st.User)
		out := st.Out
		if told {
			out = !yes
		}
		if out {
			for _, p := range st.Places {
				s.remove(ctx, p, "swept")
			}
		}
		over := map[sfuPlace]bool{}
		for _, p := range st.Places {
			over[p] = p.Until <= now.Unix() && !s.there(ctx, p)
		}
		err := s.change(ctx, seatKey(st.Room, st.User), func(cur *seat) time.Time {
			if told && slices.Equal(cur.Places, st.Places) { // else there is a new token
				cur.Out = out
			}
			cur.Places = slices.DeleteFunc(cur.Places, func(p sfuPlace) bool { return over[p] })
			return now.Add(s.interval)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// there says whether a participant is on the SFU, for all that is known.
func (s *seats) there(ctx context.Context, p sfuPlace) bool {
	if s.presence == nil {
		return false
	}
	_, there, err := s.presence.Participant(ctx, p.Room, p.Identity)
	return there || err != nil
}

// whoIsIn asks the homeserver who is in a room: by the word of a local user who
// has a token for it, else one by one.
func (s *seats) whoIsIn(ctx context.Context, room string, list []seat) func(user string) (yes, told bool) {
	answers := map[string]bool{}
	for _, st := range list {
		if userServer(st.User) != s.server || len(answers) == askers {
			continue
		}
		joined, gone, err := s.who.members(ctx, st.User, room)
		if err != nil {
			s.log.Warn("who is in a room cannot be asked; everybody stays on the SFU", "err", err)
			return func(string) (bool, bool) { return false, false }
		}
		if !gone {
			return func(user string) (bool, bool) { return joined[user], true }
		}
		answers[st.User] = false
	}
	for _, st := range list {
		if _, ok := answers[st.User]; ok || ctx.Err() != nil {
			continue
		}
		if yes, err := s.who.joined(ctx, asker{user: st.User}, room); err == nil {
			answers[st.User] = yes
		}
	}
	return func(user string) (bool, bool) { yes, told := answers[user]; return yes, told }
}
