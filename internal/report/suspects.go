package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// Suspects is what `room --clean --json` prints: every membership that is stated
// in a room, whether it is dead, and what was done about it.
type Suspects struct {
	Version int              `json:"version"` // Version
	At      int64            `json:"at"`
	Room    matrixrtc.RoomID `json:"room_id"`
	User    matrixrtc.UserID `json:"user_id"` // whose account
	// SFU says by which addresses memberships name the SFU that was asked; empty if
	// none was.
	SFU []string `json:"sfu"`

	Members []Suspect `json:"members"`
	// Chosen counts the members that are to be ended, Ended those that were.
	Chosen int `json:"chosen"`
	Ended  int `json:"ended"`
	// DryRun says that nothing was to be ended.
	DryRun bool `json:"dry_run"`
}

// Suspect is a membership and what is thought of it.
type Suspect struct {
	Member
	Slot    matrixrtc.SlotID `json:"slot_id"`
	Counted bool             `json:"counted"` // in a session now
	Said    *int64           `json:"said_ts"` // when its event was sent
	Doubt
	// Sight is what the SFU says: not_asked, not_ours, absent or present.
	Sight string `json:"on_sfu"`
	Own   bool   `json:"own"`
	// CanEnd says that the account may end it; else CannotEnd says why not.
	CanEnd    bool   `json:"can_end"`
	CannotEnd string `json:"cannot_end,omitempty"`
	// Chosen says that it is to be ended; Ended, that it was; Error, why it was not.
	Chosen bool   `json:"chosen"`
	Ended  bool   `json:"ended"`
	Error  string `json:"error,omitempty"`
}

// Doubt is a verdict as it stands in a document.
type Doubt struct {
	// Certainty is alive, possible, likely or certain.
	Certainty string           `json:"certainty"`
	Reasons   []suspect.Reason `json:"reasons"`
	Why       string           `json:"why"` // in words
}

// OfVerdict makes the document of a verdict. session is the one that it counts in,
// nil if it counts in none.
func OfVerdict(v *suspect.Verdict, session *matrixrtc.Session, self matrixrtc.UserID, now time.Time) Suspect {
	if session == nil {
		session = &matrixrtc.Session{Key: v.SessionKey(), Application: v.Application}
	}
	d := Suspect{
		Member: ofMember(session, matrixrtc.Member{Membership: v.Membership}), Slot: v.Slot, Counted: v.Counted,
		Doubt: OfDoubt(v, now), Sight: v.Sight.String(), Own: v.User == self,
	}
	if !v.Said.IsZero() {
		ms := v.Said.UnixMilli()
		d.Said = &ms
	}
	return d
}

// OfDoubt makes the part of it that says how sure it is, and why.
func OfDoubt(v *suspect.Verdict, now time.Time) Doubt {
	return Doubt{Certainty: v.Certainty.String(), Reasons: append([]suspect.Reason{}, v.Reasons...), Why: why(v, now)}
}

// why says in words what speaks for a verdict.
func why(v *suspect.Verdict, now time.Time) string {
	var parts []string
	for _, r := range v.Reasons {
		switch r {
		case suspect.SenderGone:
			text := "its user is no longer in the room"
			if v.Presence == suspect.Banned {
				text = "its user is banned from the room"
			}
			parts = append(parts, text)
		case suspect.Expired:
			parts = append(parts, "its time ran out "+Duration(now.Sub(v.Expires))+" ago")
		case suspect.Superseded:
			parts = append(parts, "the same device says it anew under another key")
		case suspect.NoParticipant:
			text := "nobody on the SFU is that device"
			if d := now.Sub(v.AbsentSince); d >= time.Second && !v.AbsentSince.IsZero() {
				text += ", for " + Duration(d)
			}
			if v.Certainty == suspect.Possible {
				text += ", but that may have another reason"
			}
			parts = append(parts, text)
		case suspect.Silent:
			parts = append(parts, "nothing was heard of it for "+Duration(now.Sub(v.Said)))
		}
	}
	if len(parts) > 0 {
		return strings.Join(parts, "; ")
	}
	switch v.Sight {
	case suspect.Present:
		return "it is on the SFU"
	case suspect.NotOurs:
		return "its media is at an SFU that we cannot ask"
	case suspect.Absent:
		return "not on the SFU, but it came a moment ago"
	}
	return "nothing speaks against it"
}

// WriteSuspects writes for people what is thought of the members of a room.
func WriteSuspects(w io.Writer, d *Suspects, s *Style) error {
	b := bufio.NewWriter(w)
	at := time.UnixMilli(d.At)
	fmt.Fprintf(b, "%s  %s\n", s.paint(colorStrong, Clean(string(d.Room))),
		s.paint(colorQuiet, fmt.Sprintf("%s stated; you are %s; %s", membershipsOf(len(d.Members)), Clean(string(d.User)), d.asked())))
	if len(d.Members) == 0 {
		return b.Flush()
	}
	rows := [][]string{{"MEMBER", "DIALECT", "LAST WORD", "VERDICT", "WHY"}}
	for i := range d.Members {
		m := &d.Members[i]
		said := "-"
		if m.Said != nil {
			said = Duration(max(0, at.Sub(time.UnixMilli(*m.Said)))) + " ago"
		}
		rows = append(rows, []string{who(&m.Member), Clean(string(m.Dialect)), said, m.verdict(), CleanLine(m.Why)})
	}
	WriteTable(b, rows, "  ", s)
	for i := range d.Members {
		if m := &d.Members[i]; m.CannotEnd != "" && m.Certainty != suspect.Alive.String() {
			fmt.Fprintln(b, s.paint(colorNote, fmt.Sprintf("%s %s.", who(&m.Member), CleanLine(m.CannotEnd))))
		}
	}
	return b.Flush()
}

func membershipsOf(n int) string { return count(n, "membership") }

func (d *Suspects) asked() string {
	switch {
	case len(d.SFU) == 0:
		return "no SFU was asked"
	}
	return "asked the SFU of " + Clean(d.SFU[0])
}

// verdict is the certainty in a word or two.
func (m *Suspect) verdict() string {
	text, ok := map[string]string{
		suspect.Alive.String(): "alive", suspect.Possible.String(): "perhaps dead",
		suspect.Likely.String(): "probably dead", suspect.Certain.String(): "dead",
	}[m.Certainty]
	if !ok {
		return Clean(m.Certainty)
	}
	if text == "alive" && m.Sight == suspect.NotOurs.String() {
		return "cannot be told"
	}
	return text
}

// Named names a member for a sentence.
func (m *Suspect) Named() string { return who(&m.Member) }
