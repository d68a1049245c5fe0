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

	mu    sync.Mutex // held while asking: the others wait for the answer
	known bool
	has   bool
	next  time.Time // when to ask again
}

// speaks reports whether we speak for the homeserver about delayed events. As
// long as it never said whether it has them we do: nothing can be scheduled then,
// for nobody can be told from anybody else.
func (n *nativity) speaks(ctx context.Context) bool {
	if m := n.s.cfg.Mode; m != Auto {
		return m == On
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := n.s.clock.now(); now.Before(n.next) {
		return !n.has
	}
	// Who asks may go; the others wait for the answer all the same.
	a, err := n.s.up.do(context.WithoutCancel(ctx), ask{method: http.MethodGet, path: clientPath("versions")})
	n.next = n.s.clock.now().Add(nativeAgain)
	if err != nil || a.status != http.StatusOK {
		return !n.has
	}
	var versions struct {
		Features map[string]any `json:"unstable_features"`
	}
	if json.Unmarshal(a.body, &versions) != nil {
		return !n.has
	}
	has := versions.Features[msc4140] == true || versions.Features[msc4140+".stable"] == true
	if has != n.has || !n.known {
		n.s.log.Info("the homeserver was asked whether it has delayed events (MSC4140)", "has", has)
	}
	n.known, n.has, n.next = true, has, n.s.clock.now().Add(nativeFor)
	return !has
}
