package past

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
)

func pictureOf(t testing.TB, o *Options, list []matrixrtc.PastSession) *Picture {
	t.Helper()
	p := NewPicture(o)
	for i := range list {
		if err := p.Add(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// shows makes the pictures that people look at: 3, 30, 300 sessions, and more
// than are drawn.
func shows(t testing.TB) map[string]*Picture {
	now := at("01-16 09:12")
	o := Options{Location: zone(t), At: now, Me: alice, Title: "Calls in Daily"}
	few := o
	few.Most = 200
	return map[string]*Picture{
		"3":     pictureOf(t, &o, lively()[2:]),
		"5":     pictureOf(t, &o, lively()),
		"30":    pictureOf(t, &o, append(many(25, at("01-11 20:00")), lively()...)),
		"300":   pictureOf(t, &o, append(many(295, at("01-11 20:00")), lively()...)),
		"1300":  pictureOf(t, &few, append(many(1300, at("01-11 20:00")), crowd())),
		"crowd": pictureOf(t, &o, append(lively()[1:4], crowd())),
		"none":  pictureOf(t, &o, nil),
	}
}

// crowd is one call of a hundred devices.
func crowd() matrixrtc.PastSession {
	var ps []matrixrtc.Participant
	for i := range 100 {
		st := stay("01-14 10:00", "01-14 11:00", matrixrtc.CauseLeave)
		st.Start = st.Start.Add(time.Duration(i*7) * time.Second)
		st.End = st.End.Add(-time.Duration(i*13%600) * time.Second)
		ps = append(ps, who(fmt.Sprintf("@person%03d:example.org", i), "DEVICE", st))
	}
	return call(ps...)
}

// TestPictures looks at the page and the picture in a browser, which checks the
// page's own policy, too. MATRIXRTC_PICTURES=DIR keeps the pictures there.
func TestPictures(t *testing.T) {
	browser := pagetest.Start(t)
	dir := os.Getenv("MATRIXRTC_PICTURES")
	if dir == "" {
		dir = t.TempDir()
	}
	pictures := shows(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, kind, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".")
		p := pictures[name]
		var b bytes.Buffer
		var err error
		switch {
		case p == nil: // a browser asks for an icon
			w.WriteHeader(http.StatusNoContent)
			return
		case kind == "css":
			w.Header().Set("Content-Type", "text/css; charset=utf-8")
			_, err = b.WriteString(Style())
		case kind == "fragment": // in a page of somebody else, under a policy such as the status page's
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; require-trusted-types-for 'script'")
			b.WriteString(`<!doctype html><html lang="en"><head><title>x</title><link rel="stylesheet" href="3.css"></head><body><main>`)
			err = p.WriteFragment(&b)
			b.WriteString(`</main></body></html>`)
		case kind == "svg":
			w.Header().Set("Content-Type", "image/svg+xml")
			err = p.WriteSVG(&b)
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			err = p.WriteHTML(&b)
		}
		if err != nil {
			t.Error(err)
		}
		w.Write(b.Bytes())
	}))
	t.Cleanup(server.Close)
	for _, c := range []struct {
		name, scheme string
		width        int64
	}{
		{"3.html", "light", 1180}, {"5.html", "dark", 1180}, {"5.html", "light", 390}, {"30.html", "light", 1180}, {"300.html", "dark", 1180}, {"300.html", "light", 1180},
		{"300.html", "light", 390}, {"1300.html", "light", 1180}, {"crowd.html", "light", 1180}, {"none.html", "light", 1180},
		{"5.html", "dark", 760}, {"3.fragment", "dark", 1180},
		{"3.svg", "light", 1000}, {"5.svg", "dark", 1000}, {"30.svg", "light", 1000}, {"300.svg", "dark", 1000}, {"300.svg", "light", 1000}, {"1300.svg", "light", 1000}, {"crowd.svg", "dark", 1000}, {"none.svg", "light", 1000},
	} {
		t.Run(fmt.Sprintf("%s-%s-%d", c.name, c.scheme, c.width), func(t *testing.T) {
			tab := browser.Open(t, server.URL+"/"+c.name, pagetest.Scheme(c.scheme))
			tab.Size(c.width, 900, 1)
			if wide := pagetest.Eval[int](tab, `document.documentElement.scrollWidth`); int64(wide) > c.width && strings.HasSuffix(c.name, ".html") {
				t.Errorf("the page is %d wide in a window of %d", wide, c.width)
			}
			if strings.HasSuffix(c.name, ".fragment") {
				if color := pagetest.Eval[string](tab, `getComputedStyle(document.querySelector('.plot .bar.left')).color`); color != "rgb(114, 144, 255)" {
					t.Errorf("a bar is %s under a policy: the style did not come through", color)
				}
			}
			png := tab.Picture()
			if len(png) < 2_000 {
				t.Errorf("the picture has only %d bytes", len(png))
			}
			name := fmt.Sprintf("%s-%s-%d.png", strings.ReplaceAll(c.name, ".", "-"), c.scheme, c.width)
			if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
