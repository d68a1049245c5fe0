package gapfill

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator can watch. No label holds anything that a user can
// choose.
type metrics struct {
	events *prometheus.CounterVec
	late   prometheus.Histogram
	down   prometheus.Gauge
}

// What happens to delayed events; how they become final is told by their State.
const (
	didSchedule = "scheduled"
	didRestart  = "restarted"
	didRefuse   = "refused" // for there are too many
)

// newMetrics registers them, if there is somebody to register with.
func newMetrics(with prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "matrixrtc_delayed_events_total", Help: "What was done to delayed events (MSC4140) that the site keeps for the homeserver.",
		}, []string{"did"}),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "matrixrtc_delayed_events_late_seconds", Help: "How long after they were due delayed events were sent.",
			Buckets: []float64{.01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60, 600},
		}),
		down: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "matrixrtc_delayed_events_homeserver_down", Help: "1 while delayed events cannot be sent because the homeserver does not answer.",
		}),
	}
	for _, did := range []string{didSchedule, didRestart, didRefuse, string(Sent), string(Cancelled), string(Failed)} {
		m.events.WithLabelValues(did)
	}
	if with == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.events, m.late, m.down} {
		if err := with.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) did(what string, events int) { m.events.WithLabelValues(what).Add(float64(events)) }

// over counts an event that became final. One that was sent before its time was
// asked for.
func (m *metrics) over(state State, late time.Duration) {
	m.did(string(state), 1)
	if state == Sent && late >= 0 {
		m.late.Observe(late.Seconds())
	}
}
