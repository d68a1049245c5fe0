package web

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// startBrowser starts one Chromium for a test; its tabs share it.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path, err := devstack.Chromium()
	if err != nil {
		t.Skip("needs chromium: apt-get install chromium")
	}
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir())}
	for _, f := range append(devstack.ChromiumFlags(), "hide-scrollbars") {
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
	rtctest.Eventually(p.t, 15*time.Second, expression, func() (bool, string) {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return true, ""
		}
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		return false, fmt.Sprintf("error %v, and a page that says:\n%s", err, text)
	})
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
