package homeserver_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

const (
	room2     = matrixrtc.RoomID("!two:fake.test")
	me        = "@me:fake.test"
	statePath = "v3/rooms/%21one:fake.test/state"
)

// collectFrom takes n elements of a Sync that goes on from a position.
func collectFrom(t *testing.T, c *homeserver.Client, from string, n int, have ...matrixrtc.RoomID) []element {
	t.Helper()
	var seen []element
	known := map[matrixrtc.RoomID][]matrixrtc.UserID{}
	for _, room := range have {
		known[room] = []matrixrtc.UserID{me}
	}
	for b, err := range c.Sync(t.Context(), from, known) {
		seen = append(seen, element{b, err})
		if len(seen) == n {
			break
		}
	}
	return seen
}

// positionOf is the position behind the last element.
func positionOf(t *testing.T, seen []element) string {
	t.Helper()
	p := seen[len(seen)-1].batch.Position
	if p == "" {
		t.Fatalf("no position behind%s", describe(seen))
	}
	if strings.Contains(p, "secret-") {
		t.Fatalf("a secret in the position %s", p)
	}
	return p
}

// aPosition is one behind an answer with the token "a", when room1 was joined.
func aPosition(t *testing.T) string {
	t.Helper()
	f := newFake(t, inRoom("a", `{"state":{"events":[`+person(me, "join")+`,`+person("@a:x", "join")+`,`+call("$a1", "@a:x", `{}`)+`]}}`))
	return positionOf(t, collect(t, f.client(nil), 2))
}

// query reads one parameter of a request that was made.
func query(t *testing.T, request, key string) string {
	t.Helper()
	_, text, _ := strings.Cut(request, "?")
	q, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return q.Get(key)
}

func missing(id, typ string) string { return ev(id, typ, "-", "@a:x", `{}`) }

func TestSyncGoesOn(t *testing.T) {
	t.Parallel()
	from := aPosition(t)
	f := newFake(t, inRoom("b", timeline(false, call("$a2", "@a:x", `{}`))), inRoom("c", timeline(false, call("$a3", "@a:x", `{}`))))
	f.on("v3/joined_rooms", `{"joined_rooms":["!one:fake.test","!two:fake.test"]}`)
	f.on("v3/rooms/%21one:fake.test/state/m.room.member/@a:x", person("@a:x", "join"))
	f.on("v3/rooms/%21two:fake.test/state", `[`+person(me, "join")+`]`)
	// The receiver still has room1 and one that we were thrown out of, and has
	// nothing of room2.
	check(t, collectFrom(t, f.client(nil), from, 6, room1, "!three:fake.test"),
		"[p@a:xjoin] [a2] []", "left", "complete [p@me:fake.testjoin] [] []", ".", "[] [a3] []", ".")
	if got := f.requests("v3/sync"); query(t, got[0], "since") != "a" {
		t.Errorf("asked %s", got[0])
	}
	if got := f.requests("joined_rooms"); len(got) != 1 {
		t.Errorf("asked %d times which rooms are joined", len(got))
	}
}

func TestSyncAsksAgainWhichRoomsAreJoined(t *testing.T) {
	t.Parallel()
	from := aPosition(t)
	f := newFake(t, ok(`{"next_batch":"b"}`), ok(`{"next_batch":"c"}`), ok(`{"next_batch":"d"}`))
	tries := 0
	f.answers["v3/joined_rooms"] = f.sometimes(&tries, 2, `{"joined_rooms":[]}`)
	check(t, collectFrom(t, f.client(nil), from, 4, room1), ".", ".", "left", ".")
}

