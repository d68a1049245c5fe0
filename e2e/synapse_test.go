package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestSwitch: somebody is in a call on a homeserver that holds the leave back,
// without media. It is armed before the join and restarted while all is well;
// when the network is cut, the others see the end within the delay and 5 s; and
// when it is back, so is the member. Nobody sees anything in between.
func TestSwitch(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Synapse(t, nil)
	for _, d := range []matrixrtc.Dialect{matrixrtc.Call, matrixrtc.Slot} {
		t.Run(string(d.Name()), func(t *testing.T) {
			t.Parallel()
			cord := &cord{}
			owner := homeservertest.Register(t, hs.URL(), "alice-"+string(d.Name()))
			bob := homeservertest.Register(t, hs.URL(), "bob-"+string(d.Name()))
			room := homeservertest.Room(t, owner, bob)
			alice, err := homeserver.Open(owner.Credentials(), &homeserver.Options{HTTP: &http.Client{Transport: cord}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { alice.Close() })
			behindSwitch(t, d, opened(t, alice, room), opened(t, bob, room), cord)
		})
	}
}

func behindSwitch(t *testing.T, d matrixrtc.Dialect, alice, bob *client.Room, cord *cord) {
	// A quarter of the delay is what the leave may take to be answered before it is said in
	// another way: a homeserver that many tests keep busy takes seconds.
	const delay, grace = 20 * time.Second, 5 * time.Second
	changes := follow(bob)
	own := follow(alice)
	call, err := alice.Join(t.Context(), &client.JoinOptions{Dialect: d, NoMedia: true, Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
	changes.await(t, "bob sees alice", "joined")
	rtctest.Eventually(t, 2*time.Minute, "the switch is restarted", func() (bool, string) {
		asked := cord.requests()
		return len(asked) >= 5, fmt.Sprint(asked)
	})
	// The first restart comes right after the join, the others every third of the delay.
	if got := cord.requests()[:5]; !slices.Equal(got, []string{"arm", "state", "restart", "restart", "restart"}) {
		t.Errorf("alice asked for %q", got)
	}
	if got := changes.list(); !slices.Equal(got, []string{"joined"}) {
		t.Errorf("bob saw %q while all was well", got)
	}

	cut := time.Now()
	cord.cut(true)
	changes.await(t, "bob sees alice go", "joined", "left")
	took := time.Since(cut)
	t.Logf("%s: gone %v after the network was cut, with a delay of %v", d.Name(), took.Round(time.Millisecond), delay)
	if took > delay+grace {
		t.Errorf("gone after %v only, want %v", took, delay+grace)
	}
	own.await(t, "alice is told", "own joining", "own joined", "own at_risk", "own lost")
	cord.cut(false)
	changes.await(t, "bob sees alice again", "joined", "left", "joined")
	own.await(t, "alice is told", "own joining", "own joined", "own at_risk", "own lost", "own rejoined")

	rtctest.Eventually(t, 2*time.Minute, "the switch is armed again", func() (bool, string) {
		asked := cord.requests()
		i := slices.Index(asked[1:], "arm")
		return i >= 0 && slices.Contains(asked[1+i:], "restart"), fmt.Sprint(asked)
	})

	// She leaves by firing what is armed: at once, and once.
	before := len(cord.requests())
	left := time.Now()
	if err := call.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	changes.await(t, "bob sees alice leave", "joined", "left", "joined", "left")
	t.Logf("%s: left after %v", d.Name(), time.Since(left).Round(time.Millisecond))
	if got := cord.requests()[before:]; !slices.Equal(got, []string{"fire"}) {
		t.Errorf("to leave alice asked for %q, after %q", got, cord.requests()[:before])
	}
}

// cord is a network that can be cut, and writes down what goes over it.
type cord struct {
	mu    sync.Mutex
	asked []string
	off   bool
	ends  []context.CancelFunc
}

var errCut = errors.New("the network is cut")

func (c *cord) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	c.mu.Lock()
	path := r.URL.Path
	switch writes := strings.Contains(path, "/state/") || strings.Contains(path, "/send/"); {
	case c.off:
	case strings.HasSuffix(path, "/restart"):
		c.asked = append(c.asked, "restart")
	case strings.Contains(path, "/delayed_events/") && strings.HasSuffix(path, "/send"):
		c.asked = append(c.asked, "fire")
	case r.Method == http.MethodPut && writes && r.URL.Query().Has("org.matrix.msc4140.delay"):
		c.asked = append(c.asked, "arm")
	case r.Method == http.MethodPut && writes:
		c.asked = append(c.asked, "state")
	}
	off := c.off
	c.ends = append(c.ends, cancel)
	c.mu.Unlock()
	if off {
		cancel()
		return nil, errCut
	}
	return http.DefaultTransport.RoundTrip(r.WithContext(ctx))
}

// cut ends what is under way, and all that comes until it is mended.
func (c *cord) cut(off bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
	for _, end := range c.ends {
		end()
	}
	c.ends = nil
}

// requests are those that matter to a membership: arm, state,
// restart, fire.
func (c *cord) requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func opened(t *testing.T, hs *homeserver.Client, room matrixrtc.RoomID) *client.Room {
	t.Helper()
	c := client.New(hs, nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	r, err := c.Open(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// followed is what a room tells of its members and of our own membership.
type followed struct {
	mu    sync.Mutex
	lines []string
}

// follow reads a room's updates until the room is closed.
func follow(r *client.Room) *followed {
	f := &followed{}
	go func() { // ends with the room, which the test closes
		for u := range r.Updates() {
			line := ""
			switch u := u.(type) {
			case client.Changed:
				switch u.Change.(type) {
				case matrixrtc.MemberJoined:
					line = "joined"
				case matrixrtc.MemberLeft:
					line = "left"
				}
			case client.Own:
				line = "own " + string(u.State)
			}
			if line != "" {
				f.mu.Lock()
				f.lines = append(f.lines, line)
				f.mu.Unlock()
			}
		}
	}()
	return f
}

func (f *followed) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lines)
}

// await waits until these are the lines, of one kind if that is all that is
// asked for.
func (f *followed) await(t *testing.T, what string, want ...string) {
	t.Helper()
	rtctest.Eventually(t, 2*time.Minute, what, func() (bool, string) {
		got := f.list()
		if strings.HasPrefix(want[0], "own ") {
			got = slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s, "own ") })
		}
		return slices.Equal(got, want), fmt.Sprintf("%q", got)
	})
}
