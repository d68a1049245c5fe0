package keeper_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// begin notes that a request is under way: one event, and one request about the
// switch, at a time. A leave does not wait for an arm or a restart.
func (w *world) begin(name tag) {
	k := name.kind
	w.asked = append(w.asked, w.now)
	if n := len(w.asked); n > 60 && w.now.Sub(w.asked[n-60]) < 10*sec {
		w.t.Fatalf("%v: 60 requests within 10 s\n%s", w.now.Sub(t0), w.story())
	}
	held := func(k kind) bool { return k == kArm || k == kRestart }
	for _, tag := range w.tags {
		if (held(tag.kind) || tag.kind == kFire) == (held(k) || k == kFire) && !(held(tag.kind) && k == kFire) {
			w.t.Fatalf("%v: %s while %s is under way\n%s", w.now.Sub(t0), k, tag.kind, w.story())
		}
	}
	if w.acked > 0 {
		w.t.Fatalf("%v: %s after the leave was confirmed\n%s", w.now.Sub(t0), k, w.story())
	}
	w.tags = append(w.tags, name)
}

// tag names a request.
type tag struct {
	kind kind
	id   int
}

// answer hands an answer to the Keeper, when its machine is awake.
func (w *world) answer(name tag, in keeper.Input, line string) {
	k := name.kind
	if w.asleep { // what slept through its answer finds its connection broken
		if k == kCancel || k == kRetire {
			return
		}
		w.waking = append(w.waking, func() { w.answer(name, keeper.Failed{ID: name.id, Err: errNet}, string(k)+": slept") })
		return
	}
	w.tags = slices.DeleteFunc(w.tags, func(t tag) bool { return t == name })
	w.say("%s", line)
	if _, bad := in.(keeper.Failed); !bad && (k == kLeave || k == kFire) {
		w.acked++
	}
	if in != nil {
		w.step(in)
	}
}

// put adds an event of ann's to the room, as servers do.
func (w *world) put(out matrixrtc.Outgoing) matrixrtc.EventID {
	w.build.At = w.now
	e := w.build.Of("@ann:one.example", out)
	if out.StateKey != nil {
		if string(out.Content) == string(w.content) {
			return w.current
		}
		w.content, w.current = out.Content, e.ID
	}
	w.add(e)
	return e.ID
}

func (w *world) add(e matrixrtc.Event) {
	e.Received = w.now
	if e.Sticky > 0 {
		e.StickyTTL = e.Sticky
	}
	w.changed(w.room.Apply(matrixrtc.Batch{Room: e.Room, Events: []matrixrtc.Event{e}}, w.now))
	w.bring(e)
}

// moderator writes ann's key, or redacts what she sent last.
func (w *world) moderator(redact bool) {
	w.build.At = w.now
	if redact {
		e := w.build.Message("@admin:one.example", matrixrtc.TypeRoomRedaction, map[string]any{})
		e.Redacts = w.k.Membership().Event
		w.content = nil
		w.add(e)
		return
	}
	out, _ := w.cfg.Dialect.Encode(w.k.Membership(), w.cfg.Version)
	w.content = nil
	w.delayed = nil // servers drop what others' state overwrites
	w.excused = w.now.Add(30 * sec)
	w.add(w.build.State("@admin:one.example", out.Type, *out.StateKey, map[string]any{}))
}

// other is another client of the same device that joins, or leaves.
func (w *world) other(joins bool) {
	m := *w.k.Membership()
	m.CreatedStated, m.Lifetime = false, 3*time.Hour+123*ms
	if m.Member != "" {
		m.Member, m.Key, m.Lifetime = "m2", "m2", time.Hour
		if w.cfg.Lifetime > 0 {
			m.Lifetime = w.cfg.Lifetime
		}
	}
	w.foreign = m.Member == ""
	out, _ := w.cfg.Dialect.Encode(&m, w.cfg.Version)
	if !joins {
		out = w.cfg.Dialect.Leave(&m, "", w.cfg.Version)
	}
	w.put(out)
}

func (w *world) slot(open bool) {
	w.build.At = w.now
	status := "closed"
	if open {
		status = "open"
	}
	w.add(w.build.State("@admin:one.example", matrixrtc.TypeSlot, string(matrixrtc.RoomCall),
		map[string]any{"status": status, "application": map[string]any{"type": matrixrtc.AppCall}}))
}

func (w *world) kick() {
	w.build.At = w.now
	w.add(w.build.Member("@admin:one.example", "@ann:one.example", "leave"))
	w.forbidden, w.kicked = true, true
	w.bring(matrixrtc.Event{})
}

func (w *world) fireDue() {
	i := slices.IndexFunc(w.delayed, func(d *scheduled) bool { return !d.at.After(w.now) })
	d := w.delayed[i]
	w.delayed = slices.Delete(w.delayed, i, i+1)
	w.say("the server sends %s", d.id)
	if w.forbidden {
		w.forgot, w.bereft = true, true
		return
	}
	w.put(d.out)
}

