package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

const (
	// maxBody bounds a request; real ones have under 2 KiB.
	maxBody     = 64 << 10
	readTimeout = 10 * time.Second
	// roomTimeout bounds the creation of a room.
	roomTimeout = 5 * time.Second
)

var _ http.Handler = (*Service)(nil)

// ServeHTTP answers the paths of internal/authapi. Mount it where the paths
// begin (http.StripPrefix takes a prefix off).
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	switch r.URL.Path {
	case authapi.PathHealth:
		s.serveHealth(w, r)
	case authapi.PathSFUGet, authapi.PathGetToken:
		s.serveToken(w, r)
	default:
		writeError(w, http.StatusNotFound, authapi.CodeUnrecognized, "no such endpoint")
	}
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

func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch r.Method {
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusOK)
		return
	case http.MethodPost:
	default:
		h.Set("Allow", "POST, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	// The id is what a user can quote and an operator can search for.
	id := rand.Text()[:13]
	h.Set("X-Request-Id", id)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After")
	h.Set("Cache-Control", "no-store")
	start := time.Now()
	log := s.log.With("request", id, "endpoint", r.URL.Path)

	if s.closed.Load() {
		writeError(w, http.StatusServiceUnavailable, authapi.CodeUnknown, "the service is shutting down")
		return
	}
	if wait, ok := s.allow(r, start); !ok {
		log.Debug("too many requests")
		writeLimited(w, wait)
		return
	}
	want, fail := s.read(w, r)
	var answer authapi.TokenResponse
	if fail == nil {
		log = log.With("room", want.room, "slot", want.slot, "server", want.openid.MatrixServerName)
		answer, fail = s.issue(r.Context(), log, want)
	}
	took := time.Since(start).Round(time.Millisecond)
	if fail != nil {
		log.Log(r.Context(), fail.level(), "token refused", "status", fail.status, "reason", fail.reason, "took", took)
		writeError(w, fail.status, fail.code, fail.message)
		return
	}
	log.Debug("token request answered", "took", took)
	writeJSON(w, http.StatusOK, answer)
}

// allow counts a request, and says how long to wait if there were too many.
func (s *Service) allow(r *http.Request, now time.Time) (wait time.Duration, ok bool) {
	if s.limiter == nil {
		return 0, true
	}
	client, named := clientAddr(r, s.trusted)
	if !named {
		if s.unnamed.CompareAndSwap(false, true) {
			s.log.Info("requests come from a trusted proxy without X-Forwarded-For: they are not limited", "proxy", client)
		}
		return 0, true
	}
	return s.limiter.take(client, now)
}

// failure is an answer other than 200: what the client is told, and the reason
// that only the log gets.
type failure struct {
	status        int
	code, message string
	reason        error
}

func (f *failure) level() slog.Level {
	if f.status >= 500 {
		return slog.LevelError
	}
	return slog.LevelInfo
}

func badJSON(message string) *failure {
	return &failure{http.StatusBadRequest, authapi.CodeBadJSON, message, errors.New(message)}
}

// request is what both endpoints ask for.
type request struct {
	room, slot string
	openid     authapi.OpenIDToken
	delay      authapi.Delay
	claimed    string // user id, "" if the endpoint has none
	// identity is the name of the user's participant on the SFU.
	identity func(user string) string
}

// read decodes and checks the body of a request.
func (s *Service) read(w http.ResponseWriter, r *http.Request) (*request, *failure) {
	rc := http.NewResponseController(w)
	// Not every ResponseWriter has deadlines; the body is bounded anyway.
	_ = rc.SetReadDeadline(time.Now().Add(readTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{})
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &failure{http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "the body is too large", err}
	}
	if err != nil {
		return nil, notJSON(err)
	}
	if r.URL.Path == authapi.PathSFUGet {
		return readSFUGet(body)
	}
	return readGetToken(body)
}

func notJSON(err error) *failure {
	return &failure{http.StatusBadRequest, authapi.CodeNotJSON, "the body is not the JSON that this endpoint takes", err}
}

// decodeStrict reads exactly one JSON value and refuses keys that the type
// does not have.
func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, &authapi.Error{Code: code, Message: message})
}

func writeLimited(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	writeJSON(w, http.StatusTooManyRequests, &authapi.Error{
		Code: authapi.CodeLimitExceeded, Message: "too many requests", RetryAfter: max(1, wait.Milliseconds()),
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone if this fails
}
