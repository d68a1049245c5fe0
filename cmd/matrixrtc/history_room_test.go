package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// says lets a user state a call membership, or end it.
func (u user) says(t *testing.T, room matrixrtc.RoomID, device string, in bool) {
	t.Helper()
	self, _ := u.hs.Self()
	key, content := fmt.Sprintf("_%s_%s_m.call", self, device), `{}`
	if in {
		content = fmt.Sprintf(`{"application":"m.call","call_id":"","scope":"m.room","device_id":%q,"expires":14400000,`+
			`"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[]}`, device)
	}
	if _, err := u.hs.Send(t.Context(), room, matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: json.RawMessage(content)}); err != nil {
		t.Fatal(err)
	}
}

// slowly is a homeserver's front that gives pages of a few events, and stops
// answering for a page when it is told to.
type slowly struct {
	*httptest.Server
	pages atomic.Int64 // that may yet be given
	asked chan struct{}
}

func newSlowly(t *testing.T, target string) *slowly {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	s := &slowly{asked: make(chan struct{}, 100)}
	s.pages.Store(1 << 30)
	proxy := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		if q := r.Out.URL.Query(); strings.HasSuffix(r.In.URL.Path, "/messages") {
			q.Set("limit", "5")
			r.Out.URL.RawQuery = q.Encode()
		}
	}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/messages") && s.pages.Add(-1) < 0 {
			s.asked <- struct{}{}
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// stays reads JSON Lines as how often each device was in a call, with an
// exclamation mark behind who is there yet.
func stays(t *testing.T, out string) string {
	t.Helper()
	count, there, last := map[string]int{}, map[string]string{}, int64(0)
	for line := range strings.Lines(out) {
		var c struct {
			Start        int64 `json:"start_ts"`
			Participants []struct {
				Device string `json:"device_id"`
				Stays  []struct {
					End *int64 `json:"end_ts"`
				} `json:"stays"`
			} `json:"participants"`
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if c.Start < last {
			t.Errorf("calls are not sorted by their start:\n%s", out)
		}
		last = c.Start
		for _, p := range c.Participants {
			for _, s := range p.Stays {
				count[p.Device]++
				if s.End == nil {
					there[p.Device] = "!"
				}
			}
		}
	}
	var list []string
	for _, device := range slices.Sorted(maps.Keys(count)) {
		list = append(list, fmt.Sprintf("%s %d%s", device, count[device], there[device]))
	}
	return strings.Join(list, ", ")
}

var readLine = regexp.MustCompile(`matrixrtc: read (\S+): (\d+) events?, back to [^,]+, (\d+) new\n`)

// pastScene is a room with a past at a real homeserver, which carol, who is
// logged in with the program, has joined later.
type pastScene struct {
	t                 *testing.T
	hs                *devstack.Homeserver
	front             *slowly // through which the program speaks
	p                 *program
	room              matrixrtc.RoomID
	alias             string
	alice, bob, carol user
}

func newPastScene(t *testing.T) *pastScene {
	t.Helper()
	s := &pastScene{t: t, hs: devstacktest.Dendrite(t, nil)}
	s.alice, s.bob, s.carol = register(t, s.hs, "alice"), register(t, s.hs, "bob"), register(t, s.hs, "carol")
	var err error
	s.room, err = s.alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true, Alias: "daily"})
	if err != nil {
		t.Fatal(err)
	}
	s.alias = "#daily:" + s.hs.ServerName()
	if _, err := s.bob.hs.Join(t.Context(), string(s.room)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.alice.says(t, s.room, "ALICE", true)
		s.bob.says(t, s.room, "BOB", true)
		s.alice.says(t, s.room, "ALICE", false)
		s.bob.says(t, s.room, "BOB", false)
	}
	s.bob.says(t, s.room, "PHONE", true)

	s.front, s.p = newSlowly(t, s.hs.URL()), newHistory(t)
	path := filepath.Join(s.p.home, "password")
	if err := os.WriteFile(path, []byte(s.carol.password), 0o600); err != nil {
		t.Fatal(err)
	}
	s.p.must("login", "--homeserver", s.front.URL, "--user", "carol", "--password-file", path)
	s.p.fails(exitNotPermitted, "is not in", "history", string(s.room))
	s.p.fails(exitUsage, "nobody has the alias", "history", "#nothing:"+s.hs.ServerName())
	if _, err := s.carol.hs.Join(t.Context(), string(s.room)); err != nil {
		t.Fatal(err)
	}
	return s
}

