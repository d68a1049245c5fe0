package auth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wellKnown serves .well-known/matrix/server for a host on 443.
func wellKnown(t *testing.T, n *internet, c *ca, host, ip string, h http.HandlerFunc) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != host {
			t.Errorf(".well-known asked for host %q, want %q", r.Host, host)
		}
		h(w, r)
	}))
	s.TLS = newHomeserverTLS(c, host)
	s.StartTLS()
	t.Cleanup(s.Close)
	n.ips[host] = ip
	n.ports[ip+":443"] = s.Listener.Addr().String()
}

func delegate(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/matrix/server" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"m.server":%q}`, to)
	}
}

// The steps of "Resolving server names" in the server-server API: where we
// connect, what Host we send, what name the certificate must have.
func TestResolvingServerNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step, name string
		set        func(t *testing.T, n *internet, c *ca)
		dial       string // ip:port of the homeserver
		host, cert string
	}{
		{"1 IPv4 address", "9.9.9.9", nil, "9.9.9.9:8448", "9.9.9.9", "9.9.9.9"},
		{"1 IPv4 address with port", "9.9.9.9:443", nil, "9.9.9.9:443", "9.9.9.9:443", "9.9.9.9"},
		{"1 IPv6 address", "[2600::9]", nil, "[2600::9]:8448", "[2600::9]", "2600::9"},
		{"1 IPv6 address with port", "[2600::9]:4433", nil, "[2600::9]:4433", "[2600::9]:4433", "2600::9"},
		{"2 host with port", "one.example:8000", func(t *testing.T, n *internet, c *ca) {
			n.ips["one.example"] = "9.9.9.1"
		}, "9.9.9.1:8000", "one.example:8000", "one.example"},
		{"3.1 delegated to an address", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", delegate("9.9.9.2"))
		}, "9.9.9.2:8448", "9.9.9.2", "9.9.9.2"},
		{"3.2 delegated to a host with port", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", delegate("hs.one.example:443"))
			n.ips["hs.one.example"] = "9.9.9.2"
		}, "9.9.9.2:443", "hs.one.example:443", "hs.one.example"},
		{"3.3 delegated, SRV", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", delegate("hs.one.example"))
			n.srv["_matrix-fed._tcp.hs.one.example"] = []*net.SRV{{Target: "node.one.example.", Port: 4444}}
			n.srv["_matrix._tcp.hs.one.example"] = []*net.SRV{{Target: "old.one.example.", Port: 1}}
			n.ips["node.one.example"] = "9.9.9.3"
		}, "9.9.9.3:4444", "hs.one.example", "hs.one.example"},
		{"3.4 delegated, old SRV", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", delegate("hs.one.example"))
			n.srv["_matrix._tcp.hs.one.example"] = []*net.SRV{{Target: "node.one.example.", Port: 4444}}
			n.ips["node.one.example"] = "9.9.9.3"
		}, "9.9.9.3:4444", "hs.one.example", "hs.one.example"},
		{"3.5 delegated, no SRV", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", delegate("hs.one.example"))
			n.ips["hs.one.example"] = "9.9.9.2"
		}, "9.9.9.2:8448", "hs.one.example", "hs.one.example"},
		{"4 SRV", "one.example", func(t *testing.T, n *internet, c *ca) {
			n.srv["_matrix-fed._tcp.one.example"] = []*net.SRV{{Target: "gone.one.example.", Port: 4443}, {Target: "node.one.example.", Port: 4444}}
			n.ips["gone.one.example"], n.ips["node.one.example"] = "9.9.9.8", "9.9.9.3"
		}, "9.9.9.3:4444", "one.example", "one.example"},
		{"5 old SRV; a dot means none", "one.example", func(t *testing.T, n *internet, c *ca) {
			n.srv["_matrix-fed._tcp.one.example"] = []*net.SRV{{Target: ".", Port: 0}}
			n.srv["_matrix._tcp.one.example"] = []*net.SRV{{Target: "node.one.example.", Port: 4444}}
			n.ips["node.one.example"] = "9.9.9.3"
		}, "9.9.9.3:4444", "one.example", "one.example"},
		{"6 port 8448", "one.example", func(t *testing.T, n *internet, c *ca) {
			n.ips["one.example"] = "9.9.9.1"
		}, "9.9.9.1:8448", "one.example", "one.example"},
		{"3 .well-known is no JSON", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>") })
		}, "9.9.9.1:8448", "one.example", "one.example"},
		{"3 .well-known names no server", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", delegate("hs.one.example/path"))
		}, "9.9.9.1:8448", "one.example", "one.example"},
		{"3 .well-known is huge", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, `{"m.server":"hs.one.example:443"`, strings.Repeat(" ", maxWellKnown), "}")
			})
		}, "9.9.9.1:8448", "one.example", "one.example"},
		{"3 .well-known is missing", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", http.NotFound)
		}, "9.9.9.1:8448", "one.example", "one.example"},
		{"3 .well-known redirects", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "www.example", "9.9.9.4", delegate("9.9.9.2"))
			wellKnown(t, n, c, "one.example", "9.9.9.1", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://www.example/.well-known/matrix/server", http.StatusFound)
			})
		}, "9.9.9.2:8448", "9.9.9.2", "9.9.9.2"},
		{"3 .well-known redirects for ever", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, r.URL.Path, http.StatusFound)
			})
		}, "9.9.9.1:8448", "one.example", "one.example"},
		{"3 .well-known redirects to plain HTTP", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "one.example", "9.9.9.1", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://one.example/", http.StatusFound)
			})
		}, "9.9.9.1:8448", "one.example", "one.example"},
		{"3 .well-known redirects into the private network", "one.example", func(t *testing.T, n *internet, c *ca) {
			wellKnown(t, n, c, "inside.example", "10.0.0.1", delegate("9.9.9.2"))
			wellKnown(t, n, c, "one.example", "9.9.9.1", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://inside.example/.well-known/matrix/server", http.StatusFound)
			})
		}, "9.9.9.1:8448", "one.example", "one.example"},
	} {
		t.Run(c.step, func(t *testing.T) {
			t.Parallel()
			ca, n := newCA(t), newInternet()
			if c.set != nil {
				c.set(t, n, ca)
			}
			hs := newHomeserver(t, c.name, ca, c.cert)
			n.ports[c.dial] = hs.addr()
			o := newTestOpenID(t, n, ca, nil)
			user, err := o.verify(t.Context(), c.name, "tok-ann")
			if err != nil {
				t.Fatalf("%v\ndialled %q", err, n.dialled())
			}
			if user != "@ann:"+c.name {
				t.Errorf("user %q", user)
			}
			host, sni := hs.seen()
			if host != c.host {
				t.Errorf("Host %q, want %q", host, c.host)
			}
			if want := c.cert; net.ParseIP(want) == nil && sni != want {
				t.Errorf("SNI %q, want %q", sni, want)
			}
			if slices.Contains(n.dialled(), "10.0.0.1:443") {
				t.Error("went into the private network")
			}
		})
	}
}

