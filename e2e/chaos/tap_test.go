//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// tap stands between the participants and the homeserver, as a reverse proxy
// stands in front of every homeserver, and writes down who asked for what, and
// what came of it. What is behind it being down, it breaks connections.
type tap struct {
	listener net.Listener
	server   *http.Server
	upstream *url.URL
	serving  sync.WaitGroup

	mu   sync.Mutex
	tell map[netip.Addr]listener
	hook map[netip.Addr]hook
}

// listener is whose requests are told to whom.
type listener struct {
	user matrixrtc.UserID
	tell func(*exchange)
}

// hook is told of a request before it goes on (done false) and when it has been
// answered, before the answer goes on (done true).
type hook func(e *exchange, done bool)

// exchange is one request, with its answer.
type exchange struct {
	user   matrixrtc.UserID
	at     time.Time
	took   time.Duration // until there was an answer, or would be none
	method string
	path   string // decoded, without /_matrix/client
	query  url.Values
	asked  []byte
	status int // 0: no answer
	answer []byte
}

// maxTapped is how much of a body is looked at.
const maxTapped = 64 << 10

func newTap(upstream string) (*tap, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", bridgeAddr.String()+":0")
	if err != nil {
		return nil, err
	}
	t := &tap{listener: ln, upstream: u, tell: map[netip.Addr]listener{}, hook: map[netip.Addr]hook{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.SetXForwarded()
		},
		Transport:      &http.Transport{MaxIdleConnsPerHost: 256},
		FlushInterval:  -1,
		ModifyResponse: keepAnswer,
		ErrorLog:       log.New(io.Discard, "", 0), // broken connections are what this is about
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	t.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.serve(proxy, w, r) }),
	}
	t.serving.Go(func() { _ = t.server.Serve(ln) }) // ends with close
	return t, nil
}

func (t *tap) url() string { return "http://" + t.listener.Addr().String() }

func (t *tap) close() {
	_ = t.server.Close()
	t.serving.Wait()
}

// listen has all exchanges of a host told, which are those of that user.
func (t *tap) listen(addr netip.Addr, user matrixrtc.UserID, tell func(*exchange)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell[addr] = listener{user, tell}
}

// catch puts a hook on a host's requests; nil takes it off.
func (t *tap) catch(addr netip.Addr, h hook) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hook[addr] = h
}

type exchangeKey struct{}

func (t *tap) serve(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	t.mu.Lock()
	to, hook := t.tell[from.Addr()], t.hook[from.Addr()]
	t.mu.Unlock()
	e := &exchange{user: to.user, at: time.Now(), method: r.Method, path: strings.TrimPrefix(r.URL.Path, "/_matrix/client"), query: r.URL.Query()}
	if to.tell == nil || e.path == "/v3/sync" {
		proxy.ServeHTTP(w, r)
		return
	}
	if body, err := io.ReadAll(io.LimitReader(r.Body, maxTapped)); err == nil {
		e.asked = body
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if hook != nil {
		hook(e, false)
	}
	defer func() {
		if e.took == 0 {
			e.took = time.Since(e.at)
		}
		to.tell(e)
	}()
	proxy.ServeHTTP(w, r.WithContext(withExchange(r.Context(), e, hook)))
}

// keepAnswer writes the answer down before it goes on.
func keepAnswer(r *http.Response) error {
	e, hook := exchangeOf(r.Request.Context())
	if e == nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxTapped))
	if err != nil {
		return err
	}
	// Whoever gets the answer may ask the next thing before we are done with this one.
	e.status, e.answer, e.took = r.StatusCode, body, time.Since(e.at)
	r.Body = readAndClose{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	if hook != nil {
		hook(e, true)
	}
	return nil
}

type readAndClose struct {
	io.Reader
	io.Closer
}

// answered reports whether the homeserver did what it was asked.
func (e *exchange) answered() bool { return e.status == http.StatusOK }

// What a request is for, as far as memberships go.
type purpose string

const (
	arms     purpose = "arm"
	restarts purpose = "restart"
	fires    purpose = "send delayed"
	cancels  purpose = "cancel"
	lists    purpose = "list delayed"
	states   purpose = "state"
	leaves   purpose = "leave"
	other    purpose = ""
)

// purpose says what the request is for, and which delayed event it is about.
func (e *exchange) purpose() (p purpose, delay string) {
	parts := strings.Split(strings.Trim(e.path, "/"), "/")
	has := func(name string) int {
		for i, x := range parts {
			if x == name {
				return i
			}
		}
		return -1
	}
	delayed := e.query.Has("org.matrix.msc4140.delay") || has("delayed_event") >= 0
	switch i := has("delayed_events"); {
	case i >= 0 && e.method == http.MethodGet:
		return lists, ""
	case i >= 0 && len(parts) > i+1:
		action := ""
		if len(parts) > i+2 {
			action = parts[i+2] // MSC4140 as it reads now
		} else {
			var body struct{ Action string }
			_ = json.Unmarshal(e.asked, &body)
			action = body.Action
		}
		return map[string]purpose{"restart": restarts, "send": fires, "cancel": cancels}[action], parts[i+1]
	case e.method != http.MethodPut:
		return other, ""
	case delayed:
		var answer struct {
			Delay string `json:"delay_id"`
		}
		_ = json.Unmarshal(e.answer, &answer)
		return arms, answer.Delay
	}
	ev := matrixrtc.Event{Room: "!room", Sender: e.user, Origin: e.at, Content: e.asked}
	if i := has("state"); i >= 0 && len(parts) > i+2 {
		ev.Type, ev.StateKey = parts[i+1], &parts[i+2]
	} else if i := has("send"); i >= 0 && len(parts) > i+1 {
		ev.Type, ev.Sticky = parts[i+1], time.Hour
	}
	switch {
	case !isMembership(&ev):
		return other, ""
	case statesMembership(&ev):
		return states, ""
	}
	return leaves, ""
}

// isMembership reports whether an event is one by which devices say that they
// are in, or that they have left.
func isMembership(e *matrixrtc.Event) bool {
	return slices.ContainsFunc(matrixrtc.DefaultDialects(), func(d matrixrtc.Dialect) bool { return d.Reads(e) })
}

// statesMembership reports whether an event is a membership, not a leave.
func statesMembership(e *matrixrtc.Event) bool {
	for _, d := range matrixrtc.DefaultDialects() {
		if d.Reads(e) {
			return len(d.Decode(e).Members) > 0
		}
	}
	return false
}

// String is the exchange in a line.
func (e *exchange) String() string {
	p, delay := e.purpose()
	what := string(p)
	if p == other {
		what = e.method + " " + e.path
	}
	if delay != "" {
		what += " " + delay
	}
	status := "no answer"
	if e.status != 0 {
		status = fmt.Sprint(e.status)
	}
	line := fmt.Sprintf("%s: %s in %d ms", what, status, e.took.Milliseconds())
	if e.status >= 400 {
		line += " " + string(e.answer[:min(len(e.answer), 200)])
	}
	return line
}

type tapped struct {
	e    *exchange
	hook hook
}

func withExchange(ctx context.Context, e *exchange, h hook) context.Context {
	return context.WithValue(ctx, exchangeKey{}, tapped{e, h})
}

func exchangeOf(ctx context.Context) (*exchange, hook) {
	t, _ := ctx.Value(exchangeKey{}).(tapped)
	return t.e, t.hook
}
