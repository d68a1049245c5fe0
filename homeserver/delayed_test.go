package homeserver_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

const (
	withDelays       = `{"versions":["v1.11"],"unstable_features":{"org.matrix.msc4140":true,"org.matrix.msc4354":true}}`
	withStableDelays = `{"versions":["v1.11"],"unstable_features":{"org.matrix.msc4140":true,"org.matrix.msc4140.stable":true}}`

	unknownPath = `{"errcode":"M_UNRECOGNIZED","error":"no such endpoint"}`
	notFound    = `{"errcode":"M_NOT_FOUND","error":"no such delayed event"}`
)

// leaving is the leave of a state dialect, lingering that of a sticky one.
func leaving() matrixrtc.Outgoing {
	key := "_@me:fake.test_DEV_m.call"
	return matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: []byte(`{}`)}
}

func lingering() matrixrtc.Outgoing {
	return matrixrtc.Outgoing{Type: matrixrtc.TypeMemberUnstable, Content: []byte(`{"msc4354_sticky_key":"m1"}`), Sticky: time.Hour}
}

// delayFake is a homeserver that knows some of the endpoints. What it is asked
// is written down without transaction ids, with the body.
type delayFake struct {
	*fake
	asked []string
}

// newDelayFake makes one; answers are by how method and path begin, the longest
// one counts.
func newDelayFake(t *testing.T, versions string, answers map[string]answer) *delayFake {
	d := &delayFake{fake: newFake(t)}
	d.on("versions", versions)
	d.transport = func(r *http.Request) *answer {
		path := strings.TrimPrefix(r.URL.EscapedPath(), "/_matrix/client/")
		body := ""
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			body = " " + string(b)
		}
		line := r.Method + " " + path
		if path == "versions" || strings.Contains(path, "joined_rooms") {
			return nil
		}
		parts := strings.Split(line, "/")
		if last := parts[len(parts)-1]; len(last) == 26 { // rand.Text
			parts[len(parts)-1] = "TXN"
		}
		line = strings.Join(parts, "/")
		if q := r.URL.RawQuery; q != "" {
			line += "?" + q
		}
		d.mu.Lock()
		d.asked = append(d.asked, line+body)
		d.mu.Unlock()
		best := ""
		for begin := range answers {
			if strings.HasPrefix(line, begin) && len(begin) > len(best) {
				best = begin
			}
		}
		if a, is := answers[best]; is {
			return &a
		}
		return &answer{status: http.StatusNotFound, body: unknownPath}
	}
	return d
}

const (
	inRoom1   = "rooms/%21one:fake.test/"
	member    = "org.matrix.msc3401.call.member"
	stateKey  = "_@me:fake.test_DEV_m.call"
	unstable  = "unstable/org.matrix.msc4140/"
	putState  = "PUT v3/" + inRoom1 + "state/" + member + "/" + stateKey
	putQuery  = putState + "?org.matrix.msc4140.delay=20000 {}"
	putNew    = "PUT " + unstable + inRoom1 + "delayed_event/" + member + "/TXN"
	putStable = "PUT v3/" + inRoom1 + "delayed_event/" + member + "/TXN"
	newBody   = ` {"delay_ms":20000,"state_key":"_@me:fake.test_DEV_m.call","content":{}}`
)

