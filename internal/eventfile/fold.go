package eventfile

import (
	"errors"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// FoldOptions are the options of a Fold; the zero value gives the defaults.
type FoldOptions struct {
	// Room are the options of the rooms; Unknown is always UnknownByFile.
	Room *matrixrtc.RoomOptions
	// CutOff leaves out events that are later than the moment of interest.
	CutOff bool
}

// Fold computes the rooms of a file as they are at one moment. It takes the
// batches in the order of the file, and lets the rooms live through the times
// of their events, so that a membership that had run out before the next one
// was made is not taken for one long stay. It is used from one goroutine.
type Fold struct {
	at    time.Time
	opts  FoldOptions
	rooms map[matrixrtc.RoomID]*folded
	order []matrixrtc.RoomID

	problems []*Problem
}

type folded struct {
	room *matrixrtc.Room
	now  time.Time // never goes back, never beyond Fold.at
}

// NewFold starts a fold; at is the moment of interest. opts may be nil.
func NewFold(at time.Time, opts *FoldOptions) *Fold {
	f := &Fold{at: at, rooms: make(map[matrixrtc.RoomID]*folded)}
	if opts != nil {
		f.opts = *opts
	}
	return f
}

// Add takes what Read yields. It keeps a *Problem and returns any other error.
func (f *Fold) Add(b matrixrtc.Batch, err error) error {
	if err != nil {
		return f.problem(err)
	}
	r := f.room(b.Room)
	if f.opts.CutOff {
		b.State, b.Events, b.Sticky = f.until(b.State), f.until(b.Events), f.until(b.Sticky)
	}
	// The batch happened at its latest event, as far as we believe the clocks.
	now := r.now
	for _, events := range [][]matrixrtc.Event{b.State, b.Events, b.Sticky} {
		for i := range events {
			if at := events[i].Origin; at.After(now) && !at.After(f.at) {
				now = at
			}
		}
	}
	if now.After(r.now) {
		r.now = now
		r.room.Advance(now)
	}
	r.room.Apply(b, now)
	return nil
}

func (f *Fold) problem(err error) error {
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	f.problems = append(f.problems, p)
	return nil
}

// room finds a room, or makes it.
func (f *Fold) room(id matrixrtc.RoomID) *folded {
	r := f.rooms[id]
	if r == nil {
		opts := matrixrtc.RoomOptions{}
		if f.opts.Room != nil {
			opts = *f.opts.Room
		}
		opts.Unknown = matrixrtc.UnknownByFile
		r = &folded{room: matrixrtc.NewRoom(id, &opts)}
		f.rooms[id] = r
		f.order = append(f.order, id)
	}
	return r
}

// until leaves out what is later than the moment of interest.
func (f *Fold) until(events []matrixrtc.Event) []matrixrtc.Event {
	for i := range events {
		if events[i].Origin.After(f.at) {
			return slices.DeleteFunc(slices.Clone(events), func(e matrixrtc.Event) bool { return e.Origin.After(f.at) })
		}
	}
	return events
}

// End brings the rooms to the moment of interest and returns them in the order
// of their first event, with everything that could not be read.
func (f *Fold) End() ([]*matrixrtc.Room, []*Problem) {
	rooms := make([]*matrixrtc.Room, 0, len(f.order))
	for _, id := range f.order {
		f.rooms[id].room.Advance(f.at)
		rooms = append(rooms, f.rooms[id].room)
	}
	return rooms, f.problems
}
