package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

const (
	userinfoPath = "/_matrix/federation/v1/openid/userinfo"
	// maxVouched bounds the memory of the window.
	maxVouched = 16384
	// How many tokens are checked at once, in all and with one server: a server
	// that is slow keeps nobody else waiting.
	checksAtOnce    = 2048
	checksPerServer = 256
	// checksReserved of them are for servers that the operator named: strangers can
	// have any number of slow ones.
	checksReserved = 2 * checksPerServer
)

// errCrowded: too many tokens are being checked.
var errCrowded = errors.New("too many tokens are being checked")

// ownTrouble: a homeserver that the operator named cannot be asked, which is for the
// operator to mend.
type ownTrouble struct {
	err  error
	hint string
}

func (e *ownTrouble) Error() string { return e.err.Error() + "; " + e.hint }
func (e *ownTrouble) Unwrap() error { return e.err }

// troubled adds what to do about it to an error of asking a server that the operator
// named. A server that refuses a token has no trouble.
func (o *servers) troubled(ctx context.Context, server string, err error) error {
	status := (*statusError)(nil)
	switch {
	case !o.named(server) || errors.Is(ctx.Err(), context.Canceled):
		return err
	case !errors.As(err, &status) && o.overrides[server] != "":
		return &ownTrouble{err, "that is where homeserver_overrides says that it is"}
	case !errors.As(err, &status):
		return &ownTrouble{err, "if its federation API is elsewhere, say so in homeserver_overrides"}
	case status.status == http.StatusNotFound:
		return &ownTrouble{err, "its federation API is not there: Synapse needs the resource openid or federation in a listener, a reverse proxy has to pass /_matrix/federation on, or homeserver_overrides has to say where it is"}
	case status.status >= 500:
		return &ownTrouble{err, "it is down, or its reverse proxy does not reach it"}
	}
	return err
}

// errNoVouch: a homeserver has answered, and vouches for nobody.
var errNoVouch = errors.New("nobody is vouched for")

// openID asks homeservers whom an OpenID token belongs to (server-server API,
// "OpenID"). Without a window it keeps no answer: a token that was taken back is
// refused at once.
type openID struct {
	servers *servers
	window  time.Duration

	mu      sync.Mutex
	vouched *throttle.LRU[[sha256.Size]byte, vouch]
	waiting map[string]int // checks under way, by server
	all     int
}

// vouch is what a server has said of a token. The token itself is not kept.
type vouch struct {
	user  string
	until time.Time
}

func newOpenID(s *servers, window time.Duration) *openID {
	return &openID{servers: s, window: window, vouched: throttle.NewLRU[[sha256.Size]byte, vouch](maxVouched), waiting: map[string]int{}}
}

// verify is the user a token belongs to, by the word of the homeserver that
// the token names. The errors say which step failed and never hold the token.
func (o *openID) verify(ctx context.Context, server, token string) (user string, err error) {
	name, err := parseServerName(server)
	if err != nil {
		return "", err
	}
	var key [sha256.Size]byte
	if o.window > 0 {
		key = sha256.Sum256([]byte(server + "\x00" + token))
		if user, ok := o.known(key, time.Now()); ok {
			return user, nil
		}
	}
	if !o.enter(server) {
		return "", errCrowded
	}
	defer o.leave(server)
	asked := time.Now()
	a, err := o.servers.call(ctx, name, call{method: http.MethodGet, path: userinfoPath + "?access_token=" + url.QueryEscape(token)})
	if err == nil && a.status != http.StatusOK {
		err = &statusError{a.status}
	}
	if err != nil {
		return "", fmt.Errorf("asking %s for the user of a token: %w", name.name, o.servers.troubled(ctx, server, err))
	}
	var info struct {
		Sub string `json:"sub"`
	}
	if err := json.Unmarshal(a.body, &info); err != nil {
		return "", fmt.Errorf("%w: answer of %s: %w", errNoVouch, name.name, err)
	}
	// A server vouches for its own users only.
	if got := userServer(info.Sub); got != server {
		return "", fmt.Errorf("%w: %s vouches for a user that is not its own (%q)", errNoVouch, name.name, shorten(info.Sub))
	}
	if o.window > 0 {
		o.mu.Lock()
		o.vouched.Put(key, vouch{info.Sub, asked.Add(o.window)})
		o.mu.Unlock()
	}
	return info.Sub, nil
}

func (o *openID) known(key [sha256.Size]byte, now time.Time) (user string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := o.vouched.Get(key)
	return v.user, ok && now.Before(v.until)
}

// size is how many answers are remembered.
func (o *openID) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.vouched.Len()
}

func (o *openID) enter(server string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	most := checksAtOnce
	if !o.servers.named(server) {
		most -= checksReserved
	}
	if o.all >= most || o.waiting[server] >= checksPerServer {
		return false
	}
	o.all++
	o.waiting[server]++
	return true
}

func (o *openID) leave(server string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all--
	if o.waiting[server]--; o.waiting[server] <= 0 {
		delete(o.waiting, server)
	}
}
