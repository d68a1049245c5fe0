package auth

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// saying is a web that answers everything with the same.
type saying struct{ header, body string }

func (s saying) RoundTrip(*http.Request) (*http.Response, error) {
	h := http.Header{}
	if s.header != "" {
		h["Cache-Control"] = []string{s.header}
		h["Retry-After"] = []string{s.header}
	}
	return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(s.body))}, nil
}

// Whatever a server says of where its federation API is: what is believed can be
// dialled, stands in a Host header, and is asked again in time.
func FuzzWellKnownServer(f *testing.F) {
	for _, s := range [][2]string{
		{`{"m.server":"hs.example:443"}`, "max-age=60"}, {`{"m.server":"[::1]"}`, "no-store"}, {`{"m.server":"a\r\nb"}`, ""}, {`{"m.server":7}`, "max-age=99999999999"},
		{`{"M.SERVER":"x"}`, "max-age=-1"}, {`[]`, "MAX-AGE=5, no-cache"}, {`{"m.server":"one.example"}`, "max-age=\x00"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, body, header string) {
		r := newResolver(newInternet(), saying{header, body})
		name, err := parseServerName("one.example")
		if err != nil {
			t.Fatal(err)
		}
		got, keep, err := r.find(t.Context(), name)
		if err != nil {
			t.Fatalf("%v: a bad document is none", err)
		}
		if keep < keepMin || keep > keepMax {
			t.Errorf("kept for %v", keep)
		}
		if len(got.dial) == 0 || strings.ContainsAny(got.host+got.tls, "\r\n /\\@?#\x00") || got.host == "" || got.tls == "" {
			t.Errorf("%+v", got)
		}
		for _, d := range got.dial {
			host, port, err := net.SplitHostPort(d)
			if err != nil || host == "" || !validPort(port) {
				t.Errorf("%q: %v", d, err)
			}
		}
		if _, err := parseServerName(got.host); err != nil {
			t.Errorf("the host %q is none: %v", got.host, err)
		}
	})
}

