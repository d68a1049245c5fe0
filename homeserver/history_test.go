package homeserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

const messagesPath = "v3/rooms/%21one:fake.test/messages"

// TestHistoryOfDendrite pages through a room from the view of somebody who
// joined it last, and finds every event that matters, once, in order.
func TestHistoryOfDendrite(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := homeservertest.Register(t, hs.URL(), "alice"), homeservertest.Register(t, hs.URL(), "bob")
	room := homeservertest.Room(t, alice, bob)
	var want []matrixrtc.EventID
	for n := range 12 {
		want = append(want, send(t, alice, room, membership(alice, n)), send(t, bob, room, membership(bob, n)))
		send(t, bob, room, matrixrtc.Outgoing{Type: "m.room.message", Content: json.RawMessage(`{"msgtype":"m.text","body":"noise"}`)})
	}
	ring := send(t, bob, room, matrixrtc.Outgoing{Type: "org.matrix.msc4075.rtc.notification", Content: json.RawMessage(`{"lifetime":1}`)})
	gone := want[3]
	redaction, err := bob.Redact(t.Context(), room, gone, "")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, ring, redaction)
	stranger := homeservertest.Register(t, hs.URL(), "stranger")
	if _, _, err := stranger.History(t.Context(), room, "", 0); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("before joining: %v", err)
	}
	homeservertest.Join(t, stranger, room)
	// Dendrite answers before the join is in its list of what has happened, and pages that
	// are read meanwhile overlap.
	self, _ := stranger.Self()
	rtctest.Eventually(t, 30*time.Second, "the join is in the past", func() (bool, string) {
		last, _, err := stranger.History(t.Context(), room, "", 1)
		ok := err == nil && len(last) == 1 && last[0].StateKey != nil && *last[0].StateKey == string(self)
		return ok, fmt.Sprint(last, err)
	})

	var got []matrixrtc.Event
	pages := 0
	for from := ""; ; pages++ {
		events, next, err := stranger.History(t.Context(), room, from, 5)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, events...)
		if next == "" {
			break
		}
		if from = next; pages > 100 {
			t.Fatal("it does not end")
		}
	}
	slices.Reverse(got)
	seen := map[matrixrtc.EventID]bool{}
	var ids []matrixrtc.EventID
	types := map[string]int{}
	previous := map[string]matrixrtc.EventID{} // by state key
	for _, e := range got {
		if seen[e.ID] {
			t.Errorf("%s came twice", e.ID)
		}
		seen[e.ID] = true
		types[e.Type]++
		if slices.Contains(want, e.ID) {
			ids = append(ids, e.ID)
		}
		if e.Type == matrixrtc.TypeCallMember {
			if e.Replaces != "" && e.Replaces != previous[*e.StateKey] {
				t.Errorf("%s replaces %q, want %q", e.ID, e.Replaces, previous[*e.StateKey])
			}
			previous[*e.StateKey] = e.ID
		}
		if (e.ID == gone) != e.Redacted {
			t.Errorf("%s redacted: %v", e.ID, e.Redacted)
		}
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("events, oldest first (-sent +read):\n%s", diff)
	}
	if pages < 6 || types["m.room.message"] > 0 || types["m.room.create"] != 1 || types["m.room.member"] != 3 {
		t.Errorf("%d pages, types %v", pages, types)
	}

	e, err := stranger.Event(t.Context(), room, want[0])
	if err != nil || e.ID != want[0] || e.Type != matrixrtc.TypeCallMember || e.StateKey == nil || e.Room != room {
		t.Errorf("a single event: %+v, %v", e, err)
	}
	if _, err := stranger.Event(t.Context(), room, "$nothing"); !errors.Is(err, homeserver.ErrEventUnknown) {
		t.Errorf("an event that does not exist: %v", err)
	}
}

func historyFake(t *testing.T, answers ...answer) *fake {
	f := newFake(t)
	f.pages = answers
	return f
}

