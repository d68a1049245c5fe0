package gapfill_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

const sendURL = "/_matrix/client/v3/rooms/!r:hs/send/m.leave/"

// TestScheduleRefused: what is wrong with a request gets the Matrix error that
// homeservers give, and nothing is sent at once.
func TestScheduleRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		const query, endpoint = sendURL + "1?org.matrix.msc4140.delay=", unstable + "/rooms/!r:hs/delayed_event/m.leave/1"
		big := `{"a":"` + strings.Repeat("x", gapfill.MaxBody) + `"}`
		for _, c := range []struct {
			target, token, body string
			status              int
			code                string
		}{
			{query + "1000", "", "{}", 401, "M_MISSING_TOKEN"},
			{query + "1000", "wrong", "{}", 401, "M_UNKNOWN_TOKEN"},
			{query + "1000", "alice-token", "", 400, "M_NOT_JSON"},
			{query + "1000", "alice-token", "{", 400, "M_NOT_JSON"},
			{query + "1000", "alice-token", "{}{}", 400, "M_NOT_JSON"},
			{query + "1000", "alice-token", "{\"a\":\"\xff\"}", 400, "M_NOT_JSON"},
			{query + "1000", "alice-token", "[]", 400, "M_BAD_JSON"},
			{query + "1000", "alice-token", big, 413, "M_TOO_LARGE"},
			{query + "1000", "alice-token", strings.Repeat("[", 60_000), 400, "M_NOT_JSON"},
			{query + "", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "0", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "-1", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "1e3", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "1.5", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "soon", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "1&org.matrix.msc4140.delay=2", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "86400001", "alice-token", "{}", 400, "M_UNKNOWN"},
			{query + "99999999999999999999999", "alice-token", "{}", 400, "M_UNKNOWN"},
			{query + "9223372036854775807", "alice-token", "{}", 400, "M_UNKNOWN"},
			{sendURL + "1?delay=-5", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "5&org.matrix.msc4354.sticky_duration_ms=3600001", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{query + "5&sticky_duration_ms=-1", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{"/_matrix/client/v3/rooms/room/send/a/1?delay=5", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{"/_matrix/client/v3/rooms/!%00/send/a/1?delay=5", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{"/_matrix/client/v3/rooms/!r:hs/send//1?delay=5", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{"/_matrix/client/v3/rooms/!r:hs/send/" + strings.Repeat("t", 256) + "/1?delay=5", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{"/_matrix/client/v3/rooms/!r:hs/state/t/" + strings.Repeat("k", 512) + "?delay=5", "alice-token", "{}", 400, "M_INVALID_PARAM"},
			{"/_matrix/client/v3/rooms/!r:hs/state/t/a/b?delay=5", "alice-token", "{}", 404, "M_UNRECOGNIZED"},
			{"/_matrix/client/v3/rooms/!r:hs/send/t?delay=5", "alice-token", "{}", 404, "M_UNRECOGNIZED"},
			{endpoint, "alice-token", `{"content":{}}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":"5","content":{}}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":0,"content":{}}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":5.5,"content":{}}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":5}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"Delay_MS":5,"content":{}}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":5,"content":[]}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":5,"content":null}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":5,"content":{},"state_key":7}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":5,"content":{},"state_key":null}`, 400, "M_BAD_JSON"},
			{endpoint, "alice-token", `{"delay_ms":86400001,"content":{}}`, 400, "M_UNKNOWN"},
			{unstable + "/rooms/!r:hs/delayed_event/m.leave", "alice-token", `{}`, 404, "M_UNRECOGNIZED"},
		} {
			r := s.do(http.MethodPut, c.target, c.token, c.body)
			s.want(fmt.Sprintf("%.90s %.40s", c.target, c.body), r, c.status, c.code)
			if r.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: a page cannot read the answer", c.target)
			}
			if c.code == "M_UNKNOWN" && (r.body["org.matrix.msc4140.errcode"] != "M_MAX_DELAY_EXCEEDED" || r.body["org.matrix.msc4140.max_delay"] != 86400000.) {
				t.Errorf("too long a delay: %s", r.raw)
			}
		}
		s.want("by POST", s.do(http.MethodPost, query+"1000", "alice-token", "{}"), 405, "M_UNRECOGNIZED")
		time.Sleep(time.Minute)
		if n := len(s.hs.events("m.leave")) + len(s.hs.events("a")) + len(s.hs.events("t")); n != 0 {
			t.Errorf("%d events were sent", n)
		}
	})
}

// TestForms: every form of scheduling and of acting.
func TestForms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		for i, c := range []struct{ target, body string }{
			{"/_matrix/client/v3/rooms/!r:hs/send/t/a?org.matrix.msc4140.delay=60000", `{"a":1}`},
			{"/_matrix/client/r0/rooms/%21r%3Ahs/send/t/b?delay=60000&access_token=alice-token", `{"a":1}`},
			{"/_matrix/client/v3/rooms/!r:hs/state/t/?org.matrix.msc4140.delay=60000", `{"a":1}`},
			{"/_matrix/client/v3/rooms/!r:hs/state/t?org.matrix.msc4140.delay=60000", `{"a":1}`},
			{"/_matrix/client/v3/rooms/!r:hs/state/t/a%2Fb?org.matrix.msc4140.delay=60000", `{"a":1}`},
			{"/_matrix/client/v3/rooms/!r:hs/delayed_event/t/c", `{"delay_ms":60000,"content":{"a":1}}`},
			{unstable + "/rooms/!r:hs/delayed_event/t/d", `{"delay_ms":60000,"content":{"a":1},"state_key":""}`},
			{unstable + "/rooms/!r:hs/delayed_event/t/e", `{"delay_ms":60000,"content":{"a":1},"state_key":"a/b"}`},
		} {
			token := "alice-token"
			if strings.Contains(c.target, token) {
				token = ""
			}
			r := s.do(http.MethodPut, c.target, token, c.body)
			id, _ := r.body["delay_id"].(string)
			if r.status != 200 || id == "" || len(r.body) != 1 {
				t.Fatalf("%s: %d %s", c.target, r.status, r.raw)
			}
			d := s.kept(id)
			wantKey := []string{"none", "none", "", "", "a/b", "none", "", "a/b"}[i]
			key := "none"
			if d.StateKey != nil {
				key = *d.StateKey
			}
			if d.Room != "!r:hs" || d.Type != "t" || key != wantKey || string(d.Content) != `{"a":1}` || d.Delay != time.Minute || d.User != "@alice:hs" {
				t.Errorf("%s: %+v, key %q", c.target, d, key)
			}
			act := []func(action string) (method, target, body string){
				func(a string) (string, string, string) {
					return "POST", unstable + "/delayed_events/" + id + "/" + a, "{}"
				},
				func(a string) (string, string, string) {
					return "POST", unstable + "/delayed_events/" + id + "/" + a, ""
				},
				func(a string) (string, string, string) {
					return "POST", unstable + "/delayed_events/" + id, `{"action":"` + a + `"}`
				},
				func(a string) (string, string, string) {
					return "POST", "/_matrix/client/v1/delayed_events/" + id + "/" + a, "{}"
				},
			}[i%4]
			for _, a := range []string{"restart", []string{"send", "cancel"}[i%2]} {
				method, target, body := act(a)
				r := s.do(method, target, []string{"alice-token", ""}[i%2], body)
				if r.status != 200 || strings.TrimSpace(r.raw) != "{}" {
					t.Errorf("%s of %s: %d %s", a, c.target, r.status, r.raw)
				}
			}
		}
		if n := len(s.hs.events("t")); n != 3 { // one says what stands already
			t.Errorf("%d events were sent, want 3", n)
		}
	})
}

