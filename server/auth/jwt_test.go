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

// Many who want one thing at once have it done once, and the next one again; who
// does it for all and gives up is followed by another.
func TestFlights(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &slowRooms{}
		var f flights[int]
		get := func(ctx context.Context, name string) (int, error) {
			return f.do(ctx, name, func(ctx context.Context) (int, error) { return len(name), r.CreateRoom(ctx, name) })
		}
		first, give := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := get(first, "room0"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		for i := range 20 {
			wg.Go(func() {
				if n, err := get(t.Context(), fmt.Sprint("room", i%2)); err != nil || n != 5 {
					t.Error(n, err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		give()
		wg.Wait()
		if len(r.made) != 3 || len(f.under) != 0 {
			t.Errorf("made %q", r.made)
		}
		if _, err := get(t.Context(), "room0"); err != nil || len(r.made) != 4 {
			t.Errorf("%v, made %q", err, r.made)
		}
		r.err = errors.New("full")
		wg.Go(func() {
			if _, err := get(t.Context(), "x"); !errors.Is(err, r.err) {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() { // an error that is not of the one who waits is for all
			if _, err := get(t.Context(), "x"); !errors.Is(err, r.err) {
				t.Error(err)
			}
		})
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := get(impatient, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wg.Wait()
		if len(r.made) != 5 {
			t.Errorf("made %q", r.made)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = f.do(t.Context(), "p", func(context.Context) (int, error) { panic("x") })
		}()
		if len(f.under) != 0 {
			t.Error("a panic holds up everybody")
		}
	})
}
