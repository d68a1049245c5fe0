package auth

import (
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

// Two replicas with a real Redis, each over a line that fails in one way or another,
// while leaves are handed over, restarted, and sent: nothing is lost, and nothing is
// sent twice.
func TestLeaveRedisPartitioned(t *testing.T) {
	t.Parallel()
	r := devstacktest.Redis(t, nil)
	for name, fault := range map[string]devstacktest.Fault{
		"nothing comes through": devstacktest.Held, "a black hole": devstacktest.Hole,
		"answers are lost": devstacktest.Deaf, "resets": devstacktest.Reset,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			partitioned(t, r, fault)
		})
	}
}

func partitioned(t *testing.T, r *devstack.Redis, fault devstacktest.Fault) {
	s := newSite()
	var lines []*devstacktest.Line
	var replicas []*leaves
	for range 2 {
		w := devstacktest.NewLine(t, r)
		store, err := jobs.OpenRedis(t.Context(), w.URL(), &jobs.RedisOptions{
			Timeout: 300 * time.Millisecond, Prefix: fmt.Sprintf("{%s}:", t.Name()),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		l := s.look(store, leave.Rules{})
		t.Cleanup(l.close)
		lines, replicas = append(lines, w), append(replicas, l)
	}
	const n = 20
	who := func(i int) string { return fmt.Sprint("user", i) }
	var under sync.WaitGroup
	// during has each i done while the lines fail in turn, and mends them.
	during := func(do func(i int)) {
		t.Helper()
		for i := range n {
			switch i {
			case 3:
				lines[0].Set(fault)
			case 10:
				lines[1].Set(fault)
			case 13:
				lines[0].Set(devstacktest.Whole)
			}
			under.Go(func() { do(i) })
			pause(t.Context(), 50*time.Millisecond)
		}
		pause(t.Context(), 700*time.Millisecond)
		lines[0].Set(devstacktest.Whole)
		lines[1].Set(devstacktest.Whole)
		under.Wait()
	}
	count := func() (connected, all int, err error) {
		for _, l := range replicas[:1] {
			err = l.store.All(t.Context(), func(rec jobs.Record) bool {
				all++
				if job, ok := l.read(rec); ok && job.State == leave.Connected {
					connected++
				}
				return true
			})
		}
		return connected, all, err
	}
	during(func(i int) {
		s.sit(who(i), "A")
		for { // a client that is told to try again does so
			err := replicas[i%2].delegate(t.Context(), leaveOf(who(i), fmt.Sprint("d", i), 12*time.Second))
			if err == nil || !pause(t.Context(), 20*time.Millisecond) {
				return
			}
		}
	})
	rtctest.Eventually(t, 60*time.Second, "every leave is restarted", func() (bool, string) {
		connected, all, err := count()
		late := s.over(leave.Late)
		return connected+late == n, fmt.Sprint(connected, " of ", all, " late ", late, err)
	})
	during(func(i int) {
		s.sit(who(i), "")
		replicas[i%2].happened(t.Context(), "room", who(i), leave.Left{SID: "A"})
	})
	rtctest.Eventually(t, 90*time.Second, "every leave is sent and forgotten", func() (bool, string) {
		_, all, err := count()
		lost := s.lost(n)
		return err == nil && lost == 0 && all == 0, fmt.Sprintf("%d neither sent nor late, %d late, %d left, %v", lost, s.over(leave.Late), all, err)
	})
	for i := range n {
		if times := s.sent(fmt.Sprint("d", i)); times > 1 {
			t.Errorf("d%d sent %d times", i, times)
		}
	}
	if late := s.over(leave.Late); late > n/2 {
		t.Errorf("%d of %d leaves were late", late, n)
	} else if late > 0 {
		t.Logf("%d leaves were late", late)
	}
}