// The certificate must be for the name, not for where SRV led.
func TestCertificateOfAnotherName(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	n.srv["_matrix-fed._tcp.one.example"] = []*net.SRV{{Target: "node.two.example.", Port: 4444}}
	n.ips["node.two.example"] = "9.9.9.3"
	hs := newHomeserver(t, "one.example", ca, "node.two.example")
	n.ports["9.9.9.3:4444"] = hs.addr()
	_, err := newTestOpenID(t, n, ca, nil).verify(t.Context(), "one.example", "tok-ann")
	if err == nil || !strings.Contains(err.Error(), "certificate") || hs.requests.Load() != 0 {
		t.Errorf("%v, %d requests", err, hs.requests.Load())
	}
}

// One connection and one resolution serve many requests; when nobody answers
// any more the name is resolved anew.
func TestResolutionIsKept(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	n.ips["one.example"] = "9.9.9.1"
	hs := newHomeserver(t, "one.example", ca, "one.example")
	n.ports["9.9.9.1:8448"] = hs.addr()
	o := newTestOpenID(t, n, ca, nil)
	for range 5 {
		if _, err := o.verify(t.Context(), "one.example", "tok-ann"); err != nil {
			t.Fatal(err)
		}
	}
	if n.looks != 2 || hs.conns.Load() != 1 || hs.requests.Load() != 5 {
		t.Errorf("%d SRV look-ups, %d connections, %d requests; want 2, 1, 5", n.looks, hs.conns.Load(), hs.requests.Load())
	}
	moved := newHomeserver(t, "one.example", ca, "one.example")
	n.mu.Lock()
	delete(n.ports, "9.9.9.1:8448")
	n.ports["9.9.9.7:4444"] = moved.addr()
	n.ips["node.one.example"] = "9.9.9.7"
	n.srv["_matrix-fed._tcp.one.example"] = []*net.SRV{{Target: "node.one.example.", Port: 4444}}
	n.mu.Unlock()
	hs.CloseClientConnections()
	if _, err := o.verify(t.Context(), "one.example", "tok-ann"); err == nil {
		t.Error("somebody answered at the old place")
	}
	if _, err := o.verify(t.Context(), "one.example", "tok-ann"); err != nil {
		t.Errorf("at the new place: %v", err)
	}
}