// Positions that are not ours, or none at all, and one that the homeserver does
// not know any more.
func TestSyncBeginsAnew(t *testing.T) {
	t.Parallel()
	from := aPosition(t)
	whole := `{"state":{"events":[` + person("@a:x", "join") + `]}}`
	for name, tt := range map[string]struct {
		from string
		edit func(*homeserver.Credentials, *homeserver.Options)
	}{
		"text":              {"s123_4", nil},
		"no object":         {"[]", nil},
		"another version":   {strings.Replace(from, `"v":1`, `"v":2`, 1), nil},
		"no token":          {strings.Replace(from, `"since":"a"`, `"since":""`, 1), nil},
		"a huge token":      {strings.Replace(from, `"since":"a"`, `"since":"`+strings.Repeat("a", 1<<17)+`"`, 1), nil},
		"huge":              {from + strings.Repeat(" ", 8<<20), nil},
		"a cut one":         {from[:len(from)-1], nil},
		"of another device": {from, func(c *homeserver.Credentials, _ *homeserver.Options) { c.DeviceID = "OTHER" }},
		"of another user":   {from, func(c *homeserver.Credentials, _ *homeserver.Options) { c.UserID = "@you:fake.test" }},
		"of another server": {from, func(c *homeserver.Credentials, _ *homeserver.Options) { c.Homeserver = "http://other.test" }},
	} {
		f := newFake(t, inRoom("b", whole))
		check(t, collectFrom(t, f.client(tt.edit), tt.from, 3, room1, room2), "complete [p@a:xjoin] [] []", "left", ".")
		if got := f.requests("v3/sync"); strings.Contains(got[0], "since=") {
			t.Errorf("%s: asked %s", name, got[0])
		}
	}
}

func TestSyncReadsAGap(t *testing.T) {
	t.Parallel()
	sticky := `{"event_id":"$s","type":"m.room.encrypted","sender":"@a:x","origin_server_ts":1,"content":{},"msc4354_sticky":{"duration_ms":9}}`
	f := newFake(t,
		inRoom("a", `{"state":{"events":[`+person("@a:x", "join")+`,`+call("$a1", "@a:x", `{}`)+`]},"timeline":{"events":[]}}`),
		inRoom("b", `{"timeline":{"limited":true,"prev_batch":"p","events":[`+call("$a7", "@a:x", `{}`)+`]}}`),
		inRoom("c", timeline(false, call("$a8", "@a:x", `{}`))))
	f.on("versions", `{"versions":["v1.11"],"unstable_features":{"org.matrix.msc4354":true}}`)
	f.on(statePath, `[`+person(me, "join")+`,`+person("@a:x", "join")+`,`+call("$a7", "@a:x", `{}`)+`]`)
	f.on("v3/rooms/%21one:fake.test/state/m.room.member/@b:x", person("@b:x", "join"))
	f.pages = []answer{
		ok(`{"chunk":[` + call("$a6", "@a:x", `{}`) + `,` + missing("$x", "m.room.encrypted") + `,` + sticky + `],"end":"q"}`),
		ok(`{"chunk":[` + missing("$r", "m.room.redaction") + `,` + call("$b1", "@b:x", `{}`) + `,17],"end":"r"}`),
		ok(`{"chunk":[]}`),
	}
	check(t, collect(t, f.client(nil), 6),
		"complete [p@a:xjoin a1] [] []", ".",
		"[p@b:xjoin] [b1 r s a6 a7] []", "complete [p@a:xjoin p@me:fake.testjoin a7] [] []", ".",
		"[] [a8] []")
	for i, from := range []string{"p", "q", "r"} {
		got := f.requests("/messages")[i]
		if query(t, got, "from") != from || query(t, got, "to") != "a" || query(t, got, "dir") != "b" {
			t.Errorf("asked %s", got)
		}
		if filter := query(t, got, "filter"); !strings.Contains(filter, `"m.room.encrypted"`) || !strings.Contains(filter, matrixrtc.TypeCallMember) {
			t.Errorf("asked for %s", filter)
		}
	}
}

// A homeserver that goes on beyond the end of the gap.
func TestSyncStopsAtWhatItKnows(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		inRoom("a", `{"state":{"events":[`+person("@a:x", "join")+`]}}`),
		inRoom("b", timeline(false, call("$a1", "@a:x", `{}`))),
		inRoom("c", `{"timeline":{"limited":true,"prev_batch":"p","events":[`+call("$a3", "@a:x", `{}`)+`]}}`))
	f.on(statePath, `[`+person(me, "join")+`]`)
	f.pages = []answer{ok(`{"chunk":[` + call("$a2", "@a:x", `{}`) + `,` + call("$a1", "@a:x", `{}`) + `,` + call("$a0", "@a:x", `{}`) + `],"end":"q"}`)}
	check(t, collect(t, f.client(nil), 6),
		"complete [p@a:xjoin] [] []", ".", "[] [a1] []", ".", "[] [a2 a3] []", "complete [p@me:fake.testjoin] [] []")
}

func TestSyncGapWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]func(n int) string{
		"full pages": func(n int) string {
			var list []string
			for i := range 250 {
				list = append(list, call(fmt.Sprintf("$%d-%d", n, i), "@a:x", `{}`))
			}
			return fmt.Sprintf(`{"chunk":[%s],"end":"e%d"}`, strings.Join(list, ","), n)
		},
		"empty pages": func(n int) string { return fmt.Sprintf(`{"chunk":[],"end":"e%d"}`, n) },
	} {
		f := newFake(t,
			inRoom("a", `{"state":{"events":[`+person("@a:x", "join")+`]}}`),
			inRoom("b", `{"timeline":{"limited":true,"prev_batch":"p","events":[`+call("$z", "@a:x", `{}`)+`]}}`))
		f.on(statePath, `[`+person(me, "join")+`]`)
		for n := range 20 {
			f.pages = append(f.pages, ok(page(n)))
		}
		seen := collect(t, f.client(nil), 6)
		if !errors.Is(seen[2].err, homeserver.ErrMissed) || homeserverFinal(seen[2].err) {
			t.Errorf("%s: %v", name, seen[2].err)
		}
		if got := outline(seen[4:]); got[0] != "complete [p@me:fake.testjoin] [] []" || got[1] != "." {
			t.Errorf("%s: %v", name, got)
		}
		if n := len(f.requests("/messages")); n > 10 {
			t.Errorf("%s: %d requests", name, n)
		}
		if n := len(seen[3].batch.Events); n > 1001 {
			t.Errorf("%s: %d events", name, n)
		}
	}
}

func homeserverFinal(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && f.Final()
}

func TestSyncGapThatCannotBeRead(t *testing.T) {
	t.Parallel()
	gap := func(next, prev, id string) answer {
		return inRoom(next, `{"timeline":{"limited":true,"prev_batch":"`+prev+`","events":[`+call(id, "@a:x", `{}`)+`]}}`)
	}
	first := inRoom("a", `{"state":{"events":[`+person("@a:x", "join")+`]}}`)
	bad := answer{status: 500, body: `{}`}
	t.Run("for ever", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, first, gap("b", "p", "$1"), inRoom("c", timeline(false, call("$2", "@a:x", `{}`))), ok(`{"next_batch":"d"}`))
			f.on(statePath, `[`+person(me, "join")+`]`)
			f.pages = []answer{bad, bad, bad}
			// What came after the gap waits, and is not lost.
			check(t, collect(t, f.client(nil), 8), "complete [p@a:xjoin] [] []", ".", ".", ".",
				"error", "[] [1 2] []", "complete [p@me:fake.testjoin] [] []", ".")
		})
	})
	t.Run("for a while, and then the gap is wider", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, first, gap("b", "p", "$5"), gap("c", "q", "$9"))
			f.on(statePath, `[`+person(me, "join")+`]`)
			f.pages = []answer{bad, ok(`{"chunk":[` + call("$8", "@a:x", `{}`) + `,` + call("$5", "@a:x", `{}`) + `,` + call("$3", "@a:x", `{}`) + `]}`)}
			check(t, collect(t, f.client(nil), 6), "complete [p@a:xjoin] [] []", ".", ".",
				"[] [3 5 8 9] []", "complete [p@me:fake.testjoin] [] []", ".")
			if got := f.requests("/messages")[1]; query(t, got, "from") != "q" || query(t, got, "to") != "a" {
				t.Errorf("asked %s", got)
			}
		})
	})
	t.Run("not allowed", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, first, gap("b", "p", "$1"))
		f.on(statePath, `[`+person(me, "join")+`]`)
		f.pages = []answer{{status: 403, body: `{"errcode":"M_FORBIDDEN"}`}}
		check(t, collect(t, f.client(nil), 6), "complete [p@a:xjoin] [] []", ".",
			"error", "[] [1] []", "complete [p@me:fake.testjoin] [] []", ".")
	})
}

