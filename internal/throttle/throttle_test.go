package throttle_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	l := throttle.NewLimiter[string](throttle.Rate{PerSecond: 2, Burst: 3}, 2)
	start := time.Unix(1_764_000_000, 0)
	for i, step := range []struct {
		client string
		after  time.Duration
		wait   time.Duration
	}{
		{"a", 0, 0}, {"a", 0, 0}, {"a", 0, 0},
		{"a", 0, 500 * time.Millisecond},
		{"b", 0, 0},
		{"a", 250 * time.Millisecond, 250 * time.Millisecond},
		{"a", 500 * time.Millisecond, 0},
		{"a", 500 * time.Millisecond, 500 * time.Millisecond},
		{"a", 400 * time.Millisecond, 500 * time.Millisecond},               // a clock that went back gives nothing
		{"b", time.Minute, 0}, {"b", time.Minute, 0}, {"b", time.Minute, 0}, // never more than Burst
		{"b", time.Minute, 500 * time.Millisecond},
		{"c", time.Minute, 0}, // two clients are remembered: a is forgotten
		{"a", time.Minute, 0},
	} {
		wait, ok := l.Take(step.client, start.Add(step.after))
		if wait != step.wait || ok != (step.wait == 0) {
			t.Errorf("step %d, %s after %v: wait %v, %v; want %v", i, step.client, step.after, wait, ok, step.wait)
		}
	}
	free := throttle.NewLimiter[string](throttle.Rate{PerSecond: -1}, 2)
	for range 1000 {
		if _, ok := free.Take("a", start); !ok {
			t.Fatal("limited without a limit")
		}
	}
}

func TestLRU(t *testing.T) {
	t.Parallel()
	c := throttle.NewLRU[string, int](2)
	c.Put("a", 1)
	c.Put("b", 2)
	c.Put("a", 3)
	c.Put("c", 4)
	if v, ok := c.Get("a"); !ok || v != 3 || c.Len() != 2 {
		t.Errorf("a is %d, %v; %d items", v, ok, c.Len())
	}
	if _, ok := c.Get("b"); ok {
		t.Error("b is not forgotten")
	}
	c.Remove("c")
	c.Remove("c")
	if _, ok := c.Get("c"); ok || c.Len() != 1 {
		t.Error("c is not removed")
	}
}

func TestClientAddr(t *testing.T) {
	t.Parallel()
	trusted := append(throttle.Loopback(), netip.MustParsePrefix("10.0.0.0/8"))
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
		{"127.0.0.1:5", []string{"8.8.8.8, 198.51.100.2:4711"}, "198.51.100.2"},
		{"127.0.0.1:5", []string{"[2600:1:2:3:4:5:6:7]:4711"}, "2600:1:2:3::"},
		{"127.0.0.1:5", []string{"[2600:1:2:3:4:5:6:7]"}, "2600:1:2:3::"},
		{"127.0.0.1:5", []string{"[junk]"}, "127.0.0.1 unnamed"},
		{"[::ffff:127.0.0.1]:5", []string{"::ffff:198.51.100.2"}, "198.51.100.2"},
		{"[2600:1:2:3:4:5:6:7]:5", nil, "2600:1:2:3::"},
		{"junk", []string{"198.51.100.2"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.xff}}
		addr, named := throttle.ClientAddr(r, trusted)
		got := addr.String()
		if !named {
			got += " unnamed"
		}
		if got != c.want {
			t.Errorf("%s, %q: %s, want %s", c.peer, c.xff, got, c.want)
		}
	}
}