// TestActionRefused: actions that are none, on events that are none or somebody
// else's.
func TestActionRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		id := s.schedule("60000")
		base := unstable + "/delayed_events/"
		for _, c := range []struct {
			method, target, token, body string
			status                      int
			code                        string
		}{
			{"POST", base + id, "alice-token", "", 400, "M_NOT_JSON"},
			{"POST", base + id, "alice-token", "{}", 400, "M_MISSING_PARAM"},
			{"POST", base + id, "alice-token", `{"action":"oops"}`, 400, "M_INVALID_PARAM"},
			{"POST", base + id, "alice-token", `{"action":7}`, 400, "M_INVALID_PARAM"},
			{"POST", base + id, "alice-token", `[]`, 400, "M_BAD_JSON"},
			{"POST", base + id + "/restart", "alice-token", `nonsense`, 400, "M_NOT_JSON"},
			{"POST", base + id + "/restart", "alice-token", strings.Repeat(" ", gapfill.MaxBody+1), 413, "M_TOO_LARGE"},
			{"POST", base + id + "/refresh", "alice-token", "{}", 404, "M_UNRECOGNIZED"},
			{"POST", base + id + "/restart/", "alice-token", "{}", 404, "M_UNRECOGNIZED"},
			{"POST", base, "alice-token", "{}", 404, "M_UNRECOGNIZED"},
			{"GET", base + id + "/restart", "alice-token", "", 405, "M_UNRECOGNIZED"},
			{"DELETE", base + id, "alice-token", "", 405, "M_UNRECOGNIZED"},
			{"POST", base + "nothing/restart", "alice-token", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + "nothing/restart", "", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + "a%2F..%2Fb/cancel", "", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + "%00%ff/cancel", "", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + "' OR 1=1 --/cancel", "", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + strings.ToLower(id) + "/cancel", "", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + id + "/restart", "wrong", "{}", 401, "M_UNKNOWN_TOKEN"},
			{"POST", base + id + "/restart", "bob-token", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + id + "/cancel", "bob-token", "{}", 404, "M_NOT_FOUND"},
			{"POST", base + id + "/send", "bob-token", "{}", 404, "M_NOT_FOUND"},
			{"GET", base + id, "bob-token", "", 404, "M_NOT_FOUND"},
			{"GET", base + id, "", "", 401, "M_MISSING_TOKEN"},
			{"GET", base, "alice-token", "", 404, "M_UNRECOGNIZED"},
			{"GET", unstable + "/delayed_events", "", "", 401, "M_MISSING_TOKEN"},
			{"GET", unstable + "/delayed_events?status=lost", "alice-token", "", 400, "M_INVALID_PARAM"},
			{"GET", unstable + "/delayed_events?status=finalised&from=x", "alice-token", "", 400, "M_INVALID_PARAM"},
		} {
			s.want(fmt.Sprintf("%s %.80s %q by %q", c.method, c.target, shorten(c.body), c.token), s.do2(c.method, c.target, c.token, c.body), c.status, c.code)
		}
		if d := s.kept(id); d.State != gapfill.Scheduled || !d.Since.Equal(d.Created) {
			t.Errorf("changed all the same: %+v", d)
		}
	})
}

