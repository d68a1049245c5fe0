package web

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
)

// TestPictures takes pictures of the page as it stands after a lively minute.
// MATRIXRTC_PICTURES=DIR keeps them there:
//
//	MATRIXRTC_PICTURES=$PWD/docs go test -run TestPictures/^status$ ./server/web
func TestPictures(t *testing.T) {
	browser := pagetest.Start(t)
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
		{"status", "light", 1180, 900, 1.5, nil},
		{"status-dark", "dark", 1180, 900, 1.5, nil},
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
			p := openTab(t, browser, serve(t, b), pagetest.Scheme(c.scheme), &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
			if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(c.width, c.height, chromedp.EmulateScale(c.scale))); err != nil {
				t.Fatal(err)
			}
			p.until(`document.querySelector('#link').dataset.link === 'live' && document.querySelector('#clock').textContent && !document.querySelector('tr.member .got')?.textContent.startsWith('no count')`)
			if wide := eval[int](p, `document.documentElement.scrollWidth`); int64(wide) > c.width {
				t.Errorf("the page is %d wide in a window of %d", wide, c.width)
			}
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
		s.join(at, fmt.Sprintf("@person%03d:example.org", i), "DEVICE", crowdDialects[i%len(crowdDialects)], "m.call", livekitHere, time.Hour)
	}
	for i := range 12 {
		s.end(now.Add(-time.Duration(60-3*i)*time.Second), fmt.Sprintf("@person%03d:example.org", i*7), crowdCauses[i%len(crowdCauses)])
	}
	s.tell(now)
}
