package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

// Service answers the authorization API.
type Service struct {
	cfg        Config
	log        *slog.Logger
	policy     Policy
	lenient    bool
	signer     *signer
	making     flights[struct{}] // of rooms
	verify     time.Duration
	fullAccess map[string]bool
	limiter    *throttle.Limiter[netip.Addr]
	perUser    *throttle.Limiter[string]
	perServer  *throttle.Limiter[string]
	trusted    []netip.Prefix
	endpoints  map[string]*endpoint
	openid     *openID
	apis       *clientAPIs
	leaves     *leaves // nil: none can be handed over
	seats      *seats
	reports    *reports
	metrics    *metrics
	registry   prometheus.Registerer
	buffers    pool
	closed     atomic.Bool
	unnamed    atomic.Bool // a proxy that names nobody was logged
	flooded    seldom      // an address that asks too often was logged
	private    seldom      // a homeserver in a private network was logged

	// Of the application service; home is nil without one.
	home       *home
	hsToken    Secret
	keys       *keyring
	signingKey *xmatrix.Key // nil: our homeserver passes requests on
}

// New makes a Service and begins to look after what was left to an earlier one.
// It does no I/O before it returns.
func New(cfg Config, opts *Options) (*Service, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.setDefaults()
	if err := check(cfg, o); err != nil {
		return nil, fmt.Errorf("authorization service: %w", err)
	}
	net := newServers(cfg.Overrides, ownServers(cfg), o)
	s := &Service{
		cfg: cfg, log: o.Logger, policy: o.Policy, lenient: o.Lenient, verify: o.VerifyTimeout,
		signer:     newSigner(cfg.Key, cfg.Secret, o.TokenLifetime, o.Policy.FixedMetadata),
		fullAccess: make(map[string]bool), trusted: o.TrustedProxies,
		openid: newOpenID(net, o.TokenWindow), apis: newClientAPIs(cfg.ClientAPIs, net),
		reports: newReports(), registry: o.Metrics,
	}
	for _, name := range cfg.FullAccess {
		s.fullAccess[name] = true
	}
	s.limits(o)
	if err := s.beHome(cfg.AppService); err != nil {
		return nil, fmt.Errorf("authorization service: %w", err)
	}
	s.metrics = newMetrics(s)
	if o.Metrics != nil {
		if err := o.Metrics.Register(s.metrics); err != nil {
			return nil, fmt.Errorf("authorization service: metrics: %w", err)
		}
	}
	s.endpoints = s.routes()
	s.start(o)
	return s, nil
}

// ownServers are the servers that the operator has named.
func ownServers(cfg Config) []string {
	own := slices.Clone(cfg.FullAccess)
	if cfg.AppService != nil {
		own = append(own, cfg.AppService.ServerName)
	}
	return own
}

// maxClients bounds the memory of each limit.
const maxClients = 16384

func (s *Service) limits(o Options) {
	if o.Rate.PerSecond > 0 {
		s.limiter = throttle.NewLimiter[netip.Addr](throttle.Rate(o.Rate), maxClients)
	}
	if q := o.Policy.PerUser; q.PerMinute > 0 {
		s.perUser = throttle.NewLimiter[string](q.rate(), maxClients)
	}
	if q := o.Policy.PerServer; q.PerMinute > 0 {
		s.perServer = throttle.NewLimiter[string](q.rate(), maxClients)
	}
}

func (s *Service) beHome(as *AppService) error {
	if as == nil {
		return nil
	}
	s.home = &home{server: as.ServerName, token: as.ASToken, apis: s.apis}
	s.hsToken, s.keys = as.HSToken, newKeyring(s.openid.servers)
	if as.SigningKey != "" {
		key, err := xmatrix.ParseKey([]byte(as.SigningKey))
		if err != nil {
			return err
		}
		s.signingKey = key
	}
	return nil
}

// start starts what goes on between requests; Close ends it.
func (s *Service) start(o Options) {
	presence, _ := s.cfg.Rooms.(Presence)
	if s.cfg.Leaves != nil {
		s.leaves = startLeaves(&leaves{
			store: s.cfg.Leaves, rules: leave.Rules{Check: o.SanityCheck, Grace: leaveGrace, Back: leaveBack}, sfu: presence, fresh: s.cfg.SFUStarted,
			act: (&delayed{s.apis, s.home}).act, log: o.Logger,
			seen: func(_ *leave.Job, why leave.End) { s.metrics.ended.WithLabelValues(string(why)).Inc() },
		})
	}
	remover, _ := s.cfg.Rooms.(Remover)
	store := s.cfg.Seats
	if store == nil {
		store = jobs.Memory()
	}
	seats := &seats{
		store: store, interval: o.MembershipCheck, told: o.Watched || s.hsToken != "", sfu: remover, presence: presence, leaves: s.leaves, log: o.Logger,
		removed: func(why string) { s.metrics.removed.WithLabelValues(why).Inc() },
	}
	if s.home != nil && s.home.token != "" {
		seats.server, seats.who = s.home.server, s.home
	}
	s.seats = startSeats(seats)
}

// Drain ends what goes on between requests, and returns when that has ended, after
// 5 s at most. Requests are answered as before; what the SFU says and what is
// handed over is stored, for the next run or another replica to act upon.
func (s *Service) Drain() {
	s.seats.close()
	if s.leaves != nil {
		s.leaves.close()
	}
}

// Close makes every further request fail with 503, does what Drain does, ends idle
// connections, and returns when all has ended. Requests under way go on; their end
// is the business of the http.Server. It may be called twice.
func (s *Service) Close() error {
	if !s.closed.Swap(true) && s.registry != nil {
		s.registry.Unregister(s.metrics)
	}
	s.Drain()
	s.openid.servers.close()
	s.apis.close()
	return nil
}

// Ready says what keeps the service from working, nil if nothing does: it is
// closed, or a store does not answer.
func (s *Service) Ready(ctx context.Context) error {
	if s.closed.Load() {
		return errors.New("the authorization service is shutting down")
	}
	for _, store := range []jobs.Store{s.cfg.Leaves, s.cfg.Seats} {
		if store == nil {
			continue
		}
		if _, err := store.Next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cacheSizes says how much is remembered.
func (s *Service) cacheSizes() map[string]int {
	sizes := map[string]int{
		"resolver":   s.openid.servers.trusted.resolver.size() + s.openid.servers.rest.resolver.size(),
		"client_api": s.apis.size(),
		"openid":     s.openid.size(),
	}
	for _, f := range []*federation{s.openid.servers.trusted, s.openid.servers.rest} {
		sizes["connections"] += f.getter.Len()
	}
	if s.keys != nil {
		sizes["signing_keys"] = s.keys.size()
	}
	if s.limiter != nil {
		sizes["addresses"] = s.limiter.Len()
	}
	return sizes
}