func shorten(s string) string { return s[:min(len(s), 20)] }

// do2 is do for targets that are not proper URLs.
func (s *site) do2(method, target, token, body string) res {
	s.t.Helper()
	req := httptest.NewRequest(method, strings.ReplaceAll(target, " ", "%20"), strings.NewReader(body))
	return s.roundTrip(req, token)
}

// TestRequireAuth: the delay id alone is not enough.
func TestRequireAuth(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, func(_ *gapfill.Config, o *gapfill.Options) { o.RequireAuth = true })
		id := s.schedule("60000")
		for _, action := range []string{"restart", "send", "cancel"} {
			s.want(action, s.act(id, action, ""), 401, "M_MISSING_TOKEN")
		}
		s.want("restart", s.act(id, "restart", "alice-phone"), 200, "")
	})
}

// TestTransactions: the same request again is the same event.
func TestTransactions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		put := func(target, token string) string {
			t.Helper()
			r := s.do(http.MethodPut, target, token, `{"delay_ms":1000,"content":{}}`)
			id, _ := r.body["delay_id"].(string)
			if r.status != 200 {
				t.Fatalf("%s: %d %s", target, r.status, r.raw)
			}
			return id
		}
		const q = "?org.matrix.msc4140.delay=1000"
		first := put(sendURL+"1"+q, "alice-token")
		time.Sleep(2 * time.Second)
		if again := put(sendURL+"1"+q, "alice-token"); again != first {
			t.Error("a request that was repeated after the event was sent makes another one")
		}
		ids := []string{first}
		for _, c := range [][2]string{
			{sendURL + "2" + q, "alice-token"}, {sendURL + "1" + q, "bob-token"}, {sendURL + "1" + q, "alice-phone"},
			{"/_matrix/client/v3/rooms/!r:hs/send/m.other/1" + q, "alice-token"}, {"/_matrix/client/v3/rooms/!s:hs/send/m.leave/1" + q, "alice-token"},
			{unstable + "/rooms/!r:hs/delayed_event/m.leave/1", "alice-token"}, {stateURL + q, "alice-token"}, {stateURL + q, "alice-token"},
		} {
			id := put(c[0], c[1])
			if slices.Contains(ids, id) {
				t.Errorf("%v is the same event as another", c)
			}
			ids = append(ids, id)
		}
		time.Sleep(2 * time.Second)
		if n := len(s.hs.events("m.leave")); n != 6 {
			t.Errorf("%d events were sent, want 6", n)
		}
	})
}

