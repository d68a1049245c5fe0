package past

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

func pageOf(t testing.TB, p *Picture) string {
	t.Helper()
	return writtenBy(t, p.WriteHTML)
}

func writtenBy(t testing.TB, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wellFormed fails for markup that is no XML; what we write of HTML is both.
func wellFormed(t *testing.T, markup string) (texts []string) {
	t.Helper()
	for dec := xml.NewDecoder(strings.NewReader(markup)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return texts
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
		switch token := token.(type) {
		case xml.CharData:
			texts = append(texts, string(token))
		case xml.StartElement:
			for _, a := range token.Attr {
				if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("<%s %s>: inline style or script", token.Name.Local, a.Name.Local)
				}
			}
			if name := token.Name.Local; name == "script" || name == "img" || name == "iframe" || name == "object" || name == "foreignObject" {
				t.Errorf("there is a <%s>", name)
			}
		}
	}
}

// TestDrawingGolden: the drawing itself, without page and calendar around it.
func TestDrawingGolden(t *testing.T) {
	t.Parallel()
	o := Options{Location: zone(t), At: at("01-16 09:12"), Me: alice}
	var p = pictureOf(t, &o, lively())
	c, v := &canvas{}, p.viewer()
	for _, d := range p.keep.sorted()[:3] {
		c.raw("<svg>")
		c.plot(d, len(d.Participants), roomy, v)
		c.raw("</svg>\n")
	}
	golden(t, "drawing.svg.txt", []byte(strings.NewReplacer("<g ", "\n<g ", "<g>", "\n<g>", "</svg>\n", "\n</svg>\n").Replace(string(c.b))))
}

// TestPicturesAreTheSameTwice: the same sessions in any order make the same
// bytes.
func TestPicturesAreTheSameTwice(t *testing.T) {
	t.Parallel()
	o := &Options{Location: zone(t), At: at("01-16 09:12"), Most: 50}
	list := many(120, at("01-11 20:00"))
	back := append([]matrixrtc.PastSession(nil), list...)
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	a, b := pictureOf(t, o, list), pictureOf(t, o, back)
	first, again := pageOf(t, a), pageOf(t, a)
	if first != pageOf(t, b) || first != again {
		t.Error("the page depends on the order of the sessions")
	}
	if writtenBy(t, a.WriteSVG) != writtenBy(t, b.WriteSVG) {
		t.Error("the picture depends on the order of the sessions")
	}
}

// TestPageNeedsNothing: one file, without network and without script, and what
// it holds is what its policy allows.
func TestPageNeedsNothing(t *testing.T) {
	t.Parallel()
	for name, p := range shows(t) {
		fragment := writtenBy(t, p.WriteFragment)
		wellFormed(t, "<body>"+fragment+"</body>")
		svg := writtenBy(t, p.WriteSVG)
		wellFormed(t, svg)
		page := pageOf(t, p)
		if !strings.Contains(page, fragment) {
			t.Errorf("%s: the page is not made of the fragment", name)
		}
		if i := strings.Index(strings.ReplaceAll(page+svg, "http://www.w3.org/2000/svg", ""), "://"); i >= 0 {
			t.Errorf("%s: there is an address outside", name)
		}
	}
}

// TestPicturesOfHostileTexts: whatever a stranger writes stays text.
func TestPicturesOfHostileTexts(t *testing.T) {
	t.Parallel()
	hostile := "</title></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x00\x1b[2J\u202e\xff\u2028" + strings.Repeat("A", 3000)
	s := call(
		who("@"+hostile+":"+hostile, hostile, stay("01-12 08:02", "01-12 08:58", matrixrtc.Cause(hostile))),
		who(hostile, "", stay("01-12 08:02", "01-12 08:58", matrixrtc.CauseLeave)),
	)
	s.Key.Room, s.Key.Slot, s.Application, s.CallID = matrixrtc.RoomID(hostile), matrixrtc.SlotID(hostile), hostile, hostile
	s.Ring, s.NotifiedBy, s.DeclinedBy, s.FirstEvent = hostile, matrixrtc.UserID(hostile), []matrixrtc.UserID{matrixrtc.UserID(hostile)}, matrixrtc.EventID(hostile)
	other := lively()[0]
	o := &Options{Title: hostile, RoomName: func(matrixrtc.RoomID) string { return hostile }}
	p := pictureOf(t, o, []matrixrtc.PastSession{s, other})
	fragment := "<body>" + writtenBy(t, p.WriteFragment) + "</body>"
	svg := writtenBy(t, p.WriteSVG)
	for _, markup := range []string{fragment, svg} {
		texts := wellFormed(t, markup)
		if !strings.Contains(strings.Join(texts, ""), "alert(1)") {
			t.Error("the text itself is gone")
		}
		if len(markup) > 120_000 {
			t.Errorf("%d bytes for two sessions", len(markup))
		}
	}
	for _, out := range []string{fragment, svg, pageOf(t, p), listed(t, o, s, other)} {
		if strings.ContainsAny(out, "\x00\x1b\u202e\u2028") || strings.Contains(out, "\xff") {
			t.Error("a control got through")
		}
		if strings.Contains(out, "AAAA"+strings.Repeat("A", 300)) {
			t.Error("a very long text got through")
		}
	}
	if strings.Contains(pageOf(t, p), "<script") {
		t.Error("a script got through")
	}
}

