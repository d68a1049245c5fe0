package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
	"github.com/matrixrtc-go/matrixrtc/server/sfu"
)

// ErrServed: Serve was called twice.
var ErrServed = errors.New("this server has been served already; make a new one")

// Options are optional; nil means the defaults.
type Options struct {
	// Logger nil discards.
	Logger *slog.Logger
	// Admin answers on the admin listener. Nil: there is no admin listener.
	Admin http.Handler
	// Watched says that somebody watches Matrix rooms and will call MemberGone and
	// MemberBack.
	Watched bool
	// Drain is how long the end waits for participants to leave the embedded
	// SFU by themselves. 0: 2 s; negative: not at all.
	Drain time.Duration
}

// Server is a site. It is made by New and runs in Serve.
type Server struct {
	cfg    Config
	opts   Options
	log    *slog.Logger
	token  Secret // of the admin listener
	key    string // of the SFU; empty: the SFU makes one, unless it is kept in a file
	secret Secret
	served atomic.Bool
	ready  chan struct{}

	// Written before ready is closed, read after.
	public, admin net.Addr
	base          string
	advertised    string
	source        clean.Source
	service       *service
}

// New checks a configuration (the error is a *ConfigError) and reads the files
// with secrets that it names. cfg is copied.
func New(cfg *Config, opts *Options) (*Server, error) {
	s := &Server{cfg: *cfg, ready: make(chan struct{})}
	if opts != nil {
		s.opts = *opts
	}
	s.log = s.opts.Logger
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	problems := s.cfg.problems()
	if len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	var err error
	if s.key, s.secret, err = s.cfg.sfuKeys(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if s.token, err = s.cfg.adminToken(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if s.cfg.Listen == "" {
		s.cfg.Listen = DefaultListen
	}
	if s.cfg.Admin.Listen == "" {
		s.cfg.Admin.Listen = DefaultAdminListen
	}
	return s, nil
}

// Ready is closed when the site answers. It stays open if Serve fails before.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// PublicAddr is the address of the public listener, nil before Ready.
func (s *Server) PublicAddr() net.Addr { return afterReady(s, &s.public) }

// AdminAddr is the address of the admin listener, nil before Ready or without
// one.
func (s *Server) AdminAddr() net.Addr { return afterReady(s, &s.admin) }

// URL is the public base URL, "" before Ready.
func (s *Server) URL() string { return afterReady(s, &s.base) }

// ServiceURL is the livekit_service_url of the site, "" before Ready.
func (s *Server) ServiceURL() string {
	if base := s.URL(); base != "" {
		return base + jwtPrefix
	}
	return ""
}

// Advertised says where clients are told to send media, for people to read:
// "192.0.2.1, udp 7882, tcp 7881", or the URL of the external SFU. "" before
// Ready.
func (s *Server) Advertised() string { return afterReady(s, &s.advertised) }

// DiscoveryJSON is what belongs into .well-known/matrix/client of the
// homeserver's name, nil before Ready.
func (s *Server) DiscoveryJSON() []byte {
	base := s.URL()
	if base == "" {
		return nil
	}
	out, err := json.MarshalIndent(s.wellKnown(base), "", "  ")
	if err != nil {
		return nil
	}
	return out
}

func afterReady[T any](s *Server, field *T) (value T) {
	select {
	case <-s.ready:
		return *field
	default:
		return value
	}
}

// MemberGone has a user removed from the SFU who has left a Matrix room, or was
// banned from it. Whoever watches rooms calls it, from any goroutine, and has to say
// so in Options.Watched. ctx bounds what is asked of the SFU; what could not be done
// is tried again. Before Ready nothing happens.
func (s *Server) MemberGone(ctx context.Context, room, user string) {
	if service := afterReady(s, &s.service); service != nil {
		service.MemberGone(ctx, room, user)
	}
}

// MemberBack says that a user has joined a Matrix room, and may be on the SFU again.
// It is called like MemberGone, in the order in which both happened.
func (s *Server) MemberBack(ctx context.Context, room, user string) {
	if service := afterReady(s, &s.service); service != nil {
		service.MemberBack(ctx, room, user)
	}
}

// Serve runs the site until ctx ends or a part of it fails, and returns when
// everything has ended: nil if that was because ctx ended. It can be called
// once.
func (s *Server) Serve(ctx context.Context) error {
	if !s.served.CompareAndSwap(false, true) {
		return ErrServed
	}
	publicL, err := listen("listen", s.cfg.Listen)
	if err != nil {
		return err
	}
	defer publicL.Close()
	var adminL *net.TCPListener
	if s.opts.Admin != nil && s.cfg.Admin.Listen != AdminOff {
		if adminL, err = listen("admin.listen", s.cfg.Admin.Listen); err != nil {
			return err
		}
		defer adminL.Close()
	}
	insideL, inside, err := s.listenInside()
	if err != nil {
		return err
	}
	if insideL != nil {
		defer insideL.Close()
	}
	base := publicURL(s.cfg.PublicURL, publicL.Addr())
	media, err := s.startMedia(ctx, base, inside)
	if err != nil {
		return err
	}
	defer media.close()
	in := newHealth(s.log)
	service, err := s.startAuth(ctx, media, in.registry, inside)
	if err != nil {
		return err
	}
	defer service.close()
	in.checks = append(in.checks, service.Ready)

	gap, err := s.startGapFill(ctx, base, in.registry)
	if err != nil {
		return err
	}

	group := newHTTPGroup(s.log)
	conns := s.connections(in.registry)
	routes := s.routes(service, media.handler, gap, in, group.polls, base)
	group.serve(group.base, publicL, conns.public, routes)
	if insideL != nil {
		group.serve(group.base, insideL, conns.inside, routes)
	}
	if adminL != nil {
		group.serve(group.streams, adminL, conns.admin, guardAdmin(s.adminPages(media.look(base), in), s.token))
		s.admin = adminL.Addr()
	}
	s.public, s.base, s.advertised, s.source = publicL.Addr(), base, media.advertised, media.look(base)
	s.service = service
	close(s.ready)
	admin := AdminOff
	if s.admin != nil {
		admin = s.admin.String()
	}
	s.log.Info("site is up", "public", s.public, "url", base, "admin", admin, "media", media.advertised)
	greeting, greeted := context.WithCancel(ctx)
	var beside sync.WaitGroup
	beside.Go(func() { service.Greet(greeting) })

	select {
	case <-ctx.Done():
	case err = <-group.failed:
	case <-media.done:
		err = errors.New("the SFU ended by itself")
	}
	s.log.Info("site is going down")
	greeted()
	beside.Wait()
	in.leaving.Store(true)
	return errors.Join(err, s.end(group, service, media), gap.close())
}

// end lets what is under way come to its end. Requests end by themselves or at the
// limit, websockets after the SFU.
func (s *Server) end(group *httpGroup, service *service, media *media) error {
	service.Drain()
	var wg sync.WaitGroup
	wg.Go(group.shutdown)
	mediaErr := media.close()
	wg.Wait()
	group.wait()
	return errors.Join(mediaErr, service.close())
}

// media is the SFU as the rest of the site sees it.
type media struct {
	url        string // websocket URL for clients
	key        string
	secret     Secret
	rooms      auth.Rooms
	handler    http.Handler // nil if external
	advertised string
	done       <-chan struct{} // nil if external
	close      func() error    // may be called twice
}

// startMedia starts the SFU if it is an embedded one. inside is where it reports.
func (s *Server) startMedia(ctx context.Context, base, inside string) (*media, error) {
	if s.cfg.SFU.URL != "" {
		client := newSFUClient(s.cfg.InsecureSkipVerify)
		rooms := sfu.NewRooms(httpURL(s.cfg.SFU.URL), s.key, string(s.secret), client)
		return &media{
			url: websocketURL(s.cfg.SFU.URL), key: s.key, secret: s.secret, rooms: rooms,
			advertised: websocketURL(s.cfg.SFU.URL),
			close:      func() error { rooms.CloseIdle(); client.CloseIdleConnections(); return nil },
		}, nil
	}
	if file := s.cfg.KeptKeyFile(); file != "" {
		var err error
		if s.key, s.secret, err = keptKey(file); err != nil {
			return nil, err
		}
	}
	conf, err := s.cfg.embedded(s.key, s.secret)
	if err != nil {
		return nil, err
	}
	conf.Drain, conf.Logger, conf.Webhook = s.opts.Drain, s.log.With("part", "sfu"), inside+authapi.PathWebhook
	lk, err := sfu.Start(ctx, conf)
	if err != nil {
		return nil, err
	}
	key, secret := lk.Key()
	if s.key == "" && !s.cfg.blockHasKeys() {
		s.log.Info("no SFU key was given: made one for this run", "key", key)
	}
	return &media{
		url: websocketURL(base) + sfuPrefix, key: key, secret: Secret(secret), rooms: lk,
		handler: lk.Handler(), advertised: lk.Advertised(), done: lk.Done(), close: lk.Close,
	}, nil
}

// blockHasKeys says whether the livekit block brings keys of its own.
func (c *Config) blockHasKeys() bool {
	var block struct {
		Keys map[string]any `yaml:"keys"`
	}
	return c.LiveKit.Decode(&block) == nil && len(block.Keys) > 0
}
