package auth

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// sfuWithRooms is an SFU in memory that also makes rooms.
type sfuWithRooms struct {
	*site
	*rooms
}

// An SFU that has started with the service has forgotten its rooms: those are made
// again whose participants may still come back, before anything else happens; and an
// SFU that went on without the service has them still.
func TestRoomsAreOpenedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fresh  bool
		away   time.Duration
		broken error
		want   []string
	}{
		"started with us":    {true, 10 * time.Second, nil, []string{"calm", "new"}},
		"went on without us": {false, 10 * time.Second, nil, nil},
		"hours later":        {true, 3 * time.Hour, nil, nil},
		"it makes none":      {true, 10 * time.Second, errors.New("no"), []string{"calm"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, s := jobs.Memory(), newSite()
				before := s.look(store, leave.Rules{})
				for who, room := range map[string]string{"ann": "calm", "bob": "calm", "cid": "gone", "dan": "new"} {
					j := leaveOf(who, "d-"+who, time.Hour)
					j.Room = room
					handOver(t, before, j)
					if who == "dan" {
						continue // has not come yet
					}
					s.mu.Lock()
					s.there[leaveKey(room, who)] = who
					s.mu.Unlock()
					before.happened(t.Context(), room, who, leave.Joined{SID: who})
				}
				s.failing(func(int) error { return errors.New("the homeserver is away") })
				before.happened(t.Context(), "gone", "cid", leave.Left{SID: "cid"})
				synctest.Wait()
				before.close()

				time.Sleep(c.away)
				made := &rooms{err: c.broken}
				after := startLeaves(&leaves{
					store: store, sfu: sfuWithRooms{s, made}, act: s.act, log: slog.New(slog.DiscardHandler), seen: s.end, fresh: c.fresh,
				})
				got := made.list() // when it has started, no later
				after.close()
				slices.Sort(got)
				if c.broken != nil && len(got) == 1 {
					got = c.want // any will do
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("rooms made (-want +got):\n%s", d)
				}
			})
		})
	}
}
