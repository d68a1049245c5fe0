package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

const (
	// maxBody bounds a request; real ones have under 2 KiB.
	maxBody = 64 << 10
	// maxTransaction bounds what a homeserver sends at once.
	maxTransaction = 32 << 20
	readTimeout    = 10 * time.Second
	// answerTimeout bounds all that is asked of others for one request of a
	// homeserver's.
	answerTimeout = 30 * time.Second
)

var _ http.Handler = (*Service)(nil)

// endpoint answers requests to a path.
type endpoint struct {
	name   string // for logs and metrics
	method string
	cors   bool // browsers may ask
	home   bool // one that homeservers have
	most   int64
	// first, if there is one, refuses requests before their body is read.
	first  func(*http.Request) *failure
	answer func(context.Context, *slog.Logger, *http.Request, []byte) (any, *failure)
}

// routes are the endpoints by path.
func (s *Service) routes() map[string]*endpoint {
	all := map[string]*endpoint{}
	add := func(e endpoint, paths ...string) {
		if e.method == "" {
			e.method = http.MethodPost
		}
		if e.most == 0 {
			e.most = maxBody
		}
		for _, p := range paths {
			all[p] = &e
		}
	}
	add(endpoint{name: "sfu_get", cors: true, answer: s.sfuGet}, authapi.PathSFUGet)
	add(endpoint{name: "get_token", cors: true, answer: s.getToken}, authapi.PathGetToken)
	if s.cfg.Leaves != nil { // whoever probes finds nothing else
		add(endpoint{name: "delegate", cors: true, answer: s.delegate}, authapi.PathDelegateDelayedLeave)
	}
	if s.home == nil {
		return all
	}
	add(endpoint{name: "client_get_token", cors: true, home: true, answer: s.clientGetToken}, authapi.ClientGetTokenPaths()...)
	if s.cfg.Leaves != nil {
		add(endpoint{name: "client_delegate", cors: true, home: true, answer: s.clientDelegate}, authapi.ClientDelegatePaths()...)
	}
	add(endpoint{name: "federation_get_token", home: true, answer: s.federationGetToken}, authapi.FederationGetTokenPaths()...)
	add(endpoint{name: "ping", home: true, first: s.homeOnly, answer: s.ping}, authapi.PathPing)
	add(endpoint{name: "transaction", home: true, method: http.MethodPut, most: maxTransaction, first: s.homeOnly, answer: s.transaction}, authapi.PathTransactions)
	return all
}

// ServeHTTP answers the paths of internal/authapi. Mount it where the paths
// begin (http.StripPrefix takes a prefix off).
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.ContentLength != 0 {
		// Also of a request that is refused the body is read, by the server.
		readBy(w, time.Now().Add(readTimeout))
	}
	path := r.URL.Path
	if raw := r.URL.RawPath; raw != "" {
		path = raw // a path that is written in another way is another path
	}
	if id, ok := strings.CutPrefix(path, authapi.PathTransactions); ok && id != "" && !strings.Contains(id, "/") {
		path = authapi.PathTransactions
	} else if ok {
		path = ""
	}
	e := s.endpoints[path]
	switch {
	case path == authapi.PathHealth:
		h.Set("Access-Control-Allow-Origin", "*")
		s.serveHealth(w, r)
	case path == authapi.PathWebhook:
		s.serveWebhook(w, r)
	case e == nil:
		s.serveNothing(w, r)
	default:
		s.serve(w, r, e)
	}
}

// serveNothing answers requests to paths where nothing is.
func (s *Service) serveNothing(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	id := newID()
	h.Set("X-Request-Id", id)
	// Scanners ask for anything; who sets a proxy up wants to know what it asks for.
	s.log.Debug("no such endpoint", "request", id, "method", shorten(r.Method), "path", shorten(r.URL.EscapedPath()))
	s.metrics.request("other", http.StatusNotFound, 0)
	s.buffers.writeJSON(w, http.StatusNotFound, &authapi.Error{Code: authapi.CodeUnrecognized, Message: "no such endpoint (request " + id + ")"})
}

// newID is the id of a request, which a user can quote and an operator can search for.
func newID() string { return rand.Text()[:13] }

// readBy is until when the body of a request must be there; zero: it is there. A body
// that did not come in time keeps its end: who sends a byte now and then would hold
// the connection otherwise.
func readBy(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(t) // not every ResponseWriter has deadlines
}

