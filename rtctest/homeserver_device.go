package rtctest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Device is one login at a Homeserver: what package client calls a Homeserver.
type Device struct {
	h      *Homeserver
	user   matrixrtc.UserID
	device matrixrtc.DeviceID
}

// Self is the user and the device.
func (d *Device) Self() (matrixrtc.UserID, matrixrtc.DeviceID) { return d.user, d.device }

// Transports lists what the server announces.
func (d *Device) Transports(ctx context.Context) ([]matrixrtc.Transport, error) {
	if _, err := d.h.begin(ctx, d); err != nil {
		return nil, err
	}
	d.h.mu.Lock()
	defer d.h.mu.Unlock()
	return slices.Clone(d.h.offers), nil
}

// Send sends an event.
func (d *Device) Send(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error) {
	arrives, failed := d.h.begin(ctx, d)
	if !arrives {
		return "", failed
	}
	h := d.h
	h.mu.Lock()
	defer h.mu.Unlock()
	id, err := h.accept(d, room, out)
	if err != nil {
		return "", err
	}
	return id, failed
}

// accept takes an event in, as the rules say. Call with mu held.
func (h *Homeserver) accept(d *Device, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error) {
	r := h.rooms[room]
	switch {
	case r == nil:
		return "", &hsError{text: "no such room", final: true}
	case !r.joined(d.user):
		return "", &hsError{text: "not joined to the room", final: true}
	case r.refuses(d.user, out.Type):
		return "", &hsError{text: fmt.Sprintf("may not send %s", out.Type), final: true}
	case out.StateKey != nil && !mayWrite(d.user, *out.StateKey):
		return "", &hsError{text: "the state key belongs to somebody else", final: true}
	case h.faults.limited > 0:
		h.faults.limited--
		return "", &hsOutage{hsError{text: "too many requests"}, h.faults.limit}
	}
	if h.faults.cancels && out.StateKey != nil {
		h.drop(func(x *delayed) bool { return x.by.user == d.user && x.room == room && samePlace(x.out, out) })
	}
	return h.add(r, func(b *Events) matrixrtc.Event { return b.Of(d.user, out) }), nil
}

// Limit bounds how many events of a room the server tells one by one at once:
// of a room with more, it tells who is there in the end. Zero ends that.
func (h *Homeserver) Limit(events int) { h.fault(func(f *faults) { f.timeline = events }) }

// ForgetPositions has the server refuse to go on from any Position that it has
// given.
func (h *Homeserver) ForgetPositions() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch++
}

// hsPosition is a Position of Sync: how far each joined room has been told.
type hsPosition struct {
	Device matrixrtc.DeviceID       `json:"device"`
	Epoch  int                      `json:"epoch"` // of ForgetPositions
	At     map[matrixrtc.RoomID]int `json:"at"`
}

// resume finds out where a Sync goes on. Rooms that are not as they were at that
// place are told anew.
func (d *Device) resume(from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) map[matrixrtc.RoomID]int {
	var p hsPosition
	ok := json.Unmarshal([]byte(from), &p) == nil && p.Device == d.device && p.Epoch == d.h.epoch
	at := map[matrixrtc.RoomID]int{}
	for room := range have {
		at[room] = anew
		if n, known := p.At[room]; ok && known && n >= 0 {
			at[room] = n
		}
	}
	return at
}

// anew is the place of a room that the receiver has, though not as it was at any
// place that is known.
const anew = -1

