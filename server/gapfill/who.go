package gapfill

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

const (
	// knownFor is how long the homeserver's word about a token is taken without
	// asking again.
	knownFor = time.Minute
	// vouchedFor is how long it counts while the homeserver cannot be reached.
	vouchedFor = time.Hour
)

// caller is who asks.
type caller struct {
	user, device string
	token        string
	as           bool // an application service speaks for the user
}

// bearer is the token of a request, and whom it is to speak for.
type bearer struct {
	token string
	query url.Values // user_id and the like, of application services
}

func bearerOf(r *http.Request, query url.Values) (b bearer, given bool) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			token = ""
		}
		b.token, given = strings.TrimSpace(token), true
	} else if query.Has("access_token") {
		b.token, given = query.Get("access_token"), true
	}
	for _, name := range []string{"user_id", "device_id", "org.matrix.msc3202.device_id"} {
		if query.Has(name) {
			if b.query == nil {
				b.query = url.Values{}
			}
			b.query.Set(name, query.Get(name))
		}
	}
	return b, given
}

// verifier finds out whose token it is, by asking the homeserver. It remembers
// hashes of tokens only.
type verifier struct {
	s *Service

	mu    sync.Mutex
	known *throttle.LRU[[sha256.Size]byte, vouched]
	masks *throttle.LRU[string, masked]
}

type vouched struct {
	user, device string
	at           time.Time
}

type masked struct {
	can bool
	at  time.Time
}

func newVerifier(s *Service) *verifier {
	return &verifier{
		s: s, known: throttle.NewLRU[[sha256.Size]byte, vouched](rememberMax),
		masks: throttle.NewLRU[string, masked](rememberMax),
	}
}

func (b bearer) hash() [sha256.Size]byte {
	return sha256.Sum256([]byte(b.token + "\x00" + b.query.Encode()))
}

// recall is what the homeserver has said of a token, if that is recent enough.
func (v *verifier) recall(b bearer, within time.Duration) (caller, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k, ok := v.known.Get(b.hash())
	if age := v.s.clock.now().Sub(k.at); !ok || age > within {
		return caller{}, false
	}
	return b.caller(k.user, k.device), true
}

func (b bearer) caller(user, device string) caller {
	return caller{user: user, device: device, token: b.token, as: b.query.Has("user_id")}
}

// whoami is the answer of the endpoint of that name.
type whoami struct {
	User   string `json:"user_id"`
	Device string `json:"device_id"`
}

// verify says who brings a token. The error is a *silence if the homeserver
// cannot be asked; what it refuses is a refusal.
func (v *verifier) verify(ctx context.Context, b bearer) (caller, *refusal, error) {
	if c, ok := v.recall(b, knownFor); ok {
		return c, nil, nil
	}
	w, refused, err := v.ask(ctx, b)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil:
		return caller{}, nil, err
	case refused != nil:
		v.known.Remove(b.hash())
		return caller{}, refused, nil
	}
	v.known.Put(b.hash(), vouched{w.User, w.Device, v.s.clock.now()})
	return b.caller(w.User, w.Device), nil, nil
}

// refresh asks again whose token it is, if it is time, while nobody waits.
func (v *verifier) refresh(b bearer) {
	if _, ok := v.recall(b, knownFor); !ok {
		v.s.engine.later(func(ctx context.Context) { _, _, _ = v.verify(ctx, b) })
	}
}

func (v *verifier) ask(ctx context.Context, b bearer) (w whoami, refused *refusal, err error) {
	a, err := v.s.up.do(ctx, ask{method: http.MethodGet, path: clientPath("v3", "account", "whoami"), query: b.query, token: b.token})
	switch {
	case err != nil:
		return w, nil, err
	case a.status == http.StatusOK && json.Unmarshal(a.body, &w) == nil && validUser(w.User):
		return w, nil, nil
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusTooManyRequests:
		return w, readRefusal(a.status, a.header, a.body), nil
	}
	return w, nil, &silence{arrived: true, err: errors.New("ask the homeserver who it is: its answer is none")}
}

func validUser(user string) bool {
	return len(user) <= 255 && strings.HasPrefix(user, "@") && strings.Contains(user, ":")
}

// masquerade reports whether our application service may send for a user. The
// homeserver's answer counts for an hour.
func (v *verifier) masquerade(ctx context.Context, user string) bool {
	if v.s.cfg.ASToken == "" {
		return false
	}
	v.mu.Lock()
	m, ok := v.masks.Get(user)
	v.mu.Unlock()
	if ok && v.s.clock.now().Sub(m.at) < vouchedFor {
		return m.can
	}
	w, refused, err := v.ask(ctx, bearer{v.s.cfg.ASToken, url.Values{"user_id": {user}}})
	if err != nil || refused != nil && refused.status == http.StatusTooManyRequests {
		return false // for now
	}
	m = masked{refused == nil && w.User == user, v.s.clock.now()}
	v.mu.Lock()
	v.masks.Put(user, m)
	v.mu.Unlock()
	return m.can
}
