package server

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// Files that a process may have open, in connections: each may need four. Signalling
// takes three, the client's, ours to LiveKit and LiveKit's end of that; a token needs
// questions to a homeserver and the SFU, a request that is handed on one to the
// homeserver. The fourth is for the pages, for media over TCP, for DNS.
const (
	filesEach = 4
	// filesBeside are the stores, the media ports, connections to a Redis and what the
	// runtime has.
	filesBeside = 64
	// mostByDefault bounds the memory, of which each takes some 20 KiB.
	mostByDefault = 10_000
	// partAdmin and partInside of the bound of the public listener are those of the
	// others.
	partAdmin, partInside = 4, 8
	// leastByDefault is for limits so low that nothing fits.
	leastByDefault = 16
	// fewConnections are so few that the log warns of them.
	fewConnections = 256
	mostAtAll      = 1_000_000
	// turnedAwayEvery is how often the log repeats that there are too many.
	turnedAwayEvery = time.Minute
)

// defaultConnections is the bound of the public listener with so many open files.
func defaultConnections(files int, known bool) int {
	if !known {
		return mostByDefault
	}
	return min(max((files-filesBeside)/filesEach, leastByDefault), mostByDefault)
}

// checkConnections checks a bound that was configured; 0 is the default.
func checkConnections(n, files int, known bool) error {
	switch most := files - filesBeside; {
	case n == 0:
		return nil
	case n < leastByDefault || n > mostAtAll:
		return fmt.Errorf("want %d to %d; without it, the limit of open files decides", leastByDefault, mostAtAll)
	case known && n > most:
		return fmt.Errorf("%d connections need more than the %d files that this process may have open, of which %d are for other things: allow it more (ulimit -n, LimitNOFILE= of systemd), or ask for less",
			n, files, filesBeside)
	}
	return nil
}

// bounds are those of the listeners. Whoever floods one of them does not come into the
// others.
type bounds struct{ public, admin, inside *throttle.Conns }

// connections makes them.
func (s *Server) connections(metrics prometheus.Registerer) bounds {
	most := s.cfg.MaxConnections
	if most == 0 {
		if most = defaultConnections(openFiles()); most < fewConnections {
			s.log.Warn("this process may have few files open, and so takes few connections: allow it more (ulimit -n, LimitNOFILE= of systemd)", "connections", most)
		}
	}
	closed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "matrixrtc_http_connections_closed_total", Help: "Connections that were closed because there were too many, by listener and reason.",
	}, []string{"listener", "reason"})
	metrics.MustRegister(closed) // these are the only ones of that name
	proxies := s.cfg.TrustedProxies
	if len(proxies) == 0 {
		proxies = throttle.Loopback()
	}
	bound := func(name string, most int) *throttle.Conns {
		counter := closed.MustCurryWith(prometheus.Labels{"listener": name})
		for _, why := range throttle.Ends {
			counter.WithLabelValues(string(why))
		}
		away := &turnedAway{log: s.log.With("listener", name, "max_connections", most), counter: counter}
		conns := throttle.NewConns(most, &throttle.ConnsOptions{Proxies: proxies, Ended: away.ended})
		gauge := func(name, help string, of func() int, labels prometheus.Labels) {
			metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 { return float64(of()) }))
		}
		gauge("matrixrtc_http_connections", "Connections that are open, by listener.", conns.Open, prometheus.Labels{"listener": name})
		gauge("matrixrtc_http_connections_max", "How many connections there may be, by listener.", conns.Most, prometheus.Labels{"listener": name})
		return conns
	}
	return bounds{bound("public", most), bound("admin", max(most/partAdmin, leastByDefault)), bound("inside", max(most/partInside, leastByDefault))}
}

// turnedAway tells of connections of one listener that were closed. Its method is for
// the goroutine that accepts.
type turnedAway struct {
	log     *slog.Logger
	counter *prometheus.CounterVec
	at      time.Time // of the last line
	since   [len(throttle.Ends)]int
}

func (t *turnedAway) ended(why throttle.End) {
	t.counter.WithLabelValues(string(why)).Inc()
	for i, end := range throttle.Ends {
		if end == why {
			t.since[i]++
		}
	}
	if !t.at.IsZero() && time.Since(t.at) < turnedAwayEvery {
		return
	}
	var counts []any
	for i, end := range throttle.Ends {
		if t.since[i] > 0 {
			counts = append(counts, string(end), t.since[i])
		}
	}
	t.log.Warn("too many connections: some were closed", counts...)
	t.at, t.since = time.Now(), [len(throttle.Ends)]int{}
}
