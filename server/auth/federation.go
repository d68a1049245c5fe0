package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/ask"
)

const (
	openTimeout = 8 * time.Second
	// maxAnswer bounds what a homeserver may say, in bytes.
	maxAnswer = 64 << 10
	// tlsSessions is how many TLS sessions are kept to be resumed.
	tlsSessions = 512
)

// servers reaches the federation APIs of homeservers.
type servers struct {
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
	client   *http.Client    // for what is sent
	getter   getter          // for what is asked
	web      *http.Transport // for what is asked of a server name itself
}

type targetKey struct{}

func newServers(overrides map[string]string, own []string, o Options) *servers {
	conf := &tls.Config{
		RootCAs: o.RootCAs, InsecureSkipVerify: o.InsecureSkipVerify, MinVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
	}
	guarded := &dialer{dns: o.DNS, dial: o.Dial, guard: &guard{o.AllowNetworks}, tls: conf}
	free := &dialer{dns: o.DNS, dial: o.Dial, tls: conf}
	written := newTransport(conf)
	written.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return free.tcp(ctx, addr) }
	v := &servers{
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
	open := func(ctx context.Context, t target) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		return d.open(ctx, t)
	}
	t := newTransport(d.tls)
	t.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("federation speaks TLS only")
	}
	t.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		target, ok := ctx.Value(targetKey{}).(target)
		if !ok {
			return nil, errors.New("connection without a target")
		}
		return open(ctx, target)
	}
	web := newTransport(d.tls)
	web.MaxIdleConns, web.IdleConnTimeout = 16, 5*time.Second
	web.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return d.tcp(ctx, addr) }
	return &federation{resolver: newResolver(d.dns, web), client: newClient(t), getter: getter{ask.New(open)}, web: web}
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
		DisableCompression:     true, // answers are short
	}
}

func newClient(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a redirect would carry secrets elsewhere
	}}
}

func (o *servers) close() {
	o.written.CloseIdleConnections()
	for _, f := range []*federation{o.trusted, o.rest} {
		f.client.CloseIdleConnections()
		f.getter.Close()
		f.web.CloseIdleConnections()
	}
}

// side is the way to a server: that to the servers the operator named, or that to
// everybody else.
func (o *servers) side(server string) *federation {
	if o.own[server] {
		return o.trusted
	}
	return o.rest
}

// named says whether the operator named a server.
func (o *servers) named(server string) bool {
	_, written := o.overrides[server]
	return written || o.own[server]
}

// call is a request to a homeserver.
type call struct {
	method, path  string // path with the query, escaped
	authorization string
	body          []byte
	most          int64 // bytes of the answer; 0: maxAnswer
}

// reply is what a homeserver has answered.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// statusError is an answer other than 200.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("status %d", e.status) }

// call asks the federation API of a server.
func (o *servers) call(ctx context.Context, name serverName, c call) (*reply, error) {
	if base, ok := o.overrides[name.name]; ok {
		return c.do(ctx, o.written, strings.TrimSuffix(base, "/")+c.path, "")
	}
	return o.side(name.name).call(ctx, name, c)
}

func (f *federation) call(ctx context.Context, name serverName, c call) (*reply, error) {
	t, err := f.resolver.resolve(ctx, name, time.Now())
	if err != nil {
		return nil, err
	}
	if c.method == http.MethodGet && c.body == nil && c.authorization == "" {
		a, err := f.getter.get(ctx, t, c.path)
		if err != nil && ctx.Err() == nil {
			f.resolver.forget(name)
		}
		return a, err
	}
	// The transport pools connections by the host of the URL. A host made of
	// the target keeps apart what differs in address or certificate.
	sum := sha256.Sum256([]byte(t.key()))
	host := hex.EncodeToString(sum[:16]) + ".invalid"
	a, err := c.do(context.WithValue(ctx, targetKey{}, t), f.client, "https://"+host+c.path, t.host)
	if err != nil && ctx.Err() == nil {
		f.resolver.forget(name)
	}
	return a, err
}

// do sends the request. host is the Host header, "" for the one of the URL. An
// error never holds the URL, which may hold a secret.
func (c call) do(ctx context.Context, client *http.Client, rawURL, host string) (*reply, error) {
	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, rawURL, body)
	if err != nil {
		return nil, errors.New("the URL cannot be requested")
	}
	req.Host = host
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "matrixrtc")
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // a url.Error prints the URL
		}
		return nil, err
	}
	defer resp.Body.Close()
	most := c.most
	if most == 0 {
		most = maxAnswer
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > most:
		return nil, errors.New("the answer is too large")
	}
	return &reply{resp.StatusCode, resp.Header, data}, nil
}
