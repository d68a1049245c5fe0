package past

import (
	"bufio"
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// List writes past calls for a person at a terminal, the newest last:
//
//	Monday 12 January 2026
//	  09:02–09:58  56 min      you, bob and @dave:elsewhere.example · announced by you
//	  18:30–18:31  1 min       bob · missed · rung by bob
//
// It needs all sessions before it can write: Close writes.
type List struct {
	w       io.Writer
	o       Options
	words   intern
	entries []entry
	servers servers
	rooms   map[matrixrtc.RoomID]bool
}

// entry is what a line needs of a session. Texts are interned.
type entry struct {
	start, end                             int64 // milliseconds; end is that of the reading if it is ongoing
	order                                  int32
	users                                  []uint32 // the first few
	declined                               []uint32
	more, moreDeclined                     int32 // how many more than those
	by, announced, room, app               uint32
	length                                 uint32
	ongoing, startUnsure, endUnsure, alone bool
	missed, took                           bool
}

// maxNamed is how many names a line can hold at most.
const maxNamed = 40

// NewList writes to w when it is closed.
func NewList(w io.Writer, o *Options) *List {
	return &List{w: w, o: o.or(), servers: servers{}, rooms: map[matrixrtc.RoomID]bool{}, words: intern{ids: map[string]uint32{}}}
}

// Add takes a session into the list. It keeps no reference to s.
func (l *List) Add(s *matrixrtc.PastSession) error {
	all := users(s, l.o.Me)
	e := entry{
		start: s.Start.UnixMilli(), end: until(s, l.o.At).UnixMilli(), order: int32(len(l.entries)),
		length: l.words.id(length(s, l.o.At)), announced: l.words.id(announced(s)), by: l.words.id(string(s.NotifiedBy)),
		room: l.words.id(string(s.Key.Room)), ongoing: s.Ongoing(), startUnsure: s.StartUncertain, endUnsure: s.EndUncertain,
		alone: len(all) == 1, missed: Missed(s, l.o.Me), took: len(all) > 0 && all[0] == l.o.Me,
	}
	if !isCall(s) {
		e.app = l.words.id(s.Application)
	}
	e.users, e.more = l.take(all)
	e.declined, e.moreDeclined = l.take(s.DeclinedBy)
	for _, u := range all {
		l.servers.add(u)
	}
	l.rooms[s.Key.Room] = true
	l.entries = append(l.entries, e)
	return nil
}

func (l *List) take(users []matrixrtc.UserID) (ids []uint32, more int32) {
	for _, u := range users[:min(len(users), maxNamed)] {
		ids = append(ids, l.words.id(string(u)))
	}
	return ids, int32(len(users) - len(ids))
}

// Close writes the list; it does not close the writer below.
func (l *List) Close() error {
	return l.writeAll(func(*listing, *bufio.Writer, *entry) bool { return false }, func(*listing, *bufio.Writer) {})
}

// writeAll writes the list; after is called behind every entry and reports
// whether it wrote something, last before the sums.
func (l *List) writeAll(after func(*listing, *bufio.Writer, *entry) bool, last func(*listing, *bufio.Writer)) error {
	w := bufio.NewWriter(l.w)
	if len(l.entries) == 0 {
		w.WriteString("No calls.\n")
		return w.Flush()
	}
	slices.SortFunc(l.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(a.order, b.order))
	})
	p := listing{List: l, names: names{l.o.Me, l.servers.home()}, style: l.o.style()}
	for i := range l.entries {
		e := &l.entries[i]
		p.when = max(p.when, columns(p.clock(e)))
		p.length = max(p.length, columns(l.words.text(e.length)))
	}
	day, apart := "", false
	for i := range l.entries {
		e := &l.entries[i]
		d := time.UnixMilli(e.start).In(l.o.Location).Format("Monday 2 January 2006")
		if apart || day != "" && d != day {
			w.WriteString("\n")
		}
		if d != day {
			day = d
			w.WriteString(p.style.line(p.style.paint(strong, d)))
		}
		p.write(w, e)
		apart = after(&p, w, e)
	}
	last(&p, w)
	p.sum(w)
	return w.Flush()
}

// listing is the list while it is written.
type listing struct {
	*List
	names        names
	style        style
	when, length int // columns
}

// clock says from when to when, in times of day.
func (p *listing) clock(e *entry) string {
	return clock(time.UnixMilli(e.start).In(p.o.Location), time.UnixMilli(e.end).In(p.o.Location), e.startUnsure, e.endUnsure, e.ongoing)
}

