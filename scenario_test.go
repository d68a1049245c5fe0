package matrixrtc_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

var update = flag.Bool("update", false, "rewrite the expected transcripts")

// TestScenarios runs testdata/scenarios: blocks of commands, "----", and what
// the room says to them. Times are durations since the scenario's zero.
//
//	policy ignore|if_present|required   before anything else: slots
//	at 90s                              sets now (the clock alone works)
//	state TYPE KEY SENDER CONTENT       a state event in the timeline, at now
//	sticky DURATION SENDER TYPE CONTENT a sticky event, at now
//	late AGE …                          in front: the event is AGE older than now
//	id $N …                             in front: the event's id
//	device D …                          in front: it came encrypted from device D
//	ttl DURATION …                      in front: the server says that it sticks so long yet
//	then …                              in front: in the timeline behind a whole state
//	redact ID SENDER                    an m.room.redaction
//	again                               the last batch once more
//	complete / end                      the state commands between make a whole state
//	json EVENT                          an event in client format, with a time and an id of its own
//	sessions                            prints the sessions
//	unreadable                          prints the encrypted events that may be memberships
//	left [EVENT]                        we are no longer in the room
//
// Event ids are $1, $2, … in order. A KEY of [] is the empty one.
func TestScenarios(t *testing.T) {
	t.Parallel()
	transcripts(t, "testdata/scenarios/*.txt", func(t *testing.T, text string) string { return newScenario(t).run(text) })
}

// transcripts has every file of a pattern told anew, with what really came in place of
// what is expected: it must come out as it is.
func transcripts(t *testing.T, pattern string, tell func(t *testing.T, text string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text := string(must(os.ReadFile(file)))
			got := tell(t, text)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != text {
				t.Errorf("%s: the transcript differs (go test -update rewrites it):\n%s", file, got)
			}
		})
	}
}

// zero is the scenarios' zero of time.
var zero = time.UnixMilli(1_760_000_000_000).UTC()

type scenario struct {
	t        *testing.T
	room     *Room
	opts     RoomOptions
	now      time.Time
	n        int
	last     Batch
	complete *Batch
}

func newScenario(t *testing.T) *scenario {
	return &scenario{t: t, now: zero, opts: RoomOptions{Unknown: UnknownByFile}}
}

// run returns the text with every expectation replaced by what really happened.
func (s *scenario) run(text string) string {
	var out strings.Builder
	var said []string
	inExpectation := false
	for _, line := range strings.SplitAfter(text, "\n") {
		word := strings.TrimSpace(line)
		switch {
		case inExpectation && word != "":
			continue
		case inExpectation:
			inExpectation = false
		case word == "----":
			inExpectation = true
			out.WriteString(line)
			for _, l := range said {
				out.WriteString(l + "\n")
			}
			said = nil
			continue
		case word != "" && !strings.HasPrefix(word, "#"):
			said = append(said, s.command(word)...)
		}
		out.WriteString(line)
	}
	if len(said) > 0 {
		s.t.Errorf("the last block has no ---- and would have said %q", said)
	}
	return out.String()
}

func (s *scenario) command(line string) []string {
	verb, rest, _ := strings.Cut(line, " ")
	if s.room == nil && verb != "policy" {
		s.room = NewRoom("!room:one.example", &s.opts)
	}
	switch verb {
	case "policy":
		s.opts.Slots = map[string]SlotPolicy{"ignore": SlotsIgnore, "if_present": SlotsIfPresent, "required": SlotsRequired}[rest]
		return nil
	case "at":
		s.now = zero.Add(s.duration(rest))
		return s.transcript(s.room.Advance(s.now))
	case "complete":
		s.complete = &Batch{Complete: true}
		return nil
	case "end":
		b := *s.complete
		s.complete = nil
		return s.apply(b)
	case "again":
		return s.transcript(s.room.Apply(s.last, s.now))
	case "left":
		b := Batch{Left: true}
		if rest != "" {
			b.Events = []Event{s.event(rest)}
		}
		return s.apply(b)
	case "sessions":
		return s.sessions()
	case "unreadable":
		return []string{fmt.Sprint("unreadable ", s.room.Unreadable())}
	case "json":
		e, err := ParseEvent([]byte(rest), s.room.ID())
		if err != nil {
			return []string{err.Error()}
		}
		return s.apply(Batch{Events: []Event{e}})
	}
	line, then := strings.CutPrefix(line, "then ")
	e := s.event(line)
	if then {
		s.complete.Events = append(s.complete.Events, e)
		return nil
	}
	if s.complete != nil {
		s.complete.State = append(s.complete.State, e)
		return nil
	}
	return s.apply(Batch{Events: []Event{e}})
}

