package auth

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// house is who is in Matrix rooms, and who is on the SFU, in memory.
type house struct {
	mu    sync.Mutex
	start time.Time
	in    map[string]bool // "room user"
	sfu   map[string]bool // participants
	down  bool
	log   []string
	asked int
}

func newHouse(in ...string) *house {
	h := &house{start: time.Now(), in: map[string]bool{}, sfu: map[string]bool{}}
	for _, k := range in {
		h.in[k] = true
	}
	return h
}

func (h *house) set(f func()) { h.mu.Lock(); defer h.mu.Unlock(); f() }

func (h *house) members(_ context.Context, as, room string) (map[string]bool, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if h.down {
		return nil, false, errors.New("down")
	}
	if !h.in[room+" "+as] {
		return nil, true, nil
	}
	joined := map[string]bool{}
	for k := range h.in {
		if len(k) > len(room) && k[:len(room)+1] == room+" " {
			joined[k[len(room)+1:]] = true
		}
	}
	return joined, false, nil
}

func (h *house) joined(_ context.Context, who asker, room string) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if h.down {
		return false, errors.New("down")
	}
	return h.in[room+" "+who.user], nil
}

func (h *house) Participant(_ context.Context, room, identity string) (string, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return "", h.sfu[leaveKey(room, identity)], nil
}

func (h *house) RemoveParticipant(_ context.Context, room, identity string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.sfu[leaveKey(room, identity)] {
		return errors.New("not found")
	}
	delete(h.sfu, leaveKey(room, identity))
	h.log = append(h.log, time.Since(h.start).String()+" "+identity)
	return nil
}

func (h *house) seats(store jobs.Store, l *leaves) *seats {
	return startSeats(&seats{
		store: store, interval: 30 * time.Second, server: "one.example", who: h, sfu: h, presence: h, leaves: l,
		log: slog.New(slog.DiscardHandler), removed: func(string) {},
	})
}

// sit gives a user a token for !r, and connects.
func (h *house) sit(t *testing.T, s *seats, user string) {
	t.Helper()
	if err := s.take(t.Context(), "!r", user, sfuPlace{"room", user, time.Now().Add(time.Hour).Unix()}, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.set(func() { h.sfu[leaveKey("room", user)] = true })
	s.joined(t.Context(), "room", user)
}

func (h *house) want(t *testing.T, removed ...string) {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.Sort(h.log)
	if d := cmp.Diff(removed, h.log); d != "" {
		t.Errorf("removed (-want +got):\n%s", d)
	}
}

const ann, bob, eve = "@ann:one.example", "@bob:two.example", "@eve:one.example"

func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse("!r "+ann, "!r "+bob, "!r "+eve)
		s := h.seats(jobs.Memory(), nil)
		defer s.close()
		for _, user := range []string{ann, bob, eve} {
			h.sit(t, s, user)
		}
		time.Sleep(5 * time.Minute)
		h.want(t)
		if h.asked < 9 || h.asked > 11 { // one question for the room each time
			t.Errorf("asked %d times", h.asked)
		}
		h.set(func() { delete(h.in, "!r "+bob); delete(h.in, "!r "+ann) })
		time.Sleep(time.Minute)
		h.want(t, "5m30s "+ann, "5m30s "+bob)
		// Whoever comes back with the old token is taken out again, with a new one not.
		h.set(func() { h.sfu[leaveKey("room", bob)] = true })
		s.joined(t.Context(), "room", bob)
		h.want(t, "5m30s "+ann, "5m30s "+bob, "6m0s "+bob)
		h.set(func() { h.in["!r "+bob] = true })
		time.Sleep(time.Second)
		h.sit(t, s, bob)
		time.Sleep(time.Minute)
		h.want(t, "5m30s "+ann, "5m30s "+bob, "6m0s "+bob)
	})
}

// While nobody can tell who is in a room everybody stays.
func TestSweepOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse("!r " + ann)
		s := h.seats(jobs.Memory(), nil)
		defer s.close()
		h.sit(t, s, ann)
		h.sit(t, s, bob)
		h.set(func() { h.down, h.in = true, map[string]bool{} })
		time.Sleep(10 * time.Minute)
		h.want(t)
		h.set(func() { h.down = false })
		time.Sleep(time.Minute)
		h.want(t, "10m30s "+ann, "10m30s "+bob)
	})
}