// A process that ends while a room has yet to be read does not leave a hole.
func TestSyncReadsWhatTheLastOneCouldNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t,
			inRoom("a", `{"state":{"events":[`+person("@a:x", "join")+`]}}`),
			inRoom("b", `{"timeline":{"limited":true,"prev_batch":"p","events":[`+call("$5", "@a:x", `{}`)+`]}}`),
			inRoom("c", timeline(false, call("$6", "@a:x", `{}`))))
		f.pages = []answer{{status: 500, body: `{}`}, {status: 500, body: `{}`}}
		seen := collect(t, f.client(nil), 4)
		check(t, seen, "complete [p@a:xjoin] [] []", ".", ".", ".")
		from := positionOf(t, seen)

		f = newFake(t, inRoom("d", timeline(false, call("$7", "@a:x", `{}`))))
		f.on("v3/joined_rooms", `{"joined_rooms":["!one:fake.test"]}`)
		f.on(statePath, `[`+person(me, "join")+`,`+person("@a:x", "join")+`,`+call("$7", "@a:x", `{}`)+`]`)
		f.on(statePath+"/m.room.member/@a:x", person("@a:x", "join"))
		f.pages = []answer{ok(`{"chunk":[` + call("$7", "@a:x", `{}`) + `,` + call("$6", "@a:x", `{}`) + `,` + call("$5", "@a:x", `{}`) + `,` + call("$4", "@a:x", `{}`) + `]}`)}
		check(t, collectFrom(t, f.client(nil), from, 3, room1),
			"[p@a:xjoin] [4 5 6 7] []", "complete [p@a:xjoin p@me:fake.testjoin 7] [] []", ".")
		if got := f.requests("/messages")[0]; query(t, got, "from") != "" || query(t, got, "to") != "a" {
			t.Errorf("asked %s", got)
		}
		if got := f.requests("v3/sync")[0]; query(t, got, "since") != "c" {
			t.Errorf("asked %s", got)
		}
	})
}

// Where the place in the stream is lost nobody knows where the gap begins: what
// depends on no order is told again, the rest is in the state.
func TestSyncReadsBackFromALostPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := aPosition(t)
		f := newFake(t, answer{status: 400, body: `{"errcode":"M_UNKNOWN_POS"}`},
			inRoom("n", `{"state":{"events":[`+person("@a:x", "join")+`]},"timeline":{"limited":true,"prev_batch":"p","events":[`+call("$9", "@a:x", `{}`)+`]}}`),
			ok(`{"next_batch":"o"}`))
		f.pages = []answer{ok(`{"chunk":[` + call("$8", "@a:x", `{}`) + `,` + missing("$r", "m.room.redaction") + `],"end":"q"}`)}
		seen := collectFrom(t, f.client(nil), from, 5, room1)
		check(t, seen, "error", "complete [p@a:xjoin 9] [] []", "[] [r] []", ".", ".")
		if !errors.Is(seen[0].err, homeserver.ErrMissed) {
			t.Errorf("first element %v", seen[0].err)
		}
		// The next page is of events that are older than the place.
		if got := f.requests("/messages"); len(got) != 1 || query(t, got[0], "from") != "p" || query(t, got[0], "to") != "" {
			t.Errorf("asked %v", got)
		}
	})
}

