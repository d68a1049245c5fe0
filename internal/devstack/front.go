package devstack

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// front stands before a child on a listener of its own and hands requests on.
// It lets every request that it has begun finish, also when the client has
// given up: Dendrite on SQLite, when a request is given up in the middle of a
// transaction, leaves the transaction open, and some time later the whole
// server stands still or dies. On its own ports a Dendrite would do so now and
// then in every test that ends while it still waits for events.
type front struct {
	listener net.Listener
	server   *http.Server
	child    atomic.Int32 // its port
	handling sync.WaitGroup
	serving  sync.WaitGroup
}

// newFront listens on a loopback port, 0 for any that is free.
func newFront(port int) (*front, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	return &front{listener: ln}, nil
}

func (f *front) url() string { return "http://" + f.listener.Addr().String() }

// serve hands requests on to the child until close.
func (f *front) serve() {
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(f.child.Load())))})
			r.SetXForwarded()
		},
		Transport: patient{transport},
		// A child that is down looks like one: the connection breaks.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	f.server = &http.Server{
		ReadHeaderTimeout: 30 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.handling.Add(1)
			defer f.handling.Done()
			proxy.ServeHTTP(w, r)
		}),
	}
	f.serving.Go(func() {
		defer transport.CloseIdleConnections()
		_ = f.server.Serve(f.listener) // ends with close
	})
}

// close ends the listener and returns when all requests have ended; the child
// must have ended before.
func (f *front) close() {
	if f.server == nil {
		_ = f.listener.Close()
		return
	}
	_ = f.server.Close()
	f.serving.Wait()
	f.handling.Wait()
}

// patient does not pass on that a client has given up, but gives up itself on a
// child that never answers.
type patient struct{ next http.RoundTripper }

// longest is more than the longest poll of /sync that a client of ours asks for.
const longest = 2 * time.Minute

func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), longest)
	resp, err := p.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("hand a request on: %w", err)
	}
	resp.Body = body{resp.Body, cancel}
	return resp, nil
}

// body ends the time limit of its request when it has been read.
type body struct {
	io.ReadCloser
	done context.CancelFunc
}

func (b body) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
