package client

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// skipped is what a reader who is behind is not told step by step. It holds what
// is needed to tell, once the reader has caught up, what has come of it all: no
// more than the room itself.
type skipped struct {
	from    time.Time
	changes int
	// told are the sessions as the reader was last told that they are.
	told []*matrixrtc.Session
	// left and ended say how it ended for those that are in told; focus and slots
	// what holds now of the others.
	left  map[memberRef]matrixrtc.MemberLeft
	ended map[matrixrtc.SessionKey]matrixrtc.SessionEnded
	focus map[matrixrtc.SessionKey]matrixrtc.FocusChanged
	slots map[matrixrtc.SessionKey]matrixrtc.Change
}

type memberRef struct {
	session matrixrtc.SessionKey
	member  matrixrtc.MemberKey
}

// skip begins to leave out steps that lead away from these sessions.
func skip(told []*matrixrtc.Session, now time.Time) *skipped {
	return &skipped{
		from: now, told: told,
		left: map[memberRef]matrixrtc.MemberLeft{}, ended: map[matrixrtc.SessionKey]matrixrtc.SessionEnded{},
		focus: map[matrixrtc.SessionKey]matrixrtc.FocusChanged{}, slots: map[matrixrtc.SessionKey]matrixrtc.Change{},
	}
}

// add leaves out one more step.
func (s *skipped) add(ch matrixrtc.Change) {
	s.changes++
	switch ch := ch.(type) {
	case matrixrtc.MemberLeft:
		ref := memberRef{ch.Session, ch.Member.MemberKey()}
		if _, known := s.left[ref]; known {
			return // how the stay ended that was told, not a later one
		}
		if _, known := sessionIn(s.told, ch.Session).Find(ref.member); known {
			s.left[ref] = ch
		}
	case matrixrtc.SessionEnded:
		delete(s.focus, ch.Session)
		if _, known := s.ended[ch.Session]; !known && sessionIn(s.told, ch.Session) != nil {
			s.ended[ch.Session] = ch
		}
	case matrixrtc.FocusChanged:
		if was, known := s.focus[ch.Session]; known {
			ch.From = was.From
		}
		s.focus[ch.Session] = ch
	case matrixrtc.SlotOpened:
		s.slots[ch.Session] = ch
	case matrixrtc.SlotClosed:
		s.slots[ch.Session] = ch
	}
}

// sessionIn finds a session in a list, nil if it is not there.
func sessionIn(list []*matrixrtc.Session, key matrixrtc.SessionKey) *matrixrtc.Session {
	i, found := slices.BinarySearchFunc(list, key, func(s *matrixrtc.Session, key matrixrtc.SessionKey) int {
		return cmp.Compare(s.Key.Slot, key.Slot)
	})
	if !found {
		return nil
	}
	return list[i]
}

// lead lists steps that lead from what was told to the sessions as they are now.
func (s *skipped) lead(now []*matrixrtc.Session, seen time.Time) (steps []matrixrtc.Change) {
	emit := func(ch matrixrtc.Change) { steps = append(steps, ch) }
	for _, was := range s.told {
		is := sessionIn(now, was.Key)
		if _, ended := s.ended[was.Key]; ended {
			is = nil // what is there now is another one
		}
		for m := range was.All() {
			left, gone := s.left[memberRef{was.Key, m.MemberKey()}]
			after, there := is.Find(m.MemberKey())
			switch {
			case gone:
				left.Member, left.Seen = m, seen
				emit(left)
			case !there: // it has left, and that was not a step of its own
				emit(matrixrtc.MemberLeft{Moment: matrixrtc.Moment{At: seen, Seen: seen}, Session: was.Key, Member: m, Cause: matrixrtc.CauseGone})
			case after.Event != m.Event:
				emit(matrixrtc.MemberUpdated{Moment: matrixrtc.Moment{At: after.Created, Seen: seen}, Session: was.Key, Member: after, Previous: m})
			}
		}
		if is == nil {
			ended := s.ended[was.Key]
			ended.Session, ended.Seen = was.Key, seen
			emit(ended)
		}
	}
	for _, is := range now {
		was := sessionIn(s.told, is.Key)
		if _, ended := s.ended[is.Key]; ended || was == nil {
			was = nil
			emit(matrixrtc.SessionStarted{Moment: matrixrtc.Moment{At: is.Since(), Seen: seen}, Session: is.Key, Application: is.Application})
		}
		for m := range is.All() {
			_, there := was.Find(m.MemberKey())
			if _, gone := s.left[memberRef{is.Key, m.MemberKey()}]; !there || gone {
				emit(matrixrtc.MemberJoined{Moment: matrixrtc.Moment{At: m.Since, Seen: seen}, Session: is.Key, Member: m})
			}
		}
		if focus, changed := s.focus[is.Key]; changed {
			emit(focus)
		}
	}
	slots := slices.SortedFunc(maps.Keys(s.slots), func(a, b matrixrtc.SessionKey) int { return cmp.Compare(a.Slot, b.Slot) })
	for _, key := range slots {
		emit(s.slots[key])
	}
	return steps
}

// caughtUp tells a reader who is not behind any more what has come of the steps
// that were left out.
func (r *Room) caughtUp() {
	s := r.skipped
	r.skipped = nil
	r.push(Skipped{Changes: s.changes})
	for _, ch := range s.lead(*r.sessions.Load(), time.Now()) {
		r.push(Changed{ch})
	}
	for _, i := range r.fold.Invalid() {
		if !i.Seen.Before(s.from) {
			r.push(Changed{i})
		}
	}
}
