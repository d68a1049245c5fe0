package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

// maxWindow is the longest TokenWindow.
const maxWindow = 5 * time.Minute

// Rooms makes LiveKit rooms.
type Rooms interface {
	// CreateRoom makes the room with this name, or finds it already there. The
	// room outlives its last participant by 20 seconds, and waits 300 seconds
	// for the first one.
	CreateRoom(ctx context.Context, name string) error
}

// Secret is text that must never be printed: it formats as "[redacted]".
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString hides the secret.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// AnyServer as the only full-access server means every server.
const AnyServer = "*"

// Config is what a Service needs to know. Key to FullAccess are required.
type Config struct {
	// Key and Secret sign the tokens; the SFU must know them.
	Key    string
	Secret Secret
	// SFUURL is the websocket URL of the SFU as clients reach it.
	SFUURL string
	// Rooms makes the rooms of full-access users. If it is a Presence, delegated
	// leaves are checked by it; if it is a Remover, who leaves a Matrix room is
	// removed from the SFU.
	Rooms Rooms
	// FullAccess lists the Matrix server names whose users may open calls.
	// Users of other servers can only join rooms that exist. The single entry
	// AnyServer means every server. Servers named here may be in private
	// networks.
	FullAccess []string
	// Overrides gives the base URL (http or https) of the federation API of a
	// server name, instead of looking it up. Overrides may point anywhere,
	// private networks included.
	Overrides map[string]string
	// ClientAPIs does the same for client-server APIs, which are otherwise found
	// by .well-known/matrix/client.
	ClientAPIs map[string]string
	// Leaves keeps the delayed leaves that clients hand over. Nil: none can be
	// handed over. The caller closes it after the Service.
	Leaves jobs.Store
	// Seats keeps who has a token for which Matrix room, where that is of use.
	// Nil: the memory of this process. The caller closes it after the Service.
	Seats jobs.Store
	// AppService has the service answer for a homeserver. Nil: it does not.
	AppService *AppService
}

// AppService is the homeserver that we are an application service of.
type AppService struct {
	// ServerName is the homeserver's Matrix server name. Its client-server API must
	// be found by that name, or be in ClientAPIs.
	ServerName string
	// ASToken is what we show to the homeserver; HSToken what it shows to us. Either
	// may be empty: without ASToken nothing is asked in other people's names, without
	// HSToken the homeserver cannot pass requests on.
	ASToken, HSToken Secret
	// SigningKey is the homeserver's own signing key, as in its file: with it other
	// homeservers are asked directly for tokens for their SFUs. Without it our
	// homeserver is to pass requests on (MSC4512).
	SigningKey Secret
}

