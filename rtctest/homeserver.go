package rtctest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Homeserver is a homeserver in memory: rooms with state, an order of events,
// and devices that are told of them. It is for tests in which hours pass in a
// synctest bubble; HomeserverSuite holds it to what a real one does. Switches
// make it fail in the ways in which real ones do. All methods may be called
// from any goroutine; time is the bubble's.
type Homeserver struct {
	mu     sync.Mutex
	rooms  map[matrixrtc.RoomID]*hsRoom
	news   chan struct{} // closed and made anew when something happened
	ids    int
	faults faults
	offers []matrixrtc.Transport

	delayed []*delayed // held back
	epoch   int        // of the positions of Sync
}

type faults struct {
	down      bool
	lost      bool // answers to requests are lost, the requests are not
	delay     time.Duration
	limited   int
	limit     time.Duration
	loggedOut map[matrixrtc.DeviceID]bool
	skew      time.Duration
	timeline  int // how many events an answer has of a room, zero: all

	delays        time.Duration // how long events may be held back, zero: not at all
	cancels       bool
	delaysLimited int
	delaysLimit   time.Duration
	cut           map[matrixrtc.DeviceID]bool
}

type hsRoom struct {
	id        matrixrtc.RoomID
	build     Events
	log       []matrixrtc.Event
	state     map[hsKey]int                 // place in log
	forbidden map[string][]matrixrtc.UserID // type: who may all the same
}

type hsKey struct{ typ, key string }

// ServerName is the server part of the ids of a Homeserver.
const ServerName = "hs.test"

// NewHomeserver makes an empty one.
func NewHomeserver() *Homeserver {
	return &Homeserver{
		rooms: map[matrixrtc.RoomID]*hsRoom{}, news: make(chan struct{}),
		faults: faults{loggedOut: map[matrixrtc.DeviceID]bool{}, cut: map[matrixrtc.DeviceID]bool{}},
	}
}

// User is the full id of a user of this server.
func User(name string) matrixrtc.UserID { return matrixrtc.UserID("@" + name + ":" + ServerName) }

// CreateRoom makes a room that its users have joined.
func (h *Homeserver) CreateRoom(users ...matrixrtc.UserID) matrixrtc.RoomID {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ids++
	id := matrixrtc.RoomID(fmt.Sprintf("!r%d:%s", h.ids, ServerName))
	r := &hsRoom{id: id, build: Events{Room: id}, state: map[hsKey]int{}, forbidden: map[string][]matrixrtc.UserID{}}
	h.rooms[id] = r
	admin := User("admin")
	h.add(r, func(b *Events) matrixrtc.Event { return b.Create(admin, "12") })
	for _, u := range users {
		h.add(r, func(b *Events) matrixrtc.Event { return b.Member(u, u, "join") })
	}
	return id
}

// Join lets a user join.
func (h *Homeserver) Join(room matrixrtc.RoomID, user matrixrtc.UserID) {
	h.Put(room, func(b *Events) matrixrtc.Event { return b.Member(user, user, "join") })
}

// Kick removes a user.
func (h *Homeserver) Kick(room matrixrtc.RoomID, user matrixrtc.UserID) {
	h.Put(room, func(b *Events) matrixrtc.Event { return b.Member(User("admin"), user, "leave") })
}

// Put adds an event whatever the rules say: another server's, an
// administrator's, garbage.
func (h *Homeserver) Put(room matrixrtc.RoomID, make func(*Events) matrixrtc.Event) matrixrtc.EventID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.add(h.rooms[room], make)
}

// Offer sets the transports that the server announces.
func (h *Homeserver) Offer(ts ...matrixrtc.Transport) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offers = ts
}

// Down makes every request fail, or ends that.
func (h *Homeserver) Down(down bool) { h.fault(func(f *faults) { f.down = down }) }

// Cut makes every request of one device fail, or ends that.
func (h *Homeserver) Cut(device matrixrtc.DeviceID, cut bool) {
	h.fault(func(f *faults) { f.cut[device] = cut })
}

// LoseAnswers lets requests arrive whose answers do not.
func (h *Homeserver) LoseAnswers(lose bool) { h.fault(func(f *faults) { f.lost = lose }) }

// Delay makes every request take a time; it arrives at the end of it.
func (h *Homeserver) Delay(d time.Duration) { h.fault(func(f *faults) { f.delay = d }) }

// RateLimit refuses the next n requests to send, to be tried again after a time.
func (h *Homeserver) RateLimit(n int, after time.Duration) {
	h.fault(func(f *faults) { f.limited, f.limit = n, after })
}

// LogOut ends the login of a device.
func (h *Homeserver) LogOut(device matrixrtc.DeviceID) {
	h.fault(func(f *faults) { f.loggedOut[device] = true })
}

