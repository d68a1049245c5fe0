package main

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// What is asked for wrongly is said before anybody hears of us.
func TestAskedForWrongly(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.fails(exitUsage, "--transport", "join", "!r:x", "--transport", "rtc.example.org")
	p.fails(exitUsage, "90s", "join", "!r:x", "--for=-1s")
	p.fails(exitUsage, "90s", "join", "!r:x", "--expires=-1s")
	p.fails(exitUsage, "90s", "watch", "!r:x", "--for=-1s")
	p.fails(exitUsage, "want http://", "login", "--user", "a", "--homeserver", "ftp://x")
}

// The token of somebody else is not stored under the name that was asked for.
func TestLoginWithTokenOfAnother(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	p := newProgram(t)
	u := register(t, hs, "alice")
	path := filepath.Join(p.home, "token")
	if err := os.WriteFile(path, []byte(u.hs.Credentials().AccessToken), 0o600); err != nil {
		t.Fatal(err)
	}
	p.fails(exitUsage, "the token is that of @alice:", "login", "--homeserver", hs.URL(), "--user", "bob", "--token-file", path)
	if names := p.stored(); len(names) != 0 {
		t.Errorf("stored: %q", names)
	}
	p.must("login", "--homeserver", hs.URL(), "--user", "alice", "--token-file", path)
}

// An open status page is told when the site ends, and does not hold it up.
func TestServeSaysGoodbye(t *testing.T) {
	p := newProgram(t)
	site := p.start("serve", "--server-name", "example.org", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
		"--config", p.file("site.yaml", "media: {loopback: true, udp_port: -1}\n"))
	site.prints("status page")
	page := regexp.MustCompile(`http://\S+/`).FindString(site.out.String()[strings.Index(site.out.String(), "status page"):])
	res, err := http.Get(page + "status/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() {
		t.Fatal("the page gets nothing")
	}
	began := time.Now()
	if code := site.interrupt(); code != exitOK {
		t.Errorf("serve ends with %d", code)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the end took %v", took)
	}
	said := false
	for lines.Scan() {
		said = said || lines.Text() == "event: bye"
	}
	if !said {
		t.Error("the page was not told that the site ends")
	}
}

func (p *program) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.home, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// A pipe without a writer does not keep Ctrl-C from ending the program.
func TestPipeWithoutWriter(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"sessions"}, {"join", "!r:x", "--publish"}} {
		p := newProgram(t)
		pipe := filepath.Join(p.home, "pipe")
		if err := makeFIFO(pipe); err != nil {
			t.Skipf("needs named pipes: run this on a Unix (%v)", err)
		}
		r := p.start(append(args, pipe)...)
		r.cancel()
		rtctest.Eventually(t, 10*time.Second, strings.Join(args, " ")+" ends", func() (bool, string) {
			return len(r.ended) == 1, "it reads on"
		})
		if code := r.interrupt(); code != exitInterrupted {
			t.Errorf("%q ends with %d", args, code)
		}
	}
}
