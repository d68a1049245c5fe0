package past

import (
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Picture draws past sessions: a timeline per session with a bar per
// participant, and a calendar of call minutes. WriteHTML makes a page,
// WriteSVG a picture, both one file without script that needs no network;
// WriteFragment makes the inside of the page for a page of somebody else, which
// links Style.
//
// It counts all sessions, keeps the newest Options.Most to draw them, and says
// how many it left out.
type Picture struct {
	o        Options
	keep     newest
	stats    *Stats
	calendar calendar
	servers  servers
	rooms    map[matrixrtc.RoomID]bool
}

// NewPicture makes an empty picture.
func NewPicture(o *Options) *Picture {
	full := o.or()
	return &Picture{
		o: full, keep: newest{most: full.Most}, stats: NewStats(&full), calendar: newCalendar(full.Location),
		servers: servers{}, rooms: map[matrixrtc.RoomID]bool{},
	}
}

// Add takes a session into the picture; the error is always nil. It keeps s's
// slices of stays: they must not change.
func (p *Picture) Add(s *matrixrtc.PastSession) error {
	p.keep.add(s, p.o.Me)
	p.calendar.add(s, p.o.At)
	for _, u := range users(s, "") {
		p.servers.add(u)
	}
	if len(p.rooms) < 2 {
		p.rooms[s.Key.Room] = true
	}
	return p.stats.Add(s)
}

// Style is the style sheet of WriteFragment.
func Style() string { return drawingCSS + pageCSS }

func (p *Picture) viewer() *viewer {
	return &viewer{p.o, names{p.o.Me, p.servers.home()}}
}

// group is a run of sessions of one day or month, with its first moment.
type group struct {
	at    time.Time
	calls []*drawn
}

// grouped parts sessions, the newest first, by what begin says of their start.
func groups(list []*drawn, loc *time.Location, begin func(time.Time) time.Time) []group {
	var out []group
	for _, d := range slices.Backward(list) {
		at := begin(d.Start.In(loc))
		if n := len(out); n == 0 || !out[n-1].at.Equal(at) {
			out = append(out, group{at: at})
		}
		g := &out[len(out)-1]
		g.calls = append(g.calls, d)
	}
	return out
}

func month(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
}

// when says from when to when a session was, in times of day.
func when(s *matrixrtc.PastSession, v *viewer) string {
	return clock(s.Start.In(v.Location), until(s, v.At).In(v.Location), s.StartUncertain, s.EndUncertain, s.Ongoing())
}

// remark is a word on a session; kind is a class of page.css, or "".
type remark struct{ kind, text string }

// remarks are what a line says of a session besides when and who.
func remarks(d *drawn, several bool, v *viewer) []remark {
	var list []remark
	s := &d.PastSession
	switch {
	case s.Ongoing():
		list = append(list, remark{"good", "ongoing"})
	case Missed(s, v.Me):
		list = append(list, remark{"odd", "missed"})
	case d.allUsers == 1 && s.Ring == "ring" && s.NotifiedBy != "" && !s.StartUncertain:
		list = append(list, remark{"odd", "no answer"})
	}
	if v.Me != "" && slices.Contains(s.DeclinedBy, v.Me) {
		list = append(list, remark{"odd", "declined by you"})
	}
	if !isCall(s) {
		list = append(list, remark{"", fit(clean(s.Application), 40)})
	}
	if several {
		list = append(list, remark{"", fit(v.room(s.Key.Room), 40)})
	}
	return list
}

// facts are what a drawing says of a session in words, as key and value.
func facts(d *drawn, several bool, v *viewer) [][2]string {
	s := &d.PastSession
	list := [][2]string{{"slot", fit(clean(string(s.Key.Slot)), 60)}}
	if several {
		list = append(list, [2]string{"room", fit(v.room(s.Key.Room), 60)})
	}
	people := count(d.allRows, "device") + " of " + count(d.allUsers, "user")
	if s.Peak < d.allRows {
		people += ", up to " + grouped(int64(s.Peak)) + " at one time"
	}
	list = append(list, [2]string{"", people})
	if how := announced(s); how != "" {
		list = append(list, [2]string{how + " by", fit(v.names.of(s.NotifiedBy), 60)})
	}
	if n := len(s.DeclinedBy); n > 0 {
		list = append(list, [2]string{"declined by", v.names.list(s.DeclinedBy[:min(n, maxNamed)], n, 80)})
	}
	return list
}
