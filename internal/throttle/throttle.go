// Package throttle bounds what strangers can cost a service: a rate limit for
// each of them, a number of connections, a map that does not grow, and the address
// that a request is counted under. It reads no clock and logs nothing.
package throttle

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Rate is a token bucket: so many requests a second in the long run, and Burst at
// once. A PerSecond that is not positive means no limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Limiter is a token bucket for each key. Of the keys the most recently used are
// remembered. Its methods may be called from any goroutine.
type Limiter[K comparable] struct {
	rate Rate

	mu      sync.Mutex
	buckets *LRU[K, *bucket]
}

type bucket struct {
	tokens float64
	at     time.Time
}

// NewLimiter makes one that remembers so many keys.
func NewLimiter[K comparable](r Rate, keys int) *Limiter[K] {
	return &Limiter[K]{rate: r, buckets: NewLRU[K, *bucket](keys)}
}

// Take takes one token. Without one it says how long to wait for it.
func (l *Limiter[K]) Take(key K, now time.Time) (wait time.Duration, ok bool) {
	if l.rate.PerSecond <= 0 {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	burst := float64(max(l.rate.Burst, 1))
	b, known := l.buckets.Get(key)
	if !known {
		b = &bucket{tokens: burst, at: now}
		l.buckets.Put(key, b)
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(burst, b.tokens+d.Seconds()*l.rate.PerSecond)
		b.at = now
	}
	if b.tokens >= 1 {
		b.tokens--
		return 0, true
	}
	return time.Duration((1 - b.tokens) / l.rate.PerSecond * float64(time.Second)), false
}

// Len is how many keys are remembered.
func (l *Limiter[K]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buckets.Len()
}

// Loopback are the networks of reverse proxies on this machine.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// Peer is the address that a request comes from, as the connection says.
func Peer(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

// Within reports whether an address is in one of the networks.
func Within(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// hop is an address in X-Forwarded-For. Some proxies write the port after it.
func hop(text string) (netip.Addr, error) {
	text = strings.TrimSpace(text)
	a, err := netip.ParseAddr(text)
	if err != nil {
		if p, perr := netip.ParseAddrPort(text); perr == nil {
			return p.Addr(), nil
		}
		if inside, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inside, "]") {
			return netip.ParseAddr(strings.TrimSuffix(inside, "]"))
		}
	}
	return a, err
}

// ClientAddr is the address that a request is counted under: the peer's, or the
// nearest one in X-Forwarded-For that no trusted proxy wrote about itself. What
// stands further left there is the client's own claim and is not believed. An
// IPv6 client is its /64. named is false where a trusted proxy does not say for
// whom it asks.
func ClientAddr(r *http.Request, trusted []netip.Prefix) (addr netip.Addr, named bool) {
	addr = Peer(r)
	if !addr.IsValid() {
		return addr, true
	}
	var hops []string
	if named = !Within(trusted, addr); !named {
		if said := r.Header.Values("X-Forwarded-For"); len(said) > 0 {
			hops = strings.Split(strings.Join(said, ","), ",")
		}
	}
	for i := len(hops) - 1; i >= 0 && Within(trusted, addr); i-- {
		next, err := hop(hops[i])
		if err != nil {
			break
		}
		addr, named = next.Unmap().WithZone(""), true
	}
	return block(addr), named
}

// block is what an address is counted under: itself, or the /64 of an IPv6 one.
func block(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64) // cannot fail: an IPv6 address has 128 bits
	return p.Addr()
}
