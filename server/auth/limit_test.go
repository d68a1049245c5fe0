package auth

import (
	"net/http"
	"net/netip"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	l := newLimiter[netip.Addr](Rate{PerSecond: 2, Burst: 3}, 2)
	a, b, c := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("198.51.100.3")
	start := time.Unix(1_764_000_000, 0)
	for _, step := range []struct {
		client netip.Addr
		after  time.Duration
		wait   time.Duration
	}{
		{a, 0, 0}, {a, 0, 0}, {a, 0, 0},
		{a, 0, 500 * time.Millisecond},
		{b, 0, 0},
		{a, 250 * time.Millisecond, 250 * time.Millisecond},
		{a, 500 * time.Millisecond, 0},
		{a, 500 * time.Millisecond, 500 * time.Millisecond},
		{a, 400 * time.Millisecond, 500 * time.Millisecond},           // a clock that went back gives nothing
		{b, time.Minute, 0}, {b, time.Minute, 0}, {b, time.Minute, 0}, // never more than Burst
		{b, time.Minute, 500 * time.Millisecond},
		{c, time.Minute, 0}, // two clients are remembered: a is forgotten
		{a, time.Minute, 0},
	} {
		wait, ok := l.take(step.client, start.Add(step.after))
		if wait != step.wait || ok != (step.wait == 0) {
			t.Errorf("%v after %v: wait %v, %v; want %v", step.client, step.after, wait, ok, step.wait)
		}
	}
	if n := len(l.buckets.items); n != 2 || l.buckets.order.Len() != 2 {
		t.Errorf("%d clients are remembered, want 2", n)
	}
}

func TestClientAddr(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		peer string
		xff  []string
		want string
	}{
		{"198.51.100.1:5", nil, "198.51.100.1"},
		{"198.51.100.1:5", []string{"198.51.100.2"}, "198.51.100.1"},
		{"127.0.0.1:5", []string{"198.51.100.2"}, "198.51.100.2"},
		{"127.0.0.1:5", []string{"10.0.0.7"}, "10.0.0.7"},
		{"127.0.0.1:5", []string{"8.8.8.8, 198.51.100.2"}, "198.51.100.2"},
		{"127.0.0.1:5", []string{"8.8.8.8", "198.51.100.2, 10.0.0.1"}, "198.51.100.2"},
		{"127.0.0.1:5", []string{"8.8.8.8, junk"}, "127.0.0.1 unnamed"},
		{"127.0.0.1:5", nil, "127.0.0.1 unnamed"},
		{"[::ffff:127.0.0.1]:5", []string{"::ffff:198.51.100.2"}, "198.51.100.2"},
		{"[2600:1:2:3:4:5:6:7]:5", nil, "2600:1:2:3::"},
		{"junk", []string{"198.51.100.2"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.xff}}
		addr, named := clientAddr(r, trusted)
		got := addr.String()
		if !named {
			got += " unnamed"
		}
		if got != c.want {
			t.Errorf("%s, %q: %s, want %s", c.peer, c.xff, got, c.want)
		}
	}
}
