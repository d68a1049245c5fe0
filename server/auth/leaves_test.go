package auth

import (
	"context"
	"errors"
	"fmt"
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

// site is an SFU and a homeserver in memory, and what the homeserver was asked.
type site struct {
	mu     sync.Mutex
	start  time.Time
	there  map[string]string // participant → SID
	blind  bool              // the SFU does not answer
	asked  []string
	wanted map[string]int // how often each was sent
	fail   func(n int) error
	n      int
	took   time.Duration                 // how long the homeserver takes
	ended  map[leave.End]map[string]bool // delayed events, by why
}

func newSite() *site {
	return &site{start: time.Now(), there: map[string]string{}, wanted: map[string]int{}, ended: map[leave.End]map[string]bool{}}
}

func (s *site) Participant(_ context.Context, room, identity string) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blind {
		return "", false, errors.New("SFU down")
	}
	sid, ok := s.there[leaveKey(room, identity)]
	return sid, ok, nil
}

func (s *site) act(ctx context.Context, job *leave.Job, action leave.Action) error {
	s.mu.Lock()
	s.n++
	took, err := s.took, error(nil)
	if s.fail != nil {
		err = s.fail(s.n)
	}
	at := time.Since(s.start).Round(time.Millisecond)
	s.mu.Unlock()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return &retryError{err: ctx.Err()}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("%v %s %s", at, action, job.DelayID))
	if action == leave.Send {
		s.wanted[job.DelayID]++
	}
	return nil
}

// sent is how often a delayed event was sent.
func (s *site) sent(delayID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted[delayID]
}

func (s *site) end(job *leave.Job, why leave.End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended[why] == nil {
		s.ended[why] = map[string]bool{}
	}
	s.ended[why][job.DelayID] = true
}

// over is how many ended for a reason.
func (s *site) over(why leave.End) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended[why])
}

// lost is how many of d0 to d(n-1) were neither sent nor late: those the homeserver
// sends.
func (s *site) lost(n int) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		if id := fmt.Sprint("d", i); s.wanted[id] == 0 && !s.ended[leave.Late][id] {
			lost++
		}
	}
	return lost
}

func (s *site) failing(f func(n int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

func (s *site) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *site) sit(identity, sid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sid == "" {
		delete(s.there, leaveKey("room", identity))
		return
	}
	s.there[leaveKey("room", identity)] = sid
}

// look begins to look after leaves in a store.
func (s *site) look(store jobs.Store, rules leave.Rules) *leaves {
	return startLeaves(&leaves{store: store, rules: rules, sfu: s, act: s.act, log: slog.New(slog.DiscardHandler), seen: s.end})
}

func leaveOf(who, delayID string, delay time.Duration) leave.Job {
	return leave.Job{Room: "room", Identity: who, Server: "one.example", User: "@" + who + ":one.example", DelayID: delayID, Delay: delay}
}

func handOver(t *testing.T, l *leaves, j leave.Job) {
	t.Helper()
	if err := l.delegate(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

func wantAsked(t *testing.T, s *site, want ...string) {
	t.Helper()
	synctest.Wait()
	if d := cmp.Diff(want, s.list()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

func left(t *testing.T, l *leaves) int {
	t.Helper()
	n := 0
	if err := l.store.All(t.Context(), func(jobs.Record) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A whole life: seen, restarted at four fifths for two days, left.
func TestLeaveOverDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		l := s.look(jobs.Memory(), leave.Rules{})
		defer l.close()
		s.sit("ann", "A")
		handOver(t, l, leaveOf("ann", "d1", time.Hour))
		wantAsked(t, s, "0s restart d1")
		time.Sleep(48*time.Hour - time.Minute)
		synctest.Wait()
		asked := s.list()
		if len(asked) != 60 || asked[1] != "48m0s restart d1" || asked[59] != "47h12m0s restart d1" {
			t.Fatalf("%d: %q", len(asked), asked)
		}
		s.sit("ann", "")
		l.happened(t.Context(), "room", "ann", leave.Left{SID: "A"})
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked = s.list(); len(asked) != 61 || asked[60] != "47h59m0s send d1" || left(t, l) != 0 {
			t.Errorf("%q, %d left", asked[60:], left(t, l))
		}
	})
}

func TestLeaveReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		l := s.look(jobs.Memory(), leave.Rules{})
		defer l.close()
		s.sit("ann", "A")
		handOver(t, l, leaveOf("ann", "d1", time.Minute))
		time.Sleep(time.Second)
		handOver(t, l, leaveOf("ann", "d2", time.Minute))
		handOver(t, l, leaveOf("bob", "d3", time.Minute)) // never comes
		time.Sleep(10 * time.Second)
		l.happened(t.Context(), "room", "ann", leave.Left{SID: "A"})
		time.Sleep(2 * time.Minute)
		wantAsked(t, s, "0s restart d1", "1s restart d2", "11s send d2", "1m1s send d3")
		if n := left(t, l); n != 0 {
			t.Errorf("%d left", n)
		}
	})
}

// An answer that comes after a newer delegation is not taken for its own.
func TestLeaveReplacedWhileAsking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		s.took = 2 * time.Second
		l := s.look(jobs.Memory(), leave.Rules{})
		defer l.close()
		s.sit("ann", "A")
		handOver(t, l, leaveOf("ann", "d1", time.Minute))
		time.Sleep(time.Second)
		s.failing(func(int) error { return &retryError{err: errors.New("down")} })
		handOver(t, l, leaveOf("ann", "d2", time.Minute))
		time.Sleep(90 * time.Second)
		wantAsked(t, s, "0s restart d1")
		if n := left(t, l); n != 0 { // d2 was late
			t.Errorf("%d left", n)
		}
	})
}

