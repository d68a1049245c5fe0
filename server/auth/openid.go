package auth

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	userinfoPath = "/_matrix/federation/v1/openid/userinfo"
	maxUserinfo  = 64 << 10
	openTimeout  = 8 * time.Second
)

// openID asks homeservers whom an OpenID token belongs to (server-server API,
// "OpenID"). It keeps no answer: a token that was taken back is refused at
// once.
type openID struct {
	overrides map[string]string
	written   *http.Client // for overrides
	// own are the servers that the operator named. They may be in the
	// operator's own network; all others have to be public.
	own           map[string]bool
	trusted, rest *federation
}

// federation is a way to reach federation APIs, with connections and memory of
// its own.
type federation struct {
	resolver *resolver
	client   *http.Client
	web      *http.Transport // for .well-known
}

type targetKey struct{}

func newOpenID(overrides map[string]string, own []string, o Options) *openID {
	conf := &tls.Config{RootCAs: o.RootCAs, InsecureSkipVerify: o.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	guarded := &dialer{dns: o.DNS, dial: o.Dial, guard: &guard{o.AllowNetworks}, tls: conf}
	free := &dialer{dns: o.DNS, dial: o.Dial, tls: conf}
	written := newTransport(conf)
	written.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return free.tcp(ctx, addr) }
	v := &openID{
		overrides: overrides,
		written:   newClient(written),
		own:       make(map[string]bool),
		trusted:   newFederation(free),
		rest:      newFederation(guarded),
	}
	for _, name := range own {
		v.own[name] = true
	}
	return v
}

func newFederation(d *dialer) *federation {
	t := newTransport(d.tls)
	t.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("federation speaks TLS only")
	}
	t.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		target, ok := ctx.Value(targetKey{}).(target)
		if !ok {
			return nil, errors.New("connection without a target")
		}
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		return d.open(ctx, target)
	}
	web := newTransport(d.tls)
	web.MaxIdleConns, web.IdleConnTimeout = 16, 5*time.Second
	web.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return d.tcp(ctx, addr) }
	return &federation{resolver: newResolver(d.dns, web), client: newClient(t), web: web}
}

func newTransport(conf *tls.Config) *http.Transport {
	return &http.Transport{
		TLSClientConfig:        conf.Clone(),
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  10 * time.Second,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func newClient(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirect would carry the token elsewhere
	}}
}

func (o *openID) close() {
	o.written.CloseIdleConnections()
	for _, f := range []*federation{o.trusted, o.rest} {
		f.client.CloseIdleConnections()
		f.web.CloseIdleConnections()
	}
}

// verify is the user a token belongs to, by the word of the homeserver that
// the token names. The errors say which step failed and never hold the token.
func (o *openID) verify(ctx context.Context, server, token string) (user string, err error) {
	name, err := parseServerName(server)
	if err != nil {
		return "", err
	}
	query := userinfoPath + "?access_token=" + url.QueryEscape(token)
	var body []byte
	if base, ok := o.overrides[server]; ok {
		body, err = fetch(ctx, o.written, strings.TrimSuffix(base, "/")+query, "")
	} else if o.own[server] {
		body, err = o.trusted.fetch(ctx, name, query)
	} else {
		body, err = o.rest.fetch(ctx, name, query)
	}
	if err != nil {
		return "", fmt.Errorf("asking %s for the user of a token: %w", name.name, err)
	}
	var info struct {
		Sub string `json:"sub"`
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return "", fmt.Errorf("answer of %s: %w", name.name, err)
	}
	// A server vouches for its own users only.
	if got := userServer(info.Sub); got != server {
		return "", fmt.Errorf("%s vouches for a user that is not its own (%q)", name.name, shorten(info.Sub))
	}
	return info.Sub, nil
}

// fetch gets a path from the federation API of a server.
func (f *federation) fetch(ctx context.Context, name serverName, path string) ([]byte, error) {
	t, err := f.resolver.resolve(ctx, name, time.Now())
	if err != nil {
		return nil, err
	}
	// The transport pools connections by the host of the URL. A host made of
	// the target keeps apart what differs in address or certificate.
	sum := sha256.Sum256([]byte(t.key()))
	host := hex.EncodeToString(sum[:16]) + ".invalid"
	body, err := fetch(context.WithValue(ctx, targetKey{}, t), f.client, "https://"+host+path, t.host)
	if _, answered := errors.AsType[*statusError](err); err != nil && !answered && ctx.Err() == nil {
		f.resolver.forget(name)
	}
	return body, err
}

// statusError is an answer other than 200.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.status) }

// fetch gets a small body. host is the Host header, "" for the one of the URL.
func fetch(ctx context.Context, c *http.Client, rawURL, host string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, errors.New("the URL cannot be requested")
	}
	req.Host = host
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "matrixrtc")
	resp, err := c.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // a url.Error prints the URL, and with it the token
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxUserinfo+1))
	switch {
	case resp.StatusCode != http.StatusOK:
		return nil, &statusError{resp.StatusCode}
	case err != nil:
		return nil, err
	case len(body) > maxUserinfo:
		return nil, errors.New("the answer is too large")
	}
	return body, nil
}
