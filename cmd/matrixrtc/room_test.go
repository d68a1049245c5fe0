package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// at runs a command at a terminal, at which something is typed.
func (p *program) at(typed string, args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	keyboard, tty := terminal(p.t)
	go func() { _, _ = keyboard.WriteString(typed) }()
	var out, errs bytes.Buffer
	code = run(p.t.Context(), args, streams{tty, &out, &errs}, p.env)
	return code, out.String(), errs.String()
}

// levels reads the power levels of a room.
func levels(t *testing.T, u user, room matrixrtc.RoomID) map[string]any {
	t.Helper()
	raw, err := u.hs.StateContent(t.Context(), room, matrixrtc.TypeRoomPowerLevels, "")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// A room as homeservers make it, in which only moderators may join: who sees what,
// and who can change it.
func TestRoomPermissions(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	p := newProgram(t)
	p.login(hs, alice)
	p.login(hs, bob)
	as := func(u user, args ...string) []string {
		return append(args, "--account", "@"+u.name+":"+hs.ServerName())
	}
	for _, version := range []matrixrtc.RoomVersion{"9", "10", "12"} {
		room, err := alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true, Levels: map[string]int{}, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bob.hs.Join(t.Context(), string(room)); err != nil {
			t.Fatal(err)
		}
		p.fails(exitNotPermitted, "needs power level 50, have 0", as(bob, "room", string(room))...)
		_, out, _ := p.run(as(bob, "room", string(room))...)
		for _, want := range []string{"You may not join calls here", "org.matrix.msc3401.call.member takes level 50, and you have 0; @alice:" + hs.ServerName() + " could change that",
			"room version " + string(version), "may, but the homeserver cannot", "delayed events no, sticky events no", "1 of 2: @alice:"} {
			if !strings.Contains(out, want) {
				t.Errorf("version %s: no %q in\n%s", version, want, out)
			}
		}
		p.fails(exitNotPermitted, "they could: [@alice:", as(bob, "room", string(room), "--fix-permissions", "--yes")...)
		p.fails(exitUsage, "nobody can be asked here", as(alice, "room", string(room), "--fix-permissions")...)
		before := levels(t, alice, room)
		for _, typed := range []string{"n\n", "\x04"} {
			if code, _, errs := p.at(typed, as(alice, "room", string(room), "--fix-permissions")...); code != exitFailed || !strings.Contains(errs, "nothing was changed") {
				t.Errorf("version %s: no ends with %d: %s", version, code, errs)
			}
		}
		if diff := cmp.Diff(before, levels(t, alice, room)); diff != "" {
			t.Fatalf("version %s: changed after a no:\n%s", version, diff)
		}
		code, out, errs := p.at("y\n", as(alice, "room", string(room), "--fix-permissions")...)
		if code != exitOK || !strings.Contains(out, "50 (by default)") || !strings.Contains(out, "Done: event $") {
			t.Errorf("version %s: yes ends with %d: %s%s", version, code, out, errs)
		}
		// These and nothing else.
		for _, typ := range []string{matrixrtc.TypeCallMember, matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable} {
			before["events"].(map[string]any)[typ] = 0.0
		}
		if diff := cmp.Diff(before, levels(t, alice, room)); diff != "" {
			t.Errorf("version %s: want(-) got(+):\n%s", version, diff)
		}
		if out := p.must(as(alice, "room", string(room), "--fix-permissions")...); !strings.Contains(out, "there is nothing to change") {
			t.Errorf("version %s: a second time: %s", version, out)
		}
		if out := p.must(as(bob, "room", string(room))...); !strings.Contains(out, "You may join calls here.") {
			t.Errorf("version %s: after it: %s", version, out)
		}
		var doc report.RoomDocument
		if err := json.Unmarshal([]byte(p.must(as(alice, "room", string(room), "--fix-permissions", "--level=-1", "--yes", "--json")...)), &doc); err != nil ||
			!doc.CanJoin || doc.Joined != 2 || doc.Fix == nil || !doc.Fix.Done || len(doc.Fix.Changes) != 3 || (doc.Power == nil) != (version == "12") {
			t.Errorf("version %s: the document %+v, %v", version, doc, err)
		}
	}
	p.fails(exitUsage, "--level is for --fix-permissions", "room", "!r:x", "--level", "3")
	p.fails(exitUsage, "--member and --uncertain are for --clean", "room", "!r:x", "--uncertain")
	p.fails(exitUsage, "can't be used together", "room", "!r:x", "--clean", "--fix-permissions")
	p.fails(exitUsage, "is not a room", "room", "x")
	hs.Stop()
	p.fails(exitUnreachable, "cannot be reached", as(alice, "room", "!r:x")...)
}

// ghost states a membership of a device that is nowhere.
func (u user) ghost(t *testing.T, room matrixrtc.RoomID, device matrixrtc.DeviceID, service string, lasts time.Duration) {
	t.Helper()
	id, _ := u.hs.Self()
	m := &matrixrtc.Membership{
		Room: room, User: id, Device: device, Slot: matrixrtc.RoomCall, HasCallID: true, Lifetime: lasts,
		Application: matrixrtc.Application{Type: matrixrtc.AppCall},
		Active:      matrixrtc.Transport{Type: "livekit", Raw: json.RawMessage(`{"type":"livekit","focus_selection":"multi_sfu"}`)},
		Transports:  []matrixrtc.Transport{matrixrtc.LiveKitTransport(service, string(room))},
	}
	out, _ := matrixrtc.Call.Encode(m, "10")
	if _, err := u.hs.Send(t.Context(), room, out); err != nil {
		t.Fatal(err)
	}
}

// cleaned runs `room --clean --json` and returns certainties by device.
func (p *program) cleaned(args ...string) (doc report.Suspects, certainty map[string]string) {
	p.t.Helper()
	out := p.must(append([]string{"room", "--clean", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		p.t.Fatalf("%v in %s", err, out)
	}
	certainty = map[string]string{}
	for _, m := range doc.Members {
		certainty[string(m.Device)] = m.Certainty + " " + m.Sight
	}
	return doc, certainty
}

// keyedSite runs a site whose SFU's key is known. The other arguments are those of
// serve.
func keyedSite(t *testing.T, p *program, hs *devstack.Homeserver, args ...string) (service, livekit, admin string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	config := filepath.Join(p.home, "site.yaml")
	yaml := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\nhomeserver: {server_name: %s, url: %s}\nhomeserver_overrides: {%s: %q}\n"+
		"media: {address: 127.0.0.1, loopback: true, udp_port: -1, tcp_port: -1}\nsfu: {key: testkey, secret: %s}\nlivekit: {port: %d}\n",
		hs.ServerName(), hs.URL(), hs.ServerName(), hs.URL(), keySecret, port)
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	site := p.start(append([]string{"serve", "--config", config}, args...)...)
	site.prints("org.matrix.msc4143.rtc_foci")
	out := site.out.String()
	return "http://" + publicAddress.FindStringSubmatch(out)[1] + "/livekit/jwt", fmt.Sprintf("ws://127.0.0.1:%d", port), statusPage.FindStringSubmatch(out)[1]
}

const keySecret = "not-a-secret-but-long-enough-for-livekit"

// Members who are not on the SFU, who have left the room, whose time ran out, and one
// who is well: over a real homeserver and a real SFU.
func TestRoomClean(t *testing.T) {
	hs := devstacktest.Dendrite(t, nil)
	alice, bob, carol := register(t, hs, "alice"), register(t, hs, "bob"), register(t, hs, "carol")
	room, err := alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true})
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	for _, u := range []user{alice, bob, carol} {
		if _, err := u.hs.Join(t.Context(), string(room)); err != nil {
			t.Fatal(err)
		}
		p.login(hs, u)
	}
	service, livekit, admin := keyedSite(t, p, hs, "--watch", string(room), "--account", "@alice:"+hs.ServerName())
	p.env = append(p.env, "LIVEKIT_KEY=testkey", "LIVEKIT_SECRET="+keySecret)
	as := func(u user, args ...string) []string {
		return append([]string{string(room), "--account", "@" + u.name + ":" + hs.ServerName()}, args...)
	}
	sfu := []string{"--sfu", livekit, "--service", service}

	born := time.Now()
	alice.ghost(t, room, "CRASHED", service, 4*time.Hour)
	bob.ghost(t, room, "OLD", service, 4*time.Hour)
	bob.ghost(t, room, "ELSEWHERE", "http://127.0.0.1:1/jwt", 4*time.Hour)
	carol.ghost(t, room, "LATE", service, time.Second)
	carol.ghost(t, room, "GONE", service, 4*time.Hour)
	if err := carol.hs.Leave(t.Context(), room); err != nil {
		t.Fatal(err)
	}
	b := p.start(append([]string{"join"}, as(bob, "--publish", "tone", "--transport", service)...)...)
	b.prints("sending")
	device := joinedDevice(t, p, bob, hs)
	watch := p.start(append([]string{"watch"}, as(alice, append(sfu, "--json")...)...)...)
	watch.prints(`"change":"watching"`)

	// Who came a moment ago is not taken for dead.
	if _, got := p.cleaned(as(alice, sfu...)...); time.Since(born) < 25*time.Second && got["CRASHED"] != "alive absent" {
		t.Errorf("at once: %v", got)
	}
	want := map[string]string{"CRASHED": "likely absent", "OLD": "likely absent", "ELSEWHERE": "alive not_ours",
		"LATE": "certain not_ours", "GONE": "certain not_ours", device: "alive present"}
	rtctest.Eventually(t, 90*time.Second, "those who are not on the SFU are found", func() (bool, string) {
		doc, got := p.cleaned(as(bob, sfu...)...)
		if !doc.DryRun || doc.Ended != 0 {
			t.Fatalf("without a terminal members are ended: %+v", doc)
		}
		if time.Since(born) < 29*time.Second && got["CRASHED"] != "alive absent" {
			t.Fatalf("young and dead: %v", got)
		}
		diff := cmp.Diff(want, got)
		return diff == "", diff
	})
	watch.prints(`"change":"member_suspected"`)
	watch.prints(`"certainty":"likely","reasons":["no_participant"]`)
	shows(t, admin, "@alice:"+hs.ServerName()+"/CRASHED is probably dead: nobody on the SFU is that device")

	// Bob ends his own, and nobody else's; asked by the SFU's key.
	code, out, errs := p.at("y\n", append([]string{"room", "--clean", "--grace", "1s"}, as(bob, sfu...)...)...)
	if code != exitOK || !strings.Contains(out, "Ended @bob:"+hs.ServerName()+"/OLD.") || strings.Count(out, "Ended ") != 1 ||
		!strings.Contains(errs, "dead memberships that this account may not end: 3") {
		t.Errorf("bob's cleaning ends with %d: %s%s", code, out, errs)
	}
	// What seems to be well is ended if it is one's own and named.
	p.fails(exitNotPermitted, "cannot be ended", append([]string{"room", "--clean", "--yes", "--member", "@alice:" + hs.ServerName() + "/CRASHED"}, as(bob)...)...)
	p.fails(exitUsage, "no such membership", append([]string{"room", "--clean", "--yes", "--member", "@bob:x/NONE"}, as(bob)...)...)
	doc, _ := p.cleaned(as(bob, "--yes", "--member", "@bob:"+hs.ServerName()+"/ELSEWHERE")...)
	if doc.Ended != 1 || doc.Chosen != 1 {
		t.Errorf("the one that is named: %+v", doc)
	}

	// Alice may redact, and so tidy up; asked through a site's admin listener.
	if code, out, errs := p.at("no\n", append([]string{"room", "--clean"}, as(alice, "--site", admin)...)...); code != exitFailed || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("a no ends with %d: %s%s", code, out, errs)
	}
	doc, _ = p.cleaned(as(alice, "--site", admin, "--yes", "--grace", "1s")...)
	if doc.Ended != 3 || doc.Chosen != 3 {
		t.Errorf("alice ends %d of %d: %+v", doc.Ended, doc.Chosen, doc.Members)
	}
	watch.prints(`"change":"member_left"`)
	rtctest.Eventually(t, 20*time.Second, "only bob is left", func() (bool, string) {
		_, got := p.cleaned(as(alice, "--site", admin)...)
		return len(got) == 1 && got[device] == "alive present", fmt.Sprint(got)
	})
	p.fails(exitUnreachable, "cannot be asked", append([]string{"room", "--clean"}, as(alice, "--site", "http://127.0.0.1:1")...)...)
	p.fails(exitUnreachable, "cannot be asked", append([]string{"room", "--clean"}, as(alice, "--sfu", "ws://127.0.0.1:1", "--service", service)...)...)
	if code := b.interrupt(); code != exitOK {
		t.Errorf("join ends with %d", code)
	}
	if code := watch.interrupt(); code != exitOK {
		t.Errorf("watch ends with %d", code)
	}
}

