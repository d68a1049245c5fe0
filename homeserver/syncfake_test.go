package homeserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// outline writes what Sync yielded with event ids alone.
func outline(seen []element) []string {
	ids := func(events []matrixrtc.Event) string {
		var list []string
		for _, e := range events {
			list = append(list, strings.TrimPrefix(string(e.ID), "$"))
		}
		return strings.Join(list, " ")
	}
	var out []string
	for _, el := range seen {
		b := el.batch
		switch {
		case el.err != nil:
			out = append(out, "error")
		case b.Room == "":
			out = append(out, ".")
		case b.Left:
			out = append(out, "left")
		case b.Complete:
			out = append(out, fmt.Sprintf("complete [%s] [%s] [%s]", ids(b.State), ids(b.Events), ids(b.Sticky)))
		default:
			out = append(out, fmt.Sprintf("[%s] [%s] [%s]", ids(b.State), ids(b.Events), ids(b.Sticky)))
		}
	}
	return out
}

func check(t *testing.T, seen []element, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, outline(seen)); diff != "" {
		t.Errorf("yielded (-want +got):\n%s%s", diff, describe(seen))
	}
}

func TestSyncFoldsTheFirstTimeline(t *testing.T) {
	t.Parallel()
	f := newFake(t, ok(`{"next_batch":"a","rooms":{"join":{"`+string(room1)+`":{
		"state":{"events":[`+call("$a1", "@a:x", `{}`)+`,`+person("@a:x", "join")+`]},
		"timeline":{"limited":true,"events":[`+call("$a2", "@a:x", `{}`)+`,`+ev("$r", "m.room.redaction", "-", "@a:x", `{"redacts":"$q"}`)+`,`+
		call("$a3", "@a:x", `{}`)+`]}}}}}`))
	check(t, collect(t, f.client(nil), 2), "complete [p@a:xjoin a3] [r] []", ".")
}

func TestSyncIntroducesSenders(t *testing.T) {
	t.Parallel()
	members := `{"chunk":[` + person("@c:x", "join") + `,` + person("@b:x", "leave") + `,7,` + person("@a:x", "join") + `],"more":1}`
	for name, whole := range map[string]bool{"whole events": true, "contents alone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t,
				inRoom("a", `{"state":{"events":[`+call("$a", "@a:x", `{}`)+`]}}`),
				inRoom("b", timeline(false, call("$b", "@b:x", `{}`), person("@c:x", "join"), call("$c", "@c:x", `{}`), call("$a2", "@a:x", `{}`))),
				inRoom("c", timeline(false, call("$b2", "@b:x", `{}`), call("$c2", "@c:x", `{}`))))
			for _, user := range []string{"@a:x", "@b:x"} {
				state := map[string]string{"@a:x": "join", "@b:x": "leave"}[user]
				body := `{"membership":"` + state + `"}`
				if whole {
					body = person(user, state)
				}
				f.on("v3/rooms/%21one:fake.test/state/m.room.member/"+user, body)
			}
			f.on("v3/rooms/%21one:fake.test/members", members)
			check(t, collect(t, f.client(nil), 6),
				"complete [p@a:xjoin a] [] []", ".",
				"[p@b:xleave] [b p@c:xjoin c a2] []", ".",
				"[] [b2 c2] []", ".")
			want := 0
			if !whole {
				want = 2
			}
			if got := len(f.requests("/members")); got != want {
				t.Errorf("asked %d times for all members, want %d", got, want)
			}
		})
	}
}

