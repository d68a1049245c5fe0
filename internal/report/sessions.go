package report

import (
	"io"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Sessions is what `sessions --json` prints: the document of the rooms, and
// what had to be left out of it.
type Sessions struct {
	Document
	// Encrypted lists the rooms that are encrypted: memberships which are sent
	// encrypted cannot be read there.
	Encrypted []matrixrtc.RoomID `json:"encrypted_rooms,omitempty"`
	// Input lists the parts of a file that could not be read.
	Input []Input `json:"input_problems,omitempty"`
}

// Input is a part of a file that could not be read and was left out.
type Input struct {
	Line    int               `json:"line"`
	Event   matrixrtc.EventID `json:"event_id,omitempty"`
	Problem string            `json:"problem"`
}

// Listing is the matter of `sessions` before it becomes a document: the rooms
// that it was taken from may go on. It may be read from any goroutine.
type Listing struct {
	head     Sessions // without sessions
	sessions []*matrixrtc.Session
}

// List takes stock of some rooms. input is what had to be left out of a file.
func List(at time.Time, input []Input, rooms ...*matrixrtc.Room) Listing {
	var l Listing
	l.head.Document, l.sessions = stock(at, rooms)
	l.head.Input = input
	for _, r := range rooms {
		if r.Encrypted() {
			l.head.Encrypted = append(l.head.Encrypted, r.ID())
		}
	}
	slices.Sort(l.head.Encrypted)
	return l
}

// Document makes the document.
func (l Listing) Document() Sessions {
	d := l.head
	d.Sessions = ofSessions(l.sessions)
	return d
}

// WriteJSON writes the document as `sessions --json` prints it, with a newline
// at its end. It makes one member at a time: see pen.
func (l Listing) WriteJSON(w io.Writer) error {
	p := newPen(w)
	p.open('{')
	p.key("version")
	p.int(int64(l.head.Version))
	p.key("at")
	p.int(l.head.At)
	p.key("sessions")
	p.open('[')
	for _, s := range l.sessions {
		p.next()
		p.session(s)
	}
	p.close(']')
	p.key("invalid")
	p.open('[')
	for i := range l.head.Invalid {
		p.next()
		p.invalid(&l.head.Invalid[i])
	}
	p.close(']')
	p.rest(&l.head)
	p.close('}')
	p.buf = append(p.buf, '\n')
	p.flush(true)
	return p.err
}

func (p *pen) session(s *matrixrtc.Session) {
	d := ofSession(s)
	p.open('{')
	p.key("room_id")
	p.text(string(d.Room))
	p.key("slot_id")
	p.text(string(d.Slot))
	p.key("application")
	p.text(d.Application)
	p.key("call_id")
	p.optionalText(d.CallID)
	p.key("since_ts")
	p.int(d.Since)
	p.key("users")
	p.int(int64(d.Users))
	p.key("devices")
	p.int(int64(d.Devices))
	p.key("intent")
	p.optionalText(d.Intent)
	p.key("oldest")
	p.text(string(d.Oldest))
	p.key("members")
	p.open('[')
	one := place{reachable: map[string]bool{}}
	for _, m := range s.Members() {
		one.fill(s, m)
		p.next()
		p.member(&one.Member)
		p.flush(false)
	}
	p.close(']')
	p.close('}')
}

func (p *pen) member(d *Member) {
	p.open('{')
	p.key("user_id")
	p.text(string(d.User))
	p.key("device_id")
	p.text(string(d.Device))
	p.key("member_id")
	p.text(string(d.Member))
	p.key("event_id")
	p.text(string(d.Event))
	p.key("dialect")
	p.text(string(d.Dialect))
	p.key("created_ts")
	p.int(d.Created)
	p.key("expires_at")
	p.optionalInt(d.Expires)
	p.key("intent")
	p.optionalText(d.Intent)
	p.key("transport")
	p.transport(d.Transport)
	p.key("reachable")
	p.bool(d.Reachable)
	p.key("identities")
	p.open('[')
	for _, id := range d.Identities {
		p.next()
		p.text(id)
	}
	p.close(']')
	p.close('}')
}

func (p *pen) invalid(d *Invalid) {
	p.open('{')
	p.key("event_id")
	p.text(string(d.Event))
	p.key("room_id")
	p.text(string(d.Room))
	if d.Counted {
		p.key("counted")
		p.bool(true)
	}
	p.key("problems")
	p.open('[')
	for _, problem := range d.Problems {
		p.next()
		p.open('{')
		p.key("field")
		p.text(problem.Field)
		p.key("problem")
		p.text(problem.Problem)
		p.key("source")
		p.text(problem.Source)
		p.close('}')
	}
	p.close(']')
	p.close('}')
	p.flush(false)
}

// rest writes what is left out if there is none of it.
func (p *pen) rest(d *Sessions) {
	if len(d.Unreadable) > 0 {
		p.key("unreadable")
		p.open('[')
		for _, u := range d.Unreadable {
			p.next()
			p.open('{')
			p.key("event_id")
			p.text(string(u.Event))
			p.key("room_id")
			p.text(string(u.Room))
			p.close('}')
			p.flush(false)
		}
		p.close(']')
	}
	if len(d.Encrypted) > 0 {
		p.key("encrypted_rooms")
		p.open('[')
		for _, id := range d.Encrypted {
			p.next()
			p.text(string(id))
		}
		p.close(']')
	}
	if len(d.Input) > 0 {
		p.key("input_problems")
		p.open('[')
		for _, in := range d.Input {
			p.next()
			p.open('{')
			p.key("line")
			p.int(int64(in.Line))
			if in.Event != "" {
				p.key("event_id")
				p.text(string(in.Event))
			}
			p.key("problem")
			p.text(in.Problem)
			p.close('}')
			p.flush(false)
		}
		p.close(']')
	}
}
