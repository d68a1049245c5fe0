package auth

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// metrics are what an operator can watch. No label holds a user, a room, or
// anything else that a stranger can choose.
type metrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	openID   *prometheus.HistogramVec
	rooms    *prometheus.CounterVec
	denials  *prometheus.CounterVec
	webhooks *prometheus.CounterVec
	ended    *prometheus.CounterVec
	removed  *prometheus.CounterVec
	states   *prometheus.Desc
	caches   *prometheus.Desc
	service  *Service
}

var (
	_ prometheus.Collector = (*metrics)(nil)

	buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func newMetrics(s *Service) *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "matrixrtc_auth_requests_total", Help: "Requests to the authorization API, by endpoint and status.",
		}, []string{"endpoint", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "matrixrtc_auth_request_seconds", Help: "How long requests to the authorization API took.", Buckets: buckets,
		}, []string{"endpoint"}),
		openID: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "matrixrtc_openid_seconds", Help: "How long homeservers took to say whom an OpenID token belongs to, by outcome.", Buckets: buckets,
		}, []string{"outcome"}),
		rooms:    counter("matrixrtc_rooms_created_total", "Requests to the SFU to make a room, or find it there, by result.", "result"),
		denials:  counter("matrixrtc_policy_denials_total", "Requests that were refused by policy, by reason.", "reason"),
		webhooks: counter("matrixrtc_sfu_webhooks_total", "Reports of the SFU, by result.", "result"),
		ended:    counter("matrixrtc_delegated_leaves_ended_total", "Delayed leaves that are no longer looked after, by reason.", "reason"),
		removed:  counter("matrixrtc_participants_removed_total", "Participants who were removed from the SFU, by reason.", "reason"),
		states:   prometheus.NewDesc("matrixrtc_delegated_leaves", "Delayed leaves that are looked after, by state.", []string{"state"}, nil),
		caches:   prometheus.NewDesc("matrixrtc_cache_entries", "What is remembered, by cache.", []string{"cache"}, nil),
		service:  s,
	}
	for _, why := range leave.Ends {
		m.ended.WithLabelValues(string(why))
	}
	return m
}

func (m *metrics) parts() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.took, m.openID, m.rooms, m.denials, m.webhooks, m.ended, m.removed}
}

// Describe is for prometheus.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.parts() {
		c.Describe(ch)
	}
	ch <- m.states
	ch <- m.caches
}

// Collect is for prometheus. It may be called from any goroutine.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.parts() {
		c.Collect(ch)
	}
	gauge := func(d *prometheus.Desc, n int, label string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), label)
	}
	s := m.service
	if s.leaves != nil {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		counts := s.leaves.states(ctx)
		cancel()
		for _, state := range leave.States {
			gauge(m.states, counts[state], string(state))
		}
	}
	for name, n := range s.cacheSizes() {
		gauge(m.caches, n, name)
	}
}

// outcome says in a word what came of asking a homeserver.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	var status *statusError
	var timeout net.Error
	switch {
	case errors.Is(err, errCrowded):
		return "crowded"
	case errors.Is(err, errNotPublic):
		return "not_public"
	case errors.As(err, &status) && status.status < 500:
		return "refused"
	case errors.As(err, &status), errors.Is(err, errNoVouch):
		return "failed"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "unreachable"
}

func (m *metrics) request(endpoint string, status int, took time.Duration) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(endpoint).Observe(took.Seconds())
}
