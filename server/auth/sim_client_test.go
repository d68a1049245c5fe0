package auth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// client is somebody who joins the call again and again.
type client struct {
	w     *world
	who   string
	dice  *rand.Rand
	n     int
	conn  *conn
	leave *withheld
}

// delays of clients; Element Call has 18 s.
var simDelays = []time.Duration{
	5 * time.Second, 10 * time.Second, 18 * time.Second, 18 * time.Second, 18 * time.Second, 30 * time.Second,
	time.Minute, time.Minute, 2 * time.Minute, 2 * time.Minute, 10 * time.Minute,
}

// ends says that the client goes for good: some time after the last fault.
func (c *client) ends() bool { return time.Since(c.w.start) > c.w.faults+20*time.Second }

func (c *client) script() {
	time.Sleep(upTo(c.dice, 10*time.Second))
	for !c.ends() {
		c.session()
		time.Sleep(upTo(c.dice, []time.Duration{time.Second, 10 * time.Second, time.Minute}[c.dice.IntN(3)]))
	}
}

// session is one stay in the call.
func (c *client) session() {
	if !c.delegate() {
		return // no call without
	}
	if c.dice.IntN(12) == 0 {
		return // never comes
	}
	time.Sleep(upTo(c.dice, 500*time.Millisecond))
	if c.dice.IntN(10) == 0 {
		_, _ = c.w.sfu.connect(c.who, false)
	}
	if !c.connect(20 * time.Second) {
		return
	}
	for !c.ends() && c.dice.IntN(6) > 0 {
		c.turn()
		if c.lost() && (c.dice.IntN(3) == 0 || !c.connect(18*time.Second)) {
			return
		}
		if c.over() && !c.delegate() {
			break
		}
	}
	c.part()
}

// lost says that the connection has ended, and not by the client.
func (c *client) lost() (lost bool) {
	c.w.locked(func() { lost = !c.conn.end.IsZero() })
	return lost
}

// over says that the leave has been sent.
func (c *client) over() (over bool) {
	c.w.locked(func() { over = c.leave.over != "" })
	return over
}

// delegate hands a new leave over. Until that is acknowledged the client keeps it from
// being sent.
func (c *client) delegate() bool {
	w := c.w
	c.n++
	e := w.hs.schedule(c.who, fmt.Sprintf("%s-d%d", c.who, c.n), simDelays[c.dice.IntN(len(simDelays))])
	older := c.leave
	c.leave = e
	if older != nil && c.n%3 == 0 { // it goes with the membership before
		w.locked(func() { w.hs.end(older, "cancelled") })
		time.Sleep(upTo(c.dice, time.Second))
	}
	for range 30 {
		err := w.delegateTo(c.who, e)
		if err == nil {
			w.locked(func() {
				e.acked = time.Now()
				if older != nil {
					older.superseded = e.acked
					if c.n%3 == 1 {
						w.hs.end(older, "cancelled")
					}
				}
				w.note("%s: %s is taken over", c.who, e.id)
			})
			return true
		}
		time.Sleep(between(c.dice, 200*time.Millisecond, 2*time.Second))
		w.locked(func() {
			w.note("%s: %s is not taken over: %v", c.who, e.id, err)
			if e.over == "" {
				w.hs.restart(e)
			}
		})
	}
	return false
}

// connect tries for a while.
func (c *client) connect(most time.Duration) bool {
	for start := time.Now(); time.Since(start) < most; {
		conn, err := c.w.sfu.connect(c.who, true)
		if err == nil {
			c.conn = conn
			return true
		}
		time.Sleep(between(c.dice, 100*time.Millisecond, 2*time.Second))
	}
	return false
}

func (c *client) drop() {
	c.w.locked(func() { c.w.sfu.drop(c.conn, leave.Left{SID: c.conn.sid}) })
}

// turn is something that happens in a call.
func (c *client) turn() {
	switch c.dice.IntN(9) {
	case 0: // connects anew
		c.drop()
		time.Sleep(upTo(c.dice, 700*time.Millisecond))
		c.connect(5 * time.Second)
	case 1: // a second connection takes the place of the first
		c.connect(5 * time.Second)
	case 2: // fails once to connect anew
		_, _ = c.w.sfu.connect(c.who, false)
		if c.dice.IntN(4) == 0 {
			return // and gives up, perhaps
		}
		time.Sleep(upTo(c.dice, 500*time.Millisecond))
		c.connect(5 * time.Second)
	case 3: // is away for a while
		c.drop()
		time.Sleep(between(c.dice, time.Second, 10*time.Second))
		if c.dice.IntN(2) == 0 || c.over() {
			c.delegate()
		}
		c.connect(5 * time.Second)
	case 4: // has a new membership
		c.delegate()
	default:
		time.Sleep(upTo(c.dice, []time.Duration{5 * time.Second, 40 * time.Second, 3 * time.Minute}[c.dice.IntN(3)]))
	}
}

// withdrawing marks what is withdrawn.
type withdrawing struct{}

// part ends the stay.
func (c *client) part() {
	switch c.dice.IntN(5) {
	case 0: // sends its leave itself
		c.w.locked(func() { c.w.hs.end(c.leave, "cancelled") })
		time.Sleep(upTo(c.dice, 200*time.Millisecond))
		c.drop()
	case 1: // the SFU notices later, and not if the client is back before
		conn := c.conn
		c.w.going.Go(func() {
			time.Sleep(between(c.w.dice("notices "+c.who), 10*time.Second, 20*time.Second))
			c.w.locked(func() { c.w.sfu.drop(conn, leave.Left{SID: conn.sid}) })
		})
	case 2: // is removed
		if run := c.w.replicas[c.dice.IntN(len(c.w.replicas))].running(); run != nil {
			ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), withdrawing{}, true), 5*time.Second)
			err := run.leaves.withdraw(ctx, "room", c.who)
			cancel()
			c.w.locked(func() {
				if c.w.note("%s is removed: %v", c.who, err); err == nil && !run.dead() {
					c.leave.withdrawn = time.Now()
				}
			})
		}
		c.drop()
	default:
		c.drop()
	}
}

// script has an external SFU go down now and then.
func (s *simSFU) script() {
	dice := s.w.dice("ends of the SFU")
	if dice.IntN(3) > 0 {
		return
	}
	for range 1 + dice.IntN(3) {
		wait, away := upTo(dice, s.w.faults/2), between(dice, 100*time.Millisecond, 10*time.Second)
		if time.Since(s.w.start)+wait+away+time.Second > s.w.faults {
			return
		}
		time.Sleep(wait)
		from := time.Now()
		s.down(dice.IntN(2) == 0)
		time.Sleep(away)
		s.w.locked(func() { s.up, s.gone = true, append(s.gone, stretch{from, time.Now(), refused}) })
	}
}
