package past

import (
	"bytes"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

func sums(t *testing.T, o *Options, list ...matrixrtc.PastSession) *Stats {
	t.Helper()
	s := NewStats(o)
	for i := range list {
		if err := s.Add(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestStatsGolden(t *testing.T) {
	t.Parallel()
	o := &Options{Location: zone(t), At: at("01-16 09:12"), Me: carol}
	list := append(lively(), many(40, at("01-10 12:00"))...)
	s := sums(t, o, list...)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"stats.txt":  func(b *bytes.Buffer) error { return s.WriteTable(b) },
		"stats.json": func(b *bytes.Buffer) error { return s.WriteJSON(b) },
		"stats.csv":  func(b *bytes.Buffer) error { return s.WriteCSV(b) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// TestStatsAtTheTurnOfTheWeek: a call over Sunday's midnight counts once, and
// its time in both weeks, by the clock of the time zone.
func TestStatsAtTheTurnOfTheWeek(t *testing.T) {
	t.Parallel()
	// 2026-01-18 is a Sunday; in Berlin it ends at 23:00 UTC.
	s := call(
		who(alice, "A", stay("01-18 22:30", "01-18 23:30", matrixrtc.CauseLeave)),
		who(bob, "B", stay("01-18 23:15", "01-18 23:30", matrixrtc.CauseLeave)),
	)
	weeks := sums(t, &Options{Location: zone(t)}, s).Weeks()
	if len(weeks) != 2 {
		t.Fatalf("%d weeks", len(weeks))
	}
	a, b := weeks[0], weeks[1]
	if a.Week != "2026-W03" || a.Calls != 1 || a.CallTime != 30*time.Minute || a.ParticipantTime != 30*time.Minute || a.Peak != 1 {
		t.Errorf("the first week is %+v", a)
	}
	if b.Week != "2026-W04" || b.Calls != 0 || b.CallTime != 30*time.Minute || b.ParticipantTime != 45*time.Minute || b.Peak != 2 {
		t.Errorf("the second week is %+v", b)
	}
	if utc := sums(t, nil, s).Weeks(); len(utc) != 1 || utc[0].CallTime != time.Hour {
		t.Errorf("in UTC it is %+v", utc)
	}
}

// TestStatsPeak: stays are half open, so who comes when another leaves is not
// there with them; calls of different rooms count together.
func TestStatsPeak(t *testing.T) {
	t.Parallel()
	one := call(who(alice, "A", stay("01-12 08:00", "01-12 09:00", matrixrtc.CauseLeave)), who(bob, "B", stay("01-12 09:00", "01-12 10:00", matrixrtc.CauseLeave)))
	two := call(who(carol, "C", stay("01-12 09:30", "01-12 09:40", matrixrtc.CauseLeave)), who(dave, "D", stay("01-12 09:35", "01-12 09:35", matrixrtc.CauseLeave)))
	if got := sums(t, nil, one).Total().Peak; got != 1 {
		t.Errorf("peak %d of two who follow each other", got)
	}
	if got := sums(t, nil, two, one).Total().Peak; got != 2 {
		t.Errorf("peak %d of two calls at one time", got)
	}
}

// TestStatsOfAbsurdTimes: what strangers say of their clocks makes no endless
// loop and no overflow.
func TestStatsOfAbsurdTimes(t *testing.T) {
	t.Parallel()
	s := NewStats(&Options{At: at("01-16 09:12")})
	for i := range 3000 {
		session := call(who(alice, "A", matrixrtc.Stay{Start: time.UnixMilli(int64(i)), End: time.UnixMilli(1 << 53), Cause: matrixrtc.CauseExpired}))
		if err := s.Add(&session); err != nil {
			t.Fatal(err)
		}
	}
	back := call(who(alice, "A", matrixrtc.Stay{Start: time.UnixMilli(1 << 53)}))
	if err := s.Add(&back); err != nil {
		t.Fatal(err)
	}
	total := s.Total()
	if total.Calls != 3001 || total.Peak != 3000 || total.CallTime < 0 || total.ParticipantTime < 0 {
		t.Errorf("the total is %+v", total)
	}
	if n := len(s.Weeks()); n > 60 {
		t.Errorf("%d weeks", n)
	}
}

func BenchmarkStats(b *testing.B) {
	s, sum := four(), NewStats(&Options{Location: zone(b)})
	b.ReportAllocs()
	for b.Loop() {
		_ = sum.Add(&s)
	}
}
