package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/stage"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestStatusPage looks at the status page while the demo plays, with a real
// browser, and holds it against what the onlooker computes.
//
// MATRIXRTC_PICTURES=DIR keeps a picture of it: docs/status.png is one.
func TestStatusPage(t *testing.T) {
	path, err := devstack.Chromium()
	if err != nil {
		t.Skip("needs chromium: apt-get install chromium")
	}
	c := newCall(t)
	demo, err := c.stage.NewDemo(c.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.do("everyone joins", demo.Join)
	page := look(t, path, c.stage.StatusURL())
	page.shows(c.stage)

	play := newPlay(t, c.ctx, demo)
	for _, fate := range []string{"@bob:hs.localhost", "@carol:hs.localhost"} {
		// bob left by himself, carol's membership ran out; both are told so.
		want := map[string]string{"@bob:hs.localhost": "left", "@carol:hs.localhost": "expired"}[fate]
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

// browser is one open page.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func look(t *testing.T, path, url string) *browser {
	t.Helper()
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir())}
	for _, f := range append(devstack.ChromiumFlags(), "hide-scrollbars") {
		opts = append(opts, chromedp.Flag(f, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	light := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "light"}
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{light}})
		return err
	}), chromedp.EmulateViewport(1180, 900, chromedp.EmulateScale(1.5)), chromedp.Navigate(url))
	if err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return &browser{t, ctx}
}

func (b *browser) text() string {
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

func (b *browser) until(expression string) {
	b.t.Helper()
	rtctest.Eventually(b.t, 60*time.Second, expression, func() (bool, string) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return true, ""
		}
		return false, fmt.Sprintf("%v, and a page that says:\n%s", err, b.text())
	})
}

// shows waits until the page lists exactly the members that the onlooker
// computes, each with its dialect and transport.
func (b *browser) shows(s *stage.Stage) {
	b.t.Helper()
	rtctest.Eventually(b.t, 30*time.Second, "the page shows what is true", func() (bool, string) {
		var rows []string
		rows, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](
			`[...document.querySelectorAll('tr.member')].map((n) => n.innerText.replace(/\s+/g, ' '))`))
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
func (b *browser) moves() {
	b.t.Helper()
	const width = `Math.max(...[...document.querySelectorAll('.plot .bar')].map((n) => n.getBoundingClientRect().left))`
	at, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64](width))
	if err != nil {
		b.t.Fatal(err)
	}
	b.until(fmt.Sprintf("%s < %f", width, at))
}

func (b *browser) picture(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	dir := os.Getenv("MATRIXRTC_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