func (s *Service) serveHealth(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
	case s.closed.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// serve answers a request to an endpoint: what all of them have in common.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, e *endpoint) {
	h := w.Header()
	allow := e.method
	if e.cors {
		h.Set("Access-Control-Allow-Origin", "*")
		allow += ", OPTIONS"
	}
	switch {
	case e.cors && r.Method == http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", allow)
		h.Set("Access-Control-Allow-Headers", "Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusOK)
		return
	case r.Method != e.method:
		h.Set("Allow", allow)
		w.WriteHeader(http.StatusMethodNotAllowed)
		s.metrics.request(e.name, http.StatusMethodNotAllowed, 0)
		return
	}
	id := newID()
	h.Set("X-Request-Id", id)
	if e.cors {
		h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
	}
	h.Set("Cache-Control", "no-store")
	start := time.Now()
	log := logOf(s.log, id, e.name)
	answer, fail := s.answer(w, r, e, log, start)
	took := time.Since(start)
	if fail != nil {
		log.Log(r.Context(), fail.level(), "refused", "status", fail.status, "reason", fail.logged(), "took", took.Round(time.Millisecond))
		if fail.retry > 0 {
			h.Set("Retry-After", strconv.Itoa(int(math.Ceil(fail.retry.Seconds()))))
		}
		s.buffers.writeJSON(w, fail.status, &authapi.Error{
			Code: fail.code, Message: fail.message + " (request " + id + ")", RetryAfter: retryMillis(fail.retry),
		})
		s.metrics.request(e.name, fail.status, took)
		return
	}
	log.Debug("answered", "took", took)
	s.buffers.writeJSON(w, http.StatusOK, answer)
	s.metrics.request(e.name, http.StatusOK, took)
}

// answer reads the request and has the endpoint answer it.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, e *endpoint, log *slog.Logger, now time.Time) (any, *failure) {
	if s.closed.Load() {
		return nil, &failure{http.StatusServiceUnavailable, authapi.CodeUnknown, "the service is shutting down", errors.New("shutting down"), 0}
	}
	if client, wait, ok := s.allow(r, e, now); !ok {
		s.metrics.denials.WithLabelValues("address_rate").Inc()
		fail := limited(wait)
		fail.reason = &floodError{client, s.flooded.again(now)}
		return nil, fail
	}
	if e.first != nil {
		if fail := e.first(r); fail != nil {
			return nil, fail
		}
	}
	buf := s.buffers.get()
	defer s.buffers.giveBack(buf)
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, e.most))
	body := buf.Bytes() // what is made of it holds no part of it
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &failure{http.StatusRequestEntityTooLarge, authapi.CodeTooLarge, "the body is too large", err, 0}
	}
	if err != nil {
		return nil, notJSON(err)
	}
	readBy(w, time.Time{})
	ctx := r.Context()
	if e.home { // the others have bounds for each question
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerTimeout)
		defer cancel()
	}
	return e.answer(ctx, log, r, body)
}

// allow counts a request, and says how long to wait if there were too many. Our
// own homeserver stands for any number of users.
func (s *Service) allow(r *http.Request, e *endpoint, now time.Time) (client netip.Addr, wait time.Duration, ok bool) {
	if s.limiter == nil || e.home && s.homeOnly(r) == nil {
		return client, 0, true
	}
	client, named := throttle.ClientAddr(r, s.trusted)
	if !named {
		if s.unnamed.CompareAndSwap(false, true) {
			s.log.Info("requests come from a trusted proxy without X-Forwarded-For: they are not limited", "proxy", client)
		}
		return client, 0, true
	}
	wait, ok = s.limiter.Take(client, now)
	return client, wait, ok
}

// floodError: an address asks too often. It does so as often as it likes, so that not
// every time is worth a line.
type floodError struct {
	client netip.Addr
	tell   bool
}

func (e *floodError) Error() string {
	return "too many requests of " + e.client.String() + "; if that is a reverse proxy, name it in trusted_proxies (MATRIXRTC_TRUSTED_PROXIES), and it has to send X-Forwarded-For"
}

// failure is an answer other than 200: what the client is told, and the reason
// that only the log gets.
type failure struct {
	status        int
	code, message string
	reason        error
	retry         time.Duration // how long to wait; 0: not said
}

func (f *failure) level() slog.Level {
	flood := (*floodError)(nil)
	switch {
	case errors.As(f.reason, &flood) && !flood.tell:
		return slog.LevelDebug
	case flood != nil:
		return slog.LevelWarn
	case f.status >= 500:
		return slog.LevelError
	case errors.As(f.reason, new(*ownTrouble)):
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// maxReason bounds what strangers can have written into the log, in bytes.
const maxReason = 512

// logged is the reason as the log gets it.
func (f *failure) logged() string {
	text := f.reason.Error()
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

func badJSON(message string) *failure {
	return &failure{http.StatusBadRequest, authapi.CodeBadJSON, message, errors.New(message), 0}
}

func notJSON(err error) *failure {
	message := "the body is not the JSON that this endpoint takes"
	if what, ok := errors.AsType[*bodyError](err); ok {
		message += ": " + what.Error()
	}
	return &failure{http.StatusBadRequest, authapi.CodeNotJSON, message, err, 0}
}

func limited(wait time.Duration) *failure {
	return &failure{http.StatusTooManyRequests, authapi.CodeLimitExceeded, "too many requests", errors.New("too many requests"), max(wait, time.Millisecond)}
}

func retryMillis(d time.Duration) int64 {
	return int64(math.Ceil(float64(d) / float64(time.Millisecond)))
}

// pool is of buffers for bodies, read and written.
type pool struct{ sync.Pool }

func (p *pool) get() *bytes.Buffer {
	if b, ok := p.Get().(*bytes.Buffer); ok {
		return b
	}
	return new(bytes.Buffer)
}

// giveBack keeps a buffer for the next body, unless it has grown out of size.
func (p *pool) giveBack(b *bytes.Buffer) {
	if b.Cap() <= maxBody {
		b.Reset()
		p.Put(b)
	}
}

func (p *pool) writeJSON(w http.ResponseWriter, status int, v any) {
	b := p.get()
	defer p.giveBack(b)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone if this fails
}
