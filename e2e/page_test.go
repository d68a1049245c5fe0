package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
	"github.com/matrixrtc-go/matrixrtc/internal/stage"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestStatusPage looks at the status page while the demo plays, with a real
// browser, and holds it against what the onlooker computes.
//
// MATRIXRTC_PICTURES=DIR keeps a picture of it: docs/status.png is one.
func TestStatusPage(t *testing.T) {
	chromium := pagetest.Start(t)
	c := newCall(t)
	demo, err := c.stage.NewDemo(c.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.do("everyone joins", demo.Join)
	page := &page{t, chromium.Open(t, c.stage.StatusURL(), pagetest.Scheme("light"))}
	page.Size(1180, 900, 1.5)
	page.shows(c.stage)

	play := newPlay(t, c.ctx, demo)
	for _, fate := range []string{"@bob:hs.localhost", "@carol:hs.localhost"} {
		// bob left by himself, for carol the site did, long before she expires.
		const want = "left"
		page.until(fmt.Sprintf(`[...document.querySelectorAll('#lately li')].some((n) => n.innerText.includes(%q) && n.innerText.includes(%q))`, fate, want))
	}
	page.until(`document.querySelectorAll('.plot .bar').length === 5`) // bob came back: a second bar
	page.shows(c.stage)
	page.moves()
	page.until(`(document.querySelector('#spans button').click(), document.querySelector('#spans button').getAttribute('aria-pressed') === 'true')`)
	page.picture("status")
	play.stop()
	page.shows(c.stage)
}

// play is the demo's play, running.
type play struct {
	t    *testing.T
	stop func()
}

func newPlay(t *testing.T, ctx context.Context, demo *stage.Demo) *play {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- demo.Play(ctx) }()
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				demo.Show(now)
			}
		}
	}()
	p := &play{t: t}
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-shown
		if err := <-done; err != nil {
			t.Errorf("the play: %v", err)
		}
	}
	t.Cleanup(p.stop)
	return p
}

// page is the open status page.
type page struct {
	t *testing.T
	*pagetest.Tab
}

func (p *page) until(expression string) {
	p.t.Helper()
	p.Until(60*time.Second, expression)
}

// shows waits until the page lists exactly the members that the onlooker
// computes, each with its dialect and transport.
func (p *page) shows(s *stage.Stage) {
	p.t.Helper()
	rtctest.Eventually(p.t, 30*time.Second, "the page shows what is true", func() (bool, string) {
		rows, err := pagetest.Try[[]string](p.Tab, `[...document.querySelectorAll('tr.member')].map((n) => n.innerText.replace(/\s+/g, ' '))`)
		if err != nil {
			return false, err.Error()
		}
		n := 0
		for _, session := range s.Sessions() {
			for _, m := range session.Members() {
				if n >= len(rows) {
					return false, fmt.Sprintf("only %q", rows)
				}
				for _, want := range []string{string(m.User), string(m.Device), string(m.Dialect), m.Active.Type} {
					if !strings.Contains(rows[n], want) {
						return false, fmt.Sprintf("row %d is %q, without %q", n, rows[n], want)
					}
				}
				n++
			}
		}
		return n == len(rows), fmt.Sprintf("%d members are there, %d rows: %q", n, len(rows), rows)
	})
}

// moves waits until the picture has moved by itself.
func (p *page) moves() {
	p.t.Helper()
	const width = `Math.max(...[...document.querySelectorAll('.plot .bar')].map((n) => n.getBoundingClientRect().left))`
	at := pagetest.Eval[float64](p.Tab, width)
	p.until(fmt.Sprintf("%s < %f", width, at))
}

func (p *page) picture(name string) {
	p.t.Helper()
	png := p.Picture()
	dir := os.Getenv("MATRIXRTC_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
