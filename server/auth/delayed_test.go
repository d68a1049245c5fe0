package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// How a delayed event is acted upon, by what the homeserver answers.
func TestDelayedAct(t *testing.T) {
	t.Parallel()
	const (
		path = "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/d%2F1/restart {}"
		body = `POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/d%2F1 {"action":"restart"}`
		v1   = "POST /_matrix/client/v1/delayed_events/d%2F1/restart {}"
	)
	unknown := `404 {"errcode":"M_UNRECOGNIZED"}`
	for name, c := range map[string]struct {
		answers []string // status, body, and Retry-After after "|"
		asked   []string
		gone    bool
		after   time.Duration
		fails   bool
	}{
		"done":                      {[]string{`200 {}`}, []string{path}, false, 0, false},
		"nothing to say":            {[]string{`204 `}, []string{path}, false, 0, false},
		"old form":                  {[]string{unknown, `200 {}`}, []string{path, body}, false, 0, false},
		"stable form":               {[]string{unknown, unknown, `200 {}`}, []string{path, body, v1}, false, 0, false},
		"not known at all":          {[]string{unknown, `404 not found`, `405 `}, []string{path, body, v1}, true, 0, true},
		"gone":                      {[]string{`404 {"errcode":"M_NOT_FOUND"}`}, []string{path}, true, 0, true},
		"over already":              {[]string{`409 {"errcode":"M_UNKNOWN"}`}, []string{path}, true, 0, true},
		"down":                      {[]string{`502 bad gateway`}, []string{path}, false, 0, true},
		"refused":                   {[]string{`403 {"errcode":"M_FORBIDDEN"}`}, []string{path}, false, 0, true},
		"wants to know who asks":    {[]string{`401 {"errcode":"M_MISSING_TOKEN"}`}, []string{path}, false, 0, true},
		"too often":                 {[]string{`429 {"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}`}, []string{path}, false, 1500 * time.Millisecond, true},
		"too often, by the header":  {[]string{`429 {"retry_after_ms":1500}|7`}, []string{path}, false, 7 * time.Second, true},
		"too often, in three hours": {[]string{`429 {}|10800`}, []string{path}, false, time.Hour, true},
		"too often, and no word":    {[]string{`429 {}|soon`}, []string{path}, false, 0, true},
		"too often, backwards":      {[]string{`429 {}|-5`}, []string{path}, false, 0, true},
		"garbage of an error":       {[]string{`500 ` + strings.Repeat("x", maxAnswer+1)}, []string{path}, false, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []string
			hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				data := make([]byte, 100)
				n, _ := r.Body.Read(data)
				asked = append(asked, r.Method+" "+r.URL.EscapedPath()+" "+string(data[:n]))
				if r.Header.Get("Authorization") != "" {
					t.Error("asked with a token")
				}
				answer, retry, _ := strings.Cut(c.answers[len(asked)-1], "|")
				status, text, _ := strings.Cut(answer, " ")
				if retry != "" {
					w.Header().Set("Retry-After", retry)
				}
				code := 0
				_, _ = fmt.Sscan(status, &code)
				w.WriteHeader(code)
				if text != "" {
					fmt.Fprint(w, text)
				}
			}))
			t.Cleanup(hs.Close)
			var o Options
			o.setDefaults()
			d := &delayed{apis: newClientAPIs(map[string]string{"one.example": hs.URL + "/"}, newServers(nil, nil, o))}
			job := leaveOf("ann", "d/1", time.Minute)
			err := d.act(t.Context(), &job, leave.Restart)
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			again, retry := errors.AsType[*retryError](err)
			if (err != nil) != c.fails || errors.Is(err, errLeaveGone) != c.gone || retry != (c.fails && !c.gone) || retry && again.after != c.after {
				t.Errorf("%v (%T)", err, err)
			}
			if err != nil && strings.Contains(err.Error(), "d/1") {
				t.Errorf("the error names the event: %v", err)
			}
		})
	}
}

