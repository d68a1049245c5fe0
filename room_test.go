package matrixrtc_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

const t0 = 1_760_000_000_000

func ms(n int64) time.Time { return time.UnixMilli(n).UTC() }

func callJoin(user, device string, ts int64, extra string) Event {
	raw := fmt.Sprintf(`{"type":"org.matrix.msc3401.call.member","sender":%q,"event_id":"$%s%s%d","state_key":"_%s_%s_m.call","origin_server_ts":%d,
		"content":{"application":"m.call","call_id":"","scope":"m.room","device_id":%q,"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},
		"foci_preferred":[{"type":"livekit","livekit_service_url":"https://%s.example"}]%s}}`, user, user, device, ts, user, device, ts, device, device, extra)
	e, err := ParseEvent([]byte(raw), "!r:x")
	if err != nil {
		panic(err)
	}
	return e
}

func log(changes []Change) (out []string) {
	for _, c := range changes {
		switch c := c.(type) {
		case MemberJoined:
			out = append(out, fmt.Sprintf("+%s/%s", c.Member.User, c.Member.Device))
		case MemberUpdated:
			out = append(out, fmt.Sprintf("~%s/%s", c.Member.User, c.Member.Device))
		case MemberLeft:
			out = append(out, fmt.Sprintf("-%s/%s %s", c.Member.User, c.Member.Device, c.Cause))
		case SessionStarted:
			out = append(out, "start")
		case SessionEnded:
			out = append(out, "end")
		case FocusChanged:
			out = append(out, "focus")
		case Invalid:
			out = append(out, "invalid "+string(c.Event))
		}
	}
	return out
}

func TestRoomSmoke(t *testing.T) {
	t.Parallel()
	r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
	a := callJoin("@a:x", "A", t0, "")
	b := callJoin("@b:x", "B", t0+5, "")
	fmt.Println(log(r.Apply(Batch{State: []Event{b, a}, Complete: true}, ms(t0+10))))
	fmt.Println(log(r.Apply(Batch{State: []Event{b, a}, Complete: true}, ms(t0+10))))
	fmt.Println(log(r.Apply(Batch{Events: []Event{callJoin("@a:x", "A", t0+1000, `,"created_ts":1760000000000,"expires":14400500`)}}, ms(t0+1010))))
	fmt.Println(r.NextExpiry())
	fmt.Println(log(r.Advance(ms(t0 + 4*3600*1000 + 5))))
	fmt.Println(log(r.Advance(ms(t0 + 4*3600*1000 + 500))))
	fmt.Println(r.Sessions())
}
