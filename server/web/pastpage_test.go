package web

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
)

// week fills a board with the calls of a week.
func week(b *Board, now time.Time) {
	w := &wire{}
	people := []string{"@alice:localhost", "@bob:localhost", "@carol:localhost", "@dave:localhost", "@erin:example.org"}
	for day := 9; day >= 0; day-- {
		for call := range 1 + day%3 {
			at := now.Add(-time.Duration(day)*24*time.Hour - time.Duration(3+4*call)*time.Hour)
			n := 2 + (day+call)%4
			for i, who := range people[:n] {
				w.join("!daily:localhost", at.Add(time.Duration(i*i)*time.Minute), who, "LAPTOP")
			}
			for i, who := range people[:n] {
				if (day+i)%5 > 0 { // the others fall silent
					w.leave("!daily:localhost", at.Add(time.Duration(25+7*i)*time.Minute), who, "LAPTOP")
				}
			}
		}
	}
	w.join("!daily:localhost", now.Add(-20*time.Minute), "@alice:localhost", "PHONE")
	w.join("!standup:localhost", now.Add(-19*time.Minute), "@bob:localhost", "PHONE")
	slices.SortStableFunc(w.batches, func(x, y matrixrtc.Batch) int { return x.Events[0].Origin.Compare(y.Events[0].Origin) })
	hearAll(b, []Room{{ID: "!daily:localhost", Name: "Daily"}, {ID: "!standup:localhost", Name: "Stand-up"}}, w.sync())
}

// The page of past calls in a real browser: it is reached from the status page,
// keeps to the policy, and fits in any window. MATRIXRTC_PICTURES=DIR keeps
// pictures there, as for TestPictures.
func TestHistoryPage(t *testing.T) {
	browser := pagetest.Start(t)
	dir := os.Getenv("MATRIXRTC_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	b := NewBoard(&Options{Site: "demo.localhost"})
	week(b, time.Now())
	url := serve(t, b)
	for _, c := range []struct {
		name, scheme  string
		width, height int64
	}{{"status-history", "light", 1180, 900}, {"status-history-dark", "dark", 1180, 900}, {"status-history-narrow", "light", 390, 844}} {
		t.Run(c.name, func(t *testing.T) {
			p := openTab(t, browser, url, pagetest.Scheme(c.scheme), &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
			p.Size(c.width, c.height, 1)
			p.until(`!document.querySelector('#pages').hidden && document.querySelector('#history').href.includes('tz=')`)
			if err := clickAndWait(p, "#history"); err != nil {
				t.Fatal(err)
			}
			if got := eval[int](p, `document.querySelectorAll('details').length`); got < 15 {
				t.Errorf("the page lists %d calls", got)
			}
			if wide := eval[int](p, `document.documentElement.scrollWidth`); int64(wide) > c.width {
				t.Errorf("the page is %d wide in a window of %d", wide, c.width)
			}
			if zone := eval[string](p, `Intl.DateTimeFormat().resolvedOptions().timeZone`); !strings.Contains(eval[string](p, `document.body.innerText`), "times of "+zone) {
				t.Errorf("the times are not of %s", zone)
			}
			if err := os.WriteFile(filepath.Join(dir, c.name+".png"), p.Picture(), 0o644); err != nil {
				t.Fatal(err)
			}
			p.until(`[...document.querySelectorAll('.rooms a')].some((a) => a.innerText === 'Stand-up' && (a.click(), true))`)
			p.until(`document.querySelector('.rooms [aria-current]')?.innerText === 'Stand-up' && document.querySelectorAll('details').length === 1`)
			p.until(`[...document.querySelectorAll('.top nav a')].some((a) => a.innerText === 'Now' && (a.click(), true))`)
			p.until(`document.querySelector('#link')?.innerText === 'live'`)
		})
	}
}

// clickAndWait follows a link to the page of past calls.
func clickAndWait(p *tab, selector string) error {
	if _, err := pagetest.Try[bool](p.Tab, fmt.Sprintf(`(document.querySelector(%q).click(), true)`, selector)); err != nil {
		return err
	}
	p.until(`document.title.startsWith('History of') && document.readyState === 'complete' && getComputedStyle(document.querySelector('.card')).borderRadius !== '0px'`)
	return nil
}
