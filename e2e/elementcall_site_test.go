package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server"
)

// household is a homeserver with the whole site beside it, on ports that stay
// when the site is restarted, and a room for calls.
type household struct {
	t    *testing.T
	hs   *devstack.Homeserver
	conf server.Config
	base string // of the client-server API, as clients have it
	room matrixrtc.RoomID

	site *server.Server
	stop func() // ends the site; nil: it does not run
}

// newHousehold starts the site beside a homeserver; inFront has clients reach the
// homeserver through the site, which then gives it what it lacks.
func newHousehold(t *testing.T, hs *devstack.Homeserver, inFront bool) *household {
	t.Helper()
	h := &household{t: t, hs: hs, base: hs.URL()}
	listen := "127.0.0.1:" + strconv.Itoa(freePort(t, "tcp"))
	h.conf = server.Config{
		Listen:     listen,
		Admin:      server.Admin{Listen: "127.0.0.1:0"},
		Homeserver: server.Homeserver{ServerName: hs.ServerName(), URL: hs.URL()},
		Overrides:  map[string]string{hs.ServerName(): hs.URL()},
		Media:      server.Media{Address: "127.0.0.1", Loopback: true, UDPPort: freePort(t, "udp")},
		Auth:       server.Auth{Store: filepath.Join(t.TempDir(), "leaves.db")},
	}
	if inFront {
		h.base = "http://" + listen
		h.conf.GapFill = server.GapFill{Mode: server.GapFillAuto, Proxy: true, Store: filepath.Join(t.TempDir(), "delayed.db")}
	}
	h.start()
	t.Cleanup(func() { h.end() })
	owner := registered(t, h.base, "owner", nil)
	var err error
	if h.room, err = owner.CreateRoom(t.Context(), homeserver.NewRoom{Name: "Calls", Public: true}); err != nil {
		t.Fatal(err)
	}
	return h
}

func freePort(t *testing.T, network string) int {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts the site, as it is configured, and returns when it answers.
func (h *household) start() {
	h.t.Helper()
	site, err := server.New(&h.conf, &server.Options{Admin: http.NotFoundHandler(), Logger: testLog(h.t)})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- site.Serve(ctx) }() // stop waits for done
	select {
	case <-site.Ready():
	case err := <-done:
		cancel()
		h.t.Fatal(err)
	}
	h.site, h.stop = site, func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("the site: %v", err)
		}
	}
}

// end ends the site, if it runs.
func (h *household) end() {
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// service is the address of the authorization service.
func (h *household) service() string { return h.site.ServiceURL() }

// metric is what the site says of itself: the value of a series with its labels,
// 0 if there is none.
func (h *household) metric(series string) float64 {
	h.t.Helper()
	answer, err := http.Get("http://" + h.site.AdminAddr().String() + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(answer.Body, 8<<20))
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				h.t.Fatal(err)
			}
			return v
		}
	}
	if err := lines.Err(); err != nil {
		h.t.Fatal(err)
	}
	return 0
}

// leaves is how the delayed leaves stand that were delegated, and how many are
// over and why.
func (h *household) leaves() map[string]float64 {
	h.t.Helper()
	all := map[string]float64{}
	for _, s := range []string{"waiting", "connected", "leaving"} {
		all[s] = h.metric(`matrixrtc_delegated_leaves{state="` + s + `"}`)
	}
	for _, s := range []string{"sent", "lost", "late", "given_up"} {
		all[s] = h.metric(`matrixrtc_delegated_leaves_ended_total{reason="` + s + `"}`)
	}
	maps.DeleteFunc(all, func(_ string, n float64) bool { return n == 0 })
	return all
}

// leavesBecome waits until the delegated leaves are so many in each state, all
// others none.
func (h *household) leavesBecome(within time.Duration, want map[string]float64) {
	h.t.Helper()
	rtctest.Eventually(h.t, within, fmt.Sprint("the delegated leaves are ", want), func() (bool, string) {
		got := h.leaves()
		return maps.Equal(got, want), fmt.Sprint(got)
	})
}

