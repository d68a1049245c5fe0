package auth

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// Two replicas on a real Redis that is killed and cut off while leaves are handed
// over, restarted and sent: nothing is lost, nothing is sent twice.
func TestLeaveRedisKilledAndCut(t *testing.T) {
	t.Parallel()
	r := devstacktest.Redis(t, &devstack.RedisOptions{AppendOnly: true})
	s := newSite()
	late := func() int { return s.over(leave.Late) }
	var lines []*devstacktest.Line
	var replicas []*leaves
	for range 2 {
		w := devstacktest.NewLine(t, r)
		store, err := jobs.OpenRedis(t.Context(), w.URL(), &jobs.RedisOptions{Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		lines, replicas = append(lines, w), append(replicas, s.look(store, leave.Rules{}))
	}
	const n = 60
	who := func(i int) string { return fmt.Sprint("user", i) }
	handOver := func(i int) {
		s.sit(who(i), "A")
		for { // a client that is told to try again does so
			if err := replicas[i%2].delegate(t.Context(), leaveOf(who(i), fmt.Sprint("d", i), 10*time.Second)); err == nil {
				return
			} else if !errors.Is(err, jobs.ErrStore) {
				t.Error(err)
				return
			}
			select {
			case <-t.Context().Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	// Faults go on while the leaves come.
	var coming sync.WaitGroup
	for i := range n {
		coming.Go(func() { handOver(i) })
		switch i % 20 {
		case 7:
			lines[i/20%2].Set(devstacktest.Reset)
		case 12:
			r.Kill()
			lines[i/20%2].Set(devstacktest.Whole)
			if err := r.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		case 17:
			lines[0].Set(devstacktest.Reset)
			lines[0].Set(devstacktest.Whole)
		}
	}
	coming.Wait()
	rtctest.Eventually(t, 60*time.Second, "every leave is restarted", func() (bool, string) {
		connected := 0
		err := replicas[0].store.All(t.Context(), func(rec jobs.Record) bool {
			if job, ok := replicas[0].read(rec); ok && job.State == leave.Connected {
				connected++
			}
			return true
		})
		return connected+late() >= n, fmt.Sprint(connected, late(), err)
	})
	// Restarts are due all the time. If the store is away for longer than a fifth of
	// the delay, as on a machine that is very busy, a leave can be late; then the
	// homeserver sends it.
	for i := range 40 {
		switch i % 4 {
		case 0:
			lines[0].Set(devstacktest.Reset)
		case 1:
			lines[0].Set(devstacktest.Whole)
			lines[1].Set(devstacktest.Reset)
		case 2:
			lines[1].Set(devstacktest.Whole)
			r.Kill()
		case 3:
			if err := r.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		pause(t.Context(), 300*time.Millisecond)
	}
	// The same while they leave. Reports of the SFU come to either replica.
	for i := range n {
		s.sit(who(i), "")
		coming.Go(func() { replicas[i%2].happened(t.Context(), "room", who(i), leave.Left{SID: "A"}) })
		switch i % 20 {
		case 5:
			lines[(i/20+1)%2].Set(devstacktest.Reset)
		case 10:
			r.Kill()
			if err := r.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		case 15:
			lines[(i/20+1)%2].Set(devstacktest.Whole)
		}
	}
	coming.Wait()
	rtctest.Eventually(t, 90*time.Second, "every leave is sent and forgotten", func() (bool, string) {
		left, lost := 0, s.lost(n)
		err := replicas[1].store.All(t.Context(), func(jobs.Record) bool { left++; return true })
		return err == nil && lost == 0 && left == 0, fmt.Sprintf("%d neither sent nor late, %d late, %d left, %v", lost, late(), left, err)
	})
	for _, l := range replicas {
		l.close()
	}
	for i := range n {
		if times := s.sent(fmt.Sprint("d", i)); times > 1 {
			t.Errorf("d%d sent %d times", i, times)
		}
	}
	if late := late(); late > n/2 {
		t.Errorf("%d of %d leaves were late", late, n)
	} else if late > 0 {
		t.Logf("%d leaves were late", late)
	}
}
