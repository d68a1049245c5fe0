package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func newHomeserverTLS(c *ca, names ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.issue(names...)}}
}

func newTestOpenID(t *testing.T, n *internet, c *ca, overrides map[string]string) *openID {
	t.Helper()
	opts := n.options(c)
	opts.setDefaults()
	opts.Dial = n.dial
	o := newOpenID(newServers(overrides, nil, *opts), 0)
	t.Cleanup(o.servers.close)
	return o
}

// No server name leads into a network that is not public, by whatever way it
// is written, unless the operator says so.
func TestPrivateNetworks(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	set := func(n *internet) {
		n.ips["inside.example"] = "10.1.2.3"
		n.ips["local.example"] = "127.0.0.1"
		n.ips["metadata.example"] = "169.254.169.254"
		n.ips["six.example"] = "fd00::1"
		n.ips["mapped.example"] = "::ffff:10.0.0.1"
	}
	for _, name := range []string{
		"127.0.0.1", "127.0.0.1:8008", "10.0.0.1", "192.168.1.1:443", "169.254.169.254:80", "0.0.0.0",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]:80", "[fe80::1]", "[fd00::1]", "[64:ff9b::a00:1]", "[2002:a00:1::]",
		"inside.example", "inside.example:80", "local.example", "metadata.example", "six.example", "mapped.example",
	} {
		n := newInternet()
		set(n)
		o := newTestOpenID(t, n, ca, nil)
		_, err := o.verify(t.Context(), name, "tok-ann")
		if !errors.Is(err, errNotPublic) {
			t.Errorf("%s: %v", name, err)
		}
		if d := n.dialled(); len(d) > 0 {
			t.Errorf("%s: dialled %q", name, d)
		}
	}
	n := newInternet()
	set(n)
	hs := newHomeserver(t, "inside.example", ca, "inside.example")
	n.ports["10.1.2.3:8448"] = hs.addr()
	opts := n.options(ca)
	opts.AllowNetworks = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	opts.setDefaults()
	o := newOpenID(newServers(nil, nil, *opts), 0)
	defer o.servers.close()
	if user, err := o.verify(t.Context(), "inside.example", "tok-ann"); err != nil || user != "@ann:inside.example" {
		t.Errorf("allowed network: %q, %v", user, err)
	}
}

// The operator's own homeserver is where it is, private network or not; its
// name leads nobody else there.
func TestOwnHomeserverInPrivateNetwork(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	n.ips["one.example"], n.ips["two.example"] = "10.0.0.1", "10.0.0.1"
	wellKnown(t, n, ca, "one.example", "10.0.0.1", delegate("hs.inside:8448"))
	n.ips["hs.inside"] = "192.168.0.7"
	hs := newHomeserver(t, "one.example", ca, "hs.inside")
	n.ports["192.168.0.7:8448"] = hs.addr()
	opts := n.options(ca)
	opts.setDefaults()
	o := newOpenID(newServers(nil, []string{"one.example"}, *opts), 0)
	defer o.servers.close()
	if user, err := o.verify(t.Context(), "one.example", "tok-ann"); err != nil || user != "@ann:one.example" {
		t.Errorf("%q, %v", user, err)
	}
	for _, name := range []string{"two.example", "hs.inside:8448", "192.168.0.7:8448"} {
		if _, err := o.verify(t.Context(), name, "tok-ann"); !errors.Is(err, errNotPublic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpecialNetworks(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"8.8.8.8", "9.9.9.9", "172.15.0.1", "172.32.0.1", "192.0.1.1", "100.63.0.1", "2600::1", "2001:4860::8888", "2a00::1"} {
		if err := (guard{}).check(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{"0.1.2.3", "100.64.0.1", "172.16.0.1", "172.31.255.255", "192.0.2.1", "198.19.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:192.168.0.1", "::7f00:1", "fec0::1", "febf::1", "fe80::1%eth0", "ff02::1", "2001:db8::1", "2001::1", "2600::1%eth0"} {
		if (guard{}).check(netip.MustParseAddr(a)) == nil {
			t.Errorf("%s is let through", a)
		}
	}
	if (guard{}).check(netip.Addr{}) == nil {
		t.Error("no address is let through")
	}
}

// What a homeserver may answer without being believed; and no error ever holds
// the token.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other?"+r.URL.RawQuery, http.StatusFound)
		},
		"status":           func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); fmt.Fprint(w, r.URL) },
		"status 201":       answer(201, `{"sub":"@ann:one.example"}`),
		"no JSON":          answer(200, `<html>`),
		"no user":          answer(200, `{}`),
		"a number":         answer(200, `{"sub":1}`),
		"not a user id":    answer(200, `{"sub":"ann:one.example"}`),
		"no domain":        answer(200, `{"sub":"@ann"}`),
		"empty":            answer(200, `{"sub":""}`),
		"other domain":     answer(200, `{"sub":"@ann:two.example"}`),
		"sub-domain":       answer(200, `{"sub":"@ann:x.one.example"}`),
		"parent domain":    answer(200, `{"sub":"@ann:example"}`),
		"with a port":      answer(200, `{"sub":"@ann:one.example:8448"}`),
		"two colons":       answer(200, `{"sub":"@ann:two.example:one.example"}`),
		"other case":       answer(200, `{"sub":"@ann:One.example"}`),
		"control letters":  answer(200, `{"sub":"@ann\n:one.example"}`),
		"spaces":           answer(200, `{"sub":"@a n:one.example"}`),
		"broken UTF-8":     answer(200, "{\"sub\":\"@a\xff:one.example\"}"),
		"too long":         answer(200, `{"sub":"@`+strings.Repeat("a", 255)+`:one.example"}`),
		"too much":         answer(200, `{"sub":"@ann:one.example","x":"`+strings.Repeat("x", maxAnswer)+`"}`),
		"connection drops": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, h := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(h)
			defer s.Close()
			o := newTestOpenID(t, hostInternet(s), newCA(t), map[string]string{"one.example": s.URL})
			user, err := o.verify(t.Context(), "one.example", "the-token")
			if err == nil {
				t.Fatalf("believed: %q", user)
			}
			if strings.Contains(err.Error(), "the-token") {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		_, err := newTestOpenID(t, newInternet(), newCA(t), map[string]string{"one.example": "http://127.0.0.1:1"}).verify(t.Context(), "one.example", "the-token")
		if err == nil || strings.Contains(err.Error(), "the-token") {
			t.Error(err)
		}
	})
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// hostInternet is an internet where loopback addresses are themselves.
func hostInternet(servers ...*httptest.Server) *internet {
	n := newInternet()
	for _, s := range servers {
		n.ports[s.Listener.Addr().String()] = s.Listener.Addr().String()
	}
	return n
}

