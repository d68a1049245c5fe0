package auth

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// maxClients bounds the memory of the rate limit.
const maxClients = 16384

// limiter is a token bucket for each client address, user, or whatever has one.
type limiter[K comparable] struct {
	rate  float64 // tokens per second
	burst float64

	mu      sync.Mutex
	buckets *lru[K, *bucket]
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter[K comparable](r Rate, most int) *limiter[K] {
	return &limiter[K]{rate: r.PerSecond, burst: float64(r.Burst), buckets: newLRU[K, *bucket](most)}
}

func (l *limiter[K]) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.buckets.items)
}

// take takes one token. Without one it says how long to wait for it.
func (l *limiter[K]) take(client K, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets.get(client)
	if !known {
		b = &bucket{tokens: l.burst, at: now}
		l.buckets.put(client, b)
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(l.burst, b.tokens+d.Seconds()*l.rate)
		b.at = now
	}
	if b.tokens >= 1 {
		b.tokens--
		return 0, true
	}
	return time.Duration((1 - b.tokens) / l.rate * float64(time.Second)), false
}

// clientAddr is the address a request is counted under: the peer's, or the
// nearest one in X-Forwarded-For that no trusted proxy wrote about itself.
// What stands further left there is the client's own claim and is not
// believed. named is false where a trusted proxy does not say for whom it asks.
func clientAddr(r *http.Request, trusted []netip.Prefix) (addr netip.Addr, named bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, true
	}
	addr = peer.Addr().Unmap().WithZone("")
	named = !contains(trusted, addr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(trusted, addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr, named = next.Unmap().WithZone(""), true
	}
	if addr.Is6() {
		p, _ := addr.Prefix(64) // cannot fail: an IPv6 address has 128 bits
		return p.Addr(), named
	}
	return addr, named
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