// Skew sets how far the server's clock is ahead of ours.
func (h *Homeserver) Skew(d time.Duration) { h.fault(func(f *faults) { f.skew = d }) }

// Forbid refuses events of a type in a room, from everybody but these.
func (h *Homeserver) Forbid(room matrixrtc.RoomID, typ string, but ...matrixrtc.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rooms[room].forbidden[typ] = but
}

// Allow ends Forbid.
func (h *Homeserver) Allow(room matrixrtc.RoomID, typ string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.rooms[room].forbidden, typ)
}

func (h *Homeserver) fault(set func(*faults)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	set(&h.faults)
	h.wake()
}

// State is a room's state event, ok is false if there is none.
func (h *Homeserver) State(room matrixrtc.RoomID, typ, key string) (e matrixrtc.Event, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[room]
	i, ok := r.state[hsKey{typ, key}]
	if !ok {
		return e, false
	}
	return r.log[i], true
}

// Sent lists the room's events of a type, oldest first.
func (h *Homeserver) Sent(room matrixrtc.RoomID, typ string) []matrixrtc.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []matrixrtc.Event
	for _, e := range h.rooms[room].log {
		if e.Type == typ {
			list = append(list, e)
		}
	}
	return list
}

// wake tells those who wait. Call with mu held, as for all below.
func (h *Homeserver) wake() {
	close(h.news)
	h.news = make(chan struct{})
}

func (h *Homeserver) add(r *hsRoom, make func(*Events) matrixrtc.Event) matrixrtc.EventID {
	r.build.At = time.Now().Add(h.faults.skew)
	e := make(&r.build)
	if e.StateKey != nil {
		k := hsKey{e.Type, *e.StateKey}
		if i, ok := r.state[k]; ok {
			old := r.log[i]
			if old.Sender == e.Sender && string(old.Content) == string(e.Content) {
				return old.ID // servers do not repeat a state (docs/protocol.md R-SEND-1)
			}
			e.Replaces, e.PrevContent = old.ID, old.Content
		}
		r.state[k] = len(r.log)
	}
	r.log = append(r.log, e)
	if e.Type == matrixrtc.TypeRoomRedaction {
		r.redact(e.Redacts)
	}
	h.wake()
	return e.ID
}

// redact takes an event's content away, and that it is sticky.
func (r *hsRoom) redact(target matrixrtc.EventID) {
	for i := range r.log {
		if e := &r.log[i]; e.ID == target {
			e.Content, e.Redacted, e.Sticky = json.RawMessage("{}"), true, 0
		}
	}
}

func (r *hsRoom) joined(user matrixrtc.UserID) bool {
	i, ok := r.state[hsKey{matrixrtc.TypeRoomMember, string(user)}]
	return ok && membershipOf(r.log[i]) == "join"
}

func membershipOf(e matrixrtc.Event) string {
	var c struct {
		Membership string `json:"membership"`
	}
	_ = json.Unmarshal(e.Content, &c) // garbage is no membership
	return c.Membership
}

// Device logs a device in.
func (h *Homeserver) Device(user matrixrtc.UserID, device matrixrtc.DeviceID) *Device {
	return &Device{h: h, user: user, device: device}
}

// begin is what every request meets first. arrives says that the request is to
// be carried out; err is what comes of it for the one who asks.
func (h *Homeserver) begin(ctx context.Context, d *Device) (arrives bool, err error) {
	h.mu.Lock()
	f := h.faults
	out := f.loggedOut[d.device]
	f.down = f.down || f.cut[d.device]
	h.mu.Unlock()
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case f.down:
		return false, errDown
	case out:
		return false, &hsError{text: "the device is logged out", final: true}
	case f.lost:
		return true, errDown
	}
	return true, nil
}

// hsError is an error as package client wants them.
type hsError struct {
	text  string
	final bool
}

func (e *hsError) Error() string { return e.text }
func (e *hsError) Final() bool   { return e.final }

// hsOutage is an hsError that says when to try again.
type hsOutage struct {
	hsError
	after time.Duration
}

func (e *hsOutage) RetryAfter() time.Duration { return e.after }

var errDown = &hsError{text: "the homeserver cannot be reached"}

// refuses reports whether an event of a type is refused from a user.
func (r *hsRoom) refuses(user matrixrtc.UserID, typ string) bool {
	but, forbidden := r.forbidden[typ]
	return forbidden && !slices.Contains(but, user)
}

// mayWrite is the rule for state keys that name a user.
func mayWrite(user matrixrtc.UserID, key string) bool {
	return !strings.HasPrefix(key, "@") || key == string(user)
}
