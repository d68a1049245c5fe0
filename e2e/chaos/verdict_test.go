//go:build linux

package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// invariants are what is judged, in the order of the table.
var invariants = []string{"switch armed", "converges", "stable", "switch fires", "media continuous", "media back", "no ghost", "sent once"}

// verdict is what is found about one of them.
type verdict struct {
	invariant string
	ok        bool
	text      string
}

// judge speaks a verdict: err, or that it holds, in these words.
func (r *run) judge(invariant string, err error, format string, args ...any) {
	v := verdict{invariant, err == nil, fmt.Sprintf(format, args...)}
	if err != nil {
		v.text = err.Error()
	}
	r.verdicts = append(r.verdicts, v)
	mark := "holds"
	if !v.ok {
		mark = "FAILS"
	}
	r.log.add("VERDICT", "%s %s: %s", invariant, mark, v.text)
}

// checkArmed: when a participant has joined, its leave was scheduled before the
// first membership event was sent, and the homeserver has it in its list.
func (r *run) checkArmed(a *actor) {
	if r.scenario.wait < 0 {
		return
	}
	armed := ""
	var at time.Time
	for _, e := range a.asked() {
		switch p, delay := e.purpose(); {
		case p == arms && e.answered() && delay != "":
			armed, at = delay, e.at.Add(e.took)
		case p == states && armed == "":
			r.judge("switch armed", fmt.Errorf("%s sent its membership with nothing armed", a.name), "")
			return
		case p == states && e.at.Before(at):
			r.judge("switch armed", fmt.Errorf("%s sent its membership before the answer about its switch", a.name), "")
			return
		}
	}
	delays, err := r.stack.delayed(r.ctx, a.creds)
	if err == nil && !slices.ContainsFunc(delays, func(d delayedEvent) bool { return d.ID == armed }) {
		err = fmt.Errorf("%s has armed %s, and the list has %v", a.name, armed, delays)
	}
	r.judge("switch armed", err, "%s: %s", a.name, armed)
}

// checkCovered: whatever a participant stated of itself, it had a switch behind
// it, or got one promptly.
func (r *run) checkCovered() {
	var err error
	var worst time.Duration
	n := 0
	for _, name := range slices.Sorted(maps.Keys(r.actors)) {
		all := r.actors[name].asked()
		for _, e := range all {
			if p, _ := e.purpose(); p != states || !e.answered() {
				continue
			}
			n++
			bare, found := uncovered(e, all, r.scenario.delay())
			worst = max(worst, bare)
			if (!found || bare > promptly) && err == nil {
				err = fmt.Errorf("what %s stated at %s had no switch behind it", name, r.log.since(e.at))
			}
		}
	}
	r.judge("switch armed", err, "behind each of %d statements; the longest time without was %.1f s", n, worst.Seconds())
}

// uncovered is how long a statement stood until there was a switch behind it,
// nothing if there was one before; found is false if there never was.
func uncovered(e *exchange, all []*exchange, delay time.Duration) (bare time.Duration, found bool) {
	stated := e.at.Add(e.took)
	for _, x := range all {
		p, _ := x.purpose()
		if p != arms && p != restarts || !x.answered() {
			continue
		}
		at := x.at.Add(x.took).Sub(stated)
		switch {
		case at <= -delay:
		case at <= 0:
			return 0, true
		case !found || at < bare:
			bare, found = at, true
		}
	}
	return bare, found
}

// checkCalm: nobody has seen anybody else than those who are in, or everybody
// has seen those who must be.
func (r *run) checkCalm() error {
	want := r.steady
	wrong := func(seen []string) bool {
		return slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(seen, name) })
	}
	if want == nil {
		want = r.wanted()
		wrong = func(seen []string) bool { return !slices.Equal(seen, want) }
	}
	var err error
	now := time.Now()
	for _, w := range r.allWitnesses() {
		for _, s := range w.during(r.calm, now) {
			if wrong(s.members) && err == nil {
				err = fmt.Errorf("%s saw %s at %s (%s)", w.name, list(s.members), r.log.since(s.at), s.cause)
			}
		}
	}
	r.judge("stable", err, "%s for %.0f s", list(want), now.Sub(r.calm).Seconds())
	r.calm = time.Time{}
	return nil
}

// checkGone: a member that was killed or cut off is gone for all others in time.
func (r *run) checkGone(name string) {
	died := r.actors[name].died()
	bound := r.scenario.delay() + promptly
	present := func(w *witness) bool {
		return w.name != name && w.looks() && slices.Contains(w.now(), name)
	}
	err := r.poll(20*time.Millisecond, died, bound, name+", who is dead, is gone for all others", func() (bool, string) {
		var late []string
		for _, w := range r.allWitnesses() {
			if present(w) {
				late = append(late, w.name)
			}
		}
		return len(late) == 0, "still there for " + strings.Join(late, ", ")
	})
	r.judge("switch fires", err, "%s was gone for all others after %.1f s", name, time.Since(died).Seconds())
}

