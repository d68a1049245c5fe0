package matrixrtc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestHistoryScenarios runs testdata/history: blocks of commands, "----", and
// the sessions that a History returned for them. Times are durations since the
// scenario's zero; every block ends at its last time, and begins a new history.
//
//	options gap=1m blip=0s late=0s slots=required|ignore unknown=joined   first
//	at 90s                              sets now (the clock alone works)
//	from 90s                            sets now, without the clock
//	state TYPE KEY SENDER CONTENT       a state event, at now
//	sticky DURATION SENDER TYPE CONTENT a sticky event, at now
//	event TYPE SENDER CONTENT           any other event, at now
//	late AGE, id $N, device D …         in front: as in testdata/scenarios
//	redact ID SENDER                    an m.room.redaction
//	replaces ID …                       in front: unsigned.replaces_state
//	prev CONTENT …                      in front: unsigned.prev_content
//	gone TIME …                         in front: it came redacted, at that time
//	ongoing                             what is not over, as it stands
//
// An event id is $1, $2, … in order of the block. CONTENT may use the words join,
// join2, chess (call), draft, draft2 (draft), stick, stick2, slot, slotleave and
// unstick (sticky).
func TestHistoryScenarios(t *testing.T) {
	t.Parallel()
	transcripts(t, "testdata/history/*.txt", tellPast)
}

// tellPast returns the text with every expectation replaced by what really came.
func tellPast(t *testing.T, text string) string {
	var out strings.Builder
	var p *pastTeller
	told := false
	for _, line := range strings.SplitAfter(text, "\n") {
		word := strings.TrimSpace(line)
		switch {
		case told && word != "":
			continue
		case told:
			told, p = false, nil
		case word == "----":
			told = true
			out.WriteString(line + strings.Join(append(p.said, p.sessions(p.h.Close(p.now))...), ""))
			continue
		case word != "" && !strings.HasPrefix(word, "#"):
			if p == nil {
				p = &pastTeller{scenario: newScenario(t), opts: HistoryOptions{Unknown: UnknownByFile}}
				p.room = NewRoom("!room:one.example", nil)
			}
			p.command(word)
		}
		out.WriteString(line)
	}
	return out.String()
}

type pastTeller struct {
	*scenario
	h    *History
	opts HistoryOptions
	said []string
}

func (p *pastTeller) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	if verb == "options" {
		p.options(rest)
		return
	}
	if p.h == nil {
		p.h = NewHistory(&p.opts)
	}
	switch verb {
	case "at":
		p.now = zero.Add(p.duration(rest))
		p.said = append(p.said, p.sessions(p.h.Advance(p.now))...)
		return
	case "from":
		p.now = zero.Add(p.duration(rest))
		return
	case "ongoing":
		p.said = append(p.said, "at "+fmt.Sprint(p.now.Sub(zero))+":\n")
		p.said = append(p.said, p.sessions(p.h.Ongoing(p.now))...)
		return
	}
	p.said = append(p.said, p.sessions(p.h.Add(p.record(line)))...)
}

func (p *pastTeller) options(text string) {
	for _, o := range strings.Fields(text) {
		name, value, _ := strings.Cut(o, "=")
		span := func() time.Duration {
			if d := p.duration(value); d != 0 {
				return d
			}
			return -1
		}
		switch name {
		case "gap":
			p.opts.Gap = span()
		case "blip":
			p.opts.Blip = span()
		case "late":
			p.opts.Late = span()
		case "slots":
			p.opts.Slots = map[string]SlotPolicy{"ignore": SlotsIgnore, "required": SlotsRequired}[value]
		case "unknown":
			p.opts.Unknown = map[string]Presence{"joined": UnknownJoined, "out": UnknownNotJoined}[value]
		}
	}
}

