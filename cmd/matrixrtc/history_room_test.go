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

// The past of a room is read once, by somebody who came later; then what is new;
// and it can be shown when nobody answers any more.
func TestHistoryOfRoom(t *testing.T) {
	t.Parallel()
	hs := dendrite(t)
	alice, bob, carol := register(t, hs, "alice"), register(t, hs, "bob"), register(t, hs, "carol")
	room, err := alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true, Alias: "daily"})
	if err != nil {
		t.Fatal(err)
	}
	alias := "#daily:" + hs.ServerName()
	if _, err := bob.hs.Join(t.Context(), string(room)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		alice.says(t, room, "ALICE", true)
		bob.says(t, room, "BOB", true)
		alice.says(t, room, "ALICE", false)
		bob.says(t, room, "BOB", false)
	}
	bob.says(t, room, "PHONE", true)

	front := newSlowly(t, hs.URL())
	p := newHistory(t)
	path := filepath.Join(p.home, "password")
	if err := os.WriteFile(path, []byte(carol.password), 0o600); err != nil {
		t.Fatal(err)
	}
	p.must("login", "--homeserver", front.URL, "--user", "carol", "--password-file", path)
	p.fails(exitNotPermitted, "is not in", "history", string(room))
	p.fails(exitUsage, "nobody has the alias", "history", "#nothing:"+hs.ServerName())
	if _, err := carol.hs.Join(t.Context(), string(room)); err != nil {
		t.Fatal(err)
	}

	// Ctrl-C in the middle keeps what was read.
	front.pages.Store(2)
	r := p.start("history", string(room), "--json")
	rtctest.Eventually(t, 30*time.Second, "it waits for a page", func() (bool, string) {
		return len(front.asked) > 0, fmt.Sprintf("pages left %d; %s%s", front.pages.Load(), r.out.String(), r.errs.String())
	})
	if code := r.interrupt(); code != exitInterrupted || r.out.String() != "" {
		t.Errorf("interrupted it ends with %d and prints %s", code, r.out.String())
	}
	if errs := r.errs.String(); !strings.Contains(errs, "10 events, back to ") || !strings.Contains(errs, "are kept") {
		t.Errorf("interrupted it says %s", errs)
	}
	front.pages.Store(1 << 30)

	read := func(args ...string) (out string, events, fresh string) {
		t.Helper()
		code, out, errs := p.run(append([]string{"history"}, args...)...)
		m := readLine.FindStringSubmatch(errs)
		if code != exitOK || m == nil {
			t.Fatalf("history %q ends with %d and says %s", args, code, errs)
		}
		return out, m[2], m[3]
	}
	const before = "ALICE 3, BOB 3, PHONE 1!"
	whole, _, fresh := read(alias, "--json")
	if got := stays(t, whole); got != before {
		t.Errorf("there were %s, want %s", got, before)
	}
	if fresh == "0" {
		t.Error("an interrupted run has left nothing to read")
	}
	if out, events, fresh := read(string(room), "--json"); fresh != "0" || events != "5" || out != whole {
		t.Errorf("a second time it reads %s events, %s new, and prints %s", events, fresh, out)
	}
	carol.says(t, room, "CAROL", true)
	bob.says(t, room, "PHONE", false)
	if _, events, fresh := read(string(room), string(room), "--json"); fresh != "2" || events != "5" {
		t.Errorf("after two more it reads %s events, %s new", events, fresh)
	}

	kept := filepath.Join(p.home, "matrixrtc", "history.db")
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive: %v, %v", info, err)
	}
	list, _, _ := read(alias, "--me", "@bob:"+hs.ServerName())
	if !strings.Contains(list, "you and carol") || !strings.Contains(list, "ongoing") {
		t.Errorf("the list is %s", list)
	}
	hs.Stop()
	p.fails(exitUnreachable, "--offline shows what is kept", "history", string(room))
	p.fails(exitUsage, "give its id", "history", alias, "--offline")
	p.fails(exitUsage, "nothing is kept yet", "history", string(room), "--offline", "--archive", filepath.Join(p.home, "other.db"))
	p.fails(exitUsage, "not an archive", "history", string(room), "--offline", "--archive", path)
	for _, args := range [][]string{{string(room)}, {}} {
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
