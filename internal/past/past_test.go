package past

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); go test -update writes it anew:\n%s", name, diff)
	}
}

// zone is a zone with a summer time, the same on every machine.
func zone(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("needs the time zones: apt-get install tzdata")
	}
	return loc
}

// at is a time of 2026, in UTC: "01-12 09:02" or "01-12 09:02:30".
func at(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if v, err := time.Parse(layout, "2026-"+s); err == nil {
			return v
		}
	}
	panic("no such time: " + s)
}

// stay is from, to ("" = goes on), why, and "?x" / "x?" for uncertain ends.
func stay(from, to string, cause matrixrtc.Cause, unsure ...string) matrixrtc.Stay {
	s := matrixrtc.Stay{Start: at(from), Cause: cause, Event: "$stay"}
	if to != "" {
		s.End = at(to)
	}
	for _, u := range unsure {
		s.StartUncertain = s.StartUncertain || u == "start"
		s.EndUncertain = s.EndUncertain || u == "end"
	}
	return s
}

func who(user, device string, stays ...matrixrtc.Stay) matrixrtc.Participant {
	return matrixrtc.Participant{User: matrixrtc.UserID(user), Device: matrixrtc.DeviceID(device), Stays: stays}
}

// call makes a session of its participants.
func call(ps ...matrixrtc.Participant) matrixrtc.PastSession {
	s := matrixrtc.PastSession{
		Key:         matrixrtc.SessionKey{Room: "!daily:example.org", Slot: "m.call#ROOM"},
		Application: "m.call", HasCallID: true, FirstEvent: "$first", Participants: ps,
	}
	ongoing := false
	for _, p := range ps {
		for _, st := range p.Stays {
			if s.Start.IsZero() || st.Start.Before(s.Start) {
				s.Start, s.StartUncertain = st.Start, st.StartUncertain
			}
			ongoing = ongoing || st.End.IsZero()
			if st.End.After(s.End) {
				s.End, s.EndUncertain = st.End, st.EndUncertain
			}
		}
	}
	if ongoing {
		s.End, s.EndUncertain = time.Time{}, false
	}
	s.Peak = len(ps)
	return s
}

const (
	alice = "@alice:example.org"
	bob   = "@bob:example.org"
	carol = "@carol:example.org"
	dave  = "@dave:elsewhere.example"
)

// lively is a handful of sessions in which everything occurs once.
func lively() []matrixrtc.PastSession {
	long := call(
		who(alice, "PHONE", stay("01-12 08:02", "01-12 08:58", matrixrtc.CauseLeave)),
		who(bob, "LAPTOP", stay("01-12 08:05", "01-12 08:20", matrixrtc.CauseSwitch), stay("01-12 08:31", "01-12 08:57", matrixrtc.CauseLeave)),
		who(alice, "DESK", stay("01-12 08:10", "01-12 08:14", matrixrtc.CauseReplaced)),
		who(dave, "TABLET", stay("01-12 08:12", "01-12 08:40", matrixrtc.CauseLeftRoom)),
	)
	long.Ring, long.NotifiedBy, long.Peak = "notification", alice, 4

	missed := call(who(bob, "LAPTOP", stay("01-12 17:30", "01-12 17:31:05", matrixrtc.CauseLeave)))
	missed.Ring, missed.NotifiedBy, missed.DeclinedBy = "ring", bob, []matrixrtc.UserID{carol}

	silent := call(
		who(bob, "LAPTOP", stay("01-13 21:50", "01-14 01:50", matrixrtc.CauseExpired, "end")),
		who(carol, "", stay("01-13 21:45", "01-13 22:40", matrixrtc.CauseLeave, "start")),
	)
	silent.Participants[1].Member = "m1"
	silent.Participants[1].Stays[0].Skew = true
	silent.StartUncertain = true

	chess := call(who(carol, "BOARD", stay("01-15 12:00", "01-15 12:00", matrixrtc.CauseRedacted)))
	chess.Key.Slot, chess.Application, chess.HasCallID = "org.example.chess#7", "org.example.chess", false

	now := call(who(alice, "PHONE", stay("01-16 09:00", "", "")), who(carol, "LAPTOP", stay("01-16 09:05", "01-16 09:09", matrixrtc.CauseLeave), stay("01-16 09:10", "", "")))
	now.Ring, now.NotifiedBy = "ring", alice
	return []matrixrtc.PastSession{long, missed, silent, chess, now}
}

// many makes n sessions over the months before at, the same for the same n.
func many(n int, end time.Time) []matrixrtc.PastSession {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	people := []string{alice, bob, carol, dave, "@erin:example.org", "@frank.longname-of-accounting:example.org", "@grace:example.org", "@heidi:example.org", "@ivan:other.example", "@judy:example.org", "@mallory:example.org", "@niaj:example.org"}
	causes := []matrixrtc.Cause{matrixrtc.CauseLeave, matrixrtc.CauseLeave, matrixrtc.CauseLeave, matrixrtc.CauseLeave, matrixrtc.CauseLeave, matrixrtc.CauseSwitch, matrixrtc.CauseReplaced, matrixrtc.CauseExpired, matrixrtc.CauseLeftRoom}
	list := make([]matrixrtc.PastSession, 0, n)
	for i := range n {
		day := end.Add(-time.Duration(n-1-i) * 13 * time.Hour).Truncate(24 * time.Hour)
		start := day.Add(8*time.Hour + time.Duration(r.IntN(600))*time.Minute)
		length := time.Duration(2+r.IntN(20)*r.IntN(8)) * time.Minute
		var ps []matrixrtc.Participant
		for k, j := range r.Perm(len(people))[:1+min(r.IntN(7), r.IntN(9))] {
			from := start
			if k > 0 {
				from = start.Add(time.Duration(r.Int64N(int64(length/3) + 1)))
			}
			to := start.Add(length - time.Duration(r.Int64N(int64(length/4)+1)))
			if k == 0 {
				to = start.Add(length)
			}
			st := matrixrtc.Stay{Start: from.Truncate(time.Second), End: to.Truncate(time.Second), Cause: causes[r.IntN(len(causes))]}
			if st.Cause == matrixrtc.CauseExpired {
				st.EndUncertain, st.End = true, st.Start.Add(length+20*time.Minute)
			}
			p := who(people[j], fmt.Sprintf("DEV%02d", j), st)
			if k == 2 && length > 12*time.Minute && !st.EndUncertain {
				mid := st.Start.Add(st.End.Sub(st.Start) / 2)
				p.Stays = []matrixrtc.Stay{{Start: st.Start, End: mid, Cause: matrixrtc.CauseSwitch}, {Start: mid.Add(2 * time.Minute), End: st.End.Add(2 * time.Minute), Cause: st.Cause}}
			}
			ps = append(ps, p)
		}
		s := call(ps...)
		s.FirstEvent = matrixrtc.EventID(fmt.Sprintf("$event%d", i))
		if r.IntN(3) > 0 {
			s.Ring, s.NotifiedBy = "ring", ps[0].User
		}
		if r.IntN(9) == 0 {
			s.DeclinedBy = []matrixrtc.UserID{"@heidi:example.org"}
		}
		list = append(list, s)
	}
	return list
}
