package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/past"
)

//go:embed assets
var assets embed.FS

// policy allows the page's own files and nothing else; whatever a Matrix event
// smuggles into the page can neither run nor call home.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

// Handler serves the page:
//
//	GET /               the page
//	GET /static/…       its script and style
//	GET /status.json    a Snapshot
//	GET /status/events  the same as a stream of server-sent events
//	GET /history        the past calls of the rooms that are watched
//	GET /history.jsonl  the same as JSON Lines: "matrixrtc history --json"
//
// All addresses in the page are relative, so the handler may be mounted below
// a prefix with http.StripPrefix; the prefix must end in a slash in the
// browser.
func (b *Board) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, r, "index.html")
	})
	mux.HandleFunc("GET /static/{file}", func(w http.ResponseWriter, r *http.Request) {
		serveAsset(w, r, r.PathValue("file"))
	})
	mux.HandleFunc("GET /status.json", b.serveSnapshot)
	mux.HandleFunc("GET /status/events", b.serveEvents)
	mux.HandleFunc("GET /history", b.servePast)
	mux.HandleFunc("GET /history.jsonl", b.servePastLines)
	mux.HandleFunc("GET /static/past.css", func(w http.ResponseWriter, r *http.Request) {
		serveStatic(w, r, "past.css", []byte(past.Style()+pastStyle))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		mux.ServeHTTP(w, r)
	})
}

// serveAsset serves one embedded file. Its name says nothing of its version,
// so the browser asks each time and is told when nothing has changed.
func serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	data, err := fs.ReadFile(assets, path.Join("assets", path.Base(name)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	serveStatic(w, r, name, data)
}

func serveStatic(w http.ResponseWriter, r *http.Request, name string, data []byte) {
	sum := sha256.Sum256(data)
	h := w.Header()
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", contentType(path.Ext(name)))
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}

// contentType does not depend on the machine's table of types: a script with
// the wrong one does not run.
func contentType(ext string) string {
	switch ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(ext)
}

func (b *Board) serveSnapshot(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(b.Snapshot(time.Now()), "", "  ")
	if err != nil {
		b.opts.Logger.Error("status document cannot be written", "error", err)
		http.Error(w, "the status document cannot be written; the log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.Write(append(body, '\n')) // a reader that is gone needs no answer
}
