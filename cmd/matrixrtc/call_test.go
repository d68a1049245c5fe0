package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// user is an account with a password, and a client of another device of it.
type user struct {
	name, password string
	hs             *homeserver.Client
}

func register(t *testing.T, hs *devstack.Homeserver, name string) user {
	t.Helper()
	u := user{name: name, password: rand.Text()}
	var err error
	u.hs, err = homeserver.Register(t.Context(), hs.URL(), homeserver.Registration{User: name, Password: u.password}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.hs.Close() })
	return u
}

// login logs a user in with the program.
func (p *program) login(hs *devstack.Homeserver, u user) {
	p.t.Helper()
	path := filepath.Join(p.home, u.name+".password")
	if err := os.WriteFile(path, []byte(u.password+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	out := p.must("login", "--homeserver", hs.URL(), "--user", u.name, "--password-file", path)
	if strings.Contains(out, u.password) {
		p.t.Error("login prints the password")
	}
}

func (p *program) stored() []string {
	p.t.Helper()
	names, err := accountDir(filepath.Join(p.home, "accounts")).list()
	if err != nil {
		p.t.Fatal(err)
	}
	return names
}

func TestLoginAndLogout(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	p := newProgram(t)
	p.login(hs, alice)
	if names := p.stored(); len(names) != 1 || names[0] != "@alice:"+hs.ServerName() {
		t.Fatalf("stored %q", names)
	}
	store := accountDir(filepath.Join(p.home, "accounts")).store("@alice:" + hs.ServerName())
	if info, err := os.Stat(store.Path()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the login's file: %v, %v", info, err)
	}
	first, err := store.Load()
	if err != nil {
		t.Fatal(err)
	}

	// A second login uses the device again.
	p.login(hs, alice)
	second, err := store.Load()
	if err != nil || second.DeviceID != first.DeviceID || second.AccessToken == first.AccessToken {
		t.Errorf("a second login: %v after %v, %v", second, first, err)
	}

	// A token of a device that somebody else has made, under a name.
	other := bob.hs.Credentials()
	q := *p
	q.env = append(environ{"MATRIXRTC_TOKEN=" + other.AccessToken}, p.env...)
	out := q.must("login", "--homeserver", hs.URL(), "--account", "the bot")
	if strings.Contains(out, other.AccessToken) || !strings.Contains(out, "@bob:"+hs.ServerName()) {
		t.Errorf("login with a token prints %q", out)
	}
	p.fails(exitUsage, "choose one with --account: @alice:"+hs.ServerName()+", the bot", "watch", "!r:x")
	p.fails(exitUsage, `there is no login "nobody"`, "logout", "--account", "nobody")

	// What is wrong is said, and keeps nothing.
	q = *p
	q.env = append(environ{"MATRIXRTC_PASSWORD=wrong"}, p.env...)
	q.fails(exitNotPermitted, "wrong user name or password", "login", "--homeserver", hs.URL(), "--user", "bob")
	p.fails(exitUsage, "no password", "login", "--homeserver", hs.URL(), "--user", "bob")
	p.fails(exitUsage, "who logs in?", "login", "--homeserver", hs.URL())
	p.fails(exitUsage, "which homeserver?", "login", "--user", "bob")
	p.fails(exitNotPermitted, "does not accept our access token", "login", "--homeserver", hs.URL(), "--token", "nonsense")
	p.fails(exitUnreachable, "cannot be reached", "login", "--homeserver", "http://127.0.0.1:1", "--token", "nonsense")

	p.must("logout", "--account", "@alice:"+hs.ServerName())
	p.must("logout")
	if names := p.stored(); len(names) != 0 {
		t.Errorf("after the logouts there is %q", names)
	}
	for _, creds := range []homeserver.Credentials{second, other} {
		if _, err := homeserver.WithToken(t.Context(), hs.URL(), creds.AccessToken, nil); !errors.Is(err, homeserver.ErrUnauthorized) {
			t.Errorf("the token of %v still holds: %v", creds, err)
		}
	}
	p.fails(exitNotPermitted, "log in with: matrixrtc login", "logout")
}

// What a room does not allow is said by a code and in words.
func TestRoomsThatRefuse(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	p := newProgram(t)
	p.login(hs, bob)
	closed, err := alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true, Levels: map[string]int{}, Alias: "closed"})
	if err != nil {
		t.Fatal(err)
	}
	p.fails(exitNotPermitted, "is not in", "watch", string(closed))
	p.fails(exitUsage, "nobody has the alias", "join", "#nothing:"+hs.ServerName())
	if _, err := bob.hs.Join(t.Context(), string(closed)); err != nil {
		t.Fatal(err)
	}
	p.fails(exitNotPermitted, "needs power level 50, have 0", "join", "#closed:"+hs.ServerName(), "--transport", "http://127.0.0.1:1")

	open, err := alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.hs.Join(t.Context(), string(open)); err != nil {
		t.Fatal(err)
	}
	p.fails(exitUsage, "only Opus in .ogg and VP8 in .ivf", "join", string(open), "--publish", "testdata/events.jsonl")
	key := ""
	if _, err := alice.hs.Send(t.Context(), open, matrixrtc.Outgoing{
		Type: matrixrtc.TypeRoomEncryption, StateKey: &key, Content: json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2"}`),
	}); err != nil {
		t.Fatal(err)
	}
	p.fails(exitNotPermitted, "--clear-media joins all the same", "join", string(open), "--transport", "http://127.0.0.1:1")
	if out := p.must("sessions", string(open)); !strings.Contains(out, "encrypted memberships cannot be read yet") {
		t.Errorf("sessions of an encrypted room prints %s", out)
	}
	hs.Stop()
	p.fails(exitUnreachable, "cannot be reached", "sessions", string(open))
	p.fails(exitUnreachable, "is still stored", "logout")
	if len(p.stored()) != 1 {
		t.Error("the login is gone although the homeserver was not told")
	}
	p.must("logout", "--force")
}

