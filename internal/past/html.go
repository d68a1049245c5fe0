package past

import (
	"crypto/sha256"
	_ "embed" // the style sheets
	"encoding/base64"
	"io"
	"strings"
	"time"
)

//go:embed drawing.css
var drawingCSS string

//go:embed picture.css
var pictureCSS string

//go:embed page.css
var pageCSS string

const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="28" height="28"><rect width="32" height="32" rx="8" fill="#12806a"/><g fill="#fff"><rect x="6" y="8" width="16" height="4" rx="2"/><rect x="10" y="14" width="16" height="4" rx="2"/><rect x="6" y="20" width="10" height="4" rx="2"/></g></svg>`

// WriteHTML writes a page that is one file. It holds no script, and a policy
// that lets nothing run or load but its own style.
func (p *Picture) WriteHTML(w io.Writer) error {
	style := Style()
	sum := sha256.Sum256([]byte(style))
	v := p.viewer()
	c := &canvas{}
	c.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
	c.raw(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'">`+"\n", base64.StdEncoding.EncodeToString(sum[:]))
	c.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>")
	c.text(clean(v.Title))
	c.raw("</title>\n<link rel=\"icon\" type=\"image/svg+xml\" href=\"data:image/svg+xml;base64,%s\">\n", base64.StdEncoding.EncodeToString([]byte(icon)))
	c.raw("<style>%s</style>\n</head>\n<body>\n<header class=\"top\">%s<h1>", style, strings.Replace(icon, "<svg", `<svg aria-hidden="true"`, 1))
	c.text(clean(v.Title))
	c.raw("</h1><p>")
	c.text(p.asOf(v))
	c.raw("</p></header>\n<main>\n")
	p.inside(c, v)
	c.raw("</main>\n<footer><p>")
	c.text("Computed from what each device says of itself (MSC4143). Striped: not certain; how far it is off nobody knows.")
	if v.names.home != "" {
		c.text(" Names without a server are of " + fit(clean(v.names.home), 80) + ".")
	}
	c.raw("</p></footer>\n</body>\n</html>\n")
	_, err := w.Write(c.b)
	return err
}

// asOf says when and in which time zone the page was made.
func (p *Picture) asOf(v *viewer) string {
	zone := v.Location.String()
	room := ""
	for id := range p.rooms {
		if len(p.rooms) == 1 {
			room = fit(v.room(id), 60) + " · "
		}
	}
	if v.At.IsZero() {
		return room + "times of " + zone
	}
	return room + "as of " + v.At.In(v.Location).Format("2 January 2006, 15:04") + " · times of " + zone
}

// WriteFragment writes figures, calendar and timelines as elements for the body
// of another page, which links Style. Nothing in it is inline style or script.
func (p *Picture) WriteFragment(w io.Writer) error {
	c := &canvas{}
	p.inside(c, p.viewer())
	_, err := w.Write(c.b)
	return err
}

func (p *Picture) inside(c *canvas, v *viewer) {
	list := p.keep.sorted()
	if len(list) == 0 {
		c.raw("<section class=\"card empty\"><h2>No calls</h2></section>\n")
		return
	}
	anchors := map[string]bool{}
	for _, g := range groups(list, v.Location, midnight) {
		anchors[dayID(g.at)] = true
	}
	p.overview(c, v, anchors)
	c.raw(`<ul class="legend" aria-label="What the bars mean">`)
	for f := range fates {
		c.raw(`<li>`)
		c.swatch(f)
		c.text(fateWords[f])
		c.raw(`</li>`)
	}
	c.raw(`<li>`)
	c.unsureSwatch()
	c.raw("not certain</li></ul>\n")
	if n := p.keep.seen - len(list); n > 0 {
		c.raw(`<p class="note">The %s newest calls are drawn below, and %s older ones are not. The figures and the calendar count all.</p>`+"\n", grouped(int64(len(list))), grouped(int64(n)))
	}
	open := len(list) <= 12
	for _, m := range groups(list, v.Location, month) {
		p.month(c, m, open, v)
	}
}

// overview is the card with the figures and the calendar.
func (p *Picture) overview(c *canvas, v *viewer, anchors map[string]bool) {
	c.raw("<section class=\"card\"><dl class=\"figures\">")
	for _, f := range p.figures(v) {
		c.raw("<div><dt>%s</dt><dd>%s</dd></div>", f[0], f[1])
	}
	c.raw("</dl>\n<div class=\"scroll\">")
	blocks, left := p.calendar.blocks()
	bounds := p.calendar.levels()
	for _, y := range blocks {
		c.raw(`<svg width="%d" height="%d" role="group" aria-label="Call time per day">`, heatWidth, heatHeight)
		c.heat(&p.calendar, y, bounds, anchors)
		c.raw("</svg>\n")
	}
	c.raw(`</div><ul class="legend fine"><li>Call time per day:</li>`)
	for lvl, words := range shadeWords(bounds) {
		c.raw(`<li><svg width="%d" height="%d" aria-hidden="true">`, cell, cell)
		c.shade(0, 0, lvl)
		c.raw(`</svg>%s</li>`, words)
	}
	c.raw("</ul>")
	if left > 0 {
		c.raw(`<p class="more">%s with calls in other years are left out of the calendar.</p>`, count(left, "day"))
	}
	c.raw("</section>\n")
}

