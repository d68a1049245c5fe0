package keeper_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// world is a Keeper, a homeserver and one that looks on, in simulated time.
type world struct {
	t       testing.TB
	cfg     keeper.Config
	k       *keeper.Keeper
	now     time.Time     // the true time, which is the server's
	clock   time.Duration // how far the Keeper's clock is ahead of it
	latency time.Duration
	long    time.Duration // what limitedLong asks to wait
	fate    func(k kind, nth int) fate
	during  func(target) // called when a request sets out

	// The homeserver.
	build     rtctest.Events
	noDelays  bool // it has no delayed events
	misrouted bool // it has, but cannot restart them
	cancels   bool // it cancels delayed events of a user who writes the key itself
	atOnce    bool // it sends what it should schedule
	listless  bool // it does not list what it holds back, so nothing is retired
	longest   time.Duration
	tardy     time.Duration // how late it sends what it has held back
	forbidden bool
	delayed   []*scheduled
	delays    int
	proven    []string // the delayed events of which the Keeper knows that it has restarted them

	room  *matrixrtc.Room   // as others compute it
	own   *matrixrtc.Room   // as the Keeper's machine does
	inbox []matrixrtc.Event // what sync has yet to bring it

	// The Keeper's machine.
	asleep, cut, dead bool
	tick, wake        time.Time // by true time, zero: none; by the Keeper's clock
	tags              []tag     // the requests under way, of the two lanes
	asked             []time.Time
	counts            map[kind]int
	acked             int // leaves that the server has confirmed
	left              error
	state             keeper.State

	waking          []func()  // what happens when it wakes
	forgot, foreign bool      // the server lost a delayed event; the key was another client's
	bereft          bool      // it did, and the Keeper could not make up for it yet
	mistaken        bool      // the Keeper may think that the server has no delayed events
	leftAt          time.Time // when others have seen us leave last
	flaps           int       // how often others have seen us leave though we did not want to
	excused         time.Time // until then the server may have dropped it because of others
	kicked, leaving bool
	leapt           time.Duration // how far the clock has jumped ahead, in all

	content []byte // of ann's state key
	current matrixrtc.EventID

	queue []moment
	seq   int
	lines []line
	until time.Time // the end of the run
}

type scheduled struct {
	id    string
	out   matrixrtc.Outgoing
	after time.Duration
	at    time.Time
}

type line struct {
	at     time.Duration
	format string
	args   []any
}

type moment struct {
	at  time.Time
	seq int
	do  func()
}

func newWorld(t testing.TB, d matrixrtc.Dialect, edit func(*keeper.Config)) *world {
	t.Helper()
	m := ann("")
	if d == matrixrtc.Sticky || d == matrixrtc.Slot {
		m.Member, m.LiteralSlot, m.Active, m.CanSubscribe = "m1", matrixrtc.RoomCall, matrixrtc.Transport{}, []string{}
	}
	w := &world{
		t: t, cfg: keeper.Config{Dialect: d, Version: "11", Membership: m}, now: t0, latency: 50 * ms, long: h,
		counts: map[kind]int{}, state: keeper.Idle, until: t0,
		room: matrixrtc.NewRoom(m.Room, nil), own: matrixrtc.NewRoom(m.Room, nil),
	}
	w.build.Room = m.Room
	if edit != nil {
		edit(&w.cfg)
	}
	var err error
	if w.k, err = keeper.New(w.cfg); err != nil {
		t.Fatal(err)
	}
	w.build.At = t0
	begin := matrixrtc.Batch{Room: m.Room, Complete: true, State: []matrixrtc.Event{
		w.build.Create("@admin:one.example", "11"), w.build.Member("@ann:one.example", "@ann:one.example", "join"),
		w.build.Member("@admin:one.example", "@admin:one.example", "join"),
	}}
	w.room.Apply(begin, t0)
	w.own.Apply(begin, t0)
	return w
}

func (w *world) say(format string, args ...any) {
	w.lines = append(w.lines, line{w.now.Sub(t0), format, args}) // most are never read
}

func (w *world) at(at time.Time, do func()) {
	w.seq++
	w.queue = append(w.queue, moment{at, w.seq, do})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	w.until = w.until.Add(d)
	for {
		next, best := w.until.Add(1), -1
		for i, m := range w.queue {
			if m.at.Before(next) || best >= 0 && m.at.Equal(next) && m.seq < w.queue[best].seq {
				next, best = m.at, i
			}
		}
		what := "moment"
		consider := func(at time.Time, name string) {
			if !at.IsZero() && at.Before(next) {
				next, what = at, name
			}
		}
		if at, some := w.room.NextExpiry(); some {
			consider(at, "expiry")
		}
		for _, d := range w.delayed {
			consider(d.at, "delayed")
		}
		if !w.asleep && !w.dead {
			if at, some := w.own.NextExpiry(); some {
				consider(at.Add(-w.clock), "own expiry")
			}
			consider(w.tick, "tick")
		}
		if next.After(w.until) {
			w.now = w.until
			return
		}
		if next.After(w.now) {
			w.now = next
		}
		switch what {
		case "moment":
			m := w.queue[best]
			w.queue = slices.Delete(w.queue, best, best+1)
			m.do()
		case "expiry":
			w.changed(w.room.Advance(w.now))
		case "own expiry":
			w.observe(w.own.Advance(w.now.Add(w.clock)))
		case "delayed":
			w.fireDue()
		case "tick":
			w.tick = time.Time{}
			w.step(keeper.Tick{Wake: w.wake})
		}
		w.check()
	}
}