func TestDelay(t *testing.T) {
	t.Parallel()
	id := ok(`{"delay_id":"d1"}`)
	for _, tt := range []struct {
		name     string
		versions string
		answers  map[string]answer
		out      matrixrtc.Outgoing
		want     []string
		check    func(error) bool // nil: no error
	}{
		{"a homeserver that does not say so is not asked", `{"versions":["v1.11"]}`, map[string]answer{"PUT": ok(`{"event_id":"$1"}`)},
			leaving(), nil, isUnsupported},
		{"the query form, after the endpoint is not known", withDelays, map[string]answer{putState: id}, leaving(),
			[]string{putNew + newBody, putQuery}, nil},
		{"an endpoint that a proxy does not know", withDelays, map[string]answer{putState: id, putNew: {status: 405, body: "<html>"}}, leaving(),
			[]string{putNew + newBody, putQuery}, nil},
		{"the endpoint", withDelays, map[string]answer{putNew: id}, leaving(), []string{putNew + newBody}, nil},
		{"the stable endpoint", withStableDelays, map[string]answer{putStable: id}, leaving(), []string{putStable + newBody}, nil},
		{"sticky events have the query form only", withDelays, map[string]answer{"PUT": id}, lingering(),
			[]string{"PUT v3/" + inRoom1 + "send/org.matrix.msc4143.rtc.member/TXN?org.matrix.msc4140.delay=20000" +
				"&org.matrix.msc4354.sticky_duration_ms=3600000&sticky_duration_ms=3600000" + ` {"msc4354_sticky_key":"m1"}`}, nil},
		{"sticky events need a homeserver that knows them", strings.Replace(withDelays, "4354", "9999", 1),
			map[string]answer{"PUT": id}, lingering(), nil, isUnsupported},
		{"sent at once", withDelays, map[string]answer{putState: ok(`{"event_id":"$1"}`)}, leaving(), []string{putNew + newBody, putQuery},
			func(err error) bool { return sentAtOnce(err) && isFinal(err) }},
		{"no form is known", withDelays, nil, leaving(), []string{putNew + newBody, putQuery}, isUnsupported},
		{"an answer without an id", withDelays, map[string]answer{putNew: ok(`{}`)}, leaving(), []string{putNew + newBody},
			func(err error) bool { return errors.Is(err, homeserver.ErrBadAnswer) && !isFinal(err) }},
		{"too long, as deployed", withDelays, map[string]answer{putState: {status: 400,
			body: `{"errcode":"M_UNKNOWN","error":"too long","org.matrix.msc4140.errcode":"M_MAX_DELAY_EXCEEDED","org.matrix.msc4140.max_delay":9000}`}},
			leaving(), []string{putNew + newBody, putQuery}, tooLong(9 * time.Second)},
		{"too long, without a number", withDelays, map[string]answer{putNew: {status: 400,
			body: `{"errcode":"ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED","error":"too long"}`}},
			leaving(), []string{putNew + newBody}, tooLong(0)},
		{"too long, as a capability says", withDelays, map[string]answer{
			putNew:                {status: 403, body: `{"errcode":"M_FORBIDDEN","error":"no"}`},
			"GET v3/capabilities": ok(`{"capabilities":{"org.matrix.msc4140.delayed_events":{"max_delay_ms":7000}}}`)},
			leaving(), []string{putNew + newBody, "GET v3/capabilities"}, tooLong(7 * time.Second)},
		{"a rate limit is told at once", withDelays, map[string]answer{putNew: {status: 429, body: `{}`, header: http.Header{"Retry-After": {"1800"}}}},
			leaving(), []string{putNew + newBody}, func(err error) bool {
				return retryAfter(err) == 30*time.Minute && !isFinal(err)
			}},
		{"a gateway in trouble", withDelays, map[string]answer{putNew: {status: 502, body: `<html>`}}, leaving(), []string{putNew + newBody},
			func(err error) bool { return errors.Is(err, homeserver.ErrUnreachable) && !isUnsupported(err) }},
		{"garbage", withDelays, map[string]answer{putNew: ok(`]`)}, leaving(), []string{putNew + newBody},
			func(err error) bool { return errors.Is(err, homeserver.ErrBadAnswer) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newDelayFake(t, tt.versions, tt.answers)
			c := f.client(nil)
			id, err := c.Delay(t.Context(), room1, tt.out, 20*time.Second)
			if d := cmp.Diff(tt.want, f.asked); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
			if tt.check == nil {
				if err != nil || id != "d1" {
					t.Fatalf("%q, %v", id, err)
				}
				// What has worked is remembered.
				if _, err := c.Delay(t.Context(), room1, tt.out, 20*time.Second); err != nil {
					t.Fatal(err)
				}
				if n := len(f.asked); n != len(tt.want)+1 {
					t.Errorf("asked %d times the second time: %q", n-len(tt.want), f.asked)
				}
				return
			}
			if err == nil || !tt.check(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// What package client asks of an error.
func isUnsupported(err error) bool {
	var u interface{ Unsupported() bool }
	return errors.As(err, &u) && u.Unsupported()
}

func isGone(err error) bool {
	var g interface{ Gone() bool }
	return errors.As(err, &g) && g.Gone()
}

func isFinal(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && f.Final()
}

func sentAtOnce(err error) bool {
	var s interface{ SentAtOnce() bool }
	return errors.As(err, &s) && s.SentAtOnce()
}

func retryAfter(err error) time.Duration {
	var r interface{ RetryAfter() time.Duration }
	if !errors.As(err, &r) {
		return 0
	}
	return r.RetryAfter()
}

func tooLong(most time.Duration) func(error) bool {
	return func(err error) bool {
		var m interface{ MaxDelay() (time.Duration, bool) }
		if !errors.As(err, &m) {
			return false
		}
		got, is := m.MaxDelay()
		return is && got == most
	}
}

func TestSentAtOnceIsRemembered(t *testing.T) {
	t.Parallel()
	f := newDelayFake(t, withDelays, map[string]answer{putState: ok(`{"event_id":"$1"}`)})
	c := f.client(nil)
	if _, err := c.Delay(t.Context(), room1, leaving(), time.Minute); !errors.Is(err, homeserver.ErrSentAtOnce) {
		t.Fatal(err)
	}
	n := len(f.asked)
	if _, err := c.Delay(t.Context(), room1, leaving(), time.Minute); !errors.Is(err, homeserver.ErrUnsupported) {
		t.Errorf("the second time: %v", err)
	}
	if len(f.asked) != n {
		t.Errorf("it was asked again: %q", f.asked[n:])
	}
}

func TestManageDelayed(t *testing.T) {
	t.Parallel()
	const (
		path   = "POST " + unstable + "delayed_events/d%2F1"
		stable = "POST v1/delayed_events/d%2F1"
	)
	for _, tt := range []struct {
		name     string
		versions string
		answers  map[string]answer
		want     []string // of the first request
		again    string   // of the second
		check    func(error) bool
	}{
		{"the path form", withDelays, map[string]answer{path + "/restart": ok(`{}`)},
			[]string{path + "/restart {}"}, path + "/restart {}", nil},
		{"the stable path form", withStableDelays, map[string]answer{stable + "/restart": ok(`{}`)},
			[]string{stable + "/restart {}"}, stable + "/restart {}", nil},
		{"said to be stable, and is not", withStableDelays, map[string]answer{path + "/restart": ok(`{}`)},
			[]string{stable + "/restart {}", path + "/restart {}"}, path + "/restart {}", nil},
		{"the body form", withDelays, map[string]answer{path: ok(`{}`), path + "/": {status: 404, body: unknownPath}},
			[]string{path + "/restart {}", path + ` {"action":"restart"}`}, path + ` {"action":"restart"}`, nil},
		{"unknown", withDelays, map[string]answer{path + "/restart": {status: 404, body: notFound}},
			[]string{path + "/restart {}"}, path + "/restart {}", isGone},
		{"over", withDelays, map[string]answer{path + "/restart": {status: 409, body: `{"errcode":"M_UNKNOWN","error":"sent"}`}},
			[]string{path + "/restart {}"}, path + "/restart {}", isGone},
		{"a proxy that does not pass it on", withDelays, map[string]answer{path: {status: 404, body: "not here"}},
			[]string{path + "/restart {}", path + ` {"action":"restart"}`}, path + "/restart {}",
			func(err error) bool { return isUnsupported(err) && !isGone(err) }},
		{"limited", withDelays, map[string]answer{path + "/restart": {status: 429, body: `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}`}},
			[]string{path + "/restart {}"}, path + "/restart {}",
			func(err error) bool { return retryAfter(err) == 1500*time.Millisecond }},
		{"the event itself is refused", withDelays, map[string]answer{path + "/restart": {status: 403, body: `{"errcode":"M_FORBIDDEN","error":"no"}`}},
			[]string{path + "/restart {}"}, path + "/restart {}", func(err error) bool { return isFinal(err) && !isGone(err) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newDelayFake(t, tt.versions, tt.answers)
			c := f.client(nil)
			for i, want := range [][]string{tt.want, {tt.again}} {
				f.asked = nil
				err := c.RestartDelayed(t.Context(), "d/1")
				if tt.check == nil && err != nil || tt.check != nil && (err == nil || !tt.check(err)) {
					t.Errorf("error %v", err)
				}
				if len(f.asked) < len(want) {
					t.Fatalf("asked %q, want %q", f.asked, want)
				}
				if d := cmp.Diff(want, f.asked[:len(want)]); d != "" {
					t.Errorf("request %d (-want +got):\n%s", i+1, d)
				}
			}
		})
	}
	f := newDelayFake(t, withDelays, map[string]answer{"POST": ok(`{}`)})
	c := f.client(nil)
	for _, id := range []string{"", ".", ".."} {
		if err := c.CancelDelayed(t.Context(), id); !isGone(err) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if err := errors.Join(c.SendDelayed(t.Context(), "d"), c.CancelDelayed(t.Context(), "d")); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"POST " + unstable + "delayed_events/d/send {}", "POST " + unstable + "delayed_events/d/cancel {}"}, f.asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

func TestRetireDelayed(t *testing.T) {
	t.Parallel()
	const list = "GET " + unstable + "delayed_events"
	held := func(id, room, typ, key, content string) string {
		if key != "" {
			key = `"state_key":"` + key + `",`
		}
		return `{"delay_id":"` + id + `","room_id":"` + room + `","type":"` + typ + `",` + key + `"content":` + content + `,"delay_ms":1}`
	}
	mine := string(room1)
	events := strings.Join([]string{
		held("a", mine, member, *leaving().StateKey, `{}`),
		held("kept", mine, member, *leaving().StateKey, `{}`),
		held("other-room", "!two:fake.test", member, *leaving().StateKey, `{}`),
		held("other-key", mine, member, "_@me:fake.test_TWO_m.call", `{}`),
		held("other-type", mine, "m.rtc.member", *leaving().StateKey, `{}`),
		held("no-key", mine, member, "", `{}`),
		`7`, `{"delay_id":9}`,
		held("s", mine, matrixrtc.TypeMemberUnstable, "", `{"msc4354_sticky_key":"m1"}`),
		held("other-member", mine, matrixrtc.TypeMemberUnstable, "", `{"sticky_key":"m2"}`),
	}, ",")
	cancel := func(id string) string { return "POST " + unstable + "delayed_events/" + id + "/cancel {}" }
	for _, tt := range []struct {
		name    string
		answers map[string]answer
		out     matrixrtc.Outgoing
		want    []string
		fails   bool
	}{
		{"by state key", map[string]answer{list: ok(`{"delayed_events":[` + events + `]}`), "POST": ok(`{}`)}, leaving(),
			[]string{list, cancel("a")}, false},
		{"by sticky key, in the list between", map[string]answer{list: ok(`{"scheduled":[` + events + `],"finalised":[{"delayed_event":{}}]}`), "POST": ok(`{}`)},
			lingering(), []string{list, cancel("s")}, false},
		{"gone meanwhile", map[string]answer{list: ok(`{"delayed_events":[` + events + `]}`), "POST": {status: 404, body: notFound}}, leaving(),
			[]string{list, cancel("a")}, false},
		{"no list", nil, leaving(), []string{list}, true},
		{"nothing", map[string]answer{list: ok(`{"delayed_events":[]}`)}, leaving(), []string{list}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newDelayFake(t, withDelays, tt.answers)
			err := f.client(nil).RetireDelayed(t.Context(), room1, tt.out, "kept")
			if (err != nil) != tt.fails || tt.fails && !isUnsupported(err) {
				t.Errorf("error %v", err)
			}
			if d := cmp.Diff(tt.want, f.asked); d != "" {
				t.Errorf("asked (-want +got):\n%s", d)
			}
		})
	}
	t.Run("pages, and no end of them", func(t *testing.T) {
		t.Parallel()
		f := newDelayFake(t, withDelays, nil)
		n := 0
		f.transport = func(r *http.Request) *answer {
			if strings.HasSuffix(r.URL.Path, "/versions") {
				return nil
			}
			n++
			a := ok(`{"scheduled":[],"next_batch":"` + strings.Repeat("x", n) + `"}`)
			return &a
		}
		if err := f.client(nil).RetireDelayed(t.Context(), room1, leaving(), ""); err != nil {
			t.Error(err)
		}
		if n != 16 {
			t.Errorf("%d pages were read", n)
		}
	})
}
