package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

const (
	// shutdownTimeout bounds how long requests under way may take at the end.
	shutdownTimeout = 5 * time.Second
	// quietTime is for the first request of a connection that was taken just before
	// the end.
	quietTime = 500 * time.Millisecond
	// partingTime is what the clients of websockets get to close their side
	// after the SFU has closed its own.
	partingTime = 500 * time.Millisecond
	// restTimeout is for what nobody wants any more: the rest of a body, or what a
	// client says after the other side of its websocket has ended.
	restTimeout = 2 * time.Second
)

// httpGroup is some HTTP servers with one end.
type httpGroup struct {
	log     *slog.Logger
	base    context.Context // of requests that end by themselves
	cancel  context.CancelFunc
	streams context.Context // of requests that last until the end
	end     context.CancelFunc
	servers []*http.Server
	conns   []*throttle.Conns // of servers
	failed  chan error        // a server that ended although nobody asked

	serving  sync.WaitGroup // the servers' accept loops
	handling sync.WaitGroup // requests, websockets included

	mu      sync.Mutex
	sockets map[net.Conn]struct{} // taken over by their handlers
}

func newHTTPGroup(log *slog.Logger) *httpGroup {
	g := &httpGroup{log: log, failed: make(chan error, 3), sockets: map[net.Conn]struct{}{}}
	g.base, g.cancel = context.WithCancel(context.Background())
	g.streams, g.end = context.WithCancel(g.base)
	return g
}

// serve starts to serve on a listener, with conns as its bound; wait waits for its
// end. There is no write timeout, because websockets and event streams last. ctx is
// g.base or g.streams.
func (g *httpGroup) serve(ctx context.Context, l *net.TCPListener, conns *throttle.Conns, h http.Handler) {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.handling.Add(1)
			defer g.handling.Done()
			t := &takeover{ResponseWriter: w, group: g}
			defer t.forget()
			h.ServeHTTP(t, r)
			if r.ContentLength != 0 && t.conn == nil {
				// What the handler has left of the body is read by net/http, which
				// would wait for it for ever.
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(restTimeout))
			}
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         conns.State,
	}
	g.servers, g.conns = append(g.servers, srv), append(g.conns, conns)
	g.serving.Go(func() {
		if err := srv.Serve(conns.Listen(l)); !errors.Is(err, http.ErrServerClosed) {
			g.failed <- fmt.Errorf("listener %s: %w", l.Addr(), err)
		}
	})
}

// polls has requests that wait for news end with the streams, not by themselves.
func (g *httpGroup) polls(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(g.streams, cancel)()
		h.ServeHTTP(w, r.WithContext(ctx))
		if g.streams.Err() != nil {
			panic(http.ErrAbortHandler) // an answer that was cut off must not look like one
		}
	})
}

// shutdown closes the listeners, ends the streams, gives requests
// shutdownTimeout to end and cuts off the rest. Nobody waits for connections that
// have asked nothing. Websockets are left to wait.
func (g *httpGroup) shutdown() {
	g.end()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, srv := range g.servers {
		wg.Go(func() {
			if srv.Shutdown(ctx) != nil {
				g.cancel()
				srv.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { // waited for at the end of shutdown
		wg.Wait()
		close(done)
	}()
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	select {
	case <-done:
	case <-quiet.C:
		for _, c := range g.conns { // net/http would wait 5 s for them
			c.CloseIdle()
		}
		<-done
	}
}

// wait returns when every handler has returned. It follows shutdown and the
// end of the SFU; websockets whose clients do not part are cut off.
func (g *httpGroup) wait() {
	g.serving.Wait()
	done := make(chan struct{})
	go func() { // waited for at the end of wait
		g.handling.Wait()
		close(done)
	}()
	parting := time.NewTimer(partingTime)
	defer parting.Stop()
	select {
	case <-done:
	case <-parting.C:
		g.cancel()
		g.mu.Lock()
		for c := range g.sockets {
			c.Close()
		}
		g.mu.Unlock()
	}
	<-done
	g.cancel()
}

// takeover notices when a handler takes over its connection.
type takeover struct {
	http.ResponseWriter
	group *httpGroup
	conn  net.Conn
}

// Unwrap is for http.ResponseController.
func (t *takeover) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Flush is for event streams.
func (t *takeover) Flush() { _ = http.NewResponseController(t.ResponseWriter).Flush() }

// Hijack remembers the connection.
func (t *takeover) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err == nil {
		t.conn = c
		t.group.mu.Lock()
		t.group.sockets[c] = struct{}{}
		t.group.mu.Unlock()
		c = &taken{c}
	}
	return c, rw, err
}

// taken is a connection that was taken over. A client that is told that nothing more
// comes, and does not close its side, would have its place for ever.
type taken struct{ net.Conn }

// CloseWrite tells the client so.
func (t *taken) CloseWrite() error {
	_ = t.SetReadDeadline(time.Now().Add(restTimeout))
	if c, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (t *takeover) forget() {
	if t.conn != nil {
		t.group.mu.Lock()
		delete(t.group.sockets, t.conn)
		t.group.mu.Unlock()
	}
}
