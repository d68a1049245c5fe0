package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// httpGroup is some HTTP servers with one end.
type httpGroup struct {
	log     *slog.Logger
	base    context.Context // of requests that end by themselves
	cancel  context.CancelFunc
	streams context.Context // of requests that last until the end
	end     context.CancelFunc
	servers []*http.Server
	failed  chan error // a server that ended although nobody asked

	serving  sync.WaitGroup // the servers' accept loops
	handling sync.WaitGroup // requests, websockets included
}

func newHTTPGroup(log *slog.Logger) *httpGroup {
	g := &httpGroup{log: log, failed: make(chan error, 2)}
	g.base, g.cancel = context.WithCancel(context.Background())
	g.streams, g.end = context.WithCancel(g.base)
	return g
}

// serve starts to serve on a listener; shutdown waits for its end. There is no
// write timeout, because websockets and event streams last. ctx is g.base or
// g.streams.
func (g *httpGroup) serve(ctx context.Context, l net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			g.handling.Add(1)
			defer g.handling.Done()
			h.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	g.servers = append(g.servers, srv)
	g.serving.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			g.failed <- fmt.Errorf("listener %s: %w", l.Addr(), err)
		}
	})
}

// shutdown closes the listeners, ends the streams, gives requests
// shutdownTimeout to end, cuts off the rest, and returns when every handler has
// returned.
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
	wg.Wait()
	g.cancel()
	g.serving.Wait()
	g.handling.Wait()
}
