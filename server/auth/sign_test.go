package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/protocol/auth"
)

// LiveKit reads our tokens as it reads its own.
func TestSignedAsLiveKit(t *testing.T) {
	t.Parallel()
	for _, publish := range []bool{false, true} {
		for _, fixed := range []bool{false, true} {
			for _, name := range []string{"plain", `<>&"\`, "é日\u2028\x01", "\xff"} {
				jwt := newSigner(testKey, testSecret, time.Minute, fixed).sign("room "+name, "identity "+name, publish, time.Now())
				v, err := auth.ParseAPIToken(jwt)
				if err != nil {
					t.Fatal(err)
				}
				_, got, err := v.Verify(string(testSecret))
				if err != nil {
					t.Fatal(err)
				}
				if name == "\xff" {
					name = "\ufffd" // there is no such text in JSON
				}
				own := !fixed
				yes := true
				want := &auth.ClaimGrants{Identity: "identity " + name, Video: &auth.VideoGrant{
					RoomJoin: true, Room: "room " + name, CanPublish: &publish, CanSubscribe: &yes, CanUpdateOwnMetadata: &own,
				}}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
				if _, _, err := v.Verify("another secret of thirty-two letters"); err == nil {
					t.Error("any secret does")
				}
			}
		}
	}
}

func TestSignManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newSigner(testKey, testSecret, time.Minute, false)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			v, err := auth.ParseAPIToken(s.sign("r", fmt.Sprint(i), true, time.Now()))
			if err != nil {
				t.Error(err)
				return
			}
			if _, c, err := v.Verify(string(testSecret)); err != nil || c.Identity != fmt.Sprint(i) {
				t.Errorf("%d: %+v, %v", i, c, err)
			}
		})
	}
	wg.Wait()
}

// slowRooms takes a second for a room.
type slowRooms struct {
	mu   sync.Mutex
	made []string
	err  error
}

func (r *slowRooms) CreateRoom(ctx context.Context, name string) error {
	r.mu.Lock()
	r.made = append(r.made, name)
	err := r.err
	r.mu.Unlock()
	if !pause(ctx, time.Second) {
		return ctx.Err()
	}
	return err
}

// Many who want one room at once have it made once, and the next one again.
func TestRoomMadeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &slowRooms{}
		m := newRoomMaker(r)
		first, give := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				ctx := t.Context()
				if i == 0 {
					ctx = first
				}
				if err := m.make(ctx, fmt.Sprint("room", i%2)); err != nil && i != 0 {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		give() // whoever began may go
		wg.Wait()
		if len(r.made) != 2 {
			t.Errorf("made %q", r.made)
		}
		if err := m.make(t.Context(), "room0"); err != nil || len(r.made) != 3 || len(m.under) != 0 {
			t.Errorf("%v, made %q", err, r.made)
		}
		r.err = errors.New("full")
		wg.Go(func() {
			if err := m.make(t.Context(), "x"); !errors.Is(err, r.err) {
				t.Error(err)
			}
		})
		time.Sleep(time.Millisecond)
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := m.make(impatient, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wg.Wait()
	})
}
