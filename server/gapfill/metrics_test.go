package gapfill_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := newSite(t, func(_ *gapfill.Config, o *gapfill.Options) { o.Metrics, o.MaxScheduled = registry, 1 })
		s.join()
		id := s.schedule("8000")
		s.want("restart", s.act(id, "restart", "alice-token"), http.StatusOK, "")
		s.want("one too many", s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay=9000", "alice-token", "{}"), http.StatusTooManyRequests, "M_LIMIT_EXCEEDED")
		s.want("cancel", s.act(id, "cancel", "alice-token"), http.StatusOK, "")
		s.want("cancel again", s.act(id, "cancel", "alice-token"), http.StatusOK, "")
		s.schedule("8000")
		time.Sleep(time.Minute)
		synctest.Wait()
		var b strings.Builder
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				fmt.Fprintf(&b, "%s", strings.TrimPrefix(f.GetName(), "matrixrtc_delayed_events_"))
				for _, l := range m.GetLabel() {
					fmt.Fprintf(&b, " %s", l.GetValue())
				}
				fmt.Fprintf(&b, " %v\n", m.GetCounter().GetValue()+m.GetGauge().GetValue()+float64(m.GetHistogram().GetSampleCount()))
			}
		}
		const want = `homeserver_down 0
late_seconds 1
total cancelled 1
total failed 0
total refused 1
total restarted 1
total scheduled 2
total sent 1
`
		if b.String() != want {
			t.Errorf("got\n%swant\n%s", b.String(), want)
		}
	})
}
