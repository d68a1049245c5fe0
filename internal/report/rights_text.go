package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// WriteRoom writes for people who may take part in the calls of a room.
func WriteRoom(w io.Writer, d *RoomDocument, s *Style) error {
	b := bufio.NewWriter(w)
	kind := "not encrypted"
	if d.Encrypted {
		kind = "encrypted"
	}
	fmt.Fprintf(b, "%s  %s\n\n", s.paint(colorStrong, Clean(string(d.Room))), s.paint(colorQuiet,
		fmt.Sprintf("room version %s, %s, %s; you are %s, %s", Clean(string(d.RoomVersion)), kind, count(d.Joined, "member"), Clean(string(d.User)), d.rank())))
	if d.CanJoin {
		fmt.Fprintln(b, s.paint(colorGood, "You may join calls here."))
	} else {
		fmt.Fprintln(b, s.paint(colorBad, "You may not join calls here as deployed clients join them."))
	}
	d.writeRemarks(b, s)
	fmt.Fprintln(b)
	d.writeDialects(b, s)
	fmt.Fprintln(b)
	d.writeEvents(b, s)
	fmt.Fprintf(b, "\nHomeserver: delayed events %s, sticky events %s, transports %s\n",
		yesNo(d.Homeserver.DelayedEvents), yesNo(d.Homeserver.StickyEvents), d.transports())
	at := time.UnixMilli(d.At)
	if len(d.Sessions) == 0 {
		fmt.Fprintln(b, "No session now.")
	}
	for _, session := range d.Sessions {
		fmt.Fprintln(b)
		writeSession(b, session, at, s)
	}
	return b.Flush()
}

func (d *RoomDocument) rank() string {
	if d.Power == nil {
		return "a creator"
	}
	return fmt.Sprintf("level %d", *d.Power)
}

func (d *RoomDocument) writeRemarks(w io.Writer, s *Style) {
	colors := map[string]string{Blocks: colorBad, Warns: colorNote, Notes: ""}
	for _, severity := range []string{Blocks, Warns, Notes} {
		for _, r := range d.Remarks {
			if r.Severity == severity {
				fmt.Fprintln(w, "  "+s.paint(colors[severity], "- "+CleanLine(r.Text)))
			}
		}
	}
}

func (d *RoomDocument) writeDialects(w io.Writer, s *Style) {
	rows := [][]string{{"TO JOIN AS", "ONE SENDS", "LEVEL", "YOU", "WHO MAY"}}
	for _, x := range d.Dialects {
		you := "may"
		switch {
		case !x.CanJoin:
			you = "may not"
		case off(x.Offered):
			you = "may, but the homeserver cannot"
		}
		rows = append(rows, []string{string(x.Dialect), sentAs(x.Type, x.State), fmt.Sprint(x.Level), you, d.who(x.Users, x.Type, x.State)})
	}
	WriteTable(w, rows, "  ", s)
}

func (d *RoomDocument) writeEvents(w io.Writer, s *Style) {
	words := map[rights.Purpose]string{
		rights.ToSlot: "open and close slots", rights.ToRing: "announce a call", rights.ToDecline: "decline one", rights.ToReact: "react",
	}
	rows := [][]string{{"TO", "ONE SENDS", "LEVEL", "YOU", "WHO MAY"}}
	for _, e := range d.Events {
		if e.Purpose == rights.ToJoin {
			continue
		}
		you := "may"
		if !e.CanSend {
			you = "may not"
		}
		rows = append(rows, []string{words[e.Purpose], sentAs(e.Type, e.State), fmt.Sprint(e.Level), you, d.who(e.Users, e.Type, e.State)})
	}
	WriteTable(w, rows, "  ", s)
}

// who writes how many may send a type, and names them if they are few.
func (d *RoomDocument) who(n int, typ string, state bool) string {
	switch {
	case d.Joined == 0:
		return "unknown"
	case n == d.Joined:
		return "everybody"
	case n == 0:
		return "nobody"
	}
	for _, e := range d.Events {
		if e.Type == typ && e.State == state && len(e.Who) > 0 {
			var names []string
			for _, u := range e.Who {
				names = append(names, Clean(string(u)))
			}
			return fmt.Sprintf("%d of %d: %s", n, d.Joined, strings.Join(names, ", "))
		}
	}
	return fmt.Sprintf("%d of %d", n, d.Joined)
}

func sentAs(typ string, state bool) string {
	if state {
		return typ + " (state)"
	}
	return typ
}

func (d *RoomDocument) transports() string {
	if len(d.Homeserver.Transports) == 0 {
		return "none"
	}
	var parts []string
	for _, t := range d.Homeserver.Transports {
		parts = append(parts, transport(t.Raw, true))
	}
	return strings.Join(parts, ", ")
}

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return "unknown"
	case *b:
		return "yes"
	}
	return "no"
}