// Where a homeserver wants to know who asks, the service asks as the user, if it
// is that homeserver's.
func TestDelayedAsUser(t *testing.T) {
	t.Parallel()
	h := newFakeHome(t, "one.example")
	h.delays["d1"], h.wantAuth = "@ann:one.example !room:x 1000", true
	var o Options
	o.setDefaults()
	apis := newClientAPIs(map[string]string{"one.example": h.URL, "two.example": h.URL}, newServers(nil, nil, o))
	d := &delayed{apis, &home{server: "one.example", token: asToken, apis: apis}}
	const path = "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/d1/send"
	for _, c := range []struct {
		server, user string
		as           bool
		want         []string
		ok           bool
	}{
		{"one.example", "@ann:one.example", false, []string{path + " !", path + " @ann:one.example"}, true},
		{"one.example", "@ann:one.example", true, []string{path + " @ann:one.example"}, true},
		{"two.example", "@ann:two.example", false, []string{path + " !"}, false},
		{"two.example", "@ann:two.example", true, []string{path + " !"}, false},
		{"one.example", "", true, []string{path + " !"}, false},
	} {
		h.set(func(h *fakeHome) { h.asked = nil })
		err := d.act(t.Context(), &leave.Job{Server: c.server, User: c.user, AsUser: c.as, DelayID: "d1"}, leave.Send)
		if diff := cmp.Diff(c.want, h.log()); diff != "" || (err == nil) != c.ok {
			t.Errorf("%+v: %v\n%s", c, err, diff)
		}
	}
}

// The client-server API of a server is found by its name, kept, and looked for
// anew when nobody answers.
func TestClientAPIDiscovery(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	var mu sync.Mutex
	doc, looks := "", 0
	n.ips["one.example"] = "9.9.9.1"
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		looks++
		if r.URL.Path != "/.well-known/matrix/client" || doc == "" {
			w.WriteHeader(404)
			return
		}
		fmt.Fprint(w, doc)
	}))
	web.TLS = tlsConfig(ca.issue("one.example"))
	web.StartTLS()
	t.Cleanup(web.Close)
	n.ports["9.9.9.1:443"] = web.Listener.Addr().String()
	opts := n.options(ca)
	opts.setDefaults()
	strange := newClientAPIs(nil, newServers(nil, nil, *opts))
	own := newClientAPIs(nil, newServers(nil, []string{"one.example"}, *opts))
	for text, want := range map[string]string{
		"": "!", "{}": "!", `{"m.homeserver":{}}`: "!", `{"m.homeserver":{"base_url":""}}`: "!", `[`: "!",
		`{"m.homeserver":{"base_url":"https://hs.one.example/"}}`:    "https://hs.one.example",
		`{"m.homeserver":{"base_url":"https://hs.one.example/x//"}}`: "https://hs.one.example/x/",
		`{"m.homeserver":{"base_url":"ftp://hs.one.example"}}`:       "!",
		`{"m.homeserver":{"base_url":"http://hs.one.example"}}`:      "own http://hs.one.example",
		`{"m.homeserver":{"base_url":"https://u:p@hs.one.example"}}`: "!",
		`{"m.homeserver":{"base_url":"https://hs.one.example?x=1"}}`: "!",
		`{"m.homeserver":{"base_url":"https://"}}`:                   "!",
	} {
		mu.Lock()
		doc = text
		mu.Unlock()
		for who, c := range map[string]*clientAPIs{"": strange, "own": own} {
			c.forget("one.example")
			base, err := c.base(t.Context(), "one.example")
			w, ok := strings.CutPrefix(want, "own ")
			if ok && who == "" {
				w = "!"
			}
			if (err != nil) != (w == "!") || err == nil && base != w {
				t.Errorf("%s %s: %q, %v", who, text, base, err)
			}
		}
	}
	mu.Lock()
	doc, looks = `{"m.homeserver":{"base_url":"https://hs.one.example"}}`, 0
	mu.Unlock()
	own.forget("one.example")
	for range 3 {
		if _, err := own.base(t.Context(), "one.example"); err != nil {
			t.Fatal(err)
		}
	}
	if looks != 1 || own.size() != 1 {
		t.Errorf("%d looks, %d kept", looks, own.size())
	}
	d := &delayed{apis: own}
	if err := d.act(context.Background(), &leave.Job{Server: "one.example", DelayID: "d"}, leave.Send); err == nil || own.size() != 0 {
		t.Errorf("%v, %d kept", err, own.size()) // hs.one.example is nowhere
	}
	if _, err := own.base(t.Context(), "bad name"); err == nil {
		t.Error("a name that is none has an API")
	}
}
