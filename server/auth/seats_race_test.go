package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// gate is a homeserver before which something can happen.
type gate struct {
	mu     sync.Mutex
	before func(*http.Request)
}

func (g *gate) set(f func(*http.Request)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before = f
}

// newGate is a site whose homeserver is behind a gate, and its SFU.
func newGate(t *testing.T, change func(*Config, *Options)) (*homeSite, *gate, *removing) {
	t.Helper()
	g, sfu := &gate{}, &removing{}
	two := newHomeserver(t, "two.example", nil)
	var s *homeSite
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		before := g.before
		g.mu.Unlock()
		s.home.ServeHTTP(w, r)
		if before != nil { // after the homeserver has made up its mind
			before(r)
		}
	}))
	t.Cleanup(front.Close)
	s = newHomeSite(t, func(cfg *Config, o *Options) {
		cfg.Rooms, cfg.ClientAPIs["one.example"], cfg.Overrides["two.example"] = sfu, front.URL, two.URL
		o.MembershipCheck = -1
		if change != nil {
			change(cfg, o)
		}
	})
	return s, g, sfu
}

func roomX(token, server string) string {
	return strings.Replace(sfuGetBody(token, server, ""), "!room:example.org", "!room:x", 1)
}

// A user is banned while the homeserver says that they are in the room: no token is
// given, by whatever endpoint, also if it is the first one.
func TestBannedMeanwhile(t *testing.T) {
	t.Parallel()
	type ask struct {
		path, body, user string
		head             head
		check            bool
	}
	for name, c := range map[string]ask{
		"at the homeserver's endpoint": {csToken, homeBody, "@ann:one.example", fromUser("@ann:one.example"), false},
		"with one's own token":         {csToken, homeBody, "@ann:one.example", byToken("token-ann"), false},
		"federation":                   {ssToken, peerBody, "@bob:two.example", fromServer("two.example"), false},
		"OpenID, checked":              {"/sfu/get", roomX("tok-ann", "one.example"), "@ann:one.example", nil, true},
		"OpenID, checked, remote":      {"/sfu/get", roomX("tok-bob", "two.example"), "@bob:two.example", nil, true},
	} {
		for _, pardoned := range []bool{false, true} {
			t.Run(fmt.Sprint(name, pardoned), func(t *testing.T) {
				t.Parallel()
				s, g, sfu := newGate(t, func(_ *Config, o *Options) { o.Policy.CheckMembership = c.check })
				g.set(func(r *http.Request) {
					if !strings.Contains(r.URL.String(), "mxid=") {
						return
					}
					g.set(nil)
					if !pardoned {
						s.home.set(func(h *fakeHome) { delete(h.joined, "!room:x "+c.user) })
					}
					s.MemberGone(context.Background(), "!room:x", c.user)
				})
				w := s.request("POST", c.path, c.body, c.head)
				if want := map[bool]int{false: 403, true: 200}[pardoned]; w.Code != want {
					t.Errorf("%d %s, want %d", w.Code, w.Body, want)
				}
				if len(sfu.list()) != 0 {
					t.Errorf("%q", sfu.list())
				}
			})
		}
	}
}