func (s *scenario) apply(b Batch) []string {
	s.last = b
	return s.transcript(s.room.Apply(b, s.now))
}

func (s *scenario) event(line string) Event {
	s.n++
	e := Event{Room: s.room.ID(), ID: EventID(fmt.Sprintf("$%d", s.n)), Origin: s.now}
	word := func() (w string) {
		w, line, _ = strings.Cut(line, " ")
		return w
	}
	for {
		switch verb := word(); verb {
		case "late":
			e.Origin = s.now.Add(-s.duration(word()))
		case "id":
			e.ID = EventID(word())
		case "ttl":
			e.StickyTTL = s.duration(word())
		case "device":
			e.Encrypted, e.Device = true, DeviceID(word())
		case "state":
			e.Type = word()
			key := strings.ReplaceAll(word(), "[]", "")
			e.StateKey, e.Sender, e.Content = &key, UserID(word()), []byte(line)
			return e
		case "sticky":
			e.Sticky, e.Sender, e.Type = s.duration(word()), UserID(word()), word()
			e.Content = []byte(line)
			return e
		case "redact":
			e.Type, e.Redacts, e.Sender, e.Content = TypeRoomRedaction, EventID(word()), UserID(word()), []byte("{}")
			return e
		default:
			s.t.Fatalf("unknown command %q", verb)
		}
	}
}

func (s *scenario) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *scenario) stamp(c Change) string {
	at, _ := c.When()
	return fmt.Sprint(at.Sub(zero))
}

func who(m Member) string {
	name := string(m.User) + "/" + string(m.Device)
	if m.Device == "" {
		name += "#" + string(m.Member)
	}
	return name
}

func (s *scenario) transcript(changes []Change) (out []string) {
	for _, c := range changes {
		line := s.stamp(c) + " "
		switch c := c.(type) {
		case SessionStarted:
			line += fmt.Sprintf("session %s starts", c.Session.Slot)
		case SessionEnded:
			line += fmt.Sprintf("session %s ends", c.Session.Slot)
		case MemberJoined:
			line += fmt.Sprintf("%s joins %s (%s)", who(c.Member), c.Session.Slot, c.Member.Dialect)
		case MemberUpdated:
			line += fmt.Sprintf("%s updates %s (%s)", who(c.Member), c.Session.Slot, c.Member.Dialect)
		case MemberLeft:
			line += fmt.Sprintf("%s leaves %s: %s", who(c.Member), c.Session.Slot, c.Cause)
		case SlotOpened:
			line += fmt.Sprintf("slot %s opens", c.Session.Slot)
		case SlotClosed:
			line += fmt.Sprintf("slot %s closes", c.Session.Slot)
		case FocusChanged:
			line += fmt.Sprintf("focus of %s: %s -> %s", c.Session.Slot, c.From.Raw, c.To.Raw)
		case Invalid:
			line += fmt.Sprintf("event %s of %s", c.Event, c.Sender)
			if c.Counted {
				line += " (counts all the same)"
			}
			for _, p := range c.Problems {
				line += "; " + p.String()
			}
		}
		out = append(out, line)
	}
	return out
}

func (s *scenario) sessions() (out []string) {
	kinds := []string{TransportLiveKit, TransportFullMesh}
	for _, session := range s.room.Sessions() {
		out = append(out, fmt.Sprintf("%s %s since %v: %d users, %d devices, intent %q",
			session.Key.Slot, session.Application.Type, session.Since().Sub(zero), session.Users(), session.Devices(), session.Intent()))
		for _, m := range session.Members() {
			from := "nowhere"
			if ts := session.ReceiveFrom(m.Membership); len(ts) > 0 {
				from = string(ts[0].Raw)
			}
			out = append(out, fmt.Sprintf("  %s %s created %v until %v reachable %v from %s",
				who(m), m.Dialect, m.Created.Sub(zero), m.Expires.Sub(zero), session.Reachable(m.Membership, kinds...), from))
		}
	}
	if out == nil {
		out = []string{"no session"}
	}
	return out
}
