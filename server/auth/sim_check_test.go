package auth

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// What must hold, whatever fails. Times are those of the store: a decision is made when
// it is stored there.
func (w *world) check() {
	for _, who := range w.people {
		w.checkSends(who)
		w.checkBack(who)
		w.checkCounts(who)
		w.checkCalm(who)
		w.checkPrompt(who)
		w.checkRecovered(who)
	}
	for _, e := range w.hs.events {
		w.checkExpired(e)
	}
	w.checkQuestions()
}

const (
	// soon is how long a report may take to the store when nothing fails.
	soon = 500 * time.Millisecond
	// recovering is how long after a fault the next try may come, with the end of
	// one that began during the fault.
	recovering = maxWait + storeTimeout + soon
)

// clear says whether all lines to the store and to others were whole, and all replicas
// there, in a time.
func (w *world) clear(from, to time.Time) bool {
	ok := w.hs.faults.clear(from, to) && w.sfu.ask.clear(from, to) && w.sfu.hook.clear(from, to)
	for _, r := range w.replicas {
		ok = ok && r.store.clear(from, to) && r.gone.clear(from, to)
	}
	return ok
}

// at is the connection that somebody has at a time.
func (s *simSFU) at(who string, when time.Time) *conn {
	for _, c := range s.all[who] {
		if !c.begin.After(when) && (c.end.IsZero() || c.end.After(when)) {
			return c
		}
	}
	return nil
}

// decided are the changes that have a leave sent, each with the one before.
func (w *world) decided(who string, yield func(before, now landing)) {
	var last landing
	for _, l := range w.history[who] {
		if !l.gone && l.job.State == leave.Leaving && l.job.Asked && last.job.ID == l.job.ID && !last.job.Asked {
			yield(last, l)
		}
		last = l
	}
}

// 1. A leave is not sent while its participant is connected, as far as the SFU could
// say so.
func (w *world) checkSends(who string) {
	w.decided(who, func(before, now landing) {
		w.checkGrace(who, now)
		c := w.sfu.at(who, now.asked)
		if c == nil {
			return
		}
		if before.job.State == leave.Connected && before.job.SID == c.sid {
			w.fail(now.asked, "%s of %s is sent, who is known to be there as %s", now.job.DelayID, who, c.sid)
		}
		for _, old := range w.sfu.all[who] {
			if old != c && old.elsewhere && old.sid == before.job.SID && !c.begin.After(old.end) {
				w.fail(now.asked, "%s of %s is sent, whose connection %s took the place of %s", now.job.DelayID, who, c.sid, old.sid)
			}
		}
		if c.joined == nil || c.joined.by.dead() {
			return
		}
		if len(w.sfu.queues) > 1 && !w.sfu.ask.clear(c.joined.at, now.asked) {
			return // what comes from another node may seem to be later
		}
		most := recovering
		for _, older := range w.sfu.all[who] {
			if older.left != nil && older.left.by == c.joined.by && older.sid == before.job.SID {
				most = soon // in its turn
			}
		}
		if now.asked.Sub(c.joined.at) > most && c.joined.by.by.store.clear(now.asked.Add(-most), now.asked) && w.stored(who, now.job.ID).Before(c.joined.at) {
			w.fail(now.asked, "%s of %s is sent, who was said to be there as %s at %v", now.job.DelayID, who, c.sid, c.joined.at.Sub(w.start))
		}
	})
}

// stored is when a delegation was stored.
func (w *world) stored(who, id string) time.Time {
	for _, l := range w.history[who] {
		if l.job.ID == id {
			return l.at
		}
	}
	return time.Time{}
}

// 1a. Nor is it sent while they connect anew, if that takes less than the time of grace.
func (w *world) checkGrace(who string, now landing) {
	conns := w.sfu.all[who]
	for i := range max(len(conns)-1, 0) {
		old, c := conns[i], conns[i+1]
		if !old.active || old.down || old.sid != now.job.SID || c.joined == nil || c.joined.at.Sub(old.end) > leaveGrace-soon/4 {
			continue
		}
		until := c.joined.at.Add(soon)
		if now.at.After(old.end) && now.at.Before(until) && w.clear(old.end.Add(-recovering), until) && w.stored(who, now.job.ID).Before(old.end) {
			w.fail(now.at, "%s of %s is sent, who connects anew from %v to %v", now.job.DelayID, who, old.end.Sub(w.start), c.joined.at.Sub(w.start))
		}
	}
}

// 1b. While the participants of an SFU that went down come back nobody is missed.
func (w *world) checkBack(who string) {
	w.decided(who, func(before, now landing) {
		from, until := before.job.Settling.Add(-leaveBack), before.job.Settling
		for _, c := range w.sfu.all[who] {
			if !c.down || !c.active || c.sid != before.job.SID {
				continue
			}
			if c.left != nil && !c.left.by.dead() && c.left.by.by.store.clear(c.left.at, now.at) {
				from, until = c.left.at.Add(soon), c.left.at.Add(leaveBack)
				if last, _ := w.at(who, c.left.at.Add(soon)); last.job.SID == "" && before.job.SID == c.sid {
					return // that it came was stored after that it went, while nobody could tell
				}
			}
			for _, g := range w.replicas[0].gone {
				if w.own && !c.end.Before(g.from) && !c.end.After(g.to) {
					from, until = g.to, g.to.Add(leaveBack)
				}
			}
		}
		if now.at.Before(from) || !now.at.Before(until) {
			return
		}
		for _, c := range w.sfu.all[who] {
			if !c.down && c.end.After(from.Add(-recovering)) && c.end.Before(now.at) {
				return // was back, and left again
			}
		}
		w.fail(now.at, "%s of %s is sent, who may still come back to the SFU until %v", now.job.DelayID, who, until.Sub(w.start))
	})
}

