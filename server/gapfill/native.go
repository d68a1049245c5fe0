package gapfill

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	nativeFor   = 5 * time.Minute  // how long the answer of /versions counts
	nativeAgain = 10 * time.Second // when to ask again after none
)

// nativity is whether the homeserver has delayed events of its own.
type nativity struct {
	s *Service

	mu    sync.Mutex
	known bool
	has   bool
	next  time.Time // when to ask again
}

// speaks reports whether we speak for the homeserver about delayed events. As
// long as it never said whether it has them we do. Once it has, nobody waits for
// it to say so again (docs/protocol.md R-GAP-11).
func (n *nativity) speaks(ctx context.Context) bool {
	if m := n.s.cfg.Mode; m != Auto {
		return m == On
	}
	n.mu.Lock()
	now := n.s.clock.now()
	stale, known, has := !now.Before(n.next), n.known, n.has
	if stale {
		n.next = now.Add(nativeAgain) // one asks
	}
	n.mu.Unlock()
	switch {
	case stale && known:
		n.s.engine.later(n.ask)
	case stale:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hurry)
		defer cancel()
		n.ask(ctx)
		n.mu.Lock()
		defer n.mu.Unlock()
		has = n.has
	}
	return !has
}

func (n *nativity) ask(ctx context.Context) {
	a, err := n.s.up.do(ctx, ask{method: http.MethodGet, path: clientPath("versions")})
	if err != nil || a.status != http.StatusOK {
		return
	}
	var versions struct {
		Features map[string]any `json:"unstable_features"`
	}
	if json.Unmarshal(a.body, &versions) != nil {
		return
	}
	has := versions.Features[msc4140] == true || versions.Features[msc4140+".stable"] == true
	n.mu.Lock()
	defer n.mu.Unlock()
	if has != n.has || !n.known {
		n.s.log.Info("the homeserver was asked whether it has delayed events (MSC4140)", "has", has)
	}
	n.known, n.has, n.next = true, has, n.s.clock.now().Add(nativeFor)
}
