package past

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// Timeline writes the list of List with a bar for every participant below each
// call, as far as a terminal can draw:
//
//	alice PHONE    ▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆┃
//	bob LAPTOP       ▆▆▆▆▆▆▆▆»    ▆▆▆▆▆╌╌╌╌╌╌╌╌╌╌✕
//	               09:05     09:20     09:35     09:50
//
// What ended a bar is told by the sign at its end, with or without colours. It
// lists all sessions and draws the newest Options.Most.
type Timeline struct {
	list *List
	keep newest
}

// NewTimeline writes to w when it is closed.
func NewTimeline(w io.Writer, o *Options) *Timeline {
	l := NewList(w, o)
	return &Timeline{list: l, keep: newest{most: l.o.Most}}
}

// Add takes a session into the list.
func (t *Timeline) Add(s *matrixrtc.PastSession) error {
	t.keep.add(s, t.list.o.Me)
	return t.list.Add(s)
}

// Close writes all; it does not close the writer below.
func (t *Timeline) Close() error {
	bars := make(map[int32]*drawn, len(t.keep.heap))
	for _, d := range t.keep.heap {
		bars[int32(d.order)] = d
	}
	return t.list.writeAll(func(p *listing, w *bufio.Writer, e *entry) bool {
		d := bars[e.order]
		if d != nil {
			p.bars(w, d)
		}
		return d != nil
	}, func(p *listing, w *bufio.Writer) {
		p.legend(w)
		if n := t.keep.seen - len(bars); n > 0 {
			w.WriteString(p.style.line(p.style.paint(quiet, fmt.Sprintf("Bars are drawn for the %s newest calls, not for %s older ones.", grouped(int64(len(bars))), grouped(int64(n))))))
		}
	})
}

// endSigns are the signs at the end of a bar; one is enough to know the fate.
var (
	endSigns  = [fates]string{here: "●", left: "┃", moved: "»", expired: "✕", removed: "◆"}
	endsASCII = [fates]string{here: "*", left: "|", moved: ">", expired: "x", removed: "#"}
	fateColor = [fates]paint{here: good, left: cool, moved: odd, expired: warm, removed: bad}
	fateWords = [fates]string{here: "there now", left: "left", moved: "rejoined or moved on", expired: "fell silent, expired", removed: "ended by others"}
)

func (s style) signs() (body, unsure string, end *[fates]string) {
	if s.ascii {
		return "=", "~", &endsASCII
	}
	return "▆", "╌", &endSigns
}

// maxLines is how many bars a terminal shows of one call.
const maxLines = 30

func (p *listing) bars(w *bufio.Writer, d *drawn) {
	shown := min(len(d.Participants), maxLines)
	labels, wide := make([]string, shown), 0
	for i := range shown {
		labels[i] = p.names.of(d.Participants[i].User) + " " + device(&d.Participants[i])
		wide = max(wide, columns(labels[i]))
	}
	wide = min(wide, max(10, p.o.Width/3))
	const indent = 4
	plot := max(16, p.o.Width-indent-wide-2)
	sc := scaleOf(&d.PastSession, p.o.At)
	for i := range shown {
		w.WriteString(p.style.line(strings.Repeat(" ", indent) + pad(fit(labels[i], wide), wide) + " " + p.style.row(&d.Participants[i], sc, plot)))
	}
	if n := d.allRows - shown; n > 0 {
		w.WriteString(p.style.line(p.style.paint(quiet, strings.Repeat(" ", indent)+"and "+count(n, "more device"))))
	}
	w.WriteString(p.style.line(p.style.paint(quiet, strings.Repeat(" ", indent+wide+1)+p.axis(sc, plot))))
}

// row draws the stays of one participant on so many columns.
func (s style) row(p *matrixrtc.Participant, sc scale, plot int) string {
	body, unsure, ends := s.signs()
	cells, color := make([]string, plot), make([]paint, plot)
	x := func(f float64) int { return int(math.Round(f * float64(plot-1))) }
	for i := range p.Stays {
		st := &p.Stays[i]
		f, from, to := fateOf(st), sc.at(st.Start), sc.at(stayUntil(st, sc.to))
		a, b := solid(st)
		a, b = from+a*(to-from), from+b*(to-from)
		for c := x(from); c < x(to); c++ {
			cells[c], color[c] = body, fateColor[f]
			if c < x(a) || c >= max(x(b), x(from)+1) {
				cells[c] = unsure
			}
		}
		cells[x(to)], color[x(to)] = ends[f], fateColor[f]
	}
	var out strings.Builder
	for c := 0; c < plot; {
		n := c
		var run strings.Builder
		for ; n < plot && color[n] == color[c]; n++ {
			if cells[n] == "" {
				run.WriteString(" ")
			} else {
				run.WriteString(cells[n])
			}
		}
		out.WriteString(s.paint(color[c], run.String()))
		c = n
	}
	return out.String()
}

// axis writes times of day below the bars, each with its begin at its place.
func (p *listing) axis(sc scale, plot int) string {
	line := []rune(strings.Repeat(" ", plot+10))
	free := 0
	for _, t := range ticks(sc, max(2, plot/10), p.o.Location) {
		at := int(math.Round(sc.at(t.at) * float64(plot-1)))
		label := []rune("'" + t.label)
		if !p.style.ascii {
			label[0] = '╵'
		}
		if at < free || at+len(label) > plot+1 {
			continue
		}
		copy(line[at:], label)
		free = at + len(label) + 2
	}
	return strings.TrimRight(string(line), " ")
}

func (p *listing) legend(w *bufio.Writer) {
	_, unsure, ends := p.style.signs()
	line, used := "", 0
	add := func(c paint, sign, words string) {
		if used > 0 && used+columns(sign+words)+4 > p.o.Width {
			w.WriteString(p.style.line(line))
			line, used = "", 0
		}
		line += p.style.paint(c, sign) + " " + words + "   "
		used += columns(sign+words) + 4
	}
	w.WriteString("\n")
	for f := range fates {
		add(fateColor[f], ends[f], fateWords[f])
	}
	add("", unsure+unsure, "not certain")
	w.WriteString(p.style.line(line))
}