// What somebody says of a room is acted upon at once; a leave that is looked
// after is given up with the seat.
func TestMemberGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := newSite()
		l := site.look(jobs.Memory(), leave.Rules{})
		defer l.close()
		h := newHouse("!r "+ann, "!r "+bob)
		s := h.seats(jobs.Memory(), l)
		defer s.close()
		h.sit(t, s, ann)
		h.sit(t, s, bob)
		handOver(t, l, leaveOf(bob, "d1", time.Hour))
		time.Sleep(time.Second)
		s.gone(t.Context(), "!other", bob, "left")
		s.gone(t.Context(), "!r", "@nobody:one.example", "left")
		h.want(t)
		s.gone(t.Context(), "!r", bob, "left")
		h.want(t, "1s "+bob)
		if n := left(t, l); n != 0 {
			t.Errorf("%d leaves left", n)
		}
	})
}

// Seats outlive the process, are shared, and end with their tokens.
func TestSeatsInStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, store := newHouse("!r "+ann, "!r "+bob), jobs.Memory()
		s := h.seats(store, nil)
		h.sit(t, s, ann)
		h.sit(t, s, bob)
		s.close()
		h.set(func() { delete(h.in, "!r "+bob) })
		s, other := h.seats(store, nil), h.seats(store, nil)
		defer s.close()
		defer other.close()
		time.Sleep(time.Minute)
		h.want(t, "30s "+bob)
		count := func() (n int) {
			_ = store.All(t.Context(), func(jobs.Record) bool { n++; return true })
			return n
		}
		time.Sleep(2 * time.Hour) // the token is over, the participant stays
		if n := count(); n != 1 {
			t.Errorf("%d seats, want 1", n)
		}
		h.set(func() { delete(h.sfu, leaveKey("room", ann)) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := count(); n != 0 {
			t.Errorf("%d seats, want 0", n)
		}
	})
}

// Users of other servers alone: they are asked for one by one.
func TestSweepRemoteOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse("!r "+bob, "!r @cat:two.example")
		s := h.seats(jobs.Memory(), nil)
		defer s.close()
		h.sit(t, s, bob)
		h.sit(t, s, "@cat:two.example")
		h.set(func() { delete(h.in, "!r "+bob) })
		time.Sleep(31 * time.Second)
		h.want(t, "30s "+bob)
	})
}

// A store that does not answer keeps nobody from anything but new tokens.
func TestSeatsStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, b := newHouse("!r "+ann), &brittle{Store: jobs.Memory()}
		s := h.seats(b, nil)
		defer s.close()
		h.sit(t, s, ann)
		b.set(true, 0)
		if err := s.take(t.Context(), "!r", bob, sfuPlace{"room", bob, 1}, time.Now()); !errors.Is(err, jobs.ErrStore) {
			t.Errorf("%v", err)
		}
		s.gone(t.Context(), "!r", ann, "left")
		time.Sleep(time.Minute)
		h.want(t)
		b.set(false, 0)
		h.set(func() { delete(h.in, "!r "+ann) })
		time.Sleep(time.Minute)
		h.want(t, "1m30s "+ann)
	})
}

// A user has so many participants in a room and no more: none of them may be
// forgotten.
func TestSeatPlacesBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse("!r " + ann)
		s := h.seats(jobs.Memory(), nil)
		defer s.close()
		take := func(i int) error {
			return s.take(t.Context(), "!r", ann, sfuPlace{"room", string(rune('A' + i)), time.Now().Add(time.Hour).Unix()}, time.Now())
		}
		for i := range maxPlaces {
			if err := take(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := take(maxPlaces); !errors.Is(err, errManyPlaces) {
			t.Errorf("one too many: %v", err)
		}
		if err := take(3); err != nil {
			t.Errorf("one that is known: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if err := take(maxPlaces); err != nil {
			t.Errorf("when the others are over: %v", err)
		}
	})
}

// Without sweeps what is said is acted upon all the same, and nothing is kept for
// ever.
func TestSeatsWithoutSweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, store := newHouse(), jobs.Memory()
		s := startSeats(&seats{store: store, interval: -1, server: "one.example", who: h, sfu: h, presence: h, log: slog.New(slog.DiscardHandler), removed: func(string) {}})
		defer s.close()
		h.sit(t, s, ann)
		time.Sleep(time.Minute)
		s.gone(t.Context(), "!r", ann, "left")
		time.Sleep(2 * time.Hour)
		h.want(t, "1m0s "+ann)
		if next, err := store.Next(t.Context()); err != nil || !next.IsZero() || h.asked != 0 {
			t.Errorf("%v, %v, asked %d times", next, err, h.asked)
		}
	})
}