// The process ends at any moment, and another one goes on.
func TestLeaveOverRestarts(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 500 * time.Millisecond, time.Second, 30 * time.Second, 50 * time.Second} {
		for _, gone := range []bool{false, true} {
			t.Run(fmt.Sprint(after, gone), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, store := newSite(), jobs.Memory()
					s.took = 700 * time.Millisecond
					l := s.look(store, leave.Rules{})
					s.sit("ann", "A")
					handOver(t, l, leaveOf("ann", "d1", time.Minute))
					time.Sleep(after)
					l.close()
					if gone {
						s.sit("ann", "") // while nobody listens
					}
					time.Sleep(3 * time.Second)
					l = s.look(store, leave.Rules{})
					defer l.close()
					time.Sleep(90 * time.Second)
					if gone {
						if s.sent("d1") != 1 || left(t, l) != 0 {
							t.Errorf("sent %d times, %d left: %q", s.sent("d1"), left(t, l), s.list())
						}
						return
					}
					time.Sleep(5 * time.Minute)
					if s.sent("d1") != 0 || left(t, l) != 1 || len(s.list()) < 6 {
						t.Errorf("sent %d times, %d left: %q", s.sent("d1"), left(t, l), s.list())
					}
				})
			})
		}
	}
}

// Replicas share the work without doing it twice.
func TestLeaveReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store := newSite(), jobs.Memory()
		s.took = 300 * time.Millisecond
		var all []*leaves
		for range 4 {
			all = append(all, s.look(store, leave.Rules{Check: 40 * time.Second}))
		}
		const n = 200
		for i := range n {
			who := fmt.Sprint("user", i)
			s.sit(who, "A")
			handOver(t, all[i%4], leaveOf(who, fmt.Sprint("d", i), time.Minute))
		}
		time.Sleep(10 * time.Minute)
		all[0].close() // its part goes to the others
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		at := map[string]int{}
		for _, a := range s.list() {
			at[a]++
		}
		for a, times := range at {
			if times > 1 {
				t.Fatalf("%d times %q", times, a)
			}
		}
		if got := len(s.list()); got < 24*n || got > 26*n { // 1200 s / 48 s, and the first
			t.Errorf("%d restarts, want about %d", got, 25*n)
		}
		for i := range n { // every report comes twice, by different ways
			who := fmt.Sprint("user", i)
			s.sit(who, "")
			all[1+i%3].happened(t.Context(), "room", who, leave.Left{SID: "A"})
			all[1+(i+1)%3].happened(t.Context(), "room", who, leave.Left{SID: "A"})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i := range n {
			if times := s.sent(fmt.Sprint("d", i)); times != 1 {
				t.Errorf("d%d sent %d times", i, times)
			}
		}
		if n := left(t, all[1]); n != 0 {
			t.Errorf("%d left", n)
		}
		for _, l := range all[1:] {
			l.close()
		}
	})
}

// A homeserver that is away for a while costs nothing.
func TestLeaveHomeserverAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		l := s.look(jobs.Memory(), leave.Rules{})
		defer l.close()
		s.sit("ann", "A")
		handOver(t, l, leaveOf("ann", "d1", time.Minute))
		time.Sleep(40 * time.Second)
		s.failing(func(int) error { return &retryError{err: errors.New("down")} })
		time.Sleep(15 * time.Second) // 48 s and some tries
		s.failing(nil)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if asked := s.list(); len(asked) != 2 || left(t, l) != 1 {
			t.Errorf("%q, %d left", asked, left(t, l))
		}
		s.failing(func(int) error { return errLeaveGone })
		time.Sleep(2 * time.Minute)
		if n := left(t, l); n != 0 {
			t.Errorf("%d left after it is gone", n)
		}
	})
}

func TestLeaveLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite()
		l := s.look(jobs.Memory(), leave.Rules{})
		handOver(t, l, leaveOf("ann", "d1", time.Hour))
		handOver(t, l, leaveOf("bob", "d2", time.Hour))
		if err := l.withdraw(t.Context(), "room", "ann"); err != nil || left(t, l) != 1 {
			t.Errorf("%v, %d left", err, left(t, l))
		}
		if err := l.withdraw(t.Context(), "room", "ann"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if got := l.states(t.Context()); got[leave.Waiting] != 1 || got[leave.Connected] != 0 {
			t.Errorf("%v", got)
		}
		l.countMu.Lock()
		l.counts, l.counted = map[leave.State]int{leave.Connected: leavesMost}, time.Now()
		l.countMu.Unlock()
		if err := l.delegate(t.Context(), leaveOf("eve", "d3", time.Hour)); !errors.Is(err, errTooManyLeaves) {
			t.Errorf("one too many: %v", err)
		}
		l.close()
		l.close()
		l.happened(t.Context(), "room", "bob", leave.Joined{SID: "A"}) // nobody is there to do it
		synctest.Wait()
	})
}

// What cannot be read is dropped; it would be due for ever.
func TestLeaveGarbage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, store := newSite(), jobs.Memory()
		for key, data := range map[string]string{"a": "garbage", "b": `{"Room":"x","Identity":"y","Delay":1}`, leaveKey("room", "c"): `{"Room":"room","Identity":"c","Delay":-1}`} {
			if _, err := store.Put(t.Context(), jobs.Record{Key: key, At: time.Now(), Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
		}
		l := s.look(store, leave.Rules{})
		defer l.close()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := left(t, l); n != 0 || len(s.list()) != 0 {
			t.Errorf("%d left, asked %q", n, s.list())
		}
	})
}
