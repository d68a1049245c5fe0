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
)

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

// Config is what a Service needs to know. All fields but Overrides are
// required.
type Config struct {
	// Key and Secret sign the tokens; the SFU must know them.
	Key    string
	Secret Secret
	// SFUURL is the websocket URL of the SFU as clients reach it.
	SFUURL string
	// Rooms makes the rooms of full-access users.
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
}

// Options are optional; nil means the defaults.
type Options struct {
	// Logger gets one record for each request. Nil discards.
	Logger *slog.Logger
	// TokenLifetime is how long a token lets its holder join, 1 h by default
	// and at most.
	TokenLifetime time.Duration
	// VerifyTimeout bounds the whole check of one OpenID token, name
	// resolution included. 10 s by default.
	VerifyTimeout time.Duration
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
	lifetime   time.Duration
	verify     time.Duration
	fullAccess map[string]bool
	limiter    *limiter
	trusted    []netip.Prefix
	openid     *openID
	closed     atomic.Bool
	unnamed    atomic.Bool // a proxy that names nobody was logged
}

// New makes a Service. It does no I/O.
func New(cfg Config, opts *Options) (*Service, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.setDefaults()
	if err := check(cfg, o); err != nil {
		return nil, fmt.Errorf("authorization service: %w", err)
	}
	s := &Service{
		cfg: cfg, log: o.Logger, lifetime: o.TokenLifetime, verify: o.VerifyTimeout,
		fullAccess: make(map[string]bool), trusted: o.TrustedProxies,
		openid: newOpenID(cfg.Overrides, cfg.FullAccess, o),
	}
	if o.Rate.PerSecond > 0 {
		s.limiter = newLimiter(o.Rate, maxClients)
	}
	for _, name := range cfg.FullAccess {
		s.fullAccess[name] = true
	}
	return s, nil
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
	if err := CheckFullAccess(cfg.FullAccess); err != nil {
		errs = append(errs, err)
	}
	for name, base := range cfg.Overrides {
		if err := CheckOverride(name, base); err != nil {
			errs = append(errs, err)
		}
	}
	if o.TokenLifetime < time.Minute || o.TokenLifetime > time.Hour {
		errs = append(errs, fmt.Errorf("token lifetime %v: want 1m to 1h", o.TokenLifetime))
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

// Close makes every further request fail with 503 and ends idle connections.
// Requests under way go on; their end is the business of the http.Server.
func (s *Service) Close() error {
	s.closed.Store(true)
	s.openid.close()
	return nil
}

// hasFullAccess says whether users of a server may open calls.
func (s *Service) hasFullAccess(server string) bool {
	return s.fullAccess[AnyServer] || s.fullAccess[server]
}
