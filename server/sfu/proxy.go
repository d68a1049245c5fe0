package sfu

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// maxRequestBody bounds what a client may send with a request. The WebSocket
// is not counted: it is no request body.
const maxRequestBody = 64 << 10

// newProxy lets through LiveKit's signalling paths and nothing else: neither
// its management API nor WHIP.
func newProxy(target *url.URL, refuse func() bool, logger *slog.Logger) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       30 * time.Second,
		},
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			logger.Debug("signalling connection to the SFU failed", "path", r.URL.Path, "error", err)
			http.Error(w, "the SFU does not answer", http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/rtc" && !strings.HasPrefix(r.URL.Path, "/rtc/"), strings.Contains(r.URL.Path, ".."):
			http.NotFound(w, r)
		case refuse():
			w.Header().Set("Retry-After", "5")
			http.Error(w, "the SFU is shutting down", http.StatusServiceUnavailable)
		default:
			if r.Body != nil {
				r.Body = http.MaxBytesReader(w, r.Body, maxRequestBody)
			}
			proxy.ServeHTTP(w, r)
		}
	})
}
