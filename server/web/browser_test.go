package web

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
)

// startBrowser starts one Chromium for a test; its tabs share it.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := devstack.Chromium()
	if err != nil {
		t.Skip("needs chromium: apt-get install chromium")
	}
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir())}
	for _, f := range devstack.ChromiumFlags() {
		opts = append(opts, chromedp.Flag(f, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// tab is one page in the browser. When the test ends it checks that the page
// has said nothing on its console: no error, no violation of its policy.
type tab struct {
	t   *testing.T
	ctx context.Context
	// mayComplain is set by a test that takes the server away on purpose.
	mayComplain bool
}

func openTab(t *testing.T, browser context.Context, url string, media ...*emulation.MediaFeature) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	p := &tab{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	said := make(chan []string, 1)
	go func() {
		var all []string
		for m, err := range messages {
			if err != nil {
				break
			}
			all = append(all, m.String())
		}
		said <- all
	}()
	t.Cleanup(func() {
		stop()
		cancel()
		if all := <-said; len(all) > 0 && !p.mayComplain {
			t.Errorf("the page complained:\n%s", strings.Join(all, "\n"))
		}
	})
	err := chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: media})
		return err
	}), chromedp.Navigate(url))
	if err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	return p
}

// eval returns the value of a JavaScript expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// until waits for a JavaScript expression to become true.
func (p *tab) until(expression string) {
	p.t.Helper()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			p.t.Fatalf("waited in vain for %s (last error: %v); the page says:\n%s", expression, err, text)
		}
	}
}

func serve(t *testing.T, b *Board) string {
	t.Helper()
	s := httptest.NewServer(b.Handler())
	t.Cleanup(func() {
		b.Close()
		s.Close()
	})
	return s.URL
}

func scheme(name string) *emulation.MediaFeature {
	return &emulation.MediaFeature{Name: "prefers-color-scheme", Value: name}
}

// TestPictures takes pictures of the page as it stands after a lively minute.
// MATRIXRTC_PICTURES=DIR keeps them there; docs/status.png is made so.
func TestPictures(t *testing.T) {
	browser := startBrowser(t)
	dir := os.Getenv("MATRIXRTC_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, c := range []struct {
		name, scheme  string
		width, height int64
		scale         float64
		setup         func(*Board)
	}{
		{"status", "light", 1180, 900, 2, nil},
		{"status-dark", "dark", 1180, 900, 2, nil},
		{"status-narrow", "light", 390, 844, 2, nil},
		{"status-crowd", "dark", 1180, 900, 1, crowd},
		{"status-empty", "light", 1180, 700, 1, func(b *Board) {
			newStage(b, "!quiet:localhost", "Quiet room").tell(time.Now())
			b.Condition(time.Now(), "hs", 4, "The homeserver does not answer: what you see may be old.")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBoard(&Options{Site: "demo.localhost"})
			if c.setup != nil {
				c.setup(b)
			} else {
				now := time.Now()
				s := showcase(b, now)
				for i := range 40 {
					s.flows(now.Add(time.Duration(i-39)*time.Second), time.Duration(i)*time.Second)
				}
			}
			p := openTab(t, browser, serve(t, b), scheme(c.scheme), &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
			if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(c.width, c.height, chromedp.EmulateScale(c.scale))); err != nil {
				t.Fatal(err)
			}
			p.until(`document.querySelector('#link').dataset.link === 'live' && document.querySelector('#clock').textContent && !document.querySelector('tr.member .got')?.textContent.startsWith('no count')`)
			png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if len(png) < 10_000 {
				t.Errorf("the picture has only %d bytes", len(png))
			}
			if err := os.WriteFile(filepath.Join(dir, c.name+".png"), png, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func crowd(b *Board) {
	now := time.Now()
	s := newStage(b, "!crowd:localhost", "All hands")
	s.tell(now.Add(-3 * time.Minute))
	for i := range 100 {
		at := now.Add(-time.Duration(170-i) * time.Second)
		s.join(at, fmt.Sprintf("@person%03d:example.org", i), "DEVICE", matrixrtcDialects[i%len(matrixrtcDialects)], "m.call", livekitHere, time.Hour)
	}
	for i := range 12 {
		s.end(now.Add(-time.Duration(60-3*i)*time.Second), fmt.Sprintf("@person%03d:example.org", i*7), causes[i%len(causes)])
	}
	s.tell(now)
}