// hearing is that somebody hears alice, since then.
type hearing struct {
	who  string
	from time.Time
}

// hearsNow waits until alice's frames reach somebody.
func (r *run) hearsNow(name string, within time.Duration) error {
	a := r.actors[name]
	frames := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		if all := a.heard["alice"]; len(all) > 0 {
			return all[len(all)-1].frames
		}
		return 0
	}
	first := frames()
	return r.until(within, name+" hears alice", func() (bool, string) {
		n := frames() - first
		return n > 25, fmt.Sprintf("%d frames", n)
	})
}

// checkHearing: those who heard alice heard her all the time.
func (r *run) checkHearing() error {
	for _, h := range r.hearing {
		a := r.actors[h.who]
		var worst heard
		a.mu.Lock()
		all := a.heard["alice"]
		first, last := 0, 0
		for _, x := range all {
			if x.at.Before(h.from) {
				first = x.frames
				continue
			}
			if x.gap > worst.gap {
				worst = x
			}
			last = x.frames
		}
		a.mu.Unlock()
		var err error
		if worst.gap > silence || last == first {
			err = fmt.Errorf("%s heard nothing of alice for %v, until %s", h.who, worst.gap, r.log.since(worst.at))
		}
		r.judge("media continuous", err, "%s: %d frames, the longest gap %v", h.who, last-first, worst.gap)
	}
	r.hearing = nil
	return nil
}

// checkEnd: nobody is in any more and nothing is held back for anybody, when the
// last leave or the last delay is over.
func (r *run) checkEnd() {
	began := time.Now()
	err := r.until(r.scenario.delay()+promptly, "nobody is in", func() (bool, string) {
		return len(r.observer.now()) == 0, list(r.observer.now())
	})
	if err == nil {
		err = r.ask(r.scenario.delay()+promptly, "nothing is held back", func() (bool, string) {
			for _, a := range r.actors {
				if delays, err := r.stack.delayed(r.ctx, a.creds); err != nil || len(delays) > 0 {
					return false, fmt.Sprint(a.name, delays, err)
				}
			}
			return true, ""
		})
	}
	if err == nil {
		err = r.ask(promptly, "the room's state says so", func() (bool, string) {
			err := r.checkState()
			return err == nil, fmt.Sprint(err)
		})
	}
	r.judge("no ghost", err, "nobody in, nothing held back after %.1f s", time.Since(began).Seconds())
}

// checkState computes the room afresh, from its state alone.
func (r *run) checkState() error {
	b, err := r.owner.State(r.ctx, r.room)
	if err != nil {
		return err
	}
	room := matrixrtc.NewRoom(r.room, nil)
	now := time.Now()
	room.Apply(b, now)
	if left := membersOf(room.Sessions()); len(left) > 0 {
		return fmt.Errorf("somebody who comes now sees %s", list(left))
	}
	return nil
}

// checkTimeline: no membership event is there twice, but for the leave that was
// held back and sent by hand as well.
func (r *run) checkTimeline() {
	var all []matrixrtc.Event
	for from, more := "", true; more; more = from != "" {
		events, next, err := r.owner.History(r.ctx, r.room, from, 0)
		if err != nil {
			r.judge("sent once", err, "")
			return
		}
		all, from = append(all, events...), next
	}
	slices.Reverse(all)
	var err error
	count := 0
	last := map[string]matrixrtc.Event{}
	doubled := map[string]bool{}
	for _, e := range all {
		if !isMembership(&e) {
			continue
		}
		count++
		key := e.Type + " " + string(e.Sender) + " "
		if e.StateKey != nil {
			key += *e.StateKey
		} else {
			key += matrixrtc.StickyKey(e.Content)
		}
		states := statesMembership(&e)
		r.log.add("timeline", "%s %s by %s at %s: %s", e.ID, e.Type, nameOf(e.Sender), r.log.since(e.Origin), e.Content)
		if was, ok := last[key]; ok && err == nil && string(was.Content) == string(e.Content) {
			refreshed := e.StateKey == nil && e.Origin.Sub(was.Origin) > time.Second // sticky events begin anew
			if states && !refreshed || doubled[key] {
				err = fmt.Errorf("%s of %s is the same as the event before, %s", e.ID, nameOf(e.Sender), was.ID)
			}
			doubled[key] = true
		}
		if states {
			doubled[key] = false
		}
		last[key] = e
	}
	r.judge("sent once", err, "%d membership events", count)
}