// TestLists: what a user is shown.
func TestLists(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.join()
		late, soon := s.schedule("50000"), s.schedule("30000")
		cancelled, sent := s.schedule("30000"), s.schedule("1000")
		s.want("cancel", s.act(cancelled, "cancel", "alice-token"), 200, "")
		time.Sleep(2 * time.Second)
		list := func(query, token string) (ids map[string][]string, r res) {
			t.Helper()
			r = s.do(http.MethodGet, unstable+"/delayed_events"+query, token, "")
			ids = map[string][]string{}
			for key, v := range r.body {
				entries, _ := v.([]any)
				for _, e := range entries {
					ids[key] = append(ids[key], e.(object)["delay_id"].(string))
				}
			}
			return ids, r
		}
		ids, r := list("", "alice-token")
		open := []string{soon, late}
		if !slices.Equal(ids["delayed_events"], open) || !slices.Equal(ids["scheduled"], open) || !slices.Equal(ids["finalised"], []string{sent, cancelled}) {
			t.Errorf("lists: %s", r.raw)
		}
		first := r.body["delayed_events"].([]any)[0].(object)
		now := float64(time.Now().UnixMilli() - 2000)
		want := object{
			"delay_id": soon, "room_id": "!r:hs", "type": memberType, "state_key": aliceKey, "delay_ms": 30000., "delay": 30000.,
			"scheduled_at": now, "running_since": now,
		}
		for key, want := range want {
			if first[key] != want {
				t.Errorf("%s is %v, want %v", key, first[key], want)
			}
		}
		if first["content"] == nil || first["finalised_ts"] != nil {
			t.Errorf("item: %v", first)
		}
		done := r.body["finalised"].([]any)
		if a, b := done[0].(object), done[1].(object); a["outcome"] != "send" || a["reason"] != "delay" || a["event_id"] == nil || b["outcome"] != "cancel" || b["reason"] != "action" {
			t.Errorf("what is over: %v", done)
		}
		if ids, _ := list("?delay_id="+late, "alice-token"); !slices.Equal(ids["scheduled"], []string{late}) || len(ids["finalised"]) != 0 {
			t.Errorf("one by its id: %v", ids)
		}
		if ids, _ := list("?status=finalised", "alice-token"); len(ids["scheduled"])+len(ids["delayed_events"]) != 0 || len(ids["finalised"]) != 2 {
			t.Errorf("what is over alone: %v", ids)
		}
		if ids, r := list("", "bob-token"); len(ids) != 0 || r.body["delayed_events"] == nil || r.body["finalised"] == nil {
			t.Errorf("somebody else's: %s", r.raw)
		}
		one := s.do(http.MethodGet, "/_matrix/client/v1/delayed_events/"+sent, "alice-token", "")
		if one.status != 200 || one.body["event_id"] == nil || one.body["finalised_ts"] == nil || one.body["error"] != nil {
			t.Errorf("one that was sent: %s", one.raw)
		}
	})
}

// TestPages: a list that is too long for one answer.
func TestPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, func(_ *gapfill.Config, o *gapfill.Options) {
			o.MaxScheduled, o.UserRate = 1000, throttle.Rate{PerSecond: -1}
		})
		want := map[string]bool{}
		for range 210 {
			want[s.schedule("60000")] = true
		}
		for _, status := range []string{"scheduled", "finalised"} {
			got, from := map[string]bool{}, ""
			for range 3 {
				r := s.do(http.MethodGet, unstable+"/delayed_events?status="+status+"&from="+from, "alice-token", "")
				entries, _ := r.body[status].([]any)
				for _, e := range entries {
					got[e.(object)["delay_id"].(string)] = true
				}
				from, _ = r.body["next_batch"].(string)
			}
			if len(got) != len(want) || from != "" {
				t.Errorf("%s: %d of %d on three pages, then %q", status, len(got), len(want), from)
			}
			for id := range got {
				if !want[id] {
					t.Errorf("%s is nobody's", id)
				}
				s.act(id, "cancel", "alice-token")
			}
		}
	})
}

