package archive

import (
	"cmp"
	"math"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// window is a span of time, both ends in it, in milliseconds.
type window struct{ lo, hi int64 }

type slotMark struct {
	room int64
	slot slotID
}

// Bounds of time.
const (
	firstTime = math.MinInt64
	lastTime  = math.MaxInt64
)

// mostMarks is up to how many windows of a room are folded one by one: beyond
// it the whole room is.
const mostMarks = 5000

// mark notes what a record at its place may change: the sessions around it, of
// the slots that it and its neighbours in the chain speak of. What a window
// leads to beyond its ends, the fold finds out.
func (t *tx) mark(room int64, s *stored) error {
	if whole, err := t.isWhole(room); whole || err != nil {
		return err
	}
	// The time of a room's first record decides how its beginning is understood.
	if _, found, err := t.below(room, s.ord); err != nil {
		return err
	} else if !found {
		return t.markWhole(room)
	}
	switch s.Kind {
	case matrixrtc.RecordMember, matrixrtc.RecordSticky:
		return t.markMember(room, s, window{s.Time, s.Time + s.Sticky}) // one that sticks may keep others from counting
	case matrixrtc.RecordPresence:
		return t.markPresence(room, s)
	case matrixrtc.RecordSlot:
		_, after, err := t.neighbours(s)
		if err != nil {
			return err
		}
		return t.markSlots(room, &s.Record, until(s, after))
	case matrixrtc.RecordNotification:
		return t.markRing(room, s)
	case matrixrtc.RecordRedaction, matrixrtc.RecordDecline:
		return t.markTarget(room, s)
	}
	return nil
}

// until is from a record to the next of its chain.
func until(s, after *stored) window {
	if after == nil {
		return window{s.Time, lastTime}
	}
	return window{min(s.Time, after.Time), max(s.Time, after.Time)}
}

// markMember marks a window in the slots of a record and its neighbours.
func (t *tx) markMember(room int64, s *stored, w window) error {
	before, after, err := t.neighbours(s)
	if err != nil {
		return err
	}
	skew := false
	if before != nil && before.Time > s.Time {
		skew, w.hi = true, max(w.hi, before.Time)
	}
	if after != nil && after.Time < s.Time {
		skew, w.lo = true, min(w.lo, after.Time)
	}
	if skew && !s.chain.skew {
		s.chain.skew = true
		if err := t.exec("UPDATE chains SET skew=1 WHERE id=?", s.chain.id); err != nil {
			return err
		}
	}
	for _, r := range []*stored{before, s, after} {
		if r == nil {
			continue
		}
		if err := t.markSlots(room, &r.Record, w); err != nil {
			return err
		}
	}
	return t.markRings(room, s)
}

// markRings marks what somebody announced while a membership counted: in how
// many sessions its sender is, may decide which one is meant.
func (t *tx) markRings(room int64, s *stored) error {
	user, err := t.user(s.Sender)
	if err != nil {
		return err
	}
	for _, typ := range notificationTypes {
		err := t.each(`SELECT ts FROM records WHERE chain=(SELECT id FROM chains WHERE room=? AND type=? AND key='' AND who=?)
			AND ts BETWEEN ? AND ?`, []any{room, typ, user, s.Time - nearby, untilOf(&s.Record) + nearby},
			func(scan func(...any) error) error {
				var ts int64
				if err := scan(&ts); err != nil {
					return err
				}
				return t.markUser(room, s.Sender, window{ts - nearby, ts + nearby})
			})
		if err != nil {
			return err
		}
	}
	return nil
}

var notificationTypes = [...]string{
	matrixrtc.TypeNotification, matrixrtc.TypeNotificationUnstable, matrixrtc.TypeNotify, matrixrtc.TypeNotifyUnstable,
}

// markTarget marks what a redaction or a decline is about, at its own time and
// at that of what it is about.
func (t *tx) markTarget(room int64, s *stored) error {
	target, err := t.find(room, s.Room, s.Target)
	if err != nil || target == nil {
		return err
	}
	switch target.Kind {
	case matrixrtc.RecordMember, matrixrtc.RecordSticky:
		for _, ts := range []int64{target.Time, s.Time} {
			if err := t.markMember(room, target, window{ts, ts + target.Sticky}); err != nil {
				return err
			}
		}
		return nil
	case matrixrtc.RecordNotification:
		return t.markRing(room, target)
	case matrixrtc.RecordSlot, matrixrtc.RecordPresence, matrixrtc.RecordDecline:
		return t.mark(room, target)
	}
	return nil
}

// markRing marks what a notification may announce: it is not always the session
// of the membership that it names.
func (t *tx) markRing(room int64, s *stored) error {
	w := window{s.Time - nearby, s.Time + nearby}
	if err := t.markSlots(room, &s.Record, w); err != nil {
		return err
	}
	return t.markUser(room, s.Sender, w)
}

// markUser marks all slots in which a user ever was.
func (t *tx) markUser(room int64, name matrixrtc.UserID, w window) error {
	user, err := t.user(name)
	if err != nil {
		return err
	}
	return t.each("SELECT DISTINCT seats.slot FROM seats JOIN slots ON slots.id=seats.slot WHERE user=? AND room=?",
		[]any{user, room}, func(scan func(...any) error) error {
			var slot slotID
			err := scan(&slot)
			t.markSlot(room, slot, w)
			return err
		})
}

// markPresence marks the slots in which a user ever was, from the time on at
// which it came or went.
func (t *tx) markPresence(room int64, s *stored) error {
	before, after, err := t.neighbours(s)
	if err != nil || before != nil && before.Joined == s.Joined && !before.Redacted {
		return err // a new name or picture
	}
	return t.markUser(room, matrixrtc.UserID(s.Key), until(s, after))
}

func (t *tx) markSlots(room int64, r *matrixrtc.Record, w window) error {
	for _, name := range slotsOf(r) {
		slot, err := t.slot(room, name)
		if err != nil {
			return err
		}
		t.markSlot(room, slot, w)
	}
	return nil
}

func (t *tx) markSlot(room int64, slot slotID, w window) {
	ref := slotMark{room, slot}
	if list := t.marks[ref]; len(list) > 0 && list[len(list)-1] == w {
		return
	}
	t.marks[ref] = append(t.marks[ref], w)
}

// neighbours are the records before and after one in its chain.
func (t *tx) neighbours(s *stored) (before, after *stored, err error) {
	if before, err = t.next(s, nextBelow); err != nil {
		return nil, nil, err
	}
	after, err = t.next(s, nextAbove)
	return before, after, err
}

func (t *tx) next(s *stored, query string) (found *stored, err error) {
	err = t.each(query, []any{s.chain.id, s.ord}, func(scan func(...any) error) error {
		found, err = t.scan(s.Room, scan)
		return err
	})
	return found, err
}

func (t *tx) isWhole(room int64) (whole bool, err error) {
	whole, known := t.whole[room]
	if !known {
		whole, err = t.one("SELECT 1 FROM dirty WHERE room=? AND slot=0", []any{room}, new(int))
		t.whole[room] = whole
	}
	return whole, err
}

// markWhole marks all of a room.
func (t *tx) markWhole(room int64) error {
	t.whole[room] = true
	for ref := range t.marks {
		if ref.room == room {
			delete(t.marks, ref)
		}
	}
	if err := t.exec("DELETE FROM dirty WHERE room=?", room); err != nil {
		return err
	}
	return t.exec("INSERT INTO dirty (room, slot, lo, hi, running) VALUES (?, 0, ?, ?, 0)", room, firstTime, lastTime)
}

// saveMarks writes the marks of a transaction.
func (t *tx) saveMarks() error {
	rooms := map[int64]bool{}
	for ref, list := range t.marks {
		rooms[ref.room] = true
		for _, w := range merge(list) {
			err := t.exec(`INSERT INTO dirty (room, slot, lo, hi, running) VALUES (?, ?, ?, ?, 0)
				ON CONFLICT DO UPDATE SET hi=max(hi, excluded.hi), running=0`, ref.room, ref.slot, w.lo, w.hi)
			if err != nil {
				return err
			}
		}
	}
	for room := range rooms {
		var n int
		if _, err := t.one("SELECT count(*) FROM dirty WHERE room=?", []any{room}, &n); err != nil {
			return err
		}
		if n > mostMarks {
			if err := t.markWhole(room); err != nil {
				return err
			}
		}
	}
	return nil
}

// merge sorts windows and joins those that touch.
func merge(list []window) []window {
	slices.SortFunc(list, func(a, b window) int { return cmp.Compare(a.lo, b.lo) })
	merged := list[:0]
	for _, w := range list {
		if n := len(merged); n > 0 && w.lo <= merged[n-1].hi {
			merged[n-1].hi = max(merged[n-1].hi, w.hi)
			continue
		}
		merged = append(merged, w)
	}
	return merged
}