var (
	publicAddress = regexp.MustCompile(`listens on +(\S+)`)
	statusPage    = regexp.MustCompile(`status page +(\S+)`)
)

// One site, two people in a call, one who watches: all through the command
// line, over a real homeserver and a real SFU.
func TestCall(t *testing.T) {
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	room, err := alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.hs.Join(t.Context(), string(room)); err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	p.login(hs, alice)
	p.login(hs, bob)
	as := func(u user, args ...string) []string {
		return append(args, "--account", "@"+u.name+":"+hs.ServerName())
	}

	config := filepath.Join(p.home, "site.yaml")
	yaml := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\nhomeserver: {server_name: %s, url: %s}\nhomeserver_overrides: {%s: %q}\n"+
		"media: {address: 127.0.0.1, loopback: true, udp_port: -1, tcp_port: -1}\n", hs.ServerName(), hs.URL(), hs.ServerName(), hs.URL())
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := p.must("serve", "--config", config, "--check"); out != "The configuration is right: "+config+".\n" {
		t.Errorf("--check prints %q", out)
	}
	site := p.start(as(alice, "serve", "--config", config, "--watch", string(room))...)
	site.prints("org.matrix.msc4143.rtc_foci")
	site.prints("SFU key      made for this run")
	address := publicAddress.FindStringSubmatch(site.out.String())[1]
	service := "http://" + address + "/livekit/jwt"

	watch := p.start(as(bob, "watch", string(room), "--json")...)
	watch.prints(`"change":"watching"`)
	a := p.start(as(alice, "join", string(room), "--publish", "tone", "--publish", "picture", "--transport", service, "--json")...)
	a.prints(`"state":"joined"`)
	b := p.start(as(bob, "join", string(room), "--publish", "tone", "--transport", service, "--dialect", "draft")...)
	b.prints("we are in m.call#ROOM of " + string(room))
	b.prints("@alice:" + hs.ServerName())
	b.prints("camera")
	a.prints(`"change":"track_added"`)
	b.prints("receiving @alice")
	a.receives("@bob:" + hs.ServerName())
	watch.prints(`"change":"member_joined"`)

	if out := p.must(as(alice, "sessions", string(room), "--json")...); !strings.Contains(out, `"devices": 2`) {
		t.Errorf("sessions prints %s", out)
	}
	if code := b.interrupt(); code != exitOK {
		t.Errorf("join ends with %d", code)
	}
	b.prints("we left m.call#ROOM")
	a.prints(`"change":"member_left"`)
	watch.prints(`"cause":"leave"`)
	if code := a.interrupt(); code != exitOK {
		t.Errorf("join ends with %d", code)
	}
	watch.prints(`"change":"session_ended"`)
	for _, line := range strings.Split(strings.TrimSpace(watch.out.String()), "\n") {
		var c report.Change
		if err := json.Unmarshal([]byte(line), &c); err != nil || c.Kind == "" || c.Room != room || c.Seen == 0 {
			t.Errorf("watch --json prints %q: %v", line, err)
		}
	}
	if code := watch.interrupt(); code != exitOK {
		t.Errorf("watch ends with %d", code)
	}
	if out := p.must(as(bob, "sessions", string(room), "--json")...); !strings.Contains(out, `"sessions": []`) {
		t.Errorf("after all have left, sessions prints %s", out)
	}
	// The site has watched, and knows of the call that is over.
	page := statusPage.FindStringSubmatch(site.out.String())[1]
	rtctest.Eventually(t, 10*time.Second, "the call is in the site's history", func() (bool, string) {
		res, err := http.Get(page + "history.jsonl")
		if err != nil {
			return false, err.Error()
		}
		defer res.Body.Close()
		lines, err := io.ReadAll(res.Body)
		out := string(lines)
		return err == nil && strings.Contains(out, "@alice:") && strings.Contains(out, "@bob:") && strings.Contains(out, `"ongoing":false`) &&
			!strings.Contains(out, `"ongoing":true`), out
	})
	if code := site.interrupt(); code != exitOK {
		t.Errorf("serve ends with %d", code)
	}
}

// receives waits until a join --json says that media of a user arrives.
func (r *running) receives(user string) {
	r.t.Helper()
	rtctest.Eventually(r.t, 30*time.Second, "media of "+user+" arrives", func() (bool, string) {
		out := r.out.String()
		for line := range strings.Lines(out) {
			var c report.Change
			if json.Unmarshal([]byte(line), &c) != nil || c.Kind != report.KindReceived {
				continue
			}
			for _, track := range c.Tracks {
				if string(track.User) == user && track.Packets > 20 && track.Bytes > 0 {
					return true, ""
				}
			}
		}
		return false, out
	})
}
