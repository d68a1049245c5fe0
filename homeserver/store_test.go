package homeserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

func login() homeserver.Credentials {
	return homeserver.Credentials{Homeserver: "https://h", UserID: "@a:h", DeviceID: "D", AccessToken: "secret-a", RefreshToken: "secret-r",
		Expires: time.UnixMilli(1_800_000_000_000).UTC()}
}

func TestStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b", "login.json")
	s := homeserver.NewStore(path)
	if _, err := s.Load(); !errors.Is(err, homeserver.ErrNoCredentials) || !strings.Contains(err.Error(), path) {
		t.Errorf("empty store: %v", err)
	}
	for _, token := range []string{"secret-1", "secret-2"} {
		want := login()
		want.AccessToken = token
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(); err != nil || got != want {
			t.Errorf("loaded %v, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(); err != nil {
		t.Errorf("removing nothing: %v", err)
	}
}

func TestStoreRefusesWhatIsNoLogin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"text": "secret-text", "no token": `{"homeserver":"https://h"}`,
		"type": `{"access_token":["secret-list"]}`, "huge": strings.Repeat(" ", 1<<20)} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := homeserver.NewStore(path).Load()
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "log in again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := homeserver.NewStore(dir).Load(); err == nil {
		t.Error("loaded a directory")
	}
	if runtime.GOOS == "windows" {
		return
	}
	path := filepath.Join(dir, "open")
	s := homeserver.NewStore(path)
	if err := s.Save(login()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a login that all may read: %v", err)
	}
}

func TestCredentialsPrintWithoutTokens(t *testing.T) {
	t.Parallel()
	c := login()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "login", c, "pointer", &c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "login", c)
	p, r := homeserver.Password{User: "u", Password: "secret-p"}, homeserver.Registration{User: "u", Password: "secret-p"}
	text := log.String() + fmt.Sprint(c, p, r) + fmt.Sprintf("%v %+v %#v %s %q %d %v", c, c, c, c, c, c, &c) +
		fmt.Sprintf("%+v %#v %v %+v %#v %v", p, p, &p, r, r, &r) + fmt.Sprintf("%+v", struct{ C homeserver.Credentials }{c})
	if strings.Contains(text, "secret") || !strings.Contains(text, "@a:h") {
		t.Errorf("printed %s", text)
	}
}

func TestOpenWantsALogin(t *testing.T) {
	t.Parallel()
	c := login()
	c.AccessToken = ""
	if _, err := homeserver.Open(c, nil); !errors.Is(err, homeserver.ErrNoCredentials) {
		t.Errorf("without token: %v", err)
	}
	for _, base := range []string{"", "h", "ftp://h", "https://user:secret@h", "https://h?x=secret", "http://[::1"} {
		c := login()
		c.Homeserver = base
		if _, err := homeserver.Open(c, nil); err == nil || base != "" && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", base, err)
		}
	}
}
