// Package pagetest looks at pages with a real Chromium, for tests. It is
// imported by tests only. Its functions are called from the goroutine of the
// test.
package pagetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// Browser is a running Chromium; its tabs share it.
type Browser struct {
	// Ctx is for tabs of chromedp's own.
	Ctx context.Context
}

// Start starts a Chromium for a test, which is skipped if there is none. flags
// are switches of Chromium without a value, without dashes.
func Start(t *testing.T, flags ...string) *Browser {
	t.Helper()
	path, err := devstack.Chromium()
	if err != nil {
		t.Skip("needs chromium: apt-get install chromium")
	}
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir())}
	for _, f := range append(append(devstack.ChromiumFlags(), "hide-scrollbars"), flags...) {
		opts = append(opts, chromedp.Flag(f, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &Browser{ctx}
}

// Tab is one page in the browser. When the test ends it checks that the page
// has said nothing on its console: no error, no violation of its policy. If the
// test has failed, it tells the page's last complaints.
type Tab struct {
	t *testing.T
	// Ctx is for chromedp's own functions.
	Ctx context.Context
	// MayComplain is set by a test that takes the server away on purpose, or
	// that looks at a page that is not ours.
	MayComplain bool
}

const (
	// tabLife bounds how long a test looks at one page.
	tabLife = 3 * time.Minute
	// lastWords is how many complaints of a page a failed test shows.
	lastWords = 40
)

// Open opens a page, under the given media features.
func (b *Browser) Open(t *testing.T, url string, media ...*emulation.MediaFeature) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.Ctx)
	ctx, stop := context.WithTimeout(ctx, tabLife)
	p := &Tab{t: t, Ctx: ctx}
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
		p.judge(<-said)
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

// Scheme is the preference for a light or a dark page.
func Scheme(name string) *emulation.MediaFeature {
	return &emulation.MediaFeature{Name: "prefers-color-scheme", Value: name}
}

// Try evaluates a JavaScript expression.
func Try[T any](p *Tab, expression string) (T, error) {
	return chromedp.Run(p.Ctx, chromedp.Evaluate[T](expression))
}

// Eval evaluates a JavaScript expression, which must not fail.
func Eval[T any](p *Tab, expression string) T {
	p.t.Helper()
	v, err := Try[T](p, expression)
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// Until waits for a JavaScript expression to become true.
func (p *Tab) Until(within time.Duration, expression string) {
	p.t.Helper()
	rtctest.Eventually(p.t, within, expression, func() (bool, string) {
		ok, err := Try[bool](p, "!!("+expression+")")
		if err == nil && ok {
			return true, ""
		}
		text, _ := Try[string](p, "document.body.innerText")
		return false, fmt.Sprintf("error %v, and a page that says:\n%s", err, text)
	})
}

// Size sets the size of the window.
func (p *Tab) Size(width, height int64, scale float64) {
	p.t.Helper()
	if err := chromedp.Do(p.Ctx, chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale))); err != nil {
		p.t.Fatal(err)
	}
}

// Picture is the whole page as PNG.
func (p *Tab) Picture() []byte {
	p.t.Helper()
	png, err := chromedp.Run(p.Ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	return png
}

// judge says what there is to say of the page's console at the end of the test.
func (p *Tab) judge(console []string) {
	switch {
	case len(console) == 0:
	case !p.MayComplain:
		p.t.Errorf("the page complained:\n%s", strings.Join(console, "\n"))
	case p.t.Failed():
		p.keep("console.txt", []byte(strings.Join(console, "\n")))
		trouble := slices.DeleteFunc(console, func(s string) bool {
			return !strings.HasPrefix(s, "error") && !strings.HasPrefix(s, "exception")
		})
		p.t.Logf("the page's last complaints:\n%s", strings.Join(trouble[max(0, len(trouble)-lastWords):], "\n"))
	}
}

// KeepPicture keeps a picture of the page, for whoever asks why a test has failed.
func (p *Tab) KeepPicture() {
	ctx, cancel := context.WithTimeout(p.Ctx, 5*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Logf("no picture of the page: %v", err)
		return
	}
	p.keep("page.png", png)
}

// keep keeps a file where go test -artifacts wants it.
func (p *Tab) keep(name string, data []byte) {
	file := filepath.Join(p.t.ArtifactDir(), rand.Text()[:8]+"-"+name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		p.t.Log(err)
		return
	}
	p.t.Logf("%s (it stays there under go test -artifacts)", file)
}

// Kill ends the process that draws the page, as a crash does: nothing in the
// page learns of it, so it cannot say goodbye to anybody. Pages of the same
// origin in the same browser may share the process, and die with it.
func (p *Tab) Kill() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx, 10*time.Second)
	defer cancel()
	crashed := chromedp.Events(ctx, inspector.TargetCrashed)
	asked := make(chan struct{})
	go func() { // ends with ctx, nobody is left to answer; waited for below
		defer close(asked)
		_ = chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, page.Crash, cdp.Empty{})
			return err
		}))
	}()
	for _, err := range crashed {
		if err != nil {
			p.t.Errorf("the page's process has not ended: %v", err)
		}
		break
	}
	cancel()
	<-asked
}
