package homeserver_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

func TestSyncBacksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := answer{body: "connection refused"}
		bad := answer{status: 500, body: `{"errcode":"M_UNKNOWN","error":"secret-access-1 broke"}`}
		gateway := answer{status: 502, body: "<html>"}
		f := newFake(t, down, bad, gateway, ok("not json"), ok(`{}`), down, down, ok(`{"next_batch":"a"}`))
		c := f.client(nil)
		began := time.Now()
		seen := collect(t, c, 2)
		var o *homeserver.Outage
		if !errors.As(seen[0].err, &o) || o.RetryAfter() != time.Second || o.Final() || !errors.Is(o, homeserver.ErrUnreachable) {
			t.Errorf("first element %v", seen[0].err)
		}
		if seen[1].err != nil || seen[1].batch.Room != "" {
			t.Errorf("second element %v", seen[1])
		}
		if took, want := time.Since(began), (1+2+4+8+16+30+30)*time.Second; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

func TestSyncHonoursRateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t,
			answer{status: 429, body: `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":7000}`},
			answer{status: 429, body: `{}`, header: http.Header{"Retry-After": {"90"}}},
			ok(`{"next_batch":"a"}`))
		began := time.Now()
		seen := collect(t, f.client(nil), 2)
		if !errors.Is(seen[0].err, homeserver.ErrRateLimited) {
			t.Errorf("first element %v", seen[0].err)
		}
		if took := time.Since(began); took != 97*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestSyncStopsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, ok(`{"next_batch":"a"}`))
		ctx, cancel := contextWithCancel(t)
		var seen []element
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b, err := range f.client(nil).Sync(ctx, "", nil) {
				seen = append(seen, element{b, err})
			}
		}()
		synctest.Wait() // the second /sync is being held
		cancel()
		<-done
		if len(seen) != 1 || seen[0].err != nil {
			t.Errorf("yielded%s", describe(seen))
		}
		if n := len(f.requests("v3/sync")); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestSyncDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		empty := ok(`{"next_batch":"a"}`)
		f := newFake(t, empty, empty, empty, empty)
		began := time.Now()
		collect(t, f.client(nil), 4)
		if took := time.Since(began); took < 400*time.Millisecond {
			t.Errorf("four empty answers within %v", took)
		}
	})
}

func TestSoftLogoutRenewsTheToken(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	unknown := `{"errcode":"M_UNKNOWN_TOKEN","error":"token secret-access-1 expired","soft_logout":true}`
	f.answers["v3/joined_rooms"] = func(r *http.Request) (int, string) {
		if r.Header.Get("Authorization") != "Bearer "+secondToken {
			return 401, unknown
		}
		return 200, `{"joined_rooms":["!a"]}`
	}
	f.answers["v3/refresh"] = func(r *http.Request) (int, string) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the old access token goes with the refresh")
		}
		return 200, `{"access_token":"` + secondToken + `","refresh_token":"secret-refresh-2","expires_in_ms":3600000}`
	}
	var saved []homeserver.Credentials
	c := f.client(func(creds *homeserver.Credentials, o *homeserver.Options) {
		creds.RefreshToken = firstRefresh
		o.Save = func(c homeserver.Credentials) error { saved = append(saved, c); return nil }
	})
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			rooms, err := c.JoinedRooms(t.Context())
			if err != nil || !slices.Equal(rooms, []matrixrtc.RoomID{"!a"}) {
				t.Errorf("rooms %v, %v", rooms, err)
			}
		})
	}
	group.Wait()
	if n := len(f.requests("v3/refresh")); n != 1 {
		t.Errorf("renewed %d times", n)
	}
	if len(saved) != 1 || saved[0].AccessToken != secondToken || saved[0].RefreshToken != "secret-refresh-2" ||
		time.Until(saved[0].Expires) < 50*time.Minute || saved[0].UserID != "@me:fake.test" {
		t.Errorf("saved %d: %v", len(saved), saved)
	}
}

func TestTokenIsRenewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("v3/joined_rooms", `{}`)
	f.on("v3/refresh", `{"access_token":"`+secondToken+`"}`)
	c := f.client(func(creds *homeserver.Credentials, _ *homeserver.Options) {
		creds.RefreshToken, creds.Expires = firstRefresh, time.Now().Add(30*time.Second)
	})
	if _, err := c.JoinedRooms(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.Credentials(); got.AccessToken != secondToken || got.RefreshToken != firstRefresh || !got.Expires.IsZero() {
		t.Error("not renewed, or the refresh token that stays was lost")
	}
	if n := len(f.requests("v3/refresh")); n != 1 {
		t.Errorf("renewed %d times", n)
	}
}

func TestRefusedRenewalIsFinal(t *testing.T) {
	t.Parallel()
	for name, refresh := range map[string]string{"with refresh token": firstRefresh, "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unknown := answer{status: 401, body: `{"errcode":"M_UNKNOWN_TOKEN","error":"` + firstRefresh + ` no"}`}
			f := newFake(t, unknown, unknown)
			f.answers["v3/refresh"] = func(*http.Request) (int, string) { return unknown.status, unknown.body }
			c := f.client(func(creds *homeserver.Credentials, _ *homeserver.Options) { creds.RefreshToken = refresh })
			seen := collect(t, c, 99)
			if len(seen) != 1 || !errors.Is(seen[0].err, homeserver.ErrUnauthorized) {
				t.Fatalf("yielded%s", describe(seen))
			}
			var final interface{ Final() bool }
			if !errors.As(seen[0].err, &final) || !final.Final() {
				t.Error("not final")
			}
			if text := seen[0].err.Error(); !strings.Contains(text, "log in again") || refresh != "" && strings.Contains(text, refresh) {
				t.Errorf("error %q", text)
			}
		})
	}
}