// TestPicturesAreBounded: thousands of sessions, thousands of devices, one that
// comes and goes all the time; what is left out is said.
func TestPicturesAreBounded(t *testing.T) {
	t.Parallel()
	p := NewPicture(&Options{At: at("01-16 09:12"), Most: 240})
	flap := who("@flap:example.org", "F")
	for i := range 5000 {
		from := at("01-11 08:00").Add(time.Duration(i) * 2 * time.Second)
		flap.Stays = append(flap.Stays, matrixrtc.Stay{Start: from, End: from.Add(time.Second), Cause: matrixrtc.CauseLeave})
	}
	ps := []matrixrtc.Participant{flap}
	for i := range 1500 {
		ps = append(ps, who(fmt.Sprintf("@p%04d:example.org", i), "D", stay("01-11 08:00", "01-11 09:00", matrixrtc.CauseLeave)))
	}
	busy := call(ps...)
	for range 480 {
		if err := p.Add(&busy); err != nil {
			t.Fatal(err)
		}
		busy.Start = busy.Start.Add(time.Second)
	}
	page := pageOf(t, p)
	if len(page) > 20<<20 {
		t.Errorf("the page has %d MiB", len(page)>>20)
	}
	for _, said := range []string{"The 240 newest calls are drawn below, and 240 older ones are not.", "and 1\u202f441 more devices, not drawn", "The bars are left out"} {
		if !strings.Contains(page, said) {
			t.Errorf("the page does not say %q", said)
		}
	}
	if n := len(writtenBy(t, p.WriteSVG)); n > 6<<20 {
		t.Errorf("the picture has %d MiB", n>>20)
	}
}

// TestCalendar: minutes count in the days in which they were, and years without
// end are left out.
func TestCalendar(t *testing.T) {
	t.Parallel()
	berlin := zone(t)
	c := newCalendar(berlin)
	// The clock is put forward in the night to 2026-03-29, which has 23 hours.
	s := call(who(alice, "A", stay("03-28 22:00", "03-29 22:30", matrixrtc.CauseLeave)))
	c.add(&s, time.Time{})
	minutes := map[string]int64{}
	for ms, d := range c.days {
		minutes[time.UnixMilli(ms).In(berlin).Format("01-02")] = d.call / 60_000
	}
	if fmt.Sprint(minutes) != "map[03-28:60 03-29:1380 03-30:30]" {
		t.Errorf("minutes per day: %v", minutes)
	}
	for y := range 12 {
		s := call(who(alice, "A", matrixrtc.Stay{Start: at("03-28 22:00").AddDate(-2*y, 0, 0), End: at("03-28 23:00").AddDate(-2*y, 0, 0), Cause: matrixrtc.CauseLeave}))
		c.add(&s, time.Time{})
	}
	blocks, left := c.blocks()
	if len(blocks) != maxBlocks || left != 7 {
		t.Errorf("%d blocks, %d days left out", len(blocks), left)
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	c := newCalendar(time.UTC)
	for i := range 100 {
		c.days[int64(i)] = &day{call: int64(i+1) * 60_000}
	}
	bounds := c.levels()
	if bounds != [3]int64{30 * 60_000, 60 * 60_000, 90 * 60_000} {
		t.Errorf("bounds %v", bounds)
	}
	for ms, want := range map[int64]int{0: 0, 1: 1, 30 * 60_000: 1, 30*60_000 + 1: 2, 90*60_000 + 1: 4} {
		if got := level(ms, bounds); got != want {
			t.Errorf("level of %d ms is %d, want %d", ms, got, want)
		}
	}
}

// TestTicks: round times of the wall clock, in order, not too many, also where
// the clock is changed.
func TestTicks(t *testing.T) {
	t.Parallel()
	berlin := zone(t)
	for _, c := range []struct {
		from string
		span time.Duration
		want string
	}{
		{"01-12 08:02", 56 * time.Minute, "09:10 09:20 09:30 09:40 09:50"},
		{"01-12 08:00", time.Second, "09:00:00 09:00:01"},
		{"01-12 21:40", 2 * time.Hour, "23:00 23:30 13 Jan 00:30"},
		{"03-29 00:30", 5 * time.Hour, "03:00 04:00 05:00 06:00 07:00"},       // 02:00 is left out that night
		{"10-25 00:30", 3 * time.Hour, "02:00 02:30 03:00 03:30 04:00 04:30"}, // the hour from 02:00 comes twice; the second is marked
		{"01-12 08:02", 5 * 24 * time.Hour, "13 Jan 14 Jan 15 Jan 16 Jan 17 Jan"},
	} {
		var labelsAt time.Time
		s := scale{at(c.from), at(c.from).Add(c.span)}
		var labels []string
		for i, k := range ticks(s, 8, berlin) {
			labels = append(labels, k.label)
			if k.at.Before(s.from) || k.at.After(s.to) || i > 0 && !k.at.After(labelsAt) {
				t.Errorf("%s: %v is out of order", c.from, k)
			}
			labelsAt = k.at
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("%s and %v: %s, want %s", c.from, c.span, got, c.want)
		}
	}
	for _, span := range []time.Duration{time.Minute, time.Hour, 5 * time.Hour, 26 * time.Hour, 9 * 24 * time.Hour, longest} {
		if n := len(ticks(scale{at("10-24 20:13"), at("10-24 20:13").Add(span)}, 8, berlin)); n < 2 || n > 10 {
			t.Errorf("%d ticks for %v", n, span)
		}
	}
}
