package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// conn is a connection of a participant.
type conn struct {
	who, sid   string
	begin, end time.Time // of the SFU's knowledge; end is zero while it lasts
	node       int       // of the SFU, that it is on
	active     bool      // the SFU has said that it is there
	elsewhere  bool      // it ended because there is another one
	down       bool      // it ended because the SFU goes down
	joined     *told     // when that was told; nil: not
	left       *told
}

// told is when, and by whom, a report of the SFU was taken.
type told struct {
	at time.Time
	by *port
}

// said is what the SFU says.
type said struct {
	run  int // of the SFU
	id   string
	conn *conn
	at   time.Time
	in   leave.Input
}

// simSFU is an SFU with one room. Each of its nodes says for itself what happens.
type simSFU struct {
	w      *world
	ask    weather // of questions
	hook   weather // of reports
	up     bool
	run    int     // how often it has crashed
	gone   weather // when it was not there
	n      int
	there  map[string]*conn
	all    map[string][]*conn // by participant
	queues []chan said        // of its nodes
	missed map[string]bool    // participants of whom a report got lost
}

// errDown: a client cannot connect.
var errDown = errors.New("the SFU is down")

// Participant is what a replica asks.
func (p *port) Participant(ctx context.Context, _, identity string) (string, bool, error) {
	type answer struct {
		sid   string
		there bool
	}
	s := p.w.sfu
	a, err := carry(ctx, p, "look "+identity, s.ask.at(time.Now()), 10*time.Second, func() (answer, error) {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		if !s.up {
			return answer{}, errDown
		}
		c, ok := s.there[identity]
		p.w.note("%s: %s looks: %v", identity, p.name(), ok)
		if !ok {
			return answer{}, nil
		}
		return answer{c.sid, true}, nil
	})
	return a.sid, a.there, err
}

// connect begins a connection, which takes the place of an older one. What it lacks to
// be active takes a moment.
func (s *simSFU) connect(who string, active bool) (*conn, error) {
	w := s.w
	w.mu.Lock()
	if !s.up {
		w.mu.Unlock()
		return nil, errDown
	}
	s.n++
	c := &conn{who: who, sid: fmt.Sprint("S", s.n), begin: time.Now(), node: s.n % len(s.queues)}
	if old := s.there[who]; old != nil {
		s.drop(old, leave.Left{SID: old.sid, Elsewhere: true})
	}
	s.there[who] = c
	s.all[who] = append(s.all[who], c)
	w.note("%s connects as %s", who, c.sid)
	w.mu.Unlock()
	dice := w.dice("handshake " + who)
	time.Sleep(between(dice, 20*time.Millisecond, []time.Duration{300 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second}[dice.IntN(3)]))
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.there[who] != c {
		return nil, errDown
	}
	if !active {
		s.drop(c, leave.Aborted{SID: c.sid})
		return nil, errDown
	}
	c.active = true
	s.say(c, leave.Joined{SID: c.sid})
	return c, nil
}

// drop ends a connection; nil says nothing of it. It is called with the lock.
func (s *simSFU) drop(c *conn, in leave.Input) {
	if c == nil || !c.end.IsZero() {
		return
	}
	if s.there[c.who] == c {
		delete(s.there, c.who)
	}
	c.end = time.Now()
	left, _ := in.(leave.Left)
	c.elsewhere, c.down = left.Elsewhere, left.Down || in == nil
	if _, aborted := in.(leave.Aborted); !aborted && !c.active && in != nil {
		in = leave.Aborted{SID: c.sid}
	}
	s.w.note("%s: the SFU ends %s: %+v", c.who, c.sid, in)
	if in == nil {
		s.missed[c.who] = true
		return
	}
	s.say(c, in)
}

// say is called with the lock.
func (s *simSFU) say(c *conn, in leave.Input) {
	s.n++
	s.queues[c.node] <- said{s.run, fmt.Sprint("R", s.n), c, time.Now(), in}
}

// down ends the SFU and all connections. An SFU that crashes says nothing, and what it
// has not said yet is lost.
func (s *simSFU) down(crash bool) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.up = false; crash {
		s.run++
	}
	s.w.note("the SFU goes down, crash: %v", crash)
	for _, queue := range s.queues {
		for crash && len(queue) > 0 {
			r := <-queue
			s.missed[r.conn.who] = true
		}
	}
	for _, who := range s.w.people {
		c := s.there[who]
		switch {
		case c == nil:
		case crash:
			s.drop(c, nil)
		default:
			s.drop(c, leave.Left{SID: c.sid, Down: true})
		}
	}
}

// tell reports in order, as LiveKit does for a room: it tries each report five times
// over 15 s, drops those that are 30 s old before their turn, and takes a report for told
// when a replica says so.
func (s *simSFU) tell(ctx context.Context, queue chan said) {
	for {
		var r said
		select {
		case <-ctx.Done():
			return
		case r = <-queue:
		}
		ok := false
		for try := 0; !ok && try < 5 && (try > 0 || time.Since(r.at) < 30*time.Second); try++ {
			if try > 0 && !pause(ctx, time.Second<<(try-1)) {
				return
			}
			dead := false
			if s.w.locked(func() { dead = r.run != s.run }); dead {
				break
			}
			ok = s.post(r)
		}
		if !ok {
			s.w.locked(func() {
				s.missed[r.conn.who] = true
				s.w.note("%s: report %s of %s is lost", r.conn.who, r.id, r.conn.sid)
			})
		}
	}
}

// post brings a report to any of the replicas, which does what serveWebhook does.
func (s *simSFU) post(r said) bool {
	dice := s.w.dice("post")
	to := s.w.replicas[dice.IntN(len(s.w.replicas))]
	time.Sleep(between(dice, 100*time.Microsecond, 2*time.Millisecond))
	how := s.hook.at(time.Now())
	if how == flaky {
		how = []fault{fine, fine, refused, deaf, slow}[dice.IntN(5)]
	}
	if how == slow {
		time.Sleep(upTo(dice, 4*time.Second))
	}
	run := to.running()
	if run == nil || how == refused {
		return false
	}
	answered := make(chan struct{})
	s.w.going.Go(func() {
		defer close(answered)
		if !run.reports.first(r.id) {
			return
		}
		s.w.locked(func() {
			t := &told{time.Now(), run.port}
			if _, is := r.in.(leave.Joined); is {
				r.conn.joined = t
			} else {
				r.conn.left = t
			}
			s.w.note("%s: %s is told: %T%+v", r.conn.who, run.name(), r.in, r.in)
		})
		ctx, cancel := context.WithTimeout(context.Background(), webhookTimeout)
		defer cancel()
		run.leaves.happened(ctx, "room", r.conn.who, r.in)
	})
	if how == deaf { // whoever is between has lost patience
		time.Sleep(upTo(dice, 2*time.Second))
		return false
	}
	select {
	case <-answered:
		return true
	case <-run.killed:
		return false
	}
}
