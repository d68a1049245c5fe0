package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc"
)

// WriteSessions writes the sessions for people: a table per session, then
// everything that could not be understood.
func WriteSessions(w io.Writer, d Sessions, s *Style) error {
	b := bufio.NewWriter(w)
	at := time.UnixMilli(d.At)
	if len(d.Sessions) == 0 {
		fmt.Fprintf(b, "No session at %s.\n", at.In(s.location()).Format(time.DateTime))
	}
	for i, session := range d.Sessions {
		if i > 0 {
			fmt.Fprintln(b)
		}
		writeSession(b, session, at, s)
	}
	writeRest(b, d, s)
	return b.Flush()
}

func writeSession(w io.Writer, d Session, at time.Time, s *Style) {
	since := time.UnixMilli(d.Since)
	fmt.Fprintf(w, "%s  %s  %s\n", s.paint(colorStrong, Clean(string(d.Slot))), Clean(string(d.Room)),
		s.paint(colorQuiet, fmt.Sprintf("%s, %s, %s, since %s (%s)", application(d.Application),
			count(d.Users, "user"), count(d.Devices, "device"), s.clock(since, at), Duration(at.Sub(since)))))
	rows := [][]string{{"MEMBER", "SINCE", "EXPIRES", "DIALECT", "INTENT", "TRANSPORT"}}
	for _, m := range d.Members {
		expires, intent := "never", "-"
		if m.Expires != nil {
			expires = "in " + Duration(time.UnixMilli(*m.Expires).Sub(at))
		}
		if m.Intent != nil {
			intent = Clean(*m.Intent)
		}
		t := transport(m.Transport, true)
		if !m.Reachable {
			t += " (not reachable by this program)"
		}
		rows = append(rows, []string{who(&m), s.clock(time.UnixMilli(m.Created), at), expires, Clean(string(m.Dialect)), intent, t})
	}
	WriteTable(w, rows, "  ", s)
}

func application(typ string) string {
	switch typ {
	case matrixrtc.AppCall:
		return "call"
	case "":
		return "application not stated"
	}
	return "unknown application " + Clean(typ)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// maxColumn is the width to which a column is aligned. What is wider pushes the
// rest of its own row aside, and not that of all the others.
const maxColumn = 60

// WriteTable aligns columns for people; the first row is the heading.
func WriteTable(w io.Writer, rows [][]string, indent string, s *Style) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			if len(row) == 1 {
				break // it has the line to itself
			}
			if n := utf8.RuneCountInString(cell); n <= maxColumn {
				width[i] = max(width[i], n)
			}
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(cell))+2))
			}
		}
		color := ""
		if n == 0 {
			color = colorQuiet
		}
		fmt.Fprintln(w, indent+s.paint(color, b.String()))
	}
}

func writeInvalid(w io.Writer, s *Style, title string, list []Invalid) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, e := range list[:min(len(list), maxListed)] {
		fmt.Fprintf(w, "  %s in %s\n", Clean(string(e.Event)), Clean(string(e.Room)))
		for _, p := range e.Problems {
			fmt.Fprintf(w, "    %s %s\n", Clean(p.String()), s.paint(colorQuiet, "["+Clean(p.Source)+"]"))
		}
	}
	more(w, len(list))
}

// maxListed is how many of the things left out are listed for people; the JSON
// document has all.
const maxListed = 50

func writeRest(w io.Writer, d Sessions, s *Style) {
	if len(d.Encrypted) > 0 || len(d.Unreadable) > 0 {
		fmt.Fprintln(w)
		for _, room := range d.Encrypted {
			fmt.Fprintln(w, s.paint(colorNote, fmt.Sprintf("%s is encrypted: encrypted memberships cannot be read yet, so members may be missing.", Clean(string(room)))))
		}
		if n := len(d.Unreadable); n > 0 {
			fmt.Fprintln(w, s.paint(colorNote, fmt.Sprintf("%s cannot be read and may be memberships.", count(n, "encrypted event"))))
		}
	}
	var rejected, remarks []Invalid
	for _, e := range d.Invalid {
		if e.Counted {
			remarks = append(remarks, e)
		} else {
			rejected = append(rejected, e)
		}
	}
	writeInvalid(w, s, s.paint(colorBad, "Not valid, and therefore not counted:"), rejected)
	writeInvalid(w, s, s.paint(colorNote, "Counted, but not as they should be:"), remarks)
	if n := len(d.Input); n > 0 {
		fmt.Fprintf(w, "\n%s\n", s.paint(colorBad, "Left out of the input:"))
		for _, p := range d.Input[:min(n, maxListed)] {
			event := ""
			if p.Event != "" {
				event = " event " + Clean(string(p.Event))
			}
			fmt.Fprintf(w, "  line %d%s: %s\n", p.Line, event, Clean(p.Problem))
		}
		more(w, n)
	}
}

func more(w io.Writer, n int) {
	if n > maxListed {
		fmt.Fprintf(w, "  … and %d more (--json lists all)\n", n-maxListed)
	}
}
