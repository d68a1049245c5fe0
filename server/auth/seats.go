package auth

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
	told     bool   // somebody says of their own accord who leaves
	sfu      Remover
	presence Presence
	leaves   *leaves
	log      *slog.Logger
	removed  func(why string) // counts

	ctx  context.Context
	end  context.CancelFunc
	done chan struct{} // nil: there is no sweep

	mu     sync.Mutex
	byName *throttle.LRU[string, string]    // of this replica: participant to seat
	lately *throttle.LRU[string, time.Time] // who has left, by seat, for a while
}

// lateTime is how long it counts that somebody has left who had no seat: for as long
// as a token can have been on its way to them.
const lateTime = time.Minute

// seat is one user in one Matrix room.
type seat struct {
	Room, User string
	// Out says that the user is not in the room any more, Left since when that is
	// known, in Unix nanoseconds.
	Out    bool
	Left   int64
	Places []sfuPlace
}

// leave notes that the user is not in the room.
func (st *seat) leave(now time.Time) {
	st.Out, st.Left = true, max(st.Left, now.UnixNano())
}

// come notes that the user is in the room.
func (st *seat) come() { st.Out, st.Left = false, 0 }

// sfuPlace is a participant that a token was given for.
type sfuPlace struct {
	Room, Identity string // of LiveKit
	// Until is when the token is no longer good, in Unix seconds.
	Until int64
}

func seatKey(room, user string) string { return room + "\x00" + user }

// startSeats begins to sweep, if anybody tells who is in rooms.
func startSeats(s *seats) *seats {
	s.quiet = s.interval <= 0 || s.who == nil
	if s.interval <= 0 {
		s.interval = 10 * time.Minute
	}
	s.byName = throttle.NewLRU[string, string](maxReports)
	s.lately = throttle.NewLRU[string, time.Time](maxReports)
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
func (s *seats) enabled() bool { return s.sfu != nil && (s.who != nil || s.told) }

// take notes that a user has a token. It must be stored before the token is given
// away. asOf is when somebody was asked whether the user is in the room, who said
// yes; zero: nobody was. The error is an errOut if the user has left since, as far
// as is known.
func (s *seats) take(ctx context.Context, room, user string, p sfuPlace, asOf time.Time) error {
	if !s.enabled() {
		return nil
	}
	key, now := seatKey(room, user), time.Now()
	s.mu.Lock()
	s.byName.Put(leaveKey(p.Room, p.Identity), key)
	s.mu.Unlock()
	var refused error
	err := s.change(ctx, key, func(st *seat, _ int64) time.Time {
		refused = nil
		st.Room, st.User = room, user
		left, out := s.leftLately(key, now)
		if st.Out {
			left, out = max(left, st.Left), true
		}
		if out && (asOf.IsZero() || asOf.UnixNano() <= left) {
			refused = errOut
			return now.Add(s.interval)
		}
		st.come()
		st.Places = slices.DeleteFunc(st.Places, func(q sfuPlace) bool {
			return q.Room == p.Room && q.Identity == p.Identity
		})
		if len(st.Places) >= maxPlaces { // none may be forgotten
			refused = errManyPlaces
			return now.Add(s.interval)
		}
		st.Places = append(st.Places, p)
		return now.Add(s.interval)
	})
	if err == nil {
		err = refused
	}
	return err
}

// leftLately is when a user left who may have no seat, in Unix nanoseconds.
func (s *seats) leftLately(key string, now time.Time) (left int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.lately.Get(key)
	if !ok || now.Sub(at) >= lateTime {
		return 0, false
	}
	return at.UnixNano(), true
}

// errOut: a user who wants a token has left the room.
var errOut = errors.New("the user has left the room")

// errManyPlaces: a user has tokens for too many participants in a room.
var errManyPlaces = errors.New("the user has tokens for too many devices in the room")

// change changes a seat, which may be a new one (version 0), and stores it until a
// time; no places: the seat is forgotten.
func (s *seats) change(ctx context.Context, key string, f func(st *seat, version int64) (next time.Time)) error {
	for {
		r, err := s.store.Get(ctx, key)
		if err != nil && !errors.Is(err, jobs.ErrNotFound) {
			return err
		}
		var st seat
		if r.Version != 0 && json.Unmarshal(r.Data, &st) != nil {
			st = seat{}
		}
		at := f(&st, r.Version)
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
	key, now := seatKey(room, user), time.Now()
	s.mu.Lock()
	s.lately.Put(key, now) // a token may be on its way
	s.mu.Unlock()
	var out []sfuPlace
	err := s.change(ctx, key, func(st *seat, _ int64) time.Time {
		out = slices.Clone(st.Places)
		st.leave(now)
		return now.Add(s.interval)
	})
	if err != nil {
		s.log.Warn("who has to be removed from the SFU cannot be read; the next sweep tries again", "err", err)
		return
	}
	for _, p := range out {
		s.remove(ctx, p, why)
	}
}

// back says that a user has joined a Matrix room: whoever left it may be here again.
func (s *seats) back(ctx context.Context, room, user string) {
	if !s.enabled() {
		return
	}
	key := seatKey(room, user)
	s.mu.Lock()
	s.lately.Remove(key)
	s.mu.Unlock()
	err := s.change(ctx, key, func(st *seat, _ int64) time.Time {
		st.come()
		return time.Now().Add(s.interval)
	})
	if err != nil {
		s.log.Warn("who may be on the SFU again cannot be stored; the next sweep asks", "err", err)
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
