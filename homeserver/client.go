package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"

	"github.com/matrixrtc-go/matrixrtc"
)

// Options are the options of a Client; nil or the zero value gives the
// defaults.
type Options struct {
	// HTTP makes the requests. Its Timeout is ignored: every request has its
	// own. Nil: a client of our own with its own connections.
	HTTP *http.Client
	// Logger receives what happens, without bodies and tokens; nil: discard.
	Logger *slog.Logger
	// Save is called with the new credentials after every login and whenever
	// tokens were renewed, so that a restart finds them; Store.Save fits. Nil:
	// they are not kept. It must not call the Client.
	Save func(Credentials) error
	// DeviceName is the display name of a device that a login makes;
	// "": "matrixrtc".
	DeviceName string
	// WellKnown is the URL of the document that Transports reads at last,
	// instead of https://<server name>/.well-known/matrix/client.
	WellKnown string
	// UserAgent of every request; "": "matrixrtc".
	UserAgent string
}

// Client is one logged-in device at one homeserver.
type Client struct {
	mx        *mautrix.Client
	log       *slog.Logger
	save      func(Credentials) error
	wellKnown string
	device    string // display name for a new device

	mu    sync.Mutex // guards what follows; held for no I/O
	creds Credentials
	offer *offer // what /versions says, once known
	forms delayForms
	// neverDelay: it has sent at once what it should have held back.
	neverDelay bool

	renewing chan struct{} // holds one while the tokens are renewed: one at a time
	contact  chan struct{} // holds one when an event was sent since Sync last lost contact
	members  memberCache
	// noWholeEvents: the homeserver answers for a state event with its content
	// alone.
	noWholeEvents atomic.Bool
}

// Open makes a client of stored credentials. Nothing is asked of the
// homeserver: that the credentials hold shows with the first request, or with
// Check. opts may be nil.
func Open(creds Credentials, opts *Options) (*Client, error) {
	if creds.UserID == "" || creds.AccessToken == "" {
		return nil, fmt.Errorf("%w: the credentials lack a user or an access token", ErrNoCredentials)
	}
	c, err := newClient(creds.Homeserver, opts)
	if err != nil {
		return nil, err
	}
	c.creds = creds
	return c, nil
}

// newClient makes a client that is not logged in.
func newClient(base string, opts *Options) (*Client, error) {
	if opts == nil {
		opts = &Options{}
	}
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	mx, err := mautrix.NewClient(u.String(), "", "")
	if err != nil {
		return nil, fmt.Errorf("homeserver URL %q: %w", base, err)
	}
	c := &Client{mx: mx, log: opts.Logger, save: opts.Save, wellKnown: opts.WellKnown, device: opts.DeviceName,
		renewing: make(chan struct{}, 1), contact: make(chan struct{}, 1)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.device == "" {
		c.device = "matrixrtc"
	}
	mx.Client = &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}}
	if opts.HTTP != nil {
		own := *opts.HTTP
		own.Timeout = 0
		mx.Client = &own
	}
	if mx.Client.CheckRedirect == nil {
		mx.Client.CheckRedirect = checkRedirect
	}
	mx.UserAgent = opts.UserAgent
	if mx.UserAgent == "" {
		mx.UserAgent = "matrixrtc"
	}
	// mautrix logs bodies and full URLs through zerolog: silence that, and log
	// the little that is safe ourselves.
	mx.Log = zerolog.Nop()
	mx.ResponseHook = c.logRequest
	mx.IgnoreRateLimit = true
	return c, nil
}

// checkRedirect follows a few redirects, but never from TLS to clear text: the
// access token would go along.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("it redirects from https to " + req.URL.Scheme)
	}
	if len(via) >= 5 {
		return errors.New("it redirects too often")
	}
	return nil
}

// parseBase accepts a base URL with a scheme and a host and nothing secret.
func parseBase(base string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("homeserver URL %q: want http://host[:port] or https://host[:port]", base)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("homeserver URL: give it without user, query and fragment")
	}
	return u, nil
}

// logRequest logs one request: no query, no headers, no body.
func (c *Client) logRequest(req *http.Request, resp *http.Response, err error, took time.Duration) {
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	c.log.DebugContext(req.Context(), "request", "method", req.Method, "path", req.URL.Path, "status", status,
		"failed", err != nil, "took", took)
}

// Self is the user and the device of this login.
func (c *Client) Self() (matrixrtc.UserID, matrixrtc.DeviceID) {
	creds := c.Credentials()
	return creds.UserID, creds.DeviceID
}

// Credentials are the present credentials, tokens included.
func (c *Client) Credentials() Credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.creds
}

// Close gives back the idle connections. Requests under way are not ended: end
// their contexts. The login stays: see Logout.
func (c *Client) Close() error {
	c.mx.Client.CloseIdleConnections()
	return nil
}

// offer is what /versions says that matters to us.
type offer struct {
	stateAfter string // query parameter of MSC4222, "" if not offered
	sticky     bool   // MSC4354
	delays     bool   // MSC4140
	// delaysStable: under its stable names.
	delaysStable bool
}

// offered asks /versions once and remembers the answer.
func (c *Client) offered(ctx context.Context) (offer, error) {
	c.mu.Lock()
	known := c.offer
	c.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	var answer struct {
		Versions []string                   `json:"versions"`
		Unstable map[string]json.RawMessage `json:"unstable_features"`
	}
	_, err := c.do(ctx, request{op: "ask for versions", method: http.MethodGet, path: []any{"versions"}, out: &answer,
		anonymous: true})
	if err != nil {
		return offer{}, err
	}
	has := func(name string) bool { return string(answer.Unstable[name]) == "true" }
	o := offer{
		sticky:       has("org.matrix.msc4354") || has("org.matrix.msc4354.stable"),
		delays:       has(delays) || has(delays+".stable"),
		delaysStable: has(delays + ".stable"),
	}
	switch {
	case has("org.matrix.msc4222.stable") || listsVersion(answer.Versions, 16):
		o.stateAfter = "use_state_after"
	case has("org.matrix.msc4222"):
		o.stateAfter = "org.matrix.msc4222.use_state_after"
	}
	c.mu.Lock()
	o.delays = o.delays && !c.neverDelay
	c.offer = &o
	c.mu.Unlock()
	return o, nil
}

// forgetOffer makes the next question go to the homeserver: after an outage it
// may be another version. In which form delayed events are managed is kept: a
// restart in the middle of the outage must not wait for /versions, and a
// homeserver that has changed its mind does not recognise it.
func (c *Client) forgetOffer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offer, c.forms.schedule = nil, anyForm
}

// delayForms are the forms of delayed events that have worked.
func (c *Client) delayForms() delayForms {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.forms
}

func (c *Client) rememberForms(set func(*delayForms)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set(&c.forms)
}

// denyDelays notes that the homeserver has no delayed events, whatever it says.
func (c *Client) denyDelays() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.neverDelay = true
	if c.offer != nil {
		o := *c.offer
		o.delays = false
		c.offer = &o
	}
}

// listsVersion reports whether a version v1.minor or later is listed.
func listsVersion(versions []string, minor int) bool {
	for _, v := range versions {
		var n int
		if _, err := fmt.Sscanf(v, "v1.%d", &n); err == nil && n >= minor {
			return true
		}
	}
	return false
}
