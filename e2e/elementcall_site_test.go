package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
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
	h.room = homeservertest.Room(t, homeservertest.Register(t, h.base, "owner"))
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
