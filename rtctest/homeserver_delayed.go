package rtctest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// delayed is an event that a Homeserver holds back (MSC4140).
type delayed struct {
	id    string
	by    *Device
	room  matrixrtc.RoomID
	out   matrixrtc.Outgoing
	after time.Duration
	timer *time.Timer
}

// Delays lets the server hold events back, for as long as most at most; zero
// ends that, as it is in the beginning. What is held back is sent by a timer: in
// a synctest bubble, by the bubble's time.
func (h *Homeserver) Delays(most time.Duration) { h.fault(func(f *faults) { f.delays = most }) }

// CancelOnState lets the server drop what it holds back for a user and a key
// when that user writes the key, as older servers did.
func (h *Homeserver) CancelOnState(drop bool) { h.fault(func(f *faults) { f.cancels = drop }) }

// RateLimitDelays refuses the next n requests about delayed events, to be tried
// again after a time.
func (h *Homeserver) RateLimitDelays(n int, after time.Duration) {
	h.fault(func(f *faults) { f.delaysLimited, f.delaysLimit = n, after })
}

// Delayed counts the events that are held back.
func (h *Homeserver) Delayed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.delayed)
}

// ForgetDelayed loses all events that are held back.
func (h *Homeserver) ForgetDelayed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(func(*delayed) bool { return true })
}

// drop drops the delayed events that fit. Call with mu held.
func (h *Homeserver) drop(fits func(*delayed) bool) {
	h.delayed = slices.DeleteFunc(h.delayed, func(d *delayed) bool {
		if fits(d) {
			d.timer.Stop()
			return true
		}
		return false
	})
}

// hsDelayError is an error about delayed events.
type hsDelayError struct {
	hsError
	unsupported, gone, tooLong bool
	most                       time.Duration
}

func (e *hsDelayError) Unsupported() bool               { return e.unsupported }
func (e *hsDelayError) Gone() bool                      { return e.gone }
func (e *hsDelayError) MaxDelay() (time.Duration, bool) { return e.most, e.tooLong }

var (
	errNoDelays = &hsDelayError{hsError: hsError{text: "the server has no delayed events", final: true}, unsupported: true}
	errGone     = &hsDelayError{hsError: hsError{text: "no such delayed event", final: true}, gone: true}
)

// Delay has an event sent after a time.
func (d *Device) Delay(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration) (string, error) {
	var id string
	err := d.manage(ctx, func(h *Homeserver) error {
		if most := h.faults.delays; after > most {
			return &hsDelayError{hsError: hsError{text: "the delay is too long", final: true}, tooLong: true, most: most}
		}
		if h.rooms[room] == nil || !h.rooms[room].joined(d.user) {
			return &hsError{text: "not joined to the room", final: true}
		}
		h.ids++
		x := &delayed{id: fmt.Sprintf("delay-%d", h.ids), by: d, room: room, out: out, after: after}
		x.timer = time.AfterFunc(after, func() { h.release(x.id) })
		h.delayed = append(h.delayed, x)
		id = x.id
		return nil
	})
	return id, err
}

// release sends a delayed event whose time has come.
func (h *Homeserver) release(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x := h.take(id); x != nil {
		_, _ = h.accept(x.by, x.room, x.out) // what is refused then is lost
	}
}

// take takes a delayed event out. Call with mu held.
func (h *Homeserver) take(id string) *delayed {
	i := slices.IndexFunc(h.delayed, func(x *delayed) bool { return x.id == id })
	if i < 0 {
		return nil
	}
	x := h.delayed[i]
	x.timer.Stop()
	h.delayed = slices.Delete(h.delayed, i, i+1)
	return x
}

// RestartDelayed has a delayed event wait anew.
func (d *Device) RestartDelayed(ctx context.Context, id string) error {
	return d.manage(ctx, func(h *Homeserver) error {
		i := slices.IndexFunc(h.delayed, func(x *delayed) bool { return x.id == id })
		if i < 0 {
			return errGone
		}
		h.delayed[i].timer.Reset(h.delayed[i].after)
		return nil
	})
}

// SendDelayed has a delayed event sent now.
func (d *Device) SendDelayed(ctx context.Context, id string) error {
	return d.manage(ctx, func(h *Homeserver) error {
		x := h.take(id)
		if x == nil {
			return errGone
		}
		_, err := h.accept(x.by, x.room, x.out)
		return err
	})
}

// CancelDelayed drops a delayed event.
func (d *Device) CancelDelayed(ctx context.Context, id string) error {
	return d.manage(ctx, func(h *Homeserver) error {
		if h.take(id) == nil {
			return errGone
		}
		return nil
	})
}

// RetireDelayed drops the user's delayed events in place of an event, but one.
func (d *Device) RetireDelayed(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, keep string) error {
	return d.manage(ctx, func(h *Homeserver) error {
		h.drop(func(x *delayed) bool {
			return x.id != keep && x.by.user == d.user && x.room == room && samePlace(x.out, out)
		})
		return nil
	})
}

// samePlace reports whether two events have the same type and key.
func samePlace(a, b matrixrtc.Outgoing) bool {
	if a.Type != b.Type || (a.StateKey == nil) != (b.StateKey == nil) {
		return false
	}
	if a.StateKey != nil {
		return *a.StateKey == *b.StateKey
	}
	key := func(content json.RawMessage) string { return matrixrtc.StickyKey(content) }
	return key(a.Content) != "" && key(a.Content) == key(b.Content)
}

// manage is a request about delayed events. A client knows what the server has
// without asking each time.
func (d *Device) manage(ctx context.Context, do func(*Homeserver) error) error {
	h := d.h
	h.mu.Lock()
	some := h.faults.delays > 0
	h.mu.Unlock()
	if !some {
		return errNoDelays
	}
	arrives, failed := h.begin(ctx, d)
	if !arrives {
		return failed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faults.delaysLimited > 0 {
		h.faults.delaysLimited--
		return &hsOutage{hsError{text: "too many requests"}, h.faults.delaysLimit}
	}
	if err := do(h); err != nil {
		return err
	}
	return failed
}