// clock writes "09:02–09:58", "~22:45–~02:50+1" or "10:00–now".
func clock(from, to time.Time, startUnsure, endUnsure, ongoing bool) string {
	text := from.Format("15:04") + "–"
	if startUnsure {
		text = "~" + text
	}
	if ongoing {
		return text + "now"
	}
	if endUnsure {
		text += "~"
	}
	text += to.Format("15:04")
	if days := daysBetween(from, to); days > 0 {
		text += "+" + strconv.Itoa(days)
	}
	return text
}

// daysBetween counts the midnights between two moments of one zone.
func daysBetween(from, to time.Time) int {
	a := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
	b := time.Date(to.Year(), to.Month(), to.Day(), 0, 0, 0, 0, time.UTC)
	return int(b.Sub(a) / (24 * time.Hour))
}

// leastNames is the least width for names beside the times; with less they stand
// below.
const leastNames = 30

func (p *listing) write(w *bufio.Writer, e *entry) {
	head := "  " + pad(p.clock(e), p.when) + "  " + pad(p.words.text(e.length), p.length) + "  "
	indent := strings.Repeat(" ", columns(head))
	if p.o.Width-len(indent) < leastNames {
		w.WriteString(p.style.line(head))
		head, indent = "    ", "    "
	}
	room := max(12, p.o.Width-len(indent))
	who := p.people(e.users, int(e.more), 1<<20)
	notes := p.notes(e)
	one := who
	for _, n := range notes {
		one += " · " + n.text
	}
	if columns(one) <= room {
		w.WriteString(p.style.line(head + who + p.paintNotes(notes, " · ")))
		return
	}
	w.WriteString(p.style.line(head + p.people(e.users, int(e.more), room)))
	for i := range notes {
		notes[i].text = fit(notes[i].text, room)
	}
	for len(notes) > 0 { // as many notes per line as it holds
		n, used := 1, columns(notes[0].text)
		for n < len(notes) && used+3+columns(notes[n].text) <= room {
			used += 3 + columns(notes[n].text)
			n++
		}
		w.WriteString(p.style.line(indent + strings.TrimPrefix(p.paintNotes(notes[:n], " · "), " · ")))
		notes = notes[n:]
	}
}

func (p *listing) people(ids []uint32, more, width int) string {
	list := make([]matrixrtc.UserID, 0, len(ids))
	for _, id := range ids {
		list = append(list, matrixrtc.UserID(p.words.text(id)))
	}
	if len(list) == 0 {
		return "nobody"
	}
	return p.names.list(list, len(list)+more, width)
}

// note is a remark on a session and how it is painted.
type note struct {
	color paint
	text  string
}

func (p *listing) paintNotes(notes []note, sep string) string {
	var b strings.Builder
	for _, n := range notes {
		b.WriteString(sep + p.style.paint(n.color, n.text))
	}
	return b.String()
}

func (p *listing) notes(e *entry) []note {
	var list []note
	add := func(c paint, text string) { list = append(list, note{c, text}) }
	me := p.o.Me
	by := matrixrtc.UserID(p.words.text(e.by))
	declined := me != "" && slices.ContainsFunc(e.declined, func(id uint32) bool { return p.words.text(id) == string(me) })
	switch {
	case e.ongoing:
		add(good, "ongoing")
	case e.missed:
		add(bad, "missed")
	case e.alone && p.words.text(e.announced) == "rung" && !e.startUnsure:
		add(bad, "no answer")
	}
	if e.app != 0 {
		add(quiet, fit(clean(p.words.text(e.app)), 40))
	}
	if how := p.words.text(e.announced); how != "" {
		add(quiet, how+" by "+fit(p.names.of(by), 40))
	}
	if declined && len(e.declined) == 1 {
		add(bad, "declined by you")
	} else if len(e.declined) > 0 {
		add(quiet, "declined by "+p.people(e.declined, int(e.moreDeclined), 50))
	}
	if len(p.rooms) > 1 {
		add(quiet, "in "+fit(p.o.room(matrixrtc.RoomID(p.words.text(e.room))), 40))
	}
	return list
}

// sum writes the last lines: what all of it was.
func (p *listing) sum(w *bufio.Writer) {
	var span time.Duration
	missed := 0
	for i := range p.entries {
		e := &p.entries[i]
		span += time.Duration(min(e.end-e.start, longest.Milliseconds())) * time.Millisecond
		if e.missed {
			missed++
		}
	}
	text := count(len(p.entries), "call") + ", " + total(span)
	if p.o.Me != "" {
		text += ", " + grouped(int64(missed)) + " missed"
	}
	if p.names.home != "" {
		text += ". Names without a server are of " + fit(clean(p.names.home), 60) + "."
	}
	w.WriteString("\n" + p.style.line(p.style.paint(quiet, text)))
}
