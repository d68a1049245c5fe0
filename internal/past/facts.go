package past

import (
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Missed reports whether a user missed a session: somebody else announced it,
// it is over, and the user neither took part nor declined.
func Missed(s *matrixrtc.PastSession, me matrixrtc.UserID) bool {
	return me != "" && s.NotifiedBy != "" && s.NotifiedBy != me && !s.Ongoing() &&
		!tookPart(s, me) && !slices.Contains(s.DeclinedBy, me)
}

func tookPart(s *matrixrtc.PastSession, user matrixrtc.UserID) bool {
	return slices.ContainsFunc(s.Participants, func(p matrixrtc.Participant) bool { return p.User == user })
}

// users lists who took part, each once, in the order of their first stay; me
// comes first.
func users(s *matrixrtc.PastSession, me matrixrtc.UserID) []matrixrtc.UserID {
	list := make([]matrixrtc.UserID, 0, len(s.Participants))
	seen := make(map[matrixrtc.UserID]bool, len(s.Participants))
	for i := range s.Participants {
		u := s.Participants[i].User
		switch {
		case seen[u]:
		case u == me:
			list = slices.Insert(list, 0, u)
		default:
			list = append(list, u)
		}
		seen[u] = true
	}
	return list
}

// until is the end of a session for a reader at a moment: what is ongoing goes
// until then, or until the last thing known of it.
func until(s *matrixrtc.PastSession, at time.Time) time.Time {
	if !s.Ongoing() {
		return later(s.Start, s.End)
	}
	end := s.Start
	if !at.IsZero() {
		return later(end, at)
	}
	for i := range s.Participants {
		for _, st := range s.Participants[i].Stays {
			end = later(later(end, st.Start), st.End)
		}
	}
	return end
}

// stayUntil is the same of one stay, of a session that goes until end.
func stayUntil(st *matrixrtc.Stay, end time.Time) time.Time {
	if st.End.IsZero() {
		return later(st.Start, end)
	}
	return later(st.Start, st.End)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// length writes how long a session was, with what is not certain of it.
func length(s *matrixrtc.PastSession, at time.Time) string {
	d := until(s, at).Sub(s.Start)
	switch {
	case s.Ongoing() && at.IsZero():
		return "ongoing"
	case s.EndUncertain:
		return "~" + lasting(d)
	case s.StartUncertain:
		return "at least " + lasting(d)
	}
	return lasting(d)
}

// fate is what became of a stay, as far as a picture tells it apart.
type fate uint8

// The fates, in the order of a legend.
const (
	here    fate = iota // goes on
	left                // the device said so
	moved               // it joined anew or elsewhere
	expired             // nobody said so: its time ran out
	removed             // somebody or something else ended it
	fates
)

func fateOf(st *matrixrtc.Stay) fate {
	if st.End.IsZero() {
		return here
	}
	switch st.Cause {
	case matrixrtc.CauseLeave:
		return left
	case matrixrtc.CauseSwitch, matrixrtc.CauseReplaced:
		return moved
	case matrixrtc.CauseExpired, matrixrtc.CauseStickyEnd:
		return expired
	}
	return removed
}

// why says a cause in words that follow "ended: ".
func why(c matrixrtc.Cause) string {
	switch c {
	case matrixrtc.CauseLeave:
		return "left"
	case matrixrtc.CauseSwitch:
		return "went to another session"
	case matrixrtc.CauseReplaced:
		return "joined anew"
	case matrixrtc.CauseExpired:
		return "fell silent: the membership expired"
	case matrixrtc.CauseStickyEnd:
		return "fell silent: the event stuck no more"
	case matrixrtc.CauseRedacted:
		return "the event was redacted"
	case matrixrtc.CauseLeftRoom:
		return "left the room, was kicked or banned"
	case matrixrtc.CauseOverwritten:
		return "somebody else wrote over it"
	case matrixrtc.CauseSlotClosed:
		return "the slot was closed"
	case matrixrtc.CauseGone:
		return "was no longer in the room's state"
	case matrixrtc.CauseInvalid:
		return "the next event was not valid"
	}
	return clean(string(c))
}

// announced says how others heard of a session, "" if they did not.
func announced(s *matrixrtc.PastSession) string {
	switch {
	case s.NotifiedBy == "":
		return ""
	case s.Ring == "ring":
		return "rung"
	case s.Ring == "notification", s.Ring == "":
		return "announced"
	}
	return "announced (" + fit(clean(s.Ring), 24) + ")"
}

// device names a participant's device, or what stands for it.
func device(p *matrixrtc.Participant) string {
	if p.Device != "" {
		return clean(string(p.Device))
	}
	return clean(string(p.Member))
}

// isCall reports whether the application need not be named.
func isCall(s *matrixrtc.PastSession) bool { return s.Application == matrixrtc.AppCall }