// Sync yields what happens in the device's rooms.
func (d *Device) Sync(ctx context.Context, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		d.h.mu.Lock()
		at := d.resume(from, have) // joined rooms, and how far they have been told
		d.h.mu.Unlock()
		down := false
		for first := true; ctx.Err() == nil; {
			h := d.h
			h.mu.Lock()
			news, f := h.news, h.faults
			out := f.loggedOut[d.device]
			f.down = f.down || f.cut[d.device]
			var batches []matrixrtc.Batch
			var position []byte
			if !f.down && !out {
				batches = d.batches(at)
				position, _ = json.Marshal(hsPosition{d.device, h.epoch, at}) // strings and numbers
			}
			h.mu.Unlock()
			switch {
			case out:
				yield(matrixrtc.Batch{}, &hsError{text: "the device is logged out", final: true})
				return
			case f.down:
				if !down && !yield(matrixrtc.Batch{}, &hsOutage{*errDown, time.Second}) {
					return
				}
			case len(batches) > 0 || first || down:
				for _, b := range append(batches, matrixrtc.Batch{Position: string(position)}) {
					if !yield(b, nil) {
						return
					}
				}
				first = false
			}
			down = f.down
			select {
			case <-news:
			case <-ctx.Done():
			}
		}
	}
}

// batches is one answer to /sync.
func (d *Device) batches(at map[matrixrtc.RoomID]int) []matrixrtc.Batch {
	var list []matrixrtc.Batch
	var ids []matrixrtc.RoomID
	for id := range d.h.rooms {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	now := time.Now()
	for _, id := range ids {
		r := d.h.rooms[id]
		from, known := at[id]
		switch joined := r.joined(d.user); {
		case joined && (!known || from == anew || from > len(r.log)):
			b := r.complete(now)
			if known { // the receiver may hold what was redacted meanwhile
				b.Events = r.redactions(0, now)
			}
			list = append(list, b)
			at[id] = len(r.log)
		case !joined && known:
			from = min(max(from, 0), len(r.log))
			list = append(list, matrixrtc.Batch{Room: id, Left: true, Events: received(r.log[from:], now)})
			delete(at, id)
		case joined && from < len(r.log):
			b := matrixrtc.Batch{Room: id}
			most := d.h.faults.timeline
			switch {
			case r.rejoined(d.user, from): // what happened between is not ours to see
				b = r.complete(now)
			case most > 0 && len(r.log)-from > most:
				b = r.complete(now)
				b.Events = r.redactions(from, now)
			default:
				b.Events = received(r.log[from:], now)
			}
			list = append(list, b)
			at[id] = len(r.log)
		}
	}
	return list
}

// redactions lists those since a place.
func (r *hsRoom) redactions(from int, now time.Time) []matrixrtc.Event {
	return slices.DeleteFunc(received(r.log[from:], now), func(e matrixrtc.Event) bool {
		return e.Type != matrixrtc.TypeRoomRedaction
	})
}

// rejoined reports whether the user has left and joined since a place.
func (r *hsRoom) rejoined(user matrixrtc.UserID, from int) bool {
	return slices.ContainsFunc(r.log[from:], func(e matrixrtc.Event) bool {
		return e.Type == matrixrtc.TypeRoomMember && e.StateKey != nil && *e.StateKey == string(user) && membershipOf(e) == "join"
	})
}

// complete is a room as a first answer tells it.
func (r *hsRoom) complete(now time.Time) matrixrtc.Batch {
	b := matrixrtc.Batch{Room: r.id, Complete: true}
	for i, e := range r.log {
		switch {
		case e.StateKey != nil && r.state[hsKey{e.Type, *e.StateKey}] == i:
			b.State = append(b.State, e)
		case e.StateKey == nil && e.Sticky > 0 && now.Before(e.Origin.Add(e.Sticky)):
			b.Sticky = append(b.Sticky, e)
		}
	}
	b.State, b.Sticky = received(b.State, now), received(b.Sticky, now)
	return b
}

// received are events as a client gets them.
func received(events []matrixrtc.Event, now time.Time) []matrixrtc.Event {
	events = slices.Clone(events)
	for i := range events {
		e := &events[i]
		e.Received = now
		e.StickyTTL = -1
		if e.Sticky > 0 {
			e.StickyTTL = max(0, e.Origin.Add(e.Sticky).Sub(now))
		}
	}
	return events
}