// player is a client of ours in the call, which counts what arrives.
type player struct {
	user matrixrtc.UserID
	room *client.Room
	call *client.Call

	mu     sync.Mutex
	frames map[flow]int
}

// flow is media of one kind from one user.
type flow struct {
	user matrixrtc.UserID
	kind media.Kind
}

// join has a client of ours join the call and publish, until the test ends.
func (h *household) join(name string, d matrixrtc.Dialect) *player {
	h.t.Helper()
	hs := registered(h.t, h.base, name, nil)
	if _, err := hs.Join(h.t.Context(), string(h.room)); err != nil {
		h.t.Fatal(err)
	}
	log := testLog(h.t)
	c := client.New(hs, &client.Options{
		Connectors: []media.Connector{livekit.New(hs, &livekit.Options{Logger: log})}, Logger: log,
	})
	p := &player{user: hs.Credentials().UserID, frames: map[flow]int{}}
	rtctest.Eventually(h.t, time.Minute, "the room comes in the sync", func() (bool, string) {
		var err error
		p.room, err = c.Open(h.t.Context(), h.room)
		if err != nil && !errors.Is(err, client.ErrNotJoined) {
			h.t.Fatal(err)
		}
		return err == nil, fmt.Sprint(err)
	})
	done := make(chan struct{})
	go func() { // waited for when the client has been closed
		defer close(done)
		p.read()
	}()
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			h.t.Errorf("close: %v", err)
		}
		<-done
	})
	var err error
	p.call, err = p.room.Join(h.t.Context(), &client.JoinOptions{
		Dialect: d, Intent: "video", Transports: []matrixrtc.Transport{matrixrtc.LiveKitTransport(h.service(), string(h.room))},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, source := range []media.Source{samples.Tone(true), samples.Picture(true)} {
		if _, err := p.call.Publish(h.t.Context(), source); err != nil {
			h.t.Fatal(err)
		}
	}
	return p
}

// read takes in what comes, until the room is closed and all tracks have ended.
func (p *player) read() {
	var tracks sync.WaitGroup
	defer tracks.Wait()
	for u := range p.room.Updates() {
		added, ok := u.(client.TrackAdded)
		if !ok {
			continue
		}
		tracks.Go(func() {
			frames, err := media.NewReader(added.Track)
			if err != nil {
				return
			}
			for {
				if _, err := frames.Next(); err != nil {
					return
				}
				// Whose it is may become known late.
				if m := added.Track.Peer().Member; m != nil {
					p.mu.Lock()
					p.frames[flow{m.User, added.Track.Kind()}]++
					p.mu.Unlock()
				}
			}
		})
	}
}

// receives waits until sound and pictures of all these users come, from now on.
func (p *player) receives(t *testing.T, users ...matrixrtc.UserID) {
	t.Helper()
	p.mu.Lock()
	before := maps.Clone(p.frames)
	p.mu.Unlock()
	rtctest.Eventually(t, time.Minute, fmt.Sprintf("our client hears and sees %v", users), func() (bool, string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, u := range users {
			for _, k := range []media.Kind{media.Audio, media.Video} {
				if f := (flow{u, k}); p.frames[f] < before[f]+20 {
					return false, fmt.Sprint(p.frames)
				}
			}
		}
		return true, ""
	})
}

// members are the users in the call as our client computes it.
func (p *player) members() (all []matrixrtc.UserID) {
	for _, session := range p.room.Sessions() {
		for m := range session.All() {
			all = append(all, m.User)
		}
	}
	slices.Sort(all)
	return all
}

// membersBecome waits until these users are in the call, and no others.
func (p *player) membersBecome(t *testing.T, within time.Duration, want ...matrixrtc.UserID) {
	t.Helper()
	slices.Sort(want)
	rtctest.Eventually(t, within, fmt.Sprintf("in the call are %v", want), func() (bool, string) {
		got := p.members()
		return slices.Equal(got, want), fmt.Sprint(got)
	})
}
