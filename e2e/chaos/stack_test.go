//go:build linux

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// serverKind is a homeserver that the scenarios run on.
type serverKind string

const (
	dendrite serverKind = "dendrite" // behind the site's gap-fill
	synapse  serverKind = "synapse"
)

const serverName = "chaos.localhost"

var dialects = map[matrixrtc.DialectName]matrixrtc.Dialect{
	matrixrtc.DialectDraft: matrixrtc.Draft, matrixrtc.DialectCall: matrixrtc.Call,
	matrixrtc.DialectSticky: matrixrtc.Sticky, matrixrtc.DialectSlot: matrixrtc.Slot,
}

// theWire is the network of this process: its namespaces hold one.
var theWire = sync.OnceValues(func() (*wire, error) { return newWire(context.Background()) })

// stacks counts them, for names.
var stacks atomic.Int32

// stack is a homeserver and a site on the wire, and the tap in front of them.
// Any number of runs may use it at the same time, if they leave it alone.
type stack struct {
	server           serverKind
	name             string
	wire             *wire
	hsHost, siteHost *host
	hs               *part
	tap              *tap
	asker            *http.Client
	store            string // of gap-fill; "": the homeserver lacks nothing
	pulse            *pulse
	started          time.Duration // how long the homeserver's start took

	mu   sync.Mutex
	site *part
	runs int
}

// startTimeout is for all of it, on a busy machine.
const startTimeout = 2 * time.Minute

func newStack(t *testing.T, server serverKind) *stack {
	t.Helper()
	needServer(t, server)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	w, err := theWire()
	if err != nil {
		t.Fatal(err)
	}
	n := stacks.Add(1)
	s := &stack{server: server, name: fmt.Sprintf("s%d", n), wire: w, asker: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	t.Cleanup(s.asker.CloseIdleConnections)
	if server == dendrite {
		s.store = filepath.Join(inMemory, s.name+"-delayed.db")
	}
	if s.hsHost, err = w.plug(ctx, s.name+"-hs"); err != nil {
		t.Fatal(err)
	}
	if s.siteHost, err = w.plug(ctx, s.name+"-site"); err != nil {
		t.Fatal(err)
	}
	if s.hs, err = startPart(w, s.hsHost, "homeserver", string(server), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.hs.stop)
	began := time.Now()
	if err := s.hs.do(ctx, "start", homeserverArg{Server: server, Listen: s.hsHost.addr.String() + ":" + hsPort}, nil); err != nil {
		t.Fatal(err)
	}
	s.started = time.Since(began)
	if s.tap, err = newTap(s.upstream()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.tap.close)
	if err := s.startSite(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.sitePart().stop() })
	s.pulse = feel(t, ctx, s.homeserverURL())
	return s
}

const hsPort = "8008"

func (s *stack) homeserverURL() string { return "http://" + s.hsHost.addr.String() + ":" + hsPort }
func (s *stack) siteURL() string       { return "http://" + s.siteHost.addr.String() + ":" + sitePort }

// service is the URL of the authorization service.
func (s *stack) service() string { return s.siteURL() + "/livekit/jwt" }

// upstream is what participants reach as their homeserver.
func (s *stack) upstream() string {
	if s.store != "" {
		return s.siteURL()
	}
	return s.homeserverURL()
}

// startSite starts the site, with what an earlier one has left.
func (s *stack) startSite(ctx context.Context) error {
	site, err := startPart(s.wire, s.siteHost, "site", "the site", nil)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.site = site
	s.mu.Unlock()
	return site.do(ctx, "start", siteArg{Addr: s.siteHost.addr.String(), Homeserver: s.homeserverURL(), Store: s.store}, nil)
}

func (s *stack) sitePart() *part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.site
}

// homeserverLogs is the end of what the homeserver writes, and then what the part
// does that runs it.
func (s *stack) homeserverLogs(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var logs string
	if err := s.hs.do(ctx, "logs", nil, &logs); err != nil {
		logs = err.Error()
	}
	return logs + "\n" + s.hs.logs.String()
}

// number is the next of a run on this stack.
func (s *stack) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	return s.runs
}
