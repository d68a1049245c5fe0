package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// gap is gap-fill as the site runs it.
type gap struct {
	service *gapfill.Service
	store   gapfill.Store
	proxy   bool
}

// startGapFill opens the store and begins to send what is due; nil if gap-fill
// is off. base is the public URL.
func (s *Server) startGapFill(ctx context.Context, base string, metrics prometheus.Registerer) (_ *gap, err error) {
	conf := &s.cfg.GapFill
	if conf.off() {
		return nil, nil
	}
	log := s.log.With("part", "gapfill")
	redisPassword, asToken, err := conf.secrets()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	key, err := conf.key()
	if err != nil {
		return nil, err
	}
	g := &gap{proxy: conf.Proxy}
	if conf.Redis != "" {
		g.store, err = gapfill.OpenRedis(ctx, string(conf.Redis), &gapfill.RedisOptions{Password: string(redisPassword), Logger: log})
	} else {
		g.store, err = gapfill.OpenStore(strings.TrimPrefix(conf.Store, GapFillMemory))
	}
	if err != nil {
		return nil, err
	}
	transports, err := json.Marshal(s.wellKnown(base).Foci[0])
	if err != nil {
		return nil, errors.Join(err, g.store.Close())
	}
	g.service, err = gapfill.New(gapfill.Config{
		Homeserver: s.cfg.upstream(), Store: g.store, Key: key, ASToken: string(asToken),
		Mode: gapfill.Mode(conf.Mode), Transports: []json.RawMessage{transports},
	}, &gapfill.Options{
		Logger: log, Metrics: metrics, MaxDelay: conf.MaxDelay, MaxScheduled: conf.MaxScheduled, RequireAuth: conf.RequireAuth,
		TrustedProxies: s.cfg.TrustedProxies, InsecureSkipVerify: s.cfg.InsecureSkipVerify,
	})
	if err != nil {
		return nil, errors.Join(err, g.store.Close())
	}
	return g, nil
}

// key is the key for access tokens. What is in memory needs none that lasts.
func (g *GapFill) key() ([]byte, error) {
	switch {
	case g.KeyFile != "":
		return gapfill.LoadKey(g.KeyFile)
	case g.Store == GapFillMemory:
		key := make([]byte, gapfill.KeySize)
		_, _ = rand.Read(key) // never fails
		return key, nil
	}
	return gapfill.LoadKey(g.Store + ".key")
}

// mount puts gap-fill on the public listener and returns what stands before mux.
// polls is for requests that the homeserver answers when there is news: they need
// not be waited for at the end; elsewhere answers what leads out of the
// homeserver's paths.
func (g *gap) mount(mux *http.ServeMux, polls func(http.Handler) http.Handler, elsewhere http.Handler) http.Handler {
	if !g.proxy {
		mux.Handle("/_matrix/client/", g.service.API())
		return mux
	}
	all := g.service.Handler()
	waits := polls(all)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch p := r.URL.Path; {
		case !inside(p):
			elsewhere.ServeHTTP(w, r)
		case r.Method == http.MethodGet && strings.HasSuffix(p, "/sync") || strings.HasSuffix(p, "_msc3575/sync"):
			waits.ServeHTTP(w, r)
		default:
			all.ServeHTTP(w, r)
		}
	})
	for _, prefix := range handedOn {
		mux.Handle(prefix, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What mux would redirect to another path is the homeserver's to judge.
		if p := r.URL.EscapedPath(); strings.HasPrefix(p, "/_matrix/") && path.Clean(p) != strings.TrimSuffix(p, "/") {
			h.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// handedOn are the paths that are the homeserver's.
var handedOn = [...]string{"/_matrix/", "/_synapse/client/"}

// inside reports whether a path, decoded, stays below one of them whoever resolves
// the dots in it: a homeserver has other paths that are for its administrators.
func inside(p string) bool {
	p = path.Clean(p) + "/"
	for _, prefix := range handedOn {
		if strings.HasPrefix(p, prefix) {
			return true
		}
	}
	return false
}

// close ends the sending and then closes the store. The requests have ended.
func (g *gap) close() error {
	if g == nil {
		return nil
	}
	return errors.Join(g.service.Close(), g.store.Close())
}
