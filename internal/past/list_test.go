package past

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// written feeds sessions to what new makes and returns what it wrote.
func written(t *testing.T, list []matrixrtc.PastSession, sink interface {
	Add(*matrixrtc.PastSession) error
	Close() error
}, out *bytes.Buffer) string {
	t.Helper()
	for i := range list {
		if err := sink.Add(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func listed(t *testing.T, o *Options, list ...matrixrtc.PastSession) string {
	t.Helper()
	var out bytes.Buffer
	return written(t, list, NewList(&out, o), &out)
}

func TestListGolden(t *testing.T) {
	t.Parallel()
	berlin := zone(t)
	for name, o := range map[string]*Options{
		"list.txt":        {Location: berlin, At: at("01-16 09:12"), Me: alice},
		"list-narrow.txt": {Location: berlin, At: at("01-16 09:12"), Me: carol, Width: 48, ASCII: true},
		"list-color.txt":  {Me: carol, Color: true, Width: 100},
	} {
		golden(t, name, []byte(listed(t, o, lively()...)))
	}
}

func TestTimelineGolden(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*Options{
		"timeline.txt":       {Location: zone(t), At: at("01-16 09:12"), Me: alice},
		"timeline-ascii.txt": {Location: zone(t), At: at("01-16 09:12"), Width: 60, ASCII: true, Most: 3},
		"timeline-color.txt": {At: at("01-16 09:12"), Color: true, Width: 72},
	} {
		var out bytes.Buffer
		golden(t, name, []byte(written(t, lively(), NewTimeline(&out, o), &out)))
	}
}

func TestMissed(t *testing.T) {
	t.Parallel()
	base := call(who(bob, "B", stay("01-12 08:02", "01-12 08:58", matrixrtc.CauseLeave)))
	for name, c := range map[string]struct {
		set  func(*matrixrtc.PastSession)
		me   matrixrtc.UserID
		want bool
	}{
		"rung":            {func(s *matrixrtc.PastSession) { s.Ring, s.NotifiedBy = "ring", bob }, alice, true},
		"announced":       {func(s *matrixrtc.PastSession) { s.NotifiedBy = bob }, alice, true},
		"nobody asked":    {func(s *matrixrtc.PastSession) { s.Ring, s.NotifiedBy = "ring", bob }, "", false},
		"not announced":   {func(*matrixrtc.PastSession) {}, alice, false},
		"announced by me": {func(s *matrixrtc.PastSession) { s.NotifiedBy = alice }, alice, false},
		"took part":       {func(s *matrixrtc.PastSession) { s.NotifiedBy = carol }, bob, false},
		"declined":        {func(s *matrixrtc.PastSession) { s.NotifiedBy, s.DeclinedBy = bob, []matrixrtc.UserID{alice} }, alice, false},
		"goes on":         {func(s *matrixrtc.PastSession) { s.NotifiedBy, s.End = bob, time.Time{} }, alice, false},
	} {
		s := base
		c.set(&s)
		if got := Missed(&s, c.me); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	n := names{me: bob, home: "example.org"}
	all := []matrixrtc.UserID{bob, alice, carol, dave, "@you:example.org", "no user id", "@x\x1b:example.org"}
	for width, want := range map[int]string{
		200: `you, alice, carol, @dave:elsewhere.example, @you:example.org, no user id and x\u001b`,
		40:  "you, alice, carol and 4 more",
		20:  "you and 6 more",
		1:   "you and 6 more",
	} {
		if got := n.list(all, len(all), width); got != want {
			t.Errorf("%d columns: %s, want %s", width, got, want)
		}
	}
	if got := n.list(all[:2], 500, 200); got != "you, alice and 498 more" {
		t.Error(got)
	}
	if got := n.list([]matrixrtc.UserID{"@a-very-long-name-of-somebody:elsewhere.example"}, 1, 16); columns(got) != 16 {
		t.Errorf("%q has %d columns", got, columns(got))
	}
	if home := (servers{"b": 2, "a": 2, "c": 1, "": 9}).home(); home != "a" {
		t.Error(home)
	}
}

// TestListFits: no line is wider than the terminal as long as a name fits.
func TestListFits(t *testing.T) {
	t.Parallel()
	list := append(many(60, at("01-11 20:00")), lively()...)
	for _, width := range []int{50, 64, 80, 132} {
		for _, ascii := range []bool{false, true} {
			var out bytes.Buffer
			text := written(t, list, NewTimeline(&out, &Options{Width: width, At: at("01-16 09:12"), Me: alice, ASCII: ascii}), &out)
			for line := range strings.Lines(text) {
				line = strings.TrimSuffix(line, "\n")
				if columns(line) > width && !strings.HasPrefix(line, "65 calls") && !strings.HasPrefix(line, "Bars are") {
					t.Errorf("%d columns of %d: %q", columns(line), width, line)
				}
				if ascii && strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
					t.Errorf("not ASCII: %q", line)
				}
			}
		}
	}
}

// TestLengths: what is not certain is said.
func TestLengths(t *testing.T) {
	t.Parallel()
	s := call(who(bob, "B", stay("01-12 08:00", "01-12 09:12", matrixrtc.CauseLeave)))
	for want, set := range map[string]func(*matrixrtc.PastSession){
		"1 h 12 min":          func(*matrixrtc.PastSession) {},
		"at least 1 h 12 min": func(s *matrixrtc.PastSession) { s.StartUncertain = true },
		"~1 h 12 min":         func(s *matrixrtc.PastSession) { s.EndUncertain = true },
		"35 s":                func(s *matrixrtc.PastSession) { s.End = at("01-12 08:00:35") },
		"47 h":                func(s *matrixrtc.PastSession) { s.End = at("01-14 07:00") },
		"3 days":              func(s *matrixrtc.PastSession) { s.End = at("01-15 09:00") },
		"30 min":              func(s *matrixrtc.PastSession) { s.End = time.Time{} },
		"0 s":                 func(s *matrixrtc.PastSession) { s.End = at("01-12 07:00") },
	} {
		c := s
		set(&c)
		if got := length(&c, at("01-12 08:30")); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
