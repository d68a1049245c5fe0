package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// DNS is the part of *net.Resolver that finding a homeserver needs.
type DNS interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// target is where the federation API of a server is: what to connect to, the
// Host header to send, and the name that the certificate must be for.
type target struct {
	dial []string // host:port, best first
	host string
	tls  string
	id   string // the key, where it is known already
}

// key differs wherever two targets must not share connections.
func (t target) key() string {
	if t.id != "" {
		return t.id
	}
	return strings.Join(append([]string{t.host, t.tls}, t.dial...), " ")
}

const (
	federationPort   = "8448"
	maxWellKnown     = 64 << 10
	maxRedirects     = 5
	wellKnownTimeout = 5 * time.Second
	maxNames         = 4096
	// How long a resolution is kept. The specification allows 48 h for a
	// .well-known; a site that moves is found again sooner here.
	keepMin     = 5 * time.Minute
	keepDefault = 24 * time.Hour
	keepMax     = 24 * time.Hour
	keepSRV     = 10 * time.Minute // also for names without .well-known
	maxSRV      = 4
)

// resolver finds the federation API of server names (server-server API,
// "Resolving server names") and remembers, for a while, what it found.
type resolver struct {
	dns       DNS
	wellKnown *http.Client

	finding flights[target]

	mu    sync.Mutex
	cache *throttle.LRU[string, resolved]
}

type resolved struct {
	target target
	until  time.Time
}

func newResolver(dns DNS, transport http.RoundTripper) *resolver {
	return &resolver{
		dns:   dns,
		cache: throttle.NewLRU[string, resolved](maxNames),
		wellKnown: &http.Client{
			Transport: transport,
			Timeout:   wellKnownTimeout,
			CheckRedirect: func(r *http.Request, via []*http.Request) error {
				if len(via) > maxRedirects {
					return errors.New("too many redirects")
				}
				if r.URL.Scheme != "https" {
					return errors.New("redirect away from https")
				}
				return nil
			},
		},
	}
}

// resolve answers from memory while that is fresh at now.
func (r *resolver) resolve(ctx context.Context, n serverName, now time.Time) (target, error) {
	if got, ok := r.known(n, now); ok {
		return got, nil
	}
	return r.finding.do(ctx, n.name, func(ctx context.Context) (target, error) {
		if got, ok := r.known(n, now); ok { // found meanwhile
			return got, nil
		}
		t, keep, err := r.find(ctx, n)
		if err != nil {
			return target{}, err
		}
		t.id = t.key()
		r.mu.Lock()
		r.cache.Put(n.name, resolved{t, now.Add(keep)})
		r.mu.Unlock()
		return t, nil
	})
}

// known is what is remembered about a name, while that is fresh.
func (r *resolver) known(n serverName, now time.Time) (target, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got, ok := r.cache.Get(n.name)
	return got.target, ok && now.Before(got.until)
}

// forget drops what is remembered about a name: nobody answered there.
func (r *resolver) forget(n serverName) {
	r.mu.Lock()
	r.cache.Remove(n.name)
	r.mu.Unlock()
}

// find follows the steps of the specification in their order. It fails only
// when ctx ends.
func (r *resolver) find(ctx context.Context, n serverName) (t target, keep time.Duration, err error) {
	if t, ok := direct(n); ok { // steps 1 and 2
		return t, keepDefault, nil
	}
	keep = keepSRV
	if delegated, k, err := r.fetchWellKnown(ctx, n.host); err == nil { // step 3
		if t, ok := direct(delegated); ok { // steps 3.1 and 3.2
			return t, k, nil
		}
		n, keep = delegated, min(k, keepSRV)
	}
	t = target{host: n.host, tls: n.host}
	for _, service := range []string{"matrix-fed", "matrix"} { // steps 3.3, 3.4, 4 and 5
		if t.dial = r.srv(ctx, service, n.host); t.dial != nil {
			return t, keep, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return target{}, 0, fmt.Errorf("resolving %s: %w", n.name, err)
	}
	t.dial = []string{net.JoinHostPort(n.host, federationPort)} // steps 3.5 and 6
	return t, keep, nil
}

// direct is the target of a name that is an IP address or has a port: it is
// taken as it stands.
func direct(n serverName) (target, bool) {
	if !n.ip.IsValid() && n.port == "" {
		return target{}, false
	}
	port := n.port
	if port == "" {
		port = federationPort
	}
	return target{dial: []string{net.JoinHostPort(n.host, port)}, host: n.name, tls: n.host}, true
}

// fetchWellKnown asks the name itself who speaks for it.
func (r *resolver) fetchWellKnown(ctx context.Context, host string) (serverName, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/.well-known/matrix/server", nil)
	if err != nil {
		return serverName{}, 0, err
	}
	resp, err := r.wellKnown.Do(req)
	if err != nil {
		return serverName{}, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return serverName{}, 0, fmt.Errorf(".well-known/matrix/server: status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxWellKnown+1))
	if err != nil {
		return serverName{}, 0, err
	}
	if len(body) > maxWellKnown {
		return serverName{}, 0, errors.New(".well-known/matrix/server: too large")
	}
	var doc struct {
		Server string `json:"m.server"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return serverName{}, 0, fmt.Errorf(".well-known/matrix/server: %w", err)
	}
	n, err := parseServerName(doc.Server)
	return n, maxAge(resp.Header, time.Now()), err
}

// maxAge is how long the answer allows to be kept from now on, within our bounds: the
// words of Cache-Control, less the time that it was kept on its way (Age), or else
// Expires (RFC 9111, sections 4.2.1 and 5.3).
func maxAge(h http.Header, now time.Time) time.Duration {
	for part := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		if part == "no-store" || part == "no-cache" {
			return keepMin
		}
		if v, ok := strings.CutPrefix(part, "max-age="); ok {
			if secs, err := strconv.ParseUint(strings.Trim(v, `"`), 10, 31); err == nil {
				age, err := strconv.ParseUint(h.Get("Age"), 10, 31)
				if err != nil {
					age = 0
				}
				return bounded(time.Duration(secs)*time.Second - time.Duration(age)*time.Second)
			}
		}
	}
	if text := h.Get("Expires"); text != "" {
		end, err := http.ParseTime(text)
		if err != nil {
			return keepMin // such as "0": it has expired
		}
		if from, err := http.ParseTime(h.Get("Date")); err == nil {
			now = from // by the clock of the server
		}
		return bounded(end.Sub(now))
	}
	return keepDefault
}

func bounded(d time.Duration) time.Duration { return min(max(d, keepMin), keepMax) }

// srv is where the SRV records of a service point to, nil without any. A
// failing DNS server counts as none: many answer so for names that they do not
// know.
func (r *resolver) srv(ctx context.Context, service, host string) []string {
	_, records, err := r.dns.LookupSRV(ctx, service, "tcp", host)
	if len(records) == 0 && err != nil {
		return nil
	}
	var out []string
	for _, rec := range records {
		name := strings.TrimSuffix(rec.Target, ".")
		if name == "" || rec.Port == 0 || len(out) == maxSRV { // "." means: not here
			continue
		}
		out = append(out, net.JoinHostPort(name, strconv.Itoa(int(rec.Port))))
	}
	return out
}

// size is how much is remembered.
func (r *resolver) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache.Len()
}