// 2. Who stays does not have their leave expire, if something could be done about it.
func (w *world) checkExpired(e *withheld) {
	if w.hs.moody && e.delay < 15*time.Second {
		return // the last twentieth of it is less than it takes to find what is due
	}
	from := e.at.Add(-e.delay)
	if e.over != "expired" || e.acked.IsZero() || from.Before(e.acked) {
		return
	}
	if !e.superseded.IsZero() && e.superseded.Before(e.at) || !e.withdrawn.IsZero() {
		return
	}
	c := w.sfu.at(e.who, from)
	if c == nil || c != w.sfu.at(e.who, e.at) {
		return
	}
	var last landing
	for _, l := range w.history[e.who] {
		if l.at.Before(e.at) {
			last = l
		}
	}
	known := e.at // by the service
	if last.job.Deadline.Before(known) {
		known = last.job.Deadline
	}
	within := e.delay / 20
	if w.hs.moody { // the last try may be refused
		within = e.delay / 2
	}
	if !w.clear(known.Add(-within-recovering), e.at) {
		return
	}
	if last.job.DelayID == e.id && last.job.State != leave.Leaving && !last.withdrawn {
		w.fail(e.at, "%s expires, and %s is connected: %+v", e.id, e.who, last.job)
	}
}

// checkGhosts says whose leave is kept back though the SFU could say that they are gone.
func (w *world) checkGhosts(quiet time.Time) {
	for _, who := range w.people {
		list := w.history[who]
		if len(list) == 0 || list[len(list)-1].gone {
			continue
		}
		j := list[len(list)-1].job
		if !w.sfu.missed[who] || w.rules.Check > 0 || j.Delay >= time.Minute {
			w.fail(quiet, "%s is gone, and %s is kept back: %+v", who, j.DelayID, j)
		}
	}
}

// 5. In the end nothing is looked after, and nothing is held back.
func (w *world) checkStore() {
	for _, r := range w.all() {
		w.fail(time.Now(), "%q is still stored: %s", r.Key, r.Data)
	}
	for _, e := range w.hs.events {
		if e.over == "" {
			w.fail(time.Now(), "%s is still held", e.id)
		}
	}
}

// 4. What is over is counted, and once if the store does not fail.
func (w *world) checkCounts(who string) {
	counted := map[string]bool{}
	for i, l := range w.history[who] {
		if i > 0 && w.history[who][i-1].job.ID != l.job.ID { // it was replaced as it ended
			counted[w.history[who][i-1].job.ID] = true
		}
		if !l.gone || l.withdrawn {
			continue
		}
		n := len(w.seen[l.job.ID])
		for _, why := range w.seen[l.job.ID] {
			if e := w.hs.events[l.job.DelayID]; (why == leave.Sent || why == leave.Lost) && (e.over == "" || e.at.After(l.at)) {
				w.fail(l.at, "%s is %s, and held by the homeserver", l.job.DelayID, why)
			}
		}
		counted[l.job.ID] = true
		known := w.settled(l.at, recovering).Add(recovering) // to whom did it
		if n == 0 && !l.by.dead() && known.Before(l.by.ended) {
			w.fail(l.at, "%s is over, and not counted", l.job.DelayID)
		}
		whole := !w.lossy
		for _, r := range w.replicas {
			whole = whole && len(r.store) == 0
		}
		if n > 1 && whole {
			w.fail(l.at, "%s is counted %d times", l.job.DelayID, n)
		}
	}
	for _, l := range w.history[who] {
		if len(w.seen[l.job.ID]) > 0 && !counted[l.job.ID] {
			w.fail(l.at, "%s is counted, and was not over", l.job.DelayID)
			counted[l.job.ID] = true
		}
	}
}

// 4 and 6. Nothing is asked about a leave that is known to be over, or that a newer one
// has taken the place of, but for what is under way.
func (w *world) checkQuestions() {
	most := soon // for what is under way
	if !w.calm {
		most += storeTimeout
	}
	sent := map[string]time.Time{}
	for _, q := range w.hs.asked {
		if at, ok := sent[q.id]; ok && q.action == leave.Restart && q.at.Sub(at) > most {
			w.fail(q.at, "%s asks for a restart of %s, which was to be sent at %v", q.by, q.delay, at.Sub(w.start))
		}
		if q.action == leave.Send {
			sent[q.id] = q.at
		}
		e := w.hs.events[q.delay]
		if !e.withdrawn.IsZero() && q.at.Sub(e.withdrawn) > most {
			w.fail(q.at, "%s asks for %s %s, which was withdrawn at %v", q.by, q.action, q.delay, e.withdrawn.Sub(w.start))
		}
		list := w.history[e.who]
		for i, l := range list {
			other := l.gone && l.job.DelayID == q.delay || !l.gone && l.job.DelayID != q.delay && i > 0 && list[i-1].job.DelayID == q.delay
			if other && q.at.Sub(l.at) > most {
				again := false
				for _, m := range list[i:] {
					again = again || !m.gone && m.job.DelayID == q.delay && m.at.Before(q.at)
				}
				if !again {
					w.fail(q.at, "%s asks for %s %s, which was over or replaced at %v", q.by, q.action, q.delay, l.at.Sub(w.start))
				}
			}
		}
	}
}