// step gives the Keeper an input and does what it asks for.
func (w *world) step(in keeper.Input) {
	if w.dead {
		return
	}
	if _, leave := in.(keeper.Leave); leave {
		w.leaving = true
	}
	clock := w.now.Add(w.clock)
	for _, e := range w.k.Step(in, clock) {
		if _, wake := e.(keeper.Wake); w.state == keeper.Left && !wake {
			w.t.Fatalf("%v: %T after the end\n%s", w.now.Sub(t0), e, w.story())
		}
		switch e := e.(type) {
		case keeper.Wake:
			w.tick, w.wake = time.Time{}, e.At
			if !e.At.IsZero() {
				w.tick = w.now.Add(max(0, e.At.Sub(clock)))
			}
		case keeper.StateChanged:
			w.told(e)
		case keeper.Refreshed:
			w.say("refreshed")
		case keeper.Cancel:
			w.request(kCancel, 0, e.Delay, e.Timeout, func() (keeper.Input, string) {
				if i := w.find(e.Delay); i >= 0 {
					w.delayed = slices.Delete(w.delayed, i, i+1)
				}
				return nil, e.Delay
			})
		case keeper.Retire:
			w.request(kRetire, 0, "", e.Timeout, func() (keeper.Input, string) {
				if !w.listless {
					if id, _ := w.k.Switch(); id != e.Keep && w.find(id) >= 0 {
						w.forget() // armed since, and a late request drops it
					}
					w.delayed = slices.DeleteFunc(w.delayed, func(d *scheduled) bool { return d.id != e.Keep })
				}
				return nil, "all but " + e.Keep
			})
		default:
			w.perform(e)
		}
	}
	if w.state != keeper.Idle && w.state != keeper.Left && len(w.tags) == 0 && w.tick.IsZero() {
		w.t.Fatalf("%v: %s, and waits for nothing\n%s", w.now.Sub(t0), w.state, w.story())
	}
}

func (w *world) told(e keeper.StateChanged) {
	w.state, w.left = e.State, e.Err
	s := "own " + string(e.State)
	if !e.Since.IsZero() {
		s += fmt.Sprintf(" since %v", e.Since.Sub(t0.Add(w.clock)).Round(10*ms))
	}
	if !e.Until.IsZero() {
		s += fmt.Sprintf(" until %v", e.Until.Sub(t0.Add(w.clock)).Round(10*ms))
	}
	if e.After != 0 {
		s += fmt.Sprintf(" after %v", e.After.Round(10*ms))
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	w.say("%s", s)
}

// perform carries out what is answered.
func (w *world) perform(e keeper.Effect) {
	switch e := e.(type) {
	case keeper.Send:
		k := kJoin
		switch {
		case isLeave(e.Event):
			k = kLeave
		case w.state != keeper.Joining && w.state != keeper.Lost:
			k = kRefresh
		}
		id, _ := w.k.Switch()
		w.request(k, e.ID, "", e.Timeout, func() (keeper.Input, string) {
			if w.forbidden {
				return keeper.Failed{ID: e.ID, Err: errDeny, Final: true}, ""
			}
			if w.cancels {
				w.delayed = nil
			}
			w.bereft = w.bereft && (id != "" || k == kLeave)
			return keeper.Sent{ID: e.ID, Event: w.put(e.Event)}, ""
		})
	case keeper.Arm:
		w.request(kArm, e.ID, "", e.Timeout, func() (keeper.Input, string) { return w.arm(e) })
	case keeper.Restart:
		w.request(kRestart, e.ID, e.Delay, e.Timeout, func() (keeper.Input, string) {
			i := w.find(e.Delay)
			switch {
			case w.misrouted:
				return keeper.Failed{ID: e.ID, Err: errors.New("unrecognised"), Unsupported: true}, e.Delay
			case i < 0:
				return keeper.Failed{ID: e.ID, Err: errors.New("not found"), Gone: true}, e.Delay
			}
			w.delayed[i].at = w.now.Add(w.delayed[i].after + w.tardy)
			return keeper.Done{ID: e.ID}, e.Delay
		})
	case keeper.Fire:
		w.request(kFire, e.ID, e.Delay, e.Timeout, func() (keeper.Input, string) {
			i := w.find(e.Delay)
			if i < 0 {
				return keeper.Failed{ID: e.ID, Err: errors.New("not found"), Gone: true}, e.Delay
			}
			d := w.delayed[i]
			w.delayed = slices.Delete(w.delayed, i, i+1)
			w.put(d.out)
			return keeper.Done{ID: e.ID}, e.Delay
		})
	default:
		w.t.Fatalf("effect %T", e)
	}
}

func (w *world) arm(e keeper.Arm) (keeper.Input, string) {
	switch {
	case w.noDelays:
		return keeper.Failed{ID: e.ID, Err: errors.New("unsupported"), Unsupported: true, Final: true}, ""
	case w.atOnce:
		w.put(e.Event)
		return keeper.Failed{ID: e.ID, Err: errors.New("sent at once"), AtOnce: true, Final: true}, ""
	case w.longest > 0 && e.After > w.longest:
		return keeper.Failed{ID: e.ID, Err: errors.New("too long"), Final: true, TooLong: true, MaxDelay: w.longest}, ""
	}
	w.delays++
	id := fmt.Sprintf("d%d", w.delays)
	w.delayed = append(w.delayed, &scheduled{id, e.Event, e.After, w.now.Add(e.After + w.tardy)})
	w.bereft = false
	return keeper.Armed{ID: e.ID, Delay: id}, fmt.Sprintf("%s for %v", id, e.After)
}

func isLeave(out matrixrtc.Outgoing) bool {
	return string(out.Content) == "{}" || !strings.Contains(string(out.Content), "application")
}

func (w *world) find(id string) int {
	return slices.IndexFunc(w.delayed, func(d *scheduled) bool { return d.id == id })
}
