package web

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// Options are the options of a Board; nil or zero values give the defaults.
type Options struct {
	// Site is the name in the page's header; default "matrixrtc".
	Site string
	// Keep is how long a stay is shown after its end; default 15 minutes.
	Keep time.Duration
	// MaxStays bounds the stays that are followed and the past stays that are
	// kept, each; default 2000.
	MaxStays int
	// MaxNotes bounds the notes that are kept; default 50.
	MaxNotes int
	// MaxViewers bounds the event streams that are open at once; default 32.
	MaxViewers int
	// MaxPast is how many past calls of each room are kept for the page of
	// history; default 500, negative: none, and there is no such page.
	MaxPast int
	// Zone is the time zone of that page; nil: the machine's.
	Zone *time.Location
	// Logger hears about viewers that were dropped; nil: nobody does.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	out := Options{}
	if o != nil {
		out = *o
	}
	out.Site = cmp.Or(out.Site, "matrixrtc")
	out.Keep = cmp.Or(out.Keep, 15*time.Minute)
	out.MaxStays = cmp.Or(out.MaxStays, 2000)
	out.MaxNotes = cmp.Or(out.MaxNotes, 50)
	out.MaxViewers = cmp.Or(out.MaxViewers, 32)
	out.MaxPast = cmp.Or(out.MaxPast, 500)
	out.Zone = cmp.Or(out.Zone, time.Local)
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out
}

// Room is what the page says of a watched room besides its sessions.
type Room struct {
	ID matrixrtc.RoomID
	// Name is what people call the room; "" if it has no name.
	Name string
	// Encrypted says that the room has m.room.encryption.
	Encrypted bool
}

// room is one watched room as it stands on the board. doc is replaced as a
// whole and never changed in place, so a snapshot may share it.
type room struct {
	Room
	looked  time.Time // when the board first heard of the room
	updated time.Time
	doc     document
}

// Board is what the status page shows. Its memory is bounded by its options
// and by the size of the documents it is given.
type Board struct {
	opts    Options
	started time.Time
	streams streams
	past    pastRooms

	mu         sync.Mutex
	rooms      map[matrixrtc.RoomID]*room
	stays      stays
	media      media
	notes      []Note
	conditions []condition
	version    versions
	changed    chan struct{} // closed and replaced at each change
}

// versions count the changes of the two parts that are streamed on their own.
type versions struct{ state, media uint64 }

// NewBoard makes an empty board. opts may be nil.
func NewBoard(opts *Options) *Board {
	o := opts.withDefaults()
	return &Board{
		opts:    o,
		started: time.Now(),
		streams: streams{max: o.MaxViewers, done: make(chan struct{})},
		past:    pastRooms{most: o.MaxPast, rooms: map[matrixrtc.RoomID]*pastRoom{}},
		rooms:   make(map[matrixrtc.RoomID]*room),
		stays:   stays{max: o.MaxStays, keep: o.Keep, open: make(map[stayKey]*Stay)},
		media:   media{receivers: make(map[endpoint]*receiver)},
		changed: make(chan struct{}),
	}
}

// Update says how a watched room stands and what has changed in it since the
// last Update. doc is the room as a whole; sessions of other rooms in it are
// passed over. changes are what Room.Apply or Room.Advance returned; where
// they and doc disagree, doc wins: it may be ahead of the changes, which then
// come in later Updates and say how its members came and went.
func (b *Board) Update(now time.Time, r Room, doc report.Document, changes []matrixrtc.Change) {
	d := trim(r.ID, doc)
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.rooms[r.ID]
	if known == nil {
		known = &room{looked: now}
		if len(changes) > 0 {
			if _, seen := changes[0].When(); seen.Before(now) {
				known.looked = seen
			}
		}
		b.rooms[r.ID] = known
	}
	known.Room, known.updated, known.doc = r, now, d
	for _, c := range changes {
		if left, ok := c.(matrixrtc.MemberLeft); ok && left.Session.Room == r.ID {
			b.media.drop(r.ID, left.Member.MemberKey())
		}
		b.stays.change(r.ID, known.looked, c)
	}
	b.stays.reconcile(now, r.ID, known.looked, d.Sessions)
	b.stays.prune(now)
	b.stateChanged()
}

// Forget takes a room off the board, with its stays: it is not watched any
// more, and what becomes of it is not known.
func (b *Board) Forget(id matrixrtc.RoomID) {
	b.past.forget(id)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rooms, id)
	b.stays.forget(id)
	b.media.forget(id)
	b.stateChanged()
}

// Media says how much media members of a room have received, in counters that
// only grow while both ends stay. Call it about once per second.
func (b *Board) Media(now time.Time, room matrixrtc.RoomID, flows ...Flow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range flows {
		b.media.add(now, room, f)
	}
	b.media.prune(now)
	b.version.media++
	b.wake()
}

// stateChanged and wake are called with mu held.
func (b *Board) stateChanged() {
	b.version.state++
	b.wake()
}

func (b *Board) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// watch returns the current versions and a channel that is closed when they
// are no longer current.
func (b *Board) watch() (versions, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version, b.changed
}

// sortedRooms is called with mu held.
func (b *Board) sortedRooms() []*room {
	out := make([]*room, 0, len(b.rooms))
	for _, r := range b.rooms {
		out = append(out, r)
	}
	slices.SortFunc(out, func(x, y *room) int { return cmp.Compare(x.ID, y.ID) })
	return out
}
