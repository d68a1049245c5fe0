package redisconn

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"redis://localhost:6379": true, "redis://u:sesame@h:1/3": true, "rediss://h": true, "unix:///a/b.sock": true,
		"": false, "h:6379": false, "http://u:sesame@h": false, "redis://h:port": false, "redis://h/sesame": false, "://": false,
	} {
		err := Check(address)
		if (err == nil) != good || err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: %v", address, err)
		}
		if _, _, err := Open(address, nil); (err == nil) != good {
			t.Errorf("open %q: %v", address, err)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	r := devstacktest.Redis(t, &devstack.RedisOptions{Password: "sesame"})
	for _, c := range []struct{ address, password, want string }{
		{r.URL(), "", ""},
		{r.URL(), "wrong", "the password is wrong"},
		{"unix://" + strings.SplitN(r.URL(), "@", 2)[1], "", "wants a password"},
		{"redis://127.0.0.1:1", "", "does not answer"},
	} {
		client, name, err := Open(c.address, &Options{Password: c.password, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		err = client.Ping(t.Context()).Err()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(Hint(err), c.want) || strings.Contains(name, "sesame") {
			t.Errorf("%s: %v", name, err)
		}
		client.Close()
	}
	if got := Hint(errors.New("ERR something")); !strings.Contains(got, "does not answer") {
		t.Error(got)
	}
}
