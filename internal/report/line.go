package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// Line writes a change as one line for people, without the newline:
//
//	12:00:03 @bob:example.org/B joins m.call#ROOM (call, livekit)
//
// The time is the one at which we saw it. What people need not know has no line:
// that our own membership was refreshed.
func Line(c Change, s *Style) string {
	seen := time.UnixMilli(c.Seen)
	at := seen.In(s.location()).Format(time.TimeOnly)
	color, text := sentence(c)
	switch {
	case c.Kind == KindOwn && c.State == StateRefreshed:
		return ""
	case c.Kind == KindOwn:
		color, text = s.own(c, seen)
	case c.Kind == KindMemberUpdated:
		text = fmt.Sprintf("%s %s in %s%s", who(c.Member), difference(c.Previous, c.Member), Clean(string(c.Slot)), s.until(c.Member, seen))
	}
	if lag := c.Seen - c.At; c.Member != nil && lag > 10_000 && c.Kind == KindMemberJoined {
		text += fmt.Sprintf(", %s ago", Duration(time.Duration(lag)*time.Millisecond))
	}
	return s.paint(colorQuiet, at) + " " + s.paint(color, text)
}

func sentence(c Change) (color, text string) {
	slot := Clean(string(c.Slot))
	switch c.Kind {
	case KindMemberJoined:
		return colorGood, fmt.Sprintf("%s joins %s (%s)", who(c.Member), slot, how(c.Member))
	case KindMemberUpdated:
		return "", "" // see Line: it needs the clock
	case KindMemberLeft:
		return colorNote, fmt.Sprintf("%s leaves %s%s", who(c.Member), slot, because(c.Cause))
	case KindSessionStarted:
		return colorStrong, fmt.Sprintf("session %s starts%s", slot, forApplication(c.Application))
	case KindSessionEnded:
		return colorStrong, fmt.Sprintf("session %s ends", slot)
	case KindSlotOpened:
		return colorStrong, fmt.Sprintf("slot %s is open", slot)
	case KindSlotClosed:
		return colorStrong, fmt.Sprintf("slot %s is closed", slot)
	case KindFocusChanged:
		return "", fmt.Sprintf("members of %s move from %s to %s", slot, transport(c.From, true), transport(c.To, true))
	case KindInvalid:
		if c.Counted {
			return colorNote, fmt.Sprintf("event %s of %s is counted, but not as it should be: %s", Clean(string(c.Event)), Clean(string(c.Sender)), problems(c.Problems))
		}
		return colorBad, fmt.Sprintf("event %s of %s is not valid: %s", Clean(string(c.Event)), Clean(string(c.Sender)), problems(c.Problems))
	case KindWatching:
		return colorQuiet, fmt.Sprintf("watching %s (stop with Ctrl-C)", Clean(string(c.Room)))
	case KindEncrypted:
		return colorNote, "this room is encrypted: encrypted memberships cannot be read yet, so members may be missing"
	case KindUnreachable:
		return colorBad, "no contact with the homeserver, trying again: " + CleanLine(c.Error)
	case KindReachable:
		return colorGood, "the homeserver answers again; what follows happened meanwhile"
	case KindNotInRoom:
		return colorBad, "our account is no longer in the room"
	case KindInRoom:
		return colorGood, "our account is in the room again"
	case KindSuspected, KindCleared:
		return suspicion(c)
	case KindNote:
		return colorNote, "note: " + CleanLine(c.Error)
	}
	return mediaSentence(c)
}

// Suspicion writes a line about a member that is taken for dead as a sentence,
// without the time.
func Suspicion(c Change) string {
	_, text := suspicion(c)
	return text
}

// suspicion says that a member of a session is taken for dead, or is not any more.
func suspicion(c Change) (color, text string) {
	if c.Doubt == nil {
		return "", c.Kind
	}
	name, because := who(c.Member), CleanLine(c.Why)
	if c.Kind == KindCleared {
		return "", fmt.Sprintf("%s seems to be alive after all: %s", name, because)
	}
	degree := map[string]string{
		suspect.Possible.String(): "may be dead", suspect.Likely.String(): "is probably dead", suspect.Certain.String(): "is dead",
	}[c.Certainty]
	if degree == "" {
		degree = Clean(c.Certainty)
	}
	return colorNote, fmt.Sprintf("%s %s: %s", name, degree, because)
}

func how(m *Member) string {
	parts := []string{Clean(string(m.Dialect)), transport(m.Transport, false)}
	if m.Intent != nil {
		parts = append(parts, Clean(*m.Intent))
	}
	if !m.Reachable {
		parts = append(parts, "not reachable by this program")
	}
	return strings.Join(parts, ", ")
}

// difference says what of a member changed.
func difference(was, is *Member) string {
	var parts []string
	if was.Dialect != is.Dialect {
		parts = append(parts, fmt.Sprintf("now speaks %s instead of %s", Clean(string(is.Dialect)), Clean(string(was.Dialect))))
	}
	if string(was.Transport) != string(is.Transport) {
		parts = append(parts, "moves to "+transport(is.Transport, true))
	}
	if i := is.Intent; i != nil && (was.Intent == nil || *was.Intent != *i) {
		parts = append(parts, "means to send "+Clean(*i))
	}
	if len(parts) == 0 {
		return "stays"
	}
	return strings.Join(parts, ", ")
}

// until says how long a membership now holds.
func (s *Style) until(m *Member, now time.Time) string {
	if m.Expires == nil {
		return ""
	}
	return ", until " + s.clock(time.UnixMilli(*m.Expires), now)
}

func forApplication(application string) string {
	if application == "" || application == matrixrtc.AppCall {
		return ""
	}
	return " (" + Clean(application) + ")"
}

func because(c matrixrtc.Cause) string {
	text, ok := map[matrixrtc.Cause]string{
		matrixrtc.CauseLeave:       "",
		matrixrtc.CauseSwitch:      "went to another session",
		matrixrtc.CauseExpired:     "its time ran out",
		matrixrtc.CauseStickyEnd:   "its time ran out",
		matrixrtc.CauseRedacted:    "its event was redacted",
		matrixrtc.CauseLeftRoom:    "is no longer in the room",
		matrixrtc.CauseOverwritten: "somebody else overwrote its event",
		matrixrtc.CauseSlotClosed:  "the slot was closed",
		matrixrtc.CauseReplaced:    "joins anew",
		matrixrtc.CauseGone:        "its event is gone from the room",
		matrixrtc.CauseInvalid:     "its new event is not valid",
	}[c]
	switch {
	case !ok:
		return " (" + Clean(string(c)) + ")"
	case text == "":
		return ""
	}
	return " (" + text + ")"
}

func problems(ps []matrixrtc.Problem) string {
	parts := make([]string, 0, len(ps))
	for _, p := range ps {
		parts = append(parts, Clean(p.String()))
	}
	return strings.Join(parts, "; ")
}
