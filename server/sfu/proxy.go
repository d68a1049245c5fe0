package sfu

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxRequestBody bounds what a client may send with a request. The WebSocket
// is not counted: it is no request body.
const maxRequestBody = 64 << 10

// proxy lets through LiveKit's signalling paths and nothing else: neither
// its management API nor WHIP.
type proxy struct {
	to      *httputil.ReverseProxy
	refuse  func() bool
	mu      sync.Mutex
	sockets map[net.Conn]struct{} // of clients, for signalling
}

func newProxy(target *url.URL, refuse func() bool, logger *slog.Logger) *proxy {
	to := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       30 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			logger.Debug("signalling connection to the SFU failed", "path", r.URL.Path, "error", err)
			http.Error(w, "the SFU does not answer", http.StatusBadGateway)
		},
	}
	return &proxy{to: to, refuse: refuse, sockets: map[net.Conn]struct{}{}}
}

// ServeHTTP is what SFU.Handler says.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/rtc" && !strings.HasPrefix(r.URL.Path, "/rtc/"), strings.Contains(r.URL.Path, ".."):
		http.NotFound(w, r)
	case p.refuse():
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the SFU is shutting down", http.StatusServiceUnavailable)
	default:
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
		}
		held := &socket{ResponseWriter: w, of: p}
		defer held.forget()
		p.to.ServeHTTP(held, r)
	}
}

// cut closes all signalling connections, without a word.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.sockets {
		c.Close()
	}
}

// socket notices the connection of a client that signals.
type socket struct {
	http.ResponseWriter
	of   *proxy
	conn net.Conn
}

// Unwrap is for http.ResponseController.
func (s *socket) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Hijack remembers the connection.
func (s *socket) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c = newLingering(c)
	s.conn = c
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.of.refuse() { // cut may have been before
		c.Close()
	}
	s.of.sockets[c] = struct{}{}
	return c, rw, nil
}

func (s *socket) forget() {
	if s.conn != nil {
		s.of.mu.Lock()
		delete(s.of.sockets, s.conn)
		s.of.mu.Unlock()
	}
}
