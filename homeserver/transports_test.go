package homeserver_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTransports(t *testing.T) {
	t.Parallel()
	const lk = `{"type":"livekit","livekit_service_url":"http://a","x":1.50}`
	well := "/.well-known/matrix/client"
	tests := map[string]struct {
		answers map[string]string
		want    []string
		fails   bool
	}{
		"stable":             {map[string]string{"v1/rtc/transports": `{"rtc_transports":[` + lk + `,{"type":"x"}]}`}, []string{lk, `{"type":"x"}`}, false},
		"stable, newer key":  {map[string]string{"v1/rtc/transports": `{"transports":[` + lk + `]}`}, []string{lk}, false},
		"unstable":           {map[string]string{"unstable/org.matrix.msc4143/rtc/transports": `{"rtc_transports":[` + lk + `]}`}, []string{lk}, false},
		"empty, then well":   {map[string]string{"v1/rtc/transports": `{"rtc_transports":[]}`, well: `{"org.matrix.msc4143.rtc_foci":[` + lk + `]}`}, []string{lk}, false},
		"well, other key":    {map[string]string{well: `{"org.matrix.msc4158.rtc_foci":[` + lk + `,7,{"type":""}]}`}, []string{lk}, false},
		"well, final key":    {map[string]string{well: `{"m.rtc_foci":[` + lk + `]}`}, []string{lk}, false},
		"none":               {map[string]string{well: `{"m.homeserver":{}}`}, nil, false},
		"no well":            {nil, nil, false},
		"well is no JSON":    {map[string]string{well: `<html>`}, nil, true},
		"well is not a list": {map[string]string{well: `{"m.rtc_foci":{}}`}, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			for path, body := range tt.answers {
				f.on(path, body)
			}
			list, err := f.client(nil).Transports(t.Context())
			var got []string
			for _, tr := range list {
				got = append(got, string(tr.Raw))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != tt.fails {
				t.Errorf("error %v, transports (-want +got):\n%s", err, diff)
			}
			for i, path := range f.asked {
				if strings.Contains(path, "well-known") && f.auth[i] != "" {
					t.Error("our token went to .well-known")
				}
			}
		})
	}
}
