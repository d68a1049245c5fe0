package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// rebinding is a name server of somebody who wants to get inside: a public address
// first, then one of ours, or both at once.
type rebinding struct {
	mu     sync.Mutex
	inner  []string
	n      int
	dialed []string
}

func (d *rebinding) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !strings.HasPrefix(name, "srv.") {
		return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return name, []*net.SRV{{Target: d.inner[0], Port: 6379}, {Target: "inner.example.", Port: 6379}, {Target: "localhost.", Port: 22}}, nil
}

func (d *rebinding) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	public, inner := netip.MustParseAddr("9.9.9.1"), netip.MustParseAddr(d.inner[d.n%len(d.inner)])
	switch {
	case host == "localhost" || host == "inner.example":
		return []netip.Addr{inner}, nil
	case d.n%4 == 0:
		return []netip.Addr{public}, nil
	case d.n%4 == 1:
		return []netip.Addr{inner}, nil
	case d.n%4 == 2:
		return []netip.Addr{public, inner, public, inner}, nil // the first one does not answer
	}
	return []netip.Addr{inner, public, inner}, nil
}

func (d *rebinding) dial(_ context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dialed = append(d.dialed, address)
	return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("nobody there")}
}

// insides are addresses that nobody may reach through us, in the ways in which they
// can be written.
var insides = []string{
	"127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.170", "198.18.0.1", "255.255.255.255", "224.0.0.1",
	"::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1",
	"fe80::1", "fec0::1", "fd00:ec2::254", "2002:7f00:1::", "2001:0:7f00:1::", "ff02::1", "100::1", "2001:db8::1",
}

// The address that is checked is the one that is dialled, whatever the name server
// says the next time, and whichever way a name comes.
func TestRebinding(t *testing.T) {
	t.Parallel()
	d := &rebinding{inner: insides}
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: nowhere{}, FullAccess: []string{AnyServer}, Leaves: jobs.Memory(),
	}, &Options{DNS: d, Dial: d.dial, Rate: Rate{PerSecond: -1}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 100 {
		for _, name := range []string{"evil%d.example", "evil%d.example:6379", "srv.evil%d.example", "localhost:%d"} {
			if w := post(s, "/sfu/get", sfuGetBody("tok", fmt.Sprintf(name, i+1), "")); w.Code != 401 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		_, _ = s.apis.base(t.Context(), fmt.Sprintf("evil%d.example", i))
	}
	for _, ip := range insides {
		name := ip
		if strings.Contains(ip, ":") {
			name = "[" + ip + "]"
		}
		for _, port := range []string{"", ":443", ":6379"} {
			if w := post(s, "/sfu/get", sfuGetBody("tok", name+port, "")); w.Code != 401 {
				t.Errorf("%s: %d %s", name+port, w.Code, w.Body)
			}
		}
	}
	public := 0
	for _, a := range d.dialed {
		if !strings.HasPrefix(a, "9.9.9.1:") {
			t.Errorf("dialled %s", a)
		}
		public++
	}
	if public < 100 {
		t.Errorf("dialled %d times: nothing was tried", public)
	}
}

// A homeserver's own word for where its federation API is leads outside only: the
// document, and where it is said to be.
func TestDelegationStaysOutside(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	n.ips["evil.example"], n.ips["inner.example"], n.ips["outer.example"] = "9.9.9.1", "127.0.0.1", "9.9.9.2"
	var to atomic.Pointer[string]
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if url, ok := strings.CutPrefix(*to.Load(), "redirect "); ok {
			http.Redirect(w, r, url, http.StatusFound)
			return
		}
		fmt.Fprintf(w, `{"m.server":%q}`, *to.Load())
	}))
	web.TLS = tlsConfig(ca.issue("evil.example"))
	web.StartTLS()
	t.Cleanup(web.Close)
	n.ports["9.9.9.1:443"] = web.Listener.Addr().String()
	words := []string{
		"inner.example", "inner.example:6379", "localhost:80", "evil.example@127.0.0.1", "127.0.0.1:6379/x", "http://127.0.0.1", "outer.example:8448\r\nHost: x", "",
		"redirect https://127.0.0.1/x", "redirect https://127.0.0.1:8448/.well-known/matrix/server", "redirect http://evil.example/", "redirect http://127.0.0.1/",
		"redirect https://inner.example/", "redirect https://[::1]/", "redirect file:///etc/passwd", "redirect gopher://127.0.0.1/", "redirect https://user:pw@inner.example/",
		"redirect //inner.example/", "redirect https://evil.example/.well-known/matrix/server",
	}
	for _, ip := range insides {
		if strings.Contains(ip, ":") {
			ip = "[" + ip + "]"
		}
		words = append(words, ip, ip+":6379")
	}
	for _, word := range words {
		to.Store(&word)
		opts := n.options(ca)
		opts.setDefaults()
		o := newOpenID(newServers(nil, nil, *opts), 0)
		if user, err := o.verify(t.Context(), "evil.example", "tok"); err == nil {
			t.Errorf("%q: %s", word, user)
		}
		o.servers.close()
	}
	for _, d := range n.dialled() {
		if d != "9.9.9.1:443" && d != "9.9.9.1:8448" {
			t.Errorf("dialled %s", d)
		}
	}
}

// The URL that a request gives for its homeserver's API is never asked: neither when
// the leave is taken over, nor when it is restarted and sent.
func TestDelayURLIsNeverAsked(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(inside.Close)
	s := serviceOf(t, nil)
	s.home.set(func(h *fakeHome) { h.delays["d1"] = "@ann:one.example !room:x 1000" })
	more := `,"delay_id":"d1","delay_timeout":1000,"delay_cs_api_url":"` + inside.URL + `"`
	for _, r := range [][2]string{
		{"/sfu/get", sfuGetBody("tok-ann", "one.example", more)},
		{"/get_token", getTokenBody("tok-ann", "one.example", "@ann:one.example", more)},
		{"/delegate_delayed_leave", getTokenBody("tok-ann", "one.example", "@ann:one.example", more)},
	} {
		if w := post(s, r[0], r[1]); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	identity := hashOf("@ann:one.example", "DEVICE123", "memberABC")
	for _, who := range []string{annPhone, identity} {
		s.SFUEvent(t.Context(), SFUEvent{Kind: SFUJoined, Room: roomAlias, Identity: who, SID: "A"})
		s.SFUEvent(t.Context(), SFUEvent{Kind: SFULeft, Room: roomAlias, Identity: who, SID: "A"})
	}
	rtctest.Eventually(t, 30*time.Second, "both leaves are sent", func() (bool, string) {
		log := strings.Join(s.home.log(), "\n")
		return strings.Count(log, "/d1/send") == 2 && strings.Contains(log, "/d1/restart"), log
	})
	if n := asked.Load(); n != 0 {
		t.Errorf("the URL of the request was asked %d times", n)
	}
}
