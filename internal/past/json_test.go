package past

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

// The document as encoding/json sees it.
type (
	document struct {
		Room         string        `json:"room_id"`
		Slot         string        `json:"slot_id"`
		Application  string        `json:"application"`
		CallID       *string       `json:"call_id"`
		Start        int64         `json:"start_ts"`
		End          *int64        `json:"end_ts"`
		Ongoing      bool          `json:"ongoing"`
		StartUnsure  bool          `json:"start_uncertain"`
		EndUnsure    bool          `json:"end_uncertain"`
		Peak         int           `json:"peak"`
		FirstEvent   string        `json:"first_event_id"`
		Ring         *string       `json:"ring"`
		NotifiedBy   *string       `json:"notified_by"`
		DeclinedBy   []string      `json:"declined_by"`
		Participants []participant `json:"participants"`
	}
	participant struct {
		User   string    `json:"user_id"`
		Device string    `json:"device_id"`
		Member string    `json:"member_id,omitempty"`
		Stays  []oneStay `json:"stays"`
	}
	oneStay struct {
		Start       int64  `json:"start_ts"`
		End         *int64 `json:"end_ts"`
		Cause       string `json:"cause"`
		StartUnsure bool   `json:"start_uncertain"`
		EndUnsure   bool   `json:"end_uncertain"`
		Skew        bool   `json:"skew,omitempty"`
	}
)

func optional[T comparable](v T, present bool) *T {
	if !present {
		return nil
	}
	return &v
}

func documentOf(s *matrixrtc.PastSession) document {
	end := func(t time.Time) *int64 { return optional(t.UnixMilli(), !t.IsZero()) }
	d := document{
		string(s.Key.Room), string(s.Key.Slot), s.Application, optional(s.CallID, s.HasCallID),
		s.Start.UnixMilli(), end(s.End), s.End.IsZero(), s.StartUncertain, s.EndUncertain, s.Peak, string(s.FirstEvent),
		optional(s.Ring, s.Ring != ""), optional(string(s.NotifiedBy), s.NotifiedBy != ""), []string{}, []participant{},
	}
	for _, u := range s.DeclinedBy {
		d.DeclinedBy = append(d.DeclinedBy, string(u))
	}
	for _, p := range s.Participants {
		stays := []oneStay{}
		for _, st := range p.Stays {
			stays = append(stays, oneStay{st.Start.UnixMilli(), end(st.End), string(st.Cause), st.StartUncertain, st.EndUncertain, st.Skew})
		}
		d.Participants = append(d.Participants, participant{string(p.User), string(p.Device), string(p.Member), stays})
	}
	return d
}

// same checks one session against encoding/json, byte for byte.
func same(t *testing.T, s *matrixrtc.PastSession) {
	t.Helper()
	want, err := json.Marshal(documentOf(s))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(AppendJSON(nil, s))); diff != "" {
		t.Errorf("encoding/json writes another line (-json +ours):\n%s", diff)
	}
}

func TestJSONGolden(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := NewJSON(&out)
	for _, s := range lively() {
		same(t, &s)
		if err := j.Add(&s); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() != 0 {
		t.Error("a few hundred bytes are not worth a write")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	golden(t, "week.jsonl", out.Bytes())
}

func TestJSONWritesWhileItIsFed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := NewJSON(&out)
	sessions := many(300, at("06-01 12:00"))
	for _, s := range sessions {
		same(t, &s)
		if err := j.Add(&s); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() < flushAt {
		t.Errorf("%d bytes written after 300 sessions", out.Len())
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != len(sessions) {
		t.Errorf("%d lines for %d sessions", n, len(sessions))
	}
}

// TestJSONStrings: every string that JSON, HTML or JavaScript would trip over.
func TestJSONStrings(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "plain", `"quoted\"`, "a\x00b\x01\b\f\n\r\t\x1f\x7f", "<script>&'", "\u2028 \u2029 \u2027", "\xff\xfe broken \xc3", "é 漢 🎲", strings.Repeat("x", 70000) + "\xff",
	} {
		s := call(who(text, text, stay("01-12 08:02", "01-12 08:58", matrixrtc.Cause(text))))
		s.Key.Room, s.Key.Slot, s.Application, s.CallID = matrixrtc.RoomID(text), matrixrtc.SlotID(text), text, text
		s.FirstEvent, s.Ring, s.NotifiedBy, s.DeclinedBy = matrixrtc.EventID(text), text, matrixrtc.UserID(text), []matrixrtc.UserID{matrixrtc.UserID(text), bob}
		same(t, &s)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("@a:x", "ring", int64(0), int64(1), true)
	f.Add("\u2028\xff<", "", int64(-1), int64(1)<<53, false)
	f.Fuzz(func(t *testing.T, text, ring string, start, end int64, unsure bool) {
		s := call(who(text, ring, matrixrtc.Stay{Start: time.UnixMilli(start), End: time.UnixMilli(end), Cause: matrixrtc.Cause(ring), EndUncertain: unsure}))
		s.Ring, s.CallID, s.HasCallID, s.StartUncertain = ring, text, unsure, unsure
		same(t, &s)
		var d document
		if err := json.Unmarshal(AppendJSON(nil, &s), &d); err != nil {
			t.Fatal(err)
		}
	})
}

// four is a session of four participants, as it is most often.
func four() matrixrtc.PastSession {
	s := call(
		who("@participant1:homeserver.example.org", "ABCDEFGHIJ", stay("01-12 08:02", "01-12 08:58", matrixrtc.CauseLeave)),
		who("@participant2:homeserver.example.org", "BCDEFGHIJK", stay("01-12 08:05", "01-12 08:20", matrixrtc.CauseLeave)),
		who("@participant3:homeserver.example.org", "CDEFGHIJKL", stay("01-12 08:10", "01-12 08:58", matrixrtc.CauseLeave)),
		who("@participant4:homeserver.example.org", "DEFGHIJKLM", stay("01-12 08:10", "01-12 08:58", matrixrtc.CauseExpired, "end")),
	)
	s.FirstEvent = "$1234567890123456789012345678901234567890123"
	s.Key.Room = "!abcdefghijklmnopqr:homeserver.example.org"
	return s
}

func TestJSONAllocatesNothing(t *testing.T) {
	s, buf := four(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendJSON(buf[:0], &s) }); n != 0 {
		t.Errorf("%v allocations per session", n)
	}
}

func BenchmarkJSON(b *testing.B) {
	s, buf := four(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], &s)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkEncodingJSON(b *testing.B) {
	s := four()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(documentOf(&s)); err != nil {
			b.Fatal(err)
		}
	}
}
