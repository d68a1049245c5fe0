package gapfill_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

func TestSentWhenDue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.join()
		id := s.schedule("8000")
		time.Sleep(8*time.Second - time.Millisecond)
		s.wantLeaves("a moment early", 0)
		time.Sleep(time.Millisecond)
		s.wantLeaves("in time", 1)
		s.wantState(id, gapfill.Sent)
		if d := s.kept(id); d.EventID != "$2" {
			t.Errorf("event id %q", d.EventID)
		}
		time.Sleep(10 * time.Minute)
		s.wantLeaves("long after", 1)
	})
}

func TestRestartedAgainAndAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.join()
		id := s.schedule("8000")
		for range 450 { // half an hour
			time.Sleep(4 * time.Second)
			s.want("restart", s.act(id, "restart", "alice-token"), http.StatusOK, "")
		}
		time.Sleep(8*time.Second - time.Millisecond)
		s.wantLeaves("alive", 0)
		time.Sleep(time.Millisecond)
		s.wantLeaves("dead", 1)
		if n := s.hs.count("GET /_matrix/client/v3/account/whoami"); n > 40 {
			t.Errorf("the homeserver was asked %d times in half an hour whose token that is", n)
		}
	})
}

func TestMessageAndSticky(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		r := s.do(http.MethodPut, "/_matrix/client/v3/rooms/!r:hs/send/m.leave/txn1?org.matrix.msc4140.delay=1000&org.matrix.msc4354.sticky_duration_ms=60000",
			"alice-token", `{"a":1}`)
		s.want("schedule", r, http.StatusOK, "")
		time.Sleep(time.Second)
		synctest.Wait()
		list := s.hs.events("m.leave")
		if len(list) != 1 || list[0]["query"] != "org.matrix.msc4354.sticky_duration_ms=60000&sticky_duration_ms=60000" || list[0]["state_key"] != nil {
			t.Errorf("sent: %v", list)
		}
	})
}
