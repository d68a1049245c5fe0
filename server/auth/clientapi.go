package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// keepClientAPI is how long the place of a client-server API is kept.
const keepClientAPI = 4 * time.Hour

// clientAPIs finds the client-server APIs of homeservers and speaks to them.
type clientAPIs struct {
	overrides map[string]string
	servers   *servers
	free      *http.Client // for what the operator named
	guarded   *http.Client

	finding flights[string]

	mu    sync.Mutex
	cache *throttle.LRU[string, place]
}

type place struct {
	base  string
	until time.Time
}

func newClientAPIs(overrides map[string]string, s *servers) *clientAPIs {
	// The transport's name look-ups and connections pass the guard of its side.
	free, guarded := s.trusted.web.Clone(), s.rest.web.Clone()
	for _, t := range []*http.Transport{free, guarded} {
		t.MaxIdleConns, t.IdleConnTimeout = 512, 90*time.Second
	}
	return &clientAPIs{
		overrides: overrides, servers: s,
		free: newClient(free), guarded: newClient(guarded),
		cache: throttle.NewLRU[string, place](maxNames),
	}
}

func (c *clientAPIs) close() {
	c.free.CloseIdleConnections()
	c.guarded.CloseIdleConnections()
}

// base is the base URL of a server's client-server API: what the operator says,
// else what the server's name says (client-server API, "Server Discovery").
func (c *clientAPIs) base(ctx context.Context, server string) (string, error) {
	if base, ok := c.overrides[server]; ok {
		return strings.TrimSuffix(base, "/"), nil
	}
	now := time.Now()
	c.mu.Lock()
	p, ok := c.cache.Get(server)
	c.mu.Unlock()
	if ok && now.Before(p.until) {
		return p.base, nil
	}
	return c.finding.do(ctx, server, func(ctx context.Context) (string, error) {
		base, err := c.discover(ctx, server)
		if err != nil {
			return "", fmt.Errorf("finding the client-server API of %s: %w", shorten(server), err)
		}
		c.mu.Lock()
		c.cache.Put(server, place{base, now.Add(keepClientAPI)})
		c.mu.Unlock()
		return base, nil
	})
}

func (c *clientAPIs) discover(ctx context.Context, server string) (string, error) {
	name, err := parseServerName(server)
	if err != nil {
		return "", err
	}
	a, err := c.servers.side(server).known(ctx, "https://"+name.bare()+"/.well-known/matrix/client")
	if err != nil && name.port != "" && ctx.Err() == nil {
		// It is at the host by the specification; some have it at the port of their name.
		a, err = c.servers.side(server).known(ctx, "https://"+name.name+"/.well-known/matrix/client")
	}
	if err != nil {
		return "", err
	}
	var doc struct {
		Homeserver struct {
			BaseURL string `json:"base_url"`
		} `json:"m.homeserver"`
	}
	if err := json.Unmarshal(a.body, &doc); err != nil {
		return "", fmt.Errorf(".well-known/matrix/client: %w", err)
	}
	base := strings.TrimSuffix(doc.Homeserver.BaseURL, "/")
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !c.servers.own[server]) {
		return "", errors.New(".well-known/matrix/client: no usable base_url of m.homeserver")
	}
	return base, nil
}

// known gets a document that is at a server name itself, redirects followed.
func (f *federation) known(ctx context.Context, rawURL string) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, wellKnownTimeout)
	defer cancel()
	a, err := call{method: http.MethodGet}.do(ctx, f.resolver.wellKnown, rawURL, "")
	if err == nil && a.status != http.StatusOK {
		err = &statusError{a.status}
	}
	return a, err
}

// call asks the client-server API of a server.
func (c *clientAPIs) call(ctx context.Context, server string, q call) (*reply, error) {
	base, err := c.base(ctx, server)
	if err != nil {
		return nil, err
	}
	client := c.guarded
	if _, named := c.overrides[server]; named || c.servers.own[server] {
		client = c.free
	}
	a, err := q.do(ctx, client, base+q.path, "")
	if err != nil && ctx.Err() == nil {
		c.forget(server)
	}
	return a, err
}

// forget drops what is remembered about a server: nobody answered there.
func (c *clientAPIs) forget(server string) {
	c.mu.Lock()
	c.cache.Remove(server)
	c.mu.Unlock()
}

// code is the error code of an answer, "" if it is not a Matrix error.
func (a *reply) code() string {
	var e struct {
		Code string `json:"errcode"`
	}
	if json.Unmarshal(a.body, &e) != nil {
		return ""
	}
	return e.Code
}

// unrecognised reports whether an endpoint is not there.
func (a *reply) unrecognised() bool {
	code := a.code()
	return code == "M_UNRECOGNIZED" || code == "" && (a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed)
}

// maxRetryAfter keeps what a homeserver asks for within reason.
const maxRetryAfter = time.Hour

// retryAfter is how long the answer asks to wait: Retry-After, in seconds or as a
// date, else retry_after_ms.
func (a *reply) retryAfter(now time.Time) time.Duration {
	text := a.header.Get("Retry-After")
	if s, err := strconv.Atoi(text); err == nil {
		return min(max(time.Duration(min(s, 86_400))*time.Second, 0), maxRetryAfter)
	}
	if t, err := http.ParseTime(text); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	var e struct {
		After float64 `json:"retry_after_ms"`
	}
	if json.Unmarshal(a.body, &e) != nil || !(e.After > 0) {
		return 0
	}
	return time.Duration(min(e.After, float64(maxRetryAfter/time.Millisecond))) * time.Millisecond
}

// size is how much is remembered.
func (c *clientAPIs) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cache.Len()
}
