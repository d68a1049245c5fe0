package gapfill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/childtest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// childEnv makes this test binary a site: "URL of the homeserver, file".
const childEnv = "GAPFILL_TEST_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		url, path, _ := strings.Cut(job, " ")
		fmt.Println("error:", child(url, path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child is a site until it is killed.
func child(url, path string) error {
	store, err := gapfill.OpenStore(path)
	if err != nil {
		return err
	}
	opts := &gapfill.Options{MaxScheduled: 10_000}
	opts.UserRate.PerSecond, opts.AddressRate.PerSecond = -1, -1
	svc, err := gapfill.New(gapfill.Config{Homeserver: url, Store: store, Key: testKey, Mode: gapfill.On}, opts)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + ln.Addr().String())
	go func() { // it does not outlive the test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(ln, svc.Handler())
}

func startChild(t *testing.T, homeserver, path string) *childtest.Child {
	t.Helper()
	c := childtest.Start(t, childEnv+"="+homeserver+" "+path, os.Args[0])
	if !strings.HasPrefix(c.Ready, "http://") {
		t.Fatalf("the child says %q", c.Ready)
	}
	return c
}

// fate is what was promised about an event.
type fate struct{ cancelled, doubtful bool }

// TestKilled kills a site at any moment, again and again: whatever it has said
// yes to happens, once.
func TestKilled(t *testing.T) {
	t.Parallel()
	cycles := 30
	if testing.Short() {
		cycles = 5
	}
	hs := newFakeHS()
	srv := httptest.NewServer(http.HandlerFunc(hs.serve))
	defer srv.Close()
	path := filepath.Join(t.TempDir(), "delayed.db")

	var mu sync.Mutex
	fates := map[string]fate{}
	for range cycles {
		c := startChild(t, srv.URL, path)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					name, f := talk(ctx, c.Ready)
					mu.Lock()
					fates[name] = f
					mu.Unlock()
				}
			})
		}
		time.AfterFunc(time.Duration(50+rand.IntN(250))*time.Millisecond, stop)
		<-ctx.Done()
		c.Kill()
		wg.Wait()
	}
	c := startChild(t, srv.URL, path)
	defer c.Kill()
	rtctest.Eventually(t, 2*time.Minute, "everything that was promised is sent", func() (bool, string) {
		times := sentTimes(hs)
		for name, f := range fates {
			if !f.cancelled && !f.doubtful && times[name] == 0 {
				return false, name + " is missing, of " + fmt.Sprint(len(fates))
			}
		}
		return true, ""
	})
	n := map[string]int{}
	for name, times := range sentTimes(hs) {
		f, known := fates[name]
		n[fmt.Sprintf("%+v", f)]++
		if times != 1 || !known || f.cancelled {
			t.Errorf("%s was sent %d times (%+v)", name, times, f)
		}
	}
	if n[fmt.Sprintf("%+v", fate{})] < cycles {
		t.Errorf("few of %d events were promised in the time of %d kills: %v", len(fates), cycles, n)
	}
	t.Logf("%d events, %d kills; sent: %v", len(fates), cycles, n)
}

// sentTimes counts what the homeserver has taken, by name.
func sentTimes(hs *fakeHS) map[string]int {
	times := map[string]int{}
	for _, e := range hs.events("t") {
		times[e["content"].(object)["name"].(string)]++
	}
	return times
}

// talk schedules an event and does something to it. What was not answered is
// doubtful.
func talk(ctx context.Context, url string) (name string, f fate) {
	name = fmt.Sprint(rand.Uint64())
	target := "/_matrix/client/v3/rooms/!r:hs/send/t/" + name
	if rand.IntN(2) == 0 {
		target = "/_matrix/client/v3/rooms/!r:hs/state/t/" + name
	}
	delay := []string{"40", "400"}[rand.IntN(2)]
	status, answer := request(ctx, http.MethodPut, url+target+"?org.matrix.msc4140.delay="+delay, `{"name":"`+name+`"}`)
	id, _ := answer["delay_id"].(string)
	if status != http.StatusOK {
		return name, fate{doubtful: true}
	}
	switch action := []string{"restart", "cancel", "send", ""}[rand.IntN(4)]; action {
	case "":
	default:
		status, _ := request(ctx, http.MethodPost, url+unstable+"/delayed_events/"+id+"/"+action, "")
		switch {
		case action == "cancel" && status == http.StatusOK:
			f.cancelled = true
		case action == "cancel" && status == 0:
			f.doubtful = true
		}
	}
	return name, f
}

func request(ctx context.Context, method, url, body string) (status int, answer object) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer alice-token")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	if json.NewDecoder(res.Body).Decode(&answer) != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}
