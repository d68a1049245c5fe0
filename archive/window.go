package archive

import (
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// windows folds what is marked, slot by slot, between moments at which the slot
// was idle.
func (f *folder) windows() error {
	marked := map[slotID][]window{}
	var order []slotID
	err := f.each("SELECT slot, lo, hi FROM dirty WHERE room=? ORDER BY slot, lo", []any{f.room}, func(scan func(...any) error) error {
		var slot slotID
		var w window
		err := scan(&slot, &w.lo, &w.hi)
		if len(marked[slot]) == 0 {
			order = append(order, slot)
		}
		marked[slot] = append(marked[slot], w)
		return err
	})
	if err != nil {
		return err
	}
	if err := f.exec("DELETE FROM dirty WHERE room=?", f.room); err != nil {
		return err
	}
	for _, slot := range order {
		done := window{lastTime, firstTime} // folded already
		for _, w := range marked[slot] {
			if w.lo > done.lo && (w.hi < done.hi || done.hi == lastTime) {
				continue
			}
			if done, err = f.window(slot, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// window folds a slot anew around a window, and returns the span between two
// idle moments, ends excluded, that has been folded.
func (f *folder) window(slot slotID, w window) (idle window, err error) {
	f.a.work.windows++
	until := w.hi
	for {
		if idle, err = f.idle(slot, &w); err != nil {
			return idle, err
		}
		g, err := f.involved(slot, idle, w, until)
		if err != nil {
			return idle, err
		}
		list, wider, end, err := f.sessions(g, w)
		if err != nil {
			return idle, err
		}
		if wider != w || end > until && g.to != lastTime {
			w, until = wider, max(end, until)
			continue
		}
		return idle, f.replace(slot, idle, list)
	}
}

// replace puts other sessions between two idle moments.
func (f *folder) replace(slot slotID, idle window, list []matrixrtc.PastSession) error {
	if err := f.exec("DELETE FROM sessions WHERE slot=? AND start>? AND start<?", slot, idle.lo, idle.hi); err != nil {
		return err
	}
	if len(list) > 0 { // a window before may have come to the same
		f.running = slices.DeleteFunc(f.running, func(s matrixrtc.PastSession) bool {
			start := s.Start.UnixMilli()
			return s.Key == list[0].Key && start > idle.lo && start < idle.hi
		})
	}
	return f.keep(list, nil)
}

// sessions folds records. It returns the sessions of the slot within the idle
// span and when the last of them ends, and a wider window if one of them belongs
// together with what is beyond.
func (f *folder) sessions(g *gathering, w window) (list []matrixrtc.PastSession, wider window, last int64, err error) {
	last = firstTime
	h := matrixrtc.NewHistory(&f.a.opts.History)
	var all []matrixrtc.PastSession
	for _, s := range g.found {
		over, err := f.feed(h, s)
		if err != nil {
			return nil, w, 0, err
		}
		all = append(all, over...)
	}
	all = append(all, h.Close(f.now)...)
	reach := f.a.reach()
	for i := range all {
		s := &all[i]
		start, end := s.Start.UnixMilli(), int64(lastTime)
		if !s.Ongoing() {
			end = s.End.UnixMilli()
		}
		if s.Key.Slot != g.slotName || end <= g.idle.lo || start >= g.idle.hi {
			continue
		}
		if g.idle.lo != firstTime && start <= g.idle.lo+reach {
			w.lo = min(w.lo, g.idle.lo)
		}
		if g.idle.hi != lastTime && end >= g.idle.hi-reach {
			w.hi = max(w.hi, g.idle.hi)
		}
		list, last = append(list, *s), max(last, end)
	}
	return list, w, last, nil
}

// idle widens a window to whole sessions, as they are now, and returns the end
// of the last one before and the start of the first one after.
func (f *folder) idle(slot slotID, w *window) (idle window, err error) {
	reach := f.a.reach()
	for idle = (window{firstTime, lastTime}); ; {
		was := *w
		var start, end int64
		found, err := f.one("SELECT start, end FROM sessions WHERE slot=? AND start<=? ORDER BY start DESC LIMIT 1",
			[]any{slot, w.lo}, &start, &end)
		if err != nil {
			return idle, err
		}
		if idle.lo = firstTime; found {
			if end >= w.lo-reach {
				w.lo, w.hi = min(w.lo, start), max(w.hi, end)
				if start == was.lo { // look at the one before
					w.lo--
				}
			} else {
				idle.lo = end
			}
		}
		far := w.hi
		if far < lastTime-reach {
			far += reach
		}
		found, err = f.one("SELECT start, end FROM sessions WHERE slot=? AND start>? AND start<=? ORDER BY start DESC LIMIT 1",
			[]any{slot, w.lo, far}, &start, &end)
		if err != nil {
			return idle, err
		}
		if found && end > w.hi {
			w.hi = end
		}
		if found && start > w.hi {
			w.hi = start
		}
		if *w != was {
			continue
		}
		if found, err = f.one("SELECT start FROM sessions WHERE slot=? AND start>? ORDER BY start LIMIT 1", []any{slot, far}, &idle.hi); !found {
			idle.hi = lastTime
		}
		return idle, err
	}
}
