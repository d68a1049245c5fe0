package auth

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// Without a homeserver that could be asked, what is told of rooms is acted upon, and
// again if the SFU could not be reached.
func TestSeatsToldOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		s := startSeats(&seats{
			interval: 30 * time.Second, told: true, sfu: h, presence: h,
			store: jobs.Memory(), log: slog.New(slog.DiscardHandler), removed: func(string) {},
		})
		defer s.close()
		ann, bob := "@ann:one.example", "@bob:two.example"
		h.sit(t, s, ann)
		h.sit(t, s, bob)
		time.Sleep(time.Minute)
		h.want(t) // nobody can be asked, and nobody is removed for that
		s.gone(t.Context(), "!other", ann, "left")
		s.gone(t.Context(), "!r", ann, "left")
		h.want(t, "1m0s "+ann)

		// bob cannot be removed at first.
		h.set(func() { delete(h.sfu, leaveKey("room", bob)) })
		s.gone(t.Context(), "!r", bob, "left")
		h.set(func() { h.sfu[leaveKey("room", bob)] = true })
		time.Sleep(35 * time.Second)
		h.want(t, "1m0s "+ann, "1m30s "+bob)

		// Nobody comes back by asking alone.
		p := sfuPlace{"room", bob, time.Now().Add(time.Hour).Unix()}
		if err := s.take(t.Context(), "!r", bob, p, time.Time{}); !errors.Is(err, errOut) {
			t.Errorf("who has left gets a token: %v", err)
		}
		s.back(t.Context(), "!r", bob)
		if err := s.take(t.Context(), "!r", bob, p, time.Time{}); err != nil {
			t.Errorf("who has come back gets none: %v", err)
		}
		h.set(func() { h.sfu[leaveKey("room", bob)] = true })
		time.Sleep(time.Minute)
		h.want(t, "1m0s "+ann, "1m30s "+bob)
		if h.asked != 0 {
			t.Errorf("%d questions", h.asked)
		}
	})
}