// changed tells of what others see now.
func (w *world) changed(changes []matrixrtc.Change) {
	for _, ch := range changes {
		switch ch := ch.(type) {
		case matrixrtc.MemberJoined:
			w.say("others: joined%s", whose(ch.Member))
		case matrixrtc.MemberLeft:
			w.say("others: left%s (%s)", whose(ch.Member), ch.Cause)
			w.leftAt = w.now
			if !w.leaving && w.state != keeper.Left && ch.Cause != matrixrtc.CauseReplaced {
				w.flaps++
			}
		}
	}
}

func whose(m matrixrtc.Member) string {
	if m.Membership.Member == "m2" {
		return " as m2"
	}
	return ""
}

// bring has sync tell the Keeper's machine of an event, as soon as it can; the zero
// Event: ann is not in the room any more.
func (w *world) bring(e matrixrtc.Event) {
	w.inbox = append(w.inbox, e)
	w.at(w.now.Add(w.latency), w.sync)
}

func (w *world) sync() {
	if w.asleep || w.cut || w.dead {
		return
	}
	for len(w.inbox) > 0 {
		e := w.inbox[0]
		w.inbox = w.inbox[1:]
		if e.ID == "" {
			w.step(keeper.Observed{Gone: matrixrtc.CauseLeftRoom})
			continue
		}
		if e.Sticky > 0 {
			e.StickyTTL = max(0, e.Origin.Add(e.Sticky).Sub(w.now))
		}
		e.Received = w.now.Add(w.clock)
		w.observe(w.own.Apply(matrixrtc.Batch{Room: e.Room, Events: []matrixrtc.Event{e}}, e.Received))
	}
}

// observe tells the Keeper what the room is by its own machine.
func (w *world) observe(changes []matrixrtc.Change) {
	for _, ch := range changes {
		switch ch := ch.(type) {
		case matrixrtc.MemberJoined:
			w.step(keeper.Observed{Membership: ch.Member.Membership, At: ch.At})
		case matrixrtc.MemberUpdated:
			w.step(keeper.Observed{Membership: ch.Member.Membership, At: ch.At})
		case matrixrtc.MemberLeft:
			w.step(keeper.Observed{Gone: ch.Cause})
		}
	}
	if !w.own.Admits(w.k.Membership()) {
		w.step(keeper.Observed{Gone: matrixrtc.CauseSlotClosed})
	}
}

// network takes the network away, or gives it back.
func (w *world) network(up bool) {
	w.cut = !up
	if up {
		w.at(w.now.Add(sec), func() {
			if !w.asleep && !w.cut {
				w.sync()
				w.step(keeper.Reachable{})
			}
		})
	}
}

// sleep has the Keeper's machine sleep.
func (w *world) sleep(d time.Duration) {
	w.asleep = true
	w.run(d)
	w.wakeUp()
}

func (w *world) wakeUp() {
	w.asleep = false
	for _, do := range w.waking {
		do()
	}
	w.waking = nil
	w.at(w.now.Add(2*sec), w.sync) // the sync takes a moment to notice
}

// crash ends the Keeper's machine.
func (w *world) crash() { w.dead = true }

// setClock sets the clock of the Keeper's machine.
func (w *world) setClock(d time.Duration) {
	w.say("clock set by %v", d)
	w.clock += d
	w.leapt += max(0, d)
	if d < 0 && !w.tick.IsZero() {
		w.leapt += max(0, w.tick.Sub(w.now)) // what the Keeper may take to have passed
	}
}

// counted is when others cease to count us as things are, zero: they do not.
func (w *world) counted() time.Time {
	s := w.room.Session(matrixrtc.RoomCall)
	if s == nil {
		return time.Time{}
	}
	m, is := s.Find(matrixrtc.MemberKey{User: "@ann:one.example", Device: "PHONE"})
	if !is || m.Membership.Member == "m2" {
		return time.Time{}
	}
	return m.Membership.Expires
}

// check is what must hold at every moment: if the Keeper ended now, others would
// cease to count us within the bound.
func (w *world) check() {
	end := w.counted()
	if end.IsZero() || w.bereft || w.foreign || w.now.Before(w.excused) || slices.ContainsFunc(w.delayed, func(d *scheduled) bool { return isLeave(d.out) }) {
		return
	}
	bound := time.Hour + 2*sec
	if w.cfg.Unswitched > 0 {
		bound = w.cfg.Unswitched + 2*sec
	}
	if rest := end.Sub(w.now); rest > bound+w.leapt {
		w.t.Fatalf("%v: a membership for %v with no switch behind it\n%s", w.now.Sub(t0), rest, w.story())
	}
}

// story is all that happened; what repeats itself is counted.
func (w *world) story() string {
	var out []string
	last, since, n := "", "", 0
	for _, l := range w.lines {
		text := fmt.Sprintf(l.format, l.args...)
		at := fmt.Sprintf("%-10v", l.at.Round(10*ms))
		if text == last && strings.HasPrefix(text, "restart") {
			n++
			out[len(out)-1] = fmt.Sprintf("%s %s ×%d", since, text, n)
			continue
		}
		last, n, since = text, 1, at
		out = append(out, at+" "+text)
	}
	return strings.Join(out, "\n") + "\n"
}