func TestResolutionExpires(t *testing.T) {
	t.Parallel()
	n := newInternet()
	n.ips["one.example"] = "9.9.9.1"
	r := newResolver(n, http.DefaultTransport.(*http.Transport).Clone())
	r.wellKnown.Transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, net.ErrClosed })
	name, err := parseServerName("one.example")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1_764_000_000, 0)
	for _, c := range []struct {
		after time.Duration
		looks int
	}{{0, 2}, {keepSRV - 1, 2}, {keepSRV, 4}} {
		if _, err := r.resolve(t.Context(), name, start.Add(c.after)); err != nil {
			t.Fatal(err)
		}
		if n.looks != c.looks {
			t.Errorf("after %v: %d look-ups, want %d", c.after, n.looks, c.looks)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.resolve(ctx, name, start.Add(time.Hour)); err == nil {
		t.Error("an ended context leads somewhere")
	}
}

func TestMaxAge(t *testing.T) {
	t.Parallel()
	got := map[string]time.Duration{}
	want := map[string]time.Duration{
		"": keepDefault, "no-store": keepMin, "public, max-age=3600": time.Hour, "MAX-AGE=1": keepMin,
		"max-age=99999999": keepMax, "max-age=x": keepDefault, "max-age=99999999999999999999": keepDefault,
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for v := range want {
		got[v] = maxAge(http.Header{"Cache-Control": {v}}, now)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"kept on its way":        {http.Header{"Cache-Control": {"max-age=7200"}, "Age": {"3600"}}, time.Hour},
		"kept for too long":      {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"99999"}}, keepMin},
		"an age that is none":    {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"old"}}, time.Hour},
		"quoted":                 {http.Header{"Cache-Control": {`max-age="3600"`}}, time.Hour},
		"expires":                {http.Header{"Expires": {"Mon, 23 Nov 2026 14:00:00 GMT"}}, 2 * time.Hour},
		"expires, another clock": {http.Header{"Expires": {"Mon, 23 Nov 2020 14:00:00 GMT"}, "Date": {"Mon, 23 Nov 2020 13:00:00 GMT"}}, time.Hour},
		"has expired":            {http.Header{"Expires": {"Mon, 23 Nov 2026 11:00:00 GMT"}}, keepMin},
		"expires at no time":     {http.Header{"Expires": {"0"}}, keepMin},
		"expires in a century":   {http.Header{"Expires": {"Mon, 23 Nov 2126 11:00:00 GMT"}}, keepMax},
		"max-age counts":         {http.Header{"Cache-Control": {"public, max-age=3600"}, "Expires": {"0"}}, time.Hour},
	} {
		if got := maxAge(c.header, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
