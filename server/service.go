package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// service is the authorization service as the site runs it.
type service struct {
	*auth.Service
	stores []jobs.Store
}

// startAuth opens the stores and begins to look after delegated leaves. inside is where
// the site asks itself.
func (s *Server) startAuth(ctx context.Context, m *media, metrics prometheus.Registerer, inside string) (_ *service, err error) {
	out := &service{}
	defer func() {
		if err != nil {
			_ = out.closeStores() // the error at hand is the one to tell
		}
	}()
	as, err := s.cfg.appService()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	cfg := auth.Config{
		Key: m.key, Secret: m.secret, SFUURL: m.url, Rooms: m.rooms, SFUStarted: m.handler != nil,
		FullAccess: s.cfg.fullAccess(), Overrides: s.cfg.Overrides, ClientAPIs: s.cfg.clientAPIs(inside), AppService: as,
	}
	if cfg.Leaves, err = out.open(ctx, &s.cfg.Auth, "", jobs.DefaultRedisPrefix, s.log.With("part", "auth")); err != nil {
		return nil, err
	}
	if as != nil || s.opts.Watched { // else nobody says who is in which room
		if cfg.Seats, err = out.open(ctx, &s.cfg.Auth, ".seats", jobs.DefaultRedisPrefix+"seats:", nil); err != nil {
			return nil, err
		}
	}
	out.Service, err = auth.New(cfg, &auth.Options{
		Logger: s.log.With("part", "auth"), Metrics: metrics,
		Policy: s.cfg.policy(), Lenient: s.cfg.Auth.Lenient,
		TokenLifetime: s.cfg.TokenLifetime, TokenWindow: s.cfg.Auth.TokenWindow,
		SanityCheck: s.cfg.sanityCheck(), MembershipCheck: s.cfg.Auth.MembershipCheck, Watched: s.opts.Watched,
		Rate:               auth.Rate(s.cfg.RateLimit),
		TrustedProxies:     s.cfg.TrustedProxies,
		AllowNetworks:      s.cfg.AllowNetworks,
		InsecureSkipVerify: s.cfg.InsecureSkipVerify,
	})
	return out, err
}

// open opens one of the stores, as the configuration has them. log hears what is risky
// about a Redis; both stores are in one, so one of them is enough.
func (s *service) open(ctx context.Context, conf *Auth, suffix, prefix string, log *slog.Logger) (store jobs.Store, err error) {
	switch {
	case conf.Redis != "":
		password, err := conf.redisPassword()
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		if store, err = jobs.OpenRedis(ctx, string(conf.Redis), &jobs.RedisOptions{Password: string(password), Prefix: prefix, Logger: log}); err != nil {
			return nil, err
		}
	case conf.Store == "" || conf.Store == AuthMemory:
		store = jobs.Memory()
	default:
		if store, err = jobs.OpenSQLite(conf.Store + suffix); err != nil {
			return nil, err
		}
	}
	s.stores = append(s.stores, store)
	return store, nil
}

func (a *Auth) redisPassword() (Secret, error) {
	text, err := inline(string(a.RedisPassword), "auth.redis_password_file", a.RedisPasswordFile)
	return Secret(text), err
}

// close ends the service and then closes its stores. It may be called twice.
func (s *service) close() error {
	return errors.Join(s.Close(), s.closeStores())
}

func (s *service) closeStores() (err error) {
	for _, store := range s.stores {
		err = errors.Join(err, store.Close())
	}
	s.stores = nil
	return err
}

// mountAuth puts the authorization API on the public listener, twice: at the root and
// under the prefix that is usual for it, so that a reverse proxy may strip that
// prefix or not. What homeservers have is where they have it.
func mountAuth(mux *http.ServeMux, api http.Handler, appService bool) {
	mux.Handle(jwtPrefix+"/", http.StripPrefix(jwtPrefix, api))
	if appService {
		for _, path := range authapi.HomePaths() {
			mux.Handle(path, api)
		}
	}
	mux.Handle("/", api) // which answers unknown paths as Matrix does
}

// clientAPIs are the client-server APIs that need not be looked for: those that are
// configured, and that of the site's own homeserver, as clients have it. Where the
// site stands in front of that, it asks itself: what the homeserver lacks is there.
// inside is its own listener for that.
func (c *Config) clientAPIs(inside string) map[string]string {
	name, base := c.Homeserver.ServerName, c.Homeserver.URL
	if c.asksItself() {
		base = inside
	}
	all := maps.Clone(c.ClientAPIs)
	if name == "" || base == "" || all[name] != "" {
		return all
	}
	if all == nil {
		all = map[string]string{}
	}
	all[name] = base
	return all
}

// listenInside opens a listener for the site itself, nil if there is no need for one:
// the embedded SFU reports there who comes and goes, and a site in front of its
// homeserver asks that there. The public listener may be full of strangers. base is its
// address as a URL.
func (s *Server) listenInside() (l *net.TCPListener, base string, err error) {
	if s.cfg.SFU.URL != "" && !s.cfg.asksItself() {
		return nil, "", nil
	}
	if l, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, "", fmt.Errorf("listen on loopback for the site itself: %w", err)
	}
	return l, "http://" + l.Addr().String(), nil
}

// asksItself: the site is the homeserver's client-server API.
func (c *Config) asksItself() bool { return !c.GapFill.off() && c.GapFill.Proxy }
