package matrixrtc

import "github.com/matrixrtc-go/matrixrtc/internal/jsonscan"

// Bounds and defaults of notifications (MSC4075, newest text; R-HIST-10).
const (
	ringsFor    = 30_000
	maxRingsFor = 120_000
)

// readNotification reads m.rtc.notification and its older forms (MSC4075). It is
// false if the event is not valid.
func (f *fact) readNotification(content jsonscan.Value) (ok bool) {
	var app, callID jsonscan.Value
	f.ring, f.lifetime = nil, ringsFor
	read := func(v jsonscan.Value) {
		fields := v.Fields()
		for fields.Next() {
			v := fields.Value()
			switch string(fields.Key()) {
			case "notification_type", "notify_type":
				f.ring, _ = v.TextBytes()
			case "lifetime":
				if n, how := v.Int(); how != jsonscan.NotNumber && n > 0 {
					f.lifetime = min(n, maxRingsFor)
				}
			case "slot_id":
				f.slot, _ = v.TextBytes()
			case "call_id":
				callID = v
			case "application":
				app = v
			}
		}
	}
	fields := content.Fields()
	for fields.Next() {
		if string(fields.Key()) == "m.mentions" && fields.Value().Kind() != jsonscan.Object {
			return false
		}
	}
	read(content)
	top := app
	if app.Kind() == jsonscan.Object {
		read(app)
	}
	if application, ok := top.TextBytes(); ok && len(f.slot) == 0 {
		if name, ok := callID.TextBytes(); ok {
			f.slot = f.slotName(application, name)
		}
	}
	if f.target, ok = reference(content); !ok {
		return false
	}
	if len(f.ring) == 0 || string(f.ring) == "notify" {
		f.ring = ringDefault
	}
	f.slot = normalSlotText(f.slot)
	return true
}

var ringDefault = []byte("notification")

func normalSlotText(slot []byte) []byte {
	if string(slot) != string(RoomCall) && normalSlot(SlotID(slot)) == RoomCall {
		return roomCallText
	}
	return slot
}

// reference reads m.relates_to: the event that it refers to, nil if there is
// none. ok is false if the relation is of another kind.
func reference(content jsonscan.Value) (id []byte, ok bool) {
	fields := content.Fields()
	ok = true
	for fields.Next() {
		if string(fields.Key()) != "m.relates_to" {
			continue
		}
		if kind := textOf(fields.Value(), "rel_type"); kind != nil && string(kind) != "m.reference" {
			return nil, false
		}
		id, ok = textOf(fields.Value(), "event_id"), true
	}
	return id, ok
}
