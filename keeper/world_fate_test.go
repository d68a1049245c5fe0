package keeper_test

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// fate is what becomes of a request.
type fate int

const (
	ok          fate = iota
	refused          // no contact: it fails at once and never arrives
	hangs            // it never arrives and fails when its time is over
	answerLost       // it arrives at once, and fails when its time is over
	late             // it arrives at the last moment, and fails
	laggard          // it arrives 15 s after it was given up
	limited          // 429, to be tried again after 7 s
	limitedLong      // 429, to be tried again after a long time
	broken           // 500
	forgotten        // the server has lost the delayed event: 404
	denied           // 403
	unknown          // 404 of what stands before a server that is down, or does not know the request
	tooLong          // the delay is: 7 s is the most
	tooLongMute      // the delay is, and the server does not say by how much
	atOnce           // it sends what it should schedule
	fates_           // how many there are
)

func (f fate) String() string {
	return [...]string{"ok", "refused", "hangs", "answerLost", "late", "laggard", "limited", "limitedLong", "broken",
		"forgotten", "denied", "unknown", "tooLong", "tooLongMute", "atOnce"}[f]
}

// fits reports whether a request can have this fate.
func (f fate) fits(k kind) bool {
	switch f {
	case ok:
		return true
	case forgotten:
		return k == kRestart || k == kFire
	case denied:
		return k == kArm || k == kJoin || k == kRefresh || k == kLeave
	case unknown:
		return k == kArm || k == kRestart || k == kFire
	case tooLong, tooLongMute, atOnce:
		return k == kArm
	case refused, late:
		return true
	case laggard:
		return k != kRetire // or it would drop what was armed since
	}
	return k != kCancel && k != kRetire // of which nobody hears
}

// kind is what a request is for.
type kind string

const (
	kArm     kind = "arm"
	kRestart kind = "restart"
	kJoin    kind = "join"
	kRefresh kind = "refresh"
	kLeave   kind = "leave"
	kFire    kind = "fire"
	kCancel  kind = "cancel"
	kRetire  kind = "retire"
)

// target is a request that is to fail.
type target struct {
	kind kind
	nth  int
}

// request carries a request to the server and its answer back. delay is the
// delayed event that it is about, if it is about one.
func (w *world) request(k kind, id int, delay string, timeout time.Duration, serve func() (keeper.Input, string)) {
	w.counts[k]++
	f := ok
	if w.fate != nil {
		f = w.fate(k, w.counts[k])
	}
	if w.cut {
		f = refused
	}
	if !f.fits(k) {
		f = broken
	}
	name := tag{k, id}
	if k != kCancel && k != kRetire {
		w.begin(name)
	}
	if w.during != nil {
		w.during(target{k, w.counts[k]})
	}
	there, back := w.now.Add(w.latency), w.now.Add(2*w.latency)
	fail := func(at time.Time, in keeper.Failed) {
		in.ID = id
		if in.Err == nil {
			in.Err = errNet
		}
		w.at(at, func() { w.answer(name, in, string(k)+": "+f.String()) })
	}
	arrive := func(at time.Time) { w.at(at, func() { serve() }) }
	switch f {
	case refused:
		fail(back, keeper.Failed{})
	case hangs:
		fail(w.now.Add(timeout), keeper.Failed{})
	case answerLost:
		arrive(there)
		fail(w.now.Add(timeout), keeper.Failed{})
	case late:
		arrive(w.now.Add(timeout - 1))
		fail(w.now.Add(timeout), keeper.Failed{})
	case laggard:
		w.at(w.now.Add(timeout+15*sec), func() {
			if serve(); k == kJoin || k == kRefresh { // whatever has become of the switch, and of us
				w.forgot, w.bereft = w.forgot || w.state == keeper.Left, true
			}
		})
		fail(w.now.Add(timeout), keeper.Failed{})
	case limited:
		fail(back, keeper.Failed{RetryAfter: 7 * sec})
	case limitedLong:
		fail(back, keeper.Failed{RetryAfter: w.long})
	case broken:
		fail(back, keeper.Failed{Err: errors.New("internal error")})
	case denied:
		fail(back, keeper.Failed{Err: errDeny, Final: true})
	case unknown:
		if !slices.Contains(w.proven, delay) {
			w.mistaken = true
		}
		fail(back, keeper.Failed{Err: errors.New("unrecognised"), Final: true, Unsupported: true})
	case tooLong:
		fail(back, keeper.Failed{Final: true, TooLong: true, MaxDelay: 7 * sec})
	case tooLongMute:
		fail(back, keeper.Failed{Final: true, TooLong: true})
	default:
		w.at(there, func() {
			switch f {
			case forgotten:
				w.forget()
			case atOnce:
				w.mistaken, w.atOnce = true, true
			}
			in, note := serve()
			line := strings.TrimSpace(string(k) + " " + note)
			if bad, is := in.(keeper.Failed); is {
				line += ": " + bad.Err.Error()
			}
			w.at(back, func() {
				if _, done := in.(keeper.Done); done {
					w.proven = append(w.proven, delay)
				}
				w.answer(name, in, line)
			})
		})
	}
}

// forget has the server lose what it holds back.
func (w *world) forget() { w.delayed, w.forgot, w.bereft = nil, true, true }