// Options are optional; nil means the defaults.
type Options struct {
	// Logger gets one record for each request. Nil discards.
	Logger *slog.Logger
	// Metrics gets the service's collectors, until Close. Nil: nobody does.
	Metrics prometheus.Registerer
	// Policy says who may do what.
	Policy Policy
	// Lenient lets fields through that a request should not have. Deployed services
	// refuse them.
	Lenient bool
	// TokenLifetime is how long a token lets its holder join, 1 h by default
	// and at most.
	TokenLifetime time.Duration
	// TokenWindow is how long the word of a homeserver is believed about an OpenID
	// token: 0, the default, asks for each request. Within the window a token that
	// was taken back is still good. At most 5 minutes.
	TokenWindow time.Duration
	// VerifyTimeout bounds the whole check of one OpenID token, name
	// resolution included. 10 s by default.
	VerifyTimeout time.Duration
	// SanityCheck is how often the SFU is asked whether the participants of
	// delegated leaves are still there, in case it did not say that they left.
	// 0: not at all, but before a leave of a minute or more is restarted.
	SanityCheck time.Duration
	// MembershipCheck is how often the homeserver is asked whether those who have a
	// token are still in the room. 0: 30 s; negative: not at all. It needs an
	// AppService with an ASToken, and a Remover.
	MembershipCheck time.Duration
	// Rate limits the requests of one client address.
	Rate Rate
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	// Loopback by default; an empty slice that is not nil trusts nobody.
	TrustedProxies []netip.Prefix
	// AllowNetworks are networks that any homeserver may be in. Others than
	// those of FullAccess and Overrides must otherwise be at public addresses,
	// so that nobody can reach loopback or private networks through us.
	AllowNetworks []netip.Prefix
	// InsecureSkipVerify accepts any certificate of a homeserver: for test
	// set-ups only, since then anybody on the path can be anyone.
	InsecureSkipVerify bool
	// RootCAs are trusted instead of the system's.
	RootCAs *x509.CertPool
	// DNS is net.DefaultResolver by default.
	DNS DNS
	// Dial opens TCP connections to homeservers; address is always ip:port and
	// has passed the check of AllowNetworks. A net.Dialer by default.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Rate is a token bucket for each client address. An IPv6 client is its /64. A
// trusted proxy that does not say for whom it asks is not limited: it stands
// for any number of clients.
type Rate struct {
	// PerSecond is 20 by default. Negative means no limit.
	PerSecond float64
	// Burst is 100 by default.
	Burst int
}

// Service answers the authorization API.
type Service struct {
	cfg        Config
	log        *slog.Logger
	policy     Policy
	lenient    bool
	lifetime   time.Duration
	verify     time.Duration
	fullAccess map[string]bool
	limiter    *limiter[netip.Addr]
	perUser    *limiter[string]
	perServer  *limiter[string]
	trusted    []netip.Prefix
	endpoints  map[string]*endpoint
	openid     *openID
	apis       *clientAPIs
	leaves     *leaves // nil: none can be handed over
	seats      *seats
	reports    *reports
	metrics    *metrics
	registry   prometheus.Registerer
	closed     atomic.Bool
	unnamed    atomic.Bool // a proxy that names nobody was logged

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
		cfg: cfg, log: o.Logger, policy: o.Policy, lenient: o.Lenient, lifetime: o.TokenLifetime, verify: o.VerifyTimeout,
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

func (s *Service) limits(o Options) {
	if o.Rate.PerSecond > 0 {
		s.limiter = newLimiter[netip.Addr](o.Rate, maxClients)
	}
	if q := o.Policy.PerUser; q.PerMinute > 0 {
		s.perUser = newLimiter[string](q.rate(), maxClients)
	}
	if q := o.Policy.PerServer; q.PerMinute > 0 {
		s.perServer = newLimiter[string](q.rate(), maxClients)
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
			store: s.cfg.Leaves, rules: leave.Rules{Check: o.SanityCheck, Grace: leaveGrace}, sfu: presence,
			act: (&delayed{s.apis, s.home}).act, log: o.Logger,
			seen: func(why leave.End) { s.metrics.ended.WithLabelValues(string(why)).Inc() },
		})
	}
	remover, _ := s.cfg.Rooms.(Remover)
	store := s.cfg.Seats
	if store == nil {
		store = jobs.Memory()
	}
	seats := &seats{
		store: store, interval: o.MembershipCheck, sfu: remover, presence: presence, leaves: s.leaves, log: o.Logger,
		removed: func(why string) { s.metrics.removed.WithLabelValues(why).Inc() },
	}
	if s.home != nil && s.home.token != "" {
		seats.server, seats.who = s.home.server, s.home
	}
	s.seats = startSeats(seats)
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = time.Hour
	}
	if o.VerifyTimeout == 0 {
		o.VerifyTimeout = 10 * time.Second
	}
	if o.MembershipCheck == 0 {
		o.MembershipCheck = 30 * time.Second
	}
	if o.Rate.PerSecond == 0 {
		o.Rate.PerSecond = 20
	}
	if o.Rate.Burst == 0 {
		o.Rate.Burst = 100
	}
	if o.TrustedProxies == nil {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if o.DNS == nil {
		o.DNS = net.DefaultResolver
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
}

func check(cfg Config, o Options) error {
	var errs []error
	if cfg.Key == "" || cfg.Secret == "" {
		errs = append(errs, errors.New("the SFU's API key and secret are needed"))
	}
	if u, err := url.Parse(cfg.SFUURL); err != nil || (u.Scheme != "ws" && u.Scheme != "wss") || u.Host == "" {
		errs = append(errs, fmt.Errorf("SFU URL %q: want ws://… or wss://…", cfg.SFUURL))
	}
	if cfg.Rooms == nil {
		errs = append(errs, errors.New("no Rooms: nothing could open a call"))
	}
	errs = append(errs, CheckFullAccess(cfg.FullAccess), CheckPolicy(o.Policy))
	for _, overrides := range []map[string]string{cfg.Overrides, cfg.ClientAPIs} {
		for name, base := range overrides {
			errs = append(errs, CheckOverride(name, base))
		}
	}
	if as := cfg.AppService; as != nil {
		if _, err := parseServerName(as.ServerName); err != nil {
			errs = append(errs, fmt.Errorf("application service: %w", err))
		}
		if as.ASToken != "" && as.ASToken == as.HSToken {
			errs = append(errs, errors.New("application service: the two tokens are the same"))
		}
	}
	if o.Policy.Publish == PublishLocal && cfg.AppService == nil && len(o.Policy.Local) == 0 {
		errs = append(errs, errors.New("publish local: no local server is named"))
	}
	if o.TokenLifetime < time.Minute || o.TokenLifetime > time.Hour {
		errs = append(errs, fmt.Errorf("token lifetime %v: want 1m to 1h", o.TokenLifetime))
	}
	if o.TokenWindow < 0 || o.TokenWindow > maxWindow {
		errs = append(errs, fmt.Errorf("token window %v: want 0 to %v", o.TokenWindow, maxWindow))
	}
	if o.SanityCheck < 0 {
		errs = append(errs, fmt.Errorf("sanity check every %v: want 0 (not at all) or more", o.SanityCheck))
	}
	return errors.Join(errs...)
}

// CheckFullAccess says what is wrong with a list of full-access servers, nil
// if nothing is.
func CheckFullAccess(names []string) error {
	if len(names) == 0 {
		return errors.New(`full access: no server name given; name your homeserver, or "*" for every server`)
	}
	if slices.Contains(names, AnyServer) {
		if len(names) > 1 {
			return errors.New(`full access: "*" stands alone; leave the other names out`)
		}
		return nil
	}
	var errs []error
	for _, n := range names {
		if _, err := parseServerName(n); err != nil {
			errs = append(errs, fmt.Errorf("full access: %w", err))
		}
	}
	return errors.Join(errs...)
}

// CheckServerName says what is wrong with a Matrix server name, nil if nothing
// is.
func CheckServerName(name string) error {
	_, err := parseServerName(name)
	return err
}

// CheckOverride says what is wrong with one override, nil if nothing is.
func CheckOverride(name, base string) error {
	if _, err := parseServerName(name); err != nil {
		return fmt.Errorf("override: %w", err)
	}
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("override of %s: want http://… or https://…", name)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("override of %s: a base URL has no user, query or fragment", name)
	}
	return nil
}

// Close makes every further request fail with 503, ends what goes on between
// requests and idle connections, and returns when that has ended, after 5 s at
// most. Requests under way go on; their end is the business of the http.Server. It
// may be called twice.
func (s *Service) Close() error {
	if !s.closed.Swap(true) && s.registry != nil {
		s.registry.Unregister(s.metrics)
	}
	s.seats.close()
	if s.leaves != nil {
		s.leaves.close()
	}
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
	if s.keys != nil {
		sizes["signing_keys"] = s.keys.size()
	}
	if s.limiter != nil {
		sizes["addresses"] = s.limiter.size()
	}
	return sizes
}