func TestGarbageCostsNothingElse(t *testing.T) {
	t.Parallel()
	f := newFake(t, ok(`{"next_batch":"a","rooms":{"join":{
		"!bad:x":{"timeline":{"events":7}},
		"!one:fake.test":{"timeline":{"events":[7, {"type":"m.rtc.member"}, null,`+person("@a:x", "join")+`,`+call("$1", "@a:x", `{"x":"\u0000"}`)+`]}}
	}}}`), inRoom("b", timeline(false, call("$2", "@a:x", `{}`))))
	c := f.client(nil)
	seen := collect(t, c, 9)
	var notes []matrixrtc.RoomID
	for _, el := range seen {
		var re *homeserver.RoomError
		if errors.As(el.err, &re) {
			notes = append(notes, re.Room)
		} else if el.err != nil {
			t.Errorf("error %v", el.err)
		}
	}
	// The whole room, three events, and that its state cannot be read.
	if want := []matrixrtc.RoomID{"!bad:x", room1, room1, room1, "!bad:x"}; !slices.Equal(slices.Sorted(slices.Values(notes)), slices.Sorted(slices.Values(want))) {
		t.Errorf("notes %v, want %v", notes, want)
	}
	ids := eventIDs(events(seen, room1, matrixrtc.TypeCallMember))
	if !slices.Equal(ids, []matrixrtc.EventID{"$1", "$2"}) {
		t.Errorf("events %v:%s", ids, describe(seen))
	}
}

func eventIDs(list []matrixrtc.Event) []matrixrtc.EventID {
	var ids []matrixrtc.EventID
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestHugeAnswersAreRefused(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answers["v3/user/@me:fake.test/openid/request_token"] = func(*http.Request) (int, string) {
		return 200, `{"access_token":"x","matrix_server_name":"` + strings.Repeat("a", 70<<10) + `"}`
	}
	f.answers["v3/join/%21x"] = func(*http.Request) (int, string) { return 403, `{"error":"` + strings.Repeat("a", 1<<20) + `"}` }
	c := f.client(nil)
	if _, err := c.OpenIDToken(t.Context()); !errors.Is(err, homeserver.ErrBadAnswer) || len(err.Error()) > 1000 {
		t.Errorf("error %.200v", err)
	}
	if _, err := c.Join(t.Context(), "!x"); !errors.Is(err, homeserver.ErrForbidden) || len(err.Error()) > 1000 {
		t.Errorf("error %.200v", err)
	}
}

func TestRateLimitOfASendIsTheCallersBusiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		limited := func(*http.Request) (int, string) { return 429, `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}` }
		f.answers["v3/rooms/%21one:fake.test/state/x/k"] = limited
		tries := 0
		f.answers["v3/joined_rooms"] = func(r *http.Request) (int, string) {
			if tries++; tries < 3 {
				return limited(r)
			}
			return 200, `{}`
		}
		c, began, key := f.client(nil), time.Now(), "k"
		_, err := c.Send(t.Context(), room1, matrixrtc.Outgoing{Type: "x", StateKey: &key})
		var after interface{ RetryAfter() time.Duration }
		if !errors.As(err, &after) || after.RetryAfter() != 1500*time.Millisecond || time.Since(began) != 0 {
			t.Errorf("send: %v after %v", err, time.Since(began))
		}
		if _, err := c.JoinedRooms(t.Context()); err != nil || time.Since(began) != 3*time.Second {
			t.Errorf("rooms: %v after %v", err, time.Since(began))
		}
	})
}

func TestStickyIsAskedForOnlyWhereKnown(t *testing.T) {
	t.Parallel()
	key := "k"
	for _, known := range []bool{true, false} {
		f := newFake(t)
		if known {
			f.on("versions", `{"versions":["v1.11"],"unstable_features":{"org.matrix.msc4354":true}}`)
		}
		f.on("v3/rooms/%21one:fake.test/state/s/k", `{"event_id":"$s"}`)
		c := f.client(nil)
		_, err := c.Send(t.Context(), room1, matrixrtc.Outgoing{Type: "s", StateKey: &key, Sticky: time.Hour})
		if err != nil {
			t.Errorf("known %v: state event: %v", known, err)
		}
		if got := len(f.requests("msc4354.sticky_duration_ms=3600000")); known != (got == 1) {
			t.Errorf("known %v: asked %v", known, f.requests("state/"))
		}
		_, err = c.Send(t.Context(), room1, matrixrtc.Outgoing{Type: "m", Sticky: time.Hour})
		if known == errors.Is(err, homeserver.ErrUnsupported) && len(f.requests("send/m")) == 0 {
			t.Errorf("known %v: message event: %v", known, err)
		}
	}
}
