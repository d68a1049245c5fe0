package past

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// The measures of a picture, in pixels.
const (
	picWidth  = 1000
	picMargin = 28
	picInner  = picWidth - 2*picMargin
	picLabels = 200 // names left of the bars
	// picMost is how many sessions one picture holds: it is looked at as a whole.
	picMost = 400
	// wideRows is the number of bars up to which each has a line and a name; with
	// more the sessions become small multiples, side by side.
	wideRows    = 90
	smallAcross = 3
	smallGap    = 24
	smallRows   = 10 // participants in one of them
	// picBars is how many bars a picture holds: it is drawn at once.
	picBars = 12_000
)

// WriteSVG writes a picture that is one file: figures, calendar, legend, and a
// timeline per session. Few sessions have a line per participant with the name;
// many become small ones side by side, with the names in their titles.
func (p *Picture) WriteSVG(w io.Writer) error {
	v := p.viewer()
	s := &sheet{Picture: p, v: v, y: picMargin}
	s.header()
	list := p.keep.sorted()
	if len(list) == 0 {
		s.text(picMargin, s.y+24, 13, "dim", "No calls.")
		s.y += 40
	} else {
		s.legend()
		s.sessions(list)
	}
	c := &canvas{}
	c.raw(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%g" viewBox="0 0 %d %g" role="group"><title>`, picWidth, s.y+picMargin, picWidth, s.y+picMargin)
	c.text(clean(v.Title))
	c.raw("</title>\n<style>%s%s</style>\n<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n", drawingCSS, pictureCSS)
	c.b = append(append(c.b, s.b...), "</svg>\n"...)
	_, err := w.Write(c.b)
	return err
}

// sheet is a picture under construction; y is how far it reaches.
type sheet struct {
	canvas
	*Picture
	v *viewer
	y float64
}

// text writes a line of text of anybody; an x below zero counts from the right.
func (s *sheet) text(x, y, size float64, class, text string) {
	anchor := ""
	if x < 0 {
		x, anchor = picWidth+x, ` text-anchor="end"`
	}
	s.raw(`<text x="%g" y="%g" font-size="%g" class="%s"%s>`, x, y, size, class, anchor)
	s.canvas.text(text)
	s.raw(`</text>`)
}

// perColumn is how wide a letter is, near enough, in parts of the font's size.
const perColumn = 0.56

// cut cuts a text to a width in pixels.
func cut(text string, width, size float64) string { return fit(text, int(width/(size*perColumn))) }

func (s *sheet) header() {
	s.raw(`<svg x="%d" y="%g" width="26" height="26">%s</svg>`, picMargin, s.y, strings.Replace(icon, `width="28" height="28"`, `width="26" height="26"`, 1))
	s.text(picMargin+36, s.y+20, 18, "ink", cut(clean(s.v.Title), 380, 18))
	s.text(-picMargin, s.y+18, 12, "dim", cut(s.asOf(s.v), 560, 12))
	s.y += 50
	if s.keep.seen == 0 {
		return
	}
	x := float64(picMargin)
	for _, f := range s.figures(s.v) {
		s.text(x, s.y+16, 20, "ink", f[1])
		s.text(x, s.y+34, 12, "dim", f[0])
		x += picInner / 5
	}
	s.y += 52
	s.rule()
	s.y += 14
	blocks, left := s.calendar.blocks()
	bounds := s.calendar.levels()
	for _, b := range blocks {
		s.raw(`<svg x="%d" y="%g" width="%d" height="%d" role="group" aria-label="Call time per day">`, picMargin, s.y, heatWidth, heatHeight)
		s.heat(&s.calendar, b, bounds, nil)
		s.raw("</svg>\n")
		s.y += heatHeight + 4
	}
	x = picMargin + heatLeft
	s.text(x, s.y+11, 11, "dim", "Call time per day:")
	x += 104
	for lvl, words := range shadeWords(bounds) {
		s.shade(int(x), int(s.y), lvl)
		s.text(x+cell+5, s.y+11, 11, "dim", words)
		x += cell + 5 + float64(columns(words))*11*perColumn + 14
	}
	s.y += 26
	if left > 0 {
		s.text(picMargin+heatLeft, s.y+8, 11, "note", count(left, "day")+" with calls in other years are left out of the calendar.")
		s.y += 18
	}
}

func (s *sheet) rule() {
	s.raw(`<line class="rule" x1="%d" x2="%d" y1="%g" y2="%g"/>`, picMargin, picWidth-picMargin, s.y, s.y)
}

func (s *sheet) legend() {
	s.rule()
	s.y += 12
	x := float64(picMargin)
	entry := func(words string, draw func()) {
		s.raw(`<svg x="%g" y="%g" width="44" height="20" overflow="visible">`, x, s.y)
		draw()
		s.raw(`</svg>`)
		s.text(x+50, s.y+14, 12, "dim", words)
		x += 50 + float64(columns(words))*12*perColumn + 14
	}
	for f := range fates {
		entry(fateWords[f], func() { s.swatch(f) })
	}
	entry("not certain", s.unsureSwatch)
	s.y += 34
}

func (s *sheet) sessions(list []*drawn) {
	list = list[max(0, len(list)-picMost):]
	if n := s.keep.seen - len(list); n > 0 {
		s.text(picMargin, s.y+6, 12, "note", "The "+grouped(int64(len(list)))+" newest calls are drawn, and "+grouped(int64(n))+" older ones are not. The figures and the calendar count all.")
		s.y += 24
	}
	rows := 0
	for _, d := range list {
		rows += len(d.Participants)
	}
	if rows <= wideRows {
		for _, g := range groups(list, s.v.Location, midnight) {
			s.day(g)
		}
		return
	}
	for _, g := range groups(list, s.v.Location, month) {
		s.month(g)
	}
}

// heading is a rule with what follows below it, and the sum of it.
func (s *sheet) heading(g group, layout string) {
	var span time.Duration
	for _, d := range g.calls {
		span = saturated(span, until(&d.PastSession, s.v.At).Sub(d.Start))
	}
	s.rule()
	s.text(picMargin, s.y+24, 15, "ink", g.at.Format(layout))
	s.text(-picMargin, s.y+24, 12, "dim", count(len(g.calls), "call")+" · "+total(span))
	s.y += 40
}

// day draws sessions one below the other, with a name left of each bar.
func (s *sheet) day(g group) {
	s.heading(g, "Monday 2 January 2006")
	for _, d := range g.calls {
		s.text(picMargin, s.y+12, 13, "ink", when(&d.PastSession, s.v))
		s.text(picMargin+118, s.y+12, 13, "dim", length(&d.PastSession, s.v.At))
		words := ""
		for _, f := range facts(d, len(s.rooms) > 1, s.v) {
			words += " · " + strings.TrimSpace(f[0]+" "+f[1])
		}
		tags := s.tags(d)
		s.text(picMargin+picLabels+18, s.y+12, 12, "dim", cut(strings.TrimPrefix(words, " · "), picInner-picLabels-40-float64(columns(tags))*7.5, 12))
		s.text(-picMargin, s.y+12, 12, "note", tags)
		s.y += 24
		rows := len(d.Participants)
		l := laneFor(rows)
		size := min(12.5, l.pitch*0.72)
		for i := range d.Participants {
			s.label(&d.Participants[i], s.y+(float64(i)+0.5)*l.pitch+size*0.35, size)
		}
		s.raw(`<svg x="%d" y="%g" width="%d" height="%g" overflow="visible" role="group" aria-label="Timeline of %s">`, picMargin+picLabels+8, s.y, picInner-picLabels-8, l.height(rows), count(rows, "participant"))
		s.plot(d, rows, l, s.v)
		s.raw("</svg>\n")
		s.y += l.height(rows) + 4
		if n := d.allRows - rows; n > 0 {
			s.text(picMargin, s.y+6, 12, "dim", "and "+count(n, "more device")+", not drawn")
			s.y += 16
		}
		s.y += 14
	}
}

// label names a participant left of the bars, the device as far as there is
// room.
func (s *sheet) label(p *matrixrtc.Participant, y, size float64) {
	name := cut(s.v.names.of(p.User), picLabels-10, size)
	s.raw(`<text x="%d" y="%g" font-size="%g"><tspan class="ink">`, picMargin, y, size)
	s.canvas.text(name)
	s.raw(`</tspan>`)
	if rest := picLabels - float64(columns(name))*size*perColumn - 12; rest > 36 {
		s.raw(`<tspan class="dim" dx="8">`)
		s.canvas.text(cut(device(p), rest, size))
		s.raw(`</tspan>`)
	}
	s.raw(`</text>`)
}

// tags are the remarks on a session in one line.
func (s *sheet) tags(d *drawn) string {
	var words []string
	for _, r := range remarks(d, false, s.v) {
		words = append(words, r.text)
	}
	return strings.Join(words, " · ")
}

// month draws sessions as small multiples.
func (s *sheet) month(g group) {
	s.heading(g, "January 2006")
	for row := range slices.Chunk(g.calls, smallAcross) {
		high := 0.0
		for i, d := range row {
			high = max(high, s.small(d, picMargin+float64(i)*(smallWidth+smallGap)))
		}
		s.y += high + 14
	}
	s.y += 6
}

const smallWidth = (picInner - (smallAcross-1)*smallGap) / smallAcross

// small draws one session at x and returns how high it is.
func (s *sheet) small(d *drawn, x float64) float64 {
	head := d.Start.In(s.v.Location).Format("Mon 2 Jan ") + when(&d.PastSession, s.v)
	s.text(x, s.y+11, 12, "ink", head)
	s.text(x+smallWidth-picWidth, s.y+11, 11, "dim", length(&d.PastSession, s.v.At))
	tags := s.tags(d)
	room := smallWidth - float64(columns(tags))*11*perColumn - 10
	s.text(x, s.y+26, 11, "dim", s.v.names.list(d.users, d.allUsers, int(room/(11*perColumn))))
	if tags != "" {
		s.text(x+smallWidth-picWidth, s.y+26, 11, "note", tags)
	}
	rows := min(len(d.Participants), smallRows)
	if s.bars+d.bars > picBars {
		s.text(x, s.y+44, 11, "note", "The bars are left out: the picture is full.")
		return 50
	}
	s.raw(`<svg x="%g" y="%g" width="%g" height="%g" overflow="visible" role="group" aria-label="Timeline of %s">`, x, s.y+34, float64(smallWidth), small.height(rows), count(rows, "participant"))
	s.plot(d, rows, small, s.v)
	s.raw("</svg>\n")
	high := 34 + small.height(rows)
	if n := d.allRows - rows; n > 0 {
		s.text(x, s.y+high+8, 10, "dim", "and "+count(n, "more device"))
		high += 12
	}
	return high
}
