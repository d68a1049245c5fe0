package past

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// CSV writes sessions as RFC 4180 has it: a heading, then one line per session,
// with CRLF. Clock times are of the time zone, *_ts are milliseconds since 1970.
//
// The file is meant for spreadsheets, which run what begins with =, +, - or @
// as a formula. Every text of a stranger that begins so is given a leading
// apostrophe, and there is no exception for user ids, which all begin with @:
// the old grammar of user ids allows @SUM(1+1), so an exception would be a hole.
// A program that wants the ids as they are reads JSON Lines. Controls become
// escapes, and are no line ends.
type CSV struct {
	c      *csvWriter
	o      Options
	headed bool
}

// NewCSV writes to w.
func NewCSV(w io.Writer, o *Options) *CSV { return &CSV{c: newCSV(w), o: o.or()} }

var csvHeading = []string{
	"start", "end", "minutes", "ongoing", "start_uncertain", "end_uncertain", "application", "call_id", "users", "devices", "peak",
	"participant_minutes", "ring", "notified_by", "declined_by", "missed", "participants", "room_id", "slot_id", "start_ts", "end_ts", "first_event_id",
}

// Add writes a session.
func (v *CSV) Add(s *matrixrtc.PastSession) error {
	v.heading()
	end := until(s, v.o.At)
	var people time.Duration
	for i := range s.Participants {
		for k := range s.Participants[i].Stays {
			st := &s.Participants[i].Stays[k]
			people = saturated(people, stayUntil(st, end).Sub(st.Start))
		}
	}
	ended, endedMillis, missed := "", "", ""
	if !s.Ongoing() {
		ended, endedMillis = s.End.In(v.o.Location).Format(time.DateTime), strconv.FormatInt(s.End.UnixMilli(), 10)
	}
	if v.o.Me != "" {
		missed = strconv.FormatBool(Missed(s, v.o.Me))
	}
	all := users(s, "")
	v.c.line(
		s.Start.In(v.o.Location).Format(time.DateTime), ended, decimal(minutes(end.Sub(s.Start))), strconv.FormatBool(s.Ongoing()),
		strconv.FormatBool(s.StartUncertain), strconv.FormatBool(s.EndUncertain), harmless(s.Application), harmless(s.CallID),
		strconv.Itoa(len(all)), strconv.Itoa(len(s.Participants)), strconv.Itoa(s.Peak), decimal(minutes(people)),
		harmless(s.Ring), harmless(string(s.NotifiedBy)), joined(s.DeclinedBy), missed, joined(all),
		harmless(string(s.Key.Room)), harmless(string(s.Key.Slot)), strconv.FormatInt(s.Start.UnixMilli(), 10), endedMillis, harmless(string(s.FirstEvent)),
	)
	return v.c.err()
}

func (v *CSV) heading() {
	if !v.headed {
		v.headed = true
		v.c.line(csvHeading...)
	}
}

// Close writes what is not written yet; without any session, the heading.
func (v *CSV) Close() error {
	v.heading()
	return v.c.flush()
}

// joined is a list of users in one field, apart by spaces.
func joined(list []matrixrtc.UserID) string {
	parts := make([]string, 0, len(list))
	for _, u := range list {
		parts = append(parts, escapeControls(string(u)))
	}
	return harmless(strings.Join(parts, " "))
}

// harmless makes a text of a stranger safe for a spreadsheet.
func harmless(s string) string {
	s = escapeControls(s)
	t := strings.TrimLeft(s, " ")
	if t == "" {
		return s
	}
	for _, first := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(t, first) {
			return "'" + s
		}
	}
	return s
}

// csvWriter is encoding/csv with the line ends of RFC 4180.
type csvWriter struct {
	w *csv.Writer
}

func newCSV(w io.Writer) *csvWriter {
	c := &csvWriter{csv.NewWriter(w)}
	c.w.UseCRLF = true
	return c
}

func (c *csvWriter) line(fields ...string) { _ = c.w.Write(fields) } // the error stays: see err
func (c *csvWriter) err() error            { return c.w.Error() }

func (c *csvWriter) flush() error {
	c.w.Flush()
	return c.w.Error()
}
