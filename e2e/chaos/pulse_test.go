//go:build linux

package chaos

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// pulse measures how long the machine itself keeps everybody waiting: how late a
// short sleep ends, and how long the homeserver takes for a state event that has
// nothing to do with anybody and that it is asked for without the site. The bounds
// of the tests are about what is tested, on a machine and a homeserver that do
// their work: they are extended by what is measured here, and by nothing else.
type pulse struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	late   []span    // sleeps, from when they should have ended
	slow   []span    // requests
	asking time.Time // since when the homeserver owes an answer; zero: it does not
}

// span is a time that something took.
type span struct{ from, to time.Time }

const (
	napping     = 50 * time.Millisecond  // a short sleep
	betweenAsks = 500 * time.Millisecond // from an answer to the next request
	// noticed is what is worth noting: less is within every bound.
	noticed = 250 * time.Millisecond
	// patience is the most that a bound is extended by. With it a bound is still far
	// from the end of a membership that nobody refreshes.
	patience = 20 * time.Second
)

// feel starts to measure a homeserver; the end of the test ends it.
func feel(t *testing.T, ctx context.Context, url string) *pulse {
	t.Helper()
	c, err := homeserver.Register(ctx, url, homeserver.Registration{User: "pulse", Password: rand.Text(), Device: "PULSE"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	room, err := c.CreateRoom(ctx, homeserver.NewRoom{Name: "pulse"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &pulse{cancel: cancel}
	p.wg.Go(func() { p.sleep(ctx) })
	p.wg.Go(func() { p.ask(ctx, c, room) })
	t.Cleanup(func() {
		cancel()
		p.wg.Wait()
		_ = c.Close()
	})
	return p
}

func (p *pulse) sleep(ctx context.Context) {
	timer := time.NewTimer(napping)
	defer timer.Stop()
	for {
		should := time.Now().Add(napping)
		timer.Reset(napping)
		select {
		case <-timer.C:
			p.note(&p.late, should, time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// ask states something again and again. A request that fails is no measure: the
// homeserver was broken on purpose, or is broken.
func (p *pulse) ask(ctx context.Context, c *homeserver.Client, room matrixrtc.RoomID) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		p.owes(began)
		_, err := c.Send(ctx, room, matrixrtc.Outgoing{Type: "chaos.pulse", StateKey: new(string), Content: fmt.Appendf(nil, `{"n":%d}`, n)})
		if err == nil {
			p.note(&p.slow, began, time.Now())
		}
		p.owes(time.Time{})
		timer.Reset(betweenAsks)
	}
}

func (p *pulse) owes(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking = since
}

func (p *pulse) note(list *[]span, from, to time.Time) {
	if to.Sub(from) < noticed {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	*list = append(*list, span{from, to})
}

// longest are the longest sleep and the longest request that were under way
// between a moment and now.
func (p *pulse) longest(from time.Time) (late, slow time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := func(list []span) (most time.Duration) {
		for _, s := range list {
			if s.to.After(from) {
				most = max(most, s.to.Sub(s.from))
			}
		}
		return most
	}
	late, slow = of(p.late), of(p.slow)
	if !p.asking.IsZero() {
		if owed := time.Since(p.asking); owed >= noticed {
			slow = max(slow, owed)
		}
	}
	return late, slow
}

// stall is what a bound is extended by that began at a moment. A site that could
// not look after what is due for some time lets it wait as long once more
// (docs/protocol.md R-GAP-8): that is why both count, though a machine that
// stands still holds up sleeps and homeserver alike.
func (p *pulse) stall(from time.Time) time.Duration {
	late, slow := p.longest(from)
	return min(late+slow, patience)
}

// String says what was measured in all.
func (p *pulse) String() string {
	late, slow := p.longest(time.Time{})
	return fmt.Sprintf("of the machine: a sleep was late by at most %.1f s, the homeserver took at most %.1f s for an event (bounds are extended by both)",
		late.Seconds(), slow.Seconds())
}
