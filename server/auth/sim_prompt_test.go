package auth

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// 3. Without faults a leave is sent within the time of grace and a little.
func (w *world) checkCalm(who string) {
	if !w.calm {
		return
	}
	conns := w.sfu.all[who]
	for i, c := range conns {
		const most = leaveGrace + 2*time.Second
		if !c.active || c.elsewhere || i+1 < len(conns) && conns[i+1].begin.Sub(c.end) < leaveGrace+soon {
			continue
		}
		for _, e := range w.hs.events {
			mine := e.who == who && !e.acked.IsZero() && e.acked.Before(c.end.Add(-soon)) && e.withdrawn.IsZero()
			if !mine || !e.superseded.IsZero() && e.superseded.Before(c.end.Add(leaveGrace+soon)) {
				continue
			}
			if e.over == "" || e.at.After(c.end.Add(most)) {
				w.fail(c.end, "%s has left, and %s is over (%q) after %v", who, e.id, e.over, e.at.Sub(c.end))
			}
		}
	}
}

// at is what was stored of somebody at a time; ok is false if nothing was.
func (w *world) at(who string, when time.Time) (l landing, ok bool) {
	for _, next := range w.history[who] {
		if next.at.After(when) {
			break
		}
		l = next
	}
	return l, !l.at.IsZero() && !l.gone
}

// away says whether somebody has no connection in a time.
func (s *simSFU) away(who string, from, to time.Time) bool {
	for _, c := range s.all[who] {
		if c.begin.Before(to) && (c.end.IsZero() || c.end.After(from)) {
			return false
		}
	}
	return true
}

// settled is when all lines have been whole for a time that began at or after another.
func (w *world) settled(at time.Time, d time.Duration) time.Time {
	all := [][]stretch{w.hs.faults, w.sfu.ask, w.sfu.hook, w.sfu.gone}
	for _, r := range w.replicas {
		all = append(all, r.store, r.gone)
	}
	for again := true; again; {
		again = false
		for _, list := range all {
			for _, f := range list {
				if f.from.Before(at.Add(d)) && at.Before(f.to) {
					at, again = f.to, true
				}
			}
		}
	}
	return at
}

// prompt is how long a leave takes to be sent when the faults are over.
const prompt = leaveGrace + recovering + 2*time.Second

// 3. With a homeserver that answers, a leave is sent soon after the SFU has said that
// somebody has left, and the faults are over.
func (w *world) checkPrompt(who string) {
	if len(w.hs.faults) > 0 || w.hs.moody {
		return
	}
	for _, c := range w.sfu.all[who] {
		if !c.active || c.elsewhere || c.down || c.left == nil || c.left.by.dead() {
			continue
		}
		l, ok := w.at(who, c.left.at)
		most := prompt
		for _, r := range w.replicas {
			if len(r.gone) > 0 {
				most = prompt + leave.Lease // it may have been killed as it asked
			}
		}
		limit := w.settled(c.left.at, most).Add(most)
		if !ok || l.job.State != leave.Connected || l.job.SID != c.sid || !w.sfu.away(who, c.end, limit) {
			continue
		}
		e := w.hs.events[l.job.DelayID]
		if now, ok := w.at(who, limit); e.withdrawn.IsZero() && ok && now.job.ID == l.job.ID && (e.over == "" || e.at.After(limit)) {
			w.fail(c.left.at, "%s has left, and %s is not over at %v", who, e.id, limit.Sub(w.start))
		}
	}
}

// 3a. Whoever was missed while a replica was not there is missed soon after it has
// started; those of an SFU that started with it may take some time to come back.
func (w *world) checkRecovered(who string) {
	if len(w.hs.faults) > 0 || w.hs.moody {
		return
	}
	for _, r := range w.replicas {
		for _, g := range r.gone {
			most := prompt + leave.Lease // if the SFU cannot be asked at once
			if w.own || len(w.sfu.gone) > 0 {
				most += leaveBack
			}
			limit := w.settled(g.to, most).Add(most)
			l, ok := w.at(who, g.to)
			if !ok || l.job.State != leave.Connected || !w.sfu.away(who, g.to.Add(-time.Second), limit) {
				continue
			}
			e := w.hs.events[l.job.DelayID]
			if now, ok := w.at(who, limit); ok && now.job.ID == l.job.ID && (e.over == "" || e.at.After(limit)) {
				w.fail(g.to, "%s is gone, a replica has started, and %s is not over at %v", who, e.id, limit.Sub(w.start))
			}
		}
	}
}
