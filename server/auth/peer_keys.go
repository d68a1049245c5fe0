package auth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

const (
	keysPath = "/_matrix/key/v2/server"
	// keepKeys is how long keys are kept at most; refetchKeys how long a server is
	// not asked again for a key that it has not.
	keepKeys    = 24 * time.Hour
	refetchKeys = time.Minute
)

// keyring knows the keys of homeservers.
type keyring struct {
	servers *servers
	asking  flights[ring]

	mu    sync.Mutex
	cache *throttle.LRU[string, ring]
}

type ring struct {
	keys  map[string]ed25519.PublicKey
	until time.Time
	asked time.Time
}

func newKeyring(s *servers) *keyring {
	return &keyring{servers: s, cache: throttle.NewLRU[string, ring](maxNames)}
}

// key is a key of a server that is valid now.
func (k *keyring) key(ctx context.Context, server, id string) (ed25519.PublicKey, error) {
	now := time.Now()
	k.mu.Lock()
	r, ok := k.cache.Get(server)
	k.mu.Unlock()
	fresh := ok && now.Before(r.until)
	if key, has := r.keys[id]; fresh && has {
		return key, nil
	}
	if ok && now.Sub(r.asked) < refetchKeys {
		return nil, fmt.Errorf("%s has no such signing key, or cannot be asked for it", shorten(server))
	}
	r, err := k.asking.do(ctx, server, func(ctx context.Context) (ring, error) {
		keys, err := k.fetch(ctx, server, now)
		r := ring{asked: now}
		if err == nil {
			r.keys, r.until = keys.Valid, keys.Until
			if limit := now.Add(keepKeys); r.until.After(limit) {
				r.until = limit
			}
		}
		if ctx.Err() == nil { // else it says nothing about the server
			k.mu.Lock()
			k.cache.Put(server, r)
			k.mu.Unlock()
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	if key, has := r.keys[id]; has {
		return key, nil
	}
	return nil, fmt.Errorf("%s has no such signing key", server)
}

func (k *keyring) fetch(ctx context.Context, server string, now time.Time) (*xmatrix.Keys, error) {
	name, err := parseServerName(server)
	if err != nil {
		return nil, err
	}
	a, err := k.servers.call(ctx, name, call{method: http.MethodGet, path: keysPath})
	if err == nil && a.status != http.StatusOK {
		err = &statusError{a.status}
	}
	if err != nil {
		return nil, fmt.Errorf("asking %s for its signing keys: %w", server, err)
	}
	return xmatrix.ParseKeys(a.body, server, now)
}

// verify is the server that has signed a request for us.
func (k *keyring) verify(ctx context.Context, header []string, own string, r xmatrix.Request) (string, error) {
	if len(header) == 0 || len(header) > 4 {
		return "", errors.New("want one to four X-Matrix authorizations")
	}
	r.Destination = own
	origin, err := "", error(nil)
	for _, h := range header {
		a, err := xmatrix.Parse(h)
		if err != nil {
			return "", err
		}
		switch {
		case a.Destination != "" && a.Destination != own:
			return "", fmt.Errorf("a request that was signed for %q", shorten(a.Destination))
		case origin != "" && a.Origin != origin:
			return "", errors.New("a request with two origins")
		case a.Origin == own:
			return "", errors.New("a request of our own server")
		}
		origin = a.Origin
		// One good signature would do, but nobody sends bad ones with it.
		key, err := k.key(ctx, a.Origin, a.KeyID)
		if err != nil {
			return "", err
		}
		if err := a.Verify(r, key); err != nil {
			return "", fmt.Errorf("request of %s: %w", a.Origin, err)
		}
	}
	return origin, err
}

// size is how much is remembered.
func (k *keyring) size() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cache.Len()
}
