package past

import (
	"fmt"
	"html"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// canvas is markup under construction. The drawing below is the same in a page
// and in a picture of its own: it stands in an <svg> of any width, so that every
// horizontal place is a percentage, and it needs no script, no style attribute
// and no id. Colours come from the classes of style.css; without any style the
// shapes still tell the fates apart.
type canvas struct {
	b    []byte
	bars int // drawn
}

// raw writes markup of ours; its arguments are numbers, or escaped already.
func (c *canvas) raw(format string, args ...any) { c.b = fmt.Appendf(c.b, format, args...) }

// text writes text of anybody.
func (c *canvas) text(s string) { c.b = append(c.b, html.EscapeString(s)...) }

// The bars stop short of the edges, so that the signs at their ends have room.
const edge, inner = 1.2, 97.2

func pct(f float64) string { return strconv.FormatFloat(edge+f*inner, 'f', 2, 64) + "%" }
func wide(f float64) string {
	return strconv.FormatFloat(f*inner, 'f', 2, 64) + "%"
}

// lane says how the rows of a plot are drawn.
type lane struct {
	pitch, thick float64 // pixels from row to row, and of a bar
	sign         float64 // size of the signs at the ends, 1 = 18 pixels high
	ticks        int     // at most so many
	axis         float64 // pixels below the rows
}

var (
	roomy  = lane{26, 12, 1, 8, 24}
	packed = lane{16, 8, 0.75, 8, 24}
	small  = lane{10, 6, 0.5, 4, 16}
)

// laneFor packs the rows of a big call.
func laneFor(rows int) lane {
	if rows > 16 {
		return packed
	}
	return roomy
}

func (l lane) height(rows int) float64 { return float64(rows)*l.pitch + l.axis }

// maxPictureBars is how many bars a page or a picture holds; a browser shows
// them at once, and a file of them is some ten megabytes.
const maxPictureBars = 25_000

// viewer is for whom and when a picture is drawn.
type viewer struct {
	Options
	names names
}

// plot draws the first rows participants of a session: the axis, and a bar for
// every stay with what it says in its title.
func (c *canvas) plot(d *drawn, rows int, l lane, v *viewer) {
	sc := scaleOf(&d.PastSession, v.At)
	c.axis(sc, float64(rows)*l.pitch, l, v.Location)
	for i := range rows {
		p := &d.Participants[i]
		for k := len(p.Stays) - 1; k >= 0; k-- { // the end of one stays visible on the begin of the next
			c.bar(p, &p.Stays[k], (float64(i)+0.5)*l.pitch, sc, l, v)
		}
	}
}

func (c *canvas) axis(sc scale, height float64, l lane, loc *time.Location) {
	size := 11
	if l == small {
		size = 9
	}
	c.raw(`<g class="ticks" text-anchor="middle" font-size="%d">`, size)
	for i, t := range ticks(sc, l.ticks, loc) {
		class := ""
		if i%2 == 1 {
			class = ` class="second"` // left out where there is little room
		}
		x := pct(sc.at(t.at))
		c.raw(`<g%s><line x1="%s" x2="%s" y1="0" y2="%g"/>`, class, x, x, height+3)
		switch f := sc.at(t.at); { // what stands at an edge stays inside
		case f > 0.97:
			c.raw(`<text x="100%%" y="%g" text-anchor="end">%s</text></g>`, height+l.axis*0.7, t.label)
			continue
		case f < 0.05 && l == small:
			c.raw(`<text x="0" y="%g" text-anchor="start">%s</text></g>`, height+l.axis*0.7, t.label)
			continue
		}
		c.raw(`<text x="%s" y="%g">%s</text></g>`, x, height+l.axis*0.7, t.label)
	}
	c.raw(`</g>`)
}

// bar draws one stay: solid where it is certain, striped where it is not, and
// the sign of what became of it.
func (c *canvas) bar(p *matrixrtc.Participant, st *matrixrtc.Stay, mid float64, sc scale, l lane, v *viewer) {
	c.bars++
	f, from, to := fateOf(st), sc.at(st.Start), sc.at(stayUntil(st, sc.to))
	c.raw(`<g class="bar %s" role="img"><title>`, fateClass[f])
	c.text(tell(p, st, sc, v))
	c.raw(`</title>`)
	a, b := solid(st)
	a, b = from+a*(to-from), from+b*(to-from)
	c.stripes(from, a, mid, l)
	c.stripes(b, to, mid, l)
	edge := ""
	if b-a < 0.004 {
		edge = ` stroke="currentColor"` // a moment can be seen
	}
	c.raw(`<rect x="%s" y="%g" width="%s" height="%g" rx="%g" fill="currentColor" fill-opacity=".9"%s/>`, pct(a), mid-l.thick/2, wide(b-a), l.thick, min(2.5, l.thick/4), edge)
	c.sign(f, to, mid, l.sign)
	c.raw(`</g>`)
}

func (c *canvas) stripes(from, to, mid float64, l lane) {
	if to <= from {
		return
	}
	c.raw(`<rect x="%s" y="%g" width="%s" height="%g" fill="currentColor" fill-opacity=".12"/>`, pct(from), mid-l.thick/2, wide(to-from), l.thick)
	c.raw(`<line x1="%s" x2="%s" y1="%g" y2="%g" stroke="currentColor" stroke-width="%g" stroke-dasharray="2.5 3.5"/>`, pct(from), pct(to), mid, mid, l.thick)
}

// fateClass are the classes of style.css.
var fateClass = [fates]string{here: "here", left: "left", moved: "moved", expired: "expired", removed: "removed"}

// signPath is the shape of a fate around its end: its meaning does not need
// the colour.
var signPath = [fates]string{
	here:    `class="halo" fill="currentColor" stroke-width="1.5" d="M-5 0a5 5 0 0 0 10 0a5 5 0 0 0 -10 0z"`,
	left:    `fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round" d="M0-8.5v17"`,
	moved:   `class="halo" fill="currentColor" stroke-width="1.5" stroke-linejoin="round" d="M-2-8l10 8l-10 8z"`,
	expired: `fill="none" stroke="currentColor" stroke-width="2.8" stroke-linecap="round" d="M-5-5l10 10m0-10l-10 10"`,
	removed: `class="halo" fill="currentColor" stroke-width="1.5" stroke-linejoin="round" d="M0-8.5l7.5 8.5l-7.5 8.5l-7.5-8.5z"`,
}

// sign draws a shape at a place; the inner svg is how a percentage moves a path.
func (c *canvas) sign(f fate, at, mid, size float64) {
	scaled := ""
	if size != 1 {
		scaled = fmt.Sprintf(` transform="scale(%g)"`, size)
	}
	c.raw(`<svg x="%s" y="%g" overflow="visible"><path %s%s/></svg>`, pct(at), mid, signPath[f], scaled)
}

// tell says a stay in words, line by line.
func tell(p *matrixrtc.Participant, st *matrixrtc.Stay, sc scale, v *viewer) string {
	loc, f := v.Location, fateOf(st)
	start, end := st.Start.In(loc), stayUntil(st, sc.to).In(loc)
	layout := "15:04:05"
	if !midnight(start).Equal(midnight(sc.from.In(loc))) || !midnight(end).Equal(midnight(start)) {
		layout = "2 Jan 15:04:05"
	}
	text := clean(string(p.User)) + " · " + device(p) + "\n"
	if st.StartUncertain {
		text += "there before " + start.Format(layout)
	} else {
		text += "joined " + start.Format(layout)
	}
	lasted := lasting(end.Sub(start))
	switch {
	case st.EndUncertain && f == expired && !st.StartUncertain:
		lasted = "at most " + lasted
	case st.EndUncertain:
		lasted = "about " + lasted
	case st.StartUncertain:
		lasted = "at least " + lasted
	}
	if st.End.IsZero() {
		return text + "\nthere now, for " + lasted
	}
	text += "\nended " + end.Format(layout) + ", after " + lasted + ": " + why(st.Cause)
	if st.Skew {
		text += "\nby its own clocks it ended before it began"
	}
	return text
}

// swatch is a bar in miniature, for the legend.
func (c *canvas) swatch(f fate) {
	c.raw(`<svg class="swatch bar %s" width="44" height="20" aria-hidden="true">`, fateClass[f])
	if f == expired {
		c.raw(`<rect x="2" y="5" width="10" height="10" rx="2" fill="currentColor" fill-opacity=".9"/>%s`, fmt.Sprintf(stripesSwatch, 12, 22, 13, 34))
	} else {
		c.raw(`<rect x="2" y="5" width="32" height="10" rx="2" fill="currentColor" fill-opacity=".9"/>`)
	}
	c.raw(`<svg x="34" y="10" overflow="visible"><path %s/></svg></svg>`, signPath[f])
}

const stripesSwatch = `<rect x="%d" y="5" width="%d" height="10" fill="currentColor" fill-opacity=".12"/><line x1="%d" x2="%d" y1="10" y2="10" stroke="currentColor" stroke-width="10" stroke-dasharray="2.5 3.5"/>`

func (c *canvas) unsureSwatch() {
	c.raw(`<svg class="swatch bar unsure" width="44" height="20" aria-hidden="true">%s</svg>`, fmt.Sprintf(stripesSwatch, 2, 38, 3, 40))
}