// shows waits until the status page shows a text.
func shows(t *testing.T, page, text string) {
	t.Helper()
	rtctest.Eventually(t, 30*time.Second, "the status page shows "+text, func() (bool, string) {
		res, err := http.Get(page + "status.json")
		if err != nil {
			return false, err.Error()
		}
		defer res.Body.Close()
		doc, err := io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(doc), text), string(doc)
	})
}

// joinedDevice is the device that a stored login is.
func joinedDevice(t *testing.T, p *program, u user, hs *devstack.Homeserver) string {
	t.Helper()
	creds, err := accountDir(filepath.Join(p.home, "accounts")).store("@" + u.name + ":" + hs.ServerName()).Load()
	if err != nil {
		t.Fatal(err)
	}
	return string(creds.DeviceID)
}

// The documents are contracts: what they hold stands in docs/cli.md.
func TestRoomDocumented(t *testing.T) {
	t.Parallel()
	m := chapter(t, "### The document of `room --json`")
	m.tells(t, "../../internal/report/testdata/room.json", "transports") // which stand as the homeserver says them
	for word, told := range chapter(t, "### The document of `sessions --json`") {
		m[word] = m[word] || told // what is said there of a member
	}
	m.tells(t, "../../internal/report/testdata/suspects.json", "transport")
	table := chapter(t, "## room")
	for _, words := range [][]string{{"certain", "likely", "possible", "alive"}, {"sender_gone", "expired", "superseded", "no_participant", "silent"}} {
		for _, w := range words {
			if !table[w] {
				t.Errorf("docs/cli.md does not tell what %q is", w)
			}
		}
	}
}