func TestHistoryPage(t *testing.T) {
	t.Parallel()
	one := call("$1", "@a:fake.test", `{}`)
	for name, c := range map[string]struct {
		body   string
		events int
		next   string
		err    error
	}{
		"page":              {`{"start":"s","chunk":[` + one + `],"end":"e","state":[{}]}`, 1, "e", nil},
		"end before chunk":  {`{"end":"e","chunk":[` + one + `]}`, 1, "e", nil},
		"last":              {`{"start":"s","chunk":[` + one + `]}`, 1, "", nil},
		"end is null":       {`{"chunk":[],"end":null}`, 0, "", nil},
		"chunk is null":     {`{"chunk":null,"end":"e"}`, 0, "e", nil},
		"empty, not last":   {`{"chunk":[],"end":"e"}`, 0, "e", nil},
		"goes nowhere":      {`{"chunk":[],"end":"from"}`, 0, "", nil},
		"one is unreadable": {`{"chunk":[{"type":7},` + one + `],"end":"e"}`, 1, "e", nil},
		"no chunk":          {`{"end":"e"}`, 0, "", homeserver.ErrBadAnswer},
		"chunk is a string": {`{"chunk":"x"}`, 0, "", homeserver.ErrBadAnswer},
		"a list":            {`[]`, 0, "", homeserver.ErrBadAnswer},
		"not JSON":          {`hello`, 0, "", homeserver.ErrBadAnswer},
		"breaks off":        {`{"chunk":[` + one, 0, "", homeserver.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := historyFake(t, ok(c.body))
			events, next, err := f.client(nil).History(t.Context(), room1, "from", 0)
			if len(events) != c.events || next != c.next || !errors.Is(err, c.err) {
				t.Errorf("%d events, next %q, %v", len(events), next, err)
			}
			asked := f.requests("messages")
			if len(asked) != 1 || !strings.Contains(asked[0], "dir=b") || !strings.Contains(asked[0], "from=from") ||
				!strings.Contains(asked[0], "limit=500") || !strings.Contains(asked[0], "lazy_load_members%22%3Afalse") {
				t.Errorf("asked %v", asked)
			}
		})
	}
}

func TestHistoryWaitsOutRateLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := historyFake(t,
			answer{status: 429, body: `{}`, header: http.Header{"Retry-After": {"90"}}},
			answer{status: 429, body: `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":7000}`},
			answer{status: 429, body: `{}`},
			ok(`{"chunk":[],"end":"e"}`))
		began := time.Now()
		_, next, err := f.client(nil).History(t.Context(), room1, "", 0)
		if err != nil || next != "e" {
			t.Errorf("next %q, %v", next, err)
		}
		if took := time.Since(began); took != (90+7+4)*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestHistoryEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := historyFake(t, answer{status: 429, body: `{}`, header: http.Header{"Retry-After": {"600"}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := f.client(nil).History(ctx, room1, "", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// TestHistoryIsBounded: a homeserver may send what it likes.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.answers[messagesPath] = func(*http.Request) (int, string) {
		return 200, `{"chunk":[],"x":"` + strings.Repeat("x", 97<<20) + `"}`
	}
	if _, _, err := f.client(nil).History(t.Context(), room1, "", 0); !errors.Is(err, homeserver.ErrBadAnswer) {
		t.Errorf("97 MiB: %v", err)
	}
	f.on("v3/rooms/%21one:fake.test/event/$2", call("$1", "@a:fake.test", `{}`))
	if _, err := f.client(nil).Event(t.Context(), room1, "$2"); !errors.Is(err, homeserver.ErrBadAnswer) {
		t.Errorf("another event than was asked for: %v", err)
	}
	for _, status := range []int{403, 404} {
		f.answers["v3/rooms/%21one:fake.test/event/$3"] = func(*http.Request) (int, string) {
			return status, `{"errcode":"M_FORBIDDEN","error":"secret-access-1"}`
		}
		if _, err := f.client(nil).Event(t.Context(), room1, "$3"); !errors.Is(err, homeserver.ErrEventUnknown) ||
			!errors.Is(err, fs.ErrNotExist) || errors.Is(homeserver.ErrForbidden, fs.ErrNotExist) ||
			strings.Contains(fmt.Sprint(err), "secret-") {
			t.Errorf("HTTP %d: %v", status, err)
		}
	}
}