func TestSyncReadsTheStateAfterAGap(t *testing.T) {
	t.Parallel()
	sticky := `"msc4354_sticky":{"events":[` + ev("$k", "m.rtc.member", "-", "@a:x", `{}`) + `]}`
	f := newFake(t,
		inRoom("a", `{"state":{"events":[`+person("@a:x", "join")+`,`+call("$a1", "@a:x", `{}`)+`]}}`),
		inRoom("b", `{"timeline":{"limited":true,"events":[`+call("$a7", "@a:x", `{}`)+`]},`+sticky+`}`),
		// /state was read after $a9: what is older must not undo it.
		inRoom("c", timeline(false, call("$a8", "@a:x", `{}`), call("$b1", "@b:x", `{}`), call("$a9", "@a:x", `{}`), call("$a10", "@a:x", `{}`))),
		inRoom("d", timeline(false, call("$a11", "@a:x", `{}`))))
	f.on("v3/rooms/%21one:fake.test/state", `[`+call("$a9", "@a:x", `{}`)+`,`+person("@me:fake.test", "join")+`,`+
		person("@z:x", "join")+`,`+person("@a:x", "join")+`,`+ev("$t", "m.room.topic", "", "@a:x", `{}`)+`]`)
	f.on("v3/rooms/%21one:fake.test/state/m.room.member/@b:x", person("@b:x", "join"))
	f.pages = []answer{ok(`{"chunk":[]}`)}
	check(t, collect(t, f.client(nil), 9),
		"complete [p@a:xjoin a1] [] []", ".",
		"[] [a7] [k]", "complete [p@a:xjoin p@me:fake.testjoin a9] [] []", ".",
		"[p@b:xjoin] [b1 a9 a10] []", ".",
		"[] [a11] []", ".")
}

func TestSyncKeepsTryingToReadAState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t,
			ok(`{"next_batch":"a"}`),
			// Joined later: the room is read as a whole.
			inRoom("b", `{"timeline":{"events":[`+ev("$k", "m.rtc.member", "-", "@me:fake.test", `{}`)+`,`+call("$x", "@me:fake.test", `{}`)+`]}}`),
			ok(`{"next_batch":"c"}`), ok(`{"next_batch":"d"}`), inRoom("e", timeline(false, call("$2", "@me:fake.test", `{}`))))
		tries := 0
		f.answers["v3/rooms/%21one:fake.test/state"] = func(*http.Request) (int, string) {
			if tries++; tries < 3 {
				return 500, `{}`
			}
			return 200, `[` + person("@me:fake.test", "join") + `,` + call("$1", "@me:fake.test", `{}`) + `]`
		}
		check(t, collect(t, f.client(nil), 8),
			".", "error", ".", ".", "complete [p@me:fake.testjoin 1] [k] []", ".", "[] [2] []", ".")
		for i, r := range f.requests("v3/sync") {
			if want := map[int]string{2: "5000", 3: "5000"}[i]; want != "" && !strings.Contains(r, "timeout="+want) {
				t.Errorf("request %d: %s", i, r)
			}
		}
	})
}

// TestSyncAsksAnew: Synapse answers the same question from a cache for two
// minutes; the first one of a program must not be the same as that of the last.
func TestSyncAsksAnew(t *testing.T) {
	t.Parallel()
	asked := map[string]bool{}
	for range 5 {
		f := newFake(t, ok(`{"next_batch":"a"}`))
		check(t, collect(t, f.client(nil), 1), ".")
		asked[f.requests("v3/sync")[0]] = true
	}
	if len(asked) < 3 {
		t.Errorf("five programs asked: %v", asked)
	}
}

func TestSyncUsesStateAfter(t *testing.T) {
	t.Parallel()
	for key, versions := range map[string]string{
		"state_after":                    `{"versions":["v1.16"]}`,
		"org.matrix.msc4222.state_after": `{"versions":["v1.11"],"unstable_features":{"org.matrix.msc4222":true}}`,
	} {
		body := func(line, after string) string {
			return fmt.Sprintf(`{"timeline":{"events":[%s]},%q:{"events":[%s]}}`, line, key, after)
		}
		f := newFake(t,
			inRoom("a", body(call("$old", "@a:x", `{}`)+","+call("$undone", "@b:x", `{}`), person("@a:x", "join")+","+call("$a1", "@a:x", `{}`))),
			// State resolution decided against the last event of the timeline.
			inRoom("b", body(call("$a2", "@a:x", `{}`)+","+call("$a3", "@a:x", `{}`), call("$a2", "@a:x", `{}`))),
			// And here in its favour: nothing is told twice.
			inRoom("c", body(call("$a4", "@a:x", `{}`)+","+call("$a5", "@a:x", `{}`), call("$a5", "@a:x", `{}`))),
			inRoom("d", `{"timeline":{"events":[]}}`), ok(`{"next_batch":"e"}`))
		f.on("versions", versions)
		check(t, collect(t, f.client(nil), 8), "complete [p@a:xjoin a1] [] []", ".", "[] [a2 a3 a2] []", ".", "[] [a4 a5] []", ".", ".", ".")
		param := strings.TrimSuffix(key, "state_after") + "use_state_after=true"
		if len(f.requests(param)) == 0 {
			t.Errorf("%s was not asked for: %v", param, f.requests("sync"))
		}
	}
}

func TestSyncStartsOverWhenItsPlaceIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t,
			inRoom("a", timeline(false, person("@a:x", "join"))),
			answer{status: 400, body: `{"errcode":"M_INVALID_PARAM"}`},
			ok(`{"next_batch":"n"}`))
		began := time.Now()
		check(t, collect(t, f.client(nil), 5), "complete [p@a:xjoin] [] []", ".", "error", "left", ".")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		if got := f.requests("v3/sync"); strings.Contains(got[2], "since=") {
			t.Errorf("third request %s", got[2])
		}
	})
}

func TestSyncReadsBothSpellingsOfSticky(t *testing.T) {
	t.Parallel()
	stable := `{"event_id":"$1","type":"m.rtc.member","sender":"@a:x","origin_server_ts":5,"content":{},"sticky":{"duration_ms":60000},"unsigned":{"sticky_duration_ttl_ms":1000}}`
	unstable := `{"event_id":"$2","type":"m.room.encrypted","sender":"@a:x","origin_server_ts":5,"content":{},"msc4354_sticky":{"duration_ms":60000},"unsigned":{"msc4354_sticky_duration_ttl_ms":1000}}`
	f := newFake(t, inRoom("a", `{"state":{"events":[`+person("@a:x", "join")+`]},"sticky":{"events":[`+stable+`]},"msc4354_sticky":{"events":[`+unstable+`]}}`))
	seen := collect(t, f.client(nil), 2)
	check(t, seen, "complete [p@a:xjoin] [] [1 2]", ".")
	for _, e := range seen[0].batch.Sticky {
		if e.Sticky != time.Minute || e.StickyTTL != time.Second || e.Received.IsZero() {
			t.Errorf("%s: sticky %v, %v, received %v", e.ID, e.Sticky, e.StickyTTL, e.Received)
		}
	}
}

// FuzzSyncAnswer: whatever a homeserver answers, Sync does not panic, and comes
// to its mark or says what is wrong.
func FuzzSyncAnswer(f *testing.F) {
	f.Add(inRoom("a", timeline(true, person("@a:x", "join"), call("$1", "@a:x", `{}`))).body, `[]`)
	f.Add(`{"next_batch":"a","rooms":{"join":{"!a:x":{"state_after":{"events":[null]},"timeline":7},"":{}},"leave":{"!a:x":[]}}}`, `{"chunk":[{}]}`)
	f.Add(`{"next_batch":"a","rooms":{"join":{"!a:x":{"timeline":{"events":[{"type":"m.room.member","sender":"@a:x","content":{},"origin_server_ts":1}]}}}}}`, `[1]`)
	f.Fuzz(func(t *testing.T, body, other string) {
		fk := newFake(t, ok(body), ok(body), ok(body))
		for _, path := range []string{"v3/rooms/%21a:x/state", "v3/rooms/%21a:x/members", "v3/rooms/%21one:fake.test/state"} {
			fk.on(path, other)
		}
		marks := 0
		for b, err := range fk.client(nil).Sync(t.Context(), "", nil) {
			if b.Room == "" && err == nil {
				marks++
			}
			var outage interface{ RetryAfter() time.Duration }
			if marks == 2 || errors.As(err, &outage) {
				break
			}
		}
	})
}