// TestLimits: what a user, all users and an address can ask for is bounded.
func TestLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, func(_ *gapfill.Config, o *gapfill.Options) { o.MaxScheduled, o.MaxTotal = 3, 4 })
		put := func(token, delay string) res {
			return s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay="+delay, token, "{}")
		}
		for range 3 {
			s.want("schedule", put("alice-token", "20500"), 200, "")
		}
		r := put("alice-token", "1000")
		s.want("too many of one user", r, 429, "M_LIMIT_EXCEEDED")
		if r.header.Get("Retry-After") != "21" || r.body["retry_after_ms"] != 20500. {
			t.Errorf("Retry-After %q, %s", r.header.Get("Retry-After"), r.raw)
		}
		s.want("another user", put("bob-token", "1000"), 200, "")
		r = put("bob-token", "1000")
		s.want("too many of all", r, 429, "M_LIMIT_EXCEEDED")
		if r.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		s.want("after one was sent", put("bob-token", "1000"), 200, "")
	})
	t.Run("rates", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s := newSite(t, func(_ *gapfill.Config, o *gapfill.Options) {
				o.UserRate, o.AddressRate = throttle.Rate{PerSecond: 1, Burst: 5}, throttle.Rate{PerSecond: 2, Burst: 10}
			})
			id := s.schedule("60000")
			count := func(token string) (n int, last res) {
				for range 50 {
					if last = s.act(id, "restart", token); last.status != 429 {
						n++
					}
				}
				return n, last
			}
			if n, r := count("alice-token"); n != 4 || r.header.Get("Retry-After") != "1" || r.code() != "M_LIMIT_EXCEEDED" {
				t.Errorf("a user may %d times: %s", n, r.raw)
			}
			asked := s.hs.count("GET")
			if n, _ := count(""); n != 9 {
				t.Errorf("an address may %d times", n)
			}
			time.Sleep(5 * time.Second)
			if n, _ := count("wrong"); n != 10 {
				t.Errorf("an address may try %d tokens", n)
			}
			if n := s.hs.count("GET") - asked; n > 11 {
				t.Errorf("the homeserver was asked %d times about wrong tokens", n)
			}
			s.want("who is known already", s.act(id, "restart", "alice-token"), 200, "")
		})
	})
}

// TestGuessing: ids that are guessed cost an address, and nobody else.
func TestGuessing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		id := s.schedule("60000")
		limited := 0
		for i := range 2000 {
			if r := s.act(fmt.Sprintf("GUESS%d", i), "cancel", ""); r.code() == "M_LIMIT_EXCEEDED" {
				limited++
			} else if r.code() != "M_NOT_FOUND" {
				t.Fatalf("%d %s", r.status, r.raw)
			}
		}
		if limited < 1400 {
			t.Errorf("%d of 2000 were refused", limited)
		}
		other := httptest.NewRequest(http.MethodPost, unstable+"/delayed_events/"+id+"/restart", nil)
		other.RemoteAddr = "203.0.113.9:1"
		s.want("from another address", s.roundTrip(other, ""), 200, "")
	})
}

// TestPreflight: pages may use the API.
func TestPreflight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, func(c *gapfill.Config, _ *gapfill.Options) { c.Transports = transports })
		for _, target := range []string{
			unstable + "/delayed_events", unstable + "/delayed_events/x", unstable + "/delayed_events/x/send", unstable + "/rooms/!r:hs/delayed_event/t/1",
			"/_matrix/client/v1/delayed_events/x/restart", "/_matrix/client/v3/rooms/!r:hs/delayed_event/t/1", "/_matrix/client/v1/rtc/transports",
		} {
			r := s.do(http.MethodOptions, target, "", "")
			if r.status != 200 || r.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Authorization") ||
				!strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "PUT") {
				t.Errorf("%s: %d %v", target, r.status, r.header)
			}
		}
		if n := s.hs.count("OPTIONS"); n != 0 {
			t.Errorf("%d were handed on", n)
		}
	})
}

// endless is a body without an end.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

var _ io.Reader = &endless{}

// TestEndlessBody: no more of a body is read than may be.
func TestEndlessBody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		body := &endless{}
		req := httptest.NewRequest(http.MethodPut, stateURL+"?org.matrix.msc4140.delay=1000", body)
		s.want("an endless body", s.roundTrip(req, "alice-token"), 413, "M_TOO_LARGE")
		if body.n > 4*gapfill.MaxBody {
			t.Errorf("%d bytes were read", body.n)
		}
	})
}
