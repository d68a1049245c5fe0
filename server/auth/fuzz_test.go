package auth

import (
	"encoding/json"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

// Whatever is sent, a request that passes is complete and holds nothing that
// its type does not know.
func FuzzRequests(f *testing.F) {
	f.Add([]byte(sfuGetBody("tok", "one.example", "")))
	f.Add([]byte(getTokenBody("tok", "one.example", "@ann:one.example", `,"delay_id":"d","delay_timeout":1`)))
	f.Add([]byte(`{"openid_token":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, c := range []struct {
			read func([]byte, bool) (*request, *failure)
			into any
		}{
			{readSFUGet, &authapi.SFUGetRequest{}},
			{readGetToken, &authapi.GetTokenRequest{}},
		} {
			q, fail := c.read(body, false)
			if fail != nil {
				if fail.status != 400 || fail.code == "" || fail.message == "" || fail.reason == nil {
					t.Errorf("%+v", fail)
				}
				continue
			}
			if q.room == "" || q.slot == "" || q.openid.AccessToken == "" || q.openid.MatrixServerName == "" || q.identity("@a:b") == "" {
				t.Errorf("incomplete: %+v", q)
			}
			if (q.delay.ID == "") != (q.delay.Timeout == 0) || q.delay.Timeout < 0 {
				t.Errorf("delay: %+v", q.delay)
			}
			if err := json.Unmarshal(body, c.into); err != nil {
				t.Errorf("passes but is no JSON: %v", err)
			}
		}
	})
}