// interrupted: Ctrl-C in the middle keeps what was read.
func (s *pastScene) interrupted() {
	s.t.Helper()
	s.front.pages.Store(2)
	r := s.p.start("history", string(s.room), "--json")
	rtctest.Eventually(s.t, 30*time.Second, "it waits for a page", func() (bool, string) {
		return len(s.front.asked) > 0, fmt.Sprintf("pages left %d; %s%s", s.front.pages.Load(), r.out.String(), r.errs.String())
	})
	if code := r.interrupt(); code != exitInterrupted || r.out.String() != "" {
		s.t.Errorf("interrupted it ends with %d and prints %s", code, r.out.String())
	}
	if errs := r.errs.String(); !strings.Contains(errs, "10 events, back to ") || !strings.Contains(errs, "are kept") {
		s.t.Errorf("interrupted it says %s", errs)
	}
	s.front.pages.Store(1 << 30)
}

// read is history with back-fill: what it prints, and how many events it has
// read, and how many of them were new.
func (s *pastScene) read(args ...string) (out string, events, fresh string) {
	s.t.Helper()
	code, out, errs := s.p.run(append([]string{"history"}, args...)...)
	m := readLine.FindStringSubmatch(errs)
	if code != exitOK || m == nil {
		s.t.Fatalf("history %q ends with %d and says %s", args, code, errs)
	}
	return out, m[2], m[3]
}

// offline: what is kept is there when nobody answers any more.
func (s *pastScene) offline() {
	s.t.Helper()
	t, p, room := s.t, s.p, string(s.room)
	s.hs.Stop()
	p.fails(exitUnreachable, "--offline shows what is kept", "history", room)
	p.fails(exitUsage, "give its id", "history", s.alias, "--offline")
	p.fails(exitUsage, "nothing is kept yet", "history", room, "--offline", "--archive", filepath.Join(p.home, "other.db"))
	p.fails(exitUsage, "not an archive", "history", room, "--offline", "--archive", filepath.Join(p.home, "password"))
	for _, args := range [][]string{{room}, {}} {
		out := p.must(append([]string{"history", "--offline", "--json"}, args...)...)
		if got, want := stays(t, out), "ALICE 3, BOB 3, CAROL 1!, PHONE 1"; got != want {
			t.Errorf("offline there were %s, want %s", got, want)
		}
	}
	if out := p.must("history", "!other:x", "--offline"); out != "No calls.\n" {
		t.Errorf("of a room that is not kept it prints %s", out)
	}
	if out := p.must("history", "--offline", "--stats"); !strings.Contains(out, "MISSED") {
		t.Errorf("whose missed calls are told is not known: %s", out)
	}
	p.must("logout", "--force")
	if out := p.must("history", "--offline", "--stats"); strings.Contains(out, "MISSED") {
		t.Errorf("without a login somebody's missed calls are told: %s", out)
	}
}

// The past of a room is read once, by somebody who came later; then what is new;
// and it can be shown when nobody answers any more.
func TestHistoryOfRoom(t *testing.T) {
	t.Parallel()
	s := newPastScene(t)
	s.interrupted()
	whole, _, fresh := s.read(s.alias, "--json")
	if got, want := stays(t, whole), "ALICE 3, BOB 3, PHONE 1!"; got != want {
		t.Errorf("there were %s, want %s", got, want)
	}
	if fresh == "0" {
		t.Error("an interrupted run has left nothing to read")
	}
	if out, events, fresh := s.read(string(s.room), "--json"); fresh != "0" || events != "5" || out != whole {
		t.Errorf("a second time it reads %s events, %s new, and prints %s", events, fresh, out)
	}
	s.carol.says(t, s.room, "CAROL", true)
	s.bob.says(t, s.room, "PHONE", false)
	if _, events, fresh := s.read(string(s.room), string(s.room), "--json"); fresh != "2" || events != "5" {
		t.Errorf("after two more it reads %s events, %s new", events, fresh)
	}
	kept := filepath.Join(s.p.home, "matrixrtc", "history.db")
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive: %v, %v", info, err)
	}
	list, _, _ := s.read(s.alias, "--me", "@bob:"+s.hs.ServerName())
	if !strings.Contains(list, "you and carol") || !strings.Contains(list, "ongoing") {
		t.Errorf("the list is %s", list)
	}
	s.offline()
}