// An override is taken as written: a path is kept, plain HTTP and loopback are
// fine, nothing is looked up.
func TestOverride(t *testing.T) {
	t.Parallel()
	hs := newHomeserver(t, "one.example", nil)
	mux := http.NewServeMux()
	mux.Handle("/base/", http.StripPrefix("/base", hs))
	s := httptest.NewServer(mux)
	defer s.Close()
	n := hostInternet(s)
	o := newTestOpenID(t, n, newCA(t), map[string]string{"one.example": s.URL + "/base/"})
	if user, err := o.verify(t.Context(), "one.example", "tok-ann"); err != nil || user != "@ann:one.example" {
		t.Errorf("%q, %v", user, err)
	}
	if n.looks != 0 {
		t.Errorf("%d look-ups", n.looks)
	}
}

func TestInsecureSkipVerify(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	hs := newHomeserver(t, "9.9.9.9", newCA(t), "another.name")
	n.ports["9.9.9.9:8448"] = hs.addr()
	opts := n.options(ca)
	opts.InsecureSkipVerify = true
	opts.setDefaults()
	o := newOpenID(newServers(nil, nil, *opts), 0)
	defer o.servers.close()
	if _, err := o.verify(t.Context(), "9.9.9.9", "tok-ann"); err != nil {
		t.Error(err)
	}
}

func TestServerNames(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"example.org", "EXAMPLE.org:8448", "a-b.c", "localhost", "localhost:80", "1.2.3.4", "1.2.3.4:5", "[::1]", "[2600::9]:80", "xn--bcher-kva.example", "1a.2b", "example.org."} {
		if n, err := parseServerName(s); err != nil || n.name != s {
			t.Errorf("%q: %+v, %v", s, n, err)
		}
	}
	for _, s := range []string{"", ":", ":80", "example.org:", "example.org:0", "example.org:65536", "example.org:+1", "example.org:80:80", "a b", "a/b", "a?b", "a#b", "a@b",
		"http://a", "a_b", "bücher.example", "a..b", ".a", "[::1", "::1", "[::1]x", "[::1]:", "[1.2.3.4]", "[fe80::1%eth0]", "127.1", "2130706433", "999.1.1.1", "1.2.3.4.", "a\x00", strings.Repeat("a", 64) + ".org", strings.Repeat("a.", 130)} {
		if n, err := parseServerName(s); err == nil {
			t.Errorf("%q is let through: %+v", s, n)
		}
	}
}

// A second connection to a homeserver resumes the TLS session of the first.
func TestTLSIsResumed(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	hs := newHomeserver(t, "one.example", ca, "one.example")
	n.ips["one.example"], n.ports["9.9.9.1:8448"] = "9.9.9.1", hs.addr()
	opts := n.options(ca)
	opts.setDefaults()
	o := newOpenID(newServers(nil, nil, *opts), 0)
	defer o.servers.close()
	for i := range 3 {
		if _, err := o.verify(t.Context(), "one.example", "tok-ann"); err != nil {
			t.Fatal(err)
		}
		if resumed := hs.wasResumed(); resumed != (i > 0) {
			t.Errorf("connection %d: resumed %v", i, resumed)
		}
		o.servers.rest.getter.CloseIdle()
	}
}

