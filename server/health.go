package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// readyTimeout bounds the question whether the site can do its work, and
	// readyAge is how long the answer is repeated: anybody may ask.
	readyTimeout = 2 * time.Second
	readyAge     = time.Second
)

// health is what an operator sees of a running site besides its pages: metrics, and
// whether it is alive and ready.
type health struct {
	registry *prometheus.Registry
	log      *slog.Logger
	checks   []func(context.Context) error
	leaving  atomic.Bool // the end has begun

	mu    sync.Mutex
	at    time.Time
	known error
}

func newHealth(log *slog.Logger) *health {
	in := &health{registry: prometheus.NewRegistry(), log: log}
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "matrixrtc_build_info", Help: "Always 1; the labels tell what runs.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	in.registry.MustRegister(build) // the first one cannot collide
	return in
}

// ready says what keeps the site from doing its work, nil if nothing does. The
// answer may be readyAge old.
func (in *health) ready(ctx context.Context) error {
	if in.leaving.Load() {
		return errors.New("the site is going down")
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if time.Since(in.at) < readyAge {
		return in.known
	}
	// Not the asker's context: others get the answer as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	var errs []error
	for _, check := range in.checks {
		errs = append(errs, check(ctx))
	}
	err := errors.Join(errs...)
	if (err == nil) != (in.known == nil) {
		in.log.Warn("whether the site is ready has changed", "ready", err == nil, "err", err)
	}
	in.at, in.known = time.Now(), err
	return err
}

// serveReady answers 200 or 503. Why not is for the log: the answer is public.
func (in *health) serveReady(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
	case in.ready(r.Context()) != nil:
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	default:
		_, _ = w.Write([]byte("ready\n")) // the asker is gone if this fails
	}
}

// whileUp answers until the end begins. That the embedded SFU goes down does not
// mean that its participants leave.
func (in *health) whileUp(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if in.leaving.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// mount puts the metrics beside the pages of the admin listener.
func (in *health) mount(mux *http.ServeMux) {
	// LiveKit keeps its metrics in the process-wide registry, where the Go runtime
	// has its own.
	mux.Handle("/metrics", promhttp.HandlerFor(
		prometheus.Gatherers{in.registry, prometheus.DefaultGatherer},
		promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(in.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, Timeout: 10 * time.Second},
	))
	mux.HandleFunc("/readyz", in.serveReady)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("alive\n")) // the asker is gone if this fails
	})
}
