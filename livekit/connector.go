package livekit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/livekit/server-sdk-go/v2"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/lklog"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Homeserver is what a Connector needs of the homeserver.
type Homeserver interface {
	// OpenIDToken asks for a new OpenID token and returns the homeserver's
	// answer as it is.
	OpenIDToken(ctx context.Context) (json.RawMessage, error)
}

// Options are the options of a Connector; nil gives the defaults.
type Options struct {
	// HTTPClient talks to authorization services. nil: one with a timeout of
	// 15 s. Redirects are never followed, whatever it says: they would carry
	// the user's OpenID token elsewhere.
	HTTPClient *http.Client
	// Logger; nil: discard.
	Logger *slog.Logger
}

// Connector connects to LiveKit SFUs. It has no state of its own and need not
// be closed.
type Connector struct {
	homeserver Homeserver
	client     *http.Client
	log        *slog.Logger
}

var _ media.Connector = (*Connector)(nil)

// quiet keeps the SDK's process-wide logger from writing to standard error.
var quiet sync.Once

// New makes a Connector for the account behind hs. opts may be nil.
func New(hs Homeserver, opts *Options) *Connector {
	quiet.Do(func() { lksdk.SetLogger(lklog.New(lklog.All{Logger: slog.New(slog.DiscardHandler)})) })
	if opts == nil {
		opts = &Options{}
	}
	client := http.Client{Timeout: 15 * time.Second}
	if opts.HTTPClient != nil {
		client = *opts.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Connector{homeserver: hs, client: &client, log: log}
}

// Supports reports whether the transport is a LiveKit one that names its
// authorization service.
func (k *Connector) Supports(t matrixrtc.Transport) bool {
	_, err := serviceURL(t)
	return err == nil
}

// serviceURL reads and checks where to ask for a token.
func serviceURL(t matrixrtc.Transport) (string, error) {
	lk, err := matrixrtc.As[matrixrtc.LiveKit](t)
	if err != nil {
		return "", fmt.Errorf("%w: %w", media.ErrUnsupported, err)
	}
	if lk.ServiceURL == "" {
		return "", fmt.Errorf("%w: it has no livekit_service_url", media.ErrUnsupported)
	}
	u, err := url.Parse(lk.ServiceURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("%w: livekit_service_url is not an http or https URL", media.ErrUnsupported)
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String(), nil
}

// firstRoomWait is how long Connect waits for a room that does not exist yet.
const firstRoomWait = 5 * time.Second

// Connect asks for a token and joins. The errors are media.ErrUnsupported,
// media.ErrRefused, *RefusedError, ErrServiceUnreachable, ErrSFUUnreachable,
// ErrNoRoom, those of the Homeserver, and ctx's.
func (k *Connector) Connect(ctx context.Context, p media.Params) (media.Conn, error) {
	service, err := serviceURL(p.Transport)
	if err != nil {
		return nil, err
	}
	if p.Self == nil {
		return nil, errors.New("livekit: Params.Self is missing")
	}
	c := newConn(k, service, p)
	s, err := c.firstJoin(ctx)
	if err != nil {
		c.cancel(err)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("connect to LiveKit by %s: %w", service, err)
	}
	c.start(s)
	return c, nil
}

// firstJoin joins, and waits a little if the room is not open yet: who opens
// it may be on the way.
func (c *conn) firstJoin(ctx context.Context) (*session, error) {
	begin := time.Now()
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		s, err := c.join(ctx)
		if !errors.Is(err, ErrNoRoom) || time.Since(begin)+wait > firstRoomWait {
			return s, err
		}
		if !sleep(ctx, wait) {
			return nil, err
		}
	}
}

// sleep waits and reports whether ctx is still running.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
