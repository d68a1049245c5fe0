package gapfill_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// stuckRooms is a homeserver that does not answer about some rooms.
type stuckRooms struct {
	*fakeHS
	stuck  atomic.Bool
	asked  atomic.Int32 // about them
	writes bool         // only about what is to be written
}

func (h *stuckRooms) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/!stuck") {
		h.asked.Add(1)
		if h.stuck.Load() && (r.Method == http.MethodPut || !h.writes) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
	}
	return h.fakeHS.RoundTrip(r)
}

// TestSlowRooms: what waits for rooms about which the homeserver does not answer
// takes nothing from others, but for a moment at the beginning, and is sent when
// it answers again.
func TestSlowRooms(t *testing.T) {
	for _, c := range []struct {
		rooms, each int
		writes      bool
		// first is how late others may be at the beginning, while nobody knows.
		first time.Duration
	}{
		{1, 1, true, 0}, {1, 1, false, 0}, {12, 1, true, 0}, {1, 90, true, 10 * time.Second}, {64, 1, true, 10 * time.Second}, {30, 3, false, 12 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d of %d, writes alone %v", c.rooms, c.each, c.writes), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				hs := &stuckRooms{writes: c.writes}
				hs.stuck.Store(true)
				s := newSite(t, func(_ *gapfill.Config, o *gapfill.Options) {
					hs.fakeHS = o.Transport.(*fakeHS)
					o.Transport = hs
				})
				for i := range c.rooms * c.each {
					s.want("schedule", s.do(http.MethodPut, fmt.Sprintf("/_matrix/client/v3/rooms/!stuck%d:hs/state/stuck/%d?org.matrix.msc4140.delay=%d",
						i%c.rooms, i, 4000+i), "bob-token", "{}"), http.StatusOK, "")
				}
				began := time.Now()
				for time.Since(began) < 5*time.Minute {
					s.join()
					id := s.schedule("5100")
					time.Sleep(5100 * time.Millisecond)
					most := 10 * time.Millisecond
					if time.Since(began) < 30*time.Second {
						most += c.first
					}
					late := time.Duration(0)
					for ; !s.kept(id).State.Final(); late += 10 * time.Millisecond {
						time.Sleep(10 * time.Millisecond)
					}
					if late > most {
						t.Errorf("after %v: a leave in another room was %v late", time.Since(began), late)
					}
				}
				if n := hs.asked.Load(); n > 64*3+8*2*30 { // all at first, then eight at a time
					t.Errorf("the homeserver was asked %d times about them", n)
				}
				hs.stuck.Store(false)
				time.Sleep(20 * time.Second)
				if n := len(s.hs.events("stuck")); n != c.rooms*c.each {
					t.Errorf("%d of %d were sent when the homeserver answered again", n, c.rooms*c.each)
				}
			})
		})
	}
}
