package report

import (
	"fmt"
	"strings"
	"time"
)

// mediaSentence writes the lines that only join has.
func mediaSentence(c Change) (color, text string) {
	switch c.Kind {
	case KindConnection:
		color = ""
		if c.State == "refused" || c.State == "disconnected" {
			color = colorNote
		}
		purpose := "to listen"
		if c.Publish {
			purpose = "to publish"
		}
		return color, fmt.Sprintf("%s %s (%s)%s", Clean(c.State), transport(c.Transport, true), purpose, reason(c.Error))
	case KindTrackAdded:
		return "", "media from " + trackNames(c.Tracks)
	case KindTrackEnded:
		return "", "no more media from " + trackNames(c.Tracks)
	case KindSending:
		return colorGood, "sending " + trackNames(c.Tracks)
	case KindSent:
		return "", fmt.Sprintf("sent %s: %s%s", trackNames(c.Tracks), samples(c.Tracks), reason(c.Error))
	case KindReceived:
		return "", Received(c.Tracks)
	case KindMessage:
		return "", fmt.Sprintf("message on topic %q from %s, %s", Clean(c.Topic), trackOwners(c.Tracks), count(c.Bytes, "byte"))
	}
	return "", Clean(c.Kind)
}

// StateRefreshed is the state of a line that says that our membership was stated
// again.
const StateRefreshed = "refreshed"

// own says how our own membership stands.
func (s *Style) own(c Change, seen time.Time) (color, text string) {
	name := fmt.Sprintf("%s of %s", Clean(string(c.Slot)), Clean(string(c.Room)))
	switch c.State {
	case "joining":
		return "", "joining " + name
	case "joined":
		return colorGood, "we are in " + name
	case "at_risk":
		text := "we may drop out"
		if c.Until != 0 {
			text += " at " + s.clock(time.UnixMilli(c.Until), seen)
		}
		if c.Since != 0 {
			text += ", all was well at " + s.clock(time.UnixMilli(c.Since), seen)
		}
		return colorNote, text + reason(c.Error)
	case "lost":
		return colorBad, "others no longer count us, joining again" + reason(c.Error)
	case "rejoined":
		text := "others count us again"
		if c.After > 0 {
			text += " after " + Duration(time.Duration(c.After)*time.Millisecond)
		}
		return colorGood, text
	case "left":
		return "", "we left " + name + reason(c.Error)
	}
	return "", "we: " + Clean(c.State) + reason(c.Error)
}

func reason(err string) string {
	if err == "" {
		return ""
	}
	return ": " + CleanLine(err)
}

func trackNames(tracks []Track) string {
	parts := make([]string, 0, len(tracks))
	for _, t := range tracks {
		name := fmt.Sprintf("%s (%s)", Clean(t.Purpose), Clean(t.Codec))
		if owner := trackOwner(t); owner != "" {
			name = owner + " " + name
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

func trackOwners(tracks []Track) string {
	if len(tracks) == 0 {
		return "a stranger"
	}
	return trackOwner(tracks[0])
}

func trackOwner(t Track) string {
	switch {
	case t.Device != "":
		return Clean(string(t.User)) + "/" + Clean(string(t.Device))
	case t.User != "":
		return Clean(string(t.User)) + " (" + Clean(string(t.Member)) + ")"
	case t.Identity != "":
		return "stranger " + Clean(t.Identity)
	}
	return ""
}

func samples(tracks []Track) string {
	if len(tracks) == 0 {
		return "nothing"
	}
	return count(int(tracks[0].Packets), "sample")
}

// Received writes in one line what arrives:
//
//	receiving @bob:example.org/B microphone 250 (50/s), camera 310 (30/s)
func Received(tracks []Track) string {
	if len(tracks) == 0 {
		return "receiving nothing yet"
	}
	var b strings.Builder
	b.WriteString("receiving ")
	last := ""
	for i, t := range tracks {
		owner := trackOwner(t)
		switch {
		case i == 0:
			b.WriteString(owner + " ")
		case owner != last:
			b.WriteString("; " + owner + " ")
		default:
			b.WriteString(", ")
		}
		last = owner
		fmt.Fprintf(&b, "%s %d (%.0f/s)", Clean(t.Purpose), t.Packets, t.Rate)
	}
	return b.String()
}