// Many who come at once look a server's name up once.
func TestResolvedOnce(t *testing.T) {
	t.Parallel()
	n := newInternet()
	n.ips["one.example"] = "9.9.9.1"
	r := newResolver(n, http.DefaultTransport.(*http.Transport).Clone())
	hold := make(chan struct{})
	r.wellKnown.Transport = roundTripper(func(*http.Request) (*http.Response, error) { <-hold; return nil, net.ErrClosed })
	name, err := parseServerName("one.example")
	if err != nil {
		t.Fatal(err)
	}
	var wg, begun sync.WaitGroup
	for range 30 {
		begun.Add(1)
		wg.Go(func() {
			begun.Done()
			if _, err := r.resolve(t.Context(), name, time.Unix(0, 0)); err != nil {
				t.Error(err)
			}
		})
	}
	begun.Wait()
	close(hold)
	wg.Wait()
	if n.looks != 2 {
		t.Errorf("%d look-ups, want 2", n.looks)
	}
}

// manyAddrs is a DNS that has several addresses for a name.
type manyAddrs struct {
	*internet
	addrs []netip.Addr
}

func (m manyAddrs) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return m.addrs, nil
}

// Of a server with several addresses the first that answers is taken: who has an IPv6
// address that leads nowhere keeps nobody waiting for it. Addresses that are not public
// are not tried, whatever stands beside them.
func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	dead, private := errors.New("dead"), "10.0.0.1"
	for name, c := range map[string]struct {
		addrs string
		hangs string // addresses that never answer
		live  string // that answers
		want  string // what is tried, in order
		took  time.Duration
	}{
		"the first answers":          {"2600::1 9.9.9.1", "", "2600::1 9.9.9.1", "2600::1", 0},
		"the first hangs":            {"2600::1 9.9.9.1", "2600::1", "9.9.9.1", "2600::1 9.9.9.1", dialHeadStart},
		"the first is dead":          {"2600::1 9.9.9.1", "", "9.9.9.1", "2600::1 9.9.9.1", 0},
		"one family is dead":         {"2600::1 2600::2 2600::3 2600::4 2600::5 9.9.9.1", "2600::1 2600::2", "9.9.9.1", "2600::1 9.9.9.1", dialHeadStart},
		"four at most":               {"9.9.9.1 9.9.9.2 9.9.9.3 9.9.9.4 9.9.9.5", "", "9.9.9.5", "9.9.9.1 9.9.9.2 9.9.9.3 9.9.9.4", 0},
		"all hang":                   {"2600::1 9.9.9.1", "2600::1 9.9.9.1", "", "2600::1 9.9.9.1", dialHeadStart + dialTimeout},
		"private ones beside it":     {"10.0.0.1 ::1 9.9.9.1", "", "9.9.9.1 10.0.0.1 ::1", "9.9.9.1", 0},
		"a private one after it":     {"9.9.9.1 10.0.0.1", "9.9.9.1", "10.0.0.1", "9.9.9.1", dialTimeout},
		"mapped":                     {"::ffff:10.0.0.1 ::ffff:9.9.9.1", "", "9.9.9.1", "9.9.9.1", 0},
		"the second answers at last": {"2600::1 9.9.9.1 2600::2", "2600::1 9.9.9.1 2600::2", "", "2600::1 9.9.9.1 2600::2", 2*dialHeadStart + dialTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var tried []string
				open := 0
				d := &dialer{guard: &guard{}, dial: func(ctx context.Context, _, address string) (net.Conn, error) {
					host, _, _ := net.SplitHostPort(address)
					mu.Lock()
					tried = append(tried, host)
					mu.Unlock()
					if slices.Contains(strings.Fields(c.hangs), host) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					if !slices.Contains(strings.Fields(c.live), host) {
						return nil, dead
					}
					mu.Lock()
					open++
					mu.Unlock()
					a, b := net.Pipe()
					b.Close()
					return a, nil
				}}
				var addrs []netip.Addr
				for _, a := range strings.Fields(c.addrs) {
					addrs = append(addrs, netip.MustParseAddr(a))
				}
				d.dns = manyAddrs{newInternet(), addrs}
				start := time.Now()
				conn, err := d.tcp(t.Context(), "one.example:8448")
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if got := strings.Join(tried, " "); got != c.want {
					t.Errorf("tried %s, want %s", got, c.want)
				}
				if answers := open > 0; answers != (err == nil) || open > 1 {
					t.Errorf("%v; %d connections", err, open)
				}
				if err == nil {
					conn.Close()
				} else if !strings.Contains(err.Error(), strings.TrimPrefix(strings.Fields(c.addrs)[0], "::ffff:")) {
					t.Errorf("not the error of the first address: %v", err)
				}
				if strings.Contains(strings.Join(tried, " "), private) {
					t.Error("a private address was tried")
				}
			})
		})
	}
}
