package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// The client-server API of a server whose name has a port is said by the host (client-
// server API, "Well-known URI"), and by that port where the host says nothing.
func TestClientAPIOfNameWithPort(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server string
		at     string // who answers
		want   string
	}{
		"the host":                {"one.example:8448", "9.9.9.1:443", "https://443.example"},
		"the port":                {"one.example:8448", "9.9.9.1:8448", "https://8448.example"},
		"both":                    {"one.example:8448", "9.9.9.1:443 9.9.9.1:8448", "https://443.example"},
		"no port":                 {"one.example", "9.9.9.1:443", "https://443.example"},
		"no port, and none there": {"one.example", "9.9.9.1:8448", ""},
		"an address":              {"[2600::1]:8448", "[2600::1]:443", "https://443.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca, n := newCA(t), newInternet()
			n.ips["one.example"] = "9.9.9.1"
			for _, at := range strings.Fields(c.at) {
				port := at[strings.LastIndex(at, ":")+1:]
				web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprintf(w, `{"m.homeserver":{"base_url":"https://%s.example"}}`, port)
				}))
				web.TLS = tlsConfig(ca.issue("one.example", "2600::1"))
				web.StartTLS()
				t.Cleanup(web.Close)
				n.ports[at] = web.Listener.Addr().String()
			}
			opts := n.options(ca)
			opts.setDefaults()
			apis := newClientAPIs(nil, newServers(nil, nil, *opts))
			t.Cleanup(apis.close)
			got, err := apis.base(t.Context(), c.server)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// Where nobody answers any more is forgotten, also by what is asked besides delayed
// events: a homeserver may move.
func TestClientAPIMoves(t *testing.T) {
	t.Parallel()
	ca, n := newCA(t), newInternet()
	n.ips["one.example"], n.ips["old.example"], n.ips["new.example"] = "9.9.9.1", "9.9.9.2", "9.9.9.3"
	base := "https://old.example"
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"m.homeserver":{"base_url":%q},"user_id":"@ann:one.example"}`, base)
	}))
	web.TLS = tlsConfig(ca.issue("one.example", "new.example"))
	web.StartTLS()
	t.Cleanup(web.Close)
	n.ports["9.9.9.1:443"], n.ports["9.9.9.3:443"] = web.Listener.Addr().String(), web.Listener.Addr().String()
	opts := n.options(ca)
	opts.setDefaults()
	apis := newClientAPIs(nil, newServers(nil, []string{"one.example"}, *opts))
	t.Cleanup(apis.close)
	h := &home{server: "one.example", apis: apis}
	if _, err := h.whoami(t.Context(), "token"); err == nil || !slices.Contains(n.dialled(), "9.9.9.2:443") {
		t.Fatalf("%v, %q", err, n.dialled())
	}
	base = "https://new.example"
	if user, err := h.whoami(t.Context(), "token"); err != nil || user != "@ann:one.example" {
		t.Errorf("%q, %v", user, err)
	}
}
