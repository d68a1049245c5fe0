package suspect

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// Room is a room with all that a judgement of its members needs: fed with batches
// alone. It belongs to one goroutine.
type Room struct {
	fold   *matrixrtc.Room
	ledger *Ledger
	memory Memory
}

// NewRoom makes an empty room. opts may be nil.
func NewRoom(id matrixrtc.RoomID, opts *matrixrtc.RoomOptions) *Room {
	return &Room{fold: matrixrtc.NewRoom(id, opts), ledger: NewLedger(id)}
}

// ID is the room's id.
func (r *Room) ID() matrixrtc.RoomID { return r.fold.ID() }

// Apply takes a batch in. Those of other rooms are passed over.
func (r *Room) Apply(b matrixrtc.Batch, now time.Time) {
	if b.Room == r.fold.ID() {
		r.fold.Apply(b, now)
		r.ledger.Apply(b, now)
	}
}

// Sessions are the sessions as they are now.
func (r *Room) Sessions(now time.Time) []*matrixrtc.Session {
	r.fold.Advance(now)
	return r.fold.Sessions()
}

// Entries lists every membership that is stated.
func (r *Room) Entries(now time.Time) []Entry { return r.ledger.Entries(r.Sessions(now)) }

// Judge gives a verdict on each. sfu is what the SFU said a moment ago, nil if it
// was not asked. What was seen is remembered for the next time.
func (r *Room) Judge(sfu *SFU, now time.Time, opts *Options) []Verdict {
	return Judge(r.Entries(now), sfu, &r.memory, now, opts)
}

// Rights is what the room says of who may do what, without who is joined.
func (r *Room) Rights() *rights.Room { return r.ledger.Rights() }

// Slots are the slots that have an event, by their ids: true if it opens them.
func (r *Room) Slots() map[string]bool { return r.ledger.Slots() }

// Create is the room's m.room.create, nil if it was not seen.
func (r *Room) Create() *matrixrtc.Event { return r.ledger.create }