// pastWords stand for the contents of events.
var pastWords = map[string]string{
	"join":      `{"application":"m.call","call_id":"","device_id":"D","focus_active":{"type":"livekit"}}`,
	"join2":     `{"application":"m.call","call_id":"two","device_id":"D","focus_active":{"type":"livekit"}}`,
	"chess":     `{"application":"org.chess","call_id":"","device_id":"D","focus_active":{"type":"livekit"}}`,
	"draft":     `{"m.application":"m.call","m.call_id":"","focus_active":{"type":"livekit"}}`,
	"draft2":    `{"m.application":"m.call","m.call_id":"two","focus_active":{"type":"livekit"}}`,
	"stick":     `{"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k","user_id":"SENDER","device_id":"D"},"rtc_transports":[],"msc4354_sticky_key":"k"}`,
	"stick2":    `{"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"l","user_id":"SENDER","device_id":"D"},"rtc_transports":[],"msc4354_sticky_key":"l"}`,
	"unstick":   `{"msc4354_sticky_key":"k"}`,
	"slot":      `{"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k","membership":"join"},"sticky_key":"k"}`,
	"slotleave": `{"slot_id":"m.call#ROOM","member":{"id":"k","membership":"leave"},"sticky_key":"k"}`,
}

// content replaces a word and adds fields: join+"expires":1000 is one of them.
func pastContent(text, sender string) string {
	word, more, _ := strings.Cut(text, "+")
	c, ok := pastWords[word]
	if !ok {
		return text
	}
	if more != "" {
		c = strings.TrimSuffix(c, "}") + "," + more + "}"
	}
	return strings.ReplaceAll(c, "SENDER", sender)
}

func (p *pastTeller) record(line string) *Record {
	var replaces, prev string
	var gone time.Duration
	for {
		verb, rest, _ := strings.Cut(line, " ")
		value, after, _ := strings.Cut(rest, " ")
		switch verb {
		case "replaces":
			replaces, line = value, after
			continue
		case "prev":
			prev, line = value, after
			continue
		case "gone":
			gone, line = p.duration(value), after
			continue
		case "event": // as a sticky one that does not stick
			typ, rest, _ := strings.Cut(rest, " ")
			sender, content, _ := strings.Cut(rest, " ")
			line = "sticky 0s " + sender + " " + typ + " " + content
		}
		break
	}
	e := p.event(line)
	e.Content = []byte(pastContent(string(e.Content), string(e.Sender)))
	e.Replaces = EventID(replaces)
	if prev != "" {
		e.PrevContent = []byte(pastContent(prev, string(e.Sender)))
	}
	if gone > 0 {
		e.Redacted, e.Content = true, []byte("{}")
	}
	r := RecordOf(&e, nil)
	if gone > 0 {
		r.RedactedAt = zero.Add(gone).UnixMilli()
	}
	return &r
}

func doubt(time string, uncertain bool) string {
	if uncertain {
		return time + "?"
	}
	return time
}

func (p *pastTeller) sessions(list []PastSession) (out []string) {
	since := func(t time.Time) string {
		if t.IsZero() {
			return "now"
		}
		return fmt.Sprint(t.Sub(zero))
	}
	for _, s := range list {
		line := fmt.Sprintf("%s %s to %s, peak %d, first %s", s.Key.Slot, doubt(since(s.Start), s.StartUncertain), doubt(since(s.End), s.EndUncertain), s.Peak, s.FirstEvent)
		if s.Ring != "" {
			line += fmt.Sprintf(", %s by %s", s.Ring, s.NotifiedBy)
		}
		if len(s.DeclinedBy) > 0 {
			line += fmt.Sprintf(", declined by %s", s.DeclinedBy)
		}
		out = append(out, line+"\n")
		for _, q := range s.Participants {
			line := "  " + string(q.User) + "/" + string(q.Device)
			if q.Member != "" {
				line += "#" + string(q.Member)
			}
			for _, st := range q.Stays {
				line += fmt.Sprintf("; %s to %s", doubt(since(st.Start), st.StartUncertain), doubt(since(st.End), st.EndUncertain))
				if st.Cause != "" {
					line += " " + string(st.Cause)
				}
				if st.Skew {
					line += " (skew)"
				}
			}
			out = append(out, line+"\n")
		}
	}
	return out
}