// The same for client-server APIs: what is believed is a base URL and nothing more.
func FuzzWellKnownClient(f *testing.F) {
	for _, s := range []string{
		`{"m.homeserver":{"base_url":"https://hs.example/"}}`, `{"m.homeserver":{"base_url":"http://127.0.0.1"}}`, `{"m.homeserver":{"base_url":"https://u@h?x#y"}}`,
		`{"m.homeserver":null}`, `{"m.homeserver":{"base_url":"https://h/%2e%2e/"}}`, `{"m.homeserver":{"base_url":"//h"}}`, `{"m.homeserver":{"base_url":"https://h\u0000"}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var o Options
		o.setDefaults()
		c := newClientAPIs(nil, newServers(nil, nil, o))
		c.servers.rest.resolver.wellKnown.Transport = saying{body: body}
		base, err := c.base(t.Context(), "one.example")
		if err != nil {
			return
		}
		u, err := url.Parse(base + "/_matrix/client/x")
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.Path, "/_matrix/client/x") {
			t.Errorf("%q: %v", base, err)
		}
	})
}

// Whatever a homeserver says of a token: who is believed is a user of that homeserver.
func FuzzUserinfo(f *testing.F) {
	for _, s := range []string{`{"sub":"@ann:one.example"}`, `{"sub":"@ann:two.example"}`, `{"sub":"@:one.example"}`, `{"SUB":"@a:one.example","sub":null}`, `{"sub":"@a\u0000:one.example"}`, `{"sub":["@a:one.example"]}`, "{\"sub\":\"@\xff:one.example\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var o Options
		o.setDefaults()
		servers := newServers(map[string]string{"one.example": "http://hs"}, nil, o)
		servers.written.Transport = saying{body: body}
		user, err := newOpenID(servers, 0).verify(t.Context(), "one.example", "the secret token")
		if err != nil {
			if strings.Contains(err.Error(), "the secret token") || len(err.Error()) > 1000 {
				t.Errorf("%v", err)
			}
			return
		}
		if !strings.HasPrefix(user, "@") || !strings.HasSuffix(user, ":one.example") || strings.Count(user, ":") != 1 || len(user) > 255 || strings.ContainsAny(user, "\x00\r\n ") {
			t.Errorf("%q", user)
		}
	})
}

// What a homeserver answers about a delayed event is one of the outcomes, and waiting
// has an end.
func FuzzDelayedAnswer(f *testing.F) {
	for _, s := range []string{"7", "-1", "soon", "Mon, 23 Nov 2026 12:00:00 GMT", "99999999999999999999", ""} {
		f.Add(s, `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1e300}`)
	}
	f.Fuzz(func(t *testing.T, header, body string) {
		a := &reply{status: 429, header: http.Header{"Retry-After": {header}}, body: []byte(body)}
		if d := a.retryAfter(time.Unix(1_790_000_000, 0)); d < 0 || d > maxRetryAfter {
			t.Errorf("%v", d)
		}
		_ = a.unrecognised()
	})
}

// A pattern means what its words say, and is looked at in time.
func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{{"*.example", "one.example"}, {"a*b?c", "aXbYc"}, {"", ""}, {"**?", "x"}, {"[a]", "a"}, {"\\*", "\\x"}, {"*é?", "aé1"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 512 || len(name) > 4096 {
			return
		}
		start := time.Now()
		got := match(pattern, name)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%v for %d and %d bytes", took, len(pattern), len(name))
		}
		if pattern == "" {
			if !got {
				t.Error("the empty pattern does not fit")
			}
			return
		}
		// The same in regular expressions, over bytes.
		latin := func(s string) string {
			var b strings.Builder
			for i := range len(s) {
				b.WriteRune(rune(s[i]))
			}
			return b.String()
		}
		expr := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(latin(pattern)))
		re, err := regexp.Compile(`(?s)\A(?:` + expr + `)\z`)
		if err != nil {
			return // too long for regexp
		}
		if strings.Contains(pattern, `\`) {
			return // the replacer above takes an escaped backslash before a star for a star
		}
		if want := re.MatchString(latin(name)); got != want {
			t.Errorf("match(%q, %q) = %v", pattern, name, got)
		}
	})
}

// Whatever stands in a header about who asks, nobody becomes somebody else: the user
// is one of this homeserver, the origin is the one that has signed.
func FuzzWhoAsks(f *testing.F) {
	s := newHomeSite(f, nil)
	for _, h := range []string{"@ann:one.example", "@bob:two.example", "@ann:one.example, @eve:one.example", "", "@a:one.example\x00", " @ann:one.example"} {
		f.Add("Bearer "+string(hsToken), h)
		f.Add("Bearer token-eve", h)
		f.Add(`X-Matrix origin="two.example",destination="one.example",key="ed25519:a_1",sig="x"`, h)
	}
	f.Fuzz(func(t *testing.T, authorization, who string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, csToken, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {authorization}, "X-Matrix-User-Identifier": {who}, "X-Matrix-Origin": {who}}
		got, fail := s.client(ctx, r)
		if fail == nil {
			if userServer(got.user) != "one.example" {
				t.Errorf("%q is %+v", who, got)
			}
			if authorization == "Bearer "+string(hsToken) && got.user != who || authorization != "Bearer "+string(hsToken) && got.user == who && who != "" && !strings.Contains(authorization, strings.TrimPrefix(strings.TrimSuffix(who, ":one.example"), "@")) {
				t.Errorf("%q is believed to be %q", who, got.user)
			}
		} else if fail.status < 400 || fail.status >= 600 || fail.code == "" {
			t.Errorf("%+v", fail)
		}
		origin, fail := s.Service.peer(ctx, r, []byte("{}"))
		if fail == nil && (authorization != "Bearer "+string(hsToken) || origin != who || origin == "") {
			t.Errorf("%q, %q is %q", authorization, who, origin)
		}
	})
}

// A registration file that is read has both tokens; one that is not is not repeated.
// What we write we read.
func FuzzRegistration(f *testing.F) {
	f.Add([]byte("as_token: a secret\nhs_token: another secret\n"), "an as token of ours", "an hs token of ours")
	f.Add([]byte("as_token: &a [*a]\nhs_token: !!binary x"), "aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb")
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nas_token: *b"), "\"\\\"", "x")
	f.Fuzz(func(t *testing.T, file []byte, as, hs string) {
		r, err := ReadRegistration(file)
		if err != nil {
			if len(err.Error()) > 200 || len(file) > 30 && strings.Contains(err.Error(), string(file)) {
				t.Errorf("%v", err)
			}
		} else if r.ASToken == "" || r.HSToken == "" {
			t.Errorf("%+v", r)
		}
		out, err := Registration{ServerName: "one.example", ASToken: Secret(as), HSToken: Secret(hs), ProxyURL: "http://127.0.0.1:1"}.YAML()
		if err != nil {
			if len(as) > 16 && strings.Contains(err.Error(), as) {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := ReadRegistration(out); err != nil || string(again.ASToken) != as || string(again.HSToken) != hs {
			t.Errorf("%q, %q: %v", as, hs, err)
		}
	})
}