// Who has left needs the homeserver's word to get a token again, also where tokens are
// given without that otherwise.
func TestRejoin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token, server, user string
		home                func(*fakeHome)
		back                bool
		status              int
	}{
		"never left":                 {"tok-eve", "one.example", "", nil, false, 200},
		"joined again":               {"tok-ann", "one.example", "@ann:one.example", nil, false, 200},
		"joined again, remote":       {"tok-bob", "two.example", "@bob:two.example", nil, false, 200},
		"still out":                  {"tok-ann", "one.example", "@ann:one.example", func(h *fakeHome) { delete(h.joined, "!room:x @ann:one.example") }, false, 403},
		"still out, remote":          {"tok-bob", "two.example", "@bob:two.example", func(h *fakeHome) { delete(h.joined, "!room:x @bob:two.example") }, false, 403},
		"remote, nobody can tell":    {"tok-bob", "two.example", "@bob:two.example", func(h *fakeHome) { h.noJoined = true }, false, 403},
		"remote, but it was said so": {"tok-bob", "two.example", "@bob:two.example", func(h *fakeHome) { h.noJoined = true }, true, 200},
		"homeserver down":            {"tok-ann", "one.example", "@ann:one.example", func(h *fakeHome) { h.down = true }, false, 502},
		"down, but it was said so":   {"tok-ann", "one.example", "@ann:one.example", func(h *fakeHome) { h.down = true }, true, 200},
	} {
		for _, seated := range []bool{true, false} {
			t.Run(fmt.Sprint(name, seated), func(t *testing.T) {
				t.Parallel()
				s, _, sfu := newGate(t, nil)
				ask := func() *httptest.ResponseRecorder { return post(s, "/sfu/get", roomX(c.token, c.server)) }
				if w := ask(); seated && w.Code != 200 {
					t.Fatalf("at first: %d %s", w.Code, w.Body)
				}
				s.MemberGone(t.Context(), "!room:x", c.user)
				if c.home != nil {
					s.home.set(c.home)
				}
				if c.back {
					event := `{"type":"m.room.member","room_id":"!room:x","state_key":"` + c.user + `","content":{"membership":"join"}}`
					if w := s.request("PUT", "/_matrix/app/v1/transactions/t1", `{"events":[`+event+`]}`, byToken(string(hsToken))); w.Code != 200 {
						t.Fatalf("%d %s", w.Code, w.Body)
					}
				}
				removed := len(sfu.list())
				w := ask()
				if w.Code != c.status {
					t.Fatalf("%d %s, want %d", w.Code, w.Body, c.status)
				}
				if w.Code != 200 {
					return
				}
				_, grants, _ := decodeToken(t, w)
				s.SFUEvent(t.Context(), SFUEvent{Kind: SFUJoined, Room: grants.Video.Room, Identity: grants.Identity, SID: "A"})
				if got := sfu.list(); len(got) != removed {
					t.Errorf("removed %q", got)
				}
			})
		}
	}
}

// Left, joined again, asked for, and left again before the token: it is refused.
func TestLeftTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse("!r " + ann)
		s := h.seats(jobs.Memory(), nil)
		defer s.close()
		h.sit(t, s, ann)
		take := func(asOf time.Time) error {
			return s.take(t.Context(), "!r", ann, sfuPlace{"room", ann, time.Now().Add(time.Hour).Unix()}, asOf)
		}
		s.gone(t.Context(), "!r", ann, "left")
		time.Sleep(10 * time.Second)
		asked := time.Now()
		time.Sleep(time.Second)
		s.gone(t.Context(), "!r", ann, "left")
		s.lately.Remove(seatKey("!r", ann)) // as another replica would see it
		if err := take(asked); !errors.Is(err, errOut) {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Second)
		if err := take(time.Now()); err != nil {
			t.Error(err)
		}
		if err := take(time.Time{}); err != nil {
			t.Errorf("and another one: %v", err)
		}
		other := "@new:one.example" // of whom nothing is known but that they left
		s.gone(t.Context(), "!r", other, "left")
		first := func() error {
			return s.take(t.Context(), "!r", other, sfuPlace{"room", other, time.Now().Add(time.Hour).Unix()}, time.Time{})
		}
		if err := first(); !errors.Is(err, errOut) {
			t.Errorf("%v", err)
		}
		time.Sleep(lateTime)
		if err := first(); err != nil {
			t.Errorf("later: %v", err)
		}
	})
}

// All devices of a user go, by all names that they have on the SFU, and nobody else;
// an old token does not bring them back.
func TestAllDevicesGo(t *testing.T) {
	t.Parallel()
	for _, who := range []struct{ token, server, user string }{{"tok-ann", "one.example", "@ann:one.example"}, {"tok-bob", "two.example", "@bob:two.example"}} {
		s, _, sfu := newGate(t, nil)
		var names []string
		get := func(path, body string) {
			_, grants, _ := decodeToken(t, post(s, path, body))
			names = append(names, grants.Video.Room+" "+grants.Identity)
			s.SFUEvent(t.Context(), SFUEvent{Kind: SFUJoined, Room: grants.Video.Room, Identity: grants.Identity, SID: "A"})
		}
		for _, device := range []string{"PHONE", "LAPTOP"} {
			get("/sfu/get", strings.Replace(roomX(who.token, who.server), "PHONE", device, 1))
			get("/get_token", strings.NewReplacer("!room:example.org", "!room:x", "DEVICE123", device).Replace(getTokenBody(who.token, who.server, who.user, "")))
		}
		decodeToken(t, post(s, "/sfu/get", roomX("tok-eve", "one.example")))
		s.MemberGone(t.Context(), "!other:x", who.user)
		s.MemberGone(t.Context(), "!room:x", who.user)
		if got := sfu.list(); strings.Join(got, "\n") != strings.Join(names, "\n") {
			t.Errorf("removed %q, want %q", got, names)
		}
		room, identity, _ := strings.Cut(names[0], " ")
		s.SFUEvent(t.Context(), SFUEvent{Kind: SFUJoined, Room: room, Identity: identity, SID: "B"})
		if got := sfu.list(); len(got) != 5 || got[4] != names[0] {
			t.Errorf("back with the old token: %q", got)
		}
	}
}

