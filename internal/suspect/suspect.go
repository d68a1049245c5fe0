package suspect

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Reason is why a membership is taken for dead, in one word.
type Reason string

// The reasons. The set grows.
const (
	// Expired: its own clock has run out, and it was neither refreshed nor taken
	// back.
	Expired Reason = "expired"
	// SenderGone: its sender left the Matrix room, or was removed from it.
	// Accounts that are deactivated leave their rooms.
	SenderGone Reason = "sender_gone"
	// Superseded: the same device has said it anew, under another key.
	Superseded Reason = "superseded"
	// NoParticipant: nobody is connected to the SFU who could be it.
	NoParticipant Reason = "no_participant"
	// Silent: nothing was heard of it for longer than clients keep silent.
	Silent Reason = "silent"
)

// Certainty is how sure a verdict is.
type Certainty int

// The certainties.
const (
	// Alive: nothing speaks against it, or it was not judged.
	Alive Certainty = iota
	// Possible: it may be dead, and may as well be a client with other habits.
	Possible
	// Likely: dead, unless something passing (a reconnection) is looked at.
	Likely
	// Certain: it counts for nobody who reads the specification, or has been gone
	// from the SFU for long.
	Certain
)

func (c Certainty) String() string {
	return [...]string{"alive", "possible", "likely", "certain"}[c]
}

// Presence is whether the sender of a membership is in the Matrix room.
type Presence int

// The presences.
const (
	Unknown Presence = iota
	Joined
	Left
	Banned
)

// Entry is a membership as it stands in the room, whether it counts or not.
type Entry struct {
	*matrixrtc.Membership
	// Type is the type of its event; State says that it is a state event.
	Type  string
	State bool
	// Said is when its present event was sent, by the clock of its homeserver;
	// zero if that is not known.
	Said time.Time
	// Counted says that it is a member of a session now. One that is not, and is
	// stated all the same, is what some client left behind.
	Counted  bool
	Presence Presence
	// Superseded says that the same device says it anew under another key.
	Superseded bool
	// Where are the transports at which its media would be.
	Where []matrixrtc.Transport
	// Beneath are events of the same sticky key that would count again if the
	// present one were redacted.
	Beneath []matrixrtc.EventID
	// Shares says that its event states other memberships, too.
	Shares bool
}

// Verdict is what is thought of one entry.
type Verdict struct {
	Entry
	// Reasons are empty if it seems to be alive.
	Reasons   []Reason
	Certainty Certainty
	// Sight is what the SFU says of it.
	Sight Sight
	// AbsentSince is since when nobody was seen on the SFU, zero if somebody is or
	// it was not asked.
	AbsentSince time.Time
}

// Options are what a judgement goes by; nil or zero gives the defaults.
type Options struct {
	// Young: nobody who spoke so recently is taken for dead by the SFU, which
	// learns of a device after the room does. 0: 30 s.
	Young time.Duration
	// Confirm is for how long, from one look to another, nobody must have been on
	// the SFU for that to be certain. 0: 2 min.
	Confirm time.Duration
	// Silence is after how long without a word a state membership is remarked
	// upon. Deployed clients restate theirs every hour. 0: 70 min.
	Silence time.Duration
	// Skew is by how much clocks may differ: what ran out less long ago is not
	// certain. 0: 1 min.
	Skew time.Duration
}

func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	for _, d := range []struct {
		v *time.Duration
		n time.Duration
	}{{&f.Young, 30 * time.Second}, {&f.Confirm, 2 * time.Minute}, {&f.Silence, 70 * time.Minute}, {&f.Skew, time.Minute}} {
		if *d.v <= 0 {
			*d.v = d.n
		}
	}
	return f
}

// Judge gives a verdict for every entry, in their order. sfu may be nil: nobody
// was asked. memory may be nil: nothing was seen before; else it takes note.
func Judge(entries []Entry, sfu *SFU, memory *Memory, now time.Time, opts *Options) []Verdict {
	o := opts.filled()
	strange := sfu.strangers(entries)
	list := make([]Verdict, 0, len(entries))
	for _, e := range entries {
		v := Verdict{Entry: e, Sight: sfu.sight(&e)}
		v.byEvent(now, &o)
		v.bySFU(memory.look(&e, v.Sight, now), strange, sfu, now, &o)
		list = append(list, v)
	}
	memory.forget(entries)
	return list
}

func (v *Verdict) add(r Reason, c Certainty) {
	v.Reasons = append(v.Reasons, r)
	v.Certainty = max(v.Certainty, c)
}

// byEvent judges by what the room alone says.
func (v *Verdict) byEvent(now time.Time, o *Options) {
	if v.Presence == Left || v.Presence == Banned {
		v.add(SenderGone, Certain)
	}
	if !v.Expires.IsZero() && !v.Expires.After(now) {
		c := Certain
		if now.Sub(v.Expires) < o.Skew {
			c = Likely
		}
		v.add(Expired, c)
	}
	if v.Superseded {
		v.add(Superseded, Likely)
	}
	// A sticky event ends within the hour, and its refresh comes at its end.
	if v.State && v.Counted && !v.Said.IsZero() && now.Sub(v.Said) > o.Silence {
		v.add(Silent, Possible)
	}
}

// bySFU judges by what the SFU says.
func (v *Verdict) bySFU(since time.Time, strange bool, sfu *SFU, now time.Time, o *Options) {
	switch v.Sight {
	case Present:
		v.there()
	case Absent:
		v.AbsentSince = since
		// An event of whose age nothing is known may be from just now, and so may one
		// that is ahead of our clock.
		if v.Said.IsZero() || now.Sub(v.Said) < o.Young {
			return
		}
		switch {
		case strange, !sfu.Sure && sfu.empty(&v.Entry):
			// One of the strangers may be it; or the rooms have other names.
			v.add(NoParticipant, Possible)
		case now.Sub(since) >= o.Confirm:
			v.add(NoParticipant, Certain)
		default:
			v.add(NoParticipant, Likely)
		}
	}
}

// there weighs the reasons anew of one who is on the SFU: such a client is not
// silent, and may only be late with a refresh.
func (v *Verdict) there() {
	reasons := v.Reasons
	v.Reasons, v.Certainty = nil, Alive
	for _, r := range reasons {
		switch r {
		case SenderGone:
			v.add(r, Certain)
		case Superseded:
			v.add(r, Likely)
		case Expired:
			v.add(r, Possible)
		}
	}
}

// Memory remembers since when members have not been on the SFU.
type Memory struct {
	absent map[matrixrtc.EventID]time.Time
}

// look takes note of a sight and returns since when nobody was seen. An event that
// is restated is another event, and begins anew: its device was alive then.
func (m *Memory) look(e *Entry, s Sight, now time.Time) (since time.Time) {
	if m == nil {
		return now
	}
	if s != Absent {
		delete(m.absent, e.Event)
		return now
	}
	if m.absent == nil {
		m.absent = map[matrixrtc.EventID]time.Time{}
	}
	since, seen := m.absent[e.Event]
	if !seen || now.Before(since) { // or the clock was set back
		since = now
		m.absent[e.Event] = now
	}
	return since
}

// forget drops what is not stated any more.
func (m *Memory) forget(entries []Entry) {
	if m == nil || len(m.absent) == 0 {
		return
	}
	stated := make(map[matrixrtc.EventID]bool, len(entries))
	for i := range entries {
		stated[entries[i].Event] = true
	}
	for id := range m.absent {
		if !stated[id] {
			delete(m.absent, id)
		}
	}
}
