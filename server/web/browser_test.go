package web

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
)

// tab is one open page.
type tab struct {
	*pagetest.Tab
	t   *testing.T
	ctx context.Context
}

func openTab(t *testing.T, browser *pagetest.Browser, url string, media ...*emulation.MediaFeature) *tab {
	t.Helper()
	p := browser.Open(t, url, media...)
	return &tab{p, t, p.Ctx}
}

// eval returns the value of a JavaScript expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	return pagetest.Eval[T](p.Tab, expression)
}

// until waits for a JavaScript expression to become true.
func (p *tab) until(expression string) {
	p.t.Helper()
	p.Until(15*time.Second, expression)
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
