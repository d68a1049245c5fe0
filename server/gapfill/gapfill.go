package gapfill

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// Mode says when a Service speaks for the homeserver about delayed events.
type Mode string

const (
	// Auto: while the homeserver's /versions does not name MSC4140.
	Auto Mode = "auto"
	// On: always.
	On Mode = "on"
	// Off: never. What is kept from before is still sent.
	Off Mode = "off"
)

// Config is what a Service needs.
type Config struct {
	// Homeserver is the base URL of the homeserver's client-server API, as it is
	// reached from here: "http://localhost:8008".
	Homeserver string
	// Store keeps the events. It stays open when the Service is closed.
	Store Store
	// Key encrypts access tokens while they are kept: KeySize bytes, the same ones
	// each time (see LoadKey).
	Key []byte
	// ASToken is the as_token of an application service that may act as the users
	// of the homeserver. Events of those users are sent in this way, and no access
	// token is kept for them. Empty: there is none.
	ASToken string
	// Mode is Auto if empty.
	Mode Mode
	// Transports is what the list of transports holds (MSC4143), each a JSON
	// object. Empty: the homeserver is asked.
	Transports []json.RawMessage
}

// Options are optional; nil means the defaults.
type Options struct {
	// Logger nil discards. No record has a token or a delay id.
	Logger *slog.Logger
	// Metrics gets the Service's collectors. Nil: nobody does.
	Metrics prometheus.Registerer
	// MaxDelay is how long an event can be held back: 24 h if 0.
	MaxDelay time.Duration
	// MaxScheduled is how many events a user can have scheduled at a time, 100 if
	// 0; MaxTotal is how many all of them can have, 100 000 if 0.
	MaxScheduled, MaxTotal int
	// RequireAuth wants an access token for actions on delayed events. Without it
	// the delay id is enough, as deployed homeservers have it, and as services that
	// look after a client's leave rely on. Whoever brings a token is held to it in
	// any case.
	RequireAuth bool
	// Retention is how long it is remembered what became of an event: 1 h if 0.
	Retention time.Duration
	// UserRate limits what one user asks of delayed events: 10 a second, 100 at
	// once, if zero. AddressRate limits what an address asks without a token that
	// is known already: 50 a second, 500 at once. A negative PerSecond means no
	// limit.
	UserRate, AddressRate throttle.Rate
	// TrustedProxies are the networks whose X-Forwarded-For is believed. Nil:
	// loopback; an empty slice that is not nil trusts nobody.
	TrustedProxies []netip.Prefix
	// AnswerTimeout bounds how long the homeserver may take to begin an answer to
	// a request that is handed on. 10 minutes if 0: clients wait long for news.
	AnswerTimeout time.Duration
	// InsecureSkipVerify accepts any certificate of the homeserver. Anybody on the
	// path can then be the homeserver.
	InsecureSkipVerify bool
	// Transport carries requests to the homeserver, for tests. Nil: one of the
	// Service's own, with the bounds named here.
	Transport http.RoundTripper
}

// Bounds that nobody has asked to set.
const (
	maxBody     = 64 << 10 // of a request about delayed events
	maxAnswer   = 1 << 20  // of an answer of the homeserver that is read
	askTimeout  = 10 * time.Second
	hurry       = 1500 * time.Millisecond // what a client that says it is alive may wait for
	maxSticky   = time.Hour               // MSC4354
	finalKept   = 100_000
	rememberMax = 16384 // users, tokens, addresses
)

// Service is gap-fill for one homeserver.
type Service struct {
	cfg        Config
	opts       Options
	log        *slog.Logger
	store      Store
	up         *upstream
	seal       *sealer
	clock      *clock
	who        *verifier
	native     *nativity
	engine     *engine
	metrics    *metrics
	users      *throttle.Limiter[string]
	addresses  *throttle.Limiter[netip.Addr]
	transports []byte
	proxy      http.Handler
	running    sync.WaitGroup
	stop       context.CancelFunc
}

// New checks the configuration and starts to send what is due.
func New(cfg Config, opts *Options) (*Service, error) {
	return newService(cfg, opts, realClock())
}

func newService(cfg Config, opts *Options, c *clock) (*Service, error) {
	s := &Service{cfg: cfg, store: cfg.Store, clock: c}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.setDefaults()
	s.log = s.opts.Logger
	if err := s.init(); err != nil {
		return nil, fmt.Errorf("delayed events: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.engine = newEngine(s)
	s.running.Go(func() { s.engine.run(ctx) })
	s.running.Go(func() { s.engine.follow(ctx) })
	return s, nil
}

func (s *Service) init() error {
	if s.cfg.Mode == "" {
		s.cfg.Mode = Auto
	}
	if m := s.cfg.Mode; m != Auto && m != On && m != Off {
		return fmt.Errorf("there is no mode %q: want %s, %s or %s", m, Auto, On, Off)
	}
	if s.store == nil {
		return errors.New("there is no store: open one with OpenStore")
	}
	base, err := url.Parse(s.cfg.Homeserver)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.User != nil {
		return errors.New("the homeserver's URL is none: want http://host:port or https://host")
	}
	if s.seal, err = newSealer(s.cfg.Key); err != nil {
		return err
	}
	if s.transports, err = transportList(s.cfg.Transports); err != nil {
		return err
	}
	if s.metrics, err = newMetrics(s.opts.Metrics); err != nil {
		return err
	}
	s.up = newUpstream(base, &s.opts)
	s.who = newVerifier(s)
	s.native = &nativity{s: s}
	s.users = throttle.NewLimiter[string](s.opts.UserRate, rememberMax)
	s.addresses = throttle.NewLimiter[netip.Addr](s.opts.AddressRate, rememberMax)
	s.proxy = s.newProxy()
	return nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		is *time.Duration
		by time.Duration
	}{{&o.MaxDelay, 24 * time.Hour}, {&o.Retention, time.Hour}, {&o.AnswerTimeout, 10 * time.Minute}} {
		if *d.is <= 0 {
			*d.is = d.by
		}
	}
	if o.MaxScheduled <= 0 {
		o.MaxScheduled = 100
	}
	if o.MaxTotal <= 0 {
		o.MaxTotal = 100_000
	}
	if o.UserRate == (throttle.Rate{}) {
		o.UserRate = throttle.Rate{PerSecond: 10, Burst: 100}
	}
	if o.AddressRate == (throttle.Rate{}) {
		o.AddressRate = throttle.Rate{PerSecond: 50, Burst: 500}
	}
	if o.TrustedProxies == nil {
		o.TrustedProxies = throttle.Loopback()
	}
}

// Close stops sending: what is under way is given a moment to end, and the rest
// stays in the store. It returns when everything has ended. Requests must have
// ended before.
func (s *Service) Close() error {
	s.stop()
	s.running.Wait()
	s.up.close()
	return nil
}

// newID makes a delay id: nobody guesses it.
func newID() string { return rand.Text() }
