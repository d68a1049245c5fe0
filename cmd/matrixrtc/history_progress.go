package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// backFill reads what is new of the rooms into the archive, and says on stderr
// how far it is.
func backFill(ctx context.Context, a *app, kept *archive.Archive, hs *homeserver.Client, rooms *pastRooms) error {
	p := &pastProgress{w: a.err, bar: isTerminal(a.err, a.env), width: terminalWidth(a.err), zone: a.zone(), rooms: len(rooms.ids), ascii: a.env.ascii()}
	for _, id := range rooms.ids {
		name := string(id)
		if alias := rooms.names[id]; alias != "" {
			name = alias
		}
		p.start(report.CleanLine(name))
		if p.bar {
			p.born = bornAt(ctx, hs, id)
		}
		err := kept.BackFill(ctx, hs, id, p.step)
		if ctx.Err() != nil {
			p.stopped()
			return context.Cause(ctx)
		}
		if err != nil {
			p.clear()
			return orOffline(archiveError(fmt.Errorf("read the past of %s: %w", name, err)))
		}
		p.done()
	}
	return nil
}

// bornAt is when a room was made, as far as it tells; zero otherwise. It is asked
// for the sake of the bar alone.
func bornAt(ctx context.Context, hs *homeserver.Client, id matrixrtc.RoomID) time.Time {
	state, err := hs.State(ctx, id)
	if err != nil {
		return time.Time{} // whatever it is, the back-fill meets it again
	}
	for i := range state.State {
		if state.State[i].Type == matrixrtc.TypeRoomCreate {
			return state.State[i].Origin
		}
	}
	return time.Time{}
}

// Lines of progress come this often, and a bar is drawn this often, at most.
const (
	progressLines = 10 * time.Second
	progressBar   = 100 * time.Millisecond
)

// pastProgress tells a person how far reading the past of rooms is: a bar on a
// terminal, else a line now and then.
type pastProgress struct {
	w      io.Writer
	bar    bool
	ascii  bool
	width  int
	zone   *time.Location
	rooms  int
	room   int // from 1
	name   string
	born   time.Time // of the room, zero if that is not known
	began  time.Time
	told   time.Time
	drawn  bool // a bar stands on the line
	last   archive.Progress
	events int // of the rooms before
}

func (p *pastProgress) start(name string) {
	p.events += p.last.Events
	p.room++
	p.name, p.last, p.born = name, archive.Progress{}, time.Time{}
	p.began = time.Now()
	if p.told.IsZero() {
		p.told = p.began
	}
}

// step is called after each page.
func (p *pastProgress) step(s archive.Progress) {
	p.last = s
	now := time.Now()
	switch {
	case p.bar && (now.Sub(p.told) >= progressBar || !p.drawn):
		p.told, p.drawn = now, true
		fmt.Fprint(p.w, "\r"+p.line(now)+"\x1b[K")
	case !p.bar && now.Sub(p.told) >= progressLines:
		p.told = now
		fmt.Fprintf(p.w, "matrixrtc: reading %s: %s\n", p.which(), p.reached())
	}
}

// which names the room, and how many there are.
func (p *pastProgress) which() string {
	if p.rooms == 1 {
		return p.name
	}
	return fmt.Sprintf("%s (room %d of %d)", p.name, p.room, p.rooms)
}

// reached says how many events were read, and back to when.
func (p *pastProgress) reached() string {
	text := fmt.Sprintf("%d events", p.events+p.last.Events)
	if p.events+p.last.Events == 1 {
		text = "1 event"
	}
	if !p.last.Oldest.IsZero() {
		text += ", back to " + p.last.Oldest.In(p.zone).Format("2 January 2006")
	}
	return text
}

// line is the bar: how much of the time since the room was made is read.
func (p *pastProgress) line(now time.Time) string {
	text := p.which() + "  " + p.reached()
	long := utf8.RuneCountInString(text)
	room := min(30, p.width-long-3)
	if p.born.IsZero() || p.last.Oldest.IsZero() || room < 8 {
		if long >= p.width {
			text = string([]rune(text)[:max(0, p.width-1)])
		}
		return text
	}
	part := float64(now.Sub(p.last.Oldest)) / float64(max(now.Sub(p.born), 1))
	if p.last.Complete {
		part = 1
	}
	n := int(min(1, max(0, part)) * float64(room))
	full, empty := "█", "░"
	if p.ascii {
		full, empty = "#", "."
	}
	return strings.Repeat(full, n) + strings.Repeat(empty, room-n) + "  " + text
}

// clear takes the bar off the line.
func (p *pastProgress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// done says what a room has brought.
func (p *pastProgress) done() {
	p.clear()
	text := fmt.Sprintf("matrixrtc: read %s: %s, %d new", p.which(), p.reachedHere(), p.last.New)
	switch {
	case p.last.Gaps > 0:
		text += fmt.Sprintf(", %d gaps left", p.last.Gaps)
	case !p.last.Complete:
		text += ", more to come"
	}
	fmt.Fprintln(p.w, text)
}

func (p *pastProgress) reachedHere() string {
	before := p.events
	defer func() { p.events = before }()
	p.events = 0
	return p.reached()
}

// stopped says what an interruption leaves.
func (p *pastProgress) stopped() {
	p.clear()
	fmt.Fprintf(p.w, "matrixrtc: stopped while reading %s: %s, are kept, and the next run goes on from there (--offline shows them)\n", p.which(), p.reached())
}
