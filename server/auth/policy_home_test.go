package auth

import (
	"testing"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// The same policy at the endpoints of homeservers: one's own users have full access
// there, others' users have what the rules and lists give them, and may make rooms.
func TestPolicyAtHome(t *testing.T) {
	t.Parallel()
	type want struct {
		status  int
		publish bool
	}
	for name, c := range map[string]struct {
		policy   Policy
		full     []string // besides nobody
		ann, bob want
		delegate int // status of a leave that ann hands over
	}{
		"as MSC4195 has it":         {Policy{}, []string{"other.example"}, want{200, true}, want{200, false}, 200},
		"everybody is listed":       {Policy{}, []string{AnyServer}, want{200, true}, want{200, false}, 200},
		"publish any":               {Policy{Publish: PublishAny}, []string{"other.example"}, want{200, true}, want{200, true}, 200},
		"publish listed":            {Policy{Publish: PublishListed}, []string{"other.example"}, want{200, true}, want{200, false}, 200},
		"publish listed, and it is": {Policy{Publish: PublishListed}, []string{"two.example"}, want{200, true}, want{200, true}, 200},
		"publish local":             {Policy{Publish: PublishLocal}, []string{"two.example"}, want{200, true}, want{200, false}, 200},
		"local by name":             {Policy{Local: []string{"two.example"}}, []string{"other.example"}, want{200, true}, want{200, true}, 200},
		"none":                      {Policy{Rules: []Rule{{Server: "two.example", Access: AccessNone}}}, []string{"other.example"}, want{200, true}, want{403, false}, 200},
		"restricted at home":        {Policy{Rules: []Rule{{Server: "one.example", Access: AccessRestricted}}}, []string{"other.example"}, want{200, true}, want{200, false}, 403},
		"restricted, listed":        {Policy{Publish: PublishListed, Rules: []Rule{{Server: "one.example", Access: AccessRestricted}}}, []string{"other.example"}, want{200, false}, want{200, false}, 403},
		"full by a rule":            {Policy{Publish: PublishListed, Rules: []Rule{{User: "@bob:*", Access: AccessFull}}}, []string{"other.example"}, want{200, true}, want{200, true}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHomeSite(t, func(cfg *Config, o *Options) {
				cfg.FullAccess, cfg.Leaves, o.Policy = c.full, jobs.Memory(), c.policy
			})
			for _, who := range []struct {
				path, body string
				head       head
				want       want
			}{{csToken, homeBody, fromUser("@ann:one.example"), c.ann}, {ssToken, peerBody, fromServer("two.example"), c.bob}} {
				w := s.request("POST", who.path, who.body, who.head)
				if w.Code != who.want.status {
					t.Errorf("%s: %d %s", who.path, w.Code, w.Body)
					continue
				}
				if w.Code != 200 {
					continue
				}
				if _, grants, _ := decodeToken(t, w); *grants.Video.CanPublish != who.want.publish || grants.Video.RoomCreate {
					t.Errorf("%s: %+v", who.path, grants.Video)
				}
			}
			if w := s.request("POST", csDelegate, delayBody, fromUser("@ann:one.example")); w.Code != c.delegate {
				t.Errorf("delegation: %d %s", w.Code, w.Body)
			}
		})
	}
}
