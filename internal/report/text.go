package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Style says how documents are written for people; nil gives the defaults.
type Style struct {
	// Color allows terminal colours.
	Color bool
	// Location is the time zone of the clock times; nil: local.
	Location *time.Location
}

func (s *Style) location() *time.Location {
	if s == nil || s.Location == nil {
		return time.Local
	}
	return s.Location
}

// The colours, by what they mean.
const (
	colorStrong = "1"
	colorQuiet  = "2"
	colorBad    = "31"
	colorGood   = "32"
	colorNote   = "33"
)

func (s *Style) paint(color, text string) string {
	if s == nil || !s.Color || color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// maxShown is how many characters of a stranger's text are shown at most.
const maxShown = 255

// Clean makes text of strangers safe for a terminal: control characters, and
// those that reorder or hide text, are written as escapes, and what is very
// long is cut.
func Clean(s string) string { return clean(s, maxShown) }

// CleanLine is Clean for a sentence of our own that holds text of strangers.
func CleanLine(s string) string { return clean(s, 4000) }

func clean(s string, most int) string {
	plain := utf8.RuneCountInString(s) <= most
	for _, r := range s {
		if !shown(r) {
			plain = false
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if shown(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

func shown(r rune) bool {
	return r != utf8.RuneError && unicode.IsGraphic(r) && !unicode.Is(unicode.Zl, r) && !unicode.Is(unicode.Zp, r)
}

// who names a member as people know it: the user and the device, or the
// member id where no device is known.
func who(m *Member) string {
	if m.Device != "" {
		return Clean(string(m.User)) + "/" + Clean(string(m.Device))
	}
	return Clean(string(m.User)) + " (" + Clean(string(m.Member)) + ")"
}

// transport says in a word or two how a member is reached.
func transport(raw json.RawMessage, address bool) string {
	if raw == nil {
		return "no transport"
	}
	var t struct {
		Type    string `json:"type"`
		Service string `json:"livekit_service_url"`
		URL     string `json:"url"`
	}
	_ = json.Unmarshal(raw, &t) // another shape has no address that we know of
	name := Clean(t.Type)
	if name == "" {
		name = "transport without a type"
	}
	if address && t.Service != "" {
		name += " " + Clean(t.Service)
	} else if address && t.URL != "" {
		name += " " + Clean(t.URL)
	}
	return name
}

// Duration writes a duration as people say it, with one or two units.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// clock writes the time of day, with the date if it is not the day of at.
func (s *Style) clock(t, at time.Time) string {
	t, at = t.In(s.location()), at.In(s.location())
	if t.YearDay() == at.YearDay() && t.Year() == at.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}