func TestSyncSeesThatWeWereAway(t *testing.T) {
	t.Parallel()
	join := func(prev string) string {
		return strings.Replace(person(me, "join"), `"content"`, `"unsigned":{"prev_content":{"membership":"`+prev+`"}},"content"`, 1)
	}
	f := newFake(t, inRoom("a", `{"state":{"events":[`+person(me, "join")+`]}}`),
		inRoom("b", timeline(false, join("join"))), // another name
		inRoom("c", timeline(false, person(me, "leave"), join("leave"))))
	f.on(statePath, `[`+person(me, "join")+`]`)
	seen := collect(t, f.client(nil), 7)
	check(t, seen[:4], "complete [p@me:fake.testjoin] [] []", ".", "[] [p@me:fake.testjoin] []", ".")
	if last := seen[5].batch; !last.Complete {
		t.Errorf("not read anew:%s", describe(seen))
	}
}

// FuzzPosition: whatever is given as a position, Sync comes to its mark.
func FuzzPosition(f *testing.F) {
	f.Add(`{"v":1,"homeserver":"http://fake.test","user_id":"@me:fake.test","device_id":"DEV","since":"a","at_ts":1,"reread":{"!one:fake.test":"b"}}`)
	f.Add(`{"v":1}`)
	f.Fuzz(func(t *testing.T, from string) {
		fk := newFake(t, ok(`{"next_batch":"b"}`))
		fk.on("v3/joined_rooms", `{"joined_rooms":["!one:fake.test"]}`)
		fk.on(statePath, `[`+person(me, "join")+`]`)
		fk.pages = []answer{ok(`{"chunk":[]}`)}
		for b, err := range fk.client(nil).Sync(t.Context(), from, map[matrixrtc.RoomID][]matrixrtc.UserID{room1: {me}}) {
			if err == nil && b.Room == "" {
				return
			}
		}
		t.Error("no mark")
	})
}

// A state read as a whole has the m.room.member of everybody whose sticky events
// the receiver may hold: those are in no state.
func TestSyncTellsAgainWhoIsJoined(t *testing.T) {
	t.Parallel()
	stuck := func(id, user string) string {
		return `{"event_id":"` + id + `","type":"m.rtc.member","sender":"` + user + `","origin_server_ts":1,"content":{},"sticky":{"duration_ms":9}}`
	}
	whole := `[` + person(me, "join") + `,` + person("@b:x", "leave") + `,` + person("@c:x", "join") + `,` + person("@z:x", "join") + `]`
	gap := inRoom("g", `{"timeline":{"limited":true,"prev_batch":"p","events":[]}}`)
	want := "complete [p@b:xleave p@c:xjoin p@me:fake.testjoin] [] []"
	with := func(f *fake) *homeserver.Client {
		f.on(statePath, whole)
		for user, is := range map[string]string{"@b:x": "join", "@c:x": "join", me: "join"} {
			f.on(statePath+"/m.room.member/"+user, person(user, is))
		}
		f.on("v3/joined_rooms", `{"joined_rooms":["!one:fake.test"]}`)
		f.pages = []answer{ok(`{"chunk":[]}`)}
		return f.client(nil)
	}
	first := inRoom("a", `{"state":{"events":[`+person(me, "join")+`]},"sticky":{"events":[`+stuck("$1", "@b:x")+`]}}`)
	more := inRoom("b", `{"sticky":{"events":[`+stuck("$2", "@c:x")+`]}}`)
	before := []string{"complete [p@b:xjoin p@me:fake.testjoin] [] [1]", ".", "[p@c:xjoin] [] [2]", "."}
	seen := collect(t, with(newFake(t, first, more, gap)), 6)
	check(t, seen, append(before, want, ".")...)

	// Also in the next process,
	seen = seen[:4]
	var next []element
	have := map[matrixrtc.RoomID][]matrixrtc.UserID{room1: {me, "@b:x", "@c:x"}}
	for b, err := range with(newFake(t, gap)).Sync(t.Context(), positionOf(t, seen), have) {
		if next = append(next, element{b, err}); len(next) == 2 {
			break
		}
	}
	check(t, next, want, ".")

	// and where all begins anew.
	again := inRoom("n", `{"state":{"events":[`+person(me, "join")+`]}}`)
	seen = collect(t, with(newFake(t, first, more, answer{status: 400, body: `{}`}, again)), 7)
	check(t, seen, append(before, "error", "complete [p@b:xjoin p@c:xjoin p@me:fake.testjoin] [] []", ".")...)
}