// figures are the sums at the head of a picture, as name and value.
func (p *Picture) figures(v *viewer) [][2]string {
	sum := p.stats.Total()
	list := [][2]string{
		{plural(sum.Calls, "call", "calls"), grouped(int64(sum.Calls))},
		{"call time", total(sum.CallTime)},
		{"participant time", total(sum.ParticipantTime)},
		{plural(sum.Peak, "device", "devices") + " at one time", grouped(int64(sum.Peak))},
	}
	if v.Me != "" {
		list = append(list, [2]string{"missed by you", grouped(int64(sum.Missed))})
	}
	return list
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

func (p *Picture) month(c *canvas, m group, open bool, v *viewer) {
	var span time.Duration
	for _, d := range m.calls {
		span = saturated(span, until(&d.PastSession, v.At).Sub(d.Start))
	}
	c.raw("<section class=\"card\"><header><h2>%s</h2><p>%s · %s</p></header>\n", m.at.Format("January 2006"), count(len(m.calls), "call"), total(span))
	c.raw(`<div class="hours" aria-hidden="true"><span></span><div class="row"><span></span><span></span><span></span><svg class="mini"><g class="ticks" font-size="10">`)
	for _, h := range []int{0, 6, 12, 18, 24} {
		anchor := "middle"
		if h == 0 {
			anchor = "start"
		} else if h == 24 {
			anchor = "end"
		}
		c.raw(`<text x="%g%%" y="11" text-anchor="%s">%02d</text>`, float64(h)/24*100, anchor, h)
	}
	c.raw("</g></svg></div></div>\n")
	for i := 0; i < len(m.calls); {
		at := midnight(m.calls[i].Start.In(v.Location))
		c.raw(`<section class="day" id="%s"><h3>%s <span>%s</span></h3><div>`, dayID(at), at.Format("2"), at.Format("Monday")[:3])
		for ; i < len(m.calls) && midnight(m.calls[i].Start.In(v.Location)).Equal(at); i++ {
			p.session(c, m.calls[i], at, open, v)
		}
		c.raw("</div></section>\n")
	}
	c.raw("</section>\n")
}

func (p *Picture) session(c *canvas, d *drawn, midnight time.Time, open bool, v *viewer) {
	attr := ""
	if open {
		attr = ` open=""`
	}
	c.raw("<details%s><summary class=\"row\"><span class=\"time\">", attr)
	c.text(when(&d.PastSession, v))
	c.raw(`</span><span class="long">`)
	c.text(length(&d.PastSession, v.At))
	c.raw(`</span>`)
	c.mini(d, midnight, v)
	c.raw(`<span class="who"><bdi>`)
	c.text(v.names.list(d.users, d.allUsers, 46))
	c.raw(`</bdi></span><span class="badges">`)
	for _, r := range remarks(d, len(p.rooms) > 1, v) {
		c.raw(`<span class="badge %s">`, r.kind)
		c.text(r.text)
		c.raw(`</span>`)
	}
	c.raw("</span></summary>\n<div class=\"inside\"><p class=\"facts\">")
	for _, f := range facts(d, len(p.rooms) > 1, v) {
		c.raw("<span>")
		if f[0] != "" {
			c.raw(`<span class="key">`)
			c.text(f[0])
			c.raw(`</span> `)
		}
		c.raw("<bdi>")
		c.text(f[1])
		c.raw("</bdi></span>")
	}
	c.raw("</p>")
	if c.bars+d.bars > maxPictureBars {
		c.raw("<p class=\"more\">The bars are left out: this page holds as many as a browser likes to show.</p></div></details>\n")
		return
	}
	c.timeline(d, v)
	c.raw("</div></details>\n")
}

// timeline is the plot with the names left of it.
func (c *canvas) timeline(d *drawn, v *viewer) {
	rows := len(d.Participants)
	l := laneFor(rows)
	class := "grid"
	if l == packed {
		class += " packed"
	}
	c.raw(`<div class="%s"><div class="labels">`, class)
	for i := range d.Participants {
		who := &d.Participants[i]
		c.raw(`<div class="label" title="`)
		c.text(clean(string(who.User)) + " " + device(who))
		c.raw(`"><bdi class="user">`)
		c.text(fit(v.names.of(who.User), 60))
		c.raw(`</bdi><bdi class="device">`)
		c.text(fit(device(who), 40))
		c.raw(`</bdi></div>`)
	}
	c.raw(`</div><svg class="plot" width="100%%" height="%g" role="group" aria-label="Timeline of %s">`, l.height(rows), count(rows, "participant"))
	c.plot(d, rows, l, v)
	c.raw(`</svg></div>`)
	if n := d.allRows - rows; n > 0 {
		c.raw(`<p class="more">and %s, not drawn</p>`, count(n, "more device"))
	}
}

// mini is the session on the 24 hours of the day in which it began.
func (c *canvas) mini(d *drawn, midnight time.Time, v *viewer) {
	sc := scale{midnight, time.Date(midnight.Year(), midnight.Month(), midnight.Day()+1, 0, 0, 0, 0, midnight.Location())}
	from, to := sc.at(d.Start)*100, sc.at(until(&d.PastSession, v.At))*100
	to = max(to, from+0.15) // a moment can be seen
	class := "call"
	if d.Ongoing() {
		class = "here"
	}
	c.raw(`<svg class="mini %s" aria-hidden="true"><line class="rail" x1="0" x2="100%%" y1="7" y2="7"/>`, class)
	if d.EndUncertain || d.StartUncertain {
		c.raw(`<rect x="%.2f%%" y="2.5" width="%.2f%%" height="9" rx="1" fill="currentColor" fill-opacity=".25" stroke="currentColor" stroke-dasharray="2 2"/></svg>`, from, to-from)
		return
	}
	c.raw(`<rect x="%.2f%%" y="2.5" width="%.2f%%" height="9" rx="1" fill="currentColor" stroke="currentColor"/></svg>`, from, to-from)
}