// late is a house in which something happens while it is asked.
type late struct {
	*house
	during atomic.Pointer[func()]
}

func (l *late) members(ctx context.Context, as, room string) (map[string]bool, bool, error) {
	joined, gone, err := l.house.members(ctx, as, room)
	if during := l.during.Swap(nil); during != nil {
		(*during)()
	}
	return joined, gone, err
}

// A sweep whose answer is older than a new token removes nobody; the next one knows
// better.
func TestSweepMeetsRejoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse("!r "+ann, "!r "+bob)
		l := &late{house: h}
		s := startSeats(&seats{
			store: jobs.Memory(), interval: 30 * time.Second, server: "one.example", who: l, sfu: h, presence: h,
			log: slog.New(slog.DiscardHandler), removed: func(string) {},
		})
		defer s.close()
		h.sit(t, s, ann)
		h.sit(t, s, bob)
		h.set(func() { delete(h.in, "!r "+bob) })
		time.Sleep(29 * time.Second)
		rejoin := func() { // after the answer that bob is not in the room
			h.set(func() { h.in["!r "+bob] = true })
			h.sit(t, s, bob)
		}
		l.during.Store(&rejoin)
		time.Sleep(5 * time.Minute)
		h.want(t)
		h.set(func() { delete(h.in, "!r "+bob) })
		time.Sleep(time.Minute)
		h.want(t, "5m30s "+bob)
	})
}

// Tokens, bans, joins and sweeps at the same time: in the end those are on the SFU who
// are in the room.
func TestSeatsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		users := []string{"@a:one.example", "@b:one.example", "@c:two.example"}
		h := newHouse()
		s := h.seats(jobs.Memory(), nil)
		other := h.seats(s.store, nil) // another replica
		defer s.close()
		defer other.close()
		var wg sync.WaitGroup
		for i, user := range users {
			for _, by := range []*seats{s, other} {
				wg.Go(func() {
					for n := range 60 {
						if n%2 == i%2 {
							h.set(func() { h.in["!r "+user] = true })
							by.back(t.Context(), "!r", user)
						} else {
							h.set(func() { delete(h.in, "!r "+user) })
							by.gone(t.Context(), "!r", user, "left")
						}
						time.Sleep(time.Duration(n%7) * time.Second)
					}
				})
				wg.Go(func() {
					for n := range 60 {
						now := time.Now()
						in, _ := h.joined(t.Context(), asker{user: user}, "!r")
						time.Sleep(time.Duration(n%3) * time.Millisecond)
						if !in {
							now = time.Time{}
						}
						p := sfuPlace{"room", user, time.Now().Add(time.Hour).Unix()}
						err := by.take(t.Context(), "!r", user, p, now)
						if err == nil {
							h.set(func() { h.sfu[leaveKey("room", user)] = true })
							by.joined(t.Context(), "room", user)
						} else if !errors.Is(err, errOut) {
							t.Error(err)
						}
						time.Sleep(time.Duration(n%5) * time.Second)
					}
				})
			}
		}
		wg.Wait()
		h.set(func() {
			h.in = map[string]bool{"!r @b:one.example": true}
			h.sfu[leaveKey("room", "@b:one.example")] = true
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.sfu) > 1 || !h.sfu[leaveKey("room", "@b:one.example")] {
			t.Errorf("on the SFU: %v", h.sfu)
		}
	})
}
