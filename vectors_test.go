package matrixrtc_test

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

// deviations are the facts on which we decide otherwise, and why.
var deviations = map[string]struct{ got, reason string }{
	"CallMembership-031 intent":          {`"audio"`, "voice and audio are one intent (R-INTENT-1: MSC4196 says voice, everyone else audio)"},
	"MatrixRTCSession-057 first.call_id": {`""`, "the room call's id is empty, whatever the dialect (R-SLOT-1)"},
}

// fact is one thing that matrix-js-sdk 43.0.0 computes: testdata/vectors.
type fact struct {
	ID, Kind, Test string
	Event, Oldest  json.RawMessage
	Events         []json.RawMessage
	Object         json.RawMessage
	Predicate      string
	At             int64
	UserID         string `json:"user_id"`
	DeviceID       string `json:"device_id"`
	MemberID       string `json:"member_id"`
	Expected       map[string]json.RawMessage
}

// TestJSSDKFacts: every fact agrees, or stands among the deviations.
func TestJSSDKFacts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/vectors/js-sdk-facts.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Count int
		Facts []fact
	}
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Facts) != doc.Count || doc.Count == 0 {
		t.Fatalf("%d facts of %d: %v", len(doc.Facts), doc.Count, err)
	}
	used := map[string]bool{}
	for _, f := range doc.Facts {
		got := f.ours(t)
		for _, key := range flat("", f.Expected) {
			name, want, _ := strings.Cut(key, "\x00")
			have, known := got[name]
			if !known {
				t.Fatalf("%s: nothing of ours answers %q", f.ID, name)
			}
			id := f.ID + " " + name
			if d, ok := deviations[id]; ok {
				used[id] = true
				want = d.got
			}
			if have != want {
				t.Errorf("%s (%s): %s is %s, want %s", f.ID, f.Test, name, have, want)
			}
		}
	}
	if len(used) != len(deviations) {
		t.Errorf("of the deviations only %v were met", used)
	}
}

// flat lists name and compact value of what is expected, "first." and all.
func flat(prefix string, m map[string]json.RawMessage) (out []string) {
	for k, v := range m {
		var sub map[string]json.RawMessage
		if k == "first" && json.Unmarshal(v, &sub) == nil {
			out = append(out, flat("first.", sub)...)
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, v); err != nil {
			panic(err)
		}
		out = append(out, prefix+k+"\x00"+b.String())
	}
	slices.Sort(out)
	return out
}

func js(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func (f *fact) ours(t *testing.T) map[string]string {
	switch f.Kind {
	case "parse":
		return map[string]string{"accepted": js(len(f.members(t, f.Event)) == 1)}
	case "membership":
		return f.membership(f.members(t, f.Event)[0])
	case "transport":
		return f.transport(t)
	case "identity":
		return map[string]string{"rtc_backend_identity": js(canonical.Hash(f.UserID, f.DeviceID, f.MemberID))}
	case "livekit":
		return map[string]string{"value": js(f.livekit(t))}
	case "session":
		return f.session(t)
	}
	t.Fatalf("%s: unknown kind %q", f.ID, f.Kind)
	return nil
}

// members decodes one event; those that the facts leave without stickiness
// stick for an hour.
func (f *fact) members(t *testing.T, raw []byte) []*Membership {
	e := f.event(t, raw)
	return decode(e).Members
}

func (f *fact) event(t *testing.T, raw []byte) Event {
	t.Helper()
	e, err := ParseEvent(raw, "!r:x")
	if err != nil {
		t.Fatalf("%s: %v", f.ID, err)
	}
	if e.Type == TypeMemberUnstable && e.Sticky == 0 {
		e.Sticky = time.Hour
	}
	return e
}

func (f *fact) membership(m *Membership) map[string]string {
	at := time.UnixMilli(f.At)
	var scope struct{ Scope *string }
	_ = json.Unmarshal(m.Content, &scope)
	var transports []json.RawMessage
	for _, tr := range m.Transports {
		transports = append(transports, tr.Raw)
	}
	slot := m.Slot
	if m.LiteralSlot != "" {
		slot = m.LiteralSlot
	}
	id := m.Identities()[0]
	return map[string]string{
		"user_id": js(m.User), "event_id": js(m.Event), "device_id": js(m.Device), "intent": js(m.Intent),
		"application": js(m.Application.Type), "call_id": js(m.CallID), "slot_id": js(slot), "scope": js(scope.Scope),
		"member_id": js(id), "rtc_backend_identity": js(id), "created_ts": js(m.Created.UnixMilli()),
		"expires_at": js(m.Expires.UnixMilli()), "ms_until_expiry": js(m.Expires.Sub(at).Milliseconds()),
		"expired": js(!m.Expires.IsZero() && !m.Expires.After(at)), "transports": js(transports),
	}
}

// transport puts the member and the oldest into one session; in the facts both
// are the same device, which a room cannot hold.
func (f *fact) transport(t *testing.T) map[string]string {
	younger := bytes.ReplaceAll(f.Event, []byte("@alice:"), []byte("@zoe:"))
	e, oldest := f.event(t, younger), f.event(t, f.Oldest)
	e.ID, e.Origin = "$younger", oldest.Origin.Add(time.Millisecond)
	r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
	b := Batch{Events: []Event{oldest, e}}
	r.Apply(b, e.Origin)
	s := r.Session(RoomCall)
	m, ok := s.Find(MemberKey{User: "@zoe:example.org", Device: "AAAAAAA"})
	if !ok {
		t.Fatalf("%s: the member is missing", f.ID)
	}
	return map[string]string{"transport": js(s.ReceiveFrom(m.Membership)[0].Raw)}
}

func (f *fact) livekit(t *testing.T) bool {
	var o struct {
		Type      string
		Selection string `json:"focus_selection"`
	}
	if err := json.Unmarshal(f.Object, &o); err != nil {
		t.Fatal(err)
	}
	tr := Transport{Type: o.Type, Raw: f.Object}
	if f.Predicate == "isLivekitFocusSelection" {
		return tr.Kind() == TransportLiveKit && o.Selection != ""
	}
	lk, err := As[LiveKit](tr)
	return err == nil && lk.Usable()
}

func (f *fact) session(t *testing.T) map[string]string {
	r := NewRoom("!r:x", nil)
	var b Batch
	for _, raw := range f.Events {
		b.Events = append(b.Events, f.event(t, raw))
	}
	now := time.UnixMilli(f.At)
	r.Apply(b, now)
	s := r.Session(RoomCall)
	if s == nil {
		return map[string]string{"members": "0"}
	}
	var devices, users []string
	for _, m := range s.Members() {
		devices, users = append(devices, string(m.Device)), append(users, string(m.User))
	}
	out := map[string]string{"members": js(s.Devices()), "devices": js(devices), "users": js(users), "consensus_intent": "null"}
	if s.Intent() != "" {
		out["consensus_intent"] = js(s.Intent())
	}
	oldest, _ := s.Oldest()
	for k, v := range f.membership(oldest.Membership) {
		out["first."+k] = v
	}
	return out
}
