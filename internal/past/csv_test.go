package past

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
)

func TestCSVGolden(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	golden(t, "week.csv", []byte(written(t, lively(), NewCSV(&out, &Options{Location: zone(t), At: at("01-16 09:12"), Me: carol}), &out)))
}

// TestCSVIsHarmless: nothing that a stranger says becomes a formula, a line or
// a field of its own.
func TestCSVIsHarmless(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "",
		"plain":                   "plain",
		"=1+1":                    "'=1+1",
		"+1":                      "'+1",
		"-1":                      "'-1",
		"@SUM(1+1)*cmd|' /C x'!A": "'@SUM(1+1)*cmd|' /C x'!A",
		"@alice:example.org":      "'@alice:example.org",
		"＝1+1":                    "'＝1+1",
		"  =1":                    "'  =1",
		"\t=1":                    `\u0009=1`,
		"a\r\nb,\"c\"":            `a\u000d\u000ab,"c"`,
		"\x1b[2J":                 `\u001b[2J`,
	} {
		s := call(who(text, text, stay("01-12 08:02", "01-12 08:58", matrixrtc.CauseLeave)))
		s.Key.Room, s.Key.Slot, s.Application, s.CallID = matrixrtc.RoomID(text), matrixrtc.SlotID(text), text, text
		s.Ring, s.NotifiedBy, s.DeclinedBy, s.FirstEvent = text, matrixrtc.UserID(text), []matrixrtc.UserID{matrixrtc.UserID(text)}, matrixrtc.EventID(text)
		var out bytes.Buffer
		raw := written(t, []matrixrtc.PastSession{s}, NewCSV(&out, nil), &out)
		rows, err := csv.NewReader(strings.NewReader(raw)).ReadAll()
		if err != nil || len(rows) != 2 || strings.Count(raw, "\r\n") != 2 || strings.Count(raw, "\n") != 2 {
			t.Fatalf("%q: %d rows, %v in %q", text, len(rows), err, raw)
		}
		for i, name := range rows[0] {
			switch name {
			case "application", "call_id", "ring", "notified_by", "declined_by", "participants", "room_id", "slot_id", "first_event_id":
				if rows[1][i] != want {
					t.Errorf("%s of %q is %q, want %q", name, text, rows[1][i], want)
				}
			}
		}
	}
}

func TestCSVWithoutSessions(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if got := written(t, nil, NewCSV(&out, nil), &out); got != strings.Join(csvHeading, ",")+"\r\n" {
		t.Errorf("got %q", got)
	}
}
