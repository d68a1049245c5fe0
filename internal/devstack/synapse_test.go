package devstack

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

func needLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("needs Linux on x86-64 or ARM64: Synapse has no packages for others")
	}
}

// startSynapse starts a Synapse that ends with the test. Its first run on a
// machine installs it.
func startSynapse(t *testing.T, opts *SynapseOptions) *Homeserver {
	t.Helper()
	needLinux(t)
	if opts == nil {
		opts = &SynapseOptions{}
	}
	opts.Build = &BuildOptions{Progress: PrintProgress(os.Stderr)}
	hs, err := StartSynapse(t.Context(), opts)
	if errors.Is(err, ErrNoPython) || errors.Is(err, ErrDownload) {
		t.Skipf("needs Synapse: %v", err)
	}
	return ending(t, hs, err)
}

// residentMB is the memory of the server's process.
func residentMB(t *testing.T, hs *Homeserver) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", hs.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb / 1024
}

func TestSynapse(t *testing.T) {
	t.Parallel()
	service := map[string]any{"type": "livekit", "livekit_service_url": "http://rtc.test"}
	began := time.Now()
	hs := startSynapse(t, &SynapseOptions{ServerName: "example.test:8448", Transports: []map[string]any{service}})
	t.Logf("started within %v, %d MB resident", time.Since(began).Round(time.Millisecond), residentMB(t, hs))
	if mb := residentMB(t, hs); mb > 250 {
		t.Errorf("it takes %d MB", mb)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	alice, err := hs.Register(t.Context(), "alice", "correct horse")
	must(err)
	if alice.UserID != "@alice:example.test:8448" || alice.DeviceID == "" || alice.AccessToken == "" {
		t.Errorf("registered %v", alice)
	}
	var refused *MatrixError
	if _, err := hs.Register(t.Context(), "alice", "battery staple"); !errors.As(err, &refused) || refused.Code != "M_USER_IN_USE" {
		t.Errorf("registering again: %v, want M_USER_IN_USE", err)
	}

	var offer struct {
		Unstable map[string]bool `json:"unstable_features"`
	}
	must(call(t, hs, alice, "GET", "/_matrix/client/versions", object{}, &offer))
	for _, feature := range []string{"org.matrix.msc4140", "org.matrix.msc4143", "org.matrix.msc4354"} {
		if !offer.Unstable[feature] {
			t.Errorf("it does not say that it has %s", feature)
		}
	}
	var transports struct {
		List []map[string]any `json:"rtc_transports"`
	}
	must(call(t, hs, alice, "GET", "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", object{}, &transports))
	if len(transports.List) != 1 || transports.List[0]["livekit_service_url"] != "http://rtc.test" {
		t.Errorf("transports %v", transports.List)
	}
	var openID struct {
		AccessToken string `json:"access_token"`
	}
	must(call(t, hs, alice, "POST", "/_matrix/client/v3/user/"+url.PathEscape(alice.UserID)+"/openid/request_token", object{}, &openID))
	var who struct {
		Sub string `json:"sub"`
	}
	must(call(t, hs, Account{}, "GET", "/_matrix/federation/v1/openid/userinfo?access_token="+url.QueryEscape(openID.AccessToken), object{}, &who))
	if who.Sub != alice.UserID {
		t.Errorf("the OpenID token is of %q", who.Sub)
	}

	var room struct {
		RoomID string `json:"room_id"`
	}
	must(call(t, hs, alice, "POST", "/_matrix/client/v3/createRoom", object{"room_version": "org.matrix.msc3757.11"}, &room))
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(room.RoomID)
	var delayed struct {
		ID string `json:"delay_id"`
	}
	const typ = "org.matrix.msc3401.call.member"
	must(call(t, hs, alice, "PUT", path+"/state/"+typ+"/x?org.matrix.msc4140.delay=3000", object{"left": true}, &delayed))
	if delayed.ID == "" {
		t.Fatal("the event was not held back")
	}

	due := time.Now().Add(3 * time.Second)
	// A crash: what was held back is sent all the same, as of when it was due
	// (docs/protocol.md R-DELAY-8).
	address, pid := hs.URL(), hs.Pid()
	hs.Kill()
	if _, err := hs.Login(t.Context(), "alice", "correct horse"); err == nil {
		t.Error("a killed server answers")
	}
	rtctest.Eventually(t, 30*time.Second, "it comes due", func() (bool, string) { return time.Since(due) > time.Second, "not yet" })
	must(hs.Restart(t.Context()))
	if hs.URL() != address || hs.Pid() == pid {
		t.Errorf("restarted at %s as process %d, before at %s as %d", hs.URL(), hs.Pid(), address, pid)
	}
	var sent struct {
		Content map[string]any `json:"content"`
		Origin  int64          `json:"origin_server_ts"`
	}
	rtctest.Eventually(t, 30*time.Second, "the delayed event is sent", func() (bool, string) {
		err := call(t, hs, alice, "GET", path+"/state/"+typ+"/x?format=event", object{}, &sent)
		return err == nil && sent.Content["left"] == true, fmt.Sprint(sent.Content, err)
	})
	if d := time.UnixMilli(sent.Origin).Sub(due); d < -3*time.Second || d > time.Second/2 {
		t.Errorf("it is dated %v after it was due", d)
	}
	if strings.Contains(hs.Logs(), alice.AccessToken) {
		t.Error("the log tells a token")
	}
	must(hs.Close())
	if _, err := os.Stat(hs.dir.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data is still there: %v", err)
	}
}

func TestSynapseOptions(t *testing.T) {
	t.Parallel()
	hs := startSynapse(t, &SynapseOptions{
		MaxDelay: -1, TokenLife: time.Minute, Features: map[string]bool{"msc4354_enabled": false},
		Limits: map[string]RateLimit{"rc_login.account": {PerSecond: 0.001, Burst: 1}},
	})
	alice, err := hs.Register(t.Context(), "alice", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	var offer struct {
		Unstable map[string]bool `json:"unstable_features"`
	}
	if err := call(t, hs, alice, "GET", "/_matrix/client/versions", object{}, &offer); err != nil {
		t.Fatal(err)
	}
	for _, feature := range []string{"org.matrix.msc4140", "org.matrix.msc4354"} {
		if offer.Unstable[feature] {
			t.Errorf("it has %s", feature)
		}
	}
	var fresh struct {
		Expires int `json:"expires_in_ms"`
	}
	err = call(t, hs, Account{}, "POST", "/_matrix/client/v3/login", object{"type": "m.login.password", "password": "correct horse",
		"identifier": object{"type": "m.id.user", "user": "alice"}, "refresh_token": true}, &fresh)
	if err != nil || fresh.Expires <= 0 || fresh.Expires > 60_000 {
		t.Errorf("a token that lasts %d ms, %v", fresh.Expires, err)
	}
	var refused *MatrixError
	for range 3 {
		_, err = hs.Login(t.Context(), "alice", "correct horse")
	}
	if !errors.As(err, &refused) || refused.Code != "M_LIMIT_EXCEEDED" || refused.Status != 429 {
		t.Errorf("many logins: %v, want M_LIMIT_EXCEEDED", err)
	}
}

func TestSynapseRefused(t *testing.T) {
	t.Parallel()
	needLinux(t)
	venv := t.TempDir()
	if err := os.Mkdir(filepath.Join(venv, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho ModuleNotFoundError: No module named synapse >&2\nexit 1\n"
	if err := os.WriteFile(venvPython(venv), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opts  SynapseOptions
		words []string
	}{
		"port out of range": {SynapseOptions{Port: 65536}, []string{"65536", "free"}},
		"server name":       {SynapseOptions{ServerName: "a b"}, []string{"a b", "hs.localhost"}},
		"no python":         {SynapseOptions{Python: "/no/such/file"}, []string{"/no/such/file", "pip install"}},
		"an empty place":    {SynapseOptions{Python: t.TempDir()}, []string{"virtual environment"}},
		"without synapse":   {SynapseOptions{Python: venv}, []string{"ended at once", "No module named synapse"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hs, err := StartSynapse(t.Context(), &c.opts)
			if err == nil {
				hs.Close()
				t.Fatal("it started")
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
		})
	}
}

func TestSynapseFromEnvironment(t *testing.T) {
	t.Setenv(SynapseEnv, "/no/such/python")
	_, err := StartSynapse(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "$"+SynapseEnv) || !strings.Contains(err.Error(), "/no/such/python") {
		t.Errorf("error %v, want one that names the variable and the path", err)
	}
}
