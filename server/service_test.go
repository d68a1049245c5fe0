package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClientAPIs(t *testing.T) {
	t.Parallel()
	own := Homeserver{ServerName: "one.example", URL: "https://matrix.one.example"}
	other := map[string]string{"two.example": "https://two"}
	for name, c := range map[string]struct {
		cfg  Config
		want map[string]string
	}{
		"nothing":            {Config{}, nil},
		"a name alone":       {Config{Homeserver: Homeserver{ServerName: "one.example"}, ClientAPIs: other}, other},
		"a homeserver":       {Config{Homeserver: own}, map[string]string{"one.example": own.URL}},
		"and another":        {Config{Homeserver: own, ClientAPIs: other}, map[string]string{"one.example": own.URL, "two.example": "https://two"}},
		"named, too":         {Config{Homeserver: own, ClientAPIs: map[string]string{"one.example": "http://x"}}, map[string]string{"one.example": "http://x"}},
		"the site before it": {Config{Homeserver: own, GapFill: GapFill{Mode: GapFillAuto, Proxy: true}}, map[string]string{"one.example": "http://127.0.0.1:80"}},
		"the site beside it": {Config{Homeserver: own, GapFill: GapFill{Mode: GapFillOn}}, map[string]string{"one.example": own.URL}},
		"off":                {Config{Homeserver: own, GapFill: GapFill{Proxy: true}}, map[string]string{"one.example": own.URL}},
	} {
		if d := cmp.Diff(c.want, c.cfg.clientAPIs("http://127.0.0.1:80")); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if d := cmp.Diff(map[string]string{"two.example": "https://two"}, other); d != "" {
		t.Error("the configuration was changed")
	}
}
