package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/internal/stage"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestExamples runs the programs that newcomers copy, against a homeserver that
// announces the site as docs/hosting.md asks for it.
func TestExamples(t *testing.T) {
	c := newCall(t)
	alice := c.cast(stage.Role{Name: "alice", Dialect: matrixrtc.Call, Sources: func() []media.Source {
		return []media.Source{samples.Tone(true)}
	}})
	c.do("alice joins", alice.Join)

	front := announcing(t, c.stage)
	guest := homeservertest.Register(t, front, "guest")
	homeservertest.Join(t, guest, c.stage.Room())
	token := "MATRIX_TOKEN=" + guest.Credentials().AccessToken

	join := runExample(t, "join", token, front, string(c.stage.Room()))
	join.says("@alice:" + c.stage.Homeserver().ServerName() + " is in m.call#ROOM")
	join.says("@alice:" + c.stage.Homeserver().ServerName() + " sends audio")
	c.agree("m.call#ROOM: alice (call), guest (call)")

	sessions := runExample(t, "sessions", token, front)
	sessions.ends()
	sessions.says("m.call#ROOM: 2 devices of 2 users")

	if err := join.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	join.ends()
	join.says(" packets of audio")
	c.agree("m.call#ROOM: alice (call)")
}

// announcing is the homeserver behind a reverse proxy that hands the question
// for transports to the site.
func announcing(t *testing.T, s *stage.Stage) (base string) {
	t.Helper()
	to := func(base string) http.Handler {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(u)
		proxy.ErrorLog = log.New(io.Discard, "", 0) // requests that their client gave up
		return proxy
	}
	mux := http.NewServeMux()
	mux.Handle("/_matrix/client/v1/rtc/transports", to(s.PublicURL()))
	mux.Handle("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", to(s.PublicURL()))
	mux.Handle("/", to(s.Homeserver().URL()))
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	return front.URL
}

// example is a program of examples/ as a process of its own.
type example struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  rtctest.Log
	done chan error
}

func runExample(t *testing.T, name, env string, args ...string) *example {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../examples/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build examples/%s: %v\n%s", name, err, out)
	}
	e := &example{t: t, name: name, cmd: exec.CommandContext(t.Context(), binary, args...), done: make(chan error, 1)}
	e.cmd.Env = append(os.Environ(), env)
	e.cmd.Stdout, e.cmd.Stderr = &e.out, &e.out
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { e.done <- e.cmd.Wait() }()
	t.Cleanup(func() {
		_ = e.cmd.Process.Kill() // it has ended unless the test failed
		<-e.done
		if t.Failed() {
			t.Logf("examples/%s said:\n%s", name, e.out.String())
		}
	})
	return e
}

func (e *example) says(text string) {
	e.t.Helper()
	rtctest.Eventually(e.t, 30*time.Second, "examples/"+e.name+" says "+text, func() (bool, string) {
		return strings.Contains(e.out.String(), text), e.out.String()
	})
}

func (e *example) ends() {
	e.t.Helper()
	select {
	case err := <-e.done:
		e.done <- err
		if err != nil {
			e.t.Fatalf("examples/%s: %v", e.name, err)
		}
	case <-time.After(30 * time.Second):
		e.t.Fatalf("examples/%s does not end", e.name)
	}
}
