package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
)

// TestHistoryPicture takes a picture of the page that --html makes, as a browser
// shows it. MATRIXRTC_PICTURES=DIR keeps it there:
//
//	MATRIXRTC_PICTURES=$PWD/docs go test -run TestHistoryPicture ./cmd/matrixrtc
func TestHistoryPicture(t *testing.T) {
	browser := pagetest.Start(t)
	dir := os.Getenv("MATRIXRTC_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	p := newHistory(t)
	path := filepath.Join(p.home, "calls.html")
	p.must("history", historyLines, "--at", historyAt, "--me", historyMe, "--html", path)
	s := httptest.NewServer(http.FileServer(http.Dir(p.home)))
	defer s.Close()
	tab := browser.Open(t, s.URL+"/calls.html", pagetest.Scheme("light"))
	tab.Size(1180, 900, 1.5)
	tab.Until(10*time.Second, `document.readyState === 'complete' && document.querySelectorAll('details[open]').length === 6`)
	if wide := pagetest.Eval[int](tab, `document.documentElement.scrollWidth`); wide > 1180 {
		t.Errorf("the page is %d wide in a window of 1180", wide)
	}
	png := tab.Picture()
	if len(png) < 10_000 {
		t.Errorf("the picture has only %d bytes", len(png))
	}
	if err := os.WriteFile(filepath.Join(dir, "history.png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
