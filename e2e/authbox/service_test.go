package authbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// patience is for what takes a moment on an idle machine, and a while on a busy one.
const patience = time.Minute

// env is the environment of a service.
type env map[string]string

// with is env and more; an empty value takes one away.
func (e env) with(more env) env {
	out := maps.Clone(e)
	maps.Copy(out, more)
	return out
}

// list is what exec wants, with what every process needs to run at all, and
// nothing else of this process's environment.
func (e env) list() []string {
	all := env{"SSL_CERT_FILE": suite.ca.file, "MATRIXRTC_ADMIN_LISTEN": "off", "HOME": suite.dir}
	if !readsCertFile() {
		all["LIVEKIT_INSECURE_SKIP_VERIFY_TLS"] = "YES_I_KNOW_WHAT_I_AM_DOING"
	}
	for _, name := range []string{"PATH", "SYSTEMROOT", "TMPDIR", "TEMP"} {
		all[name] = os.Getenv(name)
	}
	var list []string
	for name, value := range all.with(e) {
		if value != "" {
			list = append(list, name+"="+value)
		}
	}
	slices.Sort(list)
	return list
}

// readsCertFile says whether programs here trust what SSL_CERT_FILE names. Others
// are told to trust everybody.
func readsCertFile() bool { return runtime.GOOS != "darwin" && runtime.GOOS != "windows" }

// service is the service as a process.
type service struct {
	*child
	t   testing.TB
	env env
	url string // where it listens
}

// start starts the service at an address of its own, and returns when it answers.
func start(t testing.TB, e env) *service {
	t.Helper()
	for try := 0; ; try++ {
		addr := freeAddr(t)
		s := launch(t, e.with(env{"LIVEKIT_JWT_BIND": addr}))
		s.url = "http://" + addr
		t.Cleanup(func() {
			s.kill()
			if t.Failed() {
				t.Logf("the service at %s wrote:\n%s", addr, &s.log)
			}
		})
		if s.up() {
			return s
		}
		if try == 3 || !strings.Contains(s.log.String(), "taken") && !strings.Contains(s.log.String(), "in use") {
			t.Fatalf("the service has ended: %v", s.err)
		}
	}
}

// launch starts the process and does not wait for anything. It must be ended.
func launch(t testing.TB, e env) *service {
	t.Helper()
	cmd := exec.Command(suite.command[0], suite.command[1:]...)
	cmd.Env, cmd.Dir = e.list(), suite.dir
	c, err := begin(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return &service{child: c, t: t, env: e}
}

// up waits until the service answers, and says whether it has not ended instead.
func (s *service) up() (ok bool) {
	s.t.Helper()
	rtctest.Eventually(s.t, patience, "the service answers", func() (bool, string) {
		select {
		case <-s.done:
			return true, "it has ended"
		default:
		}
		res, err := http.Get(s.url + "/healthz")
		if err != nil {
			return false, err.Error()
		}
		defer res.Body.Close()
		ok = res.StatusCode == http.StatusOK
		return ok, res.Status
	})
	return ok
}

// again starts a service with the environment and at the address of one that has
// ended.
func (s *service) again() *service {
	s.t.Helper()
	next := launch(s.t, s.env)
	next.url = s.url
	s.t.Cleanup(next.kill)
	if !next.up() {
		s.t.Fatalf("the service does not start again: %v\n%s", next.err, &next.log)
	}
	return next
}

// stop asks the process to end.
func (s *service) stop() {
	s.t.Helper()
	if runtime.GOOS == "windows" {
		s.t.Skip("needs signals: run this on a Unix")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

// ended waits for the end of the process and says what it was.
func (s *service) ended(within time.Duration) string {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(within):
		s.t.Fatalf("the service still runs after %v; it wrote:\n%s", within, &s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code >= 0 {
		return fmt.Sprintf("exit status %d", code)
	}
	return "ended by the signal"
}

// freePort is a loopback port that nobody listens on at this moment. It is below
// those that systems give to listeners that do not care, and none is given twice:
// else two services that start at the same time could be taken for each other.
func freePort() (int, error) {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		if suite.ports[port] {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		suite.ports[port] = true
		return port, l.Close()
	}
	return 0, errors.New("no port is free")
}

func freeAddr(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strconv.Itoa(port)
}

// file writes a file for one test.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// reply is an answer of the service.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// said is what counts of an answer, as text: the status and the error code.
func (r *reply) said() string {
	text := fmt.Sprint(r.status)
	if code, ok := r.object()["errcode"].(string); ok {
		text += " " + code
	}
	return text
}

// request is what is sent. The method is POST if it is empty.
type request struct {
	method, path string
	header       map[string]string
	body         []byte
}

// do sends a request and reads the answer.
func (s *service) do(q request) *reply {
	s.t.Helper()
	r, err := send(s.t.Context(), http.DefaultClient, s.url, q)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func send(ctx context.Context, client *http.Client, base string, q request) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if q.method == "" {
		q.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, q.method, base+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	if len(q.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range q.header {
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return &reply{res.StatusCode, res.Header, body}, err
}
