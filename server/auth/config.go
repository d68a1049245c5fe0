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
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
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
	// SFUStarted says that the SFU has started with the Service: who was on it before
	// cannot be there yet, and has not left.
	SFUStarted bool
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
	// ID names us to the homeserver, as in our registration. It may be empty: then
	// the homeserver is not asked whether it reaches us.
	ID string
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
	// Watched says that somebody watches Matrix rooms and will call MemberGone and
	// MemberBack, so that it is worth knowing who has a token for which room. It
	// needs a Remover.
	Watched bool
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
		o.TrustedProxies = throttle.Loopback()
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

// CheckSigningKey says what is wrong with an AppService.SigningKey, nil if nothing
// is. It does not repeat it.
func CheckSigningKey(key Secret) error {
	_, err := xmatrix.ParseKey([]byte(key))
	return err
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
